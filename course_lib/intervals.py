"""Intervals: an estimate, and how far it can be trusted."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from course_lib.checks import check_whole

# SciPy is imported where it is needed: it takes longer than all else here.


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate, the ends of its interval, and the number of independent values behind it.

    `level` is the interval's, which `evidence.record` checks. An interval of Student's t keeps its
    `values`, one for each seed, and `spread`, their standard deviation, from which `needed_values`
    extrapolates. For others `values` is None and `spread` is NaN.

    Raises:
        ValueError: if the estimate or an end is not finite, the lower end is above the upper one,
            or there are not `n` values.
    """

    estimate: float
    low: float
    high: float
    n: int
    spread: float = math.nan
    level: float = math.nan
    values: tuple[float, ...] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self):
        numbers = (self.estimate, self.low, self.high)
        if not all(map(math.isfinite, numbers)) or self.low > self.high:
            raise ValueError(f"an interval has finite ends, the lower one first; got {self}")
        if self.values is not None and len(self.values) != self.n:
            raise ValueError(f"values are one for each of n; got {len(self.values)} with {self}")


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean with Student's t interval.

    mean ± t · s / √n, with t the (1 + level)/2 quantile at n − 1 degrees of freedom.

    Args:
        values: one independent value for each seed, at least 2, all finite.
        level: in (0, 1).

    Raises:
        ValueError: if there are too few values, one is not finite, or `level` is out of range.
    """
    values = _checked_values(values, level)
    mean, spread, n = float(values.mean()), float(values.std(ddof=1)), len(values)
    half = _half_width(spread, n, level)
    return Interval(mean, mean - half, mean + half, n, spread, level, tuple(values.tolist()))


def needed_values(interval: Interval, half_width: float, level: float) -> float:
    """Return how many values a t interval needs to reach no farther than `half_width`.

    The smallest n, at least 2, at the interval's spread and the given level. Infinite if
    `half_width` is not above 0, NaN if the interval has no spread.
    """
    from scipy import optimize

    if math.isnan(interval.spread) or half_width <= 0:
        return math.nan if math.isnan(interval.spread) else math.inf

    def excess(n: float) -> float:
        return _half_width(interval.spread, n, level) - half_width

    if excess(2) <= 0:
        return 2
    upper = 4.0
    while excess(upper) > 0:
        upper *= 2
    return math.ceil(optimize.brentq(excess, 2, upper))


def share_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return a share of runs with its exact interval (Clopper & Pearson 1934).

    Raises:
        ValueError: if `successes` is no whole number from 0 to n, n none from 1 on, or `level` is
            out of range.
    """
    check_whole("n", n)
    check_whole("successes", successes, low=0, high=n, hint="n")
    check_level(level)
    from scipy import stats

    exact = stats.binomtest(int(successes), int(n)).proportion_ci(level, method="exact")
    low, high = float(exact.low), float(exact.high)
    return Interval(successes / n, low, high, int(n), level=level)


def bootstrap_ratio_of_medians(
    numerator: Sequence[float],
    denominator: Sequence[float],
    level: float = 0.95,
    *,
    seed: int,
    resamples: int = 10_000,
) -> Interval:
    """Return median(numerator) / median(denominator) with a percentile bootstrap interval.

    The two are paired block by block (for timings: measured in turn), and blocks are resampled.

    Raises:
        ValueError: if the lengths differ, a value is not finite and positive, or there are fewer
            than 2 blocks.
    """
    check_whole("resamples", resamples)
    top, bottom = _checked_values(numerator, level), _checked_values(denominator, level)
    if len(top) != len(bottom) or top.min() <= 0 or bottom.min() <= 0:
        raise ValueError(
            "numerator and denominator must be paired positive values; got "
            f"{len(top)} and {len(bottom)}, smallest {min(top.min(), bottom.min())}"
        )
    pick = np.random.default_rng(seed).integers(0, len(top), (resamples, len(top)))
    ratios = np.median(top[pick], axis=1) / np.median(bottom[pick], axis=1)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    ratio = float(np.median(top) / np.median(bottom))
    return Interval(ratio, float(low), float(high), len(top), level=level)


def check_level(level: float) -> None:
    """Raise a ValueError unless a level lies between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level lies between 0 and 1, for example 0.95; got {level!r}")


def _half_width(spread: float, n: float, level: float) -> float:
    """Return t · s / √n, with t the (1 + level)/2 quantile at n − 1 degrees of freedom."""
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, n - 1)) * spread / math.sqrt(n)


def _checked_values(values: Sequence[float], level: float) -> np.ndarray:
    check_level(level)
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            "an interval needs at least 2 finite values in one dimension; "
            f"got shape {values.shape}"
            + (f" with {int((~np.isfinite(values)).sum())} not finite" if values.size else "")
        )
    return values
