// The same in words and numbers: workers, evaluations, the test, settings and what happened.
"use strict";

const tables = (() => {
  const { short, percent } = charts;

  function cell(tag, content, kind) {
    const made = document.createElement(tag);
    made.textContent = content;
    if (kind) made.className = kind;
    return made;
  }

  // `rows` are lists of texts; `text` are the columns whose texts may be long.
  function fill(id, caption, head, rows, text = [], kinds = []) {
    const table = document.getElementById(id);
    const header = document.createElement("tr");
    header.append(...head.map((title, at) => { const made = cell("th", title, text.includes(at) ? "text" : ""); made.scope = "col"; return made; }));
    const body = rows.map((row, index) => {
      const line = document.createElement("tr");
      if (kinds[index]) line.className = kinds[index];
      line.append(...row.map((value, at) => cell("td", value, text.includes(at) ? "text" : "")));
      return line;
    });
    const parts = ["thead", "tbody"].map(tag => document.createElement(tag));
    parts[0].append(header);
    parts[1].append(...body);
    table.replaceChildren(cell("caption", caption), ...parts);
  }

  const bytes = count => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    const power = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0;
    return `${(count / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
  };

  function duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  }

  function workers(status, now) {
    const members = status.workers.filter(row => row.state === "member" && row.leaf_ms != null);
    const slowest = members.length > 1 ? members.reduce((one, other) => other.leaf_ms > one.leaf_ms ? other : one) : null;
    const order = { member: 0, spare: 1, gone: 2 };
    const rows = [...status.workers].sort((one, other) => order[one.state] - order[other.state] || one.name.localeCompare(other.name, "en", { numeric: true }));
    const cells = rows.map(row => {
      const stay = row.stays.at(-1);
      const state = row.state === "gone" ? `${stay.why} (${timeline.clock(stay.to)})` : `${row.state} for ${duration(now - stay.from)}`;
      return [
        row.name, row === slowest ? `${state}; slowest now` : state, row.leaf_ms == null ? "" : `${row.leaf_ms.toFixed(1)} ms`,
        row.pieces.toLocaleString("en"), String(row.late), row.cores == null ? "" : row.cores.toFixed(2), duration(row.cpu_seconds),
        bytes(row.resident_bytes), bytes(row.received_bytes), bytes(row.sent_bytes),
      ];
    });
    const head = ["worker", "state", "micro-batch", "pieces", "late", "cores", "CPU time", "memory", "gradients", "sent to it"];
    fill("workers", `Workers (${members.length} compute)`, head, cells, [1], rows.map(row => row.state));
  }

  function evaluations(state) {
    const rows = state.evaluations.slice(-200).reverse().map(own => [
      own.kind + (own.weights === "last" ? "" : ` (${own.weights})`) + (own.views ? " (views)" : ""), String(own.epoch), String(own.step),
      own.loss.toFixed(4), percent(own.accuracy), percent(own.macro_f1), own.best ? "yes" : "",
    ]);
    fill("evaluations", "Evaluations, newest first", ["data", "epoch", "step", "loss", "accuracy", "macro F1", "best"], rows);
    const { curve } = state, count = curve.step.length;
    const last = [...Array(Math.min(count, 50)).keys()].map(back => count - 1 - back);
    fill("steps", "Last steps, newest first", ["step", "time", "loss", "accuracy", "learning rate", "gradient norm", "samples/s", "workers"], last.map(at => [
      String(curve.step[at]), timeline.clock(curve.time[at]), short(curve.loss[at]), percent(curve.accuracy[at]),
      short(curve.learning_rate[at]), short(curve.grad_norm[at]), short(curve.samples_per_s[at]), String(curve.workers[at]),
    ]));
  }

  function test(state) {
    const { test } = state;
    document.getElementById("test").hidden = !test;
    if (!test) return;
    fill("classes", "Quality of each class", ["class", "precision", "recall", "F1", "samples"], test.classes.map((own, at) => [
      own.name || String(at), own.precision.toFixed(4), own.recall.toFixed(4), own.f1.toFixed(4), own.support.toLocaleString("en"),
    ]));
    const names = test.classes.map((own, at) => own.name || String(at));
    if (!test.confusion.length) return document.getElementById("confusion").replaceChildren(cell("caption", "There are too many classes for a matrix."));
    fill("confusion", "Confusion (row: true class, column: predicted class)", ["true class", ...names], test.confusion.map((row, at) => [names[at], ...row.map(count => count ? String(count) : "")]));
    const lines = document.querySelectorAll("#confusion tbody tr");
    test.confusion.forEach((row, at) => {
      const largest = Math.max(1, ...row.filter((_, column) => column !== at));
      row.forEach((count, column) => {
        if (!count) return;
        const share = column === at ? 0.16 : 0.12 + 0.3 * count / largest;
        lines[at].children[column + 1].style.background = `color-mix(in srgb, var(${column === at ? "--three" : "--two"}) ${Math.round(100 * share)}%, transparent)`;
      });
    });
  }

  function mistakes({ mistakes }) {
    document.getElementById("mistaken").hidden = !mistakes;
    if (!mistakes) return;
    const { count, worst } = mistakes;
    document.getElementById("mistakes-count").textContent = count
      ? `${worst.length} of ${count.toLocaleString("en")} test samples that the model gets wrong, those first of whose answer it is surest.`
      : "The model gets every test sample right.";
    document.getElementById("mistakes").replaceChildren(...worst.map(own => {
      const item = document.createElement("li"), words = `${own.class}, taken for ${own.answer} at ${percent(own.probability)}`;
      if (own.picture) {
        const picture = document.createElement("img");
        picture.src = own.picture;
        picture.alt = `test sample ${own.index}`;
        item.append(picture);
      }
      item.append(cell("span", words), cell("span", `sample ${own.index}`, "quiet"));
      return item;
    }));
  }

  function settings(run) {
    if (run) fill("config", "What the numbers depend on", ["setting", "value"], Object.entries(run.config), [1]);
  }

  function message({ time, is_warning, text }) {
    const line = document.createElement("li");
    const at = cell("time", timeline.clock(time));
    at.dateTime = new Date(1000 * time).toISOString();
    line.append(at, cell("span", text, is_warning ? "warn" : ""));
    return line;
  }

  // Newest first; old ones go.
  function messages(all, fresh) {
    const list = document.getElementById("messages");
    if (fresh) list.prepend(...fresh.map(message).reverse());
    else list.replaceChildren(...all.map(message).reverse());
    while (list.children.length > 200) list.lastChild.remove();
  }

  return { workers, evaluations, test, mistakes, settings, messages, duration };
})();
