// Pick a latent: the images to which it responds, its direction seen from the pixels, and what
// happens without it. All numbers come with the state.

const SIDE = 8, SHOWN = 6; // pixels of an image, images in a row
const percent = (part) => `${(100 * part).toFixed(1)}%`;

function change(number, places) {
  const text = plain(number, places);
  return number > 0 && Number(text) ? `+${text}` : text;
}

// Firing rates of all latents, of each network in a colour and a dash of its own.
function drawRates(parent, { networks, digits }, colours) {
  const rates = networks.map(({ latents }) => latents.map((one) => (100 * one.active) / digits.length));
  const last = Math.max(2, ...rates.map((values) => values.length));
  const most = Math.max(...rates.flat());
  const chart = plot(parent, {
    x: [1, last, [1, ...ticksUpTo(last).slice(1)].map(Math.round)],
    y: [0, most, ticksUpTo(most)],
    format: (value) => String(Number(value.toFixed(1))),
    xLabel: "latent, by firing rate",
    yLabel: "active on (% of images)",
    label: "Share of the images on which each latent is active, the latents in that order.",
  });
  const { svg, px, py, top, bottom, right } = chart;
  const now = shape("line", { class: "chosen", stroke: "currentColor", "stroke-width": 2 });
  now.setAttribute("y1", top);
  now.setAttribute("y2", bottom);
  svg.append(now);
  networks.forEach(({ label }, i) => {
    const look = { fill: "none", stroke: colours[i], "stroke-width": 2, "stroke-dasharray": DASHES[i] };
    const points = rates[i].map((rate, rank) => `${px(rank + 1)},${py(rate)}`).join(" ");
    const y = top + 14 + 16 * i;
    const key = { x1: right - 24, x2: right, y1: y - 4, y2: y - 4 };
    svg.append(shape("polyline", { points, ...look }), shape("line", { ...key, ...look }));
    svg.append(shape("text", { x: right - 30, y, "text-anchor": "end" }, label));
  });
  const dot = svg.appendChild(shape("circle", { r: 5 }));
  const set = (network, rank) => {
    const x = px(rank + 1);
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", py(rates[network][rank]));
    dot.setAttribute("fill", colours[network]);
  };
  return { chart, set };
}

// A row of images, each with its digit and the latent's activation below.
function drawImages(parent, state, images, colours, what) {
  const { canvas, paint } = tiles(parent, { rows: 1, columns: SHOWN, height: SIDE, width: SIDE });
  const labels = element("div", { class: "tile-labels", "aria-hidden": "true" });
  parent.append(labels);
  return ({ image, value }) => {
    const size = SIDE * SIDE;
    paint((i) => {
      const from = image[Math.floor(i / size)];
      return rgba(colours[0], from === undefined ? 0 : images[from * size + (i % size)]);
    });
    const said = image.map((from, i) => [String(state.digits[from]), value[i].toFixed(2)]);
    labels.replaceChildren(
      ...said.map(([digit, at]) => element("div", {}, element("strong", {}, digit), ` ${at}`)),
    );
    const spoken = said.map(([digit, at]) => `a ${digit} at ${at}`).join(", ");
    canvas.setAttribute("aria-label", `${what}, with the latent's activation: ${spoken}.`);
  };
}

// A pixel is three by three here, and one that counts against the latent has a hole.
function drawDirection(parent, colours) {
  const { canvas, paint } = tiles(parent, { rows: 1, columns: 1, height: 3 * SIDE, width: 3 * SIDE });
  canvas.style.maxWidth = "12rem";
  const text = element("p", { class: "reading" });
  parent.append(text);
  return ({ direction, slope }) => {
    const values = new Int8Array(bytesFromBase64(direction).buffer);
    paint((i) => {
      const x = i % (3 * SIDE), y = Math.floor(i / (3 * SIDE));
      const value = values[Math.floor(y / 3) * SIDE + Math.floor(x / 3)];
      const hole = value < 0 && x % 3 === 1 && y % 3 === 1;
      return rgba(colours[value < 0 ? 1 : 0], hole ? 0 : Math.round((255 * Math.abs(value)) / 127));
    });
    text.textContent =
      "Full pixels: ink here moves the layer along the latent's direction. Pixels with a hole: " +
      "against it. " +
      `The strongest colour is a slope of ${slope}.`;
    const plus = values.filter((value) => value > 12).length;
    const minus = values.filter((value) => value < -12).length;
    canvas.setAttribute(
      "aria-label",
      `The latent's direction as an image: ink in ${plus} of ${values.length} pixels clearly moves ` +
        `the layer along it, in ${minus} against it. The strongest slope is ${slope}.`,
    );
  };
}

// A bar for each class, to the left of zero if the value is negative. The scale is the same for all
// latents, so that a weak one looks weak.
function drawClasses(parent, rows, colours, { label, say }) {
  const width = 340, height = 20, count = rows[0].length;
  const low = Math.min(0, ...rows.flat()), high = Math.max(0, ...rows.flat());
  const px = scale(low, high > low ? high : 1, 24, width - 56);
  const viewBox = `0 0 ${width} ${height * count}`;
  const svg = shape("svg", { viewBox, role: "img" });
  parent.append(svg);
  const drawn = rows[0].map((_, i) => {
    const y = height * i;
    svg.append(shape("text", { x: 2, y: y + 15 }, String(i)));
    const bar = svg.appendChild(shape("rect", { class: "bar", y: y + 3, height: 14 }));
    return [bar, svg.appendChild(shape("text", { x: width, y: y + 15, "text-anchor": "end" }))];
  });
  const zero = { x1: px(0), x2: px(0), y1: 0, y2: height * count, stroke: "currentColor" };
  svg.append(shape("line", zero));
  return (values) => {
    drawn.forEach(([bar, said], i) => {
      bar.setAttribute("x", Math.min(px(0), px(values[i])));
      bar.setAttribute("width", Math.abs(px(values[i]) - px(0)));
      bar.setAttribute("fill", colours[values[i] < 0 ? 1 : 0]);
      said.textContent = say(values[i]);
    });
    const all = values.map((value, i) => `${i}: ${say(value)}`).join(", ");
    svg.setAttribute("aria-label", `${label}: ${all}.`);
  };
}

function farthest(values) {
  const sizes = values.map(Math.abs);
  return sizes.indexOf(Math.max(...sizes));
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const { networks, digits } = state;
  const images = bytesFromBase64(state.images);
  const root = frame("A figure to move: pick a latent and see what it responds to");
  const latents = () => networks[model.get("network")].latents;
  const rank = () => Math.min(model.get("rank"), latents().length - 1);
  const go = (network, next) => {
    const last = networks[network].latents.length - 1;
    model.set({ network, rank: Math.max(0, Math.min(next, last)) });
    model.save_changes();
  };
  const toRank = (next) => go(model.get("network"), next);

  const read = (next) => {
    const one = latents()[Math.min(next, latents().length - 1)];
    return `number ${one.number}, active on ${percent(one.active / digits.length)}`;
  };
  const max = latents().length - 1;
  const control = slider({ label: "Latent", max, value: rank(), read }, toRank);
  control.parts[2].style.minWidth = "14em"; // the slider keeps its width in a drag
  const button = element("button", { type: "button", ...OWN_KEYS }, "One at random");
  button.addEventListener("click", () => {
    const step = 1 + Math.floor(Math.random() * (latents().length - 1)); // never the same again
    toRank((rank() + step) % latents().length);
  });
  const labels = networks.map(({ label }) => label);
  const which = choice("Network", labels, (network) => go(network, rank()));
  const grid = element("div", { class: "panels" });
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  const controls = element("div", { class: "controls" }, ...control.parts, button);
  if (networks.length > 1) controls.prepend(which.root);
  root.append(controls, grid, reading);

  const all = networks.flatMap((network) => network.latents);
  const rates = drawRates(panel(grid, "Firing rates"), state, colours);
  const direction = drawDirection(panel(grid, "Its direction, seen from the pixels"), colours);
  const row = (title) => drawImages(panel(grid, title), state, images, colours, title);
  const strongest = row("The images on which it is strongest");
  const spread = row("From strongest to weakest, evenly by rank");
  const means = drawClasses(
    panel(grid, "Mean activation by digit"),
    all.map((one) => one.means),
    colours,
    { label: "Mean activation over all images of each digit", say: plain },
  );
  const last = panel(grid, "Change of each logit without it");
  const effects = drawClasses(
    last,
    all.map((one) => one.effects),
    colours,
    { label: "Mean change of each logit where it is active", say: change },
  );
  const accuracy = element("p", { class: "reading" });
  last.append(accuracy);
  draggable(rates.chart, (x) => toRank(Math.round(x) - 1));

  const announce = announcer(reading);
  const sentence = () => {
    const one = latents()[rank()];
    const most = farthest(one.means), moved = farthest(one.effects);
    return (
      `Latent ${one.number} of “${labels[model.get("network")]}” is active on ` +
      `${percent(one.active / digits.length)} of the images, most for digit ${most}. Without it, ` +
      `where it is active, the logit of ${moved} changes most.`
    );
  };
  const update = () => {
    const one = latents()[rank()];
    which.set(model.get("network"));
    control.parts[1].max = latents().length - 1;
    control.set(rank());
    rates.set(model.get("network"), rank());
    direction(one);
    strongest(one.strongest);
    spread(one.spread);
    means(one.means);
    effects(one.effects);
    accuracy.textContent = `Accuracy on all images: ${change(one.accuracy, 1)} points.`;
    announce(sentence());
  };
  return standing({ model, el }, root, ["network", "rank"], update);
}

export default { render };
