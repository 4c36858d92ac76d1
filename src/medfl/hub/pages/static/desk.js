// What somebody does on the page of a draft, from the first moment that they see it: this script is there before the page
// is, for a change that nobody hears is lost, though the field shows it.
"use strict";

// Changes of a draft go through its desk, one after the other. The fields themselves cannot wait for an answer: the one
// before it may have replaced them meanwhile, and then theirs is not taken in.
let early = []; // what was changed before the page could send it
let open = 0; // changes that are sent and not answered
let leave = null; // where somebody goes as soon as all is answered
function changed(element, values) {
  const change = [element.dataset.post, { ...JSON.parse(element.dataset.vals ?? "{}"), ...values }];
  if (early) early.push(change);
  else send(...change);
}
function send(address, values) {
  open += 1;
  const sent = htmx.ajax("POST", address, { source: document.getElementById("desk"), swap: "none", values });
  sent.catch(() => {}); // told below, with every other change that does not arrive
}
document.addEventListener("DOMContentLoaded", () => {
  // Each page that is open has a name of its own, so that a draft knows whether it is changed from two of them.
  document.getElementById("by").value = crypto.randomUUID();
  for (const change of early) send(...change);
  early = null;
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target.id !== "desk") return;
  open -= 1;
  document.getElementById("saving")?.remove();
  if (!event.detail.successful) told(why(event.detail.xhr.status), "wrong");
  if (open || !leave) return;
  if (!document.getElementById("said").hasChildNodes()) leave(); // else somebody reads first why a change was not taken
  leave = null;
});
function why(status) {
  if (status === 0) return word("Your last change did not reach the draft. Look whether you are connected, and change it once more.");
  if (status === 401 || status === 403) return word("Your last change was not taken: you are not signed in any more, or may not change this draft. Sign in in another window, and change it once more.");
  return word("Your last change was not taken: the other end has trouble. Change it once more; if that does not help, load the page again.");
}
function told(text, kind) {
  const line = Object.assign(document.createElement("p"), { className: kind, textContent: text });
  document.getElementById("said").replaceChildren(line);
  return line;
}

// Whoever leaves the page takes their last change along.
function unanswered() {
  if (typing) typed();
  return open > 0 || early?.length > 0;
}
function leaving(event, go) {
  event.preventDefault();
  leave = go;
  told(word("Your last change is on its way …"), "muted").id = "saving";
}
document.addEventListener("submit", (event) => {
  if (unanswered()) leaving(event, () => event.target.requestSubmit(event.submitter));
});
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href]:not([href^="#"]):not([target])');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !unanswered()) return;
  leaving(event, () => location.assign(link.href));
});
window.addEventListener("beforeunload", (event) => {
  document.activeElement?.blur?.(); // what is being typed is a change, too
  if (unanswered()) event.preventDefault();
});

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
function typed() {
  clearTimeout(typing);
  typing = 0;
  const text = document.getElementById("text");
  changed(text, { text: text.value });
}
document.addEventListener("input", (event) => {
  if (event.target.id !== "text") return;
  clearTimeout(typing);
  typing = setTimeout(typed, 500);
});

// The forms of a draft: which of them is shown beside the fields.
document.addEventListener("click", (event) => {
  const tab = event.target.closest('[role="tab"]');
  if (!tab) return;
  for (const one of tab.parentElement.querySelectorAll('[role="tab"]')) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = one !== tab;
  }
});
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest('[role="tab"]');
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!tab || !step) return;
  const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
  const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
});
