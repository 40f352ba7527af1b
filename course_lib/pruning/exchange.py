"""Masked networks in files."""

from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib import files
from course_lib.pruning.layers import plain_name
from course_lib.pruning.masked import apply, remove
from course_lib.pruning.masked import masks as masks_of
from course_lib.pruning.scores import weights


def save(model: nn.Module, path: str | Path) -> None:
    """Write the weights as the network uses them, and its masks, to a safetensors file.

    A mask is stored beside its weight, as booleans named `mask:` and the weight's name; one that
    keeps all is left out.

    Raises:
        ValueError, OSError: as `files.whole`, if nothing can be written there.
    """
    tensors = _plain_state(model) | weights(model)
    tensors |= {"mask:" + n: m for n, m in masks_of(model).items() if not m.all()}
    files.write_tensors(path, tensors)


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill a network of the same shape from a file of `save`, masks included; return it.

    Raises:
        ValueError: if the file is not one of `save`, or its names, shapes and dtypes are not the
            model's; the model stays as it was.
        FileNotFoundError: if there is no such file.
    """
    tensors, _ = files.read_tensors(path, of="pruning.save")
    found = {n.removeprefix("mask:"): t for n, t in tensors.items() if n.startswith("mask:")}
    state = {n: t for n, t in tensors.items() if not n.startswith("mask:")}
    as_masks = {
        "mask:" + name: torch.empty_like(weight, dtype=torch.bool, device="meta")
        for name, weight in weights(model).items()
        if name in found
    }
    expected = _plain_state(model) | as_masks
    files.check_tensors(f"{path} holds another network", tensors, expected)
    remove(model)
    model.load_state_dict(state)
    return apply(model, found)


def _plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a model by the names that it has without masks."""
    return {
        plain_name(name): value
        for name, value in model.state_dict().items()
        if not name.endswith("parametrizations.weight.0.mask")
    }
