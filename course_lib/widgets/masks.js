// Cross out weights of a network that is never trained, round by round, and see which digits it gets
// right, beside the same with a mask drawn by chance. All answers come with the state.

const ACROSS = 6;

function drawDigits(parent, state, colours) {
  const { height, width, labels } = state;
  const pixels = bytesFromBase64(state.images);
  const size = height * width;
  const rows = Array.from({ length: labels.length / ACROSS }, (_, row) => {
    const { canvas, paint } = tiles(parent, { rows: 1, columns: ACROSS, height, width });
    paint((i) => rgba(colours[0], pixels[row * ACROSS * size + i]));
    const below = element("div", { class: "tile-labels", "aria-hidden": "true" });
    parent.append(below);
    return { canvas, below };
  });
  return (answers) =>
    rows.forEach(({ canvas, below }, row) => {
      const here = (values) => values.slice(row * ACROSS, (row + 1) * ACROSS);
      const shown = here(labels), said = here(answers);
      const words = said.map((answer, i) => `${answer} ${answer === shown[i] ? "✓" : "✗"}`);
      below.replaceChildren(...words.map((word) => element("span", {}, word)));
      const told = said.map((answer, i) => `a ${shown[i]}, taken for ${answer}`).join("; ");
      canvas.setAttribute("aria-label", `Digits and the untrained network's answers: ${told}.`);
    });
}

function drawChart(parent, state, colours) {
  const { ways, densities } = state;
  const last = densities.length - 1;
  const chart = plot(parent, {
    x: [0, last, Array.from({ length: last + 1 }, (_, i) => i)],
    y: [0, 100, [0, 25, 50, 75, 100]],
    xLabel: "round",
    yLabel: "right, untrained (%)",
    label: "Share of digits that untrained networks get right, by round, with 95% bands.",
  });
  const { svg, px, py, top, bottom, right } = chart;
  const look = { class: "chosen", stroke: "currentColor", "stroke-width": 2 };
  const now = shape("line", { ...look, y1: top, y2: bottom });
  svg.append(now);
  const x = densities.map((_, i) => i);
  const dots = ways.map((one, style) => {
    curve(chart, { ...one, x }, colours[style], style);
    return svg.appendChild(shape("circle", { r: 5, fill: colours[style] }));
  });
  ways.forEach(({ label }, style) => {
    const y = (top + bottom) / 2 - 12 + 16 * style; // between the curves
    const key = { x1: right - 164, x2: right - 140, y1: y - 4, y2: y - 4, "stroke-width": 2 };
    const line = { stroke: colours[style], "stroke-dasharray": DASHES[style] };
    svg.append(shape("line", { ...key, ...line }), shape("text", { x: right - 134, y }, label));
  });
  const set = (round) => {
    now.setAttribute("x1", px(round));
    now.setAttribute("x2", px(round));
    dots.forEach((dot, i) => {
      dot.setAttribute("cx", px(round));
      dot.setAttribute("cy", py(ways[i].estimate[round]));
    });
  };
  return { chart, set };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const { ways, densities, labels } = state;
  const root = frame("A figure to move: cross out weights of a network that is never trained");
  const max = densities.length - 1;
  const at = () => [model.get("round"), model.get("way")];
  const go = (trait, value) => {
    model.set(trait, value);
    model.save_changes();
  };
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  const told = (playing) => reading.setAttribute("aria-live", playing ? "off" : "polite");
  const play = player({ max, at: () => at()[0] }, (round) => go("round", round), told);
  const byHand = (round) => {
    play.stop();
    go("round", round);
  };
  const kept = (round) => `${Math.round(100 * densities[round])}% of the weights kept`;
  const read = (round) => `${round}: ${kept(round)}`;
  const control = slider({ label: "Round", max, value: at()[0], read }, byHand);
  const names = ways.map(({ label }) => label);
  const mask = choice("Weights", names, (way) => go("way", way));
  const grid = element("div", { class: "panels" });
  const controls = element("div", { class: "controls" }, ...control.parts, play.button);
  root.append(controls, mask.root, grid, reading);

  const answers = drawDigits(panel(grid, "What it says, untrained"), state, colours);
  const chart = drawChart(panel(grid, "Right without any training"), state, colours);
  draggable(chart.chart, (x) => byHand(Math.max(0, Math.min(max, Math.round(x)))));

  const announce = announcer(reading);
  const sentence = ([round, way]) => {
    const { label, estimate, low, high } = ways[way];
    const right = ways[way].answers[round].filter((said, i) => said === labels[i]).length;
    const [mean, from, to] = [estimate, low, high].map((values) => Math.round(values[round]));
    return (
      `Round ${round}, ${kept(round)} (${label}), none of them trained. ` +
      `${right} of these ${labels.length} digits are right; ` +
      `${mean}% [${from}, ${to}] of all, over the seeds.`
    );
  };
  const update = () => {
    const [round, way] = at();
    control.set(round);
    mask.set(way);
    answers(ways[way].answers[round]);
    chart.set(round);
    announce(sentence([round, way]));
  };
  return standing({ model, el }, root, ["round", "way"], update, play.stop);
}

export default { render };
