// Names for what Django's own scripts and lists leave without one. The words are taken from the page.
"use strict";
window.addEventListener("load", () => {
  // The magnifying glass of the two-column choice carries a label, but is nothing that could have one.
  for (const icon of document.querySelectorAll(".search-label-icon")) icon.setAttribute("role", "img");
  // The calendar and the clock open over the page, named by the field that they fill.
  for (const [boxes, inputs] of [["calendarbox", "calendarInputs"], ["clockbox", "clockInputs"]]) {
    (window.DateTimeShortcuts?.[inputs] ?? []).forEach((input, number) => {
      const box = document.getElementById(boxes + number);
      box?.setAttribute("role", "dialog");
      box?.setAttribute("aria-label", input.labels[0]?.textContent.trim() ?? "");
    });
  }
  // A field in a list is named by its column and its row.
  for (const field of document.querySelectorAll("#result_list td :is(input, select, textarea):not([type=hidden], .action-select)")) {
    const cell = field.closest("td");
    const column = document.querySelectorAll("#result_list thead th")[cell.cellIndex];
    const row = cell.parentElement.querySelector("th");
    field.setAttribute("aria-label", [column, row].map((part) => part?.textContent.trim()).filter(Boolean).join(", "));
  }
});
