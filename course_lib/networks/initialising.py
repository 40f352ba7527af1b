"""First weights, drawn from a seed."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from course_lib.checks import check_whole
from course_lib.networks.stacking import StackedLinear


def initialise(model: nn.Module, *, seed: int) -> nn.Module:
    """Draw all weights anew, in place, from a generator of its own, and return the model.

    Weights of linear and convolutional layers are He-normal, W ~ N(0, 2 / fan_in) (He et al.
    2015, equation 10); their biases are zero. Modules of other kinds are left as they are. Masks
    stay on: a pruned weight is still zero afterwards, and the others are those that the network
    would have without the mask.

    Raises:
        ValueError: if the model is a stack (initialise its networks before stacking them), or the
            seed is not a whole number from 0 on.
    """
    if any(isinstance(module, StackedLinear) for module in model.modules()):
        raise ValueError("a stack is initialised before stacking, each network from its own seed")
    check_whole("seed", seed, low=0)
    generator = torch.Generator().manual_seed(int(seed))
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            weight = torch.empty(module.weight.shape, dtype=module.weight.dtype)
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
            if parametrize.is_parametrized(module, "weight"):
                module.weight = weight.to(module.weight.device)  # through the mask
            else:
                module.weight.data.copy_(weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
