// The state of a vehicle, changed right in the list: the chip opens a menu, and only its own row changes.
// Without this script the chip leads to a page of its own.
"use strict";
{
  const template = document.getElementById("state-menu");
  const message = document.getElementById("row-message");
  let open = null; // { chip, menu }

  const close = (focus) => {
    if (!open) return;
    const { chip, menu } = open;
    open = null;
    menu.remove();
    chip.setAttribute("aria-expanded", "false");
    if (focus) chip.focus();
  };

  const tell = (html, tone) => {
    if (!message) return;
    message.innerHTML = html; // made by the server, escaped there
    message.className = `row-message ${tone}`;
    message.hidden = !html;
  };

  const show = (chip) => {
    close(false);
    const menu = template.content.firstElementChild.cloneNode(true);
    menu.setAttribute("aria-label", chip.getAttribute("aria-label"));
    for (const item of menu.querySelectorAll("[data-state]")) {
      item.setAttribute("aria-checked", String(item.dataset.state === chip.dataset.state));
    }
    chip.after(menu);
    chip.setAttribute("aria-expanded", "true");
    open = { chip, menu };
    place();
    (menu.querySelector('[aria-checked="true"]') ?? menu.querySelector("[data-state]")).focus({ preventScroll: true });
  };

  // Over the page, so that no frame that scrolls cuts it off; it goes along when the page scrolls.
  const place = () => {
    if (!open) return;
    const { chip, menu } = open;
    const at = chip.getBoundingClientRect();
    const height = menu.offsetHeight;
    const below = at.bottom + height + 8 < window.innerHeight || at.top < height + 8;
    menu.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - height - 4)}px`;
    menu.style.left = `${Math.max(8, Math.min(at.left, window.innerWidth - menu.offsetWidth - 8))}px`;
  };

  const choose = async (chip, state) => {
    const row = chip.closest("tr");
    close(true);
    if (state === chip.dataset.state) return;
    const body = new FormData();
    body.set("state", state);
    body.set("seen", chip.dataset.state);
    body.set("csrfmiddlewaretoken", document.querySelector("#changelist-form [name=csrfmiddlewaretoken]").value);
    chip.setAttribute("aria-busy", "true");
    let answer;
    try {
      const response = await fetch(chip.href, { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
      if (!response.headers.get("Content-Type")?.startsWith("application/json")) throw new TypeError(response.statusText);
      answer = { ok: response.ok, ...(await response.json()) };
    } catch {
      window.location.assign(chip.href); // logged out, or the server is away: the page of its own says so
      return;
    }
    const cell = chip.parentElement;
    cell.innerHTML = answer.state; // made by the server, escaped there
    const citytrips = row.querySelector(".field-citytrips");
    if (citytrips) citytrips.innerHTML = answer.citytrips;
    prepare(cell);
    cell.querySelector("a.state")?.focus();
    tell(answer.message, answer.ok ? "success" : "error");
  };

  const prepare = (where) => {
    for (const chip of where.querySelectorAll("a.chip.state")) {
      chip.setAttribute("role", "button");
      chip.setAttribute("aria-haspopup", "menu");
      chip.setAttribute("aria-expanded", "false");
    }
  };

  if (template) {
    prepare(document);
    document.addEventListener("click", (event) => {
      const chip = event.target.closest("a.chip.state");
      if (chip && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
        event.preventDefault();
        if (open?.chip === chip) close(true);
        else show(chip);
        return;
      }
      const item = open && event.target.closest("[role=menuitemradio]");
      if (item && open.menu.contains(item)) choose(open.chip, item.dataset.state);
      else close(false);
    });
    document.addEventListener("keydown", (event) => {
      if (!open) {
        const chip = event.target.closest?.("a.chip.state");
        if (chip && ["ArrowDown", "ArrowUp", " "].includes(event.key)) {
          event.preventDefault();
          show(chip);
        }
        return;
      }
      const items = [...open.menu.querySelectorAll("[role=menuitemradio]")];
      const at = items.indexOf(document.activeElement);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        items[(to + items.length) % items.length].focus();
      } else if (event.key === "Escape") {
        event.preventDefault();
        close(true);
      } else if (event.key === "Tab") {
        close(true);
      } else if (event.key.length === 1 && event.key !== " ") {
        const letter = event.key.toLowerCase();
        const order = [...items.slice(at + 1), ...items.slice(0, at + 1)];
        order.find((item) => item.textContent.trim().toLowerCase().startsWith(letter))?.focus();
      }
    });
    window.addEventListener("scroll", place, { capture: true, passive: true });
    window.addEventListener("resize", place);
  }
}
