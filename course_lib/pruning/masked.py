"""Networks that compute with m ⊙ W: put masks on, read them, take them off."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_lib.pruning.layers import Masks, Scores, check_masks, prunable
from course_lib.pruning.rules import global_mask
from course_lib.pruning.scores import magnitude, weights


class Masked(nn.Module):
    """The parametrisation W ↦ m ⊙ W, which keeps pruned weights at exactly zero.

    The optimiser moves the original W, and momentum or weight decay may move it where m is zero;
    what the network computes with, and what is saved, is the product. `mask` has the dtype of the
    weight, because a product of floats is faster than a choice by booleans, and its layout in
    memory, because a product of different layouts is slower.
    """

    def __init__(self, mask: Tensor, weight: Tensor):
        super().__init__()
        self.register_buffer("mask", torch.empty_like(weight).copy_(mask))

    def forward(self, weight: Tensor) -> Tensor:
        """Return m ⊙ W, of the shape of W."""
        return self.mask * weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return an original whose product is this weight where nothing is pruned."""
        return self.mask * weight


def apply(model: nn.Module, masks: Masks) -> nn.Module:
    """Put masks on a model, in place, and return it. Masks that it had are replaced.

    The parameters stay the same objects, so an optimiser that holds them goes on working. A
    weight that an earlier mask had pruned and this one keeps starts again from zero.

    Args:
        model: a network; layers that `masks` does not name stay as they are.
        masks: booleans by parameter name, True where a weight stays.

    Raises:
        ValueError: if a mask is not boolean, or has no layer of its shape.
    """
    layers = prunable(model)
    shapes = {name: module.weight.shape for name, module in layers.items()}
    if not set(masks) <= set(shapes):
        raise ValueError(f"masks may name {sorted(shapes)}; got {sorted(set(masks) - set(shapes))}")
    check_masks(masks, {name: shape for name, shape in shapes.items() if name in masks})
    for name, mask in masks.items():
        module = layers[name]
        mask = mask.to(module.weight.device)
        if mask_of(module) is None:
            masked = Masked(mask, module.weight.detach())
            parametrize.register_parametrization(module, "weight", masked)
        else:
            # Momentum may have moved the original where the old mask was zero: start from zero.
            module.parametrizations.weight.original.data *= mask_of(module) * mask
            mask_of(module).copy_(mask)
    return model


def masks(model: nn.Module) -> Masks:
    """Return copies of the masks that a model carries; all True for layers without one."""
    return {
        name: (
            torch.ones_like(module.weight, dtype=torch.bool)
            if mask_of(module) is None
            else mask_of(module).bool()
        )
        for name, module in prunable(model).items()
    }


def prune(
    model: nn.Module,
    sparsity: float | Mapping[str, float],
    *,
    score: Callable[[nn.Module], Scores] = magnitude,
    rule: Callable[..., Masks] = global_mask,
) -> Masks:
    """Prune a model in place, one-shot: score, choose, mask. Return the masks.

    Args:
        model: a network, masked or not. What is pruned stays pruned.
        sparsity: share of its prunable weights that are zero afterwards, counted from dense.
        score: gives each weight a score, for example `magnitude`.
        rule: `global_mask`, `layerwise_mask`, or `each` of them for a stack.

    Raises:
        ValueError: as the rule does.
    """
    chosen = rule(score(model), sparsity, within=masks(model))
    apply(model, chosen)
    return chosen


def remove(model: nn.Module) -> nn.Module:
    """Make the masks permanent, in place: plain parameters with zeros in them, no masks.

    Further training would move these zeros. The parameters may be new objects; make the optimiser
    anew.
    """
    for module in prunable(model).values():
        if mask_of(module) is not None:
            # PyTorch keeps the parametrisation in the module's class, which a deep copy shares:
            # taken out of there, it would be gone from the other network too.
            shared = type(module)
            module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return model


def sparsity(of: nn.Module | Masks) -> float:
    """Return the share of zeros: of the prunable weights of a model, or of False in masks."""
    tensors = list((weights(of) if isinstance(of, nn.Module) else of).values())
    n = sum(t.numel() for t in tensors)
    if n == 0:
        raise ValueError("there are no weights to count")
    return sum(int((t == 0).sum()) for t in tensors) / n


def density(of: nn.Module | Masks) -> float:
    """Return the share that is left, 1 − `sparsity`."""
    return 1 - sparsity(of)


def mask_of(module: nn.Module) -> Tensor | None:
    """Return the mask in a layer, in the dtype of its weight, or None."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    first = module.parametrizations.weight[0]
    return first.mask if isinstance(first, Masked) else None
