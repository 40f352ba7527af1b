"""Masked networks elsewhere: in files."""

from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from course_lib.pruning.masked import apply, masks, remove
from course_lib.pruning.scores import weights


def save(model: nn.Module, path: str | Path) -> None:
    """Write the weights as the network uses them, and its masks, to a safetensors file."""
    tensors = {
        name.replace("parametrizations.", "").removesuffix(".original"): value
        for name, value in model.state_dict().items()
        if not _is_mask(name)
    }
    tensors |= weights(model)
    tensors |= {"mask:" + n: m for n, m in masks(model).items() if not m.all()}
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


def _is_mask(state_name: str) -> bool:
    return state_name.endswith("parametrizations.weight.0.mask")
