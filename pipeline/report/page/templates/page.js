"use strict";
// Draws the charts in the page's colours, again whenever these change from light to dark.
(() => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const charts = document.querySelectorAll(".chart");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const config = () => ({
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      labelColor: colour("--quiet"), titleColor: colour("--quiet"), gridColor: colour("--line"),
      domainColor: colour("--line"), tickColor: colour("--line"), labelFontSize: 11, titleFontSize: 11,
      titleFontWeight: "normal", gridOpacity: 0.7,
    },
    legend: {
      labelColor: colour("--text"), labelFontSize: 12, symbolStrokeWidth: 2, symbolType: "square",
      columns: window.innerWidth < 600 ? 1 : 0, // on a phone, below each other
    },
    range: {
      category: ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"].map(colour),
    },
  });

  const drawOne = async (place, spec) => {
    if (place.clientWidth === 0) return; // in what is shown on request, which draws it when it is opened
    await window.vegaEmbed(place, spec, {
      actions: false, ast: true, config: config(), defaultStyle: false, renderer: "svg",
    });
    place.querySelector("svg").setAttribute("aria-hidden", "true"); // the figure has its words and its table
  };

  const draw = () => Promise.all(Array.from(charts, (place, i) => drawOne(place, specs[i]))).then(() => true);

  const folds = Array.from(document.querySelectorAll(".fold"));
  if (window.matchMedia("(max-width: 640px)").matches) {
    document.querySelectorAll(".part").forEach((part) => { part.open = false; folds.push(part); });
  }
  window.drawn = draw();
  dark.addEventListener("change", () => { window.drawn = draw(); });
  folds.forEach((fold) => fold.addEventListener("toggle", () => {
    if (fold.open) window.drawn = draw();
  }));
})();
