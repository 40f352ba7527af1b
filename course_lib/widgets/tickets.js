// Walk through the rounds: what the ticket of a round keeps, how it learns beside its controls, and
// what it took to find it. All numbers come with the state; nothing is trained.

const share = (part) => `${(100 * part).toFixed(1)}%`;
const whole = (number) => number.toLocaleString("en");
const DENSE = 3; // number of the colour and dash of the dense network

// A legend at the lower end of a plot, its lines from the top down. `end` is its right edge or
// nothing; then it stands on the left.
function legend({ svg, left, right, bottom }, entries, colours, onTheRight) {
  entries.forEach(({ label, style }, i) => {
    const y = bottom - 14 - 16 * (entries.length - 1 - i);
    const x = onTheRight ? right - 130 : left + 8;
    const key = { x1: x, x2: x + 24, y1: y - 4, y2: y - 4, "stroke-width": 2 };
    const look = { stroke: colours[style], "stroke-dasharray": DASHES[style] };
    svg.append(shape("line", { ...key, ...look }), shape("text", { x: x + 30, y }, label));
  });
}

function drawAccuracy(parent, state, colours) {
  const { densities, arms } = state;
  const place = (density) => -Math.log10(density); // from 0, dense, to the right
  const last = place(densities[densities.length - 1]);
  const lowest = Math.min(...arms.flatMap((one) => one.low));
  const floor = Math.max(0, Math.floor(lowest / 5) * 5);
  const step = [1, 2, 5, 10, 20].find((step) => (100 - floor) / step <= 6);
  const ticks = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01].map(place).filter((x) => x <= last + 1e-6);
  const chart = plot(parent, {
    x: [0, last, ticks],
    y: [floor, 100, Array.from({ length: (100 - floor) / step + 1 }, (_, i) => 100 - i * step)],
    formatX: (x) => `${Math.round(1000 * 10 ** -x) / 10}%`,
    xLabel: "density (share of weights kept)",
    yLabel: "test accuracy (%)",
    label: "Test accuracy against density, of the tickets and their controls, with 95% bands.",
  });
  const { svg, px, py, top, bottom } = chart;
  const look = { class: "chosen", stroke: "currentColor", "stroke-width": 2 };
  const now = shape("line", { ...look, y1: top, y2: bottom });
  svg.append(now);
  const dots = arms.map((one, i) => {
    curve(chart, { x: one.rounds.map((r) => place(densities[r])), ...one }, colours[i], i);
    // A control may have been trained at few rounds: its points say at which.
    one.rounds.forEach((r, k) => {
      const cy = Math.max(top, Math.min(bottom, py(one.estimate[k])));
      svg.append(shape("circle", { r: 2.5, cx: px(place(densities[r])), cy, fill: colours[i] }));
    });
    return svg.appendChild(shape("circle", { r: 5, fill: colours[i] }));
  });
  legend(chart, arms.map(({ label }, style) => ({ label, style })), colours);
  const set = (round) => {
    const x = px(place(densities[round]));
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    dots.forEach((dot, i) => {
      const at = arms[i].rounds.indexOf(round);
      dot.setAttribute("visibility", at < 0 ? "hidden" : "visible");
      if (at < 0) return;
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", Math.max(top, Math.min(bottom, py(arms[i].estimate[at]))));
    });
  };
  return { chart, set, nearest: (x) => nearest(densities.map(place), x) };
}

function drawLearning(parent, state, colours) {
  const { arms } = state;
  const all = arms.flatMap((one) => Object.values(one.curves)).flatMap(({ step }) => step);
  const [first, last] = [Math.min(...all), Math.max(...all)].map(Math.log10);
  const ticks = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000].map(Math.log10);
  const holder = element("div");
  parent.append(holder);
  return (round) => {
    const at = (one, number) => one.curves[number];
    const drawn = arms.map((one, style) => ({ label: one.label, style, points: at(one, round) }));
    if (round) drawn.push({ label: "dense", style: DENSE, points: at(arms[0], 0) });
    const present = drawn.filter(({ points }) => points);
    holder.replaceChildren();
    const chart = plot(holder, {
      x: [first, last, ticks.filter((x) => x >= first - 1e-9 && x <= last + 1e-9)],
      y: [0, 100, [0, 25, 50, 75, 100]],
      formatX: (x) => whole(Math.round(10 ** x)),
      xLabel: "step of training",
      yLabel: "validation accuracy (%)",
      label: `Learning curves of round ${round}: ${present.map((one) => one.label).join(", ")}.`,
    });
    for (const { points, style } of present) {
      curve(chart, { ...points, x: points.step.map(Math.log10) }, colours[style], style);
    }
    legend(chart, present, colours, true);
  };
}

function drawPixels(parent, state, colours) {
  const { rows, columns, height, width, rounds, outer, inner } = state.mask;
  const neurons = rows * columns, size = height * width;
  const kept = bytesFromBase64(rounds); // how many of the rounds each weight survives
  const { canvas, paint } = tiles(parent, { rows: 1, columns: 1, height, width });
  canvas.style.maxWidth = "12rem";
  const text = element("p", { class: "reading" });
  parent.append(text);
  return (round) => {
    const left = new Array(size).fill(0);
    kept.forEach((survived, i) => (left[i % size] += survived > round));
    const most = Math.max(1, ...left);
    paint((i) => rgba(colours[0], Math.round((255 * left[i]) / most)));
    const [border, within] = [outer, inner].map((numbers) => numbers[round].toFixed(1));
    text.textContent =
      `The fullest pixel keeps ${most} of ${neurons} weights. ` +
      `On average, one of the border keeps ${border} and one within it ${within}.`;
    canvas.setAttribute("aria-label", `The input's pixels, by weights kept. ${text.textContent}`);
  };
}

function drawMask(parent, state, colours) {
  const kept = bytesFromBase64(state.mask.rounds);
  const { canvas, paint } = tiles(parent, state.mask);
  const text = element("p", { class: "reading" });
  parent.append(text);
  const stay = rgba(colours[0]);
  return (round) => {
    const left = kept.filter((survived) => survived > round).length;
    paint((i) => (kept[i] > round ? stay : GONE));
    text.textContent = `${whole(left)} of ${whole(kept.length)} weights stay.`;
    const label = `The first layer's mask, a tile for each neuron: ${text.textContent}`;
    canvas.setAttribute("aria-label", label);
  };
}

function drawLayers(parent, state, colours) {
  const { layers } = state;
  const label = "Share of the weights that each layer keeps, as bars.";
  const labels = layers.map((one) => one.label);
  const set = bars(parent, { labels, most: 1, colours, label });
  return (round) => {
    const texts = layers.map(
      ({ kept, total }) =>
        `${whole(kept[round])} of ${whole(total)} (${share(kept[round] / total)})`,
    );
    set(layers.map(({ kept, total }) => kept[round] / total), texts);
  };
}

function drawSteps(parent, state, colours) {
  const { search, train } = state.steps;
  const labels = ["to find it", "to train it"];
  const most = Math.max(...search, ...train);
  const label = "Steps of training to find the ticket of this round and to train it, as bars.";
  const set = bars(parent, { labels, most, colours, label });
  return (round) => set([search[round], train[round]], [search, train].map((n) => whole(n[round])));
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const root = frame("A figure to move: walk through the rounds of a search for a ticket");
  const max = state.densities.length - 1;
  const at = () => model.get("round");
  const go = (round) => {
    model.set("round", round);
    model.save_changes();
  };

  const reading = element("p", { class: "reading", "aria-live": "polite" });
  // While it plays, a screen reader would never come to an end.
  const told = (playing) => reading.setAttribute("aria-live", playing ? "off" : "polite");
  const play = player({ max, at }, go, told);
  const byHand = (round) => {
    play.stop();
    go(round);
  };
  const read = (round) => `${round}: ${share(state.densities[round])} kept`;
  const control = slider({ label: "Round", max, value: at(), read }, byHand);
  const grid = element("div", { class: "panels" });
  root.append(element("div", { class: "controls" }, ...control.parts, play.button), grid, reading);

  const accuracy = drawAccuracy(panel(grid, "Accuracy over density"), state, colours);
  const parts = [
    accuracy.set,
    drawLearning(panel(grid, "Learning curves at this round"), state, colours),
    drawPixels(panel(grid, "Weights kept at each input pixel"), state, colours),
    drawMask(panel(grid, "The first layer: filled pixels stay"), state, colours),
    drawLayers(panel(grid, "Weights kept by layer"), state, colours),
    drawSteps(panel(grid, "Steps spent"), state, colours),
  ];
  draggable(accuracy.chart, (x) => byHand(accuracy.nearest(x)));

  const announce = announcer(reading);
  const sentence = (round) => {
    const scores = state.arms.map(({ label, rounds, estimate, low, high }) => {
      const i = rounds.indexOf(round);
      if (i < 0) return `${label} not trained here`;
      const [mean, from, to] = [estimate, low, high].map((values) => values[i].toFixed(1));
      return `${label} ${mean}% [${from}, ${to}]`;
    });
    return (
      `Round ${round}, ${share(state.densities[round])} of the weights kept. ` +
      `Test accuracy: ${scores.join(", ")}. ` +
      `Steps spent to find it: ${whole(state.steps.search[round])}.`
    );
  };
  const update = () => {
    control.set(at());
    for (const set of parts) set(at());
    announce(sentence(at()));
  };
  return standing({ model, el }, root, ["round"], update, play.stop);
}

export default { render };
