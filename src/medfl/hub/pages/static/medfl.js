// What every page needs: times as the reader writes them.
"use strict";

function local_times(root) {
  const spelled = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = spelled.format(new Date(time.dateTime));
  }
}

local_times(document);
document.addEventListener("htmx:oobAfterSwap", (event) => local_times(event.target));
