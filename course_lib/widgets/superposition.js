// Drag the sparsity: a model with more features than its two dimensions trains in the page, and its
// arrows find their places. The arithmetic is in toy_model.js, which stands above.

const DIMENSIONS = 2;
const STEPS_A_FRAME = 10; // at most, so that the eye can follow the arrows
const FRAME_TIME = 8; // milliseconds of work in a frame, at most
const AT_ONCE = 20; // steps of the button, and those whose losses one point of the curve averages
const STORED = 0.5; // of the squared length

const decimals = (value, places = 2) => {
  const text = value.toFixed(places).replace("-", "−");
  return /[1-9]/.test(text) ? text : text.replace("−", "");
};
const whole = (number) => number.toLocaleString("en");

function drawArrows(parent, n, colours) {
  const side = 280, reach = 1.45;
  const place = scale(-reach, reach, 0, side);
  const svg = shape("svg", { viewBox: `0 0 ${side} ${side}`, role: "img" });
  const faint = { fill: "none", stroke: "currentColor", "stroke-opacity": 0.35 };
  svg.append(shape("circle", { ...faint, cx: place(0), cy: place(0), r: place(1) - place(0) }));
  const arrows = Array.from({ length: n }, (_, i) => {
    const look = { stroke: colours[i], "stroke-width": 3, "stroke-dasharray": DASHES[i % 4] };
    const line = shape("line", { class: "arrow", x1: place(0), y1: place(0), ...look });
    const head = shape("polygon", { fill: colours[i] });
    const name = shape("text", { "text-anchor": "middle", "font-weight": 600 }, i + 1);
    svg.append(line, head, name);
    return { line, head, name };
  });
  parent.append(svg);
  return ({ W }, products) => {
    arrows.forEach(({ line, head, name }, i) => {
      const [x, y] = [W[i], W[n + i]];
      const length = Math.hypot(x, y);
      const [a, b] = length > 0 ? [x / length, y / length] : [1, 0];
      const at = (along, across) => [
        place(x + along * a - across * b),
        place(-y - along * b - across * a),
      ];
      const [tipX, tipY] = at(0, 0);
      line.setAttribute("x2", tipX);
      line.setAttribute("y2", tipY);
      const corners = [at(0.05, 0), at(-0.08, 0.05), at(-0.08, -0.05)];
      head.setAttribute("points", corners.map((corner) => corner.join()).join(" "));
      const [nameX, nameY] = at(0.17, 0);
      name.setAttribute("x", nameX);
      name.setAttribute("y", nameY + 4);
      // Near the middle the names of features that are not stored would lie on each other.
      name.setAttribute("visibility", length > 0.15 ? "visible" : "hidden");
    });
    const lengths = products.map((row, i) => `${i + 1}: ${decimals(Math.sqrt(row[i]))}`);
    const label = `Arrows of ${n} features in the plane, their lengths ${lengths.join(", ")}.`;
    svg.setAttribute("aria-label", label);
  };
}

function drawProducts(parent, n, colours) {
  const width = 340, left = 24, top = 24, cell = (width - left) / n, height = Math.min(cell, 44);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${top + n * height}`, role: "img" });
  const cells = [];
  for (let i = 0; i < n; i += 1) {
    const [across, down] = [left + (i + 0.5) * cell, top + (i + 0.5) * height + 4];
    const middle = { "text-anchor": "middle", "font-weight": 600 };
    svg.append(shape("text", { x: across, y: 14, ...middle }, i + 1));
    svg.append(shape("text", { x: 10, y: down, ...middle }, i + 1));
    cells.push(Array.from({ length: n }, (_, j) => {
      const corner = { x: left + j * cell + 1, y: top + i * height + 1 };
      const box = shape("rect", { ...corner, width: cell - 2, height: height - 2 });
      const text = shape("text", { x: left + (j + 0.5) * cell, y: down, "text-anchor": "middle" });
      svg.append(box, text);
      return { box, text };
    }));
  }
  parent.append(svg);
  return (products) => {
    products.forEach((row, i) =>
      row.forEach((value, j) => {
        const { box, text } = cells[i][j];
        box.setAttribute("fill", value < 0 ? colours[1] : colours[0]);
        // No fuller than this, or the number on it could not be read.
        box.setAttribute("fill-opacity", 0.5 * Math.min(1, Math.abs(value)));
        text.textContent = decimals(value);
      }),
    );
    const said = (row) => row.map((value) => decimals(value)).join(", ");
    const rows = products.map((row, i) => `row ${i + 1}: ${said(row)}`);
    svg.setAttribute("aria-label", `The matrix of products of the arrows, ${rows.join("; ")}.`);
  };
}

function drawLoss(parent, steps, colours) {
  const chart = plot(parent, {
    x: [0, steps, ticksUpTo(steps)],
    y: [0, 120, [0, 20, 40, 60, 80, 100, 120]],
    formatX: whole,
    xLabel: "step of training",
    yLabel: "loss (% of storing nothing)",
    label: "The loss of the training in the page, beside the least loss of a linear model.",
  });
  const { svg, px, py, left, right, top, bottom } = chart;
  const dashed = { stroke: colours[1], "stroke-width": 2, "stroke-dasharray": DASHES[1] };
  const level = shape("line", { x1: left, x2: right, ...dashed });
  const words = shape("text", { x: right, "text-anchor": "end" }, "the best linear model");
  const trace = shape("polyline", { fill: "none", stroke: colours[0], "stroke-width": 2 });
  svg.append(level, words, trace);
  return (losses, linear) => {
    level.setAttribute("y1", py(linear));
    level.setAttribute("y2", py(linear));
    words.setAttribute("y", py(linear) - 6);
    const points = losses.map((loss, i) => {
      const y = Math.max(top, Math.min(bottom, py(loss)));
      return `${px((i + 0.5) * AT_ONCE)},${y}`;
    });
    trace.setAttribute("points", points.join(" "));
  };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const { n, levels, decays, steps, batchSize, rate } = state;
  const root = frame(`A figure to move: drag the sparsity of ${n} features in two dimensions`);

  // --- What is trained ---

  const pZero = () => levels[model.get("level")];
  const importance = () =>
    Float64Array.from({ length: n }, (_, i) => decays[model.get("decay")] ** i);
  const [W, b] = [state.start.W, state.start.b].map((values) => Float64Array.from(values));
  const toy = { m: DIMENSIONS, n, W, b };
  let draw, training = null, losses = [], sum = 0;

  // `fresh`: from random arrows, not from those that are there.
  const begin = (fresh) => {
    if (fresh || !draw) {
      draw = uniforms(model.get("seed"));
      const made = newModel(DIMENSIONS, n, draw);
      if (fresh) Object.assign(toy, made);
    }
    training = newTraining(toy, {
      pZero: pZero(), importance: importance(), steps, batchSize, rate, draw,
    });
    [losses, sum] = [[], 0];
  };
  const linear = () =>
    (100 * lossOfNothing(pZero(), importance(), DIMENSIONS)) / lossOfNothing(pZero(), importance());
  const ended = () => training !== null && training.done() >= steps;
  const advance = () => {
    sum += (100 * training.step()) / lossOfNothing(pZero(), importance());
    if (training.done() % AT_ONCE) return;
    losses.push(sum / AT_ONCE);
    sum = 0;
  };

  // --- Running ---

  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let running = false, inView = true, waiting = 0, resting = 0;
  const frameOf = () => {
    waiting = 0;
    // For who asked for less motion it works on unseen, and the arrows are drawn once they rest.
    const most = calm.matches ? steps : STEPS_A_FRAME;
    const until = performance.now() + FRAME_TIME;
    for (let i = 0; i < most && !ended() && performance.now() < until; i += 1) advance();
    if (ended()) run(false);
    else if (!calm.matches) show();
    else tell();
    goOn();
  };
  const goOn = () => {
    if (running && inView && !waiting) waiting = requestAnimationFrame(frameOf);
  };
  const run = (on) => {
    running = on;
    train.textContent = on ? "Stop" : "Train";
    reading.setAttribute("aria-live", on ? "off" : "polite");
    if (on && (training === null || ended())) begin(true);
    if (on) tell();
    else show();
    goOn();
  };

  // --- The controls ---

  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const sliders = [
    slider(
      {
        label: "P, the probability of zero",
        max: levels.length - 1,
        value: model.get("level"),
        read: (level) => decimals(levels[level]),
      },
      (level) => set("level", level),
    ),
    slider(
      {
        label: "Importance, from feature to feature",
        max: decays.length - 1,
        value: model.get("decay"),
        read: (decay) => (decays[decay] < 1 ? `× ${decimals(decays[decay])}` : "equal"),
      },
      (decay) => set("decay", decay),
    ),
  ];
  const button = (label, act) => {
    const made = element("button", { type: "button", ...OWN_KEYS }, label);
    made.addEventListener("click", act);
    return made;
  };
  const train = button("Train", () => run(!running));
  const some = button(`${AT_ONCE} steps`, () => {
    run(false);
    if (training === null || ended()) begin(true);
    for (let i = 0; i < AT_ONCE && !ended(); i += 1) advance();
    show();
  });
  const another = button("Another start", () => set("seed", model.get("seed") + 1));
  const id = uniqueId("fresh");
  const fresh = element("input", { type: "checkbox", id, ...OWN_KEYS });
  const choice = element("label", { for: id }, "Start anew when a slider moves");
  const buttons = element("div", { class: "controls" }, train, some, another);
  buttons.append(element("span", {}, fresh, " ", choice));

  // --- What is shown ---

  const grid = element("div", { class: "panels" });
  const now = element("p", { class: "now" });
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  root.append(...sliders.map(({ parts }) => element("div", { class: "controls" }, ...parts)));
  root.append(buttons, now, grid, reading);
  const arrows = drawArrows(panel(grid, "The arrows, one for each feature"), n, colours);
  const labels = Array.from({ length: n }, (_, i) => `feature ${i + 1}`);
  const shares = bars(panel(grid, "D, each feature's share of a dimension"), {
    labels, most: 1, colours, label: "Each feature's share of a dimension, as bars.",
  });
  const products = drawProducts(panel(grid, "WᵀW, the products of the arrows"), n, colours);
  const loss = drawLoss(panel(grid, "The loss of this training"), steps, colours);

  const stored = (all) => all.filter((row, i) => row[i] > STORED).length;
  const progress = () => {
    if (training === null) return "As the run trained it";
    const at = `step ${whole(training.done())} of ${whole(steps)}`;
    return running ? `Training, ${at}` : ended() ? `Trained, ${at}` : `Stopped, ${at}`;
  };
  const percent = (value) => `${decimals(value, 0)}%`;
  const latest = () => (losses.length ? percent(losses[losses.length - 1]) : "");
  const say = () => {
    const share = latest() ? ` Loss ${latest()} of storing nothing.` : "";
    now.textContent = `${progress()}. ${stored(gram(toy))} of ${n} features stored.${share}`;
  };
  const sentence = () => {
    const all = gram(toy);
    const D = dimensionalities(all).map((value) => decimals(value)).join(", ");
    const counts = model.get("decay") === state.decay ? state.counts[model.get("level")] : null;
    const each = counts?.map(([of, models]) => `${models} of ${state.models} models store ${of}`);
    const others = each ? ` In the run, ${each.join(", ")}.` : "";
    const own = latest() ? `Loss ${latest()} of storing nothing; the` : "The";
    return (
      `${running ? "In training, " : ""}P = ${decimals(pZero())}: ${stored(all)} of ${n} ` +
      `features stored in ${DIMENSIONS} dimensions. D: ${D}. ${own} best linear model has ` +
      `${percent(linear())}.${others}`
    );
  };
  // The sentence under the figure goes with the training. It is read aloud once this rests.
  const tell = () => {
    say();
    clearTimeout(resting);
    if (running) reading.textContent = sentence();
    else resting = setTimeout(() => (reading.textContent = sentence()), 400);
  };
  const show = () => {
    const all = gram(toy);
    arrows(toy, all);
    products(all);
    const D = dimensionalities(all);
    shares(D, D.map((value, i) => `${decimals(value)}, ${all[i][i] > STORED ? "" : "not "}stored`));
    loss(losses, linear());
    tell();
  };

  const retrain = () => {
    sliders[0].set(model.get("level"));
    sliders[1].set(model.get("decay"));
    begin(fresh.checked);
    run(true);
  };
  const restart = () => {
    begin(true);
    run(true);
  };
  show();
  reading.textContent = sentence();
  model.on("change:level", retrain);
  model.on("change:decay", retrain);
  model.on("change:seed", restart);
  el.append(root);
  const watcher = new IntersectionObserver((entries) => {
    inView = entries[entries.length - 1].isIntersecting;
    goOn();
  });
  watcher.observe(root);
  const undo = hideStill(model.get("still_id"));
  return () => {
    running = false;
    cancelAnimationFrame(waiting);
    clearTimeout(resting);
    watcher.disconnect();
    model.off("change:level", retrain);
    model.off("change:decay", retrain);
    model.off("change:seed", restart);
    undo();
  };
}

export default { render };
