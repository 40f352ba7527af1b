// What all figures that move share: drawing in SVG, axes, curves with bands, dragging. It stands
// below page.js; each figure's own script follows.

const DASHES = ["none", "6 3", "8 3 2 3", "2 2"];

function shape(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// A number with a true minus, and without a sign if it is rounded to zero.
function plain(number, places = 2) {
  const text = Math.abs(number).toFixed(places);
  return number < 0 && Number(text) ? `−${text}` : text;
}

// The element that holds a whole figure.
function frame(label) {
  return element("div", { class: "moving-figure widget-area", role: "group", "aria-label": label });
}

// A titled part of a figure.
function panel(parent, title) {
  const made = element("div", { class: "panel" }, element("h4", {}, title));
  parent.append(made);
  return made;
}

// A linear map from [from, to] to [start, end], with its inverse.
function scale(from, to, start, end) {
  const map = (value) => start + ((value - from) / (to - from)) * (end - start);
  map.inverse = (pixel) => from + ((pixel - start) / (end - start)) * (to - from);
  return map;
}

// Round numbers from 0 to `end`, at least three and at most six of them.
function ticksUpTo(end) {
  const power = 10 ** Math.floor(Math.log10(end));
  const step = [0.2, 0.5, 1, 2].map((part) => part * power).find((step) => end / step < 6);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => i * step);
}

// Round numbers in a range, about five of them.
function ticksBetween(from, to) {
  const power = 10 ** Math.floor(Math.log10(to - from));
  const step = [0.1, 0.2, 0.5, 1, 2].map((part) => part * power).find((s) => (to - from) / s < 6);
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => (first + i) * step);
}

// A plot of fixed inner size that scales with its column. `x` and `y` are [low, high, ticks].
// `format` and `formatX` write a tick's value.
function plot(panel, options) {
  const { x, y, xLabel, yLabel, label, format = String, formatX = format } = options;
  const { width = 340, height = 220 } = options;
  const left = 46, right = width - 18, top = 8, bottom = height - 40;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const px = scale(x[0], x[1], left, right);
  const py = scale(y[0], y[1], bottom, top);
  const line = (a, b, c, d, more = {}) =>
    shape("line", { x1: a, y1: b, x2: c, y2: d, stroke: "currentColor", ...more });
  for (const tick of y[2]) {
    svg.append(line(left, py(tick), right, py(tick), { "stroke-opacity": 0.15 }));
    const at = { x: left - 6, y: py(tick) + 4, "text-anchor": "end" };
    svg.append(shape("text", at, format(tick)));
  }
  for (const tick of x[2]) {
    svg.append(line(px(tick), bottom, px(tick), bottom + 4));
    svg.append(shape("text", { x: px(tick), y: bottom + 17, "text-anchor": "middle" }, formatX(tick)));
  }
  svg.append(line(left, bottom, right, bottom), line(left, top, left, bottom));
  const middle = (left + right) / 2;
  svg.append(shape("text", { x: middle, y: height - 6, "text-anchor": "middle" }, xLabel));
  if (yLabel) {
    const at = `translate(12 ${(top + bottom) / 2}) rotate(-90)`;
    svg.append(shape("text", { transform: at, "text-anchor": "middle" }, yLabel));
  }
  panel.append(svg);
  return { svg, px, py, left, right, top, bottom };
}

// A mean with its interval as a band: {x, estimate, low, high} as arrays. What lies outside the plot
// is drawn on its edge.
function curve({ svg, px, py, top, bottom }, points, colour, style) {
  const xs = points.x.map(px);
  const trace = (values) =>
    xs.map((x, i) => `${x},${Math.max(top, Math.min(bottom, py(values[i])))}`);
  const [up, down, middle] = [points.high, points.low, points.estimate].map(trace);
  down.reverse();
  const band = { points: [...up, ...down].join(" "), fill: colour, "fill-opacity": 0.2 };
  const look = { fill: "none", stroke: colour, "stroke-width": 2 };
  const line = { points: middle.join(" "), "stroke-dasharray": DASHES[style] };
  svg.append(shape("polygon", band), shape("polyline", { ...look, ...line }));
}

// Bars with their labels above them; one of length `most` is as wide as the panel. What it returns
// sets their lengths and the texts beside the labels.
function bars(parent, { labels, most, colours, label }) {
  const width = 340, row = 44;
  const viewBox = `0 0 ${width} ${row * labels.length}`;
  const svg = shape("svg", { viewBox, role: "img", "aria-label": label });
  parent.append(svg);
  const drawn = labels.map((name, i) => {
    svg.append(shape("text", { x: 0, y: row * i + 14 }, name));
    const at = { class: "bar", x: 0, y: row * i + 20, height: 14, fill: colours[i] };
    const said = shape("text", { x: width, y: row * i + 14, "text-anchor": "end" });
    svg.append(said);
    return [svg.appendChild(shape("rect", at)), said];
  });
  return (values, texts) =>
    drawn.forEach(([bar, said], i) => {
      bar.setAttribute("width", (width * values[i]) / most);
      said.textContent = texts[i];
    });
}

const GONE = [128, 128, 128, 50]; // red, green, blue, opacity: faint on light and on dark

// Red, green, blue and opacity of a colour such as "#0072B2".
function rgba(colour, opacity = 255) {
  return [...[1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)), opacity];
}

// A canvas of tiles of height × width pixels, a clear pixel between them. `paint` takes the colour
// of each pixel, one tile after the other.
function tiles(parent, { columns, rows, height, width }) {
  const size = { width: columns * (width + 1) - 1, height: rows * (height + 1) - 1 };
  const canvas = element("canvas", { ...size, role: "img" });
  parent.append(canvas);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const paint = (colourOf) => {
    for (let i = 0; i < rows * columns * height * width; i += 1) {
      const tile = Math.floor(i / (height * width)), pixel = i % (height * width);
      const x = (tile % columns) * (width + 1) + (pixel % width);
      const y = Math.floor(tile / columns) * (height + 1) + Math.floor(pixel / width);
      image.data.set(colourOf(i), 4 * (y * canvas.width + x));
    }
    context.putImageData(image, 0, 0);
  };
  return { canvas, paint };
}

// Call `moved(x, y)` with the place of the pointer in the plot's own units while it is dragged.
function draggable({ svg, px, py }, moved) {
  svg.classList.add("drag");
  const report = (event) => {
    const pointer = new DOMPoint(event.clientX, event.clientY);
    const { x, y } = pointer.matrixTransform(svg.getScreenCTM().inverse());
    moved(px.inverse(x), py.inverse(y));
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    svg.setPointerCapture(event.pointerId);
    report(event);
  });
  svg.addEventListener("pointermove", (event) => {
    if (svg.hasPointerCapture(event.pointerId)) report(event);
  });
}

// A labelled slider over whole numbers. `read(value)` says a value in words.
function slider({ label, max, value, read }, moved) {
  const id = uniqueId("slider");
  const range = { type: "range", min: 0, max, step: 1, value };
  const input = element("input", { id, ...range, ...OWN_KEYS });
  const output = element("output", { for: id, "aria-hidden": "true" });
  const set = (next) => {
    input.value = next;
    input.setAttribute("aria-valuetext", read(next));
    output.textContent = read(next);
  };
  set(value);
  input.addEventListener("input", () => moved(Number(input.value)));
  return { parts: [element("label", { for: id }, label), input, output], set };
}

// A choice of one among a few names.
function choice(legend, labels, chosen) {
  const name = uniqueId("choice");
  const root = element("div", { role: "radiogroup", "aria-label": legend }, `${legend}: `);
  const inputs = labels.map((label, i) => {
    const input = element("input", { type: "radio", name, value: i, ...OWN_KEYS });
    input.addEventListener("change", () => chosen(i));
    root.append(element("label", {}, input, ` ${label}`), " "); // a line may end here
    return input;
  });
  return { root, set: (i) => (inputs[i].checked = true) };
}

// A button that goes on a step at a time, and stops at the end or when it is pressed again. `at()` is
// where the figure is; `told(playing)` hears when it starts and stops.
function player({ max, at, pause = 900 }, moved, told) {
  const button = element("button", { type: "button", ...OWN_KEYS }, "Play");
  let timer = null;
  const set = (playing) => {
    clearInterval(timer);
    timer = playing ? setInterval(step, pause) : null;
    button.textContent = playing ? "Pause" : "Play";
    told(playing);
  };
  const step = () => {
    moved(Math.min(at() + 1, max));
    if (at() >= max) set(false);
  };
  button.addEventListener("click", () => {
    if (!timer && at() >= max) moved(0);
    set(!timer);
  });
  return { button, stop: () => timer && set(false) };
}

// Say a text to screen readers once the hand rests, not at every step of a drag; the first at once.
function announcer(target) {
  let waiting;
  return (text) => {
    clearTimeout(waiting);
    if (!target.textContent) target.textContent = text;
    else waiting = setTimeout(() => (target.textContent = text), 400);
  };
}

// Draw a figure, let it follow these values of its model, and put it in the place of what stands in
// for it. What it gives back takes it away again; `leave`, if given, is called then too.
function standing({ model, el }, root, names, update, leave = () => {}) {
  update();
  const events = names.map((name) => `change:${name}`);
  for (const event of events) model.on(event, update);
  el.append(root);
  const undo = hideStill(model.get("still_id"));
  return () => {
    leave();
    for (const event of events) model.off(event, update);
    undo();
  };
}

function nearest(values, wanted) {
  const distance = values.map((value) => Math.abs(value - wanted));
  return distance.indexOf(Math.min(...distance));
}

function bytesFromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
