"use strict";

// ---- tables: a click on a column's head sorts by it ----

function numberIn(text) {  // the number with which a cell begins; null for a cell of words
  const match = text.match(/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/);
  return match ? Number(match[0]) : null;
}

// What has no number comes last, in either order. sign: 1 to ascend, -1 to descend.
function compare(a, b, sign) {
  const first = numberIn(a), second = numberIn(b);
  if (first !== null && second !== null) return sign * (first - second);
  if (first !== null) return -1;
  if (second !== null) return 1;
  return sign * a.localeCompare(b);
}

function sortBy(table, column, descending) {
  const body = table.tBodies[0];
  const sign = descending ? -1 : 1;
  const textOf = (row) => row.cells[column].textContent.trim();
  const rows = [...body.rows].sort((a, b) => compare(textOf(a), textOf(b), sign));
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

for (const place of document.querySelectorAll(".switch")) {
  const sections = [...place.parentElement.querySelectorAll(".part")];
  const choose = (chosen) => {  // a section; null: all of them
    for (const section of sections) section.hidden = chosen !== null && section !== chosen;
    for (const button of place.children) {
      button.setAttribute("aria-pressed", String(button.section === chosen));
    }
  };
  for (const section of [...sections, null]) {
    const button = document.createElement("button");
    button.section = section;
    // Of "Averaged over the 3 forgotten classes; ± is over ..." the first part.
    button.textContent = section ? section.querySelector("h3").textContent.split("; ± ")[0] : "all";
    button.onclick = () => choose(section);
    place.append(button);
  }
  choose(sections[0]);
}

// ---- dots name themselves; a click keeps the text, to copy the command ----

const tip = document.getElementById("tip");
let isKept = false;  // by a click

function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function middle(dot) {
  const box = dot.querySelector(":scope > *").getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

function inSamePlace(dot) {  // the methods whose dots lie where this one does
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
  const others = inSamePlace(dot);
  if (others.length) tip.append(line("span", `in the same place: ${others.join(", ")}`));
  if (dot.dataset.command) tip.append(line("code", dot.dataset.command));
  tip.hidden = false;
  const box = dot.getBoundingClientRect();
  const widest = document.documentElement.clientWidth - tip.offsetWidth - 16;
  tip.style.left = `${Math.max(16, Math.min(box.left, widest)) + scrollX}px`;
  tip.style.top = `${box.bottom + 8 + scrollY}px`;
}

function hideTip() {
  isKept = false;
  tip.hidden = true;
}

for (const dot of document.querySelectorAll(".dot")) {
  dot.setAttribute("aria-label", dot.querySelector("title").textContent);
  dot.querySelector("title").remove();  // it would be shown as well
  dot.onmouseenter = () => { if (!isKept) showTip(dot); };
  dot.onmouseleave = () => { if (!isKept) hideTip(); };
  dot.onfocus = () => { isKept = false; showTip(dot); };
  dot.onblur = () => { if (!isKept) hideTip(); };
  dot.onclick = () => { isKept = true; showTip(dot); };
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
document.addEventListener("click", (event) => {
  const isOutside = !event.target.closest(".dot, #tip");
  if (isKept && isOutside) hideTip();
});
