"use strict";
const byId = (id) => document.getElementById(id);
// Every name is told once, before all rows, and so are texts that repeat.
const named = ({ names, texts, rows }) =>
  rows.map((row) => Object.fromEntries(names.map((name, index) => [name, texts[index].length ? texts[index][row[index]] : row[index]])));
const data = (id) => JSON.parse(byId(id)?.textContent ?? "null", (_, value) => (value?.names && value.rows ? named(value) : value));
for (const element of document.querySelectorAll(".script-only")) element.hidden = false;
for (const element of document.querySelectorAll(".no-script")) element.hidden = true;

// A command is copied by a button behind it; a click on the command itself marks it whole.
function makeCopyable(code) {
  if (!navigator.clipboard) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${code.textContent}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  });
  code.after(" ", button);
}
document.querySelectorAll(".choice code").forEach(makeCopyable);

// Sorting: a number sorts by its value, whatever stands behind it, and what was not measured comes last.
const number = (text) => Number.parseFloat(text.replaceAll(",", "").replace(/^[<≤]/, ""));
function order(left, right, direction) {
  const [one, other] = [number(left), number(right)];
  if (Number.isNaN(one) || Number.isNaN(other)) {
    if (left === "-" || right === "-") return (left === "-") - (right === "-");
    return direction * left.localeCompare(right, "en", { numeric: true });
  }
  return direction * (one - other);
}
function sortBy(header, column) {
  const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const body = header.closest("table").tBodies[0];
  const rows = [...body.rows].map((row) => [row, row.cells[column].textContent]);
  rows.sort((left, right) => order(left[1], right[1], direction));
  body.append(...rows.map(([row]) => row));
  for (const other of header.parentElement.cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
}
function makeSortable(table) {
  for (const [column, header] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortBy(header, column));
  }
}
for (const table of document.querySelectorAll("main table")) if (table.id !== "advice-table") makeSortable(table);

// Filter: the rows of all tables of the section, with how many are left.
const filter = byId("filter");
function showRows() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const details of document.querySelectorAll("details.table")) {
    let here = 0;
    for (const row of details.querySelector("tbody").rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      here += !row.hidden;
    }
    shown += here;
    const all = details.querySelector("tbody").rows.length;
    details.querySelector(".count").textContent = words.length ? `${here} of ${all} rows` : `${all} rows`;
    details.hidden = words.length > 0 && here === 0;
  }
  byId("filter-count").textContent = words.length ? `${shown} rows in all tables` : "";
}
filter?.addEventListener("input", showRows);

// Advice: three limits over the cases of a task.
const options = data("options") ?? [];
const LARGEST_DROP = 0.1;
const shownCases = 12;
function scale(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)].map(Math.log);
  return (percent) => (percent >= 100 ? Infinity : Math.exp(least + (percent / 100) * (most - least)));
}
const digits = (value, most) => value.toLocaleString("en", { maximumSignificantDigits: most });
const signed = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(4)}`;
function cells(option) {
  const interval = option.drop_ci95 ? ` [${signed(option.drop_ci95[0])}, ${signed(option.drop_ci95[1])}]` : "";
  return [
    option.case,
    `${Math.round(option.size_bytes).toLocaleString("en")} (${option.smaller.toFixed(1)}x smaller)`,
    option.latency_s === null ? "not timed" : `${digits(option.latency_s * 1e3, 3)}${option.speedup === null ? "" : ` (${option.speedup.toFixed(2)}x)`}`,
    option.accuracy.toFixed(4),
    signed(option.drop) + interval,
    option.energy_j === null ? "-" : `${digits(option.energy_j, 2)} (${option.energy_source})`,
    option.is_on_front ? "on the front" : "",
    option.settings,
    option.command,
  ];
}
function fill(row, texts) {
  for (const [index, text] of texts.entries()) {
    const cell = row.appendChild(document.createElement(index ? "td" : "th"));
    if (!index) cell.scope = "row";
    const target = index === texts.length - 1 ? cell.appendChild(document.createElement("code")) : cell;
    target.textContent = text;
    if (target !== cell) makeCopyable(target);
  }
}
function advise() {
  const task = byId("advice-task").value;
  const cases = options.filter((option) => option.task === task);
  const timed = cases.map((option) => option.latency_s).filter((value) => value !== null);
  const bytes = scale(cases.map((option) => option.size_bytes))(Number(byId("advice-bytes").value));
  const latency = timed.length ? scale(timed)(Number(byId("advice-latency").value)) : Infinity;
  const percent = Number(byId("advice-drop").value);
  const drop = percent >= 100 ? Infinity : (LARGEST_DROP * percent) / 100;
  const limited = (value, text) => (value === Infinity ? "any" : text);
  byId("advice-bytes-shown").textContent = limited(bytes, `at most ${Math.round(bytes).toLocaleString("en")}`);
  byId("advice-latency-shown").textContent = limited(latency, `at most ${digits(latency * 1e3, 3)}`);
  byId("advice-drop-shown").textContent = limited(drop, `at most ${drop.toFixed(3)}`);
  const inTime = (option) => latency === Infinity || (option.latency_s !== null && option.latency_s <= latency * 1.0001);
  const fitting = cases.filter((option) => option.size_bytes <= bytes * 1.0001 && option.drop <= drop && inTime(option));
  const front = fitting.filter((option) => option.is_on_front);
  const best = [...front, ...fitting.filter((option) => !option.is_on_front)].slice(0, shownCases);
  const surely = fitting.filter((option) => option.drop_ci95 !== null && option.drop_ci95[1] <= drop).length;
  byId("advice-sentence").textContent = fitting.length
    ? `${fitting.length} of ${cases.length} files fit on average over their seeds, ${surely} of them with all of the 95% interval of their drop; ${front.length} are on the front.${fitting.length > best.length ? ` The first ${best.length} are shown.` : ""}`
    : `No file of ${cases.length} fits; allow more of one limit.`;
  const untimed = [...new Set(best.filter((option) => option.latency_s === null).map((option) => option.not_timed))];
  byId("advice-untimed").textContent = untimed.join("; ");
  const body = byId("advice-table").tBodies[0];
  body.replaceChildren();
  for (const option of best) fill(body.insertRow(), cells(option));
}
if (options.length && byId("advice-task")) {
  for (const task of [...new Set(options.map((option) => option.task))].sort()) byId("advice-task").add(new Option(task));
  for (const id of ["advice-task", "advice-bytes", "advice-latency", "advice-drop"]) byId(id).addEventListener("input", advise);
  advise();
}

// Figures: the picture is drawn anew when it comes into view, so that it answers to the pointer and fits its place.
function fitted(spec, width) {
  const { margin, width: least, label } = spec.usermeta;
  spec.columns = Math.max(1, Math.min(spec.concat.length, Math.floor(width / (margin + least))));
  spec.config.legend.columns = Math.max(1, Math.floor((width - margin) / label));
  for (const panel of spec.concat) panel.width = Math.max(least / 2, Math.floor(width / spec.columns) - margin);
  return spec;
}
const embedding = { actions: false, ast: true, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true } };
async function draw(chart) {
  const place = document.createElement("div");
  const result = await vegaEmbed(place, fitted(data(`spec-${chart.dataset.figure}`), chart.clientWidth - 20), embedding);
  const graphic = place.querySelector("svg");
  graphic.setAttribute("role", "img");
  graphic.setAttribute("aria-label", chart.querySelector("svg")?.getAttribute("aria-label") ?? "");
  chart.finalize?.();
  chart.finalize = () => result.finalize();
  chart.replaceChildren(place);
}
if ("IntersectionObserver" in window) {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting && window.vegaEmbed)) {
      observer.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "200px" });
  const watch = () => document.querySelectorAll(".chart").forEach((chart) => observer.observe(chart));
  let width = window.innerWidth;
  let timer;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(timer);
    timer = setTimeout(watch, 200);
  });
  window.addEventListener("load", watch);
}
performance.mark("interactive");
