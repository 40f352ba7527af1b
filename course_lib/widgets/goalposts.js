// The verdict card with all that can be moved: margins, level, seeds and arms. The verdict is computed
// anew at each move, and each move is named for what it is.

// Covered as long as the page covers the claim's verdict (book/static/covers.js).
function isCovered(id) {
  const card = document.querySelector(`[data-bet="${CSS.escape(id)}"]`);
  const pending = document.documentElement.classList.contains("bets-pending");
  return !!card && (pending || card.classList.contains("bet-is-covered"));
}

// One margin: above, the words along it; below, the intervals of all arms and the threshold.
function marginChart(parent, state, number) {
  const one = state.criteria[number];
  const several = state.arms.some(({ conditions }) => conditions.length > 1);
  const rows = state.arms.flatMap((arm, i) =>
    arm.conditions.flatMap((c, j) => {
      const name = several ? `${arm.name}: ${c.what}` : arm.name;
      return c.criterion === number ? [{ arm: i, condition: j, name }] : [];
    }),
  );
  const limit = (shift) => [movedLimit(one.holds, one, shift)].flat();
  const place = (shift) => limit(shift).at(-1);
  const outward = limit(one.last);
  const from = one.side === "inside" ? outward[0] : place(one.first - 1);
  const to = place(one.last + 1), step = one.step;
  const ticks = ticksBetween(from, to);
  const top = 44, row = 32;
  const chart = plot(parent, {
    x: [from, to, ticks],
    y: [0, 1, []],
    height: top + row * rows.length + 50,
    formatX: (value) => String(Number(value.toPrecision(6))).replace("-", "−"),
    xLabel: one.unit || "value",
    label: "The verdict along the margin, and the interval of each arm with the threshold.",
  });
  const { svg, px, left, right, bottom } = chart;
  const ribbon = svg.appendChild(shape("g"));
  // Solid where an arm holds beyond it, dashed where it fails beyond another.
  const ends = (shift) => {
    const apart = String(one.fails) !== String(one.holds);
    return [...limit(shift), ...(apart ? [movedLimit(one.fails, one, shift)].flat() : [])];
  };
  const lines = ends(0).map((_, i) => {
    const dash = i < limit(0).length ? "none" : "3 3";
    const look = { stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": dash };
    return svg.appendChild(shape("line", { ...look, y1: top - 12, y2: bottom }));
  });
  const start = shape("path", { fill: "currentColor", d: `M${px(place(0))} 38l-5 8h10z` });
  svg.append(start, shape("title", {}, "The mark is the protocol's margin."));
  const bars = rows.map(({ name }, i) => {
    const y = top + row * i;
    svg.append(shape("text", { x: left + 6, y: y + 14 }, name));
    const bar = shape("line", { y1: y + 23, y2: y + 23, "stroke-width": 3 });
    const dot = shape("circle", { cy: y + 23, r: 4 });
    const mark = shape("text", { x: right + 4, y: y + 27 });
    svg.append(bar, dot, mark);
    return { bar, dot, mark };
  });
  const clip = (value) => px(Math.max(from, Math.min(to, value)));

  const drawRibbon = (at) => {
    const parts = [];
    for (let shift = one.first; shift <= one.last; shift += 1) {
      const shifts = at.shifts.with(number, shift);
      const { verdict } = judge(state, { ...at, shifts });
      if (parts.at(-1)?.verdict === verdict) parts.at(-1).last = shift;
      else parts.push({ verdict, first: shift, last: shift });
    }
    ribbon.replaceChildren();
    for (const { verdict, first, last } of parts) {
      const x = px(place(first) - step / 2), width = px(place(last) + step / 2) - x;
      const fill = state.colours[verdict] ?? "none";
      ribbon.append(shape("rect", { x, y: 18, width: Math.max(width - 1, 1), height: 14, fill }));
      const word = `${state.marks[verdict]} ${verdict}`;
      const text = width > 6.4 * word.length ? word : width > 8 ? state.marks[verdict] : "";
      const middle = { x: x + width / 2, y: 12, "text-anchor": "middle" };
      if (verdict) ribbon.append(shape("text", middle, text));
    }
    const said = parts.map(({ verdict, first, last }) => {
      const ends = first === last ? [first] : [first, last];
      return `${ends.map((shift) => inWords(one, shift)).join(" to ")}: ${verdict}`;
    });
    svg.setAttribute("aria-label", `The verdict along the margin. ${said.join("; ")}.`);
  };
  const set = (at, judged) => {
    drawRibbon(at);
    ends(at.shifts[number]).forEach((end, i) => {
      lines[i].setAttribute("x1", clip(end));
      lines[i].setAttribute("x2", clip(end));
    });
    rows.forEach(({ arm, condition }, i) => {
      const { bar, dot, mark } = bars[i], c = judged.arms[arm].conditions[condition];
      const counts = at.arms[arm];
      bar.setAttribute("x1", clip(c.low));
      bar.setAttribute("x2", Math.max(clip(c.high), clip(c.low) + 1));
      dot.setAttribute("cx", clip(c.estimate));
      const colour = counts ? "currentColor" : "#888888";
      for (const part of [bar, dot]) {
        part.setAttribute("stroke", colour);
        part.setAttribute("stroke-opacity", counts ? 0.8 : 0.4);
      }
      dot.setAttribute("fill", counts ? colour : "none");
      mark.textContent = counts ? state.marks[c.outcome] : "–";
    });
  };
  return { chart, set, shiftAt: (x) => Math.round((x - place(0)) / step) };
}

function movesInWords(n) {
  return n === 1 ? "1 move" : `${n} moves`;
}

function render({ model, el }) {
  const state = model.get("state"), { id, goal, least } = state;
  const root = frame("A figure to move: the goalposts of a verdict");
  let at = atProtocol(state), ended = false;

  const task = element(
    "p", {},
    `${id}: “${state.claim}.” Get this to read “${goal}” in as few moves as you can. One step of a ` +
      "slider, one draw or one arm left out is one move, counted from the protocol.",
  );
  const now = element("p", { class: "now verdict-now" });
  const sliders = element("div");
  const change = (next) => {
    at = { ...at, ...next };
    update();
  };
  const added = (options, moved) => {
    const control = slider(options, moved);
    sliders.append(element("div", { class: "controls" }, ...control.parts));
    return control;
  };
  const margins = state.criteria.map((one, i) => {
    const label = state.criteria.length > 1 ? `Margin, ${inWords(one, 0)}` : "Margin";
    const options = { label, max: one.last - one.first, value: -one.first };
    return added({ ...options, read: (v) => inWords(one, v + one.first) }, (value) =>
      change({ shifts: at.shifts.with(i, value + one.first) }),
    );
  });
  const level = added(
    {
      label: "Level of all intervals together",
      max: state.levels.length - 1,
      value: state.level,
      read: (i) => percentOf(state.levels[i]),
    },
    (value) => change({ level: value }),
  );
  const n = state.seeds.length, room = n - state.fewest;
  const seedsRead = (v) => `${v + state.fewest} of ${n}`;
  const seeds = added({ label: "Seeds", max: room, value: room, read: seedsRead }, (value) =>
    change({ seeds: value + state.fewest, draw: value === room ? 0 : at.draw }),
  );
  const drawRead = (v) => (v ? `draw ${v}` : at.seeds < n ? `the first ${at.seeds}` : "all");
  const draws = added(
    { label: "Which seeds", max: state.orders.length - 1, value: 0, read: drawRead },
    (value) => change({ draw: value }),
  );
  seeds.parts[1].disabled = room === 0;
  const boxes = state.arms.map(({ name }, i) => {
    const box = element("input", { type: "checkbox", ...OWN_KEYS });
    box.addEventListener("change", () => change({ arms: at.arms.with(i, box.checked) }));
    return { box, label: element("label", {}, box, name) };
  });
  const legend = element("legend", {}, "Arms that count");
  const choose = element("fieldset", { class: "arms" }, legend, ...boxes.map(({ label }) => label));

  const grid = element("div", { class: "panels" });
  const charts = state.criteria.map((one, i) => {
    const which = state.criteria.length > 1 ? `, ${inWords(one, 0)}` : "";
    return marginChart(panel(grid, `The word printed, by the margin${which}`), state, i);
  });
  charts.forEach(({ chart, shiftAt }, i) => {
    const { first, last } = state.criteria[i];
    draggable(chart, (x) => {
      const shift = Math.max(first, Math.min(last, shiftAt(x)));
      change({ shifts: at.shifts.with(i, shift) });
    });
  });
  const list = panel(grid, "Your moves");
  const moved = element("ul");
  const told = element("p", { class: "told", role: "status" });
  const button = (text, act) => {
    const made = element("button", { type: "button", ...OWN_KEYS }, text);
    made.addEventListener("click", act);
    return made;
  };
  const back = button("Back to the protocol", () => {
    ended = false;
    change(atProtocol(state));
  });
  const fewest = least
    ? `The fewest is ${movesInWords(least.moves)}. They are set, and named above.`
    : "No way of 20 moves or fewer leads there.";
  const show = button("I give up: show the fewest", () => {
    ended = true;
    if (least) change(least);
    told.textContent = fewest;
  });
  list.append(moved, told, element("div", { class: "controls" }, back, show));

  const reading = element("p", { class: "reading", "aria-live": "polite" });
  const announce = announcer(reading);
  const sentence = (judged, total) => {
    const count = (kind) => judged.counted.filter((outcome) => outcome === kind).length;
    const n = judged.counted.length;
    if (!judged.verdict) return "No arm counts, so there is nothing to judge.";
    return (
      `Verdict: ${judged.verdict}, ${movesInWords(total)} from the protocol. ` +
      `${count("holds")} of ${n} ${n === 1 ? "arm holds" : "arms hold"}, ${count("fails")} fail, ` +
      `${count("undecided")} undecided, each by an interval of level ${percentOf(judged.level)}.`
    );
  };
  const update = () => {
    const judged = judge(state, at), moves = movesOf(state, at);
    const total = moves.reduce((sum, { n: some }) => sum + some, 0);
    const { verdict } = judged;
    now.replaceChildren(
      element("strong", {}, verdict ? `${state.marks[verdict]} ${verdict}` : "no verdict"),
      ` · ${movesInWords(total)}`,
    );
    now.style.borderColor = state.colours[verdict] ?? "currentColor";
    margins.forEach(({ set }, i) => set(at.shifts[i] - state.criteria[i].first));
    level.set(at.level);
    seeds.set(at.seeds - state.fewest);
    draws.set(at.draw);
    draws.parts[1].disabled = at.seeds === n;
    boxes.forEach(({ box }, i) => (box.checked = at.arms[i]));
    for (const { set } of charts) set(at, judged);
    const items = moves.map(({ name, how, n: some }) =>
      element("li", {}, element("strong", {}, name), `: ${how} (${movesInWords(some)})`),
    );
    moved.replaceChildren(...(items.length ? items : [element("li", {}, "None yet.")]));
    if (verdict === goal && !ended) {
      const best = least && total === least.moves;
      told.textContent =
        `It reads “${goal}”, in ${movesInWords(total)}. ` +
        (best ? "No fewer lead there. " : least ? `The fewest is ${least.moves}. ` : "") +
        "Nothing about the networks has changed.";
    } else if (!ended) {
      told.textContent = "";
    }
    announce(sentence(judged, total));
    return sentence(judged, total);
  };
  reading.textContent = update();
  const all = element("div", {}, task, now, sliders, choose, grid, reading);
  const wait = element(
    "p", {}, `Bet on ${id} above, or show its verdict. Then the goalposts can be moved here.`,
  );
  root.append(wait, all);
  el.append(root);

  const undo = hideStill(model.get("still_id"));
  // The caption and the table tell the verdict too: they come and go with the figure.
  const still = CSS.escape(model.get("still_id"));
  const rule = `@media not print { #${still}, #${still} + details { display: none } }`;
  const hidden = document.head.appendChild(element("style", {}, rule));
  const cover = () => {
    const covered = isCovered(id);
    all.hidden = covered;
    wait.hidden = !covered;
    hidden.disabled = !covered;
  };
  cover();
  document.addEventListener("course-covers", cover);
  addEventListener("load", cover);
  return () => {
    document.removeEventListener("course-covers", cover);
    removeEventListener("load", cover);
    hidden.remove();
    undo();
  };
}

export default { render };
