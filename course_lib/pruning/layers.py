"""What all of pruning shares: which layers have weights to prune, and checks of input."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.networks import StackedLinear

Scores = Mapping[str, Tensor]
Masks = dict[str, Tensor]
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, StackedLinear)


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose weights can be pruned, by the name of the weight."""
    return {
        f"{name}.weight" if name else "weight": module
        for name, module in model.named_modules()
        if isinstance(module, PRUNABLE)
    }


def plain_name(name: str) -> str:
    """Return the name that a parameter has without a mask: that of a masked one names the mask."""
    return name.replace("parametrizations.", "").removesuffix(".original")


def check_share(name: str, value: float) -> None:
    """Raise a ValueError unless a value is a number in [0, 1]."""
    is_number = isinstance(value, float | int | np.number) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ValueError(f"{name} is a share in [0, 1], for example 0.9 for 90%; got {value!r}")


def check_masks(masks: Masks, shapes: Mapping[str, torch.Size]) -> None:
    """Raise a ValueError unless there is a boolean mask of each shape."""
    if set(masks) != set(shapes):
        raise ValueError(f"masks must name {sorted(shapes)}; got {sorted(masks)}")
    for name, mask in masks.items():
        if mask.dtype != torch.bool or mask.shape != shapes[name]:
            raise ValueError(
                f"the mask of {name} must be boolean of shape {tuple(shapes[name])}; "
                f"got {mask.dtype} of shape {tuple(mask.shape)}"
            )
