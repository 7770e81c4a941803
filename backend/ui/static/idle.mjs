// A screen that nobody uses shows nothing of a patient: once the server has locked it, it goes to the lock by itself.
// Who types is using it though nothing is sent yet: the server hears of it, so that no long form is lost to the lock.
const TELL = 60_000;
const LOOK = 15_000;
let told = Date.now();
let telling = new AbortController();

function use() {
  if (!document.body.dataset.locksAfter || Date.now() - told < TELL) return;
  told = Date.now();
  telling = new AbortController();
  fetch("/awake", { cache: "no-store", signal: telling.signal }).catch(() => {});
}

async function look() {
  const seconds = Number(document.body.dataset.locksAfter ?? Infinity);
  if (Date.now() - told < seconds * 1000) return;
  const answer = await fetch("/awake", { cache: "no-store", headers: { "X-Poll": "1" } }).catch(() => null);
  if (answer?.status === 401) location.reload();
}

setInterval(look, LOOK);

// For every page anew, for a page that is written in takes the listeners away.
export function watch() {
  document.addEventListener("input", use);
  document.addEventListener("submit", () => telling.abort()); // or its answer could undo a lock
  document.addEventListener("visibilitychange", look);
}
