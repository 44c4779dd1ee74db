// Follows the run: everything once, then what is new, and a word if nothing comes any more.
"use strict";

(() => {
  const POINTS_MORE = 3000, BARS = 4096, SILENT = 4;
  const by = id => document.getElementById(id);
  const chosen = name => document.querySelector(`input[name=${name}]:checked`).value;
  const STATES = {
    preparing: "preparing", waiting: "waiting for workers", training: "training", stopping: "stopping",
    complete: "complete", stopped: "stopped; the same command goes on",
  };
  let state = null, source = null, heard = Date.now(), ahead = 0, points = 0, drawn = null, over = false;

  const now = () => Date.now() / 1000 + ahead;
  const weight = () => Number(by("smoothing").value);

  function hear(status) {
    heard = Date.now();
    ahead = status.now - heard / 1000;
    by("stale").hidden = true;
  }

  function everything(event) {
    state = JSON.parse(event.data);
    points = 0;
    hear(state.status);
    charts.build(state, chosen("axis"), weight());
    tables.messages(state.messages);
    tables.settings(state.run);
    tables.test(state);
    tables.mistakes(state);
    show();
  }

  function isNew(event) {
    const update = JSON.parse(event.data);
    if (!state) return;
    hear(update.status);
    state.status = update.status;
    const { curve } = update, last = state.curve.step.at(-1) ?? -1;
    const first = curve.step.findIndex(step => step > last);
    if (first >= 0) append(state.curve, curve, first);
    for (const list of ["evaluations", "marks", "messages", "bars"]) state[list].push(...update[list]);
    state.bars.splice(0, Math.max(0, state.bars.length - BARS));
    if (update.messages.length) tables.messages(state.messages, update.messages);
    // The server merges what is long past: it is asked for everything again from time to time.
    points += Math.max(0, curve.step.length - Math.max(first, 0));
    if (points > POINTS_MORE) return connect();
    show();
  }

  function append(to, from, first) {
    for (const [name, column] of Object.entries(from)) {
      if (name === "phases") column.forEach((part, at) => to.phases[at].push(...part.slice(first)));
      else to[name].push(...column.slice(first));
    }
  }

  function numbers() {
    const { run, status, curve, evaluations } = state, at = curve.step.length - 1;
    const validation = evaluations.findLast(own => own.kind === "validation" && own.weights === "last");
    const tested = evaluations.findLast(own => own.kind === "test" && own.weights === "last" && !own.views);
    const members = status.workers.filter(row => row.state === "member").length, spares = status.workers.filter(row => row.state === "spare").length;
    const checkpoint = state.marks.findLast(mark => mark.kind === "checkpoint");
    const epoch = run ? Math.min(run.epochs, Math.floor(status.steps_done / Math.max(1, run.steps_per_epoch)) + 1) : 0;
    const all = [
      ["step", run ? `${status.steps_done.toLocaleString("en")} of ${run.steps_total.toLocaleString("en")}` : ""],
      ["epoch", run ? `${epoch} of ${run.epochs}` : ""],
      ["time left", status.eta_s == null ? "–" : tables.duration(status.eta_s)],
      ["loss", at < 0 ? "–" : charts.short(curve.loss[at])],
      tested ? ["test accuracy", charts.percent(tested.accuracy)] : ["validation accuracy", validation ? charts.percent(validation.accuracy) : "–"],
      ["samples a second", at < 0 ? "–" : charts.short(curve.samples_per_s[at])],
      ["last checkpoint", checkpoint ? `${tables.duration(now() - checkpoint.time)} ago` : "–"],
      ["workers", `${members}${spares ? ` and ${spares} spare` : ""}`],
    ];
    by("numbers").replaceChildren(...all.map(([name, value]) => {
      const box = document.createElement("div");
      const [term, text] = ["dt", "dd"].map(tag => document.createElement(tag));
      [term.textContent, text.textContent] = [name, value];
      box.append(term, text);
      return box;
    }));
  }

  function head() {
    const { run, status } = state;
    const failed = typeof status.state === "object";
    const word = failed ? `failed: ${status.state.failed}` : STATES[status.state];
    if (by("state").textContent !== word) by("state").textContent = word;
    by("state").className = `state ${failed || status.state === "waiting" ? "warn" : status.state === "complete" ? "good" : ""}`;
    if (!run) return;
    const share = status.steps_done / Math.max(1, run.steps_total);
    by("name").textContent = `Run ${run.run_id}`;
    const join = status.connect.length ? ` Workers join by: worker --connect ${status.connect[0]}` : "";
    by("about").textContent = `${run.config.dataset}: ${run.train_samples.toLocaleString("en")} samples; ${run.parameters.toLocaleString("en")} parameters; ${run.config.optimizer?.split("(")[0] ?? ""}.${join}`;
    by("progress").value = share;
    document.title = `${Math.floor(100 * share)} % ${word.split(":")[0].split(";")[0]} · Lockstep`;
  }

  function show() {
    cancelAnimationFrame(drawn);
    drawn = requestAnimationFrame(() => {
      head();
      numbers();
      charts.update(state, chosen("axis"), weight());
      timeline.draw(state, chosen("range"), now());
      tables.workers(state.status, now());
      if (document.querySelector("details").open) tables.evaluations(state);
    });
  }

  function connect() {
    source?.close();
    source = new EventSource("/api/events");
    source.addEventListener("snapshot", everything);
    source.addEventListener("update", isNew);
    // Of a run that was stopped, the same command goes on.
    source.addEventListener("end", () => { if (state?.status.state === "complete") { over = true; source.close(); } });
  }

  function watch() {
    const silent = Math.round((Date.now() - heard) / 1000);
    if (source.readyState === EventSource.CLOSED && !over) connect();
    if (silent < SILENT) return;
    const isOver = state && ["complete", "stopped"].includes(state.status.state) || typeof state?.status.state === "object";
    by("stale").hidden = false;
    by("stale").textContent = isOver ? "The coordinator has ended. This page shows what it said last."
      : `No word from the coordinator for ${tables.duration(silent)}. If it was killed, the same command goes on, and so does this page.`;
  }

  document.querySelectorAll("input[name=axis]").forEach(input => input.addEventListener("change", () => state && charts.build(state, chosen("axis"), weight())));
  document.querySelectorAll("input[name=range]").forEach(input => input.addEventListener("change", () => state && show()));
  by("smoothing").addEventListener("input", () => state && show());
  document.querySelector("details").addEventListener("toggle", () => state && show());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state && charts.build(state, chosen("axis"), weight()));
  let resizing = null;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => { charts.resize(); if (state) show(); }, 150); });
  connect();
  setInterval(watch, 1000);
})();
