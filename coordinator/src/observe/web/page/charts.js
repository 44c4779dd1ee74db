// Charts of the training, by uPlot: one for each number, on one horizontal axis, with one cursor.
"use strict";

const charts = (() => {
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const PHASES = ["compute", "wait", "reduce", "optimizer"];
  const short = value => value == null || !Number.isFinite(value) ? "" : value === 0 ? "0"
    : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  const percent = value => value == null ? "" : `${(100 * value).toFixed(2)} %`;

  // The time of day, with seconds where ticks are that close.
  const clock = (time, every) => new Date(1000 * time).toLocaleTimeString("en-GB").slice(0, every < 60 ? 8 : 5);

  // Exponential mean from the left, without a pull to its beginning.
  function smooth(values, weight) {
    let mean = 0, mass = 0;
    return values.map(value => {
      if (value == null) return null;
      mean = weight * mean + (1 - weight) * value;
      mass = weight * mass + (1 - weight);
      return mean / mass;
    });
  }

  const line = (label, stroke, width, more = {}) => ({ label, stroke: () => color(stroke), width, points: { show: false }, ...more });
  const dots = label => ({ label, stroke: () => color("--two"), width: 2, spanGaps: true, points: { show: true, size: 7, fill: () => color("--two") } });

  function spread(name) {
    return {
      series: [line("largest", "--one-band", 0), line("smallest", "--one-band", 0), line("step", "--one-pale", 1), line("smoothed", "--one", 2), dots("validation")],
      bands: [{ series: [1, 2], fill: () => color("--one-band") }],
      keys: [["step", "--one-pale"], ["smoothed", "--one"], ["validation", "--two"]],
      columns: (curve, weight) => [curve[`${name}_max`], curve[`${name}_min`], curve[name], smooth(curve[name], weight)],
      evaluated: evaluation => evaluation[name],
    };
  }

  const single = (name, smoothed) => ({
    series: smoothed ? [line("step", "--one-pale", 1), line("smoothed", "--one", 2)] : [line("step", "--one", 2)],
    keys: smoothed ? [["step", "--one-pale"], ["smoothed", "--one"]] : [],
    columns: (curve, weight) => smoothed ? [curve[name], smooth(curve[name], weight)] : [curve[name]],
  });

  // Each part stands on those below it.
  const stacked = {
    series: PHASES.map((phase, at) => line(phase, ["--one", "--five", "--three", "--four"][at], 1)).reverse(),
    bands: [[1, 2], [2, 3], [3, 4]].map(([above, below]) => ({ series: [above, below], fill: () => color(["--four", "--three", "--five"][above - 1]) })),
    keys: PHASES.map((phase, at) => [phase, ["--one", "--five", "--three", "--four"][at]]),
    columns: curve => {
      let below = curve.step.map(() => 0);
      return curve.phases.map(part => below = part.map((value, at) => value == null || below[at] == null ? null : below[at] + value)).reverse();
    },
  };
  stacked.series[3].fill = () => color("--one");

  const FIGURES = [
    { name: "Loss", unit: "nats", form: short, ...spread("loss") },
    { name: "Accuracy", unit: "", form: percent, tick: value => `${Number((100 * value).toFixed(2))} %`, ...spread("accuracy") },
    { name: "Samples a second", unit: "", form: short, ...single("samples_per_s", true) },
    { name: "Time of a step", unit: "ms", form: short, ...stacked },
    { name: "Learning rate", unit: "", form: short, tick: value => String(Number(value.toPrecision(5))), ...single("learning_rate", false) },
    { name: "Gradient norm", unit: "", form: short, ...single("grad_norm", true) },
  ];

  let plots = [];

  // Between two starts of the coordinator there was no step: the line is broken there.
  function broken(columns, marks) {
    for (const { time } of marks.filter(mark => ["restart", "rollback"].includes(mark.kind))) {
      const at = columns[0].findIndex(own => own > time);
      if (at > 0) columns.forEach((column, index) => column.splice(at, 0, index === 0 ? time : null));
    }
    return columns;
  }

  function data(figure, state, axis, weight) {
    const { curve } = state;
    const columns = figure.columns(curve, weight).map(column => [...column]);
    const own = axis === "time" ? broken([[...curve.time], ...columns], state.marks) : [curve.step, ...columns];
    if (!figure.evaluated) return own;
    const points = state.evaluations.filter(point => point.kind === "validation" && point.weights === "last");
    const at = points.map(point => axis === "time" ? point.time : point.step);
    return uPlot.join([own, [at, points.map(figure.evaluated)]], [[0, 1, 1, 1, 1], [0, 1]]);
  }

  function element(figure) {
    const root = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = figure.unit ? `${figure.name} (${figure.unit})` : figure.name;
    for (const [label, variable] of figure.keys) {
      const key = document.createElement("span");
      key.className = "key";
      const swatch = document.createElement("i");
      swatch.style.background = `var(${variable})`;
      key.append(swatch, label);
      caption.append(key);
    }
    const chart = document.createElement("div");
    chart.className = "chart";
    chart.tabIndex = 0;
    chart.setAttribute("role", "img");
    root.append(caption, chart);
    return { root, chart };
  }

  function options(figure, width, axis) {
    const stroke = () => color("--quiet"), grid = { stroke: () => color("--grid"), width: 1 };
    return {
      width, height: 190, series: [{}, ...figure.series], bands: figure.bands ?? [],
      scales: { x: { time: axis === "time" } }, legend: { show: false },
      cursor: { sync: { key: "run" }, y: false, drag: { x: true, y: false } },
      axes: [
        { stroke, grid, ticks: grid, size: 32, values: axis === "time" ? (_, ticks) => ticks.map(tick => clock(tick, ticks[1] - ticks[0])) : (_, ticks) => ticks.map(tick => Number.isInteger(tick) ? tick.toLocaleString("en") : "") },
        { stroke, grid, ticks: grid, size: 76, values: (_, ticks) => ticks.map(figure.tick ?? figure.form) },
      ],
    };
  }

  // Left and right move the cursor, for those without a mouse.
  function keys(event, plot) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (!step || !plot.data[0].length) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const at = Math.max(0, Math.min(last, (plot.cursor.idx ?? last) + step));
    plot.setCursor({ left: plot.valToPos(plot.data[0][at], "x"), top: 10 });
  }

  // What the cursor is at, in words.
  function describe(plot, figure, axis) {
    const at = plot.cursor.idx;
    if (at == null) return "";
    const x = plot.data[0][at];
    const where = axis === "time" ? new Date(1000 * x).toLocaleTimeString("en-GB") : `step ${x}`;
    const values = figure.series.map((series, index) => [series.label, plot.data[index + 1][at]]);
    const shown = values.filter(([label, value]) => value != null && !["largest", "smallest"].includes(label));
    return `${figure.name}, ${where}: ${shown.map(([label, value]) => `${label} ${figure.form(value)}`).join(", ")}`;
  }

  function build(state, axis, weight) {
    const home = document.getElementById("figures"), values = document.getElementById("values");
    plots.forEach(({ plot }) => plot.destroy());
    home.replaceChildren();
    // All of them first: how wide each is depends on the others.
    const made = FIGURES.map(element);
    home.append(...made.map(({ root }) => root));
    plots = FIGURES.map((figure, index) => {
      const { chart } = made[index];
      const plot = new uPlot(options(figure, Math.max(chart.clientWidth, 200), axis), data(figure, state, axis, weight), chart);
      plot.over.addEventListener("mousemove", () => values.textContent = describe(plot, figure, axis));
      chart.addEventListener("keydown", event => { keys(event, plot); values.textContent = describe(plot, figure, axis); });
      return { figure, plot, chart };
    });
    label(state);
  }

  function update(state, axis, weight) {
    for (const { figure, plot } of plots) plot.setData(data(figure, state, axis, weight));
    label(state);
  }

  // What a screen reader says of each chart.
  function label(state) {
    for (const { figure, plot, chart } of plots) {
      const of = index => { const own = plot.data[index + 1]; return own.findLast(value => value != null); };
      const shown = figure.series.map((series, index) => [series.label, of(index)]).filter(([name, value]) => value != null && !["largest", "smallest"].includes(name));
      chart.setAttribute("aria-label", `${figure.name} over ${state.curve.step.length} points; last: ${shown.map(([name, value]) => `${name} ${figure.form(value)}`).join(", ") || "nothing yet"}. Left and right move the cursor.`);
    }
  }

  function resize() {
    for (const { plot, chart } of plots) plot.setSize({ width: Math.max(chart.clientWidth, 200), height: 190 });
  }

  return { build, update, resize, short, percent };
})();
