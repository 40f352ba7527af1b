"""Pruning: against torch.nn.utils.prune, exact counts, masks that no optimiser can move."""

import copy
import functools

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from course_lib import data, networks, pruning, training

SIZES = (6, 7, 5, 4)


def batch_norm_net(seed):
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 2, 3, padding=1, bias=False),
        nn.Flatten(),
        nn.Linear(32, 3),
    )
    return networks.initialise(model, seed=seed)


def with_values(model, values, seed):
    """Give the weights a few values only, so that many are tied."""
    generator = torch.Generator().manual_seed(seed)
    for weight in pruning.weights(model).values():
        weight.copy_(values[torch.randint(0, len(values), weight.shape, generator=generator)])
    return model


def digits_batches(n, dim=64, classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        yield (
            torch.rand(30, dim, generator=generator),
            torch.randint(0, classes, (30,), generator=generator),
        )


models = st.one_of(
    st.builds(
        lambda sizes, seed: networks.mlp(sizes, seed=seed),
        st.lists(st.integers(1, 9), min_size=2, max_size=4),
        st.integers(0, 99),
    ),
    st.builds(
        lambda channels, seed: networks.convnet(channels, side=4, n_classes=3, seed=seed),
        st.lists(st.integers(1, 4), min_size=1, max_size=2),
        st.integers(0, 99),
    ),
    st.builds(batch_norm_net, st.integers(0, 99)),
    # Ties: weights of three sizes, of one, and all zero.
    *(
        st.builds(
            lambda values, seed: with_values(networks.mlp((5, 8, 3), seed=0), values, seed),
            st.just(torch.tensor(values)),
            st.integers(0, 99),
        )
        for values in ([-0.5, 0.5, 0.25, 1.0], [0.3, -0.3], [0.0])
    ),
)
shares = st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.9]), st.floats(0, 1))


def parameters_of(model):
    return [
        (module, "weight") for module in model.modules() if isinstance(module, pruning.PRUNABLE)
    ]


def assert_same_masks(masks, pruned):
    theirs = [module.weight_mask for module, _ in parameters_of(pruned)]
    assert len(masks) == len(theirs)
    for (name, mask), other in zip(masks.items(), theirs, strict=True):
        assert torch.equal(mask, other.bool()), name


# --- Agreement with PyTorch's own pruning, ties included ------------------------------------------


@given(model=models, share=shares)
def test_layerwise_magnitude_agrees_with_l1_unstructured(model, share):
    theirs = copy.deepcopy(model)
    for module, name in parameters_of(theirs):
        torch_prune.l1_unstructured(module, name, amount=share)
    assert_same_masks(pruning.prune(model, share, rule=pruning.layerwise_mask), theirs)
    for (module, _), (other, _) in zip(parameters_of(model), parameters_of(theirs), strict=True):
        assert torch.equal(module.weight, other.weight)


@given(model=models, share=shares)
def test_global_magnitude_agrees_with_global_unstructured(model, share):
    theirs = copy.deepcopy(model)
    torch_prune.global_unstructured(parameters_of(theirs), torch_prune.L1Unstructured, amount=share)
    assert_same_masks(pruning.prune(model, share), theirs)


@given(model=models, share=shares, seed=st.integers(0, 99))
def test_random_agrees_with_torch_given_the_same_scores(model, share, seed):
    """Both choose by scores; ours are handed to PyTorch, layer by layer and globally."""
    scores = pruning.random(model, seed=seed)
    score = functools.partial(pruning.random, seed=seed)
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    for (module, name), importance in zip(parameters_of(theirs), scores.values(), strict=True):
        torch_prune.l1_unstructured(module, name, amount=share, importance_scores=importance)
    layerwise = pruning.prune(ours, share, score=score, rule=pruning.layerwise_mask)
    assert_same_masks(layerwise, theirs)

    theirs = copy.deepcopy(model)
    pairs = parameters_of(theirs)
    torch_prune.global_unstructured(
        pairs,
        torch_prune.L1Unstructured,
        importance_scores=dict(zip(pairs, scores.values(), strict=True)),
        amount=share,
    )
    assert_same_masks(pruning.prune(model, share, score=score), theirs)


def test_a_second_pruning_agrees_with_torch_where_nothing_is_tied():
    """PyTorch counts a second amount from what is left; ours counts from the dense network."""
    model = networks.mlp((20, 30, 10), seed=3)
    theirs = copy.deepcopy(model)
    n = 20 * 30 + 30 * 10
    for first, then in ((180, 270),):
        for amount in (first, then):
            torch_prune.global_unstructured(
                parameters_of(theirs), torch_prune.L1Unstructured, amount=amount
            )
        pruning.prune(model, first / n)
        masks = pruning.prune(model, (first + then) / n)
    assert_same_masks(masks, theirs)


# --- The number pruned, and what stays pruned -----------------------------------------------------


@given(
    model=models,
    steps=st.lists(shares, min_size=1, max_size=4),
    rule=st.sampled_from([pruning.global_mask, pruning.layerwise_mask]),
    seed=st.one_of(st.none(), st.integers(0, 9)),
)
@example(
    model=with_values(networks.mlp((5, 8, 3), seed=0), torch.zeros(1), 0),
    steps=[0.3, 0.6, 0.9],
    rule=pruning.global_mask,
    seed=None,
)
def test_exactly_the_share_is_pruned_and_stays_pruned(model, steps, rule, seed):
    score = pruning.magnitude if seed is None else functools.partial(pruning.random, seed=seed)
    before = pruning.masks(model)
    for share in sorted(steps):
        masks = pruning.prune(model, share, score=score, rule=rule)
        sizes = [mask.numel() for mask in masks.values()]
        gone = [int((~mask).sum()) for mask in masks.values()]
        if rule is pruning.global_mask:
            assert sum(gone) == round(share * sum(sizes))
            assert pruning.sparsity(masks) == sum(gone) / sum(sizes)
            assert pruning.density(masks) == 1 - sum(gone) / sum(sizes)
        else:
            assert gone == [round(share * size) for size in sizes]
        for name, mask in masks.items():
            assert not (mask & ~before[name]).any(), "a pruned weight came back"
            assert torch.equal(mask, pruning.masks(model)[name])
        before = masks


def test_the_smallest_weights_go_and_no_others():
    model = networks.mlp((20, 30, 10), seed=3)
    all_weights = torch.cat([w.abs().flatten() for w in pruning.weights(model).values()])
    masks = pruning.prune(model, 0.8)
    keep = torch.cat([mask.flatten() for mask in masks.values()])
    assert all_weights[~keep].max() < all_weights[keep].min()
    # Globally, layers lose different shares; that is the point of comparing over all of them.
    assert len({round(pruning.sparsity({n: m}), 2) for n, m in masks.items()}) > 1


def test_layers_may_have_shares_of_their_own():
    model = networks.mlp(SIZES, seed=0)
    shares = {"0.weight": 0.5, "2.weight": 0.2, "4.weight": 0.0}
    masks = pruning.prune(model, shares, rule=pruning.layerwise_mask)
    assert {name: int((~mask).sum()) for name, mask in masks.items()} == {
        "0.weight": 21, "2.weight": 7, "4.weight": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"must name the same layers as the scores.*4\.weight"):
        pruning.layerwise_mask(pruning.magnitude(model), {"0.weight": 0.5, "2.weight": 0.6})


def test_biases_and_batch_norm_are_not_pruned():
    model = batch_norm_net(0)
    assert list(pruning.weights(model)) == ["1.weight", "4.weight", "6.weight"]
    names = {name for name, _ in networks.mlp(SIZES, seed=0).named_parameters()}
    assert set(pruning.weights(networks.mlp(SIZES, seed=0))) == {
        name for name in names if name.endswith("weight")
    }


def test_random_masks_are_nested_seeded_and_fair():
    model = networks.mlp((40, 50, 10), seed=0)
    scores = pruning.random(model, seed=1)
    kept = [pruning.global_mask(scores, share) for share in (0.2, 0.5, 0.9)]
    for more, less in zip(kept, kept[1:], strict=False):
        assert all(not (less[name] & ~more[name]).any() for name in less)
    again, other = pruning.random(model, seed=1), pruning.random(model, seed=2)
    assert all(torch.equal(scores[name], again[name]) for name in scores)
    assert not torch.equal(scores["0.weight"], other["0.weight"])
    flat = torch.cat([score.flatten() for score in scores.values()]).double()
    assert abs(flat.mean() - 1 / 2) < 4 * (1 / 12 / len(flat)) ** 0.5
    # By chance each layer loses about its share: five standard errors of a binomial.
    for mask in kept[1].values():
        assert abs(pruning.sparsity({"": mask}) - 0.5) < 5 * (0.25 / mask.numel()) ** 0.5


# --- Stacks ---------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 8), min_size=2, max_size=4),
    n=st.integers(1, 4),
    shares=st.lists(shares, min_size=1, max_size=3),
    rule=st.sampled_from([pruning.global_mask, pruning.layerwise_mask]),
    by_chance=st.booleans(),
)
def test_each_is_the_rule_for_every_network_by_itself(sizes, n, shares, rule, by_chance):
    alone = [networks.mlp(sizes, seed=seed) for seed in range(n)]
    stacked = networks.stack(alone)

    def score(seed):
        if not by_chance:
            return pruning.magnitude
        return functools.partial(pruning.random, seed=seed)

    for share in sorted(shares):
        masks = pruning.prune(stacked, share, score=score(list(range(n))), rule=pruning.each(rule))
        for i, model in enumerate(alone):
            expected = pruning.prune(model, share, score=score(i), rule=rule)
            for name in expected:
                assert torch.equal(masks[name][i], expected[name])


def test_a_rule_without_each_compares_the_networks_of_a_stack():
    """What `each` is for: without it, one network may lose more than another."""
    alone = [networks.mlp(SIZES, seed=s) for s in (0, 1)]
    for weight in pruning.weights(alone[0]).values():
        weight.mul_(0.01)
    stacked = networks.stack(alone)
    masks = pruning.prune(stacked, 0.5)
    lost = [pruning.sparsity({name: mask[i] for name, mask in masks.items()}) for i in (0, 1)]
    assert lost[0] > 0.9
    assert lost[1] < 0.1


# --- Masked networks stay masked ------------------------------------------------------------------

OPTIMISERS = {
    "SGD with momentum": functools.partial(
        torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01
    ),
    "AdamW": functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
    "fused AdamW": functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1, fused=True),
}


def train(model, opt, n, dim=64, classes=10, seed=0):
    for x, y in digits_batches(n, dim, classes, seed):
        opt.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        opt.step()


def assert_masked(model, masks):
    for name, weight in pruning.weights(model).items():
        assert (weight[~masks[name]] == 0).all(), f"{name} is not zero under its mask"
        assert (weight[masks[name]] != 0).float().mean() > 0.95, f"{name} lost more than its mask"


def masked_model(kind):
    model = {
        "mlp": lambda: networks.mlp((64, 20, 10), seed=0),
        "conv": lambda: networks.convnet((4, 6), seed=0),
        "stack": lambda: networks.stack([networks.mlp((64, 9, 10), seed=s) for s in (0, 1)]),
    }[kind]()
    return model


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_a_masked_network_stays_masked_through_100_steps(kind, optimiser):
    model = masked_model(kind)
    # The optimiser comes first, and has momentum in every weight, when the masks come.
    opt = OPTIMISERS[optimiser](model.parameters())
    objects = {id(p) for p in model.parameters()}
    train(model, opt, 5, seed=1)
    masks = pruning.prune(model, 0.7)
    assert {id(p) for p in model.parameters()} == objects
    before = {name: weight.clone() for name, weight in pruning.weights(model).items()}
    train(model, opt, 100)
    assert_masked(model, masks)
    for name, weight in pruning.weights(model).items():
        assert (weight != before[name])[masks[name]].all(), "the optimiser lost the parameters"
    # A second, sparser mask under the same optimiser.
    masks = pruning.prune(model, 0.9)
    train(model, opt, 20, seed=2)
    assert_masked(model, masks)
    assert pruning.sparsity(model) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_masked_weights_have_no_gradient(kind):
    model = masked_model(kind)
    masks = pruning.prune(model, 0.6)
    train(model, torch.optim.SGD(model.parameters(), lr=0.0), 1)
    for (module, _), mask in zip(parameters_of(model), masks.values(), strict=True):
        gradient = module.parametrizations.weight.original.grad
        assert (gradient[~mask] == 0).all()
        assert (gradient[mask] != 0).any()


def test_masks_do_not_change_the_gradient_of_what_is_left():
    model = networks.mlp((64, 20, 10), seed=0)
    dense = copy.deepcopy(model)
    masks = pruning.prune(model, 0.6)
    with torch.no_grad():
        for (module, _), mask in zip(parameters_of(dense), masks.values(), strict=True):
            module.weight *= mask
    for net in (model, dense):
        train(net, torch.optim.SGD(net.parameters(), lr=0.0), 1)
    for (ours, _), (theirs, _), mask in zip(
        parameters_of(model), parameters_of(dense), masks.values(), strict=True
    ):
        expected = theirs.weight.grad * mask
        assert torch.allclose(ours.parametrizations.weight.original.grad, expected, atol=1e-7)


@pytest.mark.parametrize("forward_first", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "conv", "stack"])
def test_a_deep_copy_is_masked_and_independent(kind, forward_first):
    model = masked_model(kind)
    rule = pruning.each(pruning.global_mask) if kind == "stack" else pruning.global_mask
    masks = pruning.prune(model, 0.7, rule=rule)
    x = torch.rand(3, 64) if kind != "stack" else torch.rand(2, 3, 64)
    if forward_first:
        model(x).sum().backward()
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), model(x))
    for name, mask in pruning.masks(twin).items():
        assert torch.equal(mask, masks[name])
    expected = model(x).detach().clone()
    opt = torch.optim.AdamW(twin.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        twin(x).square().sum().backward()
        opt.step()
    assert_masked(twin, masks)
    assert torch.equal(model(x), expected), "training the copy moved the original"
    pruning.prune(twin, 0.9, rule=rule)
    assert pruning.sparsity(model) == pytest.approx(0.7, abs=2e-3)


@pytest.mark.parametrize("kind", ["mlp", "conv", "stack"])
def test_a_state_dict_round_trip_keeps_weights_and_masks(kind):
    model, other = masked_model(kind), masked_model(kind)
    masks = pruning.prune(model, 0.7)
    pruning.prune(other, 0.3, score=functools.partial(pruning.random, seed=5))
    state = copy.deepcopy(model.state_dict())
    other.load_state_dict(state)
    for name, weight in pruning.weights(other).items():
        assert torch.equal(weight, pruning.weights(model)[name])
        assert torch.equal(pruning.masks(other)[name], masks[name])
    if kind != "stack":
        train(other, torch.optim.AdamW(other.parameters(), lr=0.01), 10)
        assert_masked(other, masks)
    # Back to where it was, under masks that had grown since: rewinding.
    pruning.prune(model, 0.9)
    model.load_state_dict(state)
    assert torch.equal(
        pruning.masks(model)["0.weight" if kind != "conv" else "1.weight"],
        masks["0.weight" if kind != "conv" else "1.weight"],
    )


def test_a_weight_that_comes_back_starts_from_zero():
    model = networks.mlp((64, 20, 10), seed=0)
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    train(model, opt, 5)
    masks = pruning.prune(model, 0.5)
    train(model, opt, 3)  # momentum moves the originals of pruned weights
    moved = model[0].parametrizations.weight.original.detach()[~masks["0.weight"]]
    assert (moved != 0).any(), "without this, the test proves nothing"
    before = pruning.weights(model)["0.weight"].clone()
    pruning.apply(model, {name: torch.ones_like(mask) for name, mask in masks.items()})
    assert torch.equal(model[0].weight, before)
    train(model, opt, 3)
    assert (model[0].weight[~masks["0.weight"]] != 0).any()


def test_masks_are_copies():
    model = networks.mlp(SIZES, seed=0)
    pruning.prune(model, 0.5)
    for mask in pruning.masks(model).values():
        mask.fill_(True)
    assert pruning.sparsity(model) == pytest.approx(0.5, abs=0.01)
    assert all(mask.all() for mask in pruning.masks(networks.mlp(SIZES, seed=0)).values())


def test_apply_to_some_layers_leaves_the_others():
    model = networks.mlp(SIZES, seed=0)
    mask = torch.rand(5, 7, generator=torch.manual_seed(0)) > 0.5
    pruning.apply(model, {"2.weight": mask})
    assert type(model[0]) is nn.Linear
    assert torch.equal(model[2].weight != 0, mask)


def test_masked_double_precision_stays_double():
    model = networks.mlp(SIZES, seed=0).double()
    pruning.prune(model, 0.5)
    assert model(torch.rand(2, 6, dtype=torch.float64)).dtype == torch.float64


def test_remove_leaves_plain_zeros():
    for kind in ("mlp", "conv", "stack"):
        model = masked_model(kind)
        masks = pruning.prune(model, 0.7)
        x = torch.rand(2, 3, 64) if kind == "stack" else torch.rand(3, 64)
        expected = model(x)
        assert pruning.remove(model) is model
        assert torch.equal(model(x), expected)
        assert set(model.state_dict()) == set(masked_model(kind).state_dict())
        assert_masked(model, masks)
        assert pruning.sparsity(model) == pytest.approx(0.7, abs=1e-3)
        assert all(mask.all() for mask in pruning.masks(model).values())


@pytest.mark.parametrize("forward_first", [False, True])
def test_removing_the_masks_of_a_copy_leaves_the_original_masked(forward_first):
    model = networks.mlp((64, 20, 10), seed=0)
    masks = pruning.prune(model, 0.7)
    if forward_first:
        model(torch.rand(2, 64))
    twin, other = copy.deepcopy(model), copy.deepcopy(model)
    pruning.remove(twin)
    assert type(twin[0]) is nn.Linear
    for net in (model, other):
        train(net, torch.optim.AdamW(net.parameters(), lr=0.01), 5)
        assert_masked(net, masks)
    pruning.remove(model)
    train(other, torch.optim.AdamW(other.parameters(), lr=0.01), 5)
    assert_masked(other, masks)
    pruning.prune(twin, 0.8)
    assert pruning.sparsity(twin) == pytest.approx(0.8, abs=1e-3)


def test_fit_holds_the_masks():
    splits = data.digits(0)
    model = networks.convnet((4, 6), seed=0)
    masks = pruning.prune(model, 0.8)
    training.fit(model, splits, steps=30, seed=0, weight_decay=0.1, keep="best")
    assert_masked(model, masks)


def test_no_global_generator_is_touched(global_generators):
    model = networks.mlp(SIZES, seed=0)
    pruning.prune(model, 0.5, score=functools.partial(pruning.random, seed=3))
    pruning.remove(copy.deepcopy(model))
    pruning.apply(model, pruning.masks(model))


# --- Schedules ------------------------------------------------------------------------------------


@given(
    initial=st.floats(0, 1), final=st.floats(0, 1), start=st.integers(0, 50),
    length=st.integers(1, 80),
)  # fmt: skip
def test_the_cubic_schedule_is_its_closed_form(initial, final, start, length):
    end = start + length
    due = [
        pruning.cubic_sparsity(t, start=start, end=end, final=final, initial=initial)
        for t in range(end + 5)
    ]
    for t, s in enumerate(due):
        u = min(max((t - start) / length, 0), 1)
        expected = initial * (1 - u) ** 3 + final * (1 - (1 - u) ** 3)
        assert s == pytest.approx(expected, abs=1e-12)
    assert due[0] == pytest.approx(initial, abs=1e-15)
    assert due[end:] == [final] * 5, "exactly the final sparsity at the end, not nearly"
    assert np.all(np.diff(due) * np.sign(final - initial) >= -1e-15)


def test_the_cubic_schedule_prunes_most_at_first():
    # Half-way, seven eighths are gone: 0.8 · (1 − 1/8).
    assert pruning.cubic_sparsity(50, start=0, end=100, final=0.8) == pytest.approx(0.7)


@pytest.mark.parametrize("rule", [pruning.global_mask, pruning.layerwise_mask])
@pytest.mark.parametrize(("start", "end", "every"), [(0, 30, 10), (7, 29, 5), (3, 4, 100)])
def test_gradual_reaches_exactly_the_final_sparsity_and_never_shrinks(rule, start, end, every):
    model, seen = networks.mlp((64, 20, 10), seed=0), []
    prune = pruning.gradual(0.93, start=start, end=end, every=every, rule=rule)
    before = pruning.masks(model)

    def on_step(step, m):
        nonlocal before
        prune(step, m)
        masks = pruning.masks(m)
        assert all(not (masks[name] & ~before[name]).any() for name in masks)
        before = masks
        seen.append(pruning.sparsity(masks))

    training.fit(model, data.digits(0), steps=30, seed=0, on_step=on_step)
    sizes = [mask.numel() for mask in before.values()]
    groups = [sum(sizes)] if rule is pruning.global_mask else sizes
    due, expected = 0.0, []
    for t in range(31):
        if t == end or (start <= t < end and (t - start) % every == 0):
            due = 0.93 * (1 - (1 - (t - start) / (end - start)) ** 3)
        expected.append(sum(round(due * size) for size in groups) / sum(sizes))
    assert seen == expected
    assert seen[-1] == sum(round(0.93 * size) for size in groups) / sum(sizes)


@given(rounds=st.integers(1, 20), rate=st.floats(0, 1))
def test_iterative_sparsities_are_what_repeated_pruning_leaves(rounds, rate):
    left, expected = 1.0, []
    for _ in range(rounds):
        left *= 1 - rate
        expected.append(1 - left)
    assert pruning.iterative_sparsities(rounds, rate) == pytest.approx(expected, abs=1e-12)


def test_iterative_pruning_leaves_what_the_rounds_say():
    model = networks.mlp((64, 20, 10), seed=0)
    for sparsity in pruning.iterative_sparsities(5, 0.2):
        pruning.prune(model, sparsity)
    assert pruning.density(model) == pytest.approx(0.8**5, abs=1e-3)


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "conv", "stack", "batch norm"])
@pytest.mark.parametrize("was_masked", [False, True])
def test_a_saved_network_comes_back_in_a_fresh_one(kind, was_masked, tmp_path):
    def build():
        return batch_norm_net(0) if kind == "batch norm" else masked_model(kind)

    model, fresh = build(), build()
    networks_of = {"batch norm": (16, 3)}.get(kind, (64, 10))
    masks = pruning.prune(model, 0.6)
    if kind != "stack":
        opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        train(model, opt, 10, *networks_of)
    if was_masked:
        pruning.prune(fresh, 0.9, score=functools.partial(pruning.random, seed=8))
    pruning.save(model, tmp_path / "model.safetensors")
    assert pruning.load(fresh, tmp_path / "model.safetensors") is fresh
    model.eval()
    fresh.eval()
    x = torch.rand(*((2,) if kind == "stack" else ()), 4, networks_of[0])
    assert torch.equal(fresh(x), model(x))
    for name, mask in pruning.masks(fresh).items():
        assert torch.equal(mask, masks[name])
    if kind != "stack":
        fresh.train()
        train(fresh, torch.optim.AdamW(fresh.parameters(), lr=0.01), 10, *networks_of)
        assert_masked(fresh, masks)


def test_an_unmasked_network_is_saved_without_masks(tmp_path):
    model, fresh = networks.mlp(SIZES, seed=1), networks.mlp(SIZES, seed=2)
    pruning.save(model, tmp_path / "dense.safetensors")
    pruning.load(fresh, tmp_path / "dense.safetensors")
    assert type(fresh[0]) is nn.Linear
    assert torch.equal(fresh[2].weight, model[2].weight)


def test_pruned_weights_are_zero_in_the_file_too(tmp_path):
    import safetensors.torch

    model = networks.mlp((64, 20, 10), seed=0)
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    train(model, opt, 5)
    masks = pruning.prune(model, 0.5)
    train(model, opt, 5)
    pruning.save(model, tmp_path / "m.safetensors")
    stored = safetensors.torch.load_file(tmp_path / "m.safetensors")
    assert set(stored) == {
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
        "mask:0.weight",
        "mask:2.weight",
    }
    for name, mask in masks.items():
        assert torch.equal(stored[name] != 0, mask)
        assert torch.equal(stored["mask:" + name], mask)


def test_a_wrong_file_or_another_architecture_is_refused_and_changes_nothing(tmp_path):
    model = networks.mlp(SIZES, seed=0)
    before = copy.deepcopy(model.state_dict())
    (tmp_path / "text").write_text("not a network")
    with pytest.raises(ValueError, match=r"is not a file of pruning\.save"):
        pruning.load(model, tmp_path / "text")
    for other in (networks.mlp((6, 8, 5, 4), seed=0), networks.convnet((4,), seed=0)):
        pruning.prune(other, 0.5)
        pruning.save(other, tmp_path / "other")
        with pytest.raises(ValueError, match="holds another network: 0.weight is"):
            pruning.load(model, tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        pruning.load(model, tmp_path / "nothing")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [pruning.global_mask, pruning.layerwise_mask])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf"), "0.5", True, None])
def test_a_bad_sparsity(rule, share):
    with pytest.raises(ValueError) as error:
        rule(pruning.magnitude(networks.mlp(SIZES, seed=0)), share)
    assert f"sparsity is a share in [0, 1], for example 0.9 for 90%; got {share!r}" in str(
        error.value
    )


@pytest.mark.parametrize("share", [0, 1, np.float32(0.5), np.float64(0.5)])
def test_numbers_of_other_types_are_shares(share):
    model = networks.mlp(SIZES, seed=0)
    pruning.prune(model, share)
    assert pruning.sparsity(model) == pytest.approx(float(share), abs=0.01)


@pytest.mark.parametrize("rule", [pruning.global_mask, pruning.layerwise_mask])
def test_bad_scores(rule):
    good = torch.rand(3, 4)
    bad = good.clone()
    bad[1, 2] = float("nan")
    cases = [
        ({}, "scores are empty"),
        ({"a": torch.rand(0, 3)}, "scores are empty"),
        ({"a": good, "b": bad}, "the scores of b hold NaN"),
        ({"a": -good / 0}, "the scores of a hold −∞"),
        ({"a": torch.arange(4)}, "the scores of a must be floating point"),
    ]
    for scores, message in cases:
        with pytest.raises(ValueError) as error:
            rule(scores, 0.5)
        assert message in str(error.value)


@pytest.mark.parametrize("rule", [pruning.global_mask, pruning.layerwise_mask])
def test_less_than_is_pruned_already_is_refused(rule):
    model = networks.mlp(SIZES, seed=0)
    pruning.prune(model, 0.5, rule=rule)
    with pytest.raises(ValueError, match=r"are pruned already; sparsity counts from the dense"):
        pruning.prune(model, 0.3, rule=rule)


def masks_with(name="0.weight", shape=(7, 6), dtype=torch.bool):
    return {name: torch.ones(shape, dtype=dtype)}


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (masks_with("typo"), "masks may name ['0.weight', '2.weight', '4.weight']; got ['typo']"),
        (
            masks_with(shape=(6, 7)),
            "boolean of shape (7, 6); got torch.bool of shape (6, 7)",
        ),
        (masks_with(dtype=torch.float32), "got torch.float32"),
        (masks_with(dtype=torch.uint8), "got torch.uint8"),
        (masks_with("2.weight"), "the mask of 2.weight must be boolean of shape (5, 7)"),
    ],
)
def test_bad_masks(masks, message):
    model = networks.mlp(SIZES, seed=0)
    with pytest.raises(ValueError) as error:
        pruning.apply(model, masks)
    assert message in str(error.value)
    assert type(model[0]) is nn.Linear


def test_bad_masks_within():
    scores = pruning.magnitude(networks.mlp(SIZES, seed=0))
    for rule in (pruning.global_mask, pruning.layerwise_mask):
        with pytest.raises(ValueError, match="masks must name"):
            rule(scores, 0.5, within=masks_with())
    stacked = pruning.magnitude(networks.stack([networks.mlp((6, 4), seed=s) for s in (0, 1)]))
    each = pruning.each(pruning.global_mask)
    with pytest.raises(ValueError, match=r"must be boolean of shape \(2, 4, 6\)"):
        each(stacked, 0.5, within=masks_with(shape=(1, 4, 6)))
    with pytest.raises(ValueError, match="as many rows in every score"):
        each(scores, 0.5)
    with pytest.raises(ValueError, match="as many rows in every score"):
        each({"a": torch.tensor(1.0)}, 0.5)


def test_random_scores_need_a_seed_for_each_network_of_a_stack():
    stacked = networks.stack([networks.mlp((6, 4), seed=s) for s in (0, 1)])
    for model, seeds in ((stacked, [1, 2, 3]), (networks.mlp((2, 2), seed=0), [1, 2])):
        with pytest.raises(ValueError, match="one seed for each network"):
            pruning.random(model, seed=seeds)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pruning.weights(nn.Sequential(nn.ReLU())), "no linear or convolutional layer"),
        (lambda: pruning.prune(nn.Sequential(nn.ReLU()), 0.5), "nothing to prune"),
        (lambda: pruning.sparsity({}), "no weights to count"),
        (lambda: pruning.cubic_sparsity(0, start=5, end=5, final=0.9), "end comes after start"),
        (lambda: pruning.cubic_sparsity(0, start=0, end=7.5, final=0.9), "end=7.5"),
        (lambda: pruning.cubic_sparsity(0, start=0, end=5, final=1.9), "final is a share"),
        (
            lambda: pruning.cubic_sparsity(0, start=0, end=5, final=0.9, initial=-1),
            "initial is a share",
        ),
        (lambda: pruning.gradual(0.9, start=0, end=5, every=0), "every must be a whole number"),
        (lambda: pruning.gradual(90, start=0, end=5), "final is a share in [0, 1]"),
        (lambda: pruning.gradual(0.9, start=5, end=0), "end comes after start"),
        (lambda: pruning.iterative_sparsities(0, 0.2), "rounds must be a whole number"),
        (lambda: pruning.iterative_sparsities(2.5, 0.2), "got 2.5"),
        (lambda: pruning.iterative_sparsities(3, 20), "rate is a share in [0, 1]"),
    ],
)  # fmt: skip
def test_other_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_random_scores_share_nothing_with_the_weights_of_the_same_seed(seed):
    """From one stream, uniform and normal numbers would go together: a mask by chance would not be
    one, because it would prefer weights that started large or negative."""
    model = networks.mlp((64, 300, 100, 10), seed=seed)
    weight = torch.cat([w.detach().flatten() for w in pruning.weights(model).values()])
    score = torch.cat([s.flatten() for s in pruning.random(model, seed=seed).values()])
    both = torch.stack([score, weight, weight.abs()])
    assert torch.corrcoef(both)[0, 1:].abs().max() < 4 / len(score) ** 0.5


# --- Shuffling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["smallest", "random"])
def test_a_shuffle_keeps_the_weights_of_each_layer_and_moves_a_share_of_them(which):
    model = networks.mlp((7, 11, 5), seed=4)
    before = {name: w.clone() for name, w in pruning.weights(model).items()}
    pruning.shuffle(model, 0.4, seed=9, which=which)
    for name, weight in pruning.weights(model).items():
        old, new = before[name].flatten(), weight.flatten()
        assert torch.equal(old.sort().values, new.sort().values)
        moved = old != new
        assert 0 < moved.sum() <= round(0.4 * len(old))
        largest = old.abs() > old.abs().sort().values[round(0.4 * len(old)) - 1]
        assert (moved & largest).any() == (which == "random")


def test_the_seed_of_a_shuffle_draws_it():
    def shuffled(seed, share=0.5):
        model = networks.mlp((7, 11, 5), seed=4)
        pruning.shuffle(model, share, seed=seed)
        return torch.cat([w.flatten() for w in pruning.weights(model).values()])

    assert torch.equal(shuffled(1), shuffled(1))
    assert not torch.equal(shuffled(1), shuffled(2))
    assert torch.equal(shuffled(1, share=0.0), shuffled(2, share=0.0))
    with pytest.raises(ValueError, match='which is "smallest" or "random"; got \'largest\''):
        pruning.shuffle(networks.mlp((7, 5), seed=4), 0.5, seed=0, which="largest")
