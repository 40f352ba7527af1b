"""Shuffling: which weights matter for being the ones they are, and not only for being there."""

import torch
from torch import nn

from course_lib.pruning.rules import layerwise_mask
from course_lib.pruning.scores import magnitude, random


def shuffle(model: nn.Module, share: float, *, seed: int, which: str = "smallest") -> None:
    """Permute a share of each layer's weights among themselves, in place.

    Chapter 01 introduces it: a shuffled weight keeps its size and loses its place.

    Args:
        model: its prunable weights are permuted.
        share: of each layer's weights, from 0 to 1.
        seed: draws the permutation, and the weights where they are random ones.
        which: "smallest", by magnitude, or "random".

    Raises:
        ValueError: if `share` is outside [0, 1] or `which` is neither.
    """
    if which not in ("smallest", "random"):
        raise ValueError(f'which is "smallest" or "random"; got {which!r}')
    scores = magnitude(model) if which == "smallest" else random(model, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, keep in layerwise_mask(scores, share).items():
        weight = model.get_parameter(name).data
        chosen = (~keep).flatten().nonzero().squeeze(1)
        order = torch.randperm(len(chosen), generator=generator).to(chosen.device)
        flat = weight.flatten().clone()
        flat[chosen] = flat[chosen[order]]
        weight.copy_(flat.view(weight.shape))
