"""Data made of planted sparse features, so that what a dictionary finds can be held against truth.

x = Σ_i f_i d_i + noise: a few of many known directions d_i, each with a known strength f_i.
Chapter 06 introduces it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.checks import check_whole
from course_lib.seeds import generator


class Planted(NamedTuple):
    """Planted data: x = codes @ dictionary + noise, all float32.

    `x` is `(n, d)`; `codes`, `(n, n_features)`, are zero where a feature is absent; `dictionary` is
    `(n_features, d)`, one direction of norm 1 a row.
    """

    x: Tensor
    codes: Tensor
    dictionary: Tensor


def planted_features(
    n: int,
    *,
    d: int,
    n_features: int,
    seed: int,
    probability: float | Tensor = 0.05,
    magnitude: tuple[float, float] = (0.5, 1.5),
    group: int = 1,
    correlation: float = 0.0,
    noise: float = 0.0,
    dictionary: Tensor | None = None,
) -> Planted:
    """Draw n inputs that are sums of sparse features.

    A feature is present with its probability, and then has a strength drawn uniformly from
    `magnitude`. With `correlation`, features of one group tend to be present together: feature i is
    present where z_i = √ρ u_group + √(1 − ρ) e_i, of independent normal u and e, is above the
    quantile that leaves `probability` above it. So the probabilities stay as they are.

    Args:
        n: number of inputs, at least 1.
        d: their width.
        n_features: number of features; more than `d` makes them overlap.
        seed: draws all. Dictionary, presence, strength and noise have streams of their own, which
            share nothing with other uses of the same seed, such as an autoencoder's start.
        probability: of each feature to be present, in [0, 1]: a number, or `(n_features,)`, for
            example from `zipf`.
        magnitude: smallest and largest strength, 0 ≤ smallest ≤ largest. (0, 1) is that of Elhage
            et al. 2022; (1, 1) makes all equal.
        group: features in a group, which are neighbours; it must divide `n_features`.
        correlation: ρ in [0, 1]; it needs groups of at least two.
        noise: standard deviation of normal noise added to each dimension of x.
        dictionary: `(n_features, d)` directions to use instead of drawn ones, for more data of the
            same features with another seed. Its rows are used as they are.

    Returns:
        `Planted`. Drawn directions are uniform on the sphere.

    Raises:
        ValueError: if an argument is outside its range or shapes do not fit.
    """
    for name, count in (("n", n), ("d", d), ("n_features", n_features), ("group", group)):
        check_whole(name, count)
    p = torch.as_tensor(probability, dtype=torch.float64)
    if p.shape not in ((), (n_features,)) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"probability must lie in [0, 1], one number or {n_features} of them; got {probability}"
        )
    low, high = magnitude
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"magnitude is (smallest, largest) with 0 ≤ smallest; got {magnitude!r}")
    if n_features % group:
        raise ValueError(f"groups of {group} do not divide {n_features} features")
    if not 0 <= correlation <= 1 or (correlation and group == 1):
        raise ValueError(
            f"correlation must lie in [0, 1], with groups of at least 2; got {correlation!r} and "
            f"group={group}"
        )
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise is a standard deviation, at least 0; got {noise!r}")
    if dictionary is None:
        directions = torch.randn(n_features, d, generator=generator(seed, "planted", "dictionary"))
        dictionary = torch.nn.functional.normalize(directions, dim=1)
    elif dictionary.shape != (n_features, d) or not torch.isfinite(dictionary).all():
        raise ValueError(
            f"dictionary must be finite of shape ({n_features}, {d}); got {tuple(dictionary.shape)}"
        )

    draw = generator(seed, "planted", "presence")
    z = torch.randn(n, n_features, generator=draw)
    if correlation:
        shared = torch.randn(n, n_features // group, generator=draw).repeat_interleave(group, dim=1)
        z = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * z
    present = z > torch.special.ndtri(1 - p).float()  # −∞ and ∞ at probability 1 and 0
    draw = generator(seed, "planted", "magnitude")
    codes = present * (low + (high - low) * torch.rand(n, n_features, generator=draw))
    x = codes @ dictionary.float()
    if noise:
        x = x + noise * torch.randn(n, d, generator=generator(seed, "planted", "noise"))
    return Planted(x, codes, dictionary.float())


def zipf(n_features: int, mean: float, *, exponent: float = 1.0) -> Tensor:
    """Return probabilities p_i ∝ i^(−exponent) for i = 1 … n_features, float64, of a given mean.

    Raises:
        ValueError: if the first would be above 1, which a smaller mean or exponent avoids.
    """
    p = torch.arange(1, n_features + 1, dtype=torch.float64) ** -exponent
    p = p * (mean / p.mean())
    if not 0 <= float(p[0]) <= 1:
        raise ValueError(
            f"with mean {mean} and exponent {exponent} the first of {n_features} probabilities "
            f"would be {float(p[0]):.3g}; it must lie in [0, 1]"
        )
    return p
