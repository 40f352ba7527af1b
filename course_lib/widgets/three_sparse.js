// One slider, three things called sparse: weights, activations and the code of a picture. What is
// zero is faint; blue is above zero, orange below. All numbers come with the state.

const NAMES = ["weights", "activations", "code"];
const TITLES = [
  "Weights: connections are cut",
  "Activations: neurons are silent",
  "A code: few parts describe a picture",
];
const share = (level) => `${Math.round(1000 * level) / 10}% zeros`;

// Signed bytes, as whole numbers from −127 to 127.
const signed = (text) => Int8Array.from(bytesFromBase64(text));

function drawCells(parent, cell, colours, name) {
  const { canvas, paint } = tiles(parent, cell);
  const values = cell.values.map(signed);
  const survived = cell.survived ? bytesFromBase64(cell.survived) : null;
  // The cells of neurons and latents are squares of several pixels of one value.
  const pixels = (cell.height * cell.width * cell.rows * cell.columns) / values[0].length;
  const shades = colours.slice(0, 2).map((colour) => rgba(colour));
  return (level) => {
    const now = values[Math.min(level, values.length - 1)];
    const kept = (i) => (survived ? survived[i] > level : true) && now[i] !== 0;
    paint((pixel) => {
      const i = Math.floor(pixel / pixels);
      if (!kept(i)) return GONE;
      const [r, g, b] = shades[now[i] > 0 ? 0 : 1];
      return [r, g, b, 75 + Math.round((180 * Math.abs(now[i])) / 127)];
    });
    const left = now.reduce((count, _, i) => count + kept(i), 0);
    const text = `${left.toLocaleString("en")} of ${now.length.toLocaleString("en")} are not zero`;
    canvas.setAttribute("aria-label", `The ${name} as cells: ${text}.`);
    return text;
  };
}

function drawPictures(parent, state) {
  const [height, width] = state.picture;
  const both = element("div", { class: "pair" });
  const drawn = ["the picture", "rebuilt"].map((name) => {
    const one = element("div", {}, element("small", {}, name));
    both.append(one);
    return tiles(one, { columns: 1, rows: 1, height, width });
  });
  parent.append(both);
  const grey = state.pictures.map(bytesFromBase64);
  return (level) => {
    [grey[0], grey[1 + level]].forEach((ink, i) => {
      drawn[i].paint((pixel) => [128, 128, 128, 30 + Math.round((225 * ink[pixel]) / 255)]);
      drawn[i].canvas.setAttribute("aria-label", i ? "The picture, rebuilt from its code." : "The picture, before it was coded.");
    });
  };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const root = frame("A figure to move: three things called sparse");
  const move = (level) => {
    model.set("level", level);
    model.save_changes();
  };
  const read = (level) => share(state.levels[level]);
  const max = state.levels.length - 1;
  const control = slider({ label: "Share of zeros", max, value: model.get("level"), read }, move);
  const grid = element("div", { class: "panels" });
  root.append(element("div", { class: "controls" }, ...control.parts), grid);

  const said = (value) => value.toFixed(1);
  const effect = (i, level) => {
    const { told, estimate, low, high } = state.effects[i];
    return `${told} ${said(estimate[level])}% [${said(low[level])}, ${said(high[level])}]`;
  };
  const parts = NAMES.map((name, i) => {
    const place = panel(grid, TITLES[i]);
    const set = drawCells(place, state.cells[i], colours, name);
    const pictures = name === "code" ? drawPictures(place, state) : () => {};
    const line = element("p", { class: "reading" });
    place.append(line);
    return (level) => {
      line.textContent = `${set(level)}: ${effect(i, level)}.`;
      pictures(level);
    };
  });
  const reading = element("p", { class: "reading", "aria-live": "polite" });
  root.append(reading);
  const announce = announcer(reading);
  const sentence = (level) =>
    `${read(level)}. ${NAMES.map((name, i) => `${name}: ${effect(i, level)}`).join("; ")}.`;

  const update = () => {
    const level = model.get("level");
    control.set(level);
    for (const set of parts) set(level);
    announce(sentence(level));
  };
  return standing({ model, el }, root, ["level"], update);
}

export default { render };
