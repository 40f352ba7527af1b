"""Masks to and from `torch.nn.utils.prune`."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from course_lib import networks, pruning


def build(kind):
    model = {
        "mlp": lambda: networks.mlp((64, 20, 10), seed=0),
        "conv": lambda: networks.convnet((4, 6), seed=0),
        "stack": lambda: networks.stack([networks.mlp((64, 9, 10), seed=s) for s in (0, 1)]),
        "one layer": lambda: networks.mlp((64, 10), seed=0)[0],
    }[kind]()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    return model


def inputs(kind):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*((2,) if kind == "stack" else ()), 3, 64, generator=generator)


def train(model, x, steps=5):
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        opt.zero_grad()
        model(x).square().mean().backward()
        opt.step()


KINDS = ["mlp", "conv", "stack", "one layer"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [False, True])
def test_to_torch_makes_what_torch_makes_and_trains_alike(kind, given):
    model, x = build(kind), inputs(kind)
    masks = pruning.global_mask(
        pruning.random(build(kind), seed=3 if kind != "stack" else [3, 4]), 0.6
    )
    if not given:
        pruning.apply(model, masks)
    theirs = pruning.to_torch(model, masks if given else None)
    assert torch_prune.is_pruned(theirs)
    for (name, mask), layer in zip(
        masks.items(),
        [m for m in theirs.modules() if isinstance(m, pruning.PRUNABLE)],
        strict=True,
    ):
        assert torch.equal(layer.weight_mask.bool(), mask)
        assert isinstance(layer.weight_orig, nn.Parameter), name
    pruning.apply(model, masks)
    assert torch.equal(theirs(x), model(x))
    train(model, x)
    train(theirs, x)
    assert torch.allclose(theirs(x), model(x), atol=1e-6)
    assert all((w[~masks[name]] == 0).all() for name, w in pruning.weights(model).items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forward_first", [False, True])
def test_from_torch_keeps_outputs_and_masks_after_training_too(kind, forward_first):
    """PyTorch's own copy of a pruned model fails after a forward pass (pytorch 37322)."""
    theirs, x = build(kind), inputs(kind)
    for module in theirs.modules():
        if isinstance(module, pruning.PRUNABLE):
            half = torch.randperm(module.weight.numel(), generator=torch.manual_seed(3)) % 2 == 0
            torch_prune.custom_from_mask(module, "weight", half.view(module.weight.shape))
    if forward_first:
        train(theirs, x)
        with pytest.raises(RuntimeError):
            copy.deepcopy(theirs)
    state = copy.deepcopy(theirs.state_dict())
    ours = pruning.from_torch(theirs)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    assert not any("_orig" in name or "_mask" in name for name in ours.state_dict())
    for name, mask in pruning.masks(ours).items():
        assert torch.equal(mask, state[f"{name}_mask"].bool())
        assert not mask.all()
    train(ours, x)
    assert pruning.sparsity(ours) == pytest.approx(0.5, abs=0.01)
    assert all(torch.equal(state[name], value) for name, value in theirs.state_dict().items())
    if forward_first:
        theirs(x).sum().backward()  # the given model goes on working


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_again(kind):
    model, x = build(kind), inputs(kind)
    names = list(pruning.weights(model))
    pruning.prune(model, dict.fromkeys(names, 0.0) | {names[-1]: 0.7}, rule=pruning.layerwise_mask)
    theirs = pruning.to_torch(model)
    pruned = [
        hasattr(m, "weight_mask") for m in theirs.modules() if isinstance(m, pruning.PRUNABLE)
    ]
    assert pruned == [False] * (len(names) - 1) + [True], "a mask that keeps all is none"
    again = pruning.from_torch(theirs)
    assert torch.equal(again(x), model(x))
    for name, mask in pruning.masks(again).items():
        assert torch.equal(mask, pruning.masks(model)[name])
    if kind in ("mlp", "conv"):
        assert torch.allclose(pruning.shrink(again)(x), model(x), atol=1e-5)


def test_a_plain_model_passes_through_unchanged():
    model = build("mlp")
    for convert in (pruning.to_torch, pruning.from_torch):
        other = convert(model)
        assert other is not model
        assert set(other.state_dict()) == set(model.state_dict())
        assert all(torch.equal(model.state_dict()[n], v) for n, v in other.state_dict().items())


def test_bad_input():
    model = build("mlp")
    with pytest.raises(ValueError, match="must be boolean of shape"):
        pruning.to_torch(model, {"0.weight": torch.ones(2, 2, dtype=torch.bool)})
    prune = functools.partial(torch_prune.random_unstructured, amount=0.5)
    prune(model[0], "bias")
    with pytest.raises(ValueError, match=r"others, \['0.bias_orig'\]"):
        pruning.from_torch(model)
    normed = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    prune(normed[1], "weight")
    with pytest.raises(ValueError, match=r"\['1.weight_orig'\]"):
        pruning.from_torch(normed)
