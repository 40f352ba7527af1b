// Drag the sparsity: which weights go, what the first layer looks like, what it does to accuracy,
// and what the weights would take to store. All numbers come with the state; nothing is trained.

const percent = (share) => `${Math.round(1000 * share) / 10}%`;
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

function drawHistogram(parent, state, colours) {
  const { edges, counts, cuts } = state.histogram;
  const end = edges[edges.length - 1];
  const chart = plot(parent, {
    x: [0, end, ticksUpTo(end)],
    y: [0, 1.05 * Math.max(...counts), []],
    format: (value) => value.toFixed(1),
    xLabel: "absolute weight |θ|",
    yLabel: "number of weights",
    label: "Histogram of the absolute weights, cut at the threshold of the chosen sparsity.",
  });
  const { svg, px, py, top, bottom } = chart;
  const bars = counts.map((n, i) => {
    const at = { x: px(edges[i]), width: px(edges[i + 1]) - px(edges[i]) - 0.5 };
    return svg.appendChild(shape("rect", { ...at, y: py(n), height: bottom - py(n) }));
  });
  const cut = shape("line", { y1: top, y2: bottom, stroke: "currentColor", "stroke-width": 2 });
  const grip = shape("circle", { r: 7, cy: top + 8, fill: "currentColor" });
  svg.append(cut, grip);
  const set = (level) => {
    const x = px(Math.min(cuts[level], end));
    cut.setAttribute("x1", x);
    cut.setAttribute("x2", x);
    grip.setAttribute("cx", x);
    bars.forEach((bar, i) => {
      const gone = (edges[i] + edges[i + 1]) / 2 < cuts[level];
      bar.setAttribute("fill", gone ? "none" : colours[0]);
      bar.setAttribute("stroke", gone ? "currentColor" : colours[0]);
    });
  };
  return { chart, set };
}

function drawMask(parent, state, colours) {
  const kept = bytesFromBase64(state.mask.levels); // how many of the levels each weight survives
  const { canvas, paint } = tiles(parent, state.mask);
  const share = element("p", { class: "reading" });
  parent.append(share);
  const stay = rgba(colours[0]);
  return (level) => {
    const left = kept.filter((levels) => levels > level).length;
    paint((i) => (kept[i] > level ? stay : GONE));
    const text = `${left.toLocaleString("en")} of ${kept.length.toLocaleString("en")} weights stay.`;
    canvas.setAttribute("aria-label", `The first layer's mask, a tile for each neuron: ${text}`);
    share.textContent = text;
  };
}

function drawAccuracy(parent, state, colours) {
  const chart = plot(parent, {
    x: [0, 1, [0, 0.25, 0.5, 0.75, 1]],
    y: [0, 100, [0, 25, 50, 75, 100]],
    format: (value) => (value > 1 || value === 0 ? String(value) : percent(value)),
    xLabel: "sparsity (share of zeros)",
    yLabel: "test accuracy (%)",
    label: "Test accuracy against sparsity, by magnitude and at random, with 95 percent bands.",
  });
  const { svg, px, py, top, bottom, left } = chart;
  const look = { class: "chosen", stroke: "currentColor", "stroke-width": 2 };
  const now = shape("line", { ...look, y1: top, y2: bottom });
  svg.append(now);
  const dots = state.curves.map((one, i) => {
    curve(chart, { x: state.sparsities, ...one }, colours[i], i);
    const y = bottom - 14 - 16 * (state.curves.length - 1 - i);
    const key = { x1: left + 8, x2: left + 32, y1: y - 4, y2: y - 4, "stroke-width": 2 };
    svg.append(shape("line", { ...key, stroke: colours[i], "stroke-dasharray": DASHES[i] }));
    svg.append(shape("text", { x: left + 38, y }, one.label));
    return svg.appendChild(shape("circle", { r: 5, fill: colours[i] }));
  });
  const set = (level) => {
    const x = px(state.sparsities[level]);
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    dots.forEach((dot, i) => {
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", py(state.curves[i].estimate[level]));
    });
  };
  return { chart, set };
}

function drawBytes(parent, state, colours) {
  const { formats } = state;
  const labels = formats.map((one) => one.label);
  const most = Math.max(...formats.flatMap((one) => one.bytes));
  const label = "Bytes of the weights in each format, as bars.";
  const set = bars(parent, { labels, most, colours, label });
  return (level) => {
    const bytes = formats.map((one) => one.bytes[level]);
    set(bytes, bytes.map(kilobytes));
  };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const root = frame("A figure to move: prune a network by hand");

  const move = (level) => {
    model.set("level", level);
    model.save_changes();
  };
  const read = (level) => `${percent(state.sparsities[level])} removed`;
  const max = state.sparsities.length - 1;
  const control = slider({ label: "Sparsity", max, value: model.get("level"), read }, move);
  const grid = element("div", { class: "panels" });
  root.append(element("div", { class: "controls" }, ...control.parts), grid);

  const histogram = drawHistogram(panel(grid, "The weights: outlined ones go"), state, colours);
  const accuracy = drawAccuracy(panel(grid, "Accuracy, not trained again"), state, colours);
  const mask = drawMask(panel(grid, "The first layer: filled pixels stay"), state, colours);
  const bytes = drawBytes(panel(grid, "Bytes to store the weights"), state, colours);
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  root.append(reading);
  const announce = announcer(reading);

  draggable(histogram.chart, (x) => move(nearest(state.histogram.cuts, x)));
  draggable(accuracy.chart, (x) => move(nearest(state.sparsities, x)));

  // Intervals and bytes stand beside it, in the bands, the bars and the table below.
  const sentence = (level) => {
    const scores = state.curves.map(
      ({ label, estimate }) => `${label} ${estimate[level].toFixed(1).replace("-", "−")}%`,
    );
    return `${read(level)}. Accuracy: ${scores.join(", ")}.`;
  };
  const update = () => {
    const level = model.get("level");
    control.set(level);
    for (const set of [histogram.set, accuracy.set, mask, bytes]) set(level);
    announce(sentence(level));
  };
  return standing({ model, el }, root, ["level"], update);
}

export default { render };
