"""Reaching into a network: its parts, and what they put out, without leaving a trace in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model into `eval` mode for a while; each of its parts then goes back to its own mode.

    `model.train(was_training)` would not do: a part that was frozen in `eval` mode would train.
    """
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield model
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def substitute(
    model: nn.Module, layer: str | nn.Module, function: Callable[[Tensor], Tensor]
) -> Iterator[nn.Module]:
    """Within the `with`, replace what a layer puts out by `function` of it.

    Raises:
        ValueError: if there is no such layer, or it puts out something else than one tensor.
    """

    def hook(module, inputs, output):
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer {layer!r} puts out {type(output).__name__}, not one tensor: name a part "
                "of it that does"
            )
        return function(output)

    handle = part(model, layer).register_forward_hook(hook)
    try:
        yield model
    finally:
        handle.remove()


def part(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """Return a part of a model by its name, or the part itself if it is one.

    Raises:
        ValueError: if the model has no such part.
    """
    parts = dict(model.named_modules())
    if isinstance(layer, nn.Module):
        if not any(layer is part for part in parts.values()):
            raise ValueError(f"the layer {layer} is no part of the model")
        return layer
    if layer not in parts:
        raise ValueError(f"the model has no layer {layer!r}; it has {[n for n in parts if n]}")
    return parts[layer]


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's parameters or buffers are; the CPU if it has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
