"""The exercises of chapter 01: masks, what they cost, and what a difference is worth."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from course_lib.exercises.comparing import Case, Wrong
from course_lib.exercises.exercise import Exercise

# --- Write a magnitude mask -----------------------------------------------------------------------


def magnitude_mask(weight, sparsity):
    """Say which weights stay when the smallest go.

    weight: tensor of floats of any shape. No two entries have the same absolute value.
    sparsity: share of the n entries that goes, in [0, 1]: exactly round(sparsity * n) of them.

    Returns a tensor of booleans of the weight's shape, True where an entry stays.
    """
    scores = weight.abs().flatten()
    keep = torch.ones_like(scores, dtype=torch.bool)
    keep[torch.topk(scores, round(sparsity * len(scores)), largest=False).indices] = False
    return keep.view(weight.shape)


def _weights(rng: np.random.Generator) -> Iterator[Case]:
    shapes = [(5, 7), (11, 4), (4, 3, 2, 3), (23,)]
    for number, shape in enumerate(shapes):
        weight = _normal(rng, shape)
        sparsity = _share(rng, math.prod(shape), above=number % 2 == 0)
        yield Case(f"a weight of shape {shape}, sparsity {sparsity:.4f}", (weight, sparsity))
    for sparsity in (0.0, 1.0):
        yield Case(
            f"a weight of shape (3, 4), sparsity {sparsity}", (_normal(rng, (3, 4)), sparsity)
        )


def _by_index(weight, sparsity):
    scores = weight.abs()
    last_to_go = scores.flatten().sort().values[round(sparsity * scores.numel()) - 1]
    return scores > last_to_go


MAGNITUDE_MASK = Exercise(
    id="pruning.magnitude_mask",
    chapter="01_pruning",
    title="write a magnitude mask",
    difficulty=1,
    minutes=5,
    why="Every pruning method ends in a mask. This is the plainest one, and it is hard to beat.",
    task="""
        Write the mask m of equation (1) for one weight tensor: of n entries, the
        `round(sparsity * n)` with the smallest absolute value go.
        """,
    hint="""
        `torch.topk(scores, k, largest=False).indices` gives the places of the k smallest entries
        of a vector. Flatten first, and give the mask the shape of the weight at the end.
        """,
    reference=magnitude_mask,
    cases=_weights,
    wrong=[
        Wrong(
            _by_index,
            "You took the entry before the first one as a threshold. Where nothing is to go, its "
            "index is −1, and that is the largest weight.",
        ),
        Wrong(
            lambda w, s: ~magnitude_mask(w, s),
            "You kept the smallest weights, and the large ones went. True means: stays.",
        ),
        Wrong(
            lambda w, s: ~magnitude_mask(w, 1 - s),
            "You kept the smallest weights. Sort the other way round.",
        ),
        Wrong(
            lambda w, s: _keep(w, w.numel() - round(s * w.numel())),
            "You ranked the weights with their sign, so the negative ones go first. "
            "What counts is the absolute value.",
        ),
        Wrong(
            lambda w, s: magnitude_mask(w, 1 - s),
            "You took the sparsity for the share that stays. It is the share that goes; "
            "the density is 1 − sparsity.",
        ),
        Wrong(
            lambda w, s: _keep(w.abs(), w.numel() - int(s * w.numel())),
            "One weight too many stays where the count is not whole: int() rounds down, "
            "and the question asks for round().",
        ),
        Wrong(
            lambda w, s: _keep(w.abs(), w.numel() - math.ceil(s * w.numel())),
            "One weight too many goes where the count is not whole: the question asks for "
            "round(), not for rounding up.",
        ),
        Wrong(
            lambda w, s: w.abs() > s * w.abs().max(),
            "You cut at a share of the largest weight. The sparsity is a share of the number "
            "of weights.",
        ),
        Wrong(
            lambda w, s: torch.stack([magnitude_mask(row, s) for row in w]),
            "You pruned each row to the same sparsity. The question ranks all entries of the "
            "weight together.",
        ),
        Wrong(
            lambda w, s: w * magnitude_mask(w, s),
            "You returned the pruned weights. The question asks for the mask: booleans, True "
            "where a weight stays.",
        ),
    ],
)


# --- One threshold over all layers ----------------------------------------------------------------


def global_mask(scores, sparsity, within):
    """Keep the weights of largest score, compared over all layers at once.

    scores: dictionary of float tensors by layer, of any shapes and sign; larger means "keep".
    sparsity: share of all n weights that is gone afterwards: exactly round(sparsity * n) of them.
    within: masks so far, booleans of the same names and shapes. What they pruned stays pruned,
        and counts: sparsity is never below what is gone already.

    Returns new masks: a dictionary of booleans, True where a weight stays.
    """
    ranked = [score.masked_fill(~within[name], -torch.inf) for name, score in scores.items()]
    flat = torch.cat([score.flatten() for score in ranked])
    keep = torch.ones_like(flat, dtype=torch.bool)
    keep[torch.topk(flat, round(sparsity * len(flat)), largest=False).indices] = False
    parts = keep.split([score.numel() for score in ranked])
    return {name: parts[i].view(scores[name].shape) for i, name in enumerate(scores)}


def _layers(rng: np.random.Generator) -> Iterator[Case]:
    network = {"fc1": (6, 5), "fc2": (4, 6), "out": (3, 4)}
    convolutional = {"conv1": (4, 1, 3, 2), "conv2": (3, 4, 2, 2), "out": (5, 3)}
    for shapes, pruned, is_log in (
        (network, 0.0, False),
        (network, 0.2, False),
        (convolutional, 0.3, True),
        (convolutional, 0.4, True),
    ):
        # Layers of different sizes of weights, else one threshold for each would do as well.
        sizes = rng.permuted([0.3, 1.0, 2.5])
        scores = {
            name: _normal(rng, shape).abs() * size
            for (name, shape), size in zip(shapes.items(), sizes, strict=True)
        }
        if is_log:  # the same order, and all of them negative
            scores = {name: score.log() - 5 for name, score in scores.items()}
        within = {name: _chance_mask(rng, score.shape, pruned) for name, score in scores.items()}
        n, left = _count(within)
        due = (n - left) / n
        # In the last case nothing more has to go.
        sparsity = due if pruned == 0.4 else _share(rng, n, above=is_log, at_least=due + 0.1)
        yield Case(
            f"{len(scores)} layers of {n} weights, {n - left} of them pruned before, "
            f"sparsity {sparsity:.4f}",
            (scores, sparsity, within),
        )


def _in_layers(scores, sparsity, within):
    return {name: global_mask({name: s}, sparsity, within)[name] for name, s in scores.items()}


def _in_layers_alone(scores, sparsity, within):
    return {name: magnitude_mask(s - s.min() + 1, sparsity) for name, s in scores.items()}


def _of_what_is_left(scores, sparsity, within):
    n, left = _count(within)
    return global_mask(scores, (n - left + round(sparsity * left)) / n, within)


def _on_top(scores, sparsity, within):
    n, left = _count(within)
    return global_mask(scores, min(n, n - left + round(sparsity * n)) / n, within)


def _with_zeros(scores, sparsity, within):
    zeros = {name: score * within[name] for name, score in scores.items()}
    return global_mask(zeros, sparsity, _everything(within))


def _rounded(rounding):
    def wrong(scores, sparsity, within):
        n, _ = _count(within)
        return global_mask(scores, rounding(sparsity * n) / n, within)

    return wrong


GLOBAL_MASK = Exercise(
    id="pruning.global_mask",
    chapter="01_pruning",
    title="one threshold over all layers, round after round",
    difficulty=2,
    minutes=10,
    why="Iterative pruning asks for this mask in every round. What went must not come back.",
    task="""
        The function of "The idea" prunes a dense network. Gradual and iterative pruning start
        from a network that has lost weights already. Write the global mask for them: rank the
        weights of all layers together, let those that are gone stay gone, and count them.
        """,
    hint="""
        Give each weight that is gone a score below all others, −∞. Then it is among the smallest
        whatever else is there, and the function of "The idea" does the rest. `masked_fill` makes
        a new tensor; assigning to `score[...]` would change the caller's scores.
        """,
    reference=global_mask,
    cases=_layers,
    wrong=[
        Wrong(
            _in_layers,
            "You pruned each layer to the same sparsity; the question asks for one threshold over "
            "all layers.",
        ),
        Wrong(
            _in_layers_alone,
            "You pruned each layer to the same sparsity, and forgot what was pruned before; the "
            "question asks for one threshold over all layers.",
        ),
        Wrong(
            lambda scores, sparsity, within: global_mask(scores, sparsity, _everything(within)),
            "Weights that were pruned before came back: their scores still count. What `within` "
            "pruned stays pruned.",
        ),
        Wrong(
            _of_what_is_left,
            "You took the sparsity of the weights that are left. It counts from the dense network.",
        ),
        Wrong(
            _on_top,
            "You pruned round(sparsity * n) weights besides those that were gone already. They "
            "count too.",
        ),
        Wrong(
            _with_zeros,
            "You gave the pruned weights the score 0. Scores may be negative, so 0 is not the "
            "smallest.",
        ),
        Wrong(
            lambda scores, sparsity, within: {
                name: ~mask for name, mask in global_mask(scores, sparsity, within).items()
            },
            "Your masks say True where a weight goes. True means: stays.",
        ),
        Wrong(
            lambda scores, sparsity, within: global_mask(
                {name: -score for name, score in scores.items()}, sparsity, within
            ),
            "You kept the weights of smallest score. Larger means: keep.",
        ),
        Wrong(
            _rounded(int),
            "One weight too many stays where the count is not whole: int() rounds down, "
            "and the question asks for round().",
        ),
        Wrong(
            _rounded(math.ceil),
            "One weight too many goes where the count is not whole: the question asks for "
            "round(), not for rounding up.",
        ),
    ],
)


# --- The break-even density of CSR ----------------------------------------------------------------


def csr_break_even(rows, columns, itemsize):
    """Return the density at which a matrix takes as many bytes in CSR as it takes dense.

    rows, columns: the matrix's shape.
    itemsize: bytes of one value, for example 4 for float32.

    CSR (compressed sparse rows) keeps three arrays: the values that are not zero; the column of
    each of them, an int32; and where each row starts, rows + 1 int32. An int32 takes 4 bytes.

    Returns a float, 0.0 if CSR takes more even when it holds no value at all.
    """
    n = rows * columns
    left_for_values = n * itemsize - 4 * (rows + 1)
    return max(0.0, left_for_values / (n * (itemsize + 4)))


def _matrices(rng: np.random.Generator) -> Iterator[Case]:
    for rows, columns, itemsize in (
        (rng.integers(6, 15), rng.integers(30, 60), 4),
        (rng.integers(30, 60), rng.integers(12, 25), 8),
        (rng.integers(16, 29), rng.integers(17, 33), 2),
        (rng.integers(3, 9), rng.integers(200, 300), 1),
        (rng.integers(40, 90), rng.integers(2, 4), 1),
    ):
        yield Case(
            f"{rows} rows, {columns} columns, itemsize {itemsize}",
            (int(rows), int(columns), itemsize),
        )


def _unclamped(rows, columns, itemsize):
    return (rows * columns * itemsize - 4 * (rows + 1)) / (rows * columns * (itemsize + 4))


def _csr(index=4, pointer=4, pointers=lambda rows, columns: rows + 1):
    """Make a wrong count: bytes of an index, bytes of a row's start, and how many starts."""

    def wrong(rows, columns, itemsize):
        n = rows * columns
        left = n * itemsize - pointer * pointers(rows, columns)
        return max(0.0, left / (n * (itemsize + index)))

    return wrong


CSR_BREAK_EVEN = Exercise(
    id="pruning.csr_break_even",
    chapter="01_pruning",
    title="find the break-even density of CSR from its bytes",
    difficulty=3,
    minutes=15,
    why="A sparse format stores where its values are. Below which density does that pay?",
    task="""
        A masked network is stored dense, zeros included. CSR stores only what is left, with its
        places. Count the bytes of both for a matrix of `rows` × `columns` values, and solve for
        the density d at which they are equal.
        """,
    hint="""
        With nnz = d · rows · columns values that are not zero, the three arrays take
        `itemsize * nnz`, `4 * nnz` and `4 * (rows + 1)` bytes. Set their sum equal to the dense
        matrix's bytes. For a narrow matrix of small values the answer can be negative: no density
        is low enough.
        """,
    reference=csr_break_even,
    cases=_matrices,
    wrong=[
        Wrong(
            _csr(pointer=0),
            "You left out where the rows start: rows + 1 numbers of 4 bytes.",
        ),
        Wrong(
            _csr(pointers=lambda rows, columns: rows),
            "There is one start more than there are rows: the last one says where the last row "
            "ends.",
        ),
        Wrong(
            _csr(pointers=lambda rows, columns: columns + 1),
            "You counted the starts of columns. CSR stores the starts of rows; rows and columns "
            "are not as many.",
        ),
        Wrong(
            _csr(index=0),
            "You left out the column of each value, 4 bytes each.",
        ),
        Wrong(
            _csr(index=0, pointer=0),
            "You counted the values only. Their places take bytes too.",
        ),
        Wrong(
            _csr(index=8, pointer=8),
            "You took 8 bytes for an index. It is an int32, 4 bytes.",
        ),
        Wrong(
            _csr(index=8, pointer=4),
            "You counted two indices for each value, its row and its column. That is the format "
            "COO; CSR keeps the column only.",
        ),
        Wrong(
            lambda rows, columns, itemsize: (
                (rows * columns * itemsize - itemsize * (rows + 1))
                / (2 * itemsize * rows * columns)
            ),
            "You gave the indices the size of a value. They are int32, 4 bytes, whatever the "
            "values are.",
        ),
        Wrong(
            lambda rows, columns, itemsize: 1 - csr_break_even(rows, columns, itemsize),
            "You returned the sparsity, the share of zeros. The question asks for the density.",
        ),
        Wrong(
            lambda rows, columns, itemsize: 1 - _unclamped(rows, columns, itemsize),
            "You returned the sparsity, the share of zeros. The question asks for the density.",
        ),
        Wrong(
            lambda rows, columns, itemsize: (
                csr_break_even(rows, columns, itemsize) * rows * columns
            ),
            "You returned the number of values. The question asks for the density, their share.",
        ),
        Wrong(
            _unclamped,
            "Where CSR never pays, your density is negative. The question asks for 0.0 there.",
        ),
    ],
)


# --- An interval for a difference -----------------------------------------------------------------


def paired_interval(pruned, dense, level):
    """Return the mean of pruned − dense with Student's t interval, paired by seed.

    pruned, dense: arrays of shape (n,), test accuracy in percent; the same places are the same
        seeds.
    level: of the interval, for example 0.95.

    Returns (mean, low, high).
    """
    difference = pruned - dense
    n = len(difference)
    error = difference.std(ddof=1) / math.sqrt(n)
    half = stats.t.ppf((1 + level) / 2, n - 1) * error
    mean = difference.mean()
    return mean, mean - half, mean + half


def _accuracies(rng: np.random.Generator) -> Iterator[Case]:
    for n in (5, int(rng.integers(6, 9)), int(rng.integers(9, 13))):
        # Seeds differ more than the two networks of a seed do, which is why one pairs them.
        of_seed = rng.normal(rng.uniform(90, 95), 2.0, n)
        pruned = of_seed + rng.normal(rng.uniform(-2, -0.5), 0.6, n)
        dense = of_seed + rng.normal(0.0, 0.3, n)
        level = round(float(rng.uniform(0.9, 0.995)), 4)
        yield Case(f"{n} seeds, level {level}", (pruned, dense, level))


def _interval(ddof=1, root=True, quantile=None):
    """Make a wrong interval; `quantile(level, n)` takes the place of that of t."""

    def wrong(pruned, dense, level):
        difference, n = pruned - dense, len(pruned)
        factor = (quantile or (lambda lv, n: stats.t.ppf((1 + lv) / 2, n - 1)))(level, n)
        half = factor * difference.std(ddof=ddof) / (math.sqrt(n) if root else 1)
        return difference.mean(), difference.mean() - half, difference.mean() + half

    return wrong


def _unpaired(freedom):
    def wrong(pruned, dense, level):
        a, b, n = pruned.var(ddof=1), dense.var(ddof=1), len(pruned)
        mean = pruned.mean() - dense.mean()
        half = stats.t.ppf((1 + level) / 2, freedom(a, b, n)) * math.sqrt((a + b) / n)
        return mean, mean - half, mean + half

    return wrong


PAIRED_INTERVAL = Exercise(
    id="pruning.paired_interval",
    chapter="01_pruning",
    title="an interval for a difference over seeds",
    difficulty=3,
    minutes=15,
    why="Every verdict of this book rests on this interval.",
    task="""
        A pruned and a dense network were trained with each of n seeds. How much does pruning
        change, on average, and how sure is that? Return the mean of the differences and the two
        ends of its t interval.

        With the mean x̄ and the standard deviation s of the n differences, the interval is
        x̄ ± t · s / √n. The standard deviation is the estimate for a sample, and t is the quantile
        of Student's distribution with n − 1 degrees of freedom that leaves half of 1 − level above
        it.
        """,
    hint="""
        Subtract first: one difference for each seed. `std` of NumPy divides by n unless
        `ddof=1` is given. `stats.t.ppf(q, n - 1)` is the quantile below which the share q lies.
        The level 0.95 leaves out a share of 0.05, half of it on either side, so q = 0.975.
        """,
    reference=paired_interval,
    cases=_accuracies,
    wrong=[
        Wrong(
            _unpaired(lambda a, b, n: 2 * n - 2),
            "You compared two groups as if the seeds had nothing to do with each other. Subtract "
            "seed by seed first: what both networks of a seed share cancels.",
        ),
        Wrong(
            _unpaired(lambda a, b, n: (a + b) ** 2 * (n - 1) / (a**2 + b**2)),
            "You used Welch's interval for two separate groups. Subtract seed by seed first: what "
            "both networks of a seed share cancels.",
        ),
        Wrong(
            _interval(ddof=0),
            "Your standard deviation divides by n. That of a sample divides by n − 1: ddof=1.",
        ),
        Wrong(
            _interval(quantile=lambda level, n: stats.norm.ppf((1 + level) / 2)),
            "You took the quantile of the normal distribution. With few seeds, Student's t is "
            "wider, and it is the one asked for.",
        ),
        Wrong(
            _interval(quantile=lambda level, n: stats.t.ppf(level, n - 1)),
            "Your quantile leaves 1 − level out on each side. Half of it belongs on each side: "
            "(1 + level) / 2.",
        ),
        Wrong(
            _interval(quantile=lambda level, n: stats.t.ppf((1 - level) / 2, n - 1)),
            "Your ends are exchanged: the quantile of (1 − level) / 2 is negative.",
        ),
        Wrong(
            _interval(quantile=lambda level, n: stats.t.ppf((1 + level) / 2, n)),
            "n differences leave n − 1 degrees of freedom; you used n.",
        ),
        Wrong(
            _interval(root=False),
            "You left out √n: this is how far single seeds lie from the mean, not how far the "
            "mean may be off.",
        ),
        Wrong(
            lambda pruned, dense, level: paired_interval(dense, pruned, level),
            "Your sign is turned: the question asks for pruned − dense, which is negative when "
            "pruning costs accuracy.",
        ),
    ],
)


# --- Prune to a latency ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Latency:
    """The time of a small network as a function of the widths of its hidden layers.

    It is made up, after what one measures: a layer is computed in blocks of eight neurons, and
    what is left over takes a slower way. So time grows in steps, and one neuron more can even be
    faster.
    """

    n_in: int
    n_hidden: int
    n_out: int
    milliseconds: float
    left_over: float

    def __call__(self, widths) -> float:
        """Return milliseconds for a list of widths, one for each hidden layer."""
        sizes = [self.n_in, *map(int, widths), self.n_out]
        if len(sizes) != self.n_hidden + 2 or min(sizes) < 0:
            raise ValueError(
                f"latency takes {self.n_hidden} widths, one for each hidden layer; "
                f"got {sizes[1:-1]}"
            )
        blocks = [size // 8 + (self.left_over if size % 8 else 0.0) for size in sizes]
        return self.milliseconds * sum(a * b for a, b in zip(blocks[:-1], blocks[1:], strict=True))


def prune_to_latency(scores, latency, target):
    """Keep as many neurons as a time limit allows.

    scores: list of float tensors, one for each hidden layer, shape (width,): how important each
        neuron is. No two are equal.
    latency: function that takes a list of widths, one whole number for each hidden layer, and
        returns the milliseconds that such a network takes. More neurons are not always slower.
    target: milliseconds. One neuron in each layer is always fast enough.

    Neurons stay in the order of their scores, compared over all layers, except that the best one
    of each layer always stays. Of the networks that this order gives, take the one with the most
    neurons that needs at most `target`.

    Returns a list of boolean tensors, one for each layer, shape (width,), True where one stays.
    """
    ranked = [score.clone() for score in scores]
    for score in ranked:
        score[score.argmax()] = torch.inf  # without its best neuron, a layer lets nothing through
    order = torch.cat(ranked).argsort(descending=True)
    for n_kept in range(len(order), 0, -1):
        keep = torch.zeros(len(order), dtype=torch.bool)
        keep[order[:n_kept]] = True
        masks = keep.split([len(score) for score in scores])
        if latency([int(mask.sum()) for mask in masks]) <= target:
            return list(masks)


def _networks(rng: np.random.Generator) -> Iterator[Case]:
    for n_layers, is_exact in ((2, False), (3, True), (3, False)):
        found = []
        while not found:
            scores, latency, times = _network(rng, n_layers)
            found = [
                n
                for n in range(len(times) // 5, len(times) // 2)
                if _is_telling(times, n, n_layers)
            ]
        time = times[rng.choice(found)]
        target = time if is_exact else 1.0005 * time
        yield Case(
            f"{n_layers} hidden layers of {[len(score) for score in scores]} neurons, at most "
            f"{target:.4f} ms (all of them take {times[-1]:.4f})",
            (scores, latency, target),
        )


def _network(rng: np.random.Generator, n_layers: int) -> tuple:
    """Draw scores and a latency; list its times for 0, 1, … neurons besides the best ones."""
    n_in, n_out = int(rng.integers(20, 70)), int(rng.integers(3, 12))
    milliseconds, left_over = rng.uniform(0.05, 0.2), rng.uniform(1.3, 1.8)
    latency = Latency(n_in, n_layers, n_out, float(milliseconds), float(left_over))
    # The last layer scores low: ranked without care, it would vanish first.
    sizes = [*rng.uniform(0.6, 1.5, n_layers - 1), 0.02]
    scores = [_normal(rng, (rng.integers(17, 31),)).abs() * size for size in sizes]
    layers = torch.cat([torch.full((len(s),), i) for i, s in enumerate(scores)])
    in_order = layers[_order(scores)]
    widths = (in_order[:, None] == torch.arange(n_layers)).cumsum(0)[n_layers - 1 :]
    return scores, latency, [latency(row) for row in widths.tolist()]


def _is_telling(times: list[float], fits: int, n_layers: int) -> bool:
    """Whether the largest network that fits is missed from below, and again by halving."""
    target = 1.001 * times[fits]
    slower = [time > target for time in times]
    if times[0] > 0.99 * times[fits] or not all(slower[fits + 1 :]):
        return False
    from_below = slower.index(True) - 1
    return from_below != fits and (n_layers == 2 or _halve(slower) not in (from_below, fits))


def _halve(slower: list[bool]) -> int:
    low, high = 0, len(slower) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if slower[middle] else (middle, high)
    return low


def _order(scores, protect=True):
    ranked = [score.clone() for score in scores]
    for score in ranked:
        if protect:
            score[score.argmax()] = torch.inf
    return torch.cat(ranked).argsort(descending=True)


def _first(scores, n_kept, protect=True):
    """The masks of the first `n_kept` neurons in the order of the scores."""
    keep = torch.zeros(sum(map(len, scores)), dtype=torch.bool)
    keep[_order(scores, protect)[:n_kept]] = True
    return list(keep.split([len(score) for score in scores]))


def _fits(masks, latency, target):
    return latency([int(mask.sum()) for mask in masks]) <= target


def _growing(scores, latency, target):
    n = len(scores)
    while _fits(_first(scores, n + 1), latency, target):
        n += 1
    return _first(scores, n)


def _halving(scores, latency, target):
    ns = range(len(scores), sum(map(len, scores)) + 1)
    return _first(scores, ns[_halve([not _fits(_first(scores, n), latency, target) for n in ns])])


def _vanishing(scores, latency, target):
    n = sum(map(len, scores))
    while not _fits(_first(scores, n, protect=False), latency, target):
        n -= 1
    return _first(scores, n, protect=False)


def _alike(scores, latency, target):
    total = sum(map(len, scores))
    for gone in range(total):
        kept = [max(1, len(score) - round(gone / total * len(score))) for score in scores]
        if latency(kept) <= target:
            return [_keep(score, n) for score, n in zip(scores, kept, strict=True)]
    return None


def _strictly(scores, latency, target):
    return prune_to_latency(scores, latency, math.nextafter(target, 0))


PRUNE_TO_LATENCY = Exercise(
    id="pruning.prune_to_latency",
    chapter="01_pruning",
    title="prune to a target latency",
    difficulty=5,
    minutes=25,
    why="Single zeros make nothing faster by themselves. Whole neurons do, and a product has a "
    "deadline, not a sparsity.",
    task="""
        Prune whole neurons until the network is fast enough, and no further. You get a score for
        every neuron and a function that tells the time for given widths. It behaves like
        measured times: it grows in steps, because a processor computes blocks of neurons, and
        sometimes one neuron more is *faster*, because it completes a block.
        """,
    hint="""
        First put all neurons into one order: the best one of each layer at the front, then the
        others by score. Give those that must stay the score ∞, as the weights that must go got −∞
        before. Then try how many of them fit. Because time does not only grow, start with all and
        take one neuron less at a time; halving the interval would miss the answer.
        """,
    reference=prune_to_latency,
    cases=_networks,
    wrong=[
        Wrong(
            _strictly,
            "A network that takes exactly `target` is fast enough: at most means ≤.",
        ),
        Wrong(
            _vanishing,
            "A layer has lost all its neurons, so nothing gets through it. The best neuron of each "
            "layer stays.",
        ),
        Wrong(
            _growing,
            "You added neurons and stopped at the first network that is too slow. A larger one can "
            "be faster: it fills its blocks. Come from above.",
        ),
        Wrong(
            _halving,
            "You halved the interval, as if more neurons were always slower. A larger network can "
            "be faster: it fills its blocks. Try them one after the other, from above.",
        ),
        Wrong(
            lambda scores, latency, target: prune_to_latency(
                [1 / (0.01 + score) for score in scores], latency, target
            ),
            "You kept the neurons of lowest score. Larger means: more important.",
        ),
        Wrong(
            lambda scores, latency, target: [
                ~mask for mask in prune_to_latency(scores, latency, target)
            ],
            "Your masks say True where a neuron goes. True means: stays.",
        ),
        Wrong(
            _alike,
            "You took the same share from every layer. The scores of all layers are compared with "
            "one another.",
        ),
        Wrong(
            lambda scores, latency, target: _first(
                scores, sum(int(m.sum()) for m in prune_to_latency(scores, latency, target)) - 1
            ),
            "One neuron too few stays: you took one away after the network was fast enough.",
        ),
        Wrong(
            lambda scores, latency, target: _first(
                scores, sum(int(m.sum()) for m in prune_to_latency(scores, latency, target)) + 1
            ),
            "One neuron too many stays: the network before the last step was still too slow.",
        ),
    ],
)


EXERCISES = (MAGNITUDE_MASK, GLOBAL_MASK, CSR_BREAK_EVEN, PAIRED_INTERVAL, PRUNE_TO_LATENCY)


# --- Private --------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def _share(rng: np.random.Generator, n: int, above: bool, at_least: float = 0.3) -> float:
    """Draw a share of n that is not whole: rounding down, up and to the nearest differ."""
    few, many = math.ceil(at_least * n), math.floor((at_least + 0.35) * n)
    k = int(rng.choice([k for k in range(few, many + 1) if 2 * k != n]))
    offset = rng.uniform(0.1, 0.4)
    return (k + (offset if above else -offset)) / n


def _keep(scores: Tensor, n_kept: int) -> Tensor:
    """True at the `n_kept` largest scores."""
    keep = torch.zeros(scores.numel(), dtype=torch.bool)
    keep[scores.flatten().argsort(descending=True)[:n_kept]] = True
    return keep.view(scores.shape)


def _chance_mask(rng: np.random.Generator, shape: torch.Size, sparsity: float) -> Tensor:
    n = shape.numel()
    return torch.from_numpy(rng.permutation(n) >= round(sparsity * n)).view(shape)


def _count(masks) -> tuple[int, int]:
    """How many weights there are, and how many are left."""
    return sum(m.numel() for m in masks.values()), sum(int(m.sum()) for m in masks.values())


def _everything(masks):
    return {name: torch.ones_like(mask) for name, mask in masks.items()}
