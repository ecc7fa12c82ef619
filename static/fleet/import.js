// A large file takes a while to send: the button says so, and takes no second press.
"use strict";

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button[data-busy]");
  if (!button) return;
  button.textContent = button.dataset.busy;
  button.disabled = true;
});

// A page that the browser kept shows the button as it was left.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
