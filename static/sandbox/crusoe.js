// The total of what a traveller has chosen, once every card with options has one chosen.
"use strict";

const total = document.querySelector(".total[data-currency]");

function sumUp() {
  const cards = [...document.querySelectorAll(".stop")];
  let sum = 0;
  for (const card of cards) {
    const choices = [...card.querySelectorAll("input[type=radio]")];
    const chosen = choices.find((choice) => choice.checked);
    if (choices.length && !chosen) return;
    const part = chosen || card.querySelector("[data-amount]");
    sum += Number(part?.dataset.amount || 0);
  }
  // Binary fractions do not add up to what people add up.
  sum = Math.round(sum * 100) / 100;
  const digits = Number.isInteger(sum) ? 0 : 2;
  const amount = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  total.querySelector("b").textContent = `${amount.format(sum)} ${total.dataset.currency}`;
  total.querySelector("span:last-child").textContent = total.dataset.chosen;
}

document.addEventListener("change", sumUp);
