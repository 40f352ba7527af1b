"""The exercises of chapter 03: rewinding, controls, rounds, barriers, and a whole search."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.exercises.comparing import Case, Wrong
from course_lib.exercises.exercise import Exercise

CHAPTER = "03_tickets"
SHAPES = {"0.weight": (7, 5), "0.bias": (7,), "2.weight": (4, 7), "2.bias": (4,)}


def _mistakes(flawed: Callable, **messages: str) -> list[Wrong]:
    """Mistakes of one flawed answer by `how` it is flawed, and what to tell of each."""
    return [Wrong(functools.partial(flawed, how=how), told) for how, told in messages.items()]


# --- Rewind ---------------------------------------------------------------------------------------


def rewind(snapshots, step, masks):
    """Say with which weights the training of a ticket starts.

    snapshots: dictionary by step of the dense network's parameters then,
        each a dictionary of tensors by name.
    step: the step from which training goes on, a key of snapshots.
    masks: booleans by name, True where a weight stays. Biases have none:
        they all stay.

    Returns a dictionary of tensors by name: every parameter as it was at
    that step, and zero where it is pruned.
    """
    start = {}
    for name, value in snapshots[step].items():
        start[name] = value
        if name in masks:
            start[name] = torch.where(masks[name], value, 0.0)
    return start


def _snapshots(rng: np.random.Generator) -> Iterator[Case]:
    for step in (0, 30, 120):
        early = {at: _parameters(rng) for at in (0, 30, 120, 600)}
        masks = _masks(rng, early[0])
        left = [int(mask.sum()) for mask in masks.values()]
        yield Case(
            f"snapshots at the steps {list(early)}, of which step {step}; {left} weights left",
            (early, step, masks),
        )


def _flawed_rewind(snapshots, step, masks, *, how):
    step = {"first": min(snapshots), "last": max(snapshots)}.get(how, step)
    if how == "inverted":
        masks = {name: ~mask for name, mask in masks.items()}
    if how == "values":
        return snapshots[step]
    start = rewind(snapshots, step, masks)
    if how == "weights":
        return {name: start[name] for name in masks}
    if how == "zero_biases":
        return {name: value * (name in masks) for name, value in start.items()}
    return start


REWIND = Exercise(
    id="tickets.rewind",
    chapter=CHAPTER,
    title="rewind a network",
    difficulty=1,
    minutes=5,
    why="A ticket is a mask and the weights it starts from. Which weights is the question of "
    "section 3.",
    task="""
        Write $m \\odot \\theta_k$ for a whole network: the parameters of step k, with zeros where
        the masks prune. Biases are never pruned.
        """,
    hint="""
        Go through the parameters of `snapshots[step]`. Those that have a mask get zeros where it
        is False, for example by `torch.where`; the others stay as they are.
        """,
    reference=rewind,
    cases=_snapshots,
    wrong=_mistakes(
        _flawed_rewind,
        last="You took the weights from the end of training. Take those of `step`.",
        first="You always go back to step 0. Training starts again at `step`.",
        inverted="You kept what the mask prunes. True means: the weight stays.",
        values="You rewound the weights and did not prune them: where a mask is False stands zero.",
        weights="You left out what has no mask. The biases belong to the network too.",
        zero_biases="You set the biases to zero. What has no mask stays as it was at `step`.",
    ),
)


# --- A random mask of the same counts -------------------------------------------------------------


def random_masks(masks, noise):
    """Pick by chance which weights stay, as many in each layer as a ticket.

    masks: a ticket's masks, booleans by layer.
    noise: random numbers by layer, of the same shapes, all different.

    Returns new masks by layer: True where the layer's numbers are largest.
    """
    found = {}
    for name, mask in masks.items():
        order = noise[name].flatten().argsort(descending=True)
        found[name] = torch.zeros_like(mask)
        found[name].view(-1)[order[: int(mask.sum())]] = True
    return found


def _tickets(rng: np.random.Generator) -> Iterator[Case]:
    for shapes in ([(9, 5), (6, 9)], [(8, 3), (5, 8), (4, 5)], [(3, 2, 4), (5, 3)]):
        masks = {}
        for n, shape in enumerate(shapes):  # layers of quite different densities
            share = 0.15 + 0.3 * n + rng.uniform(-0.06, 0.06)
            kept = rng.permutation(math.prod(shape)) < round(share * math.prod(shape))
            masks[f"layer {n + 1}"] = torch.from_numpy(kept).view(shape)
        noise = {name: torch.from_numpy(rng.uniform(size=m.shape)) for name, m in masks.items()}
        kept = [int(mask.sum()) for mask in masks.values()]
        yield Case(f"layers of shapes {shapes} that keep {kept}", (masks, noise))


def _flawed_random(masks, noise, *, how):
    kept, total = sum(int(m.sum()) for m in masks.values()), sum(m.numel() for m in masks.values())
    if how == "over_all_layers":
        flat = torch.cat([noise[name].flatten() for name in masks])
        cut = flat.sort(descending=True).values[kept - 1]
        return {name: noise[name] >= cut for name in masks}
    found = {}
    for name, mask in masks.items():
        n = round(kept / total * mask.numel()) if how == "one_density" else int(mask.sum())
        if how == "the_others":
            n = mask.numel() - n
        values = -noise[name] if how == "smallest" else noise[name]
        if how == "within":
            values = values.masked_fill(~mask, -1)
            n = round(n * n / mask.numel())
        found[name] = _largest(values, n)
        if how == "in_the_mean":
            found[name] = noise[name] < mask.double().mean()
    return found


RANDOM_MASKS = Exercise(
    id="tickets.random_masks",
    chapter=CHAPTER,
    title="the control that every ticket needs",
    difficulty=2,
    minutes=10,
    why="If a random mask does as well, the search found nothing. The control is fair only if it "
    "keeps as many weights in each layer.",
    task="""
        Make a random mask for each layer with exactly as many weights as the ticket keeps there.
        The chance is handed over as `noise`, so that your answer can be compared: the weights with
        the largest numbers stay.
        """,
    hint="""
        Go layer by layer. `argsort(descending=True)` of the flat noise lists places from the
        largest number on; the first `mask.sum()` of them stay.
        """,
    reference=random_masks,
    cases=_tickets,
    wrong=_mistakes(
        _flawed_random,
        over_all_layers="You ranked the numbers of all layers together, so the counts of the layers"
        " change. Then a difference could come from the counts.",
        one_density="You gave every layer the density of the whole network. Each layer has its own "
        "count.",
        in_the_mean="You kept each weight with the probability of its layer's density. That gives "
        "the counts in the mean only; the question asks for them exactly.",
        smallest="You kept the weights with the smallest numbers. The question keeps the largest.",
        the_others="You kept as many as the ticket prunes. `mask.sum()` counts those that stay.",
        within="You picked among the weights of the ticket. The control picks among all weights.",
    ),
)


# --- The masks of the next round ------------------------------------------------------------------


def next_masks(weights, masks, rate, output_rate):
    """Prune a share of what is left in each layer: one round.

    weights: tensors by layer after training, in the order of the layers,
        the output layer last. Pruned places hold numbers too, which do not
        count. No two absolute values are the same.
    masks: booleans by layer, True where a weight is left.
    rate: of the k weights left in a layer, round(rate * k) go: those of
        smallest absolute value.
    output_rate: the same for the output layer.

    Returns new masks by layer, True where a weight stays.
    """
    found = {}
    output = list(weights)[-1]
    for name, weight in weights.items():
        share = output_rate if name == output else rate
        scores = weight.abs().masked_fill(~masks[name], torch.inf).flatten()
        n_gone = round(share * int(masks[name].sum()))
        found[name] = masks[name].clone()
        found[name].view(-1)[scores.topk(n_gone, largest=False).indices] = False
    return found


def _rounds(rng: np.random.Generator) -> Iterator[Case]:
    kinds = ([(9, 5), (7, 9), (3, 7)], [(4, 3, 5), (5, 4)], [(8, 6), (6, 8), (5, 6)])
    for shapes, up in zip((*kinds, kinds[0]), (True, True, True, False), strict=True):
        # Layers of different scales: one threshold for all would prune them unequally.
        weights = {f"layer {n + 1}": _normal(rng, s) * (2 - n / 2) for n, s in enumerate(shapes)}
        masks = _masks(rng, weights)
        rate = _share(rng, int(masks["layer 1"].sum()), 0.15, up)
        output_rate = _share(rng, int(masks[f"layer {len(shapes)}"].sum()), 0.3, up)
        left = [int(mask.sum()) for mask in masks.values()]
        yield Case(
            f"layers of shapes {shapes} with {left} weights left, rate {rate:.4f}, at the output "
            f"{output_rate:.4f}",
            (weights, masks, rate, output_rate),
        )


def _flawed_round(weights, masks, rate, output_rate, *, how):
    names = list(weights)
    special = {"output_first": names[0], "one_rate": None}.get(how, names[-1])
    scores = {n: (w if how == "signed" else w.abs()) for n, w in weights.items()}
    if how == "largest":
        scores = {name: -score for name, score in scores.items()}
    if how == "over_all_layers":
        flat = torch.cat([scores[n][masks[n]] for n in names[:-1]])
        cut = flat.sort().values[round(rate * len(flat))]
    found = {}
    for name in names:
        score, mask = scores[name], masks[name]
        share, left = output_rate if name == special else rate, int(mask.sum())
        if how == "over_all_layers" and name != special:
            found[name] = mask & (score >= cut)
            continue
        rounded = {"int": int, "ceil": math.ceil}.get(how, round)
        n_gone = rounded(share * (mask.numel() if how == "of_all" else left))
        if how == "forgets":
            found[name] = _largest(score, left - n_gone)
        elif how == "gone_only":
            found[name] = _largest(score, mask.numel() - n_gone)
        else:
            found[name] = _largest(score.masked_fill(~mask, -torch.inf), left - n_gone)
        if how == "inverted":
            found[name] = ~found[name]
    return found


NEXT_MASKS = Exercise(
    id="tickets.next_masks",
    chapter=CHAPTER,
    title="the masks of the next round",
    difficulty=3,
    minutes=15,
    why="Tickets are found by pruning a little, many times. Counts that are off by a few weights "
    "add up over the rounds, and masks that are not nested are no search at all.",
    task="""
        Write one round of pruning: from each layer alone, the stated share of the weights that are
        *left* goes, the smallest first. The output layer has a rate of its own. What was pruned
        stays pruned.
        """,
    hint="""
        Give pruned places the score ∞, so that they are not among the smallest, and take the
        `round(rate * left)` smallest from a copy of the old mask. The name of the output layer is
        the last of `list(weights)`.
        """,
    reference=next_masks,
    cases=_rounds,
    wrong=_mistakes(
        _flawed_round,
        one_rate="The output layer lost the share of the other layers. It has a rate of its own.",
        output_first="You gave `output_rate` to the first layer. The output layer is the last.",
        of_all="You took the share of all weights of a layer. Take it of those that are left.",
        forgets="Pruned weights came back: you ranked all weights, with the numbers that stand in "
        "pruned places. Only weights that are left can stay.",
        gone_only="You pruned from the full layer and forgot the masks so far. What was pruned "
        "stays pruned.",
        over_all_layers="You ranked the hidden layers together. Each layer loses its own share.",
        signed="You ranked the weights with their sign, so the negative ones go first. What counts "
        "is the absolute value.",
        largest="You removed the largest weights. The smallest go.",
        int="One weight too many stays where the count is not whole: int() rounds down, and the "
        "question asks for round().",
        ceil="One weight too many goes where the count is not whole: the question asks for "
        "round(), not for rounding up.",
        inverted="Your masks say True where a weight goes. True means: stays.",
    ),
)


# --- The error barrier ----------------------------------------------------------------------------


def barrier(a, b, error, points):
    """Measure the error barrier between two networks.

    a, b: parameters of two networks of one shape, dictionaries of tensors
        by name.
    error: a function that takes such a dictionary and returns the network's
        error in percent.
    points: how many networks on the line, both ends among them, in equal
        steps; at least 3.

    Returns the largest error on the line minus the mean of the errors of
    its ends, a number in percentage points.
    """
    errors = []
    for i in range(points):
        alpha = i / (points - 1)
        errors.append(error({name: (1 - alpha) * a[name] + alpha * b[name] for name in a}))
    return max(errors) - (errors[0] + errors[-1]) / 2


@dataclass(frozen=True)
class _Landscape:
    """Errors as of a network, without one: a slope, and a smooth hill or valley."""

    centre: dict[str, Tensor]
    slope: dict[str, Tensor]
    height: float
    width: float  # squared

    def __call__(self, parameters: dict[str, Tensor]) -> float:
        names = self.centre
        far = sum(((parameters[n] - self.centre[n]) ** 2).sum().item() for n in names)
        along = sum((parameters[n] * self.slope[n]).sum().item() for n in names)
        return 40 + along + self.height * float(np.exp(-far / self.width))


def _lines(rng: np.random.Generator) -> Iterator[Case]:
    kinds = [("a hill", 0.3, 25, 5, 7), ("a slope", 0.5, -2, 15, 8), ("a hill", 0.7, 20, -4, 6)]
    kinds += [("a valley", 0.45, -25, -6, 9), ("a hill", 0.62, 22, 3, 5)]
    for name, place, height, rise, points in kinds:
        a, b = ({n: v.double() for n, v in _parameters(rng).items()} for _ in range(2))
        line = {n: b[n] - a[n] for n in a}
        length = sum((v**2).sum().item() for v in line.values())  # squared
        slope = {n: v * rise / length for n, v in line.items()}
        place += rng.uniform(-0.02, 0.02)
        height += rng.uniform(-2, 2)
        centre = {n: a[n] + place * v for n, v in line.items()}
        error = _Landscape(centre, slope, height, 0.06 * length)
        yield Case(
            f"{name} of {height:+.2f} pp between the two, {points} points", (a, b, error, points)
        )


def _flawed_barrier(a, b, error, points, *, how):
    alphas = [i / (points - 1) for i in range(points)]
    if how == "misses_b":
        alphas = [i / points for i in range(points)]
    if how == "no_ends":
        alphas = alphas[1:-1]
    if how == "middle":
        alphas = [0.5]
    line = [error({n: (1 - t) * a[n] + t * b[n] for n in a}) for t in alphas]
    if how == "errors":
        line = [(1 - t) * error(a) + t * error(b) for t in alphas]
    ends = error(a), error(b)
    if how == "misses_b":
        ends = line[0], line[-1]
    top = sum(line) / len(line) if how == "mean" else max(line)
    below = {"larger": max, "smaller": min}.get(how, lambda pair: sum(pair) / 2)(ends)
    if how == "a_alone":
        below = ends[0]
    if how == "over_the_line":
        below = sum(line) / len(line)
    return top - (0 if how == "height" else below)


BARRIER = Exercise(
    id="tickets.barrier",
    chapter=CHAPTER,
    title="the barrier between two networks",
    difficulty=4,
    minutes=15,
    why="Two trainings that see the same data in another order may end in one valley or in two. "
    "Claim T4 says that this decides whether there is a ticket.",
    task="""
        Walk on the straight line from network a to network b,
        $\\theta(\\alpha) = (1 - \\alpha)\\,\\theta_a + \\alpha\\,\\theta_b$, and measure the
        error of each network on the way. The barrier is the highest of these errors minus the mean
        of the two at the ends.
        """,
    hint="""
        With n points, α goes through i / (n − 1) for i = 0 … n − 1. Mix the *parameters*, each by
        its name, and call `error` once for each mix.
        """,
    reference=barrier,
    cases=_lines,
    wrong=_mistakes(
        _flawed_barrier,
        errors="You mixed the two errors. Mix the parameters, and measure the error of the mix.",
        middle="You measured the middle only. The highest error may lie elsewhere.",
        no_ends="You left the ends out. On a slope, the highest error on the line is at an end.",
        misses_b="Your line ends before b: with n points, α goes in steps of 1 / (n − 1).",
        height="You returned the highest error. Take off the mean of the errors at the ends.",
        larger="You took off the larger error of the two ends. Take off their mean.",
        smaller="You took off the smaller error of the two ends. Take off their mean.",
        a_alone="You took off the error of a alone. Take off the mean of a's and b's.",
        mean="You took the mean error on the line. A barrier is its highest point.",
        over_the_line="You took off the mean over the whole line. Take off the mean of its two "
        "ends.",
    ),
)


# --- The whole search -----------------------------------------------------------------------------


def find_ticket(start, train, rounds, rate):
    """Find a winning ticket by magnitude pruning, rewound to `start`.

    start: the weights of a fresh network, tensors by layer.
    train: a function: train(weights, masks) trains from these weights with
        what the masks keep, booleans by layer, and returns the trained
        weights by layer, zero where they are pruned.
    rounds: how often to prune.
    rate: in each round, of the k weights left in a layer, round(rate * k)
        go: those of smallest absolute value after training.

    Returns the masks after the last round, and the weights to train them
    from: those of `start`, and zero where they are pruned.
    """
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in start.items()}
    for _ in range(rounds):
        trained = train(start, masks)
        for name, weight in trained.items():
            scores = weight.abs().masked_fill(~masks[name], torch.inf).flatten()
            n_gone = round(rate * int(masks[name].sum()))
            masks[name].view(-1)[scores.topk(n_gone, largest=False).indices] = False
    return masks, {name: weight * masks[name] for name, weight in start.items()}


@dataclass(frozen=True)
class _Training:
    """Gradient descent on a small ReLU network: y = W₂ ReLU(W₁ x), squared error."""

    x: Tensor  # (n, d)
    y: Tensor  # (n, c)
    steps: int = 25
    learning_rate: float = 0.1

    def __call__(self, weights: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        x, y = self.x.numpy(), self.y.numpy()
        keep = {name: mask.numpy() for name, mask in masks.items()}
        first, second = (weights[n].numpy() * keep[n] for n in ("first", "second"))
        for _ in range(self.steps):
            hidden = np.maximum(x @ first.T, 0)  # (n, h)
            gone = 2 / len(x) * (hidden @ second.T - y)  # (n, c)
            back = (gone @ second) * (hidden > 0)  # (n, h)
            second = second - self.learning_rate * keep["second"] * (gone.T @ hidden)
            first = first - self.learning_rate * keep["first"] * (back.T @ x)
        return {"first": torch.from_numpy(first), "second": torch.from_numpy(second)}

    def loss(self, weights: dict[str, Tensor]) -> float:
        """The mean squared error of weights."""
        hidden = (self.x @ weights["first"].T).relu()
        return ((hidden @ weights["second"].T - self.y) ** 2).mean().item()


def _searches(rng: np.random.Generator) -> Iterator[Case]:
    for inputs, hidden, rounds, rate in ((7, 9, 3, 0.31), (8, 6, 4, 0.22), (6, 8, 2, 0.43)):
        rate = round(rate + rng.uniform(-0.02, 0.02), 4)
        x = torch.from_numpy(rng.normal(size=(40, inputs)))
        y = (x[:, :2] @ torch.from_numpy(rng.normal(size=(2, 3)))).relu()  # two inputs matter
        scale = {"first": inputs**-0.5, "second": hidden**-0.5}
        shapes = {"first": (hidden, inputs), "second": (3, hidden)}
        start = {n: _normal(rng, shapes[n]).double() * scale[n] for n in shapes}
        yield Case(
            f"a network of {inputs}-{hidden}-3 neurons, {rounds} rounds at rate {rate}",
            (start, _Training(x, y), rounds, rate),
        )


def _flawed_search(start, train, rounds, rate, *, how):
    if how in ("one_less", "one_more"):
        return find_ticket(start, train, rounds + (1 if how == "one_more" else -1), rate)
    whole = {n: torch.ones_like(w, dtype=torch.bool) for n, w in start.items()}
    masks, weights = whole, start
    once = train(start, whole)
    for number in range(1, rounds + 1):
        trained = once if how == "trained_once" else train(weights, masks)
        if how == "first_weights":
            trained = start
        if how == "late":
            weights = trained
        if how == "movement":
            trained = {n: trained[n] - start[n] for n in start}
        masks = _round_of(trained, masks, rate, how, number)
    ends = start
    if how in ("late", "trained_weights"):
        ends = trained
    elif how == "trained_again":
        ends = train(start, masks)
    if how == "unmasked":
        return masks, start
    return masks, {n: ends[n] * masks[n] for n in start}


def _round_of(trained, masks, rate, how, number):
    found = {}
    whole = sum(int(m.sum()) for m in masks.values())
    if how == "over_all_layers":
        flat = torch.cat([trained[n].abs()[masks[n]] for n in masks])
        cut = flat.sort().values[round(rate * whole)]
        return {n: masks[n] & (trained[n].abs() >= cut) for n in masks}
    for name, mask in masks.items():
        left = int(mask.sum()) - round(rate * int(mask.sum()))
        if how == "of_all":
            left = max(0, mask.numel() - round(number * rate * mask.numel()))
        score = -trained[name].abs() if how == "largest" else trained[name].abs()
        found[name] = _largest(score.masked_fill(~mask, -torch.inf), left)
    return found


FIND_TICKET = Exercise(
    id="tickets.find_ticket",
    chapter=CHAPTER,
    title="find a winning ticket",
    difficulty=5,
    minutes=25,
    why="This is the whole algorithm of the paper. It is short; what matters is what is kept from "
    "round to round and what is not.",
    task="""
        Train, prune, go back, again: write the whole search for a ticket. Each round trains from
        the *first* weights with the masks so far, and prunes by the *trained* weights. After the
        last round nothing is trained: return the masks, and the weights to start from.
        """,
    hint="""
        Begin with masks of ones. In each round call `train(start, masks)`, with `start` as it came.
        Of the trained weights only the absolute values are needed, for the next masks. Give pruned
        places the score ∞.
        """,
    reference=find_ticket,
    cases=_searches,
    wrong=_mistakes(
        _flawed_search,
        late="You trained on from the trained weights, and returned them. Each round goes back to "
        "`start`.",
        trained_weights="You returned trained weights. The ticket starts from `start`.",
        trained_again="You trained the ticket after the last round and returned that. Return the "
        "weights to start from.",
        unmasked="The weights you returned are not pruned: where a mask is False stands zero.",
        first_weights="You pruned by the first weights. What counts is how large they are after "
        "training.",
        trained_once="Every round of yours prunes by the same weights, those of the dense network. "
        "Train in each round, with the masks so far.",
        over_all_layers="You ranked all layers together. Each layer loses its own share.",
        of_all="You took the share of all weights of a layer. Take it of those that are left.",
        largest="You removed the largest weights. The smallest go.",
        movement="You pruned by how far weights moved. What counts is how large they are "
        "afterwards.",
        one_less="You pruned one time too few: there are `rounds` rounds.",
        one_more="You pruned one time too many: there are `rounds` rounds.",
    ),
)


EXERCISES = (REWIND, RANDOM_MASKS, NEXT_MASKS, BARRIER, FIND_TICKET)


# --- Private --------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def _parameters(rng: np.random.Generator) -> dict[str, Tensor]:
    return {name: _normal(rng, shape) for name, shape in SHAPES.items()}


def _masks(rng: np.random.Generator, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random masks of the weights, with 45 to 65% of them left."""
    found = {}
    for name, value in values.items():
        if value.ndim > 1:
            n_left = round(rng.uniform(0.45, 0.65) * value.numel())
            left = torch.from_numpy(rng.permutation(value.numel()) < n_left)
            found[name] = left.view(value.shape)
    return found


def _share(rng: np.random.Generator, n: int, at_least: float, up: bool) -> float:
    """Draw a share of n that is not whole and rounds up or down: other roundings differ."""
    offset = -rng.uniform(0.15, 0.4) if up else rng.uniform(0.35, 0.45)
    return (round(at_least * n) + 1 + offset) / n


def _largest(values: Tensor, n_kept: int) -> Tensor:
    """True at the `n_kept` largest values."""
    keep = torch.zeros(values.numel(), dtype=torch.bool)
    keep[values.flatten().argsort(descending=True)[:n_kept]] = True
    return keep.view(values.shape)
