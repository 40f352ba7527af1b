"""Masked networks elsewhere: in files, and in PyTorch's own `torch.nn.utils.prune`."""

import copy
from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from course_lib.pruning.layers import Masks, prunable
from course_lib.pruning.masked import apply, remove
from course_lib.pruning.masked import masks as masks_of
from course_lib.pruning.scores import weights

# --- Files ----------------------------------------------------------------------------------------


def save(model: nn.Module, path: str | Path) -> None:
    """Write the weights as the network uses them, and its masks, to a safetensors file."""
    tensors = {
        name.replace("parametrizations.", "").removesuffix(".original"): value
        for name, value in model.state_dict().items()
        if not _is_mask(name)
    }
    tensors |= weights(model)
    tensors |= {"mask:" + n: m for n, m in masks_of(model).items() if not m.all()}
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path)


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill a network of the same shape from a file of `save`, masks included; return it.

    Raises:
        ValueError: if the file is not one of `save`, or its names and shapes are not the model's.
        FileNotFoundError: if there is no such file.
    """
    try:
        tensors = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a file of pruning.save: {error}") from error
    found = {n.removeprefix("mask:"): t for n, t in tensors.items() if n.startswith("mask:")}
    state = {n: t for n, t in tensors.items() if not n.startswith("mask:")}
    expected = {
        name.replace("parametrizations.", "").removesuffix(".original"): tuple(value.shape)
        for name, value in model.state_dict().items()
        if not _is_mask(name)
    }
    got = {name: tuple(value.shape) for name, value in state.items()}
    if got != expected:
        differing = sorted(set(got.items()) ^ set(expected.items()))
        raise ValueError(f"{path} holds another network; names and shapes differ at {differing}")
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


def _is_mask(state_name: str) -> bool:
    return state_name.endswith("parametrizations.weight.0.mask")
