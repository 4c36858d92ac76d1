// What every page needs: words and times as the reader writes them.
"use strict";

const LANGUAGE = document.documentElement.lang;
const LOCALE = navigator.languages.find((one) => one.split("-")[0] === LANGUAGE) ?? LANGUAGE;
const WORDS = JSON.parse(document.getElementById("words").textContent);

// Words of a script in the page's language; tools/catalogue.py collects them by this name.
function word(text) {
  return WORDS[text] ?? text;
}

function local_times(root) {
  const spelled = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = spelled.format(new Date(time.dateTime));
  }
}

local_times(document);
document.addEventListener("htmx:oobAfterSwap", (event) => local_times(event.target));
document.addEventListener("htmx:afterSwap", (event) => local_times(event.target));

// A part that is replaced while somebody is in it: where they are, what they have typed and what they opened stay.
let kept = null;
document.addEventListener("htmx:beforeOnLoad", () => {
  const here = document.activeElement;
  kept = { id: here?.id, value: here?.value, at: here?.selectionStart, open: [...document.querySelectorAll("details[open][id]")].map((one) => one.id) };
});
document.addEventListener("htmx:afterOnLoad", () => {
  if (!kept) return;
  for (const id of kept.open) document.getElementById(id)?.setAttribute("open", "");
  const again = kept.id && document.getElementById(kept.id);
  if (again) {
    if (again !== document.activeElement) again.focus({ preventScroll: true });
    const typed = "value" in again && kept.value !== undefined && again.tagName !== "SELECT" && again.type !== "checkbox";
    if (typed && again.value !== kept.value) {
      again.value = kept.value;
      // The browser does not see this as typed, and would not say that it changed.
      again.addEventListener("blur", () => again.dispatchEvent(new Event("change", { bubbles: true })), { once: true });
    }
    if (typeof kept.at === "number" && again.setSelectionRange) try { again.setSelectionRange(kept.at, kept.at); } catch { /* not a text field */ }
  }
  kept = null;
});

// A time that somebody chooses is sent as the moment it is, wherever they and the hub are.
for (const local of document.querySelectorAll("[data-utc]")) {
  const sent = document.getElementById(local.dataset.utc);
  const told = () => { sent.value = local.value ? new Date(local.value).toISOString() : ""; };
  if (local.dataset.at) {
    const at = new Date(local.dataset.at);
    local.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  }
  told();
  local.addEventListener("input", told);
}

// What is to be sent elsewhere can be copied whole.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copy);
    from.select();
    try { await navigator.clipboard.writeText(from.value); button.textContent = button.dataset.done; } catch { /* it is selected, and can be copied by hand */ }
  });
}
