"use strict";
// Puts the chosen runs side by side: a column for each, a row for each value; values that are the same are grey.
(() => {
  const { names, runs } = JSON.parse(document.getElementById("runs-data").textContent);
  const boxes = Array.from(document.querySelectorAll(".choose"));
  const place = document.getElementById("compared");
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const row = (tag, cells) => {
    const made = document.createElement("tr");
    made.append(...cells.map((text, i) => {
      const cell = element(i ? tag : "th", text);
      if (cell.tagName === "TH") cell.scope = i ? "col" : "row";
      return cell;
    }));
    return made;
  };

  const show = () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => runs[box.value]).reverse(); // the oldest first
    document.getElementById("choose-hint").hidden = chosen.length > 1;
    place.replaceChildren();
    place.hidden = chosen.length < 2;
    if (place.hidden) return;
    const table = document.createElement("table");
    const head = document.createElement("thead");
    head.append(row("th", ["run", ...chosen.map((run) => run.name)]));
    const body = document.createElement("tbody");
    names.forEach((name, i) => {
      const values = chosen.map((run) => run.values[i]);
      const made = row("td", [name, ...values]);
      if (new Set(values).size === 1) made.className = "same";
      body.append(made);
    });
    table.append(element("caption", "The chosen runs, the oldest first; what is the same is grey"), head, body);
    place.append(table);
  };
  boxes.forEach((box) => box.addEventListener("change", show));
  show(); // a browser may keep the boxes of the last visit
})();
