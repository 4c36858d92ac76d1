// Watching: says when the connection is lost. What was missed comes as a whole with the first message after it is back.
"use strict";

const lost = document.getElementById("lost");
document.addEventListener("htmx:wsClose", () => { lost.hidden = false; });
document.addEventListener("htmx:wsOpen", () => { lost.hidden = true; });

// Within one course the day is plain: what happened is told to the second.
function to_the_second(root) {
  const spelled = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });
  for (const time of root.querySelectorAll(".happened time[datetime]")) time.textContent = spelled.format(new Date(time.dateTime));
}
to_the_second(document);
document.addEventListener("htmx:oobAfterSwap", (event) => { if (event.target.id === "happened") to_the_second(event.target); });
