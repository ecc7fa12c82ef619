// The builder, beyond what its forms do by themselves: unsaved edits, the order of the cards, problems at their fields,
// options as tabs, airports as they are typed. It has no words of its own: they stand in the page.
"use strict";

const cards = document.getElementById("cards");
const failure = document.getElementById("not-saved");

// --- Unsaved edits ----------------------------------------------------------------------------------------------

function mark(part, unsaved) {
  part.toggleAttribute("data-unsaved", unsaved);
  const chip = part.querySelector(".unsaved");
  if (chip) chip.hidden = !unsaved;
}

function values(part) {
  const found = new Map();
  for (const input of part.elements) {
    if (!input.name || input.type === "hidden" || input.type === "submit") continue;
    found.set(input.name, input.type === "checkbox" ? input.checked : input.value);
  }
  return found;
}

for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => {
    const part = event.target.closest("form.part");
    if (part) mark(part, true);
  });
}
for (const part of document.querySelectorAll("form.part")) mark(part, part.hasAttribute("data-unsaved"));

let leaving = false;
document.addEventListener("submit", (event) => { if (!event.target.hasAttribute("hx-post")) leaving = true; });
window.addEventListener("beforeunload", (event) => {
  if (!leaving && document.querySelector("form.part[data-unsaved]")) event.preventDefault();
});

// A log-in in another tab changes the token that this page was made with; the cookie has the present one.
document.addEventListener("htmx:configRequest", (event) => {
  const cookie = document.cookie.split("; ").find((one) => one.startsWith("csrftoken="));
  if (!cookie) return;
  delete event.detail.parameters.csrfmiddlewaretoken;
  event.detail.headers["X-CSRFToken"] = cookie.slice("csrftoken=".length);
});

// What is typed while a save is under way is not in it: it is carried over into the answer's form, still unsaved.
const sent = new WeakMap();
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt.closest("form.part");
  if (part) sent.set(part, values(part));
});

const late = new Map(); // by the id of the place that an answer goes to
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.requestConfig.elt.closest("form.part");
  if (!event.detail.shouldSwap || !part || !sent.has(part)) return;
  failure.hidden = true;
  const before = sent.get(part);
  late.set(event.detail.target.id, [...values(part)].filter(([name, value]) => before.get(name) !== value));
});

function carryOver() {
  for (const [id, typed] of late) {
    const place = document.getElementById(id);
    const part = place && (place.matches("form") ? place : place.querySelector("form.part"));
    for (const [name, value] of part ? typed : []) {
      const input = part.elements[name];
      if (!input) continue;
      if (input.type === "checkbox") input.checked = value; else input.value = value;
      mark(part, true);
    }
  }
  late.clear();
}

function fail(why) {
  failure.textContent = failure.dataset[why];
  failure.hidden = false;
}
document.addEventListener("htmx:sendError", () => fail("offline"));
document.addEventListener("htmx:responseError", (event) => {
  fail(event.detail.xhr.status === 401 ? "signedOut" : event.detail.xhr.status >= 500 ? "offline" : "refused");
});

// --- What a save changes elsewhere ------------------------------------------------------------------------------

function sortCards() {
  const order = document.getElementById("builder-state").dataset.order.trim().split(/\s+/);
  const active = document.activeElement;
  const known = order.map((key) => document.getElementById(`card-${key}`)).filter(Boolean);
  const present = [...cards.children].filter((card) => known.includes(card));
  if (present.some((card, index) => card !== known[index])) {
    // A card that was removed keeps its place behind the one it followed.
    const followers = new Map();
    let last = null;
    for (const card of cards.children) {
      if (known.includes(card)) last = card;
      else followers.set(last, [...(followers.get(last) || []), card]);
    }
    cards.append(...(followers.get(null) || []));
    for (const card of known) cards.append(card, ...(followers.get(card) || []));
    if (active && active.id) document.getElementById(active.id)?.focus();
  }
}

function placeProblems() {
  const places = new Map();
  for (const finding of document.querySelectorAll("#problems [data-anchor]")) {
    const found = places.get(finding.dataset.anchor) || [];
    found.push([finding.dataset.level, finding.querySelector("span").textContent]);
    places.set(finding.dataset.anchor, found);
  }
  for (const box of document.querySelectorAll(".problems[id]")) {
    const id = box.id.replace(/_problems$/, "");
    // A typed value that could not be read has its own message; what the stored one lacks would contradict it.
    const found = document.getElementById(`${id}_error`) ? [] : places.get(id) || [];
    box.replaceChildren(...found.map(([level, text]) => {
      const line = document.createElement("p");
      line.className = level;
      line.textContent = text;
      return line;
    }));
    const input = document.getElementById(id);
    const refused = document.getElementById(`${id}_error`) || found.some(([level]) => level === "error");
    if (refused) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
  }
}

function announce() {
  const state = document.getElementById("builder-state");
  // "Last saved" is said only when nothing on the screen waits to be.
  const saved = document.querySelector("form.part[data-unsaved] .unsaved") || state.querySelector("[data-saved]");
  const words = [saved, ...state.querySelectorAll(".chip")].map((part) => part.textContent.replace(/\s+/g, " ").trim());
  document.getElementById("announce").textContent = words.join(", ");
}

// --- Options as tabs --------------------------------------------------------------------------------------------

const shown = new Map(); // by the card's id: the option last looked at
const counted = new Map(); // by the card's id: how many options it had

function show(card, id) {
  const options = [...card.querySelectorAll("[data-option]")];
  const chosen = options.find((option) => option.id === id) || options.at(-1);
  shown.set(card.id, chosen?.id);
  for (const option of options) option.hidden = option !== chosen;
  for (const tab of card.querySelectorAll(".tabs a")) {
    if (tab.hash === `#${chosen?.id}`) tab.setAttribute("aria-current", "true"); else tab.removeAttribute("aria-current");
  }
}

function arrangeTabs() {
  for (const card of document.querySelectorAll(".stop[data-card]")) {
    const options = [...card.querySelectorAll("[data-option]")];
    if (!options.length) continue;
    const grown = counted.has(card.id) && options.length > counted.get(card.id);
    counted.set(card.id, options.length);
    show(card, grown ? options.at(-1).id : shown.get(card.id) || options[0].id);
  }
}

function reveal(hash) {
  const place = hash.length > 1 && document.getElementById(hash.slice(1));
  const option = place && place.closest("[data-option]");
  if (option) show(option.closest(".stop"), option.id);
  if (place && place.matches("input, select, textarea")) {
    place.focus();
    place.scrollIntoView({ block: "center" });
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (!link) return;
  reveal(link.hash);
  if (link.closest(".tabs")) event.preventDefault();
});

// --- Airports ---------------------------------------------------------------------------------------------------

const airports = document.getElementById("airports");
let waiting;
document.addEventListener("input", (event) => {
  if (event.target.getAttribute("list") !== "airports") return;
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    htmx.ajax("GET", airports.dataset.url, { target: airports, values: { q: event.target.value } });
  }, 200);
});

// --- What a save has to say -------------------------------------------------------------------------------------

// Who presses Save at the end of a long card does not see what its beginning says.
function bringIntoView(part) {
  const notice = part.querySelector("[role=alert], .err");
  if (!notice) return;
  const option = notice.closest("[data-option]");
  if (option) show(option.closest(".stop"), option.id);
  const place = notice.getBoundingClientRect();
  if (place.top < 0 || place.bottom > window.innerHeight) notice.scrollIntoView({ block: "center" });
}

// ----------------------------------------------------------------------------------------------------------------

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target === airports || event.detail.elt === airports) return;
  carryOver();
  for (const part of document.querySelectorAll("form.part")) mark(part, part.hasAttribute("data-unsaved"));
  sortCards();
  placeProblems();
  arrangeTabs();
  announce();
  if (event.detail.elt.matches(".stop, form.part")) bringIntoView(event.detail.elt);
});

arrangeTabs();
reveal(location.hash);
