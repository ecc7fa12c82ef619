// While Crusoe is asked, which takes up to its time limit, the button says so and takes no second press; a page that was
// opened meanwhile shows the outcome once it is there.
"use strict";
{
  const OFTEN = 2_000; // ms
  const isUnderWay = (page) => page.querySelector("[data-under-way]") !== null;
  // Never by reloading: this page may be the answer to a press of a button, there or elsewhere.
  const address = document.querySelector("[data-under-way] a")?.href;

  const look = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(address, { headers: { Accept: "text/html" } });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (answer.redirected || (answer.status < 500 && !isUnderWay(page))) return location.replace(address);
      } catch {
        // The server is away: it is asked again.
      }
    }
    setTimeout(look, OFTEN);
  };
  if (address) setTimeout(look, OFTEN);
}

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button[data-busy]");
  if (!button) return;
  button.textContent = button.dataset.busy;
  button.disabled = true;
});

// A page that the browser kept shows the button as it was left.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
