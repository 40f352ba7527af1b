// The metrics and the axioms of course_lib/probes, in plain numbers. Nothing here knows of a page.

const sum = (values) => values.reduce((total, value) => total + value, 0);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Numbers in units of the largest, so that no power overflows or vanishes.
function inLargest(h) {
  const largest = Math.max(...h.map(Math.abs));
  return Array.from(h, (value) => (largest > 0 ? value / largest : 0));
}

const energies = (h) => inLargest(h).map((value) => value * value);

function normalisedL1(h) {
  const size = inLargest(h).map(Math.abs);
  const length = Math.sqrt(sum(energies(h)));
  const value = length > 0 ? sum(size) / (Math.sqrt(h.length) * length) : 1;
  return clamp(value, 1 / Math.sqrt(h.length), 1);
}

function hoyer(h) {
  const root = Math.sqrt(h.length);
  return root === 1 ? 0 : clamp(root - root * normalisedL1(h), 0, root - 1) / (root - 1);
}

function gini(h) {
  const d = h.length;
  const size = inLargest(h).map(Math.abs).sort((a, b) => a - b);
  const total = sum(size);
  const lorenz = sum(size.map((value, i) => value * (d - i - 0.5)));
  return total > 0 ? Math.max(0, 1 - (2 * lorenz) / (d * total)) : 0;
}

function topEnergy(h, share) {
  const k = Math.max(1, Math.floor(share * h.length + 1e-9));
  const energy = energies(h).sort((a, b) => b - a);
  const total = sum(energy);
  return total > 0 ? Math.min(1, sum(energy.slice(0, k)) / total) : k / h.length;
}

function effectiveRank(h) {
  const energy = energies(h), total = sum(energy);
  if (total === 0) return h.length;
  const shares = energy.map((value) => value / total).filter((p) => p > 0);
  return clamp(Math.exp(-sum(shares.map((p) => p * Math.log(p)))), 1, h.length);
}

function participationRatio(h) {
  const energy = energies(h), total = sum(energy);
  const squares = sum(energy.map((value) => value * value));
  return total > 0 ? clamp((total * total) / squares, 1, h.length) : h.length;
}

function kurtosis(h) {
  const d = h.length, values = inLargest(h);
  const mean = sum(values) / d;
  const deviations = values.map((value) => (value - mean) ** 2);
  const variance = sum(deviations) / d;
  const rounding = (1e-28 * sum(values.map((value) => value * value))) / d;
  if (variance <= rounding) return 1;
  return Math.max(1, sum(deviations.map((value) => value * value)) / d / variance ** 2);
}

const l0 = (h) => Array.from(h).filter((value) => Math.abs(value) > 0.01).length;

// As METRICS of course_lib/probes/metrics.py: larger is sparser.
const METRICS = {
  "Hoyer": hoyer,
  "Gini": gini,
  "top 5% energy": (h) => topEnergy(h, 0.05),
  "top 10% energy": (h) => topEnergy(h, 0.1),
  "−effective rank": (h) => -effectiveRank(h),
  "−participation ratio": (h) => -participationRatio(h),
  "−normalised ℓ1": (h) => -normalisedL1(h),
  "kurtosis": kurtosis,
  "−L0": (h) => -l0(h),
};

const TOLERANCE = 1e-9, RICHES = [3, 30, 300], MORE = [0.5, 1, 3];

// Pairs of vectors before and after: one but for Bill Gates. As `changed` of probes/axioms.py.
function changes({ axiom, vector, amount, entries: [i, j] }) {
  const plus = (values, place, more) => values.map((v, k) => (k === place ? v + more : v));
  if (axiom === "Bill Gates") {
    const wealth = sum(vector);
    return RICHES.flatMap((riches) => {
      const rich = plus(vector, i, riches * wealth);
      return MORE.map((more) => [rich, plus(rich, i, more * riches * wealth)]);
    });
  }
  const after = {
    "Robin Hood": () => plus(plus(vector, i, -amount), j, amount),
    "Scaling": () => vector.map((value) => value * amount),
    "Rising Tide": () => vector.map((value) => value + amount),
    "Cloning": () => [...vector, ...vector],
    "Babies": () => [...vector, 0],
  };
  return [[vector, after[axiom]()]];
}

// Whether these pairs break an axiom for a metric. As `breaks` of probes/axioms.py.
function breaks(metric, axiom, pairs) {
  const rises = pairs.map(([before, after]) => {
    const [a, b] = [metric(before), metric(after)];
    return (b - a) / Math.max(1, Math.abs(a), Math.abs(b));
  });
  if (axiom === "Scaling" || axiom === "Cloning") return Math.abs(rises[0]) > TOLERANCE;
  if (axiom === "Robin Hood" || axiom === "Rising Tide") return -rises[0] <= TOLERANCE;
  if (axiom === "Babies") return rises[0] <= TOLERANCE;
  // Bill Gates: broken if from every size on some further growth does not raise the metric.
  const stays = (size) => MORE.some((_, more) => rises[size * MORE.length + more] <= TOLERANCE);
  return RICHES.every((_, size) => stays(size));
}
