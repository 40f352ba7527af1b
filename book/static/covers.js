// The site's verdicts and the reader's bets: verdicts stay covered until they are bet on or asked
// for, and the bet stands beside the result. The build puts `element`, the code of bets and `WORDS`
// before this text. Without this script every verdict is open.

const here = location.pathname.split("/").slice(-2).join("/");
const isAll = () => recall(`all.${here}`) === true;
const bettable = [...document.querySelectorAll("[data-bet]")].map((root) => ({
  root,
  id: root.dataset.bet,
  came: root.dataset.verdict,
  results: [...root.querySelectorAll(".bet-result")],
}));
const heard = element("p", { class: "bets-heard", role: "status" });
document.body.append(heard);

const isOpen = ({ id }) => isAll() || recall(`shown.${id}`) === true || !!recallBet(id, WORDS);

// The focus was on what has gone: it goes on where the verdict is now.
function reveal({ root, id, came, results }, act) {
  act();
  results[0].tabIndex = -1;
  results[0].focus({ preventScroll: true });
  const bet = recallBet(id, WORDS);
  heard.textContent = `${id}: ${came}.${bet ? ` Your bet: ${inWords(bet, came)}.` : ""}`;
}

function cover(one) {
  const { id, root } = one;
  const claim = root.dataset.claim ?? `${id}: what will the verdict be?`;
  const form = betForm(claim, WORDS, null, "Bet and see", (bet) =>
    reveal(one, () => placeBet(id, bet)),
  );
  const show = pressable(`Show the verdict on ${id}`, () =>
    reveal(one, () => {
      keep(`shown.${id}`, true);
      tellChange();
    }),
  );
  const summary = element("summary", OWN_KEYS, `Bet on ${id}`);
  return element(
    "div", { class: "course-bets bet-cover", role: "group", "aria-label": `${id}, covered` },
    element("p", {}, "The verdict is covered until you bet on it."),
    element("details", {}, summary, form), show,
  );
}

function drawOne(one) {
  const { root, id, came, results } = one;
  const open = isOpen(one);
  for (const note of root.querySelectorAll(".bet-while-covered")) note.remove();
  root.classList.toggle("bet-is-covered", !open);
  for (const part of results) part.classList.toggle("bet-covered", !open);
  for (const part of results.filter(({ dataset }) => dataset.note)) {
    if (!open) part.before(element("span", { class: "bet-while-covered" }, part.dataset.note));
  }
  if (!open && !one.cover) {
    one.cover = cover(one);
    (root.querySelector(".bet-cover-here") ?? results[0]).before(one.cover);
  } else if (open && one.cover) {
    one.cover.remove();
    one.cover = null;
  }
  const bet = recallBet(id, WORDS);
  if (bet) {
    one.yours ??= root.querySelector(".bet-yours") ?? element("p", { class: "bet-yours" });
    one.yours.textContent = `Your bet: ${inWords(bet, came)}`;
    if (!one.yours.isConnected) (root.querySelector(".bet-cover-here") ?? results[0]).after(one.yours);
  } else if (one.yours) {
    one.yours.remove();
  }
}

// --- The bar above a table or the ledger ---

function drawBar(bar) {
  const told = element("p", { role: "status" });
  const all = pressable("", () => {
    keep(`all.${here}`, isAll() ? null : true);
    tellChange();
  });
  const forget = pressable("Forget all bets", () => {
    forgetAll();
    heard.textContent = "All bets of this book are forgotten.";
  });
  const curve = element("div");
  const words = element(
    "details", {}, element("summary", OWN_KEYS, "What the five words and the score mean"),
    wordList(WORDS), element("p", {}, BRIER),
  );
  bar.classList.add("course-bets");
  bar.append(told, element("div", { class: "buttons" }, all, forget), words, curve);
  return () => {
    const once = [...new Map(bettable.map((one) => [one.id, one])).values()]; // a claim may stand twice
    const covered = once.filter((one) => !isOpen(one)).length;
    const scored = once.filter(({ id }) => recallBet(id, WORDS));
    const total = scored.reduce((sum, { id, came }) => sum + brier(recallBet(id, WORDS), came), 0);
    const mean = scored.length
      ? ` You have bet on ${scored.length}; your mean Brier score is ` +
        `${(total / scored.length).toFixed(2)}.`
      : " Bets stay in this browser; nothing is sent anywhere.";
    told.textContent =
      (covered ? `${covered} of ${once.length} verdicts are covered: bet first.` : "All verdicts are open.") +
      mean;
    all.textContent = isAll() ? "Cover the verdicts again" : "Show all verdicts";
    curve.replaceChildren(...("calibration" in bar.dataset ? calibration(scored) : []));
  };
}

// --- The reader's own calibration, after ten bets ---

const FEWEST = 10;
const NS = "http://www.w3.org/2000/svg";
function draw(tag, attributes, text = "") {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// [{from, to, sure, right, n}]: bets of like confidence, their mean confidence and share right, in
// percent.
function groups(bets) {
  return [5, 25, 45, 65, 85].flatMap((from) => {
    const inside = bets.filter(({ sure }) => sure >= from && sure <= from + 15);
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    if (!inside.length) return [];
    const right = 100 * mean(inside.map((bet) => Number(bet.right)));
    return [{ from, to: from + 15, sure: mean(inside.map((b) => b.sure)), right, n: inside.length }];
  });
}

function calibration(scored) {
  const bets = scored.map(({ id, came }) => {
    const { verdict, confidence } = recallBet(id, WORDS);
    return { sure: confidence, right: verdict === came };
  });
  if (bets.length < FEWEST) {
    const left = FEWEST - bets.length;
    return [element("p", {}, `After ${left} more ${left > 1 ? "bets" : "bet"} your calibration is drawn here.`)];
  }
  const found = groups(bets);
  const [x, y] = [(v) => 40 + 2.2 * v, (v) => 240 - 2.2 * v];
  const line = { stroke: "currentColor", fill: "none" };
  const text = { fill: "currentColor", "font-size": 12, "text-anchor": "middle" };
  const told = found.map((g) => `${g.sure.toFixed(0)}% sure: ${g.right.toFixed(0)}% right of ${g.n}`);
  const svg = draw("svg", {
    class: "calibration", viewBox: "0 0 290 285", role: "img",
    "aria-label": `Your calibration. ${told.join("; ")}. The same numbers stand in the table.`,
  });
  svg.append(
    draw("path", { ...line, d: `M${x(0)} ${y(100)}V${y(0)}H${x(100)}` }),
    draw("path", { ...line, d: `M${x(0)} ${y(0)}L${x(100)} ${y(100)}`, "stroke-dasharray": "4 4" }),
    draw("path", {
      d: found.map((g, i) => `${i ? "L" : "M"}${x(g.sure)} ${y(g.right)}`).join(""),
      fill: "none", stroke: "#0072b2", "stroke-width": 2,
    }),
  );
  for (const g of found) {
    svg.append(draw("circle", { cx: x(g.sure), cy: y(g.right), r: 4, fill: "#0072b2" }));
    svg.append(draw("text", { ...text, x: x(g.sure), y: y(g.right) - 8 }, `n = ${g.n}`));
  }
  for (const v of [0, 50, 100]) {
    svg.append(draw("text", { ...text, x: x(v), y: y(0) + 16 }, `${v}%`));
    svg.append(draw("text", { ...text, x: x(0) - 20, y: y(v) + 4 }, `${v}%`));
  }
  svg.append(draw("text", { ...text, x: x(50), y: 279 }, "how sure you were"));
  svg.append(draw("text", { ...text, x: x(0), y: 12, "text-anchor": "start" }, "share right"));
  const row = (tag, cells) => element("tr", {}, ...cells.map((cell) => element(tag, {}, cell)));
  const rows = found.map((g) =>
    row("td", [`${g.from} to ${g.to}%`, `${g.sure.toFixed(0)}%`, `${g.right.toFixed(0)}%`, `${g.n}`]),
  );
  const head = ["How sure", "Mean", "Share right", "Bets"];
  return [
    element("h3", {}, "Your calibration"),
    element("p", {}, "On the dashed line you are right as often as you say."),
    svg,
    element(
      "table", { class: "course-table" },
      element("thead", {}, row("th", head)), element("tbody", {}, ...rows),
    ),
  ];
}

const bars = [...document.querySelectorAll(".bets-bar")].map(drawBar);
function drawAll() {
  bettable.forEach(drawOne);
  const someCovered = bettable.some((one) => !isOpen(one));
  for (const part of document.querySelectorAll("[data-bet-all]")) {
    part.classList.toggle("bet-covered", someCovered);
  }
  for (const redraw of bars) redraw();
  document.dispatchEvent(new Event("course-covers")); // the filter counts anew
}
drawAll();
document.documentElement.classList.remove("bets-pending");
document.addEventListener(CHANGED, drawAll);
addEventListener("storage", drawAll); // a bet in another window
addEventListener("pageshow", (event) => event.persisted && drawAll());
// The page has become shorter or longer above the place that an address leads to.
if (location.hash.length > 1) {
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}
