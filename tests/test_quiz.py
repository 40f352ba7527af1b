"""Quizzes: their files, the keys that can be computed, and what they do under a hand, in a page.

`KEYS` has a function for each question that says `computed = true`. It computes the answer and the
mistakes, or which of the options are right, with the library.
"""

import html
import math
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import browser as in_browser  # beside this file
import nbformat
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_site import Book
from test_widgets import lab, serve_from_here

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
    "01_pruning": {
        "global-cut": global_cut,
        "csr-bytes": csr_bytes,
        "rounds": rounds,
        "paired": paired,
        "undecided": undecided,
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


# --- In a page ------------------------------------------------------------------------------------

SHOW = """\
from course_lib.widgets.quiz import Quiz
Quiz("good", folder={folder!r}).show()"""
CHAPTER = 'from course_lib.widgets.quiz import Quiz\n\nQuiz("01_pruning").show()'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiz")
    (folder / "good.toml").write_text(GOOD, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def executed(folder):
    """A notebook with the quiz, run in a kernel of its own, as JupyterLab would save it."""
    from nbclient import NotebookClient

    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_code_cell(f"import sys; sys.path[:0] = [{str(ROOT)!r}]"),
            new_code_cell(SHOW.format(folder=str(folder))),
        ],
    )
    NotebookClient(notebook, kernel_name="python3").execute()
    (folder / "notebook").mkdir()
    nbformat.write(notebook, folder / "notebook" / "quiz.ipynb")
    return folder / "notebook" / "quiz.ipynb"


@pytest.fixture(scope="module")
def converted(executed):
    """That notebook as `jupyter nbconvert --to html` makes it."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", executed.name]
    subprocess.run(command, cwd=executed.parent, check=True, capture_output=True)
    return executed.with_suffix(".html")


@pytest.fixture(scope="module")
def built(folder, needs):
    """The pages of a small book with the real library: the quiz above, and chapter 01's."""
    book = Book(folder / "book")
    shutil.rmtree(book.folder / "course_lib")
    shutil.copytree(
        ROOT / "course_lib",
        book.folder / "course_lib",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    for name, code in (("01_good", SHOW.format(folder=str(folder))), ("02_chapter", CHAPTER)):
        cells = [new_markdown_cell(f"# {name}\n\nA quiz."), new_code_cell(code)]
        book.add_notebook(name, new_notebook(metadata=kernel, cells=cells))
    result = book.build()
    assert result.code == 0, result.log
    pages = book.folder / "_build" / "html" / "notebooks"
    with needs():
        if not (pages.parent / "vendor" / "embed-amd.js").is_file():
            raise in_browser.Missing("npm cannot be reached, so the widget manager is not here.")
    return {"good": pages / "01_good.html", "chapter": pages / "02_chapter.html"}


@pytest.fixture
def offline(page, built):
    """Open a page of the book from its file, with the network off."""
    page.context.set_offline(True)
    page.set_default_timeout(in_browser.PATIENCE)

    def go(name):
        log = in_browser.watch(page, built[name].parents[1].as_uri() + "/")
        page.goto(built[name].as_uri())
        page.locator(".course-quiz").wait_for()
        assert in_browser.requests_elsewhere(log) == []
        assert in_browser.console_errors(log) == []
        return page

    return go


def question(page, number):
    return page.locator(".course-quiz fieldset").nth(number - 1)


def said(page, number):
    """What stands under a question after a check, as one line."""
    return " ".join(question(page, number).locator(".feedback").inner_text().split())


def result(page):
    return page.locator(".course-quiz .result").inner_text()


def focused(page):
    """What has the focus: the text of a button or summary, or the name of an input."""
    return page.evaluate(
        "() => { const e = document.activeElement;"
        " return e.labels?.length ? e.labels[0].innerText.trim() : e.innerText?.trim(); }"
    )


@pytest.mark.slow
@pytest.mark.browser
def test_one_right_answer_by_keyboard(offline):
    page = offline("good")
    keys = page.keyboard
    assert result(page) == "4 questions. Nothing is stored and nothing is sent."
    question(page, 1).locator("input").first.focus()
    keys.press("Tab")
    assert focused(page) == "Check"
    keys.press("Enter")
    assert said(page, 1) == "Choose an answer first."
    assert result(page).startswith("4 questions")  # that was no try
    keys.press("Shift+Tab")
    keys.press("Space")
    assert focused(page) == "The <i>first</i>, 2 * 3 * 4"
    keys.press("Tab")
    keys.press("Space")
    assert said(page, 1) == (
        "✗ Not right. ✗ The <i>first</i>, 2 * 3 * 4 "
        "Because of <script>window.caught = true</script>. To read again: “Somewhere”."
    )
    assert page.evaluate("window.caught") is None
    assert focused(page) == "Check"
    assert result(page) == "0 of 1 right at the first try, 3 to go."
    keys.press("Shift+Tab")
    keys.press("ArrowDown")
    keys.press("Enter")  # in the group itself
    assert said(page, 1) == ("✓ Right. ✓ The second It is right. What is wrong with the others?")
    assert question(page, 1).locator(".feedback em").inner_text() == "is"
    assert question(page, 1).locator(".feedback code").inner_text() == "right"
    assert focused(page).startswith("The second")
    assert result(page) == "0 of 1 right at the first try, 3 to go."
    keys.press("Tab")
    keys.press("Tab")
    assert focused(page) == "What is wrong with the others?"
    keys.press("Enter")
    assert said(page, 1).endswith("✗ The third Not the third.")


@pytest.mark.slow
@pytest.mark.browser
def test_several_right_answers_by_keyboard(offline):
    page = offline("good")
    keys = page.keyboard
    question(page, 2).locator("input").first.focus()
    keys.press("Space")
    keys.press("Tab")
    assert focused(page) == "Beta"
    keys.press("Space")
    keys.press("Enter")
    # What was ticked is explained; what was not stays open.
    assert said(page, 2) == (
        "✗ Not right. ✓ Alpha Alpha is one of them. ✗ Beta Beta is not. "
        "Right ones that you did not tick: 1. To read again: “Elsewhere”."
    )
    keys.press("Space")
    keys.press("Enter")
    assert said(page, 2).startswith("✗ Not all yet. ✓ Alpha Alpha is one of them. Right ones")
    for _ in range(3):
        keys.press("Tab")
    assert focused(page) == "Show the answer"
    keys.press("Enter")
    assert said(page, 2) == (
        "The answer: ✓ Alpha Alpha is one of them. ✓ Gamma Gamma is one of them. "
        "What is wrong with the others?"
    )
    assert focused(page) == "Show the answer"
    question(page, 2).locator("input").nth(2).focus()
    keys.press("Space")
    keys.press("Enter")
    assert said(page, 2).startswith("✓ Right. ✓ Alpha")
    assert not question(page, 2).get_by_role("button", name="Show the answer").is_visible()
    # All of the right ones and a wrong one besides.
    question(page, 2).locator("input").nth(1).focus()
    keys.press("Space")
    keys.press("Enter")
    assert said(page, 2).startswith("✗ Not right.")
    assert "did not tick" not in said(page, 2)
    assert result(page) == "0 of 1 right at the first try, 3 to go."


NUMBERS = [  # the question, what is typed, how the feedback begins
    (3, "-1.5", "✓ Right. ✓ −1.5 pp So much."),
    (3, "−1,5", "✓ Right."),
    (3, "  - 1.5 pp ", "✓ Right."),
    (3, "-1.6", "✓ Right."),
    (3, "-1,4", "✓ Right."),
    (3, "-1.61", "✗ Not right. Think of the sign. To read again"),
    (3, "-1500", "✗ Not right. Think of the sign."),
    (3, "1.5", "✗ Not right. ✗ 1.5 pp A loss has a minus."),
    (3, "+1.5", "✗ Not right. ✗ 1.5 pp A loss has a minus."),
    (3, "  ", "Write a number first."),
    (3, "<b>a lot</b>", "“<b>a lot</b>” is not a number. Write digits"),
    (3, "1.5.3", "“1.5.3” is not a number."),
    (3, "--1.5", "“--1.5” is not a number."),
    (3, "pp", "“pp” is not a number."),
    (3, "e5", "“e5” is not a number."),
    (4, "16564", "✓ Right. ✓ 16,564 bytes So many."),
    (4, "16,564", "✓ Right."),
    (4, "16.564", "✓ Right."),
    (4, "16 564", "✓ Right."),
    (4, "16\u202f564,0 bytes", "✓ Right."),
    (4, "16,564.00", "✓ Right."),
    (4, "1.6564e4", "✓ Right."),
    (4, "16399", "✓ Right."),
    (4, "16398", "✗ Not right. Count again."),
    (4, "7.680", "✗ Not right. ✗ 7,680 bytes Only the values."),
    (4, "16,56", "✗ Not right. Count again."),
    (4, "0,16564", "✗ Not right. Count again."),
    (4, "1,65,64", "“1,65,64” is not a number."),
]


@pytest.mark.slow
@pytest.mark.browser
def test_numbers_by_keyboard(offline):
    page = offline("good")
    tried = set()
    for number, text, begins in NUMBERS:
        question(page, number).locator("input").focus()
        page.keyboard.press("Control+A")
        page.keyboard.press("Delete")
        page.keyboard.insert_text(text)
        page.keyboard.press("Enter")
        assert said(page, number).startswith(begins), text
        assert question(page, number).locator("input").input_value() == text
        tried.add(number)
    assert result(page) == "2 of 2 right at the first try, 2 to go."


@pytest.mark.slow
@pytest.mark.browser
def test_the_quiz_of_chapter_01_by_keyboard(offline):
    page = offline("chapter")
    questions = read(QUIZZES / "01_pruning.toml")
    for number, asked in enumerate(questions, start=1):
        question(page, number).locator("input").first.focus()
        right = [i for i, option in enumerate(asked.options) if option.right]
        if asked.kind == "number":
            page.keyboard.type(f"{asked.options[0].value}")
        elif asked.kind == "one":
            page.keyboard.press("Space")
            for _ in range(right[0]):
                page.keyboard.press("ArrowDown")
        else:
            for i in range(len(asked.options)):
                if i in right:
                    page.keyboard.press("Space")
                if i + 1 < len(asked.options):
                    page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert said(page, number).startswith("✓ Right.")
    assert result(page) == "6 of 6 right at the first try."


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_wrong_and_a_phone_shows_it_all(browser, built, axe, theme):
    url = built["chapter"].as_uri()
    with in_browser.opened(browser, url, url, theme) as (page, _):
        # Some answered rightly, wrongly and not at all, with everything open.
        for number, i in ((1, 0), (3, 0), (3, 2), (6, 1)):
            question(page, number).locator("input").nth(i).check()
        question(page, 2).locator("input").fill("7680")
        question(page, 4).locator("input").fill("much")
        for number in range(1, 7):
            question(page, number).get_by_role("button", name="Check").click()
        question(page, 3).locator("summary").click()
        question(page, 6).get_by_role("button", name="Show the answer").click()
        states = page.locator(".course-quiz fieldset").evaluate_all(
            "f => f.map(e => e.dataset.state)"
        )
        assert states == ["wrong", "wrong", "right", "", "", ""]
        assert in_browser.other_theme(page, theme) == []
        for width in (in_browser.WIDE, in_browser.NARROW):
            in_browser.resize(page, width)
            assert in_browser.sideways_scroll(page) == []
            assert in_browser.serious_violations(page, axe) == []


@pytest.fixture
def lone(page, converted, needs):
    """The quiz in the page that nbconvert made."""
    with needs():
        serve_from_here(page.context)
    page.goto(converted.as_uri())
    page.locator(".course-quiz").wait_for()
    return page


@pytest.mark.browser
def test_a_screen_reader_finds_names_and_hears_what_changes(lone):
    first = lone.get_by_role(
        "group", name="Question 1 of 4 · choose one Which of a < b & these is <b>right</b>?"
    )
    assert first.get_by_role("radio").count() == 3
    assert first.get_by_role("radio", name="The second", exact=True).count() == 1
    names = [box.evaluate("e => e.name") for box in lone.locator("input[type=radio]").all()]
    assert len(set(names)) == 1
    assert lone.get_by_role("checkbox", name="Beta", exact=True).count() == 1
    assert lone.get_by_role("textbox", name="Your answer in pp", exact=True).count() == 1
    assert lone.get_by_role("button", name="Check").count() == 4
    # Regions that speak are there before anything is said in them.
    live = lone.locator(".course-quiz [aria-live=polite]")
    assert live.count() == 5
    assert lone.locator(".feedback[aria-live=polite]").all_inner_texts() == [""] * 4


@pytest.mark.browser
def test_nothing_is_kept(lone):
    question(lone, 2).locator("input").first.check()
    question(lone, 2).get_by_role("button", name="Check").click()
    assert result(lone).startswith("0 of 1")
    assert lone.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        0,
        0,
        "",
    ]
    lone.reload()
    lone.locator(".course-quiz").wait_for()
    assert result(lone).startswith("4 questions")
    assert not question(lone, 2).locator("input").first.is_checked()


@pytest.mark.browser
def test_questions_stand_in_print_and_without_scripts(lone, browser, converted):
    plain = lone.locator(".course-quiz-plain")
    assert not plain.get_by_text("Which two?").is_visible()
    lone.emulate_media(media="print")
    assert plain.get_by_text("Which two?").is_visible()
    assert not lone.locator(".course-quiz").is_visible()

    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(converted.as_uri())
    plain = page.locator(".course-quiz-plain")
    assert plain.get_by_text("Which two? (tick all that are right)").is_visible()
    assert plain.get_by_text("How much? (write a number in pp)").is_visible()
    assert plain.get_by_text("Gamma", exact=True).first.is_visible()
    assert not plain.get_by_text("So many.").is_visible()
    plain.locator("summary").press("Enter")
    assert plain.get_by_text("So many.").is_visible()
    context.close()


@pytest.mark.slow
def test_the_plain_page_holds_every_question_and_answer(executed):
    outputs = nbformat.read(executed, as_version=4).cells[1].outputs
    shown = next(o.data for o in outputs if "text/html" in o.get("data", {}))
    page = BeautifulSoup(shown["text/html"], "html.parser")
    asked = page.select(".course-quiz-plain > div > ol > li")
    answered = page.select("details > ol > li")
    questions = tomllib.loads(GOOD)["question"]
    assert len(asked) == len(answered) == len(questions)
    for table, item, answers in zip(questions, asked, answered, strict=True):
        options = table.get("option", [])
        assert len(item.select("ul > li")) == len(options)
        signs = [answer.text.split()[0] for answer in answers.select("li")]
        if options:
            assert signs == ["✓" if option.get("right") else "✗" for option in options]
        else:
            assert signs == ["✓", "✗"]
    assert not page.find(["script", "i", "b"])
    # What stands where HTML cannot be shown asks, and gives nothing away.
    assert shown["text/plain"].startswith("1. Which of `a < b`")
    assert shown["text/plain"].endswith("4. How many? (write a number in bytes)")


@pytest.mark.browser
def test_it_works_in_jupyterlab(page, executed, tmp_path, needs):
    """The saved notebook, opened in JupyterLab, run there and answered by keyboard."""
    with needs(), lab(executed.parent, tmp_path) as url:
        page.goto(f"{url}/lab/tree/{executed.name}")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        page.get_by_text("| Idle").wait_for(timeout=60_000)  # what is run earlier can get lost
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")
        page.locator(".course-quiz").wait_for(timeout=60_000)
        page.get_by_text("| Idle").wait_for()
        n_cells = page.locator(".jp-Notebook .jp-Cell").count()
        question(page, 1).locator("input").first.focus()
        page.keyboard.press("Space")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        assert focused(page) == "Check"
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert said(page, 1).startswith("✓ Right. ✓ The second")
        assert focused(page) == "Check"
        # These would cut, add, delete and run cells.
        for key in ("x", "a", "b", "d", "d", "Shift+Enter"):
            page.keyboard.press(key)
        question(page, 3).locator("input").focus()
        page.keyboard.type("-1.5")
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert said(page, 3).startswith("✓ Right.")
        assert result(page) == "2 of 2 right at the first try, 2 to go."
        assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells
        assert not page.locator(".course-quiz-plain").get_by_text("Which two?").is_visible()
