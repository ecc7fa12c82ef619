// Menus that open over the page (details elements) close at a click outside, and at Escape, which returns the focus.
// On a phone, where the sections scroll, the current one is brought into sight.
"use strict";
{
  document.querySelector(".nav .links [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const open = () => document.querySelectorAll("details.filter[open], .nav .foot[open]");
  document.addEventListener("click", (event) => {
    for (const menu of open()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });
}
