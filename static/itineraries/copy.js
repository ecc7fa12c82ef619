// Buttons that copy an address: shown only where the browser can.
"use strict";

function offerCopies(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const [before, after] = button.children;
  before.hidden = true;
  after.hidden = false;
  button.setAttribute("aria-live", "polite");
  setTimeout(() => { before.hidden = false; after.hidden = true; }, 2000);
});

offerCopies(document);
