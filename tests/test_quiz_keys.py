"""Quizzes: their files, and the keys that can be computed.

`KEYS` has a function for each question that says `computed = true`. It computes the answer and the
mistakes, or which of the options are right, with the library.
"""

import gzip
import html
import math
import re
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib import (
    autoencoders,
    costs,
    data,
    exercises,
    networks,
    probes,
    pruning,
    superposition,
    tickets,
)
from course_lib.evidence import Condition, Interval, t_interval
from course_lib.widgets.quiz import QUIZZES, Quiz, markup, read

ROOT = Path(__file__).parents[1]
FILES = sorted(QUIZZES.glob("*.toml"))

# --- Keys -----------------------------------------------------------------------------------------


def uniform(*shape, low=0.0, seed=3):
    return low + torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def share_of_zeros():
    weight = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    share = 100 * (weight == 0).float().mean().item()
    not_above = 100 * (weight <= 0).float().mean().item()
    return [share, round(not_above, 3), (weight == 0).sum().item()]


def global_cut():
    scores = {"large": uniform(10, 10, low=5.0), "small": uniform(30, 30)}
    masks = pruning.global_mask(scores, 0.9)
    stretched = pruning.global_mask(scores | {"small": 10 * scores["small"]}, 0.9)
    # A weight on an empty pixel stays, and taking it away changes nothing.
    images, weight = uniform(7, 5), uniform(4, 5)
    images[:, 2], weight[:, 2] = 0.0, 3.0
    stays = pruning.global_mask({"weight": weight}, 0.8)["weight"][:, 2]
    without = weight.clone()
    without[:, 2] = 0.0
    assert torch.equal(images @ weight.T, images @ without.T)
    return [
        all(mask.float().mean().item() == pytest.approx(0.1, abs=0.01) for mask in masks.values()),
        not masks["small"].any().item(),
        all(torch.equal(masks[name], stretched[name]) for name in masks),
        stays.all().item(),
    ]


def csr_bytes():
    def weight(sparsity):
        scores = {"weight": uniform(300, 64, low=0.1)}
        return scores["weight"] * pruning.global_mask(scores, sparsity)["weight"]

    parts = {name: part.nbytes for name, part in costs.encode(weight(0.9), "csr").items()}
    mistakes = [
        parts["values"],
        parts["values"] + parts["columns"],
        sum(parts.values()) - 4,
        costs.n_bytes(weight(0.9), "coo"),
        costs.n_bytes(weight(0.1), "csr"),
        costs.n_bytes(weight(0.9), "dense"),
    ]
    return [costs.n_bytes(weight(0.9), "csr"), *mistakes]


def rounds():
    after = [100 * s for s in pruning.iterative_sparsities(3, 0.2)]
    keeps_a_fifth = 100 * pruning.iterative_sparsities(3, 0.8)[-1]
    return [after[2], 3 * 20, 100 - after[2], keeps_a_fifth, after[1]]


def paired():
    dense = np.array([90.0, 91.5, 94.0, 96.5, 98.0])
    differences = -np.array([0.5, 0.7, 0.55, 0.65, 0.6])
    one, other = t_interval(dense), t_interval(dense + differences)
    assert one.low < other.high  # they overlap
    costs_something = t_interval(differences).high < 0
    return [not costs_something, not costs_something, costs_something, not costs_something]


def undecided():
    interval = Interval(estimate=-0.8, low=-1.4, high=-0.2, n=5)
    outcome = Condition("pruned − dense", interval, ">=", -1.0, "pp").outcome
    no_difference = interval.low <= 0 <= interval.high
    return [
        outcome == "holds",
        outcome == "fails",
        outcome == "undecided",
        outcome == "undecided" and no_difference,
    ]


def csr_on_paper():
    weight = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0] * 4, [0.0, 0.0, 0.0, 2.0]])
    parts = {name: part.nbytes for name, part in costs.encode(weight, "csr").items()}
    mistakes = [
        parts["values"],
        parts["values"] + parts["columns"],
        sum(parts.values()) - 4,
        costs.n_bytes(weight.T, "csr"),  # a start for each column
        costs.n_bytes(weight, "coo"),
        costs.n_bytes(weight, "dense"),
    ]
    return [sum(parts.values()), *mistakes]


def fewer_bits():
    shape = (300, 64)
    wide, narrow = (
        costs.break_even_in_bytes("csr", shape, dtype) for dtype in (np.float32, np.float16)
    )
    return [narrow == wide, narrow < wide, narrow > wide]


def zeros_in_the_file():
    weight = uniform(300, 64, low=0.1)
    mask = pruning.global_mask({"weight": weight}, 0.9)["weight"]
    before = costs.n_bytes(weight, "dense")
    zeros = costs.encode(weight * mask, "dense")["values"].tobytes()
    sizes = [
        before + costs.n_bytes(mask.float(), "dense"),
        len(zeros),
        len(gzip.compress(zeros)),
        costs.n_bytes(weight * mask, "bitmask"),
    ]
    return [size < before for size in sizes]


def fair_timing():
    """Eight kernels that are all as fast as dense, timed many times over."""
    times = 1 + 0.1 * np.random.default_rng(2).standard_normal((2_000, 8, 12))
    medians = np.median(times, axis=2)
    winner = medians.argmin(axis=1)[:, None, None]
    again = 1 + 0.1 * np.random.default_rng(3).standard_normal(times.shape)
    elsewhere = np.median(np.take_along_axis(again, winner, axis=1), axis=2)
    is_lucky = medians.min(axis=1).mean() < 0.97
    assert elsewhere.mean() == pytest.approx(1, abs=0.01)  # judged on other blocks
    assert times.mean(axis=2).min(axis=1).mean() < 0.97  # means would not help
    return [not is_lucky, is_lucky, False]


def two_layers_cut():
    model = networks.mlp((64, 300, 100), seed=2)
    first, second = pruning.weights(model)
    pruning.prune(model, {first: 0.5}, rule=pruning.units(pruning.layerwise_mask))
    left = [weight.shape for weight in pruning.weights(pruning.shrink(model)).values()]
    (kept, n_in), (n_out, _) = left
    full = pruning.weights(networks.mlp((64, 300, 100), seed=2))
    whole = [weight.numel() for weight in full.values()]
    rows, columns = kept * n_in, n_out * kept
    return [rows + columns, rows + whole[1], whole[0] + columns, rows + columns // 2, sum(whole)]


def rounds_to_a_tenth():
    def first(left, rate=0.2):
        number = 1
        while 30_000 * left(number, rate) > 3_000:
            number += 1
        return number

    def iterative(number, rate):
        return 1 - pruning.iterative_sparsities(number, rate)[-1]

    found = first(iterative)
    mistakes = [found - 1, first(lambda n, rate: 1 - n * rate), first(iterative, 0.8)]
    assert round(30_000 * iterative(10, 0.2)) == 3_221
    return [found, *mistakes]


def ticket():
    """A ticket of three layers that keep quite different shares, at step 0."""
    model = networks.mlp((8, 20, 15, 4), seed=6)
    masks = tickets.magnitude_masks(model, 6)
    return tickets.Ticket(masks, model)


def controls():
    """Which draws differ from the ticket in the choice of weights and in nothing else."""
    one = ticket()
    name = next(iter(one.masks))

    def fair(masks, start):
        counts = {n: int(mask.sum()) for n, mask in masks.items()}
        same_start = torch.equal(start.state_dict()[name], one.start.state_dict()[name])
        chosen = any(not torch.equal(masks[n], one.masks[n]) for n in masks)
        return counts == one.counts and same_start and chosen

    scores = pruning.random(one.start, seed=3)
    over_all = pruning.global_mask(scores, 1 - one.density)
    by_layer, anew = one.random_masks(3), one.reinitialised(3)
    return [
        fair(over_all, one.start),
        fair(by_layer.masks, by_layer.start),
        fair(by_layer.masks, anew.start),
        fair(one.masks, anew.start),
    ]


def rewound(steps=20, k=3):
    """The question's 600 steps and step 30, in small."""
    splits = data.digits(0)
    plan = tickets.Plan(steps=steps, batch_size=50)
    model = networks.mlp((64, 9, 10), seed=2)

    def search(rewind):
        return list(tickets.find([model], [splits], plan, seeds=[0], rounds=1, rewind=rewind))[
            1
        ].tickets[0]

    one = search(k)
    dense = tickets.Ticket.dense(model).train(splits, plan, seed=0, snapshots=[k]).snapshots[k]
    early, start = pruning.weights(dense), pruning.weights(pruning.remove(one.network()))
    kept = all(torch.equal(start[n][m], early[n][m]) for n, m in one.masks.items())
    run = one.train(splits, plan, seed=0, snapshots=range(steps))
    end = pruning.weights(run.model)
    trained = any(
        (start[n][~m] != 0).any() or (end[n][~m] != 0).any() for n, m in one.masks.items()
    )
    from_0 = search(0).train(splits, plan, seed=0, snapshots=range(steps))
    longer = len(run.snapshots) > len(from_0.snapshots)
    return [kept, trained, len(run.snapshots) == steps - k, not longer]


def barrier_of_the_line():
    error = [3.0, 4.0, 12.0, 9.0, 5.0]

    def measure(state):  # a network of one number, its place on the line
        return error[round(4 * state["place"].item())]

    ends = {"place": torch.tensor(0.0)}, {"place": torch.tensor(1.0)}
    height = exercises.find("tickets.barrier").reference(*ends, measure, 5)
    top = max(error)
    return [
        height,
        top - max(error[0], error[-1]),
        top - min(error[0], error[-1]),
        top,
        top - sum(error) / 5,
    ]


def cost_of_a_ticket():
    """The question's round 10 of 600 steps, as round 2 of 6 steps."""
    splits, steps, number = data.digits(1), 6, 2
    found = tickets.find(
        [networks.mlp((64, 9, 10), seed=2)],
        [splits],
        tickets.Plan(steps=steps, batch_size=50),
        seeds=[1],
        rounds=number,
    )
    spent = sum(int(one.runs[0].history["step"].max()) for one in found)
    told = [steps, number * steps, (number + 1) * steps]
    return [*(spent == one for one in told), spent < steps]


def no_relu():
    # Of maps of rank 2 the best is PCA's; features of equal variance let any two directions do.
    x, n = superposition.features(4000, 5, p_zero=0.95, draw=torch.Generator().manual_seed(1)), 5
    variances = torch.linalg.svdvals((x - x.mean(0)).double()) ** 2 / len(x)
    model = superposition.ToyModels(n, 2, seeds=range(20), output="linear")
    superposition.fit(model, steps=300, p_zero=0.95, learning_rate=0.03, device="cpu")
    with torch.no_grad():
        ratios = superposition.loss(model, x).double() / variances[2:].sum()
    better, equal = ratios.min() < 0.99, ratios.min() < 1.05
    return [bool(better), not better, not equal]


def phases():
    def best(p_zero, importance):
        return int(superposition.phase_losses(p_zero, importance).argmin())

    first, _, both = superposition.phase_losses(0.0, 1.0)
    assert both / first == pytest.approx(4)  # as its reason says
    return [best(0.5, 0.3) == 0, best(0.5, 1) == 2, best(0.9, 0.3) == 0, best(0.0, 1) == 2]


def triangle():
    angles = torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    W = torch.stack([angles.cos(), angles.sin()])
    D, seen = superposition.dimensionality(W)[0].item(), (W.T @ W)[0]
    others = superposition.interference(W)[0].item()
    mistakes = [1 / others, 1 / seen.abs().sum().item(), 1 / 3, 1 / D]
    return [round(x, 3) for x in (D, *mistakes)]


def opposite():
    model = superposition.ToyModels(2, 1, seeds=[0])
    model.W.data = torch.tensor([[[1.0, -1.0]]])

    def lost(pairs, importance=1.0):
        draw = torch.Generator().manual_seed(2)
        x = superposition.features(5000, 2, p_zero=0.8, draw=draw, pairs=pairs)
        return superposition.loss(model, x, importance).item()

    nothing = {pairs: lost(pairs) == 0 for pairs in superposition.PAIRS}
    of_any = all(nothing.values())
    return [nothing["correlated"], nothing["independent"], nothing["anticorrelated"], of_any]


def rotation():
    model = superposition.ToyModels(6, 4, seeds=[3])
    model.W.data = model.W.data * superposition.largest(model.W.data.abs(), 12) * 2
    x, before = uniform(50, 6), model.W.detach().clone()
    loss = superposition.loss(model, x).item()
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(4))).Q
    model.W.data = turn @ before
    after = model.W.detach()

    def changes(measure):
        return not torch.allclose(measure(before).float(), measure(after).float(), atol=1e-5)

    return [
        superposition.loss(model, x).item() != pytest.approx(loss, rel=1e-5),
        changes(superposition.features_per_neuron),
        changes(superposition.interference),
        changes(lambda W: (W == 0).sum()),
    ]


def off_by_five():
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = (x - x.mean(0)) / x.std(0, unbiased=False)
    of_means = autoencoders.fvu(x, x.mean(0).expand_as(x))
    explained = autoencoders.explained_variance(x, x + 5)
    return [autoencoders.fvu(x, x + 5), (x - (x + 5)).var(0).sum().item(), 5, of_means, explained]


def threshold():
    model = autoencoders.SparseAutoencoder(6, 12, autoencoders.BatchTopK(3), seed=0)
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(6))
    autoencoders.calibrate(model, x)
    model.eval()
    counts = (model.encode(x) != 0).sum(1)
    alone = torch.cat([model.encode(row) for row in x.split(1)])
    own_best = autoencoders.TopK(3)(model.pre_activations(x))
    return [
        bool((counts == 3).all()),
        counts.double().mean().item() == pytest.approx(3),
        torch.allclose(alone, model.encode(x), atol=1e-6),
        torch.allclose(alone, own_best, atol=1e-6),
    ]


def soft():
    f = torch.linspace(0, 1.2, 12001, dtype=torch.float64)

    def best(penalty):
        return f[((1 - f) ** 2 + penalty).argmin()].item()

    return [best(0.4 * f), best(0.8 * f), best(0 * f), round(best(0.4 * f**2), 3)]


def mmcs():
    draw = torch.Generator().manual_seed(7)
    true, random = torch.randn(128, 32, generator=draw), torch.randn(256, 32, generator=draw)
    found = torch.cat([true, random[:128]])
    score, more = autoencoders.mmcs(found, true), torch.cat([found, random])
    by_chance = autoencoders.mmcs(random, true), autoencoders.mmcs(true, random)
    return [
        score == pytest.approx(1),
        autoencoders.mmcs(more, true) < score - 1e-6,
        autoencoders.mmcs(true, found) < 0.99,
        max(by_chance) < 0.1,
    ]


def looks_dead():
    dead = 100 * (1 - 0.001) ** 200
    return [round(x, 1) for x in (dead, 200 * 0.1, 100 - 200 * 0.1, 99.9, 100 - dead)]


def sparse_weights():
    dense, h = torch.randn(40, 300, generator=torch.Generator().manual_seed(8)), uniform(200, 300)
    masks = pruning.global_mask({"weight": dense.abs()}, 0.9)
    z = h @ (dense * masks["weight"]).T
    zeros, of_dense = ((layer.relu() == 0).double().mean() for layer in (z, h @ dense.T))
    one_hot = torch.eye(300)[:5]
    spread = probes.hoyer(one_hot @ (dense * masks["weight"]).T) < probes.hoyer(one_hot)
    none = (z == 0).double().mean() < 0.01
    return [not none, none.item(), bool(min(zeros, of_dense) > 0.3), not spread.all()]


def hoyer_by_hand():
    h = torch.tensor([3.0, -4.0, 0.0, 0.0], dtype=torch.float64)
    root, ratio = 2, h.sum() / h.norm()
    of_two, l1 = probes.hoyer(h[:2]), probes.normalised_l1(h)
    signs = root - ratio.abs()
    return [round(float(v), 3) for v in (probes.hoyer(h), l1, 1 - l1, of_two, signs)]


def one_more_zero():
    case = probes.Case("Babies", (1, 2, 3, 4))
    names = ("Hoyer", "Gini", "−participation ratio", "−L0")
    assert "Gini" not in probes.COUNTEREXAMPLES
    return [not probes.breaks(probes.METRICS[name], case) for name in names]


def relu_noise():
    relu = probes.null(probes.hoyer, 20_000, activation=torch.relu, n=20).mean
    plain = probes.null(probes.hoyer, 20_000, n=20).mean
    zeros = (probes.gaussian(20_000, 20, activation=torch.relu, seed=1) == 0).double().mean()
    # Of finite width, so to the second place.
    assert (relu, plain, float(zeros)) == pytest.approx((0.436, 0.202, 0.5), abs=0.004)
    exact = 1 - (1 / math.sqrt(2 * math.pi)) / math.sqrt(0.5)
    found = [exact, 0, 0.5, 1 - math.sqrt(2 / math.pi), 1 - exact]
    return [round(v, 3) for v in found]


def ten_added():
    h = 2 * uniform(50, 30).double() - 1
    moved = h + 10
    near_0 = max(probes.hoyer(moved).max(), probes.gini(moved).max()) < 0.1
    same = torch.allclose(probes.kurtosis(h), probes.kurtosis(moved))
    back = torch.allclose(probes.hoyer(h), probes.hoyer(moved / 100))
    unchanged = all(torch.allclose(m(h), m(moved)) for m in probes.METRICS.values())
    return [bool(near_0), same, back, unchanged]


def area_by_hand():
    shifted, familiar = np.array([0.6, 0.5, 0.3]), np.array([0.4, 0.3, 0.2, 0.1])
    area = probes.auroc(shifted, familiar).estimate
    pairs = shifted[:, None], familiar
    lost, won = np.greater(*pairs).mean(), np.greater_equal(*pairs).mean()
    turned = probes.auroc(familiar, shifted).estimate
    return [area, round(lost, 3), round(won, 3), turned]


def five_areas():
    areas = np.array([0.62, 0.58, 0.41, 0.57, 0.66])
    interval = t_interval(areas)
    assert (interval.low, interval.high) == pytest.approx((0.45, 0.69), abs=0.005)
    outcome = Condition("AUROC", interval, ">", 0.5, "").outcome
    holds, undecided = outcome == "holds", outcome == "undecided"
    return [holds, outcome == "fails", undecided, holds]


def negative():
    # Some weights, moved as little as can be so that they add up to 5 and give 3 on x.
    x, b = uniform(6).double(), -1.0
    w = torch.randn(6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    asked, wanted = torch.stack([torch.ones_like(x), x]), torch.tensor([5.0, 3.0]).double()
    w += torch.linalg.pinv(asked) @ (wanted - asked @ w)
    z = float(w @ x) + b
    other = float(w @ probes.inversion(1.0)(x))
    return [other + b, -z, float(w.sum()) - z, other]


def ten_bins():
    draw = np.random.default_rng(10)
    x = draw.normal(size=20_000)
    y = 0.1 * x + draw.normal(size=20_000)
    items, bins = probes.spearman(x, y), probes.binned_spearman(x, y, bins=10)
    assert items == pytest.approx(0.1, abs=0.02)
    few = [
        probes.binned_spearman(x[i : i + 20], y[i : i + 20], bins=10) for i in range(0, 20_000, 20)
    ]
    harder = probes.auroc(y[x > np.median(x)], y[x <= np.median(x)]).estimate
    within = y[np.argsort(x)].reshape(10, -1)
    left = within.mean(1).std() < 0.2 < within.std(1).mean()
    return [bins < 0.95, harder > 0.6, bool(left), bool(np.mean(few) < 0.5)]


def longer():
    h = uniform(40, 12).double()
    weight = torch.randn(5, 12, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    factor = 1 + uniform(40, 1, low=0.1).double()
    before, after = h @ weight.T, (factor * h) @ weight.T
    surer = probes.softmax_maximum(after) > probes.softmax_maximum(before)
    cut = probes.keep_top(h, 4)
    along = torch.nn.functional.cosine_similarity(cut, h)
    return [
        not torch.allclose(probes.hoyer(factor * h), probes.hoyer(h)),
        torch.equal(before.argmax(1), after.argmax(1)),
        bool(surer.all()),
        bool((along > 0.999).any()),
    ]


KEYS = {
    "00_start": {"share-of-zeros": share_of_zeros},
    "01_pruning": {
        "global-cut": global_cut,
        "csr-bytes": csr_bytes,
        "rounds": rounds,
        "paired": paired,
        "undecided": undecided,
    },
    "01_costs": {
        "csr-on-paper": csr_on_paper,
        "fewer-bits": fewer_bits,
        "zeros-in-the-file": zeros_in_the_file,
        "fair-timing": fair_timing,
        "two-layers-cut": two_layers_cut,
    },
    "03_tickets": {
        "rounds": rounds_to_a_tenth,
        "controls": controls,
        "rewind": rewound,
        "barrier": barrier_of_the_line,
        "cost": cost_of_a_ticket,
    },
    "05_superposition": {
        "no-relu": no_relu,
        "phases": phases,
        "triangle": triangle,
        "opposite": opposite,
        "rotation": rotation,
    },
    "06_autoencoders": {
        "off-by-five": off_by_five,
        "threshold": threshold,
        "soft": soft,
        "mmcs": mmcs,
        "looks-dead": looks_dead,
    },
    "12_measuring": {
        "weights": sparse_weights,
        "by-hand": hoyer_by_hand,
        "babies": one_more_zero,
        "relu-noise": relu_noise,
        "centring": ten_added,
    },
    "13_shifts": {
        "auroc": area_by_hand,
        "five-seeds": five_areas,
        "negative": negative,
        "bins": ten_bins,
        "longer": longer,
    },
}


def unlike(question, computed):
    """What a file says otherwise than the function that computes a question's key."""
    if question.kind == "number":
        told = [option.value for option in question.options]
    else:
        told = [option.right for option in question.options]
    if len(told) != len(computed):
        return [f"{len(told)} options in the file, {len(computed)} computed"]
    return [
        f"{option.text}: {said} in the file, {found} computed"
        for option, said, found in zip(question.options, told, computed, strict=True)
        if said != (pytest.approx(found) if question.kind == "number" else found)
    ]


@pytest.mark.parametrize(
    ("chapter", "id"), [(chapter, id) for chapter, keys in KEYS.items() for id in keys]
)
def test_the_key_is_what_the_library_computes(chapter, id):
    question = {q.id: q for q in read(QUIZZES / f"{chapter}.toml")}[id]
    assert unlike(question, KEYS[chapter][id]()) == []


def test_a_wrong_key_is_found():
    questions = {q.id: q for q in read(QUIZZES / "01_pruning.toml")}
    assert unlike(questions["rounds"], [48.0, *rounds()[1:]])
    assert unlike(questions["rounds"], rounds()[:-1])
    assert unlike(questions["paired"], [False, True, True, False])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_question_is_computed_or_stands_in_the_chapter(path):
    questions = read(path)
    assert {q.id for q in questions if q.computed} == set(KEYS.get(path.stem, {}))
    notebook = nbformat.read(ROOT / "notebooks" / f"{path.stem}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^##+ (?:\d+ · )?(.+)$", text, re.MULTILINE)
    for question in questions:
        assert question.where in headings, f"{question.id}: the chapter has no such heading"
    # Who always takes the first option, or the longest, must not be right.
    ones = [q.options for q in questions if q.kind == "one"]
    for place in (0, -1):
        assert not ones or not all(options[place].right for options in ones)


# --- The file -------------------------------------------------------------------------------------

GOOD = """\
[[question]]
id = "one"
kind = "one"
ask = "Which of `a < b` & *these* is <b>right</b>?"
where = "Somewhere"

[[question.option]]
text = "The <i>first</i>, 2 * 3 * 4"
why = "Because of <script>window.caught = true</script>."

[[question.option]]
text = "The second"
right = true
why = "It *is* `right`."

[[question.option]]
text = "The third"
why = "Not the third."

[[question]]
id = "several"
kind = "several"
ask = "Which two?"
where = "Elsewhere"

[[question.option]]
text = "Alpha"
right = true
why = "Alpha is one of them."

[[question.option]]
text = "Beta"
why = "Beta is not."

[[question.option]]
text = "Gamma"
right = true
why = "Gamma is one of them."

[[question]]
id = "loss"
kind = "number"
ask = "How much?"
where = "Somewhere"
computed = true
unit = "pp"
answer = -1.5
tolerance = 0.1
why = "So much."
hint = "Think of the sign."

[[question.mistake]]
value = 1.5
why = "A loss has a minus."

[[question]]
id = "bytes"
kind = "number"
ask = "How many?"
where = "Somewhere"
unit = "bytes"
answer = 16564
relative_tolerance = 0.01
why = "So many."
hint = "Count again."

[[question.mistake]]
value = 7680
why = "Only the values."
"""


def test_a_file_is_read(tmp_path):
    (tmp_path / "good.toml").write_text(GOOD, encoding="utf-8")
    one, several, loss, number = read(tmp_path / "good.toml")
    assert [option.right for option in one.options] == [False, True, False]
    assert [option.text for option in several.options] == ["Alpha", "Beta", "Gamma"]
    assert (one.computed, loss.computed) == (False, True)
    assert [(o.text, o.value, o.right) for o in loss.options] == [
        ("−1.5 pp", -1.5, True),
        ("1.5 pp", 1.5, False),
    ]
    assert (loss.tolerance, loss.unit, loss.hint) == (0.1, "pp", "Think of the sign.")
    assert number.options[0].text == "16,564 bytes"
    assert number.tolerance == pytest.approx(165.64)


LAST = GOOD[GOOD.index('[[question]]\nid = "bytes"') :]
ALPHA = 'text = "Alpha"\nright = true'
GAMMA = 'text = "Gamma"\nright = true'

BAD = {
    "no TOML": (GOOD.replace('"one"', "one", 1), r"^bad\.toml: .*line 2"),
    "no questions": ("", r"^bad\.toml: the file lacks question"),
    "too few": (GOOD[: GOOD.index('[[question]]\nid = "loss"')], "3 to 6 questions; got 2"),
    "too many": (GOOD + 3 * LAST, "3 to 6 questions; got 7"),
    "a key of the file": (f"title = 'x'\n{GOOD}", r"the file has the unknown key 'title'"),
    "not tables": ("question = [1, 2, 3]", r"question 1 \(1\): kind is one of .*; got None"),
    "unknown kind": (
        GOOD.replace('kind = "one"', 'kind = "single"'),
        r"question 1 \(one\): kind is one of \['one', 'several', 'number'\]; got 'single'",
    ),
    "same id": (
        GOOD.replace('id = "several"', 'id = "one"'),
        r"question 2 \(one\): an earlier question has the same id",
    ),
    "nothing right": (
        GOOD.replace('text = "The second"\nright = true', 'text = "The second"'),
        r"\(one\): kind 'one' has one right option; got 0",
    ),
    "two right of one": (
        GOOD.replace('text = "The third"', 'text = "The third"\nright = true'),
        r"\(one\): kind 'one' has one right option; got 2",
    ),
    "one right of several": (
        GOOD.replace(ALPHA, 'text = "Alpha"'),
        r"\(several\): kind 'several' has two right options or more; got 1",
    ),
    "nothing wrong": (
        GOOD.replace('text = "Beta"', 'text = "Beta"\nright = true'),
        r"\(several\): there is no wrong option",
    ),
    "no options": (
        GOOD[: GOOD.index("[[question.option]]")]
        + "option = []\n"
        + GOOD[GOOD.index('[[question]]\nid = "several"') :],
        r"\(one\): there is no wrong option",
    ),
    "no reason": (
        GOOD.replace('why = "Beta is not."\n', ""),
        r"\(several\): an option lacks why: {'text': 'Beta'}",
    ),
    "empty reason": (
        GOOD.replace('why = "Beta is not."', 'why = " "'),
        r"\(several\): why of an option is empty",
    ),
    "same option": (
        GOOD.replace(GAMMA, ALPHA),
        r"\(several\): 'Alpha' stands there twice",
    ),
    "typing error": (
        GOOD.replace(ALPHA, 'text = "Alpha"\nrihgt = true'),
        r"\(several\): an option has the unknown key 'rihgt'; it takes \['text', 'why', 'right'\]",
    ),
    "a key of the other kind": (
        GOOD.replace('where = "Elsewhere"', 'where = "Elsewhere"\ntolerance = 1'),
        r"\(several\): the question has the unknown key 'tolerance'",
    ),
    "right as a text": (
        GOOD.replace(ALPHA, 'text = "Alpha"\nright = "yes"'),
        r"right of an option must be true or false; got 'yes'",
    ),
    "a number as a text": (
        GOOD.replace('text = "Beta"', "text = 3"),
        r"text of an option must be a text; got 3",
    ),
    "a text as a number": (
        GOOD.replace("answer = 16564", 'answer = "16564"'),
        r"\(bytes\): answer of the question must be a finite number; got '16564'",
    ),
    "true as a number": (
        GOOD.replace("answer = 16564", "answer = true"),
        "answer of the question must be a finite number; got True",
    ),
    "no finite number": (
        GOOD.replace("answer = 16564", "answer = nan"),
        "answer of the question must be a finite number; got nan",
    ),
    "nowhere": (
        GOOD.replace('where = "Elsewhere"\n', ""),
        r"\(several\): the question lacks where",
    ),
    "no hint": (
        GOOD.replace('hint = "Count again."\n', ""),
        r"\(bytes\): the question lacks hint",
    ),
    "no tolerance": (
        GOOD.replace("tolerance = 0.1\n", ""),
        r"\(loss\): give either tolerance or relative_tolerance; got none",
    ),
    "two tolerances": (
        GOOD.replace("tolerance = 0.1", "tolerance = 0.1\nrelative_tolerance = 0.2"),
        r"\(loss\): give either .*; got \['tolerance', 'relative_tolerance'\]",
    ),
    "zero tolerance": (
        GOOD.replace("tolerance = 0.1", "tolerance = 0.0"),
        r"\(loss\): tolerance must leave more than 0 on each side; got 0\.0",
    ),
    "negative tolerance": (
        GOOD.replace("relative_tolerance = 0.01", "relative_tolerance = -0.01"),
        r"\(bytes\): relative_tolerance must leave more than 0 on each side; got -0\.01",
    ),
    "a share of zero": (
        GOOD.replace("answer = 16564", "answer = 0"),
        r"\(bytes\): relative_tolerance must leave more than 0",
    ),
    "a mistake that is right": (
        GOOD.replace("value = 7680", "value = 16800"),
        r"\(bytes\): the mistake 16800 is too near to 16564",
    ),
    "a mistake without a reason": (
        GOOD.replace('why = "Only the values."', ""),
        r"\(bytes\): a mistake lacks why",
    ),
    "TeX": (
        GOOD.replace('ask = "Which two?"', "ask = 'Which $d$?'"),
        r"\(several\): '\$' in 'Which \$d\$\?': formulas are written in Unicode",
    ),
    "a lone backtick": (
        GOOD.replace('ask = "Which two?"', 'ask = "Which `two?"'),
        r"\(several\): a backtick stands alone in 'Which `two\?'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_its_question(tmp_path, name):
    text, said = BAD[name]
    assert text != GOOD
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as error:
        read(tmp_path / "bad.toml")
    assert str(error.value).startswith("bad.toml")


def test_an_installed_course_has_its_quizzes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    packed = {path for pattern in patterns for path in QUIZZES.parent.glob(pattern)}
    assert FILES
    assert set(FILES) <= packed


def test_a_chapter_without_a_quiz():
    with pytest.raises(FileNotFoundError, match="99_nowhere"):
        Quiz("99_nowhere")


@given(st.text(st.characters(codec="utf-8", exclude_characters="`*$\\")))
def test_a_text_stands_as_it_is(text):
    marked = markup(text)
    assert html.unescape(marked) == text
    assert not re.search(r"[<>]", marked)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("*one* and `two`", "<em>one</em> and <code>two</code>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("`a * b * c`, `*x*`", "<code>a * b * c</code>, <code>*x*</code>"),
        ("a *b c* d*", "a <em>b c</em> d*"),
        ("`<b>` & *<i>*", "<code>&lt;b&gt;</code> &amp; <em>&lt;i&gt;</em>"),
        ("", ""),
    ],
)
def test_markup(text, marked):
    assert markup(text) == marked
