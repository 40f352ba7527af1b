// Drag the density, choose a format and a product: bytes and time as multiples of dense. All numbers
// come with the state; nothing is timed in the page.

const EDGES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const percent = (share) => `${Math.round(1000 * share) / 10}%`;
const kilobytes = (bytes) =>
  bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const time = (seconds) =>
  seconds < 1e-3 ? `${(1e6 * seconds).toFixed(1)} µs` : `${(1e3 * seconds).toFixed(1)} ms`;

// What the formats of a panel draw: {label, style, of: number of the format, values by product}.
function linesOf(state, what) {
  const lines = [];
  state.formats.forEach(({ label, stored }, i) => {
    const name = what === "bytes" ? stored : label;
    const drawn = state.products.map(({ formats }) => {
      const { share, estimate, low, high } = formats[i];
      if (what === "time") return estimate && { estimate, low, high };
      return { estimate: share, low: share, high: share };
    });
    const same = lines.find((line) => line.label === name);
    if (same) same.formats.push(i);
    else if (drawn[0]) lines.push({ label: name, style: i, formats: [i], drawn });
  });
  return lines;
}

function drawPanel(parent, state, what, range, colours) {
  const xs = state.densities.map(Math.log10);
  const logs = (values) => values.map(Math.log10);
  const [low, high] = range.map(Math.log10);
  const ticks = EDGES.map(Math.log10).filter((edge) => low <= edge && edge <= high);
  const chart = plot(parent, {
    x: [xs[0], xs[xs.length - 1], xs],
    y: [low, high, ticks],
    format: (value) => String(Number((10 ** value).toPrecision(1))),
    xLabel: "density (share that stays)",
    label: `${what} of each format as a multiple of dense, against the share of weights that stay.`,
  });
  const { svg, px, py, top, bottom, left, right } = chart;
  const one = { x1: left, x2: right, y1: py(0), y2: py(0), stroke: "currentColor" };
  svg.append(shape("line", { ...one, "stroke-width": 1.5 }));
  svg.append(shape("text", { x: left + 4, y: py(0) - 4 }, "dense"));
  const look = { class: "chosen", stroke: "currentColor", "stroke-width": 2, y1: top, y2: bottom };
  const now = svg.appendChild(shape("line", look));
  const lines = linesOf(state, what);
  const drawn = lines.map(({ label, style, drawn: values }, i) => {
    const groups = values.map(({ estimate, low: least, high: most }) => {
      const group = svg.appendChild(shape("g"));
      const points = { estimate: logs(estimate), low: logs(least), high: logs(most) };
      curve({ ...chart, svg: group }, { x: xs, ...points }, colours[style], style);
      return group;
    });
    const y = bottom - 10 - 16 * (lines.length - 1 - i);
    const key = { x1: right - 112, x2: right - 88, y1: y - 4, y2: y - 4, "stroke-width": 2 };
    svg.append(shape("line", { ...key, stroke: colours[style], "stroke-dasharray": DASHES[style] }));
    svg.append(shape("text", { x: right - 82, y }, label));
    return { groups, dot: svg.appendChild(shape("circle", { r: 5, fill: colours[style] })) };
  });
  const ring = shape("circle", { r: 9, fill: "none", stroke: "currentColor", "stroke-width": 2 });
  svg.append(ring);
  const set = (level, product, format) => {
    const x = px(xs[level]);
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    ring.setAttribute("visibility", "hidden");
    lines.forEach(({ formats, drawn: values }, i) => {
      const y = Math.max(top, Math.min(bottom, py(Math.log10(values[product].estimate[level]))));
      const place = { cx: x, cy: y }, { groups, dot } = drawn[i];
      const isChosen = formats.includes(format);
      groups.forEach((group, p) => group.setAttribute("visibility", p === product ? "visible" : "hidden"));
      groups[product].setAttribute("opacity", isChosen ? 1 : 0.45);
      for (const [name, value] of Object.entries(place)) dot.setAttribute(name, value);
      if (!isChosen) return;
      for (const [name, value] of Object.entries(place)) ring.setAttribute(name, value);
      ring.setAttribute("visibility", "visible");
    });
  };
  return { chart, set, xs };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const { densities, formats, products } = state;
  const root = frame("A figure to move: weigh and time a sparse weight");

  const change = (name) => (value) => {
    model.set(name, value);
    model.save_changes();
  };
  const read = (level) => `${percent(densities[level])} stay`;
  const range = { label: "Weights", max: densities.length - 1, value: model.get("level"), read };
  const control = slider(range, change("level"));
  const stored = choice("Stored as", formats.map(({ label }) => label), change("format"));
  const product = choice("Product", products.map(({ label }) => label), change("product"));
  const row = (...parts) => element("div", { class: "controls" }, ...parts);
  root.append(row(...control.parts), row(stored.root), row(product.root));
  const now = element("p", { class: "now", "aria-hidden": "true" });
  const said = now.appendChild(element("strong"));
  const grid = element("div", { class: "panels" });
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  root.append(now, grid, reading);

  const all = products.flatMap((one) =>
    one.formats.flatMap(({ share, low, high }) => [...share, ...(low || []), ...(high || [])]),
  );
  const ends = [0.85 * Math.min(...all, 0.3), 1.2 * Math.max(...all, 3)];
  const panels = [["bytes", "Bytes, dense = 1"], ["time", "Time, dense = 1"]].map(
    ([what, title]) => drawPanel(panel(grid, title), state, what, ends, colours),
  );
  for (const { chart, xs } of panels) {
    draggable(chart, (x) => change("level")(nearest(xs, x)));
  }
  const announce = announcer(reading);

  const sentence = (level, one, format) => {
    const shown = one.formats[format];
    const size = `${kilobytes(shown.bytes[level])} instead of ${kilobytes(one.bytes)}`;
    const number = (part) => shown[part][level].toFixed(2);
    const slow = shown.estimate
      ? `, and ${number("estimate")} times the dense time [${number("low")}, ${number("high")}], ` +
        `which is ${time(one.seconds)}`
      : "";
    return `${read(level)}, ${formats[format].label}, ${one.label}: ${size}${slow}.`;
  };
  const update = () => {
    const [level, p, f] = ["level", "product", "format"].map((name) => model.get(name));
    control.set(level);
    stored.set(f);
    product.set(p);
    for (const { set } of panels) set(level, p, f);
    const words = products[p].formats[f].said[level];
    said.textContent = `${words[0].toUpperCase()}${words.slice(1)}.`;
    const text = `${sentence(level, products[p], f)} ${said.textContent}`;
    announce(text);
  };
  return standing({ model, el }, root, ["level", "product", "format"], update);
}

export default { render };
