// Parts of a page that htmx fetches again: as soon as the server says over a WebSocket that something has changed, and
// now and then in any case. Without the WebSocket they are fetched every few seconds. Nothing is asked for while the
// page is not seen, and the state of the line is announced where it has become another one. Words come from the page.
"use strict";
{
  const SLOWLY = 15_000; // ms between two fetches that nobody asked for, while the server would say so
  const SOON = 500; // ms between two fetches over what a person waits for …
  const FIGURES = 5_000; // … and over figures, which change all the time
  const URGENT = new Set(["line", "alerts", "itineraries"]);
  const FINAL = new Set([4401, 4403]); // nobody is logged in any more, or nobody of the staff

  const part = document.querySelector("[data-live]");
  const said = document.querySelector("[data-live-said]");
  const found = () => document.querySelector("[data-live-state]");
  let state = found()?.dataset.liveState;
  let fetched = Date.now();
  let missed = false;
  let planned = null; // {at, timer} of the next fetch

  // --- What the server says ---
  let socket = null;
  let failures = 0;
  const isOpen = () => socket?.readyState === WebSocket.OPEN;

  const refresh = () => {
    planned = null;
    if (document.hidden) missed = true;
    else window.htmx?.trigger(part, "live:changed");
  };
  const plan = (gap) => {
    const at = Math.max(Date.now(), fetched + gap);
    if (planned && planned.at <= at) return;
    if (planned) clearTimeout(planned.timer);
    planned = { at, timer: setTimeout(refresh, at - Date.now()) };
  };
  const connect = () => {
    const address = new URL(part.dataset.liveSocket, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    try {
      socket = new WebSocket(address);
    } catch {
      return; // not allowed here: the page goes on asking by itself
    }
    socket.addEventListener("message", (event) => {
      const { changed } = JSON.parse(event.data);
      failures = 0;
      // The first message is empty: what changed since the page was made, nobody has said.
      plan(changed.length && !changed.some((topic) => URGENT.has(topic)) ? FIGURES : SOON);
    });
    socket.addEventListener("close", (event) => {
      socket = null;
      if (FINAL.has(event.code)) return refresh();
      if (document.hidden || leaving) return;
      const pause = Math.min(30_000, 1_000 * 2 ** failures++);
      setTimeout(reconnect, pause * (0.5 + Math.random() / 2));
    });
  };
  const reconnect = () => {
    if (part?.dataset.liveSocket && !socket && !document.hidden && !leaving) connect();
  };
  let leaving = false;
  window.addEventListener("pagehide", () => {
    leaving = true;
    socket?.close();
  });
  window.addEventListener("pageshow", () => {
    leaving = false;
    reconnect();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    reconnect();
    if (missed) plan(0);
    missed = false;
  });

  // --- What the page asks for ---
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!event.target.matches("[data-live]")) return;
    const isAsked = event.detail.requestConfig.triggeringEvent?.type === "live:changed";
    const isEarly = isOpen() && !isAsked && Date.now() - fetched < SLOWLY;
    if (document.hidden || isEarly) event.preventDefault();
    else fetched = Date.now();
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
