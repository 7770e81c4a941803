// Forms that change something: sent once, and sent again with the same key when the network drops in the middle.
import { watch } from "./idle.mjs";

const TRIES = 5;
const WAIT = 1500;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function say(form, text) {
  let line = form.querySelector(".freshness");
  if (!line) {
    line = document.createElement("p");
    line.className = "freshness";
    line.setAttribute("role", "status");
    form.append(line);
  }
  line.textContent = text;
}

async function post(form, data) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetch(form.action, { method: "POST", body: data, credentials: "same-origin" });
    } catch (error) {
      if (attempt === TRIES) throw error;
      say(form, "No connection. Trying again; nothing is done twice.");
      await pause(WAIT * attempt);
    }
  }
}

async function send(event) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !("once" in form.dataset)) return;
  event.preventDefault();
  if (form.dataset.sending) return;
  form.dataset.sending = "yes";
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
  const fields = new FormData(form, event.submitter);
  // In parts only where there is a file: a delivery has more fields than the server takes parts, and its reader of parts
  // (Werkzeug) may lose an empty one from 64 KB on.
  const data = form.enctype === "multipart/form-data" ? fields : new URLSearchParams(fields);
  try {
    const response = await post(form, data);
    const page = await response.text();
    history.replaceState(null, "", response.redirected ? response.url : location.href);
    document.open();
    document.write(page);
    document.close();
    begin();
    land();
  } catch {
    say(form, "No connection. Perhaps it was done: tap again, nothing is done twice.");
    delete form.dataset.sending;
    buttons.forEach((button) => button.removeAttribute("aria-disabled"));
  }
}

// A page that was written in has no focus, not even its autofocus: a scanner would type into nowhere. The keyboard goes
// on where the page says, else at what was said.
function land() {
  const wanted = document.querySelector("[autofocus]");
  if (wanted) return wanted.focus();
  const places = ["main [role=alert]", "main [role=status]:not([hidden])", "main h1"];
  const said = places.map((place) => document.querySelector(place)).find(Boolean);
  said?.setAttribute("tabindex", "-1");
  said?.focus();
}

// The menu of who is signed in closes like any menu: by Escape, or by a tap elsewhere.
function closeMenu(event) {
  const menu = document.querySelector(".who[open]");
  if (!menu || (event.type === "keydown" ? event.key !== "Escape" : menu.contains(event.target))) return;
  menu.open = false;
  if (event.type === "keydown") menu.querySelector("summary").focus();
}

// Whoever is alone with the screen may look at what they type; what is sent is hidden again first.
function offerToShow(input) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn quiet show";
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.innerHTML = `${shown ? "Hide" : "Show"}<span class="visually-hidden"> what I type</span>`;
  };
  show(false);
  button.addEventListener("click", () => show(input.type === "password"));
  input.form.addEventListener("submit", () => show(false));
  input.after(button);
}

// document.open() takes the listeners away, and a module runs once: a page that was written in begins here too.
function begin() {
  watch();
  document.addEventListener("submit", send);
  document.addEventListener("keydown", closeMenu);
  document.addEventListener("pointerdown", closeMenu);
  for (const here of document.querySelectorAll(".tabs [aria-current]")) {
    here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.clientWidth / 2; // where tabs slide, on a phone
  }
  if (document.querySelector("[data-passkey]")) import("./passkeys.mjs").then(({ offer }) => offer());
  document.querySelectorAll('input[type="password"]').forEach(offerToShow);
  if (!document.documentElement.dataset.bsTheme && matchMedia("(prefers-color-scheme: dark)").matches) {
    document.documentElement.dataset.bsTheme = "dark";
    const button = document.querySelector('button[name="theme"]');
    button.value = "light";
    button.textContent = "Light theme";
  }
}

begin();
