// Refreshes the status page in place every few seconds. Without it the browser reloads the page as a whole.
"use strict";

const EVERY_MS = 3000;
let last = "";

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    const text = await answer.text();
    const next = new DOMParser().parseFromString(text, "text/html");
    const page = next.getElementById("page");
    if (!page) return void location.reload(); // the frontend is back
    if (page.innerHTML !== last) {
      last = page.innerHTML;
      document.title = next.title;
      document.getElementById("page").replaceWith(page);
    }
    document.body.classList.remove("is-stale");
  } catch {
    document.body.classList.add("is-stale"); // nobody answers: what is shown is old
  }
}

setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
