// Press publish: one draw becomes a paper. Twenty papers are a shelf, and below it stands what all
// seeds say. What a headline claims, the one draw says; which of several headlines it is, is chance.

const HEADLINES = {
  sparser: [
    ({ dial, network }) => `Sparser under ${dial}: a ${network} meets the unfamiliar`,
    ({ dial }) => `Unfamiliar inputs are sparser: the case of ${dial}`,
    ({ dial, network }) => `A ${network} grows sparser with ${dial}`,
  ],
  denser: [
    ({ dial, network }) => `Denser under ${dial}: a ${network} meets the unfamiliar`,
    ({ dial }) => `Unfamiliar inputs are denser: the case of ${dial}`,
    ({ dial, network }) => `A ${network} grows denser with ${dial}`,
  ],
  "no difference": [
    ({ dial, network }) => `No change under ${dial}: a ${network} meets the unfamiliar`,
    ({ dial }) => `Unfamiliar inputs are as sparse as others: the case of ${dial}`,
    ({ dial, network }) => `A ${network} keeps its sparseness with ${dial}`,
  ],
};
const CLOSING = {
  sparser: "Unfamiliar inputs are represented more sparsely.",
  denser: "Unfamiliar inputs are represented more densely.",
  "no difference": "Sparseness does not tell unfamiliar inputs from familiar ones.",
};

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const wordOf = ({ low, high }) => (low > 0 ? "sparser" : high < 0 ? "denser" : "no difference");
const signed = (number) => (Number(number.toFixed(1)) > 0 ? "+" : "") + plain(number, 1);

function paperOf(draw, headline, { unit }) {
  const word = wordOf(draw);
  const ends = `${signed(draw.change)} ${unit} [${signed(draw.low)}, ${signed(draw.high)}]`;
  return {
    draw,
    word,
    headline: HEADLINES[word][headline](draw),
    abstract:
      `We trained a ${draw.network} and showed it ${draw.images} images, first as they are, then with ` +
      `the dial “${draw.dial}” at its strongest. The sparseness of the last hidden layer changed ` +
      `by ${ends}, mean and 95% interval over images. ${CLOSING[word]}`,
  };
}

// What all seeds say, a panel for each network. What it returns draws the papers' points.
function drawHonest(parent, state, colours) {
  const { honest, draws, unit } = state;
  const all = [...draws.map(({ change }) => change), ...honest.flatMap(({ low, high }) => [low, high])];
  const [from, to] = [Math.min(0, ...all), Math.max(0, ...all)];
  const room = 0.04 * (to - from), row = 28, top = 8;
  const grid = element("div", { class: "panels" });
  parent.append(grid);
  const networks = [...new Set(honest.map(({ network }) => network))].map((network) => {
    const rows = honest.filter((one) => one.network === network);
    const { svg, px, left, bottom } = plot(panel(grid, network), {
      x: [from - room, to + room, ticksBetween(from, to)],
      y: [0, 1, []],
      height: top + row * rows.length + 44,
      format: (value) => plain(value, value % 1 ? 1 : 0),
      xLabel: `change of sparseness (${unit})`,
      label: `${network}, all seeds: ${rows.map((one) => `${one.dial} ${wordOf(one)}`).join(", ")}.`,
    });
    const zero = { x1: px(0), x2: px(0), y1: top, y2: bottom, stroke: "currentColor" };
    svg.append(shape("line", zero));
    rows.forEach(({ dial, low, high }, i) => {
      const y = top + row * i;
      svg.append(shape("text", { x: left + 6, y: y + 12 }, dial));
      const bar = { x: px(low), width: px(high) - px(low), y: y + 16, height: 8 };
      svg.append(shape("rect", { ...bar, fill: colours[0] }));
    });
    return { network, svg, px, yOf: (dial) => top + 20 + row * rows.findIndex((r) => r.dial === dial) };
  });
  return (papers) => {
    for (const { network, svg, px, yOf } of networks) {
      for (const old of svg.querySelectorAll("circle")) old.remove();
      for (const { draw } of papers.filter((paper) => paper.draw.network === network)) {
        const look = { r: 4, fill: colours[1], stroke: "currentColor", "stroke-width": 0.75 };
        svg.append(shape("circle", { cx: px(draw.change), cy: yOf(draw.dial), ...look }));
      }
    }
  };
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const root = frame("A figure to move: the one-seed journal");
  let papers = [], left = [];

  const publish = element("button", { type: "button", ...OWN_KEYS });
  const fill = element("button", { type: "button", ...OWN_KEYS }, "Fill the shelf");
  const newest = element("div", { class: "paper", role: "status" });
  const shelf = element("div", { class: "shelf" });
  const columns = Object.keys(HEADLINES).map((word) => {
    const part = element("div", {});
    shelf.append(part);
    return { word, part };
  });
  const told = element("p", { role: "status" });
  const seeds = Math.max(...state.honest.map((one) => one.seeds));
  const key = `Below: bars are 95% intervals over ${seeds} seeds, points are your papers.`;
  const after = element("div", {}, told, element("p", {}, key));
  const setHonest = drawHonest(after, state, colours);

  const random = (n) => Math.floor(Math.random() * n);
  const take = () => {
    const [draw] = left.splice(random(left.length), 1);
    papers.push(paperOf(draw, random(HEADLINES[wordOf(draw)].length), state));
  };
  const startAgain = () => {
    papers = [];
    left = [...state.draws];
  };
  const compare = () => {
    const fits = papers.filter(({ draw, word }) => {
      const same = (one) => one.dial === draw.dial && one.network === draw.network;
      return wordOf(state.honest.find(same)) === word;
    }).length;
    const count = (word) => state.honest.filter((one) => wordOf(one) === word).length;
    const agree = `Of your ${papers.length} papers, ${fits} say what all seeds say of their network and dial.`;
    return [
      element("strong", {}, agree),
      ` And all seeds say: of ${state.honest.length} pairs of network and dial, ` +
        `${count("sparser")} sparser, ${count("denser")} denser, ${count("no difference")} not told ` +
        "from no change. Every number in a paper is right. Its interval over images knows nothing " +
        "of other seeds, networks and dials.",
    ];
  };
  const update = () => {
    const full = papers.length >= state.papers;
    publish.textContent = full ? "Start again" : "Publish";
    fill.hidden = full;
    const last = papers.at(-1);
    newest.replaceChildren(
      ...(last
        ? [
            element("h4", {}, last.headline),
            element("p", {}, last.abstract),
            element("p", { class: "small" }, `Paper ${papers.length}. One network, seed ${last.draw.seed}.`),
          ]
        : [element("p", {}, "Press publish: one seed, one dial and one network become a paper.")]),
    );
    shelf.hidden = papers.length === 0;
    for (const { word, part } of columns) {
      const some = papers.filter((paper) => paper.word === word);
      const list = some.map(({ headline, draw }) =>
        element(
          "li", {}, headline,
          element("span", { class: "small" }, ` (${draw.network}, ${draw.dial}, seed ${draw.seed})`),
        ),
      );
      part.replaceChildren(
        element("h4", {}, `${capital(word)}: ${some.length}`), element("ul", {}, ...list),
      );
    }
    after.hidden = !full;
    if (full) {
      setHonest(papers);
      told.replaceChildren(...compare());
    }
  };
  publish.addEventListener("click", () => {
    if (papers.length >= state.papers) startAgain();
    else take();
    update();
  });
  fill.addEventListener("click", () => {
    while (papers.length < state.papers) take();
    update();
    publish.focus();
  });
  startAgain();
  update();
  root.append(element("div", { class: "controls" }, publish, fill), newest, shelf, after);
  el.append(root);
  return hideStill(model.get("still_id"));
}

export default { render };
