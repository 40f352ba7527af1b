"""Metrics of sparsity: how few entries of a vector hold how much of it.

Each function takes vectors h of d entries, `(…, d)`, and returns one float64 number for each, in
the metric's own sign. `METRICS` holds them signed so that larger means sparser. Nothing is centred
but for `kurtosis`, and all but `l0` are the same for h and for any multiple of it.

Where a metric is not defined, it has the value of a vector whose entries are all equal: so for the
zero vector (but for `l0`, which counts none there) and for vectors of one entry. No metric is ever
NaN.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.checks import check_number, check_rows

Metric = Callable[[Tensor], Tensor]

# A variance below this part of the mean square is rounding.
ROUNDING = 1e-28


def hoyer(h: Tensor) -> Tensor:
    """Return Hoyer's sparseness, (√d − ‖h‖₁ / ‖h‖₂) / (√d − 1), in [0, 1].

    1 for a one-hot vector, 0 for entries of equal size, for zero and for d = 1.

    Raises:
        ValueError: if h is not a tensor of finite floats, or empty.

    Source: Hoyer 2004, "Non-negative matrix factorization with sparseness constraints".
    """
    root = math.sqrt(_width(h))
    if root == 1:
        return torch.zeros(h.shape[:-1], dtype=torch.float64, device=h.device)
    return (root - root * normalised_l1(h)).clamp(0, root - 1) / (root - 1)


def gini(h: Tensor) -> Tensor:
    """Return the Gini index of the sizes of the entries, in [0, 1 − 1/d].

    1 − 2 Σ_k (h_(k) / ‖h‖₁) (d − k + ½) / d, where h_(1) ≤ … ≤ h_(d) are the sorted sizes: twice
    the area between the Lorenz curve and the diagonal. 1 − 1/d for a one-hot vector, 0 for entries
    of equal size, for zero and for d = 1.

    Raises:
        ValueError: as `hoyer`.

    Source: Hurley & Rickard 2009, "Comparing measures of sparsity" (0811.4706), as usually stated.
    """
    d = _width(h)
    size = _sizes(h).sort(dim=-1).values
    total = size.sum(-1)
    rank = torch.arange(1, d + 1, dtype=torch.float64, device=h.device)
    lorenz = (size * (d - rank + 0.5)).sum(-1) / (d * _divisor(total))
    return torch.where(total > 0, (1 - 2 * lorenz).clamp(min=0), 0.0)


def top_energy(h: Tensor, share: float = 0.05) -> Tensor:
    """Return the part of Σ h² that the largest entries hold, in (0, 1].

    Args:
        h: vectors `(…, d)`.
        share: of the entries that count as largest: k = ⌊share · d⌋ of them, at least one. The
            part is k/d for entries of equal size and for zero, and 1 for d = 1.

    Raises:
        ValueError: as `hoyer`, or if `share` is not in (0, 1].

    Source: as measured in the published code of Jin et al. 2026 (2603.03415).
    """
    d = _width(h)
    check_number("share", share, low=0, above=True)
    if share > 1:
        raise ValueError(f"share is a part of the entries, in (0, 1]; got {share!r}")
    k = max(1, int(share * d + 1e-9))  # 0.07 · 100 is a little more than 7
    energy = _sizes(h).square()
    total = energy.sum(-1)
    top = energy.topk(k, dim=-1).values.sum(-1)
    return torch.where(total > 0, (top / _divisor(total)).clamp(max=1), k / d)


def effective_rank(h: Tensor) -> Tensor:
    """Return exp(−Σ p log p) of p = h² / Σ h², in [1, d]: a number of entries.

    1 for a one-hot vector and for d = 1; d for entries of equal size and for zero.

    Raises:
        ValueError: as `hoyer`.

    Source: the effective rank of Roy & Vetterli 2007, of the entries' energies in place of singular
    values, as in the published code of Jin et al. 2026 (2603.03415).
    """
    d = _width(h)
    energy = _sizes(h).square()
    total = energy.sum(-1, keepdim=True)
    p = energy / _divisor(total)
    entropy = -torch.xlogy(p, p).sum(-1)
    return torch.where(total[..., 0] > 0, entropy.exp().clamp(1, d), float(d))


def participation_ratio(h: Tensor) -> Tensor:
    """Return (Σ h²)² / Σ h⁴, in [1, d]: a number of entries.

    1 for a one-hot vector and for d = 1; d for entries of equal size and for zero.

    Raises:
        ValueError: as `hoyer`.
    """
    d = _width(h)
    energy = _sizes(h).square()
    total, squares = energy.sum(-1), energy.square().sum(-1)
    ratio = total.square() / _divisor(squares)
    return torch.where(total > 0, ratio.clamp(1, d), float(d))


def normalised_l1(h: Tensor) -> Tensor:
    """Return ‖h‖₁ / (√d ‖h‖₂), in [1/√d, 1]; smaller is sparser.

    1/√d for a one-hot vector, 1 for entries of equal size, for zero and for d = 1. For vectors of
    one width it is `hoyer` in other units, and puts them in the same order.

    Raises:
        ValueError: as `hoyer`.
    """
    d = _width(h)
    size = _sizes(h)
    l1, l2 = size.sum(-1), torch.linalg.vector_norm(size, dim=-1)
    return torch.where(l2 > 0, l1 / (math.sqrt(d) * _divisor(l2)), 1.0).clamp(d**-0.5, 1)


def kurtosis(h: Tensor) -> Tensor:
    """Return the fourth central moment over the variance squared, at least 1; 3 for a Gaussian.

    It looks at h with its signs, from its own mean. d − 2 + 1/(d − 1) for a one-hot vector with
    d > 1, which is the most there is; 1 for equal entries, which have no spread, and for d = 1.

    Raises:
        ValueError: as `hoyer`.
    """
    _width(h)
    h = h.detach().sign() * _sizes(h)
    size = h.square().mean(-1)
    h = h - h.mean(-1, keepdim=True)
    variance = h.square().mean(-1)
    spread = variance > ROUNDING * size
    ratio = h.square().square().mean(-1) / _divisor(torch.where(spread, variance, 0.0).square())
    return torch.where(spread, ratio.clamp(min=1), 1.0)


def l0(h: Tensor, threshold: float = 0.01) -> Tensor:
    """Return the number of entries larger in size than a threshold, 0 to d.

    It alone depends on the scale of h: the threshold is in the units of h.

    Raises:
        ValueError: as `hoyer`, or if `threshold` is negative.
    """
    _width(h)
    check_number("threshold", threshold, low=0)
    return (h.abs() > threshold).sum(-1).double()


def _negative(metric: Metric) -> Metric:
    return lambda h: -metric(h)


# By name, all signed so that larger means sparser.
METRICS: dict[str, Metric] = {
    "Hoyer": hoyer,
    "Gini": gini,
    "top 5% energy": partial(top_energy, share=0.05),
    "top 10% energy": partial(top_energy, share=0.1),
    "−effective rank": _negative(effective_rank),
    "−participation ratio": _negative(participation_ratio),
    "−normalised ℓ1": _negative(normalised_l1),
    "kurtosis": kurtosis,
    "−L0": _negative(l0),
}


# --- Private --------------------------------------------------------------------------------------


def _width(h: Tensor) -> int:
    check_rows("h", h)
    return h.shape[-1]


def _sizes(h: Tensor) -> Tensor:
    """Return |h| in float64, in units of the largest where powers could overflow or vanish."""
    size = h.detach().double().abs()
    largest = size.amax(-1, keepdim=True)
    usual = (largest == 0) | ((largest > 1e-30) & (largest < 1e30))
    return size if usual.all() else size / _divisor(largest)


def _divisor(x: Tensor) -> Tensor:
    """Put 1 in the place of 0, where what is divided is not used."""
    return torch.where(x > 0, x, 1.0)
