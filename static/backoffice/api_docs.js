// Mends what Swagger UI renders, as it renders it: names, levels of headings, landmarks, and its dialog's keyboard.
"use strict";

(() => {
  const root = document.getElementById("swagger-ui");
  let outside = null; // what had the focus last, apart from the dialog
  let isOpen = false;

  const mend = {
    // What stands before <main> is a landmark as well; it is named by what it says.
    ".information-container:not([role])": (part) => {
      part.querySelector("h1").id = "api-title";
      part.setAttribute("role", "region");
      part.setAttribute("aria-labelledby", "api-title");
    },
    "section.schemes:not([aria-label])": (part) => part.setAttribute("aria-label", part.textContent),
    // After the title's <h1> come an <h3> for each group and an <h4> for each part.
    "h3, section.models > h4": (heading) => heading.setAttribute("aria-level", "2"),
    "h4, .opblock h5": (heading) => heading.hasAttribute("aria-level") || heading.setAttribute("aria-level", "3"),
    // A link inside the button that opens an operation; clicks reach the button, which sets the address as well.
    ".opblock-summary-control a[href]": (link) => link.removeAttribute("href"),
    "table[role=region]": (table) => table.removeAttribute("role"),
    "tr[data-param-name] :is(input, select, textarea):not([aria-label])": (field) =>
      field.setAttribute("aria-label", field.closest("tr").dataset.paramName),
    ".opblock-section-request-body textarea:not([aria-label])": (field) =>
      field.setAttribute("aria-label", field.closest(".opblock-section-request-body").querySelector("h4").textContent),
    ".model-box-control:not([aria-label])": (button) => {
      if (button.textContent.trim()) return;
      const row = button.closest("tr");
      const name = row ? row.cells[0].textContent : button.closest("[data-name]").dataset.name;
      button.setAttribute("aria-label", name);
    },
    ".highlight-code pre:not([tabindex])": (code) => code.setAttribute("tabindex", "0"),
    ".close-modal": (button) => button.setAttribute("aria-label", root.dataset.close),
    ".modal-ux:not([role])": (dialog) => {
      const heading = dialog.querySelector("h3");
      heading.id = "dialog-heading";
      dialog.setAttribute("role", "dialog");
      dialog.setAttribute("aria-modal", "true");
      dialog.setAttribute("aria-labelledby", heading.id);
      (dialog.querySelector("input") || dialog.querySelector("button")).focus();
      isOpen = true;
    },
  };

  const all = () => {
    for (const [selector, mended] of Object.entries(mend)) root.querySelectorAll(selector).forEach(mended);
    if (isOpen && !root.querySelector(".modal-ux")) {
      if (outside && outside.isConnected) outside.focus();
      isOpen = false;
    }
  };

  new MutationObserver(all).observe(root, { childList: true, subtree: true });

  document.addEventListener("focusin", (event) => { if (!event.target.closest(".modal-ux")) outside = event.target; });
  document.addEventListener("keydown", (event) => {
    const dialog = root.querySelector(".modal-ux");
    if (!dialog) return;
    if (event.key === "Escape") dialog.querySelector(".close-modal").click();
    if (event.key !== "Tab") return;
    const stops = [...dialog.querySelectorAll("a[href], button, input, select, textarea")].filter((one) => !one.disabled);
    const [first, last] = [stops[0], stops[stops.length - 1]];
    if (document.activeElement === (event.shiftKey ? first : last)) {
      event.preventDefault();
      (event.shiftKey ? last : first).focus();
    }
  });
})();
