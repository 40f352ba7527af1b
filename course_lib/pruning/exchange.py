"""Masked networks elsewhere: in files, and in PyTorch's own `torch.nn.utils.prune`."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from course_lib import files
from course_lib.pruning.layers import Masks, prunable
from course_lib.pruning.masked import apply, remove
from course_lib.pruning.masked import masks as masks_of
from course_lib.pruning.scores import weights

# --- Files ----------------------------------------------------------------------------------------


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


# --- torch.nn.utils.prune -------------------------------------------------------------------------


def to_torch(model: nn.Module, masks: Masks | None = None) -> nn.Module:
    """Return a copy of a model whose masks are those of `torch.nn.utils.prune`.

    Each masked layer has the parameter `weight_orig`, the buffer `weight_mask` (1 where a weight
    stays) and a hook that multiplies them before each forward pass.

    Args:
        model: a network, masked or not.
        masks: booleans by parameter name; by default those that the model carries. Layers without
            a mask, or with one that keeps all, stay plain.

    Raises:
        ValueError: as `apply`.
    """
    masked = copy.deepcopy(model)
    if masks is not None:
        apply(masked, masks)
    found = masks_of(masked)
    remove(masked)
    for name, layer in prunable(masked).items():
        if not found[name].all():
            torch_prune.custom_from_mask(layer, "weight", found[name])
    return masked


def from_torch(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose `torch.nn.utils.prune` masks are masks of this library.

    Raises:
        ValueError: if something else than the weight of a linear or convolutional layer is pruned,
            a bias for example.
    """
    layers = prunable(model)
    found = {
        name: layer.weight_mask.bool()
        for name, layer in layers.items()
        if hasattr(layer, "weight_mask")
    }
    pruned = {name for name, _ in model.named_parameters() if name.endswith("_orig")}
    if others := pruned - {f"{name}_orig" for name in found}:
        raise ValueError(
            "only the weights of linear and convolutional layers take masks here; the model has "
            f"others, {sorted(others)}: make them permanent with torch.nn.utils.prune.remove"
        )
    # After a forward pass, PyTorch cannot copy the product that stands in `weight`: hand it over.
    products = {id(layers[name].weight): layers[name].weight.detach().clone() for name in found}
    plain = copy.deepcopy(model, memo=products)
    for name, layer in prunable(plain).items():
        if name in found:
            torch_prune.remove(layer, "weight")
    return apply(plain, found)


# --- Private --------------------------------------------------------------------------------------


def _plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a model by the names that it has without masks."""
    return {
        name.replace("parametrizations.", "").removesuffix(".original"): value
        for name, value in model.state_dict().items()
        if not name.endswith("parametrizations.weight.0.mask")
    }
