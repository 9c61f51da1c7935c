// The playground: sends a request to the service whenever it is edited, and shows the items in their order.
// All that comes from data is set as text, never as markup.

const DELAY_MS = 150;
const NUM_EXPLAINED = 10;
const NUM_SUMMANDS = 12;

const byId = (id) => document.getElementById(id);
let start = null;
let timer = 0;
let edits = 0;
const placesOf = new Map(); // the places of the items in the ranking before, by version

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

async function call(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `the service answered ${response.status}`);
  return answer;
}

function showProblem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** A field for a context feature: a number, a text, or a text area with a value a line. */
function featureField(feature) {
  const label = make("label", feature.name, "field");
  const input = document.createElement(feature.list ? "textarea" : "input");
  if (feature.list) {
    label.firstChild.textContent += ", one value a line";
    input.rows = 5;
  } else if (feature.numeric) {
    input.type = "number";
    input.step = "any";
  }
  input.spellcheck = false;
  input.dataset.feature = feature.name;
  label.append(input);
  return label;
}

function fillContext(context) {
  for (const input of byId("features").querySelectorAll("[data-feature]")) {
    const value = context[input.dataset.feature] ?? "";
    input.value = Array.isArray(value) ? value.join("\n") : value;
  }
}

/** The context of the fields; a field without a value is a missing value. A value that is no number is an error. */
function context() {
  const found = {};
  for (const { name, numeric, list } of start.features) {
    const input = byId("features").querySelector(`[data-feature="${CSS.escape(name)}"]`);
    if (input.validity.badInput) throw new Error(`${name} must be a number`);
    const values = lines(input.value).map((text) => (numeric ? Number(text) : text));
    if (values.some((value) => Number.isNaN(value))) throw new Error(`${name} must have a number a line`);
    if (values.length) found[name] = list ? values : values[0];
  }
  return found;
}

const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(3);

/** The summands of an explanation, the strongest first. */
function summands(explanation) {
  const parts = ["wide", "deep"].flatMap((part) => explanation[part].map((summand) => ({ part, ...summand })));
  return parts.sort((a, b) => Math.abs(b.logit) - Math.abs(a.logit));
}

function explanationTable(explanation) {
  const table = document.createElement("table");
  table.append(make("caption", `Base rate ${explanation.base_rate.toFixed(4)}`));
  const add = (cells, tag = "td") => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => make(tag, cell)));
    table.append(row);
  };
  add(["Part", "Feature", "Value", "Logit"], "th");
  for (const cell of table.querySelectorAll("th")) cell.scope = "col";
  const all = summands(explanation);
  add(["base", "bias and baseline", "", signed(explanation.bias + explanation.deep_baseline_logit)]);
  for (const { part, feature, value, logit } of all.slice(0, NUM_SUMMANDS)) add([part, feature, value, signed(logit)]);
  const rest = all.slice(NUM_SUMMANDS);
  if (rest.length) add(["", `${rest.length} others`, "", signed(rest.reduce((sum, { logit }) => sum + logit, 0))]);
  add(["deep", "gap of the integration", "", signed(explanation.gap)]);
  return table;
}

function itemElement(item, place, before) {
  const element = document.createElement("li");
  element.dataset.item = item.id;
  const row = make("div", "", "row");
  const id = make("span", item.id, "id");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = item.score;
  bar.setAttribute("aria-hidden", "true");
  id.append(bar);
  const moved = before === undefined ? 0 : before - place;
  const change = make("span", moved ? (moved > 0 ? `▲ ${moved}` : `▼ ${-moved}`) : "", "change");
  if (moved) {
    change.classList.add(moved > 0 ? "up" : "down");
    change.setAttribute("aria-label", `${moved > 0 ? "up" : "down"} ${Math.abs(moved)}`);
    change.setAttribute("role", "img");
  }
  row.append(make("span", String(place), "place"), id, change, make("span", item.score.toFixed(4), "score"));
  element.append(row);
  return element;
}

function addReasons(list, explained) {
  const byItem = new Map(explained.items.map((item) => [item.id, item.explanation]));
  for (const element of list.children) {
    const explanation = byItem.get(element.dataset.item);
    if (!explanation) continue;
    const strongest = summands(explanation).slice(0, 2);
    const details = document.createElement("details");
    const words = strongest.map(({ feature, value, logit }) => `${feature} ${value} ${signed(logit)}`);
    details.append(make("summary", `Why: ${words.join("; ") || "the base rate alone"}`), explanationTable(explanation));
    element.append(details);
  }
}

function versionElement(answer) {
  const key = byId("second-version").value ? answer.version : 0; // changing the only version shows what moved, too
  const before = placesOf.get(key) ?? new Map();
  placesOf.set(key, new Map(answer.items.map((item, i) => [item.id, i + 1])));
  const element = make("section", "", "version");
  element.dataset.version = answer.version;
  const heading = make("h2", `Version ${answer.version}`);
  heading.id = `version-${answer.version}`;
  element.setAttribute("aria-labelledby", heading.id);
  const list = make("ol", "", "items");
  const shown = Math.max(1, byId("shown").valueAsNumber || 1);
  answer.items.slice(0, shown).forEach((item, i) => list.append(itemElement(item, i + 1, before.get(item.id))));
  element.append(heading, list);
  for (const warning of answer.warnings ?? []) element.append(make("p", warning));
  return element;
}

async function update() {
  const number = edits;
  const began = performance.now();
  try {
    const candidates = [...new Set(lines(byId("candidates").value))];
    if (!candidates.length) throw new Error("there must be a candidate: an item id a line");
    const request = { context: context(), candidates };
    const chosen = [...new Set([byId("first-version").value, byId("second-version").value])].filter(Boolean).map(Number);
    const answers = await Promise.all(chosen.map((version) => call("rank", { ...request, version })));
    if (number !== edits) return; // the request has been edited meanwhile, and is sent again
    const elements = answers.map(versionElement);
    byId("tables").classList.toggle("two", answers.length > 1);
    byId("tables").replaceChildren(...elements);
    showProblem("");
    const milliseconds = performance.now() - began;
    const first = answers.map(({ version, items }) => `${items[0].id} is first by version ${version}`).join(", ");
    byId("status").textContent = `${candidates.length} items ranked in ${milliseconds.toFixed(0)} ms; ${first}.`;
    document.body.dataset.milliseconds = milliseconds.toFixed(1);
    document.body.dataset.ranked = number;
    if (start.explains) await explain(request, answers, elements, number);
  } catch (error) {
    if (number === edits) showProblem(error.message);
  }
}

async function explain(request, answers, elements, number) {
  for (const [i, answer] of answers.entries()) {
    const best = answer.items.slice(0, NUM_EXPLAINED).map((item) => item.id);
    const explained = await call("rank", { ...request, candidates: best, version: answer.version, explain: true });
    if (number !== edits) return;
    addReasons(elements[i].querySelector("ol"), explained);
  }
  document.body.dataset.explained = number;
}

function option(value, text) {
  const element = make("option", text);
  element.value = value;
  return element;
}

async function begin() {
  start = await call("start");
  byId("model").textContent = start.model;
  byId("features").append(...start.features.map(featureField));
  const name = (value, i) => `Example ${i + 1}${value.user_id ? `, user ${value.user_id}` : ""}`;
  byId("example").append(...start.contexts.map((value, i) => option(i, name(value, i))));
  byId("example-field").hidden = !start.contexts.length;
  byId("candidates").value = start.candidates.join("\n");
  byId("first-version").append(...start.versions.map((version) => option(version, `Version ${version}`)));
  byId("second-version").append(option("", "none"));
  byId("second-version").append(...start.versions.map((version) => option(version, `Version ${version}`)));
  if (start.contexts.length) fillContext(start.contexts[0]);
  byId("example").addEventListener("change", () => fillContext(start.contexts[byId("example").value]));
  const later = () => {
    document.body.dataset.edited = ++edits;
    clearTimeout(timer);
    timer = setTimeout(update, DELAY_MS);
  };
  byId("request").addEventListener("input", later);
  byId("request").addEventListener("change", later);
  byId("request").addEventListener("submit", (event) => event.preventDefault());
  byId("status").textContent = "";
  document.body.dataset.edited = edits;
  await update();
}

begin().catch((error) => showProblem(error.message));
