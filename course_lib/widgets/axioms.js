// Drag a vector through the axioms: where it lies among a metric's level curves, what an axiom's
// change makes of it, and whether each metric does what is asked. The arithmetic is in sparsity.js,
// which stands above.

const CELLS = 50; // of the plane, to find the level curves
const LEVELS = [1, 2, 3, 4, 5].map((part) => part / 6); // from equal entries to a one-hot vector

const wide = (h) => `(${h.map((value) => Number(value.toFixed(2))).join(", ")})`;

// The amount that a change takes at a strength; no case where the axiom asks nothing.
function caseOf(axiom, vector, strength) {
  const larger = vector[1] > vector[0] ? 1 : 0;
  const gap = Math.abs(vector[0] - vector[1]);
  const moves = axiom === "Robin Hood" || axiom === "Rising Tide";
  if (Math.min(...vector) <= 0 || (moves && gap === 0)) return null;
  const amounts = {
    "Robin Hood": (strength * gap) / 2, "Scaling": 1 + strength, "Rising Tide": 2 * strength,
  };
  return { axiom, vector, amount: amounts[axiom] ?? 1, entries: [larger, 1 - larger] };
}

// Where a metric crosses levels: for each, pieces [x, y, x, y] of a curve, by marching squares. Where
// on a side it crosses is found by halving, since a count jumps.
function levelCurves(metric, levels, edge) {
  const step = edge / CELLS, side = CELLS + 1;
  const corners = Array.from({ length: side * side }, (_, k) => {
    const x = step * (k % side), y = step * Math.floor(k / side);
    return { x, y, value: metric([x, y]) };
  });
  const crossing = (from, to, level) => {
    const above = from.value > level;
    if (above === to.value > level) return null;
    const at = (part) => [from.x + part * (to.x - from.x), from.y + part * (to.y - from.y)];
    let [low, high] = [0, 1];
    for (let i = 0; i < 12; i += 1) {
      const part = (low + high) / 2;
      if (metric(at(part)) > level === above) low = part;
      else high = part;
    }
    return at(low);
  };
  return levels.map((level) => {
    const pieces = [];
    for (let k = 0; k < corners.length - side; k += 1) {
      if (k % side === CELLS) continue; // the last column starts no cell
      const around = [k, k + 1, k + 1 + side, k + side].map((corner) => corners[corner]);
      const found = around.map((corner, i) => crossing(corner, around[(i + 1) % 4], level));
      const ends = found.filter((end) => end !== null);
      for (let i = 0; i + 1 < ends.length; i += 2) pieces.push([...ends[i], ...ends[i + 1]]);
    }
    return pieces;
  });
}

function drawPlane(parent, state, colours) {
  const { edge } = state;
  const ticks = [0, 2, 4, 6, 8].filter((tick) => tick <= edge);
  const chart = plot(parent, {
    x: [0, edge, ticks], y: [0, edge, ticks], width: 320, height: 304,
    xLabel: "first entry", yLabel: "second entry", label: "The plane.",
  });
  const { svg, px, py } = chart;
  const words = parent.appendChild(element("p", { class: "reading" }));
  const faint = { fill: "none", stroke: "currentColor", "stroke-opacity": 0.4 };
  const diagonal = { x1: px(0), y1: py(0), x2: px(edge), y2: py(edge) };
  svg.append(shape("line", { ...diagonal, ...faint }));
  const curves = svg.appendChild(shape("g", {}));
  const clear = { ...faint, "stroke-opacity": 0.8 };
  const equalSum = shape("line", { ...clear, "stroke-dasharray": DASHES[1] });
  const equalLength = shape("path", { ...clear, "stroke-dasharray": DASHES[3] });
  const move = shape("line", { stroke: colours[1], "stroke-width": 3 });
  const outline = { fill: "none", stroke: colours[1], "stroke-width": 3 };
  const after = shape("rect", { width: 12, height: 12, ...outline });
  const dot = shape("circle", { r: 7, fill: colours[0] });
  svg.append(equalSum, equalLength, move, after, dot);

  const show = (name) => {
    const metric = METRICS[name];
    const [low, high] = [metric([1, 1]), metric([1, 0])];
    const parts = name === "−L0" ? [0.5] : LEVELS; // a count has one step
    curves.replaceChildren();
    const levels = high > low ? parts.map((part) => low + part * (high - low)) : [];
    levelCurves(metric, levels, edge).forEach((pieces, i) => {
      const d = pieces.map(([a, b, c, e]) => `M${px(a)} ${py(b)}L${px(c)} ${py(e)}`).join("");
      curves.append(shape("path", { d, fill: "none", stroke: colours[5] }));
      if (name === "−L0") return;
      // Named where it leaves the plane on the right.
      const ends = pieces.flatMap(([a, b, c, e]) => [[a, b], [c, e]]);
      const [x, y] = ends.reduce((best, at) => (at[0] - at[1] > best[0] - best[1] ? at : best));
      const place = { x: px(x) - 2, y: py(y) - 3, "text-anchor": "end" };
      curves.append(shape("text", place, plain(levels[i])));
    });
    const said = {
      "kurtosis": "The kurtosis of two entries is 1 whatever they are: it has no level curves here.",
      "−L0": "−L0 counts the entries above 0.01, so its one level curve runs along the axes.",
    };
    words.textContent =
      `${said[name] ?? `Solid curves: vectors to which ${name} gives the same value.`} ` +
      "Dashed: equal sum of the entries. Dotted: equal length. " +
      "Disc: the vector. Square: after the change.";
  };
  const set = (vector, changed) => {
    const total = sum(vector), radius = Math.hypot(...vector);
    const ends = [Math.min(total, edge), Math.max(0, total - edge)]; // within the plane
    equalSum.setAttribute("x1", px(ends[0]));
    equalSum.setAttribute("y1", py(ends[1]));
    equalSum.setAttribute("x2", px(ends[1]));
    equalSum.setAttribute("y2", py(ends[0]));
    const size = px(radius) - px(0);
    const arc = `M${px(radius)} ${py(0)}A${size} ${size} 0 0 0 ${px(0)} ${py(radius)}`;
    equalLength.setAttribute("d", arc);
    dot.setAttribute("cx", px(vector[0]));
    dot.setAttribute("cy", py(vector[1]));
    const inPlane = changed !== null && changed.length === 2;
    const fits = inPlane && Math.max(...changed) <= edge;
    move.setAttribute("visibility", inPlane ? "visible" : "hidden");
    after.setAttribute("visibility", fits ? "visible" : "hidden");
    let where = "the change leads out of the plane";
    if (inPlane) {
      // As far towards the changed vector as the picture goes.
      const room = changed.map((to, k) => (to > edge ? (edge - vector[k]) / (to - vector[k]) : 1));
      const part = Math.min(...room);
      const end = vector.map((from, k) => from + part * (changed[k] - from));
      move.setAttribute("x1", px(vector[0]));
      move.setAttribute("y1", py(vector[1]));
      move.setAttribute("x2", px(end[0]));
      move.setAttribute("y2", py(end[1]));
      after.setAttribute("x", px(end[0]) - 6);
      after.setAttribute("y", py(end[1]) - 6);
      where = `after the change ${wide(changed)}${fits ? "" : ", outside the picture"}`;
    }
    const label = `The plane with the vector at ${wide(vector)}; ${where}.`;
    svg.setAttribute("aria-label", label);
  };
  return { chart, show, set };
}

// The entries as columns, before on the left and after on the right, in units of the largest.
function drawEntries(parent, colours) {
  const width = 340, height = 150, base = 120;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  parent.append(svg);
  return (before, after) => {
    svg.replaceChildren();
    const most = Math.max(...before, ...after);
    [[before, 0, 5], [after, 180, 0]].forEach(([h, start, colour], side) => {
      h.forEach((value, k) => {
        const tall = most > 0 ? (90 * value) / most : 0;
        const at = { x: start + 6 + 38 * k, y: base - tall, width: 26, height: tall };
        const look = side ? { fill: colours[colour] } : { fill: "none", stroke: "currentColor" };
        const middle = { x: at.x + 13, "text-anchor": "middle" };
        svg.append(shape("rect", { ...at, ...look }));
        svg.append(shape("text", { ...middle, y: at.y - 4 }, Number(value.toFixed(2))));
      });
      const line = { x1: start, x2: start + 160, y1: base, y2: base, stroke: "currentColor" };
      svg.append(shape("line", line));
      svg.append(shape("text", { x: start, y: base + 18 }, side ? "after" : "before"));
    });
    svg.setAttribute("aria-label", `The entries before, ${wide(before)}, and after, ${wide(after)}.`);
  };
}

// For each metric a bar before (an outline) and one after, from its value for equal entries to that
// for a one-hot vector, and the mark.
function drawMetrics(parent, state, colours) {
  const width = 340, row = 48, names = state.metrics;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${row * names.length + 18}`, role: "img" });
  parent.append(svg);
  const [equal, oneHot] = [new Array(state.widest).fill(1), new Array(state.widest).fill(0)];
  oneHot[0] = 1;
  const drawn = names.map((name, i) => {
    const y = row * i;
    svg.append(shape("text", { x: 0, y: y + 13, "font-weight": 600 }, name));
    const mark = shape("text", { x: width, y: y + 13, "text-anchor": "end", class: "mark" });
    const said = shape("text", { x: width, y: y + 31, "text-anchor": "end" });
    const outline = { fill: "none", stroke: "currentColor" };
    const before = shape("rect", { class: "bar", x: 1, y: y + 19, height: 7, ...outline });
    const after = shape("rect", { class: "bar", x: 1, y: y + 29, height: 9 });
    svg.append(mark, said, before, after);
    const [low, high] = [METRICS[name](equal), METRICS[name](oneHot)];
    const reach = (value) => 218 * clamp((value - low) / (high - low), 0, 1);
    return { mark, said, before, after, reach };
  });
  const end = { y: row * names.length + 12 };
  svg.append(shape("text", { x: 0, ...end }, "all equal"));
  svg.append(shape("text", { x: 219, ...end, "text-anchor": "end" }, "one-hot"));
  return (rows) => {
    rows.forEach(({ kept, values, elsewhere }, i) => {
      const { mark, said, before, after, reach } = drawn[i];
      const known = elsewhere ? `, ✗ by ${elsewhere}` : "";
      const word = kept ? `✓ kept here${known}` : "✗ broken";
      mark.textContent = kept === null ? "– not asked" : word;
      said.textContent = values.map((value) => plain(value, 3)).join(" → ");
      before.setAttribute("width", reach(values[0]));
      after.setAttribute("width", reach(values[1]));
      after.setAttribute("fill", colours[kept === false ? 1 : 0]);
    });
    const each = rows.map(({ kept, values }, i) => {
      const word = kept === null ? "not asked" : kept ? "kept here" : "broken";
      return `${names[i]}: ${word}, ${values.map((value) => plain(value, 3)).join(" to ")}`;
    });
    svg.setAttribute("aria-label", `Each metric before and after the change. ${each.join("; ")}.`);
  };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const root = frame("A figure to move: drag a vector through six axioms of sparsity");
  const set = (changes) => {
    model.set(changes);
    model.save_changes();
  };
  const vector = () => [model.get("first") / 10, model.get("second") / 10];
  const strength = () => model.get("strength") / 10;

  const read = (tenths) => (tenths / 10).toFixed(1);
  const entry = (name, label) =>
    slider({ label, max: state.largest, value: model.get(name), read }, (to) => set({ [name]: to }));
  const entries = [entry("first", "First entry"), entry("second", "Second entry")];
  const names = state.axioms.map(({ name }) => name);
  const axioms = choice("Axiom", names, (axiom) => set({ axiom }));
  const more = slider(
    { label: "How strong the change is", max: 9, value: model.get("strength"), read },
    (to) => set({ strength: Math.max(1, to) }),
  );
  more.parts[1].min = 1;
  for (const { parts } of [...entries, more]) parts[2].style.minWidth = "2em"; // room on a phone
  const id = uniqueId("metric");
  const metrics = element("select", { id, ...OWN_KEYS });
  metrics.append(...state.metrics.map((name, i) => element("option", { value: i }, name)));
  metrics.addEventListener("change", () => set({ metric: Number(metrics.value) }));

  const grid = element("div", { class: "panels" });
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  const controls = (...parts) => element("div", { class: "controls" }, ...parts);
  root.append(controls(axioms.root), ...entries.map(({ parts }) => controls(...parts)));
  root.append(controls(...more.parts), grid, reading);
  const left = grid.appendChild(element("div")), right = panel(grid, "");
  const where = panel(left, "The vector in the plane");
  const label = element("label", { for: id }, "Level curves of");
  where.append(controls(label, metrics));
  const plane = drawPlane(where, state, colours);
  const columns = drawEntries(panel(left, "Its entries"), colours);
  const bars = drawMetrics(right, state, colours);
  plane.chart.svg.classList.add("both");
  const toTenths = (value) => Math.round(clamp(10 * value, 0, state.largest));
  draggable(plane.chart, (x, y) => set({ first: toTenths(x), second: toTenths(y) }));

  // --- What is shown ---

  const announce = announcer(reading);
  const update = () => {
    const { name, what, asks } = state.axioms[model.get("axiom")];
    const given = caseOf(name, vector(), strength());
    const pairs = given ? changes(given) : [[vector(), vector()]];
    const [before, after] = pairs[0];
    const rows = state.metrics.map((metric) => ({
      kept: given ? !breaks(METRICS[metric], name, pairs) : null,
      values: [METRICS[metric](before), METRICS[metric](after)],
      elsewhere: state.cases[metric][name],
    }));
    ["first", "second"].forEach((entry, i) => entries[i].set(model.get(entry)));
    more.set(model.get("strength"));
    more.parts[1].disabled = !["Robin Hood", "Scaling", "Rising Tide"].includes(name);
    axioms.set(model.get("axiom"));
    plane.set(vector(), given ? after : null);
    columns(before, after);
    bars(rows);
    right.firstChild.textContent = given
      ? `Each metric, before and after: it is to ${asks}`
      : "Each metric: the axiom asks nothing here";
    const broken = state.metrics.filter((_, i) => rows[i].kept === false);
    const verdict = broken.length ? `broken by ${broken.join(", ")}` : "kept by all metrics here";
    const change = `${wide(before)} → ${wide(after)}`;
    const sentence = given
      ? `${name}: ${what}. ${change}. Sparsity is to ${asks}. It is ${verdict}.`
      : `${name} asks nothing of ${wide(vector())}.`;
    announce(sentence);
  };
  const redraw = () => {
    metrics.value = model.get("metric");
    plane.show(state.metrics[model.get("metric")]);
  };
  redraw();
  model.on("change:metric", redraw);
  const moving = ["first", "second", "axiom", "strength"];
  return standing({ model, el }, root, moving, update, () => model.off("change:metric", redraw));
}

export default { render };
