"""The networks: sizes, first weights by theory, stacks that equal their networks."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib import networks, pruning

widths = st.lists(st.integers(1, 12), min_size=2, max_size=5)


# --- Building -------------------------------------------------------------------------------------


@given(sizes=widths, seed=st.integers(0, 99))
def test_mlp_has_the_layers_and_parameters_asked_for(sizes, seed):
    model = networks.mlp(sizes, seed=seed)
    linear = [m for m in model if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == list(
        zip(sizes[:-1], sizes[1:], strict=True)
    )
    assert networks.n_parameters(model) == sum(
        (n_in + 1) * n_out for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True)
    )
    assert isinstance(model[-1], nn.Linear)
    assert model(torch.rand(3, sizes[0])).shape == (3, sizes[-1])


def test_the_default_is_lenet_300_100_for_64_pixels():
    model = networks.mlp(seed=1)
    assert networks.n_parameters(model) == 65 * 300 + 301 * 100 + 101 * 10
    assert model(torch.rand(2, 64)).shape == (2, 10)


def test_convnet_has_the_parameters_asked_for_and_takes_rows_of_pixels():
    model = networks.convnet((16, 32), seed=1)
    assert networks.n_parameters(model) == (9 + 1) * 16 + (9 * 16 + 1) * 32 + (32 * 4 + 1) * 10
    assert model(torch.rand(5, 64)).shape == (5, 10)
    other = networks.convnet((3, 4, 5), side=24, n_classes=7, seed=1)
    assert other(torch.rand(2, 24 * 24)).shape == (2, 7)
    with pytest.raises(RuntimeError):  # two images in a row are not two rows
        model(torch.rand(5, 2 * 64))


def test_convnet_reads_the_pixels_row_by_row():
    # A reference in plain functions: (n, 64) as (n, 1, 8, 8), padded 3 × 3 windows, pool by 2.
    model, x = networks.convnet((3,), seed=5), torch.rand(4, 64, generator=torch.manual_seed(0))
    w, b = model[1].weight, model[1].bias
    image = nn.functional.pad(x.view(4, 8, 8), (1, 1, 1, 1))
    windows = torch.stack([image[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)], 1)
    hidden = torch.einsum("nkij,ck->ncij", windows, w.reshape(3, 9)) + b.view(3, 1, 1)
    pooled = hidden.relu().view(4, 3, 4, 2, 4, 2).amax((3, 5))
    expected = pooled.flatten(1) @ model[-1].weight.T + model[-1].bias
    assert torch.allclose(model(x), expected, atol=1e-5)


@pytest.mark.parametrize("activation", [nn.GELU, nn.Tanh])
def test_the_activation_is_the_one_asked_for(activation):
    names = [type(m) for m in networks.mlp((4, 6, 5, 2), activation=activation, seed=0)]
    assert names == [nn.Linear, activation, nn.Linear, activation, nn.Linear]
    conv = networks.convnet((4, 4), activation=activation, seed=0)
    assert sum(isinstance(m, activation) for m in conv) == 2
    assert not any(isinstance(m, nn.ReLU) for m in conv)


def test_n_parameters_counts_only_what_is_trained():
    model = networks.mlp((4, 3, 2), seed=0)
    model[0].bias.requires_grad_(False)
    assert networks.n_parameters(model) == 4 * 3 + 3 * 2 + 2


# --- First weights --------------------------------------------------------------------------------


def layers_of(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize(
    "build", [networks.mlp, lambda seed: networks.convnet((64, 64), seed=seed)]
)
def test_first_weights_are_he_normal_and_biases_zero(build):
    for layer in layers_of(build(seed=3)):
        w = layer.weight.detach().double().flatten()
        fan_in = layer.weight[0].numel()
        if len(w) < 500:
            continue
        z = w * math.sqrt(fan_in / 2)  # standard normal, if the variance is 2 / fan_in
        se = 1 / math.sqrt(len(z))
        assert abs(z.mean()) < 4 * se
        assert abs(z.var() - 1) < 4 * math.sqrt(2) * se  # Var[z²] = 2
        assert abs((z**4).mean() - 3) < 4 * math.sqrt(96) * se  # Var[z⁴] = 105 − 9: not uniform
        assert (layer.bias == 0).all()


def test_same_seed_same_weights_other_seed_others():
    for build in (networks.mlp, networks.convnet):
        a, b, c = (layers_of(build(seed=s)) for s in (7, 7, 8))
        assert all(torch.equal(x.weight, y.weight) for x, y in zip(a, b, strict=True))
        assert all(not torch.equal(x.weight, y.weight) for x, y in zip(a, c, strict=True))


def test_no_global_generator_is_touched(global_generators):
    model = networks.mlp((6, 5, 4), seed=0)
    networks.convnet((4,), seed=1)
    networks.initialise(model, seed=2)
    networks.unstack(networks.stack([model, networks.mlp((6, 5, 4), seed=1)]))
    networks.widths_within(60, lambda h: networks.mlp((6, *h, 4), seed=0), (5,))


def test_initialise_draws_what_the_builder_draws():
    model = networks.mlp((6, 5, 4), seed=0)
    networks.initialise(model, seed=9)
    fresh = networks.mlp((6, 5, 4), seed=9)
    for a, b in zip(model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)


def test_initialise_replaces_the_weights_under_a_mask_and_keeps_the_mask():
    model = networks.mlp((6, 5, 4), seed=0)
    masks = pruning.prune(model, 0.4)
    networks.initialise(model, seed=9)
    fresh = networks.mlp((6, 5, 4), seed=9)
    for name in ("0", "2"):
        mask = masks[f"{name}.weight"]
        expected = fresh.get_submodule(name).weight * mask
        assert torch.equal(model.get_submodule(name).weight, expected)


def test_initialise_leaves_other_modules_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))
    nn.init.constant_(model[1].weight, 1.7)
    networks.initialise(model, seed=2)
    assert (model[1].weight == 1.7).all()


# --- A small dense control ------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    n=st.integers(50, 27_000),
    hidden=st.lists(st.integers(1, 300), min_size=1, max_size=3).map(tuple),
)
def test_widths_within_is_the_largest_proportional_network_that_fits(n, hidden):
    def build(h):
        return nn.ModuleList(
            nn.Linear(a, b, device="meta") for a, b in zip((8, *h), (*h, 3), strict=True)
        )

    def size(h):
        return networks.n_parameters(build(h))

    if size((1,) * len(hidden)) > n:
        with pytest.raises(ValueError, match="too few"):
            networks.widths_within(n, build, hidden)
        return
    chosen = networks.widths_within(n, build, hidden)
    assert size(chosen) <= n
    # By brute force over all shrinkings in thousandths: none that fits is larger.
    shrunk = {tuple(max(1, round(k * w / 1000)) for w in hidden) for k in range(1001)}
    assert chosen in shrunk
    assert size(chosen) == max(size(h) for h in shrunk if size(h) <= n)


def test_widths_within_leaves_a_network_that_fits_as_it_is():
    def build(h):
        return nn.Linear(h[0], 1, device="meta")

    assert networks.widths_within(2001, build, (2000,)) == (2000,)
    assert networks.widths_within(9999, build, (2000,)) == (2000,)
    assert networks.widths_within(2000, build, (2000,)) == (1998,)  # by thousandths


def test_widths_within_for_ninety_percent_fewer_weights():
    full = networks.n_parameters(networks.mlp(seed=0))
    h = networks.widths_within(full // 10, lambda h: networks.mlp((64, *h, 10), seed=0), (300, 100))
    n = networks.n_parameters(networks.mlp((64, *h, 10), seed=0))
    assert full // 10 - 100 < n <= full // 10
    assert h[0] / h[1] == pytest.approx(3, rel=0.05)


# --- Stacks ---------------------------------------------------------------------------------------


@given(
    sizes=widths,
    n=st.integers(1, 4),
    batch=st.integers(1, 5),
    activation=st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh]),
)
def test_a_stack_computes_what_its_networks_compute(sizes, n, batch, activation):
    models = [networks.mlp(sizes, activation=activation, seed=seed) for seed in range(n)]
    generator = torch.Generator().manual_seed(2)
    for layer in itertools.chain(*map(layers_of, models)):
        nn.init.normal_(layer.bias, generator=generator)  # at zero, a lost bias would not show
    x = torch.rand(n, batch, sizes[0], generator=torch.Generator().manual_seed(1))
    stacked = networks.stack(models)
    assert networks.n_parameters(stacked) == n * networks.n_parameters(models[0])
    alone = torch.stack([model(x[i]) for i, model in enumerate(models)])
    assert torch.allclose(stacked(x), alone, rtol=1e-4, atol=1e-5)
    for model, back in zip(models, networks.unstack(stacked), strict=True):
        for a, b in zip(model.parameters(), back.parameters(), strict=True):
            assert torch.equal(a, b)
        assert [type(m) for m in model] == [type(m) for m in back]


def test_stack_and_unstack_copy_the_weights():
    models = [networks.mlp((3, 4, 2), seed=s) for s in (0, 1)]
    stacked = networks.stack(models)
    before = models[0][0].weight.clone()
    with torch.no_grad():
        stacked[0].weight += 1
    assert torch.equal(models[0][0].weight, before)
    back = networks.unstack(stacked)
    with torch.no_grad():
        back[0][0].weight += 1
    assert torch.equal(stacked[0].weight[0], before + 1)


def test_no_network_of_a_stack_sees_another():
    models = [networks.mlp((3, 4, 2), seed=s) for s in range(3)]
    stacked, x = networks.stack(models), torch.rand(3, 5, 3, generator=torch.manual_seed(1))
    stacked(x)[1].square().sum().backward()
    for p in stacked.parameters():
        assert (p.grad[[0, 2]] == 0).all()
        assert (p.grad[1] != 0).any()


def test_masked_weights_leave_a_stack_as_zeros():
    stacked = networks.stack([networks.mlp((6, 5, 4), seed=s) for s in (0, 1)])
    masks = pruning.prune(stacked, 0.5, rule=pruning.each(pruning.global_mask))
    for i, model in enumerate(networks.unstack(stacked)):
        for name in ("0", "2"):
            weight = model.get_submodule(name).weight
            assert torch.equal(weight != 0, masks[f"{name}.weight"][i])
            assert type(model.get_submodule(name)) is nn.Linear


def test_a_stack_keeps_double_precision():
    models = [networks.mlp((3, 4, 2), seed=s).double() for s in (0, 1)]
    back = networks.unstack(networks.stack(models))
    assert torch.equal(back[1][0].weight, models[1][0].weight)


def masked_pair():
    models = [networks.mlp((6, 5, 4), seed=s) for s in (0, 1)]
    for model in models:
        pruning.prune(model, 0.5)
    return models


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "at least one nn.Sequential"),
        ([nn.Linear(3, 2)], "at least one nn.Sequential"),
        ([networks.convnet((4,), seed=s) for s in (0, 1)], "only linear layers"),
        ([networks.mlp(s, seed=0) for s in ((3, 4, 2), (3, 5, 2))], "different shapes"),
        ([networks.mlp(s, seed=0) for s in ((3, 4, 2), (3, 4, 4, 2))], "same layers"),
        ([networks.mlp(s, seed=0) for s in ((3, 4, 4, 2), (3, 4, 2))], "same layers"),
        (
            [networks.mlp((3, 4, 2), activation=a, seed=0) for a in (nn.ReLU, nn.GELU)],
            "same layers",
        ),
        (
            [nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(slope)) for slope in (0.1, 0.2)],
            "same elementwise activation",
        ),
        ([nn.Sequential(nn.Linear(2, 2, bias=False))], "only linear layers with a bias"),
        ([nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))], "only linear layers"),
        (masked_pair(), "remove masks before"),
        ([masked_pair()[0], networks.mlp((6, 5, 4), seed=0)], "remove masks before"),
    ],
)
def test_what_cannot_be_stacked_is_refused(models, message):
    with pytest.raises(ValueError) as error:
        networks.stack(models)
    assert message in str(error.value)


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(64,), (), (64, 0, 10), (64, 3.0), (64, -1, 10), (64, True)])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match="sizes takes at least two positive whole numbers"):
        networks.mlp(sizes, seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": ()}, "positive whole numbers"),
        ({"channels": (16, 0)}, "positive whole numbers"),
        ({"channels": (16, 2.5)}, "positive whole numbers"),
        ({"n_classes": 0}, "n_classes must be a whole number, at least 1"),
        ({"side": 10}, "side must be divisible by 4 for 2 blocks"),
        ({"side": 0}, "side must be divisible"),
        ({"side": 8.0}, "got 8.0"),
    ],
)
def test_bad_arguments_of_convnet(arguments, message):
    with pytest.raises(ValueError) as error:
        networks.convnet(**arguments, seed=0)
    assert message in str(error.value)


def test_numpy_integers_are_whole_numbers():
    assert networks.n_parameters(networks.mlp(np.array([3, 4, 2]), seed=0)) == 4 * 4 + 5 * 2


def test_a_stack_is_not_initialised_and_a_plain_network_not_unstacked():
    stacked = networks.stack([networks.mlp((3, 4, 2), seed=s) for s in (0, 1)])
    before = copy.deepcopy(stacked.state_dict())
    with pytest.raises(ValueError, match="before stacking"):
        networks.initialise(stacked, seed=0)
    assert all(torch.equal(before[n], p) for n, p in stacked.state_dict().items())
    with pytest.raises(ValueError, match=r"made by networks\.stack"):
        networks.unstack(networks.mlp((3, 4, 2), seed=0))
