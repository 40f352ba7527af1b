"""Ranks, from which the area under a ROC curve follows."""

import numpy as np
from scipy.stats import rankdata


def ranks(x: np.ndarray) -> np.ndarray:
    """Return the rank of each value in its column, from 1, ties at their mean, float64 `(n, …)`."""
    return rankdata(x, axis=0)


def wins(rank: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return for each value of one kind how many of all other kinds it is above, ties half.

    It is the value's rank among all less its rank among its own kind. Both are multiples of ½, so
    that sums of the counts are exact.

    Args:
        rank: `(n, …)`, the `ranks` of these values among those of all kinds.
        x: `(n, …)`, the values of this kind.
    """
    return rank - ranks(x)
