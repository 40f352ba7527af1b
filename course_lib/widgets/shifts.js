// Draw a digit and turn the dials: a trained network sees it in the page. The arithmetic is in
// sparsity.js and network.js, which stand above.

const PENS = [["full", 1], ["half", 0.5], ["none", 0]];
const NORM = "norm of the layer", SOFTMAX = "softmax maximum";
const percent = (part) => `${Math.round(100 * part)}%`;
const brief = (value) => plain(value, Math.abs(value) < 10 ? 3 : 1);

// A grid of cells to draw on, with a pointer or with keys. `inked(cell)` hears which cell the pen is
// on; what it returns shows an image.
function drawGrid(parent, colours, inked) {
  const root = element("div", { class: "ink", role: "grid", "aria-label": "The image to draw on" });
  const cells = [];
  for (let row = 0; row < SIDE; row += 1) {
    const line = root.appendChild(element("div", { role: "row" }));
    for (let column = 0; column < SIDE; column += 1) {
      const cell = element("div", { role: "gridcell", tabindex: -1, ...OWN_KEYS });
      cells.push(line.appendChild(cell));
    }
  }
  cells[0].setAttribute("tabindex", 0); // one stop for the Tab key; arrows go on from there
  const go = (from, to) => {
    cells[from].setAttribute("tabindex", -1);
    cells[to].setAttribute("tabindex", 0);
    cells[to].focus();
  };
  root.addEventListener("keydown", (event) => {
    const at = cells.indexOf(event.target);
    const row = Math.floor(at / SIDE), column = at % SIDE;
    const to = {
      ArrowLeft: column > 0 ? at - 1 : at,
      ArrowRight: column < SIDE - 1 ? at + 1 : at,
      ArrowUp: row > 0 ? at - SIDE : at,
      ArrowDown: row < SIDE - 1 ? at + SIDE : at,
    }[event.key];
    if (to === undefined && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (to === undefined) inked(at);
    else go(at, to);
  });
  const under = (event) => {
    const box = root.getBoundingClientRect();
    const column = Math.floor((SIDE * (event.clientX - box.left)) / box.width);
    const row = Math.floor((SIDE * (event.clientY - box.top)) / box.height);
    const inside = Math.min(row, column) >= 0 && Math.max(row, column) < SIDE;
    if (inside) inked(row * SIDE + column);
  };
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    root.setPointerCapture(event.pointerId);
    under(event);
  });
  root.addEventListener("pointermove", (event) => {
    if (root.hasPointerCapture(event.pointerId)) under(event);
  });
  parent.append(root);
  return (ink) =>
    cells.forEach((cell, i) => {
      cell.style.background = `rgba(${rgba(colours[0]).slice(0, 3).join()}, ${ink[i]})`;
      const place = `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}`;
      cell.setAttribute("aria-label", `${place}: ${percent(ink[i])} ink`);
    });
}

function drawSeen(parent, colours) {
  const { canvas, paint } = tiles(parent, { rows: 1, columns: 1, height: SIDE, width: SIDE });
  canvas.style.maxWidth = "14rem";
  return (pixels) => {
    paint((i) => rgba(colours[0], Math.round(255 * pixels[i])));
    const inked = pixels.filter((pixel) => pixel > 0.5).length;
    const mean = percent(pixels.reduce((total, pixel) => total + pixel, 0) / pixels.length);
    canvas.setAttribute(
      "aria-label",
      `What the network sees: ${inked} of ${pixels.length} pixels are more than half full, the ` +
        `mean is ${mean}.`,
    );
  };
}

// A bar for each unit, in the layer's own order.
function drawLayer(parent, [low, high], units, colours) {
  const ticks = ticksUpTo(high);
  const chart = plot(parent, {
    x: [0, units, [0, units / 2, units].map(Math.round)],
    y: [low, high, [...ticks.slice(1).map((tick) => -tick).filter((tick) => tick >= low), ...ticks]],
    height: 180,
    format: (value) => String(Number(value.toFixed(1))).replace("-", "−"),
    xLabel: "unit",
    label: "Activations.",
  });
  const { svg, px, py, top, bottom } = chart;
  const width = (px(units) - px(0)) / units;
  const bars = Array.from({ length: units }, (_, i) =>
    svg.appendChild(shape("rect", { x: px(i) + 0.1 * width, width: 0.8 * width })),
  );
  const zero = { x1: px(0), x2: px(units), y1: py(0), y2: py(0), stroke: "currentColor" };
  svg.append(shape("line", zero));
  const words = parent.appendChild(element("p", { class: "reading" }));
  return (hidden) => {
    bars.forEach((bar, i) => {
      const end = clamp(py(hidden[i]), top, bottom);
      bar.setAttribute("y", Math.min(end, py(0)));
      bar.setAttribute("height", Math.abs(end - py(0)));
      bar.setAttribute("fill", colours[hidden[i] < 0 ? 1 : 0]);
    });
    const active = l0(hidden), most = hidden.indexOf(Math.max(...hidden));
    words.textContent = `${active} of ${units} units are farther than 0.01 from zero.`;
    const label = `${words.textContent} The strongest is unit ${most} at ${plain(hidden[most])}.`;
    svg.setAttribute("aria-label", `The activations of the last hidden layer as bars. ${label}`);
  };
}

function drawSoftmax(parent, classes, colours) {
  const width = 340, row = 19;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${row * classes}`, role: "img" });
  parent.append(svg);
  const drawn = Array.from({ length: classes }, (_, i) => {
    const name = shape("text", { x: 0, y: row * i + 14 }, i);
    const bar = shape("rect", { class: "bar", x: 20, y: row * i + 3, height: 13 });
    const said = shape("text", { x: width, y: row * i + 14, "text-anchor": "end" });
    svg.append(name, bar, said);
    return { name, bar, said };
  });
  return (shares) => {
    const most = shares.indexOf(Math.max(...shares));
    drawn.forEach(({ name, bar, said }, i) => {
      name.setAttribute("font-weight", i === most ? 700 : 400);
      said.setAttribute("font-weight", i === most ? 700 : 400);
      bar.setAttribute("width", 260 * shares[i]);
      bar.setAttribute("fill", colours[i === most ? 0 : 5]);
      said.textContent = shares[i].toFixed(3);
    });
    const each = shares.map((share, i) => `${i}: ${share.toFixed(3)}`).join(", ");
    svg.setAttribute("aria-label", `The softmax probability of each class, ${each}.`);
  };
}

const placed = ({ low, high }, value) =>
  value > high ? "above the range" : value < low ? "below the range" : "in the range";

const SPARSER = "To the right: sparser. Box: the middle 90% of familiar images.";
const MARKS = "Disc: this image. Ring: the same, dials at zero.";
const NULL = "Dashes: the null, with two standard deviations to each side.";

// Each metric as a line: a box for familiar images, dashes for the null, a disc for this image and a
// ring for the same with the dials at zero. What lies outside the picture is drawn on its edge.
function drawLines(parent, lines, colours, help) {
  const width = 340, row = 50;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${row * lines.length}`, role: "img" });
  parent.append(svg);
  const drawn = lines.map(({ name, low, high, null: null_, reach }, i) => {
    const y = row * i, middle = y + 31;
    const map = scale(reach[0], Math.max(reach[1], reach[0] + 1e-9), 8, width - 8);
    const px = (value) => clamp(map(value), 2, width - 8 + 6);
    const flat = { stroke: "currentColor", y1: middle, y2: middle };
    const line = (attributes) => svg.append(shape("line", { ...flat, ...attributes }));
    line({ x1: 2, x2: width - 2, "stroke-opacity": 0.3 });
    const box = { x: px(low), y: middle - 9, width: Math.max(1, px(high) - px(low)), height: 18 };
    const look = { fill: colours[2], "fill-opacity": 0.25, stroke: colours[2] };
    svg.append(shape("rect", { ...box, ...look }));
    if (null_) {
      const [mean, sd] = null_;
      line({ x1: px(mean - 2 * sd), x2: px(mean + 2 * sd), "stroke-dasharray": DASHES[3] });
      const tall = { y1: middle - 13, y2: middle + 13, "stroke-dasharray": "4 2" };
      line({ x1: px(mean), x2: px(mean), "stroke-width": 2, ...tall });
    }
    svg.append(shape("text", { x: 0, y: y + 13, "font-weight": 600 }, name));
    const said = shape("text", { x: width, y: y + 13, "text-anchor": "end" });
    const round = (more) => shape("circle", { cy: middle, ...more });
    const ring = round({ class: "before", r: 7, fill: "none", stroke: colours[0] });
    const disc = round({ class: "now", r: 5, fill: colours[0] });
    svg.append(said, ring, disc);
    return { said, ring, disc, px };
  });
  parent.append(element("p", { class: "reading" }, help));
  return (values, before) => {
    const each = lines.map((line, i) => {
      const { said, ring, disc, px } = drawn[i];
      ring.setAttribute("cx", px(before[i]));
      disc.setAttribute("cx", px(values[i]));
      said.textContent = `${brief(values[i])}, ${placed(line, values[i])}`;
      const null_ = line.null ? `, null ${brief(line.null[0])}` : "";
      const range = `${brief(line.low)} to ${brief(line.high)}`;
      return `${line.name}: ${said.textContent} ${range}${null_}`;
    });
    svg.setAttribute("aria-label", `Against familiar images. ${each.join("; ")}.`);
  };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const { labels, lines, dials } = state;
  const network = newNetwork(state);
  const images = numbersFromHalves(state.images);
  const root = frame("A figure to move: draw a digit and turn the dials");
  const imageOf = (item) => Array.from(images.slice(SIDE * SIDE * item, SIDE * SIDE * (item + 1)));
  const set = (changes) => {
    model.set(changes);
    model.save_changes();
  };

  // --- The controls ---

  const never = (label) => (state.held_out.includes(label) ? ", a class never learned" : "");
  const known = (item) => `number ${item + 1}, a ${labels[item]}${never(labels[item])}`;
  const chosen = slider(
    { label: "Image", max: labels.length - 1, value: model.get("item"), read: known },
    (item) => set({ item, ink: imageOf(item) }),
  );
  chosen.parts[2].style.minWidth = "19em"; // the slider keeps its width in a drag
  const dial = (name, label, read) => {
    const range = { label, max: dials.steps[name], value: model.get(name), read };
    return slider(range, (to) => set({ [name]: to }));
  };
  const turned = {
    rotation: dial("rotation", "Rotate", (steps) => `${dials.degrees * steps}°`),
    inversion: dial("inversion", "Invert", (steps) => percent(dials.share * steps)),
    noise: dial("noise", "Noise", (steps) => (dials.share * steps).toFixed(2)),
  };
  const button = (label, changes) => {
    const made = element("button", { type: "button", ...OWN_KEYS }, label);
    made.addEventListener("click", () => set(changes));
    return made;
  };
  const zero = button("Dials to zero", { rotation: 0, inversion: 0, noise: 0 });
  const clear = button("Clear the image", { ink: new Array(SIDE * SIDE).fill(0) });
  let pen = 0;
  const pens = choice("Pen", PENS.map(([name]) => name), (number) => (pen = number));
  pens.set(pen);
  const controls = (...parts) => element("div", { class: "controls" }, ...parts);
  root.append(controls(...chosen.parts));
  for (const { parts } of Object.values(turned)) root.append(controls(...parts));
  root.append(controls(zero, clear, pens.root));

  // --- What is shown ---

  const grid = element("div", { class: "panels" });
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  root.append(grid, reading);
  const left = grid.appendChild(element("div")), right = grid.appendChild(element("div"));
  const pair = left.appendChild(element("div", { class: "pair" }));
  const paper = drawGrid(panel(pair, "Draw here"), colours, (cell) => {
    const ink = [...model.get("ink")], value = PENS[pen][1];
    if (ink[cell] === value) return;
    ink[cell] = value;
    set({ ink });
  });
  const seen = drawSeen(panel(pair, "The network sees"), colours);
  const first = forward(network, imageOf(0));
  const help = "Drag to draw, or move with the arrow keys and press Space.";
  left.append(element("p", { class: "reading" }, help));
  const units = panel(left, "Activations of the last hidden layer");
  const layer = drawLayer(units, state.reach, first.hidden.length, colours);
  const alone = [{ ...lines[0], name: "sparseness", null: null }];
  const sparseness = panel(right, "Sparseness of these activations");
  const one = drawLines(sparseness, alone, colours, `${SPARSER} ${MARKS}`);
  const shares = drawSoftmax(panel(right, "Softmax"), first.logits.length, colours);
  const summary = element("summary", OWN_KEYS, "All metrics, with their nulls");
  const more = root.appendChild(element("details", {}, summary));
  const every = panel(more, "Each metric against familiar images");
  const metrics = drawLines(every, lines, colours, `${SPARSER} ${NULL} ${MARKS}`);
  const counted = every.appendChild(element("p", { class: "reading" }));
  const announce = announcer(reading);

  const measure = (pixels) => {
    const { hidden, logits } = forward(network, pixels);
    const probabilities = softmax(logits);
    const values = lines.map(({ name }) => {
      if (name === NORM) return Math.hypot(...hidden);
      return name === SOFTMAX ? Math.max(...probabilities) : METRICS[name](hidden);
    });
    return { hidden, probabilities, values };
  };
  const update = () => {
    const ink = model.get("ink"), item = model.get("item");
    const at = {
      degrees: dials.degrees * model.get("rotation"),
      inversion: dials.share * model.get("inversion"),
      strength: dials.share * model.get("noise"),
    };
    const pixels = shifted(ink, at, state.noise);
    const { hidden, probabilities, values } = measure(pixels);
    chosen.set(item);
    for (const [name, { set }] of Object.entries(turned)) set(model.get(name));
    paper(ink);
    seen(pixels);
    layer(hidden);
    shares(probabilities);
    const before = measure(ink).values;
    one(values, before);
    metrics(values, before);

    const own = imageOf(item).some((value, i) => value !== ink[i]);
    const what = own ? "your drawing" : `image ${known(item)}`;
    const moves = [
      at.degrees ? `rotated by ${at.degrees}°` : "",
      at.inversion ? `inverted by ${percent(at.inversion)}` : "",
      at.strength ? `with noise of ${at.strength.toFixed(2)}` : "",
    ].filter((text) => text);
    const likeliest = probabilities.indexOf(Math.max(...probabilities));
    const places = lines.map((line, i) => placed(line, values[i]));
    const metricsOnly = places.filter((_, i) => lines[i].null);
    const number = (place) => metricsOnly.filter((one) => one === place).length;
    counted.textContent =
      `Of ${metricsOnly.length} metrics, ${number("above the range")} say sparser than the range ` +
      `of familiar images, ${number("below the range")} denser. The weights are rounded for the ` +
      `page, which changes the logits of the images to choose by at most ${state.rounding}.`;
    const [{ low, high }] = lines;
    const side = { "above the range": "sparser than", "below the range": "denser than" };
    const sentence =
      `Shown: ${[what, ...moves].join(", ")}. The network says ${likeliest}, with a softmax of ` +
      `${brief(Math.max(...probabilities))}. Its sparseness is ${brief(values[0])}, ` +
      `${side[places[0]] ?? "in"} the range of familiar images, ${brief(low)} to ${brief(high)}.`;
    announce(sentence);
  };
  const moving = ["ink", "item", "rotation", "inversion", "noise"];
  return standing({ model, el }, root, moving, update);
}

export default { render };
