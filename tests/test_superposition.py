"""Toy models: against loops, closed forms and integrals, and the shapes that they are known for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.decomposition import PCA

from course_lib import superposition as sup
from course_lib.seeds import generator
from course_lib.training import cosine


def draw(seed=0):
    return generator(seed, "test")


def polygon(n, m=2, length=1.0):
    """n directions in the plane, evenly spread: W of shape (m, n), turned by a little."""
    angle = 0.3 + 2 * math.pi * torch.arange(n) / n
    return length * torch.stack([angle.cos(), angle.sin()])


def random_models(**kwargs):
    model = sup.ToyModels(7, 3, seeds=[0, 1, 2], **kwargs)
    with torch.no_grad():
        model.b += 0.2 * torch.randn(model.b.shape, generator=draw())
    return model


# --- The model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["linear", "relu"])
@pytest.mark.parametrize("output", ["linear", "relu"])
def test_a_stack_is_its_models(hidden, output, global_generators):
    model = random_models(hidden=hidden, output=output)
    x = torch.rand(3, 5, 7, generator=draw())
    found = model(x)
    for W, b, inputs, outputs in zip(model.W, model.b, x, found, strict=True):
        h = inputs @ W.t()
        h = h.relu() if hidden == "relu" else h
        y = h @ W + b
        assert torch.allclose(outputs, y.relu() if output == "relu" else y, atol=1e-6)
    importance = torch.rand(3, 7, generator=draw())
    losses = sup.loss(model, x, importance)
    for i in range(3):
        expected = (importance[i] * (x[i] - found[i].detach()) ** 2).sum(1).mean()
        assert float(losses[i].detach()) == pytest.approx(float(expected), rel=1e-5)
    same = sup.loss(model, x[0], importance[0])
    assert float(same[0].detach()) == pytest.approx(float(losses[0].detach()), rel=1e-5)


def test_a_model_learns_the_same_in_any_company():
    settings = {"steps": 40, "batch_size": 64, "schedule": cosine, "pairs": "correlated"}
    p, importance = torch.tensor([0.5, 0.8, 0.9]), torch.tensor([[1.0] * 4, [0.5] * 4, [2.0] * 4])
    many = sup.ToyModels(4, 2, seeds=[3, 5, 7])
    history = sup.fit(many, p_zero=p, importance=importance, **settings)
    alone = sup.ToyModels(4, 2, seeds=[5])
    own = sup.fit(alone, p_zero=0.8, importance=0.5, **settings)
    assert torch.allclose(history[:, 1:2], own, atol=1e-5)
    assert torch.allclose(many.W[1], alone.W[0], atol=1e-4)
    again = sup.ToyModels(4, 2, seeds=[5])
    assert torch.equal(sup.fit(again, p_zero=0.8, importance=0.5, **settings), own)
    assert not torch.allclose(many.W[0], many.W[1], atol=1e-2)


def test_the_parts_of_the_loss_add_up_and_are_what_they_say():
    model = random_models()
    with torch.no_grad():
        model.W[:, :, :3] = 0.1  # three features that no model stores
    x = torch.rand(3, 40, 7, generator=draw()) * (torch.rand(3, 40, 7, generator=draw(1)) < 0.4)
    importance = torch.rand(3, 7, generator=draw(2))
    parts = sup.loss_parts(model, x, importance)
    assert torch.allclose(parts.sum(1), sup.loss(model, x, importance).detach(), rtol=1e-5)
    for s in range(3):
        expected, seen = torch.zeros(3), model(x)[s].detach()
        for i in range(7):
            is_stored = float(sup.squared_norms(model.W)[s, i]) > 0.5
            for row in range(40):
                part = 2 if x[s, row, i] == 0 else 1 if is_stored else 0
                expected[part] += importance[s, i] * (x[s, row, i] - seen[row, i]) ** 2 / 40
        assert torch.allclose(parts[s], expected, rtol=1e-4)


def test_without_interference_what_is_stored_costs_nothing():
    model = sup.ToyModels(5, 2, seeds=[0])
    with torch.no_grad():
        model.W.copy_(torch.eye(2, 5))
    lost, misread, phantom = sup.loss_parts(model, sup.held_out(model, 500, p_zero=0.4))[0].tolist()
    assert (misread, phantom) == (0, 0)
    assert lost == pytest.approx(3 * 0.6 / 3, rel=0.1)  # three times E[x²] = s/3


def test_held_out_inputs_are_of_the_seed_and_not_those_of_training():
    model = sup.ToyModels(4, 2, seeds=[3, 5])
    x = sup.held_out(model, 2000, p_zero=torch.tensor([0.2, 0.9]))
    assert (x > 0).double().mean((1, 2)).tolist() == pytest.approx([0.8, 0.1], abs=0.02)
    alone = sup.held_out(sup.ToyModels(4, 3, seeds=[5]), 2000, p_zero=0.9)
    assert torch.equal(alone[0], x[1])
    each = sup.held_out(model, 2000, p_zero=torch.tensor([[0.2] * 4, [0.9] * 4]))
    assert torch.equal(each, x)
    trained_on = sup.features(2000, 4, p_zero=0.2, draw=generator(3, "superposition data"))
    assert not torch.equal(trained_on, x[0])


# --- The gradient in closed form ------------------------------------------------------------------


def by_autograd(model, x, importance):
    """The loss and the gradients of a model that is the equation, written out for each."""
    W, b = (t.detach().clone().requires_grad_() for t in (model.W, model.b))
    importance = torch.as_tensor(importance, dtype=W.dtype).expand(b.shape)
    losses = []
    for w, bias, inputs, weight in zip(W, b, x, importance, strict=True):
        h = inputs @ w.t()
        h = h.relu() if model.hidden == "relu" else h
        y = h @ w + bias
        y = y.relu() if model.output == "relu" else y
        losses.append((weight * (inputs - y) ** 2).sum(1).mean())
    return torch.stack(losses).detach(), *torch.autograd.grad(sum(losses), (W, b))


@pytest.mark.parametrize("hidden", ["linear", "relu"])
@pytest.mark.parametrize("output", ["linear", "relu"])
@pytest.mark.parametrize("importance", ["one number", "(n,)", "(S, n)"])
def test_the_gradient_is_that_of_autograd(hidden, output, importance):
    model = random_models(hidden=hidden, output=output).double()
    shape = {"one number": (), "(n,)": (7,), "(S, n)": (3, 7)}[importance]
    importance = 0.1 + torch.rand(shape, generator=draw(3), dtype=torch.float64)
    gradients = sup.Gradients(model, 11, importance)
    for again in range(2):  # nothing of a call before is left
        x = torch.rand(3, 11, 7, generator=draw(again), dtype=torch.float64)
        x *= torch.rand(3, 11, 7, generator=draw(again + 2)) < 0.6
        losses, W, b = by_autograd(model, x, importance)
        assert (gradients(x) - losses).abs().max() < 1e-10
        assert (gradients.W - W).abs().max() < 1e-10
        assert (gradients.b - b).abs().max() < 1e-10
        assert torch.allclose(sup.loss(model, x, importance).detach(), losses)


@pytest.mark.parametrize("limits", ["none", "mask", "nonzeros"])
@pytest.mark.parametrize("hidden", ["linear", "relu"])
@pytest.mark.parametrize("output", ["linear", "relu"])
def test_fit_takes_the_steps_of_autograd_bit_for_bit(hidden, output, limits):
    """Inputs, gradient and step are those of the loss's own graph, one model of a seed or two."""
    seeds, p = [4, 6, 4], torch.tensor([0.3, 0.8, 0.9])
    importance = 0.8 ** torch.arange(6)
    models = [sup.ToyModels(6, 3, seeds=seeds, hidden=hidden, output=output) for _ in range(2)]
    mask = sup.random_mask(models[0], 9) if limits == "mask" else None
    more = {"mask": mask} if limits == "mask" else {}
    more |= {"nonzeros": 9, "anneal": 0} if limits == "nonzeros" else {}
    settings = {"steps": 25, "batch_size": 64, "learning_rate": 0.02}
    history = sup.fit(
        models[0], p_zero=p, importance=importance, schedule=cosine, **settings, **more
    )

    rows = 2**16 // (64 * 6)  # batches that are drawn at once, as `fit` does
    x = torch.stack(
        [
            sup.features(64 * rows, 6, p_zero=one, draw=generator(s, "superposition data"))
            for s, one in zip(seeds, p, strict=True)
        ]
    ).view(3, rows, 64, 6)
    plain, losses = models[1], []
    adam = torch.optim.Adam(plain.parameters(), fused=True)
    for step in range(25):
        adam.param_groups[0]["lr"] = 0.02 * cosine(step / 25)
        each = sup.loss(plain, x[:, step], importance)
        adam.zero_grad()
        each.sum().backward()
        adam.step()
        losses.append(each.detach())
        with torch.no_grad():
            if limits == "mask":
                plain.W.mul_(mask)
            if limits == "nonzeros":
                plain.W.mul_(sup.largest(plain.W.abs(), 9))
    assert torch.equal(models[0].W, plain.W)
    assert torch.equal(models[0].b, plain.b)
    assert torch.allclose(history, torch.stack(losses), rtol=1e-5)
    if limits != "none":
        assert (plain.W != 0).sum((1, 2)).tolist() == [9, 9, 9]


@pytest.mark.parametrize("pairs", sup.PAIRS)
def test_models_of_one_seed_share_what_is_drawn_and_keep_their_own_inputs(pairs):
    p = torch.tensor([0.5, 0.9, 0.7])
    many = sup.ToyModels(4, 2, seeds=[5, 5, 8])
    history = sup.fit(many, steps=2, p_zero=p, pairs=pairs, batch_size=50)
    for i, seed in enumerate(many.seeds):
        x = sup.features(
            2**16 // 200 * 50,
            4,
            p_zero=p[i],
            pairs=pairs,
            draw=generator(seed, "superposition data"),
        )
        fresh = sup.ToyModels(4, 2, seeds=[seed])
        assert float(history[0, i]) == pytest.approx(
            float(sup.loss(fresh, x[:50]).detach()), rel=1e-5
        )


# --- Features -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", sup.PAIRS)
def test_each_feature_is_zero_with_its_probability_and_else_uniform(pairs):
    x = sup.features(60_000, 4, p_zero=0.7, draw=draw(), pairs=pairs)
    present = x > 0
    assert ((present.double().mean(0) - 0.3).abs() < 4 * math.sqrt(0.21 / 60_000)).all()
    for i in range(4):
        assert kstest(x[present[:, i], i].numpy(), "uniform").pvalue > 0.001
    together = float((present[:, 0] & present[:, 1]).double().mean())
    expected = {"independent": 0.09, "correlated": 0.3, "anticorrelated": 0.0}[pairs]
    assert together == pytest.approx(expected, abs=0.006)
    across = float((present[:, 1] & present[:, 2]).double().mean())
    assert across == pytest.approx(0.09, abs=0.006)


def test_dense_features_and_one_probability_each():
    assert (sup.features(100, 3, p_zero=0.0, draw=draw()) > 0).all()
    x = sup.features(20_000, 3, p_zero=torch.tensor([0.0, 0.5, 0.99]), draw=draw())
    assert (x > 0).double().mean(0).tolist() == pytest.approx([1, 0.5, 0.01], abs=0.02)


# --- Geometry -------------------------------------------------------------------------------------


def test_dimensionality_of_known_shapes():
    assert torch.allclose(sup.dimensionality(polygon(5)), torch.full((5,), 0.4), atol=1e-6)
    assert torch.allclose(sup.dimensionality(polygon(5, length=3.0)), torch.full((5,), 0.4))
    assert torch.allclose(sup.dimensionality(torch.eye(4)), torch.ones(4))
    assert sup.dimensionality(torch.tensor([[2.0, -2.0]])).tolist() == [0.5, 0.5]
    tetrahedron = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    assert torch.allclose(sup.dimensionality(tetrahedron), torch.full((4,), 0.75))
    one_left_out = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert sup.dimensionality(one_left_out).tolist() == [1, 0, 1]
    assert sup.stored(one_left_out).tolist() == [True, False, True]


@given(n=st.integers(1, 8), m=st.integers(1, 5), seed=st.integers(0, 999))
def test_dimensionalities_sum_to_at_most_m(n, m, seed):
    W = torch.randn(m, n, generator=draw(seed), dtype=torch.float64)
    found = sup.dimensionality(W)
    assert ((found > 0) & (found <= 1 + 1e-9)).all()
    assert float(found.sum()) <= m + 1e-9


def test_a_pentagon_fills_its_two_dimensions():
    """Equality does not need orthogonal features."""
    assert float(sup.dimensionality(polygon(5)).sum()) == pytest.approx(2)


def test_interference_is_its_sum():
    W = torch.randn(2, 3, 6, generator=draw())
    W[1, :, 2] = 0
    found = sup.interference(W)
    for s in range(2):
        for i in range(6):
            norm = float(W[s, :, i].norm())
            dots = [float(W[s, :, i] @ W[s, :, j]) for j in range(6) if j != i]
            expected = sum((dot / norm) ** 2 for dot in dots) if norm else 0
            assert float(found[s, i]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_features_per_neuron_counts_stored_features_only():
    W = torch.tensor([[1.0, 0.05, 0.3], [0.5, 1.0, 0.0]])
    assert sup.features_per_neuron(W).tolist() == [2, 2]
    assert sup.features_per_neuron(W, above=0.1).tolist() == [1, 2]
    assert sup.features_per_neuron(torch.stack([W, 0 * W])).tolist() == [[2, 2], [0, 0]]


# --- What is learned ------------------------------------------------------------------------------


def test_sparse_features_make_a_pentagon_and_dense_ones_do_not():
    model = sup.ToyModels(5, 2, seeds=range(12))
    p = torch.tensor([0.0] * 6 + [0.95] * 6)
    sup.fit(model, steps=1200, p_zero=p, batch_size=256, learning_rate=0.02, schedule=cosine)
    stored = sup.stored(model.W).sum(1)
    assert (stored[:6] <= 2).all()
    assert (stored[6:] > 2).all()
    close = (sup.dimensionality(model.W[6:]) - 0.4).abs() < 0.05
    assert close.all(1).sum() >= 3


def test_the_linear_model_stores_the_most_important_as_pca_does():
    importance = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2])
    model = sup.ToyModels(5, 2, seeds=[0, 1], output="linear")
    settings = {"batch_size": 512, "learning_rate": 0.01, "schedule": cosine}
    sup.fit(model, steps=800, p_zero=0.9, importance=importance, **settings)
    assert sup.stored(model.W).tolist() == [[True, True, False, False, False]] * 2
    x = sup.features(50_000, 5, p_zero=0.9, draw=draw())
    found = sup.loss(model, x, importance).tolist()
    best = sup.linear_loss(importance, 0.9, 2)
    assert found == pytest.approx([best] * 2, rel=0.05)
    # PCA of the features scaled by √importance minimises the same loss.
    scaled = (x * importance.sqrt()).numpy()
    pca = PCA(2).fit(scaled)
    residual = scaled - pca.inverse_transform(pca.transform(scaled))
    assert float((residual**2).sum(1).mean()) == pytest.approx(best, rel=0.03)


# --- The phase diagram ----------------------------------------------------------------------------


@pytest.mark.parametrize(("p_zero", "importance"), [(0.0, 0.5), (0.3, 2.0), (0.9, 0.3)])
def test_phase_losses_are_integrals(p_zero, importance):
    x = sup.features(400_000, 2, p_zero=p_zero, draw=draw()).double()
    s = 1 - p_zero
    weight = torch.tensor([1.0, importance], dtype=torch.float64)
    for expected, W, b in zip(
        sup.phase_losses(p_zero, importance).tolist(),
        [[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]],
        [[0.0, s / 2], [s / 2, 0.0], [0.0, 0.0]],
        strict=True,
    ):
        W, b = torch.tensor([W], dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
        found = (weight * (x - (x @ W.t() @ W + b).relu()) ** 2).sum(1).mean()
        assert float(found) == pytest.approx(expected, rel=0.02)


def test_the_boundary_of_the_phases():
    p, importance = torch.linspace(0.21, 0.99, 40), torch.logspace(-1, 1, 41)
    losses = sup.phase_losses(p.unsqueeze(1), importance)  # (40, 41, 3)
    s = (1 - p).double().unsqueeze(1)
    least = torch.minimum(importance.double(), 1 / importance.double())
    assert torch.equal(losses.argmin(-1) == 2, least > 2 * s / (4 - 5 * s))
    assert not (sup.phase_losses(p[:5] - 0.21, 1.0).argmin(-1) == 2).any(), "dense: never both"


def test_trained_models_find_the_phase():
    cells = [(0.1, 0.3), (0.1, 3.0), (0.9, 1.0), (0.85, 0.6)]  # away from the boundaries
    p = torch.tensor([cell[0] for cell in cells]).repeat_interleave(8)
    importance = torch.tensor([[1.0, cell[1]] for cell in cells]).repeat_interleave(8, dim=0)
    model = sup.ToyModels(2, 1, seeds=range(32))
    sup.fit(
        model,
        steps=600,
        p_zero=p,
        importance=importance,
        batch_size=256,
        learning_rate=0.03,
        schedule=cosine,
    )
    x = torch.stack([sup.features(50_000, 2, p_zero=one, draw=draw()) for one in p])
    losses = sup.loss(model, x, importance).detach().view(4, 8)
    best = losses.argmin(1) + 8 * torch.arange(4)  # some starts end in a worse minimum
    stored = sup.stored(model.W[best]).tolist()
    assert stored == [[True, False], [False, True], [True, True], [True, True]]
    closed = sup.phase_losses(*torch.tensor(cells).t()).amin(-1)
    assert (losses.amin(1) < 1.1 * closed).all()
    assert (losses.amin(1) > 0.6 * closed).all()


# --- Sparse weights -------------------------------------------------------------------------------


@given(
    m=st.integers(1, 6),
    n=st.integers(1, 6),
    least=st.integers(0, 3),
    share=st.floats(0, 1),
    tied=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_largest_are_kept_with_some_in_each_row(m, n, least, share, tied, seed):
    least = min(least, n)
    nonzeros = max(1, least * m, round(share * m * n))
    scores = torch.rand(2, m, n, generator=draw(seed))
    scores = (3 * scores).floor() if tied else scores
    mask = sup.largest(scores, nonzeros, least=least)
    assert mask.flatten(1).sum(1).tolist() == [nonzeros] * 2
    assert (mask.sum(2) >= least).all()
    for one, kept in zip(scores, mask, strict=True):
        # What was left out is at most as large as what stays and is not among its row's first.
        order = one.sort(dim=1, descending=True).values
        free = kept & (one < order[:, least - 1 : least]) if least else kept
        if free.any() and not kept.all():
            assert one[free].min() >= one[~kept].max()
        for row, in_row in zip(one, kept, strict=True):
            if in_row.any() and not in_row.all():
                assert row[in_row].min() >= row[~in_row].max()


def test_weights_stay_projected_and_may_come_back():
    model = sup.ToyModels(12, 6, seeds=[0, 1], hidden="relu")
    settings = {"p_zero": 0.9, "batch_size": 64, "learning_rate": 0.02}
    counts = []

    def watch(done):  # the schedule is asked before each step
        counts.append(int((model.W[0] != 0).sum()))
        return 1.0

    sup.fit(model, steps=100, nonzeros=18, least=2, anneal=0.5, schedule=watch, **settings)
    allowed = [round(72 + (18 - 72) * min(step / 50, 1)) for step in range(100)]
    assert counts == allowed
    assert (model.W != 0).flatten(1).sum(1).tolist() == [18, 18]
    assert ((model.W != 0).sum(2) >= 2).all()
    # Without an anneal the first step decides, unless weights can come back.
    model, kept = sup.ToyModels(12, 6, seeds=[0], hidden="relu"), []
    for steps in (1, 60):
        sup.fit(model, steps=steps, nonzeros=18, anneal=0.0, **settings | {"learning_rate": 0.2})
        kept.append(model.W != 0)
    assert (kept[1] & ~kept[0]).any()


def test_a_fixed_random_mask_is_the_control():
    model = sup.ToyModels(12, 6, seeds=[0, 1], hidden="relu")
    mask = sup.random_mask(model, 18, least=2)
    assert mask.flatten(1).sum(1).tolist() == [18, 18]
    assert (mask.sum(2) >= 2).all()
    assert not torch.equal(mask[0], mask[1])
    alone = sup.ToyModels(12, 6, seeds=[1], hidden="relu")
    assert torch.equal(sup.random_mask(alone, 18, least=2)[0], mask[1])
    sup.fit(model, steps=20, p_zero=0.9, batch_size=64, mask=mask)
    assert torch.equal(model.W != 0, mask)


def test_a_rotation_changes_features_per_neuron_and_nothing_else():
    """Which is why the linear bottleneck can say nothing about neurons."""
    model = random_models()
    with torch.no_grad():
        model.W.copy_(torch.eye(3, 7) + 0.01)
    x = torch.rand(3, 9, 7, generator=draw())
    before, counts = model(x), sup.features_per_neuron(model.W, above=0.1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=draw())).Q
    with torch.no_grad():
        model.W.copy_(turn @ model.W)
    assert torch.allclose(model(x), before, atol=1e-5)
    assert not torch.equal(sup.features_per_neuron(model.W, above=0.1), counts)


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sup.ToyModels(0, 2, seeds=[0]), "n must be a whole number"),
        (lambda: sup.ToyModels(3, 2, seeds=[]), "at least one seed"),
        (lambda: sup.ToyModels(3, 2, seeds=True), "seed must be a whole number"),
        (lambda: sup.ToyModels(3, 2, seeds=0.5), "seed must be a whole number"),
        (lambda: sup.ToyModels(3, 2, seeds=[0], hidden="gelu"), 'hidden is "linear" or "relu"'),
        (lambda: sup.features(5, 3, p_zero=1.0, draw=draw()), r"p_zero must lie in \[0, 1\)"),
        (lambda: sup.features(5, 3, p_zero=np.nan, draw=draw()), r"p_zero must lie in \[0, 1\)"),
        (lambda: sup.features(5, 3, p_zero=0.9, draw=draw(), pairs="correlated"), "an even n"),
        (lambda: sup.features(5, 4, p_zero=0.3, draw=draw(), pairs="anticorrelated"), "≥ ½"),
        (lambda: sup.features(5, 4, p_zero=0.3, draw=draw(), pairs="both"), "pairs is one of"),
        (lambda: fitted(steps=0), "steps must be a whole number"),
        (lambda: fitted(p_zero=torch.zeros(3)), r"p_zero must be a number, \(2,\) or \(2, 4\)"),
        (lambda: drawn(rows=0), "rows must be a whole number"),
        (lambda: drawn(p_zero=torch.zeros(3)), r"p_zero must be a number, \(2,\) or \(2, 4\)"),
        (lambda: fitted(importance=torch.ones(3)), "importance must be at least 0"),
        (lambda: fitted(importance=-1.0), "importance must be at least 0"),
        (lambda: fitted(anneal=2.0), "anneal is a share"),
        (lambda: fitted(nonzeros=13), "nonzeros must lie between 3"),
        (lambda: fitted(nonzeros=2), "nonzeros must lie between 3"),
        (lambda: fitted(nonzeros=6, least=5), r"least must be a whole number from 0 to 4 \(n,"),
        (lambda: fitted(nonzeros=6, least=True), "least must be a whole number"),
        (lambda: fitted(mask=torch.ones(3, 4, dtype=torch.bool)), "mask must have shape"),
        (lambda: sup.phase_losses(1.5, 1.0), "p_zero must lie in"),
        (lambda: sup.linear_loss(torch.ones(3), 0.5, 0), "m must be a whole number"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def fitted(**settings):
    model = sup.ToyModels(4, 3, seeds=[0, 1])
    return sup.fit(model, **({"steps": 1, "p_zero": 0.5, "batch_size": 4} | settings))


def drawn(rows=5, p_zero=0.5):
    return sup.held_out(sup.ToyModels(4, 3, seeds=[0, 1]), rows, p_zero=p_zero)


def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(FloatingPointError, match="a smaller learning rate"):
        fitted(steps=20, learning_rate=1e20)
