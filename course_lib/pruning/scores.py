"""What to remove: a score for each weight. The lowest go first.

Scores are a plain dictionary of tensors by parameter name, of the weights' shapes.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from course_lib.networks import StackedLinear
from course_lib.pruning.layers import prunable


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that can be pruned, by parameter name, detached, as the network uses them.

    These are the weights of linear and convolutional layers. Biases are never pruned: there are
    few of them, and a missing bias changes what a neuron does for every input.

    Raises:
        ValueError: if the model has no such layer.
    """
    found = {name: module.weight.detach() for name, module in prunable(model).items()}
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no linear or convolutional layer, so nothing to prune"
        )
    return found


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Score each of the `weights` by its absolute value (Han et al. 2015, 1506.02626)."""
    return {name: weight.abs() for name, weight in weights(model).items()}


def random(model: nn.Module, *, seed: int | Sequence[int]) -> dict[str, Tensor]:
    """Score each weight by chance, s ~ U(0, 1): the control of every other score.

    The same seed gives the same scores, so that masks of growing sparsity are nested. A stack of
    S networks takes S seeds, and scores each network as it would be scored alone.

    Raises:
        ValueError: if the number of seeds is not the number of networks.
    """

    def draw(shapes: Mapping[str, torch.Size], seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}

    found = weights(model)
    shapes = {name: weight.shape for name, weight in found.items()}
    if isinstance(seed, Sequence):
        stacked = {len(m.weight) for m in prunable(model).values() if isinstance(m, StackedLinear)}
        if stacked != {len(seed)}:
            raise ValueError(f"a stack takes one seed for each network; got {len(seed)} seeds")
        rows = [draw({name: shape[1:] for name, shape in shapes.items()}, one) for one in seed]
        drawn = {name: torch.stack([row[name] for row in rows]) for name in shapes}
    else:
        drawn = draw(shapes, seed)
    return {name: score.to(found[name].device) for name, score in drawn.items()}
