// The cluster on a time axis, as SVG: who computed what in the last seconds, or who was there in the whole
// run.
"use strict";

const timeline = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const ROWS = 40, HEIGHT = 20, LABEL = 110, RECENT = 10, AXIS = 24;

  function node(name, attributes, text) {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const titled = (made, text) => { made.append(node("title", {}, text)); return made; };
  const clock = time => new Date(1000 * time).toLocaleTimeString("en-GB");

  // Those that are there first; of the others those that went last.
  function rows(workers) {
    const end = row => row.stays.at(-1)?.to ?? Infinity;
    const shown = [...workers].sort((one, other) => end(other) - end(one) || one.id - other.id).slice(0, ROWS);
    return shown.sort((one, other) => (one.state === "gone") - (other.state === "gone") || one.name.localeCompare(other.name, "en", { numeric: true }));
  }

  function ticks(svg, from, to, x, bottom, width, word) {
    const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
    const every = steps.find(step => (to - from) / step <= width / 90) ?? 604800;
    for (let at = Math.ceil(from / every) * every; at <= to; at += every) {
      svg.append(node("line", { class: "tick", x1: x(at), x2: x(at), y1: 0, y2: bottom }));
      const anchor = x(at) > svg.viewBox.baseVal.width - 40 ? "end" : "middle";
      svg.append(node("text", { x: x(at), y: bottom + 16, "text-anchor": anchor }, word(at)));
    }
  }

  // One path for all bars of a class, since there may be thousands.
  function paths(svg, bars, x, y) {
    const lists = new Map();
    for (const { kind, row, from, to, low } of bars) {
      const [left, right] = [x(from), Math.max(x(to), x(from) + 0.75)];
      const top = y(row) + (low ? HEIGHT / 2 : 3), height = low ? HEIGHT / 2 - 3 : HEIGHT - 6;
      const own = `M${left.toFixed(1)} ${top}h${(right - left).toFixed(1)}v${height}h${(left - right).toFixed(1)}z`;
      lists.set(kind, (lists.get(kind) ?? "") + own);
    }
    for (const [kind, path] of lists) svg.append(node("path", { class: kind, d: path }));
  }

  function recent(svg, state, shown, now, x, y) {
    const index = new Map(shown.map((row, at) => [row.id, at]));
    const bars = state.bars.filter(bar => bar.to > now - RECENT && index.has(bar.worker));
    paths(svg, bars.map(bar => ({
      row: index.get(bar.worker), from: Math.max(bar.from, now - RECENT), to: bar.to, low: bar.is_backup,
      kind: !bar.is_used ? "unused" : bar.is_backup ? "backup" : bar.kind === "train" ? "train" : "other",
    })), x, y);
  }

  function whole(svg, state, shown, now, x, y) {
    for (const [at, row] of shown.entries()) for (const stay of row.stays) {
      const [from, to] = [x(stay.from), Math.max(x(stay.to ?? now), x(stay.from) + 1)];
      const bar = node("rect", { class: stay.is_spare ? "spare" : "member", x: from, y: y(at) + 3, width: to - from, height: HEIGHT - 6 });
      svg.append(titled(bar, `${row.name}: ${clock(stay.from)} to ${stay.to ? `${clock(stay.to)}, ${stay.why}` : "now"}`));
      if (stay.to && stay.why?.startsWith("dropped")) {
        const death = node("path", { class: "death", d: `M${to - 4} ${y(at) + 3}h8l-4 ${HEIGHT - 6}z` });
        svg.append(titled(death, `${row.name} at ${clock(stay.to)}: ${stay.why}`));
      }
    }
  }

  function marks(svg, state, from, to, x, bottom) {
    for (const mark of state.marks) {
      if (mark.time < from || mark.time > to) continue;
      const kind = ["restart", "rollback", "checkpoint_failed"].includes(mark.kind) ? "restart" : "mark";
      const line = node("line", { class: kind, x1: x(mark.time), x2: x(mark.time), y1: 0, y2: bottom, "stroke-dasharray": mark.kind === "checkpoint" ? "2 4" : "none" });
      svg.append(titled(line, `${mark.kind.replace("_", " ")} at step ${mark.step}, ${clock(mark.time)}`));
    }
  }

  function draw(state, range, now) {
    const home = document.getElementById("timeline"), legend = document.getElementById("legend");
    const shown = rows(state.status.workers), width = Math.max(home.clientWidth, 280);
    const label = Math.min(LABEL, width / 4), bottom = Math.max(shown.length, 1) * HEIGHT;
    const begins = [...state.marks.slice(0, 1).map(mark => mark.time), ...shown.flatMap(row => row.stays[0]?.from ?? [])];
    const from = range === "recent" ? now - RECENT : Math.min(now - 1, ...begins), to = now;
    const x = time => label + (time - from) / (to - from) * (width - label - 2), y = row => row * HEIGHT;
    const svg = node("svg", { viewBox: `0 0 ${width} ${bottom + AXIS}`, role: "img" });
    const here = shown.filter(row => row.state === "member").map(row => row.name);
    svg.setAttribute("aria-label", `Timeline of ${state.status.workers.length} workers. Members now: ${here.join(", ") || "none"}. The table below has the same in words.`);
    ticks(svg, from, to, x, bottom, width - label, at => range === "recent" ? `${Math.round(at - now)} s` : clock(at).slice(0, to - from > 600 ? 5 : 8));
    for (const [at, row] of shown.entries()) {
      const name = row.name.length > 15 ? `${row.name.slice(0, 14)}…` : row.name;
      svg.append(titled(node("text", { class: row.state === "gone" ? "" : "name", x: 0, y: y(at) + 14 }, name), row.name));
    }
    (range === "recent" ? recent : whole)(svg, state, shown, now, x, y);
    marks(svg, state, from, to, x, bottom);
    home.replaceChildren(svg);
    legend.textContent = shown.length === 0 ? "No worker has been here yet."
      : range === "recent" ? "A bar is a piece of work: blue for training, green for evaluation, orange (half height) for a backup of a late piece, grey for an answer that was not used. Its length includes both ways over the network."
      : "A bar is the time in which a worker was a member (blue) or a spare (grey). A triangle is a worker that was dropped, a thick line a restart of the coordinator or a step back, a dotted line a checkpoint.";
  }

  return { draw, clock };
})();
