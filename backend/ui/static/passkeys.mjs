// Forms that a passkey answers: shown where this browser can, else a sentence that says why not.
const SPEAKS = "parseCreationOptionsFromJSON";

function obstacle(at) {
  if (location.origin !== at) return `Passkeys work at ${at}, and this page came from ${location.origin}.`;
  if (!window.PublicKeyCredential?.[SPEAKS]) return "This browser is too old for passkeys.";
  return "";
}

function say(form, text) {
  let line = form.querySelector("[role=alert]");
  if (!line) {
    line = document.createElement("p");
    line.className = "refused";
    line.setAttribute("role", "alert");
    form.append(line);
  }
  line.textContent = text;
}

async function asked(form) {
  const body = new FormData(form);
  const response = await fetch(form.dataset.passkey, { method: "POST", body, headers: { "X-Poll": "1" } });
  if (!response.headers.get("Content-Type")?.includes("json")) throw new Error("This page is too old. Load it again.");
  const answer = await response.json();
  if (response.ok) return answer;
  throw new Error(answer.errors?.[0]?.detail ?? answer.detail);
}

function answered(options) {
  return options.user
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}

function meaning(error) {
  if (error.name === "NotAllowedError") return "No passkey was used: it was cancelled, or took too long.";
  if (error.name === "InvalidStateError") return "This device holds a passkey of yours already.";
  if (error.name === "TypeError") return "No connection. Try again.";
  return error.message;
}

async function use(event) {
  event.preventDefault();
  const form = event.target;
  if (form.dataset.sending) return;
  form.dataset.sending = "yes";
  try {
    const credential = await answered(await asked(form));
    form.elements.credential.value = JSON.stringify(credential.toJSON());
    if (form.elements.password) form.elements.password.value = "";
    form.submit();
  } catch (error) {
    say(form, meaning(error));
  }
  delete form.dataset.sending;
}

export function offer() {
  for (const form of document.querySelectorAll("[data-passkey]")) {
    const why = obstacle(form.dataset.at);
    const line = form.nextElementSibling;
    line.textContent = why;
    line.hidden = !why;
    form.hidden = Boolean(why);
    form.addEventListener("submit", use);
  }
}
