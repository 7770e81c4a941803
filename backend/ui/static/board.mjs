// The board keeps itself fresh, and says so when it cannot.
const EVERY = 5000;
const board = document.getElementById("board");
const line = document.getElementById("freshness");
let etag = `"${board.dataset.etag}"`;
let fresh = new Date();

function clock(moment) {
  return moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function tell(text) {
  line.hidden = !text;
  if (line.textContent !== text) line.textContent = text;
}

async function refresh() {
  if (document.hidden || board.querySelector("[data-sending]")) return;
  try {
    const response = await fetch(board.dataset.source, { headers: { "If-None-Match": etag, "X-Poll": "1" }, cache: "no-store" });
    if (response.status === 401) return location.reload();
    if (response.status !== 304 && !response.ok) throw new Error(String(response.status));
    if (response.ok) {
      const focused = document.activeElement?.getAttribute("href");
      board.innerHTML = await response.text();
      etag = response.headers.get("ETag");
      if (focused) board.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
    fresh = new Date();
    tell("");
  } catch {
    tell(`This board is as of ${clock(fresh)}: the server is out of reach. It refreshes itself when it is back.`);
  }
}

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
window.addEventListener("online", refresh);
