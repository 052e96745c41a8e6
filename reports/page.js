"use strict";

// ---- tables: a click on a column's head sorts by it ----

function numberIn(text) {
  const match = text.replace(/,/g, "").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/);
  return match ? Number(match[0]) : null;
}

function compare(a, b) {
  const first = numberIn(a), second = numberIn(b);
  if (first !== null && second !== null) return first - second;
  if (first !== null) return -1;  // what has no number comes last
  if (second !== null) return 1;
  return a.localeCompare(b);
}

function sortBy(table, column, descending) {
  const body = table.tBodies[0];
  const textOf = (row) => row.cells[column].textContent.trim();
  const isName = column === 0;
  const rows = [...body.rows].sort((a, b) => {
    const order = isName ? textOf(a).localeCompare(textOf(b)) : compare(textOf(a), textOf(b));
    return descending ? -order : order;
  });
  body.append(...rows);
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  const direction = descending ? "descending" : "ascending";
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction);
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = "sort by this column";
    button.onclick = () => sortBy(table, column, head.getAttribute("aria-sort") === "ascending");
    head.append(button);
  });
}

// ---- above all: a filter of methods, and the colours ----

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (name) => words.every((word) => name.toLowerCase().includes(word));
  for (const row of document.querySelectorAll("tbody tr")) {
    row.hidden = !fits(row.cells[0].textContent) && !row.classList.contains("goal");
  }
  for (const dot of document.querySelectorAll(".dot")) {
    const isTarget = dot.classList.contains("goal");
    dot.classList.toggle("faded", !fits(dot.dataset.method) && !isTarget);
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

const tools = document.getElementById("tools");
const search = document.createElement("input");
search.type = "search";
search.placeholder = "filter methods";
search.setAttribute("aria-label", "filter methods");
search.oninput = () => filter(search.value);
const theme = document.createElement("button");
theme.id = "theme";
const nameTheme = () => { theme.textContent = isDark() ? "light" : "dark"; };
theme.onclick = () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
};
nameTheme();
tools.append(search, theme);

// ---- one forgotten class at a time ----

for (const chapter of document.querySelectorAll(".chapter")) {
  const sections = [...chapter.querySelectorAll(".forgotten")];
  const place = chapter.querySelector(".switch");
  if (sections.length < 2) continue;
  const choose = (name) => {
    for (const section of sections) section.hidden = name !== "all" && section.dataset.name !== name;
    for (const button of place.children) {
      button.setAttribute("aria-pressed", String(button.dataset.name === name));
    }
  };
  for (const name of [...sections.map((section) => section.dataset.name), "all"]) {
    const button = document.createElement("button");
    button.dataset.name = name;
    button.textContent = name.split(";")[0];
    button.onclick = () => choose(name);
    place.append(button);
  }
  choose(sections[0].dataset.name);
}

// ---- dots name themselves; a click keeps the text, to copy the command ----

const tip = document.getElementById("tip");
let kept = null;

function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function middle(dot) {
  const box = dot.querySelector(":scope > *").getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

function below(dot) {  // the methods whose dots this one hides
  const [x, y] = middle(dot);
  const names = [];
  for (const other of dot.parentElement.querySelectorAll(".dot")) {
    const [left, top] = middle(other);
    if (other !== dot && Math.hypot(left - x, top - y) < 5) names.push(other.dataset.method);
  }
  return names;
}

function showTip(dot) {
  tip.replaceChildren(line("strong", dot.dataset.method), line("span", dot.dataset.about));
  const hidden = below(dot);
  if (hidden.length) tip.append(line("span", `in the same place: ${hidden.join(", ")}`));
  if (dot.dataset.command) tip.append(line("code", dot.dataset.command));
  tip.hidden = false;
  const box = dot.getBoundingClientRect();
  const widest = document.documentElement.clientWidth - tip.offsetWidth - 16;
  tip.style.left = `${Math.max(16, Math.min(box.left, widest)) + scrollX}px`;
  tip.style.top = `${box.bottom + 8 + scrollY}px`;
}

function hideTip() {
  kept = null;
  tip.hidden = true;
}

for (const dot of document.querySelectorAll(".dot")) {
  dot.querySelector("title").remove();  // it would be shown as well
  dot.onmouseenter = () => { if (!kept) showTip(dot); };
  dot.onmouseleave = () => { if (!kept) hideTip(); };
  dot.onfocus = () => showTip(dot);
  dot.onblur = () => { if (!kept) hideTip(); };
  dot.onclick = () => { kept = dot; showTip(dot); };
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
document.addEventListener("click", (event) => {
  const isOutside = !event.target.closest(".dot, #tip");
  if (kept && isOutside) hideTip();
});
