"""Structured masks, and networks from which pruned units are really cut out."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from course_lib import networks, pruning

SIDE = 4


def unsettle(model, seed):
    """Give biases, batch norms and their statistics values that hide nothing."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, low, high):
        tensor.data.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            draw(module.running_mean, -1, 1)
            draw(module.running_var, 0.2, 2)
            if module.affine:
                draw(module.weight, -1.5, 1.5)
                draw(module.bias, -1, 1)
        elif getattr(module, "bias", None) is not None:
            draw(module.bias, -1, 1)
    return model.eval()


@st.composite
def network(draw):
    """Return a network over 16 pixels: convolutions or none, then linear layers."""
    few, coin = st.integers(1, 4), st.booleans()
    activation = draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.LeakyReLU]))
    layers, n, side = [], 1, SIDE
    if draw(coin):
        layers.append(networks.Image(SIDE))
        for _ in range(draw(st.integers(1, 2))):
            out, padding = draw(few), draw(st.sampled_from([0, 1, "same"]))
            mode = draw(st.sampled_from(["zeros", "zeros", "circular", "replicate"]))
            size = 3 if padding else draw(st.integers(1, min(2, side)))
            layers.append(
                nn.Conv2d(n, out, size, padding=padding, padding_mode=mode, bias=draw(coin))
            )
            side = side if padding else side - size + 1
            if draw(coin):
                layers.append(nn.BatchNorm2d(out, affine=draw(coin)))
            layers.append(activation())
            if side >= 2 and draw(coin):
                pool = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
                layers.append(pool(2, ceil_mode=draw(coin)))
                side = -(-side // 2) if layers[-1].ceil_mode else side // 2
            n = out
        layers.append(nn.Flatten())
    n *= side * side
    if draw(coin):
        layers.append(nn.BatchNorm1d(n))
    for _ in range(draw(st.integers(0, 2))):
        out = draw(st.integers(1, 6))
        layers += [nn.Linear(n, out, bias=draw(coin)), activation()]
        if draw(coin):
            layers.append(nn.BatchNorm1d(out))
        n = out
    layers.append(nn.Linear(n, 3, bias=draw(coin)))
    if draw(coin):  # sequences inside a sequence
        layers = [nn.Sequential(*layers[:2]), *layers[2:]]
    seed = draw(st.integers(0, 99))
    return unsettle(networks.initialise(nn.Sequential(*layers), seed=seed), seed)


@st.composite
def pruned_network(draw):
    """Return a network and masks: whole units, whole inputs and single weights are pruned."""
    model = draw(network())
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    share = draw(st.sampled_from([0.0, 0.3, 0.6, 1.0]))
    masks = {}
    for name, weight in pruning.weights(model).items():
        mask = torch.tensor(rng.random(weight.shape) < 0.8)
        mask[torch.tensor(rng.random(len(weight)) < share)] = False
        mask[:, torch.tensor(rng.random(weight.shape[1]) < share / 2)] = False
        masks[name] = mask
    return model, masks


def pixels(n=5, seed=0):
    return torch.randn(n, SIDE * SIDE, generator=torch.Generator().manual_seed(seed))


def assert_same_outputs(model, smaller, x):
    expected, got = model(x), smaller(x)
    scale = max(1.0, expected.abs().max().item())
    assert (got - expected).abs().max().item() <= 1e-5 * scale


def with_units(model, name, gone):
    """Return masks that prune some units of one layer, and nothing else."""
    masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in pruning.weights(model).items()}
    masks[name][gone] = False
    return masks


# --- shrink: the same outputs ---------------------------------------------------------------------


@given(case=pruned_network(), on_model=st.booleans())
def test_a_shrunk_network_has_the_outputs_of_the_masked_one(case, on_model):
    model, masks = case
    masked = pruning.apply(copy.deepcopy(model), masks)
    before = copy.deepcopy(masked.state_dict())
    smaller = pruning.shrink(masked) if on_model else pruning.shrink(model, masks)
    assert_same_outputs(masked, smaller, pixels())
    assert networks.n_parameters(smaller) <= networks.n_parameters(model) + sum(
        len(w)
        for w in pruning.weights(model).values()  # biases that constants may ask for
    )
    assert not any(parametrize.is_parametrized(module) for module in smaller.modules())
    assert all(torch.equal(before[name], value) for name, value in masked.state_dict().items())
    # Nothing more to cut, and no unit without weights is left beside others.
    again = pruning.shrink(smaller)
    assert [p.shape for p in again.parameters()] == [p.shape for p in smaller.parameters()]


@given(case=pruned_network())
def test_every_unit_that_is_left_is_read_and_is_no_constant(case):
    """Except the one that a layer must keep, and one that stands for constants at a border."""
    model, masks = case
    smaller = pruning.shrink(model, masks)
    weights = list(pruning.weights(smaller).values())
    for weight, after in zip(weights, weights[1:], strict=False):
        if len(weight) == 1:
            continue
        read = (after != 0).transpose(0, 1).flatten(1).any(1).view(len(weight), -1).any(1)
        assert read.all()
        constants = int((weight == 0).flatten(1).all(1).sum())
        assert constants <= (after.ndim > 2)


def test_shrink_gives_a_network_of_the_expected_sizes():
    model = unsettle(networks.mlp((16, 6, 5, 3), seed=0), 0)
    smaller = pruning.shrink(model, with_units(model, "0.weight", [1, 4]))
    assert [tuple(p.shape) for p in smaller.parameters()] == [
        (4, 16), (4,), (5, 4), (5,), (3, 5), (3,),
    ]  # fmt: skip
    assert torch.equal(smaller[0].weight, model[0].weight[[0, 2, 3, 5]])
    assert (smaller[0].in_features, smaller[0].out_features) == (16, 4)
    assert (smaller[2].in_features, smaller[2].out_features) == (4, 5)
    assert [type(layer) for layer in smaller] == [type(layer) for layer in model]


def test_shrink_of_a_convolutional_network_cuts_features_behind_flatten():
    model = networks.convnet((4, 5), side=SIDE, n_classes=3, seed=0)
    model = unsettle(model, 1)
    model[1].bias.data[2] = -0.5  # constant 0 after ReLU: nothing is lost at the border
    masks = with_units(model, "1.weight", [2])
    masks["4.weight"][[0, 3]] = False
    smaller = pruning.shrink(model, masks)
    assert [tuple(p.shape) for p in smaller.parameters()] == [
        (3, 1, 3, 3), (3,), (3, 3, 3, 3), (3,), (3, 3), (3,),
    ]  # fmt: skip
    assert (smaller[4].in_channels, smaller[4].out_channels) == (3, 3)
    assert_same_outputs(pruning.apply(model, masks), smaller, pixels())


def test_a_dead_unit_s_constant_goes_through_activation_and_batch_norm_by_hand():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.BatchNorm1d(2), nn.Linear(2, 1))
    unsettle(model, 5)
    norm, last = model[2], model[3]
    smaller = pruning.shrink(model, with_units(model, "0.weight", [0]))
    constant = torch.tanh(model[0].bias[0]) - norm.running_mean[0]
    constant = constant / (norm.running_var[0] + norm.eps).sqrt() * norm.weight[0] + norm.bias[0]
    assert abs(constant) > 0.1, "without this, the test proves nothing"
    expected = last.bias + last.weight[0, 0] * constant
    assert smaller[3].bias.item() == pytest.approx(expected.item(), abs=1e-6)
    assert smaller[2].num_features == 1
    assert torch.equal(smaller[2].running_var, norm.running_var[1:])


def test_simply_dropping_dead_units_would_be_wrong():
    """The mistake that folding prevents, and that a test with zero biases would not see."""
    model = unsettle(networks.mlp((16, 6, 3), seed=0), 0)
    masks = with_units(model, "0.weight", [0, 1, 2])
    dropped = copy.deepcopy(model)
    dropped[2].weight.data[:, :3] = 0
    pruning.apply(model, masks)
    assert (dropped(pixels()) - model(pixels())).abs().max() > 0.1
    assert_same_outputs(model, pruning.shrink(model), pixels())


def test_one_channel_stands_for_all_constants_where_the_next_layer_pads_with_zeros():
    model = nn.Sequential(
        networks.Image(SIDE),
        nn.Conv2d(1, 6, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(6, 2, 3, padding=1),
        nn.Flatten(),
        nn.Linear(2 * SIDE**2, 3),
    )
    unsettle(networks.initialise(model, seed=0), 0)
    masks = with_units(model, "1.weight", [0, 2, 3, 5])
    smaller = pruning.shrink(model, masks)
    assert smaller[1].out_channels == 3  # two that live, one for four constants
    assert_same_outputs(pruning.apply(copy.deepcopy(model), masks), smaller, pixels())
    # A bias alone would be right inside the image and wrong at its border.
    model[3].padding = (0, 0)
    model[5] = unsettle(nn.Linear(2 * 2 * 2, 3), 2)
    smaller = pruning.shrink(model, {name: masks[name] for name in ("1.weight", "3.weight")})
    assert smaller[1].out_channels == 2
    pruning.apply(model, {"1.weight": masks["1.weight"]})
    assert_same_outputs(model, smaller, pixels())


def test_units_that_nobody_reads_go_and_those_that_only_they_read_go_too():
    model = unsettle(networks.mlp((16, 6, 5, 3), seed=0), 0)
    masks = with_units(model, "0.weight", [])
    masks["4.weight"][:, 1] = False  # unit 1 of the second layer is read by none
    masks["2.weight"][[0, 2, 3, 4], 5] = False  # unit 5 of the first only by that one
    smaller = pruning.shrink(model, masks)
    assert (smaller[0].out_features, smaller[2].out_features) == (5, 4)
    assert_same_outputs(pruning.apply(model, masks), smaller, pixels())


def test_a_layer_keeps_a_unit_when_all_are_pruned():
    for model in (networks.mlp((16, 6, 5, 3), seed=0), networks.convnet((4, 4), side=4, seed=0)):
        unsettle(model, 0)
        masks = {name: torch.zeros_like(w).bool() for name, w in pruning.weights(model).items()}
        smaller = pruning.shrink(model, masks)
        assert {len(weight) for weight in list(pruning.weights(smaller).values())[:-1]} == {1}
        assert_same_outputs(pruning.apply(model, masks), smaller, pixels())


def test_a_shrunk_network_trains_and_keeps_its_kind():
    model = unsettle(networks.mlp((16, 6, 3), seed=0).double(), 0).train()
    smaller = pruning.shrink(model, with_units(model, "0.weight", [1]))
    assert smaller.training
    assert {p.dtype for p in smaller.parameters()} == {torch.float64}
    smaller(pixels().double()).square().sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())


def test_an_activation_in_place_does_not_spoil_the_biases():
    model = nn.Sequential(nn.Linear(16, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)).double()
    unsettle(networks.initialise(model, seed=0), 0)
    masks = with_units(model, "0.weight", [1, 2])
    smaller = pruning.shrink(model, masks)
    assert_same_outputs(pruning.apply(model, masks), smaller, pixels().double())


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_convolutions_of_other_dimensions(dimensions, padding):
    Conv = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions]
    shape = {1: (2, 8), 3: (2, 2, 2, 2)}[dimensions]
    size = {1: 3, 3: 1 + 2 * padding}[dimensions]
    model = nn.Sequential(
        nn.Unflatten(1, shape), Conv(2, 4, size, padding=padding), nn.Sigmoid(),
        Conv(4, 3, size, padding=padding), nn.Tanh(), nn.Flatten(), nn.LazyLinear(2),
    )  # fmt: skip
    model(pixels())
    unsettle(networks.initialise(model, seed=0), 0)
    masks = with_units(model, "1.weight", [1, 3])
    masks["3.weight"][2] = False
    smaller = pruning.shrink(model, masks)
    assert len(smaller[1].weight) == 2 + padding
    assert_same_outputs(pruning.apply(model, masks), smaller, pixels())


def bad_models():
    flat, image = nn.Flatten(), networks.Image(SIDE)
    shared = nn.Linear(16, 16)
    return [
        (nn.Linear(16, 3), "shrink takes an nn.Sequential; got Linear"),
        (nn.Sequential(nn.Linear(16, 3), nn.Softmax(1)), "layer 1, Softmax(dim=1), is in the way"),
        (nn.Sequential(nn.Linear(16, 8), nn.LayerNorm(8), nn.Linear(8, 3)), "layer 1, LayerNorm"),
        (networks.stack([networks.mlp((16, 3), seed=0)]), "layer 0, StackedLinear"),
        (nn.Sequential(image, nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2)), "in groups"),
        (nn.Sequential(image, nn.Conv2d(1, 4, 4), nn.Linear(4, 3)), "nn.Flatten is missing"),
        (nn.Sequential(shared, nn.ReLU(), shared), "stands in the network twice"),
        (nn.Sequential(image, nn.Conv2d(1, 4, 4), flat, nn.Linear(6, 3)), "no multiple of the 4"),
        (
            nn.Sequential(nn.Linear(16, 16), nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3)),
            "after the first weights",
        ),
        (
            nn.Sequential(
                nn.Linear(16, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)
            ),
            "no running statistics",
        ),
        (nn.Sequential(nn.Linear(16, 4), nn.Flatten(0), nn.Linear(4, 3)), "all dimensions but"),
        (
            nn.Sequential(image, nn.Conv2d(1, 4, 3), nn.AvgPool2d(2, padding=1), flat),
            "averages over its padding",
        ),
    ]


@pytest.mark.parametrize(("model", "message"), bad_models())
def test_what_shrink_cannot_cut_is_named(model, message):
    with pytest.raises(ValueError) as error:
        pruning.shrink(model)
    assert message in str(error.value)


def test_bad_masks_are_refused_and_the_model_is_left_alone():
    model = networks.mlp((16, 4, 3), seed=0)
    with pytest.raises(ValueError, match="must be boolean of shape"):
        pruning.shrink(model, {"0.weight": torch.ones(3, 3, dtype=torch.bool)})
    assert pruning.sparsity(model) == 0
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    model(pixels())
    with pytest.raises(ValueError, match="torch.nn.utils.prune: call its remove"):
        pruning.shrink(model)


def test_what_torch_pruned_shrinks_as_the_message_says():
    model = networks.mlp((16, 6, 3), seed=0)
    torch_prune.ln_structured(model[0], "weight", 2, n=2, dim=0)
    torch_prune.remove(model[0], "weight")
    masks = {name: weight != 0 for name, weight in pruning.weights(model).items()}
    smaller = pruning.shrink(model, masks)
    assert smaller[0].out_features == 4
    assert torch.allclose(smaller(pixels()), model(pixels()), atol=1e-6)


# --- units: whole neurons and channels ------------------------------------------------------------


def fresh(kind, seed):
    if kind == "mlp":
        return networks.mlp((16, 7, 5, 3), seed=seed)
    return networks.convnet((5, 6), side=SIDE, n_classes=3, seed=seed)


@given(
    kind=st.sampled_from(["mlp", "conv"]), seed=st.integers(0, 99), norm=st.sampled_from([1, 2]),
    share=st.floats(0, 0.8), relative=st.booleans(),
)  # fmt: skip
def test_layerwise_units_agree_with_ln_structured(kind, seed, norm, share, relative):
    model = fresh(kind, seed)
    theirs = copy.deepcopy(model)
    hidden = [m for m in theirs.modules() if isinstance(m, pruning.PRUNABLE)][:-1]
    for module in hidden:
        n_pruned = round(share * len(module.weight))
        torch_prune.ln_structured(module, "weight", n_pruned, n=norm, dim=0)
    rule = pruning.units(pruning.layerwise_mask, norm=norm, relative=relative)
    ours = pruning.prune(model, share, rule=rule)
    for mask, module in zip(list(ours.values())[:-1], hidden, strict=True):
        assert torch.equal(mask, module.weight_mask.bool())
    assert list(ours.values())[-1].all(), "the units of the output are the answers"


@given(
    kind=st.sampled_from(["mlp", "conv"]), seed=st.integers(0, 99), share=st.floats(0, 0.8),
    relative=st.booleans(),
)  # fmt: skip
def test_global_units_go_by_score_and_no_layer_loses_its_last(kind, seed, share, relative):
    model = fresh(kind, seed)
    first = next(iter(pruning.weights(model).values()))
    first *= 0.01  # without care, the whole first layer would go
    masks = pruning.prune(model, share, rule=pruning.units(pruning.global_mask, relative=relative))
    *hidden, output = masks.values()
    kept = [mask.flatten(1).any(1) for mask in hidden]
    for mask, keep in zip(hidden, kept, strict=True):
        assert torch.equal(mask.flatten(1).all(1), keep), "units go whole"
        assert keep.any()
    n = sum(map(len, kept))
    assert sum(int((~keep).sum()) for keep in kept) == round(share * n)
    assert output.all()
    if not relative and 1 / n < share:
        assert (~kept[0]).sum() >= min(round(share * n), len(kept[0]) - 1)


def test_relative_units_of_layers_of_other_scales_go_alike():
    model = fresh("mlp", 0)
    for scale in (1, 0.01):
        model[0].weight.data *= scale
        masks = pruning.units(pruning.global_mask, relative=True)(pruning.magnitude(model), 0.5)
        if scale == 1:
            expected = masks
    assert all(torch.equal(masks[name], expected[name]) for name in masks)


def test_units_within_masks_and_round_by_round():
    model = fresh("mlp", 1)
    single = pruning.prune(model, 0.3)
    rule = pruning.units(pruning.layerwise_mask)
    for share in (0.3, 0.6):
        masks = pruning.prune(model, share, rule=rule)
        for name, mask in masks.items():
            assert not (mask & ~single[name]).any(), "a pruned weight came back"
        gone = [int((~m).flatten(1).all(1).sum()) for m in list(masks.values())[:-1]]
        assert gone == [round(share * 7), round(share * 5)]
        single = masks
    with pytest.raises(ValueError, match="are pruned already"):
        rule(pruning.magnitude(model), 0.2, within=masks)


def test_the_unit_that_stays_is_one_that_is_still_there():
    """With negative scores, as of movement, a pruned unit's 0 is the highest of all."""
    scores = {"a": torch.tensor([[0.0], [-5.0], [-3.0]])}
    scores |= {"b": torch.ones(3, 3), "c": torch.ones(2, 3)}
    within = {name: torch.ones_like(score).bool() for name, score in scores.items()}
    within["a"][0] = False
    masks = pruning.units(pruning.global_mask)(scores, 3 / 6, within=within)
    assert masks["a"].flatten().tolist() == [False, False, True]
    assert masks["b"].all(1).sum() == 2


def test_each_takes_units_of_every_network_of_a_stack():
    alone = [fresh("mlp", seed) for seed in (0, 1)]
    rule = pruning.units(pruning.global_mask)
    masks = pruning.prune(networks.stack(alone), 0.5, rule=pruning.each(rule))
    for i, model in enumerate(alone):
        for name, mask in pruning.prune(model, 0.5, rule=rule).items():
            assert torch.equal(masks[name][i], mask)


def test_pruned_units_are_cut_out_by_shrink():
    model = unsettle(fresh("mlp", 2), 0)
    masks = pruning.prune(model, 0.5, rule=pruning.units(pruning.layerwise_mask))
    smaller = pruning.shrink(model)
    assert [len(w) for w in pruning.weights(smaller).values()] == [3, 3, 3]
    assert [int(m.flatten(1).any(1).sum()) for m in masks.values()] == [3, 3, 3]
    assert_same_outputs(model, smaller, pixels())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: pruning.units(pruning.global_mask, norm=0), "norm is 1"),
        (lambda s: pruning.units(pruning.layerwise_mask)(s, 0.95), "leaves no unit of 0.weight"),
        (lambda s: pruning.units(pruning.global_mask)(s, 0.95), "leaves no unit of"),
        (lambda s: pruning.units(pruning.global_mask)(s, 1.5), "sparsity is a share"),
        (lambda s: pruning.units(pruning.global_mask)({"a": s["0.weight"]}, 0.5), "hidden layer"),
        (lambda s: pruning.units(pruning.global_mask)({"a": torch.ones(3), **s}, 0), "(3,)"),
        (
            lambda s: pruning.units(pruning.global_mask, norm=2)({n: -x for n, x in s.items()}, 0),
            "the scores of 0.weight are partly negative",
        ),
        (lambda s: pruning.n_m_mask(s, 5, 4), "n must be a whole number from 1 to 4; got 5"),
        (lambda s: pruning.n_m_mask(s, 0, 4), "n must be a whole number from 1 to 4; got 0"),
        (lambda s: pruning.n_m_mask(s, 2.0, 4), "n must be a whole number from 1 to 4; got 2.0"),
        (lambda s: pruning.n_m_mask(s, 2, 3), "of 0.weight, shape (7, 16), is no multiple of m"),
        (lambda s: pruning.n_m_mask({"a": torch.ones(4)}), "shape (4,)"),
        (lambda s: pruning.n_m_mask({}), "scores are empty"),
    ],
)
def test_bad_input_to_structured_rules(call, message):
    with pytest.raises(ValueError) as error:
        call(pruning.magnitude(fresh("mlp", 0)))
    assert message in str(error.value)


# --- n:m ------------------------------------------------------------------------------------------


@given(
    n_out=st.integers(1, 5), groups=st.integers(1, 4), m=st.integers(1, 6), n=st.integers(1, 6),
    kernel=st.sampled_from([(), (2,), (3, 2)]), seed=st.integers(0, 99), tied=st.booleans(),
)  # fmt: skip
@example(n_out=3, groups=2, m=4, n=2, kernel=(), seed=0, tied=True)
def test_every_group_keeps_its_n_largest(n_out, groups, m, n, kernel, seed, tied):
    n = min(n, m)
    scores = torch.rand(n_out, groups * m, *kernel, generator=torch.manual_seed(seed))
    if tied:
        scores = scores.round()
    mask = pruning.n_m_mask({"a": scores}, n, m)["a"]
    assert mask.shape == scores.shape
    assert mask.dtype == torch.bool
    for place in np.ndindex(n_out, groups, *kernel):
        i, group, *at = place
        where = (i, slice(group * m, (group + 1) * m), *at)
        assert mask[where].sum() == n
        kept, gone = scores[where][mask[where]], scores[where][~mask[where]]
        assert n == m or kept.min() >= gone.max()


def test_two_of_four_by_hand_and_within():
    scores = {"a": torch.tensor([[0.1, 0.9, 0.3, 0.2, 5.0, 7.0, 6.0, 8.0]])}
    mask = pruning.n_m_mask(scores)["a"]
    assert mask.tolist() == [[False, True, True, False, False, True, False, True]]
    within = {"a": torch.tensor([[True, False, False, True, True, True, True, False]])}
    mask = pruning.n_m_mask(scores, within=within)["a"]
    assert mask.tolist() == [[True, False, False, True, False, True, True, False]]
    lonely = {"a": torch.tensor([[False, False, False, True] * 2])}
    assert pruning.n_m_mask(scores, within=lonely)["a"].sum() == 2


def test_a_network_with_n_m_masks_is_half_zero():
    model = networks.mlp((16, 8, 4, 3), seed=0)
    pruning.apply(model, pruning.n_m_mask(pruning.magnitude(model)))
    assert pruning.sparsity(model) == 0.5
