// From values by seed to a verdict, by the rules of course_lib/intervals.py and verdicts.py, and how
// far what counts has been moved from the protocol. Nothing here touches the page.

// P(|T| < √df · tan(angle)) for Student's t with whole degrees of freedom, a finite sum: Abramowitz &
// Stegun 1964, 26.7.3 and 26.7.4.
function shareWithin(angle, df) {
  const sin = Math.sin(angle), cos = Math.cos(angle);
  let term = df % 2 ? cos : 1, sum = 0;
  for (let i = df % 2; i <= df - 2; i += 2) {
    sum += term;
    term *= (cos * cos * (i + 1)) / (i + 2);
  }
  return df % 2 ? (2 / Math.PI) * (angle + sin * sum) : sin * sum;
}

// The t that the share `level` of Student's t does not exceed in size.
function quantile(level, df) {
  let low = 0, high = Math.PI / 2; // angles
  for (let i = 0; i < 60; i += 1) {
    const middle = (low + high) / 2;
    if (shareWithin(middle, df) < level) low = middle;
    else high = middle;
  }
  return Math.sqrt(df) * Math.tan((low + high) / 2);
}

function tInterval(values, level) {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = quantile(level, n - 1) * Math.sqrt(squares / (n - 1) / n);
  return { estimate: mean, low: mean - half, high: mean + half };
}

// A threshold moved by so many steps: up; where it is a pair, outward. Rounded, or a hair of the sum
// would stay where it comes to zero.
function movedLimit(limit, { side, step }, shift) {
  if (shift === 0) return limit;
  const plus = (end, steps) => Number((end + steps * step).toFixed(9));
  return side === "inside" ? [plus(limit[0], -shift), plus(limit[1], shift)] : plus(limit, shift);
}

function outcomeOf({ low, high }, side, holds, fails) {
  let doesHold, doesFail;
  if (side === "inside") {
    doesHold = holds[0] <= low && high <= holds[1];
    doesFail = high < fails[0] || low > fails[1];
  } else {
    if (side.startsWith("<")) [low, high, holds, fails] = [-high, -low, -holds, -fails];
    const strict = side === "<" || side === ">";
    doesHold = strict ? low > holds : low >= holds;
    doesFail = strict && fails === holds ? high <= fails : high < fails;
  }
  return doesFail ? "fails" : doesHold ? "holds" : "undecided";
}

// All that can be moved, as the protocol has it.
function atProtocol(state) {
  return {
    shifts: state.criteria.map(() => 0),
    level: state.level,
    seeds: state.seeds.length,
    draw: 0,
    arms: state.arms.map(() => true),
  };
}

// The verdict where everything stands at `at`; null if no arm counts. The level of each interval is
// 1 − α/m when m arms count.
function judge(state, at) {
  const m = at.arms.filter(Boolean).length;
  const level = 1 - (1 - state.levels[at.level]) / Math.max(m, 1);
  const places = state.orders[at.draw].slice(0, at.seeds);
  const arms = state.arms.map(({ conditions }) => {
    const found = conditions.map(({ criterion, values }) => {
      const one = state.criteria[criterion], shift = at.shifts[criterion];
      const interval = tInterval(places.map((i) => values[i]), level);
      const [holds, fails] = [one.holds, one.fails].map((limit) => movedLimit(limit, one, shift));
      return { criterion, ...interval, outcome: outcomeOf(interval, one.side, holds, fails) };
    });
    const all = found.map(({ outcome }) => outcome);
    const outcome = all.includes("fails")
      ? "fails"
      : all.every((word) => word === "holds") ? "holds" : "undecided";
    return { conditions: found, outcome };
  });
  const counted = arms.filter((_, i) => at.arms[i]).map(({ outcome }) => outcome);
  const kinds = ["holds", "fails", "undecided"].filter((kind) => counted.includes(kind));
  return { level, arms, counted, verdict: state.words[kinds.join(" ")] ?? null };
}

// The moves from the protocol, each kind under its name: [{name, how, n}].
function movesOf(state, at) {
  const moves = [];
  state.criteria.forEach((one, i) => {
    const n = Math.abs(at.shifts[i]);
    const how = `${inWords(one, 0)} became ${inWords(one, at.shifts[i])}`;
    if (n) moves.push({ name: "Moved criterion", how, n });
  });
  const dropped = state.arms.filter((_, i) => !at.arms[i]).map(({ name }) => name);
  if (dropped.length) {
    const name = dropped.length > 1 ? "Dropped arms" : "Dropped arm";
    moves.push({ name, how: dropped.join("; "), n: dropped.length });
  }
  const all = state.seeds.length;
  if (at.seeds < all) {
    const how = `${at.seeds} of ${all} seeds`;
    moves.push({ name: "Stopped early", how, n: all - at.seeds });
    if (at.draw) moves.push({ name: "Picked seeds", how: `draw ${at.draw}`, n: at.draw });
  }
  const notches = at.level - state.level;
  if (notches) {
    const name = notches > 0 ? "Loosened level" : "Tightened level";
    const how = [state.level, at.level].map((i) => percentOf(state.levels[i])).join(" became ");
    moves.push({ name, how, n: Math.abs(notches) });
  }
  return moves;
}

const percentOf = (share) => `${Number((100 * share).toFixed(1))}%`;

// What an arm must show, as `verdicts.in_words` says it: "≥ −1 pp", "inside [0.95, 1.05]".
function inWords(criterion, shift) {
  const { side, unit } = criterion;
  const [holds, fails] = [criterion.holds, criterion.fails].map((limit) => {
    const moved = movedLimit(limit, criterion, shift);
    const said = [moved].flat().map((end) => String(Number(end.toPrecision(6))).replace("-", "−"));
    return `${said.length > 1 ? `[${said.join(", ")}]` : said[0]}${unit ? ` ${unit}` : ""}`;
  });
  const sign = { ">=": "≥", "<=": "≤" }[side] ?? side;
  if (fails === holds) return `${sign} ${holds}`;
  const beyond = side === "inside" ? "outside" : side.startsWith(">") ? "below" : "above";
  return `${sign} ${holds} (fails ${beyond} ${fails})`;
}
