"""Nulls: how sparse a layer would be if its pre-activations were Gaussian noise.

A ReLU alone makes half of the entries zero. What a metric says about a network is to be held
against what it says about the same activation function on noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import seeds
from course_lib.checks import check_whole
from course_lib.probes.metrics import Metric


class Null(NamedTuple):
    """A metric's mean over vectors of noise, and its standard deviation between them."""

    mean: float
    std: float


def gaussian(
    d: int,
    n: int,
    *,
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    activation: Callable[[Tensor], Tensor] | None = None,
    seed: int,
) -> Tensor:
    """Return n vectors of noise, float64 `(n, d)`: activation(mean + std · z), z ~ N(0, 1).

    Args:
        d: the width of the layer.
        n: how many vectors.
        mean: of the layer's pre-activations: one number, or one for each unit, `(d,)`.
        std: their standard deviation, alike.
        activation: the layer's, for example `torch.relu`; none for the plain Gaussian.
        seed: draws the noise.

    Raises:
        ValueError: if a number is out of range, or `mean` or `std` does not fit.
    """
    check_whole("d", d)
    check_whole("n", n)
    mean = torch.as_tensor(mean, dtype=torch.float64).detach().cpu()
    std = torch.as_tensor(std, dtype=torch.float64).detach().cpu()
    for name, value in (("mean", mean), ("std", std)):
        if value.shape not in ((), (d,)) or not torch.isfinite(value).all():
            raise ValueError(
                f"{name} is one finite number or {d} of them, one for each unit; got {value!r:.100}"
            )
    if (std < 0).any():
        raise ValueError(f"std must be at least 0; got {float(std.min())}")
    draw = seeds.generator(seed, "null")
    z = mean + std * torch.randn(n, d, generator=draw, dtype=torch.float64)
    return z if activation is None else activation(z)


def null(
    metric: Metric,
    d: int,
    *,
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    activation: Callable[[Tensor], Tensor] | None = None,
    n: int = 1000,
    seed: int = 0,
) -> Null:
    """Return a metric's null at a width: its mean and spread over n vectors of `gaussian` noise.

    Units are drawn independently, which those of a network are not: a layer can differ from this
    null because its units move together.

    Raises:
        ValueError: as `gaussian`, or if n is below 2.
    """
    check_whole("n", n, low=2)
    values = metric(gaussian(d, n, mean=mean, std=std, activation=activation, seed=seed))
    return Null(float(values.mean()), float(values.std()))
