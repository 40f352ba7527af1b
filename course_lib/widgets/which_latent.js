// Which latent has learned nothing? A round shows a latent of each source by its strongest images; once
// one is chosen, the weaker ones come too, and the choice may be changed.

const LETTERS = "ABCDEF";

function imageRow(parent, state, pixels, indices, colour, label) {
  const { canvas, paint } = tiles(parent, { columns: indices.length, rows: 1, height: 8, width: 8 });
  const [red, green, blue] = rgba(colour);
  paint((i) => [red, green, blue, pixels[64 * indices[Math.floor(i / 64)] + (i % 64)]]);
  const digits = indices.map((i) => state.digits[i]).join(", ");
  canvas.setAttribute("aria-label", `${label}, from strong to weak: digits ${digits}.`);
}

const share = (number) => `${Math.round(100 * number)}%`;

// A score with its exact interval against guessing.
function scoreInWords(score, { rounds, sources, intervals }) {
  const [low, high] = intervals[score], chance = 1 / sources.length;
  const verdict =
    low > chance ? "better than guessing" : high < chance ? "worse than guessing" : "not told from guessing";
  const ends = `${share(low)}, ${share(high)}`;
  return `${score} of ${rounds.length}, ${share(score / rounds.length)} [${ends}]: ${verdict}`;
}

function drawScores(parent, state, scores, colours) {
  const chance = 1 / state.sources.length, n = state.rounds.length, row = 40, top = 8;
  const { svg, px, left, bottom } = plot(parent, {
    x: [0, 1, [0, 0.25, 0.5, 0.75, 1]],
    y: [0, 1, []],
    height: top + row * scores.length + 40,
    format: share,
    xLabel: "share right, with 95% interval; the line is guessing",
    label: scores.map(({ name, score }) => `${name}: ${scoreInWords(score, state)}`).join(". "),
  });
  const line = { x1: px(chance), x2: px(chance), y1: top, y2: bottom, stroke: "currentColor" };
  svg.append(shape("line", { ...line, "stroke-dasharray": "4 4" }));
  scores.forEach(({ name, score }, i) => {
    const y = top + row * i, [low, high] = state.intervals[score];
    svg.append(shape("text", { x: left + 6, y: y + 14 }, name));
    const bar = { x1: px(low), x2: px(high), y1: y + 26, y2: y + 26, "stroke-width": 3 };
    svg.append(shape("line", { ...bar, stroke: colours[i] }));
    svg.append(shape("circle", { cx: px(score / n), cy: y + 26, r: 5, fill: colours[i] }));
  });
}

function render({ model, el }) {
  const state = model.get("state"), colours = model.get("palette");
  const { rounds, sources, learned } = state;
  const pixels = bytesFromBase64(state.images);
  const root = frame("A figure to move: which latent is the trained network's?");
  const game = element("div"), said = element("p", { class: "told", role: "status" });
  root.append(game, said);
  const answers = []; // for each round [first choice, last choice]
  const press = (text, act) => {
    const made = element("button", { type: "button", ...OWN_KEYS }, text);
    made.addEventListener("click", act);
    return made;
  };

  // The latents of a round, each with a radio button; `weak` shows the weaker images too.
  function ask(number, weak, chosen) {
    const name = uniqueId("latent"), legend = `Round ${number + 1} of ${rounds.length}. `;
    const question = weak
      ? "Now with weaker images. Stay, or change your mind?"
      : `Which latent is the ${sources[learned]}’s?`;
    const field = element("fieldset", {}, element("legend", {}, legend + question));
    const grid = element("div", { class: "panels latents" });
    const inputs = rounds[number].map(({ strong, weak: weaker }, i) => {
      const input = element("input", { type: "radio", name, ...OWN_KEYS });
      input.checked = i === chosen;
      const part = element("div", {}, element("label", {}, input, `Latent ${LETTERS[i]}`));
      imageRow(part, state, pixels, strong, colours[0], `Latent ${LETTERS[i]}, strongest images`);
      if (weak) {
        part.append(element("p", { class: "small" }, "weaker images"));
        imageRow(part, state, pixels, weaker, colours[0], `Latent ${LETTERS[i]}, weaker images`);
      }
      part.addEventListener("click", () => (input.checked = true)); // on the images too
      grid.append(part);
      return input;
    });
    field.append(grid);
    return { field, inputs, choice: () => inputs.findIndex((input) => input.checked) };
  }

  function first(number, focus = true) {
    const { field, inputs, choice } = ask(number, false);
    const go = press("Choose, and see weaker images", () => {
      if (choice() < 0) {
        said.textContent = "Choose a latent first.";
        inputs[0].focus();
      } else second(number, choice());
    });
    game.replaceChildren(field, element("div", { class: "controls" }, go));
    if (focus) inputs[0].focus();
  }

  function second(number, chosen) {
    const { field, inputs, choice } = ask(number, true, chosen);
    const last = number + 1 === rounds.length;
    const go = press("This is my answer", () => {
      answers.push([chosen, choice()]);
      const right = rounds[number].findIndex(({ source }) => source === learned);
      const kinds = rounds[number].map(({ source }, i) => `${LETTERS[i]}: ${sources[source]}`);
      if (last) end();
      else first(number + 1);
      said.textContent =
        `Round ${number + 1}: ${choice() === right ? "right" : "wrong"}. ${kinds.join("; ")}.`;
    });
    game.replaceChildren(field, element("div", { class: "controls" }, go));
    said.textContent = "";
    inputs[chosen].focus();
  }

  function end() {
    const isRight = (number, choice) => rounds[number][choice].source === learned;
    const score = (which) => answers.filter((pair, i) => isRight(i, pair[which])).length;
    const scores = [
      { name: "strongest images alone", score: score(0) },
      { name: "with weaker images", score: score(1) },
    ];
    const changed = answers.flatMap(([before, after], i) => (before === after ? [] : [i]));
    const better = changed.filter((i) => isRight(i, answers[i][1])).length;
    const worse = changed.filter((i) => isRight(i, answers[i][0])).length;
    const wrong = sources.flatMap((name, source) => {
      const n = answers.filter(([, after], i) => rounds[i][after].source === source).length;
      return source === learned || !n ? [] : [`${n} × ${name}`];
    });
    const result = element("div", { tabindex: "-1", class: "alone" });
    const part = panel(result, "Your score");
    drawScores(part, state, scores, colours);
    const list = scores.map(({ name, score: n }) => `${capital(name)}: ${scoreInWords(n, state)}.`);
    const others = changed.length - better - worse;
    list.push(
      `You changed your mind in ${changed.length} rounds: ${better} for the better, ${worse} for ` +
        `the worse${others ? `, ${others} from one wrong latent to another` : ""}.`,
    );
    if (wrong.length) list.push(`What misled you in the end: ${wrong.join(", ")}.`);
    result.append(element("ul", {}, ...list.map((text) => element("li", {}, text))));
    const again = press("Play the same rounds again", () => {
      answers.length = 0;
      said.textContent = "";
      first(0);
    });
    game.replaceChildren(result, element("div", { class: "controls" }, again));
    result.focus();
  }

  first(0, false);
  el.append(root);
  return hideStill(model.get("still_id"));
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

export default { render };
