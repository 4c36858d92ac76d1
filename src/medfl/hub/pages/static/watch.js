// Watching: says when the connection is lost. What was missed comes as a whole with the first message after it is back.
"use strict";

const lost = document.getElementById("lost");
document.addEventListener("htmx:wsClose", () => { lost.hidden = false; });
document.addEventListener("htmx:wsOpen", () => { lost.hidden = true; });
