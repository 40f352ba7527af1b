"""Barriers: does the line between two trained networks pass through worse ones?"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib import networks, pruning, training
from course_lib.checks import check_whole
from course_lib.data import Split


class Barrier(NamedTuple):
    """What `barrier` found: `alpha` `(n,)`, from 0 to 1, `error` `(n,)` in percent, and `height`.

    `height` is the largest error on the line minus the mean of the errors at its ends, in
    percentage points. The ends are on the line, so it is at least half of what they differ by.
    """

    alpha: Tensor
    error: Tensor
    height: float


def barrier(a: nn.Module, b: nn.Module, split: Split, *, points: int = 11) -> Barrier:
    """Measure the error along the line between two networks, θ(α) = (1 − α) θ_a + α θ_b.

    The barrier's height is max_α E(θ(α)) − (E(θ_a) + E(θ_b)) / 2 (Frankle et al. 2020, 1912.05671,
    who call it linear interpolation instability). Where it is near zero, the two are linearly
    connected: trainings that differ by the order of the batches alone ended in one basin.

    Args:
        a, b: classifiers of one shape, masked or plain; they stay as they are. Where both masks
            prune, the line stays at zero.
        split: where the error is measured.
        points: how many networks on the line, both ends included, at least 3.

    Raises:
        ValueError: if the networks differ in shape or hold batch norm, whose statistics would have
            to be measured anew for each point, or as `training.accuracy`.
    """
    check_whole("points", points, low=3)
    ends = [pruning.remove(copy.deepcopy(model)) for model in (a, b)]
    states = [model.state_dict() for model in ends]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if shapes[0] != shapes[1]:
        raise ValueError("a line needs two networks of one shape; these differ in their parameters")
    if any(isinstance(module, nn.modules.batchnorm._NormBase) for module in ends[0].modules()):
        raise ValueError(
            "the networks have batch norm, and a mean of two sets of statistics is not that of "
            "the network between: no barrier is measured"
        )
    alpha = torch.linspace(0, 1, points)
    line = [copy.deepcopy(ends[0]) for _ in alpha]
    for model, share in zip(line, alpha.tolist(), strict=True):
        first, second = states
        model.load_state_dict({n: (1 - share) * first[n] + share * second[n] for n in first})
    error = 100 - torch.tensor(accuracies(line, split), dtype=torch.float64)
    return Barrier(alpha, error, float(error.max() - (error[0] + error[-1]) / 2))


def accuracies(models: list[nn.Module], split: Split) -> list[float]:
    """Return the accuracy of each network in percent, as one stack where that can be."""
    try:
        stacked = networks.stack(models)
    except ValueError:
        return [training.accuracy(model, split) for model in models]
    return training.accuracy(stacked, [split] * len(models))
