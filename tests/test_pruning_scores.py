"""Scores that ask the data: against autograd by hand, finite differences and recorded steps."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import networks, pruning
from course_lib.data import Split


def batch(n=12, dim=16, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return Split(x, torch.randint(0, classes, (n,), generator=generator))


def net(kind, seed=0):
    build = {
        "mlp": lambda: networks.mlp((16, 5, 4, 3), activation=nn.Tanh, seed=seed),
        "conv": lambda: networks.convnet((2, 3), side=4, n_classes=3, seed=seed),
        "batch norm": lambda: networks.initialise(
            nn.Sequential(
                nn.Linear(16, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3)
            ),
            seed=seed,
        ),
    }[kind]
    with torch.random.fork_rng():  # layers of PyTorch's own draw their weights from it
        model = build()
    generator = torch.Generator().manual_seed(seed + 50)
    for parameter in model.parameters():  # biases that are not zero
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.double()


def loss(model, split):
    return F.cross_entropy(model(split.x), split.y)


def assert_close(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        assert torch.allclose(got[name], expected[name], rtol=1e-9, atol=1e-12), name
        assert (expected[name] != 0).any(), "without this, the test proves nothing"


def test_snip_of_one_linear_layer_is_its_closed_form():
    model = networks.mlp((16, 3), seed=0).double()
    split = batch()
    with torch.no_grad():
        p = torch.softmax(model(split.x), dim=1) - F.one_hot(split.y, 3)
        gradient = p.T @ split.x / len(split.y)
        expected = {"0.weight": (gradient * model[0].weight).abs()}
    assert_close(pruning.snip(model, split), expected)


@pytest.mark.parametrize("kind", ["mlp", "conv", "batch norm"])
def test_snip_is_the_slope_of_the_loss_in_each_weight_s_switch(kind):
    """Lee et al.'s definition, by finite differences of the loss with weights c ⊙ W at c = 1."""
    model, split, h = net(kind), batch(), 1e-5
    scores = pruning.snip(model, split)
    model.eval()
    for name, score in scores.items():
        weight = model.get_parameter(name).data
        original = weight.clone()
        for place in torch.arange(weight.numel())[:: max(1, weight.numel() // 10)]:
            found = []
            for c in (1 + h, 1 - h):
                weight.view(-1)[place] = c * original.view(-1)[place]
                found.append(loss(model, split).item())
            weight.copy_(original)
            slope = abs(found[0] - found[1]) / (2 * h)
            assert score.flatten()[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_taylor_is_the_mean_square_over_batches(kind):
    model, split = net(kind), batch(n=11)
    expected = dict.fromkeys(pruning.weights(model), 0)
    joint = dict(expected)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 11)):  # the last batch is smaller
        model.zero_grad()
        loss(model, Split(split.x[rows], split.y[rows])).backward()
        for name in expected:
            weight = model.get_parameter(name)
            product = (weight.grad * weight).detach()
            expected[name] = expected[name] + product**2 / 3
            joint[name] = joint[name] + product.flatten(1).sum(1) ** 2 / 3
    assert_close(pruning.taylor(model, split, batch_size=4), expected)
    by_unit = pruning.taylor(model, split, batch_size=4, units=True)
    assert_close({n: s.flatten(1).sum(1) for n, s in by_unit.items()}, joint)
    assert all(score.flatten(1).std(1).max() < 1e-12 for score in by_unit.values())
    assert all(by_unit[n].shape == weight.shape for n, weight in pruning.weights(model).items())
    # Over all data at once it would be another score: what the square is taken of matters.
    at_once = pruning.taylor(model, split, batch_size=99)
    assert not torch.allclose(at_once[name], expected[name], rtol=0.1)
    assert_close({n: s.sqrt() for n, s in at_once.items()}, pruning.snip(model, split))


def test_taylor_for_whole_units_chooses_them():
    model, split = net("mlp"), batch()
    rule = pruning.units(pruning.global_mask, norm=1)
    scores = pruning.taylor(model, split, units=True)
    totals = torch.cat([scores[n].sum(1) for n in ("0.weight", "2.weight")])
    masks = rule(scores, 3 / 9)
    gone = torch.cat([~masks[n].any(1) for n in ("0.weight", "2.weight")])
    assert set(totals[gone].tolist()) == set(totals.sort().values[:3].tolist())


@pytest.mark.parametrize("score", [pruning.snip, pruning.taylor])
@pytest.mark.parametrize("kind", ["mlp", "conv", "batch norm"])
def test_scoring_leaves_the_model_as_it_was(score, kind, global_generators):
    model = net(kind).train()
    state = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        score(model, batch())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training


@pytest.mark.parametrize("score", [pruning.snip, pruning.taylor])
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_pruned_weights_score_zero_and_others_as_in_the_network_with_zeros(score, kind):
    model = net(kind)
    masks = pruning.prune(model, 0.5)
    plain = pruning.remove(copy.deepcopy(model))
    scores = score(model, batch())
    assert_close(scores, score(plain, batch()))
    assert all((scores[name][~mask] == 0).all() for name, mask in masks.items())
    pruning.prune(model, 0.7, score=lambda m: score(m, batch()))
    assert pruning.sparsity(model) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(
    "score",
    [pruning.snip, pruning.taylor, lambda m, s: pruning.taylor(m, s, batch_size=5, units=True)],
)
def test_a_stack_scores_each_network_as_alone(score):
    alone, splits = [net("mlp", seed) for seed in (0, 1)], [batch(seed=s) for s in (0, 1)]
    both = Split(torch.stack([s.x for s in splits]), torch.stack([s.y for s in splits]))
    scores = score(networks.stack(alone), both)
    for i in (0, 1):
        assert_close({n: s[i] for n, s in scores.items()}, score(alone[i], splits[i]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: pruning.snip(m, batch(n=0)), "at least one item"),
        (lambda m: pruning.taylor(m, batch(n=0)), "at least one item"),
        (lambda m: pruning.snip(m, Split(batch().x, batch(n=5).y)), "(12, 16) and labels (5,)"),
        (
            lambda m: pruning.taylor(m, batch(), batch_size=0),
            "batch_size must be a whole number",
        ),
        (lambda m: pruning.snip(nn.Sequential(nn.ReLU()), batch()), "nothing to prune"),
    ],
)
def test_bad_input_to_scores(call, message):
    with pytest.raises(ValueError) as error:
        call(net("mlp"))
    assert message in str(error.value)


# --- SynFlow --------------------------------------------------------------------------------------


def positive(model):
    """The weights as float64 without their signs."""
    return {name: weight.double().abs() for name, weight in pruning.weights(model).items()}


def test_synflow_adds_up_the_paths_through_a_weight():
    """Two layers by hand: a path from input i through unit j to output k weighs |W1_ji| |W2_kj|."""
    model = networks.mlp((4, 5, 3), seed=1)
    model[0].bias.data += 0.7  # biases lie on no path
    w1, w2 = positive(model).values()
    expected = {"0.weight": w1 * w2.sum(0).unsqueeze(1), "2.weight": w2 * w1.sum(1)}
    assert_close(pruning.synflow(model, torch.rand(7, 4)), expected)


def with_masks(model, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: weight.shape for name, weight in pruning.weights(model).items()}
    masks = {n: torch.rand(shape, generator=generator) < 0.6 for n, shape in shapes.items()}
    return pruning.apply(model, masks)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "conv", "nested"])
def test_synflow_is_conserved_from_layer_to_layer(kind, masked):
    """Every layer's scores add up to the flow R."""
    model = {
        "mlp": lambda: networks.mlp((16, 9, 7, 3), seed=2),
        "conv": lambda: networks.convnet((3, 5), side=4, n_classes=3, seed=2),
        "nested": lambda: nn.Sequential(
            networks.mlp((16, 9), seed=3),
            nn.LeakyReLU(),
            nn.Dropout(),
            networks.mlp((9, 3), seed=4),
        ),
    }[kind]()
    if masked:
        with_masks(model, seed=5)
    before, ones = copy.deepcopy(model.state_dict()), torch.ones(1, 16, dtype=torch.float64)
    scores = pruning.synflow(model, torch.rand(6, 16))
    plain = pruning.remove(copy.deepcopy(model)).double().eval()
    for name, parameter in plain.named_parameters():
        parameter.data = parameter.data * 0 if name.endswith("bias") else parameter.data.abs()
    flow = plain(ones).sum().item()
    assert flow > 0
    for name, score in scores.items():
        assert score.sum().item() == pytest.approx(flow, rel=1e-9), name
        assert (score[~pruning.masks(model)[name]] == 0).all()
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_synflow_of_a_stack_is_that_of_its_networks():
    models = [networks.mlp((6, 5, 4), seed=s) for s in (1, 2, 3)]
    scores = pruning.synflow(networks.stack(models), torch.rand(3, 8, 6))
    for i, model in enumerate(models):
        alone = pruning.synflow(model, torch.rand(8, 6))
        assert_close({name: score[i] for name, score in scores.items()}, alone)


def test_synflow_of_a_deep_network_stays_finite():
    model = networks.mlp((30, *[200] * 40, 5), seed=0)  # the flow is about 1e46
    total = sum(score.sum() for score in pruning.synflow(model, torch.rand(1, 30)).values())
    assert torch.isfinite(total)
    assert total > torch.finfo(torch.float32).max


@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.BatchNorm1d(5)])
def test_synflow_refuses_layers_that_do_not_scale(layer):
    model = nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 2))
    with pytest.raises(
        ValueError, match=rf"synflow knows only Linear.*got 1 {type(layer).__name__}"
    ):
        pruning.synflow(model, torch.rand(2, 4))
