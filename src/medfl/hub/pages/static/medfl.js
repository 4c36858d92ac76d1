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

// The forms of a draft: which of them is shown beside the fields.
for (const tab of document.querySelectorAll('[role="tab"]')) {
  const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
  tab.addEventListener("click", () => {
    for (const one of tabs) {
      one.setAttribute("aria-selected", String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = one !== tab;
    }
  });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}

// Changes of a draft go through its desk, one after the other. The fields themselves cannot wait for an answer: the one
// before it may have replaced them meanwhile, and then theirs is not taken in.
const desk = document.getElementById("desk");
function changed(element, values) {
  if (desk) htmx.ajax("POST", element.dataset.post, { source: desk, swap: "none", values: { ...JSON.parse(element.dataset.vals ?? "{}"), ...values } });
}
document.addEventListener("change", (event) => {
  const element = event.target.closest("[data-post]");
  if (!element || element.id === "text") return;
  const ticked = [...element.querySelectorAll("input:checked")].map((one) => one.value);
  changed(element, { value: element.tagName === "FIELDSET" ? ["", ...ticked] : element.value });
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) changed(button, {});
});
let typing = 0;
document.addEventListener("input", (event) => {
  if (event.target.id !== "text") return;
  clearTimeout(typing);
  const { target } = event;
  typing = setTimeout(() => changed(target, { text: target.value }), 500);
});

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

// Each page that is open has a name of its own, so that a draft knows whether it is changed from two of them.
const by = document.getElementById("by");
if (by) by.value = crypto.randomUUID();

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
