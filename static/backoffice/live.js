// Parts of a page that htmx fetches again. Nothing is asked for while the page is not seen, and the state of the line is
// announced where it has become another one. Words come from the page.
"use strict";
{
  const said = document.querySelector("[data-live-said]");
  const found = () => document.querySelector("[data-live-state]");
  let state = found()?.dataset.liveState;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[data-live]")) event.preventDefault();
  });
  // Sent elsewhere, as where the session has ended: the whole page is to go there.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, pathInfo } = event.detail;
    if (!event.target.matches("[data-live]") || !xhr.responseURL) return;
    if (new URL(xhr.responseURL).pathname === new URL(pathInfo.requestPath, location.href).pathname) return;
    event.detail.shouldSwap = false;
    location.reload();
  });
  document.addEventListener("htmx:afterSettle", () => {
    const now = found();
    if (!now || now.dataset.liveState === state) return;
    state = now.dataset.liveState;
    if (said) said.textContent = now.textContent;
  });
}
