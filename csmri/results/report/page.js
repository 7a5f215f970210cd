// Colours and the read-out of the learning curves. `csmri` is what the parts of the page share.
const csmri = { data: JSON.parse(document.getElementById("data").textContent) };

(() => {
  "use strict";
  const themes = { "": ["Auto", "as the system"], light: ["Light", "light"], dark: ["Dark", "dark"] };
  const button = document.getElementById("theme");
  const root = document.documentElement;

  function recall() {
    try {
      return localStorage.getItem("csmri-theme") || "";
    } catch {
      return ""; // a browser may refuse storage to a page from disk
    }
  }

  function choose(theme) {
    if (!(theme in themes)) theme = "";
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    button.textContent = themes[theme][0];
    button.setAttribute("aria-label", `Colours: ${themes[theme][1]}`);
    try {
      localStorage.setItem("csmri-theme", theme);
    } catch {
      // it lasts until the page is closed
    }
  }

  choose(recall());
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    choose(names[(names.indexOf(root.dataset.theme || "") + 1) % names.length]);
  });
})();

(() => {
  "use strict";
  const plot = document.getElementById("curves");
  if (!plot) return;
  const curves = csmri.data.curves;
  const epochs = [...new Set(curves.flatMap((curve) => curve.epochs))].sort((a, b) => a - b);
  const read = document.getElementById("epoch");
  const outputs = [...plot.querySelectorAll("[data-curve]")];
  const format = (value) => value.toPrecision(3);

  function show(epoch) {
    read.textContent = epoch ?? "–";
    for (const output of outputs) {
      const curve = curves[output.dataset.curve];
      const at = curve.epochs.indexOf(epoch ?? curve.epochs.at(-1));
      output.textContent = at < 0 ? "–" : format(curve.mean[at]);
      output.title = at < 0 ? "" : `${format(curve.low[at])} to ${format(curve.high[at])}`;
    }
    if (epoch === undefined) read.textContent = "last";
    for (const svg of plot.querySelectorAll("svg")) {
      const cross = svg.querySelector(".cross");
      const { left, right, last } = svg.dataset;
      const share = last > 1 ? Math.log(epoch) / Math.log(last) : 0.5;
      const x = Number(left) + share * (right - left);
      cross.setAttribute("visibility", epoch === undefined ? "hidden" : "visible");
      if (epoch !== undefined) {
        cross.setAttribute("x1", x);
        cross.setAttribute("x2", x);
      }
    }
  }

  for (const svg of plot.querySelectorAll("svg")) {
    svg.addEventListener("pointermove", (event) => {
      const frame = svg.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
      const { left, right, last } = svg.dataset;
      const epoch = Math.exp(((x - left) / (right - left)) * Math.log(last));
      show(epochs.reduce((a, b) => (Math.abs(Math.log(b / epoch)) < Math.abs(Math.log(a / epoch)) ? b : a)));
    });
    svg.addEventListener("pointerleave", () => show());
  }
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = epochs.indexOf(Number(read.textContent));
    show(epochs[at < 0 ? (step > 0 ? 0 : epochs.length - 1) : Math.min(Math.max(at + step, 0), epochs.length - 1)]);
  });
  plot.addEventListener("blur", () => show());
  show();
})();
