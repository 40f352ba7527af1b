"""Scoring: whether a signal tells one kind of input from another, and what it adds to others.

A signal is one number for each input. Sparsity is one; the softmax's confidence, the energy and the
norm are others, and come for free too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from course_lib.checks import check_rows, check_whole
from course_lib.intervals import Interval, check_level
from course_lib.ranks import ranks, wins

Values = Sequence[float] | np.ndarray | Tensor


# --- Signals of a network's output: larger means surer of itself ----------------------------------


def softmax_maximum(logits: Tensor) -> Tensor:
    """Return the largest softmax probability, float64 `(…,)`.

    Raises:
        ValueError: if logits `(…, classes)` are not finite floats.

    Source: Hendrycks & Gimpel 2017 (1610.02136).
    """
    check_rows("logits", logits)
    return logits.detach().double().softmax(-1).amax(-1)


def negative_entropy(logits: Tensor) -> Tensor:
    """Return Σ p log p of the softmax probabilities, in nats, float64 `(…,)`, at most 0.

    Raises:
        ValueError: as `softmax_maximum`.
    """
    check_rows("logits", logits)
    p = logits.detach().double().softmax(-1)
    return torch.xlogy(p, p).sum(-1)


def negative_energy(logits: Tensor) -> Tensor:
    """Return log Σ exp(logit), float64 `(…,)`.

    Raises:
        ValueError: as `softmax_maximum`.

    Source: Liu et al. 2020, "Energy-based out-of-distribution detection" (2010.03759), at
    temperature 1.
    """
    check_rows("logits", logits)
    return logits.detach().double().logsumexp(-1)


def norm(h: Tensor) -> Tensor:
    """Return ‖h‖₂ of activations `(…, d)`, float64 `(…,)`.

    Raises:
        ValueError: if they are not finite floats.

    Source: feature norms tell inputs apart in Park et al. 2023 (2310.05316).
    """
    check_rows("h", h)
    return torch.linalg.vector_norm(h.detach().double(), dim=-1)


# --- Telling two kinds apart ----------------------------------------------------------------------


def auroc(high: Values, low: Values, *, level: float = 0.95) -> Interval:
    """Return the chance that a signal is larger for one kind of input than for the other.

    That is the area under the ROC curve; ties count half. The interval is that of DeLong, DeLong &
    Clarke-Pearson 1988, cut to [0, 1]. It is about these inputs and one network: between seeds, use
    a t interval of their estimates. If the kinds do not overlap at all, it has no width, which says
    more than the inputs can.

    Args:
        high: the signal of inputs for which it should be larger, at least 2 of them.
        low: the signal of the others, at least 2.
        level: of the interval.

    Raises:
        ValueError: if there are too few values, one is not finite, or `level` is out of range.
    """
    check_level(level)
    a, b = _checked("high", high), _checked("low", low)
    of_high, of_low = _placements(a, b)
    variance = of_high.var(ddof=1) / len(a) + of_low.var(ddof=1) / len(b)
    return _interval(of_high.mean(), variance, len(a) + len(b), level, lowest=0.0)


def auroc_difference(
    high: tuple[Values, Values], low: tuple[Values, Values], *, level: float = 0.95
) -> Interval:
    """Return the AUROC of one signal minus that of another on the same inputs.

    The interval is DeLong's for paired signals, cut to [−1, 1].

    Args:
        high: the two signals of the inputs for which they should be larger, in the same order.
        low: the two signals of the others.
        level: of the interval.

    Raises:
        ValueError: as `auroc`, or if the two signals are not of equally many inputs.
    """
    check_level(level)
    pairs = []
    for name, two in (("high", high), ("low", low)):
        one, other = (_checked(name, values) for values in two)
        if len(one) != len(other):
            raise ValueError(
                f"{name} holds two signals of the same inputs; got {len(one)} and {len(other)}"
            )
        pairs.append((one, other))
    (a1, a2), (b1, b2) = pairs
    (high1, low1), (high2, low2) = _placements(a1, b1), _placements(a2, b2)
    variance = (high1 - high2).var(ddof=1) / len(a1) + (low1 - low2).var(ddof=1) / len(b1)
    difference = high1.mean() - high2.mean()
    return _interval(difference, variance, len(a1) + len(b1), level, lowest=-1.0)


def _placements(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of a the share of b below it, and for each of b the share of a above; ties half."""
    both = ranks(np.concatenate([a, b]))
    return wins(both[: len(a)], a) / len(b), 1 - wins(both[len(a) :], b) / len(a)


def _interval(estimate: float, variance: float, n: int, level: float, *, lowest: float) -> Interval:
    half = float(stats.norm.ppf((1 + level) / 2)) * float(np.sqrt(variance))
    estimate = float(np.clip(estimate, lowest, 1))
    low, high = max(lowest, estimate - half), min(1.0, estimate + half)
    return Interval(estimate, low, high, n, level=level)


# --- Item by item, and by bins --------------------------------------------------------------------


def spearman(x: Values, y: Values) -> float:
    """Return Spearman's rank correlation over items, ties at their mean rank; 0 if one is constant.

    Raises:
        ValueError: if the two are not of equally many finite values, at least 2.
    """
    x, y = _pair(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


def binned_spearman(x: Values, y: Values, *, bins: int | None = None) -> float:
    """Return Spearman's rank correlation of the means of bins of items.

    Averaging takes away what differs within a bin, so that a weak relation over items can be a
    perfect one over bins. It says nothing about a single item.

    Args:
        x: what bins are made by.
        y: what is averaged.
        bins: how many, of equally many items each, or as nearly as can be. By default, items of the
            same x are a bin.

    Raises:
        ValueError: as `spearman`, or if there are not at least 2 bins and an item for each.
    """
    means = bin_means(x, y, bins=bins)
    return spearman(means["x"], means["y"])


def bin_means(x: Values, y: Values, *, bins: int | None = None) -> pd.DataFrame:
    """Return the mean x and y of each bin and its number of items n; bins as in `binned_spearman`.

    Raises:
        ValueError: as `binned_spearman`.
    """
    x, y = _pair(x, y)
    if bins is None:
        number = np.unique(x, return_inverse=True)[1]
    else:
        check_whole("bins", bins, low=2)
        if bins > len(x):
            raise ValueError(f"bins is at most the number of items, {len(x)}; got {bins}")
        number = np.empty(len(x), dtype=np.int64)
        number[np.argsort(x, kind="stable")] = np.arange(len(x)) * bins // len(x)
    if number.max() == 0:
        raise ValueError("x has one value only, so there is one bin")
    grouped = pd.DataFrame({"x": x, "y": y}).groupby(number)
    return grouped.mean().assign(n=grouped.size()).reset_index(drop=True)


# --- Calibration ----------------------------------------------------------------------------------


def reliability(confidence: Values, correct: Values, *, bins: int = 15) -> pd.DataFrame:
    """Return how often a network is right, by how sure it is.

    Args:
        confidence: probabilities in [0, 1], for example `softmax_maximum`.
        correct: whether each answer was right, booleans or 0 and 1.
        bins: equal parts of [0, 1], (0, 1/bins], … ; 0 belongs to the first.

    Returns:
        A row for each bin that holds items: `low`, `high`, `n`, mean `confidence`, `accuracy`.

    Raises:
        ValueError: if the values are out of range, or not equally many.

    Source: Guo et al. 2017, "On calibration of modern neural networks" (1706.04599).
    """
    check_whole("bins", bins)
    confidence, correct = _pair(confidence, correct)
    if confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(
            "confidence holds probabilities in [0, 1]; got values from "
            f"{confidence.min():.3g} to {confidence.max():.3g}"
        )
    if not np.isin(correct, (0, 1)).all():
        raise ValueError("correct holds booleans, or 0 and 1")
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    grouped = pd.DataFrame({"confidence": confidence, "accuracy": correct}).groupby(number)
    table = grouped.mean()
    at = table.index.to_numpy()
    table.insert(0, "low", edges[at])
    table.insert(1, "high", edges[at + 1])
    table.insert(2, "n", grouped.size())
    return table.reset_index(drop=True)


def expected_calibration_error(confidence: Values, correct: Values, *, bins: int = 15) -> float:
    """Return Σ_bins (n_bin / n) · difference of mean confidence and accuracy, in [0, 1].

    Raises:
        ValueError: as `reliability`.

    Source: Guo et al. 2017 (1706.04599), equation 3.
    """
    table = reliability(confidence, correct, bins=bins)
    gap = (table["accuracy"] - table["confidence"]).abs()
    return float((gap * table["n"]).sum() / table["n"].sum())


# --- What a signal adds to others -----------------------------------------------------------------


class Gain(NamedTuple):
    """AUROC of a regression on the first signals, on those and more, and the difference.

    Each is a mean over the groups left out.
    """

    base: float
    both: float
    gain: float


def held_out_scores(signals: Values, y: Values, group: Sequence) -> np.ndarray:
    """Return for each item the score of a logistic regression that saw no item of its group.

    So a regression is tried on kinds of shift that it was not fitted on.

    Args:
        signals: `(n, k)`, k signals of each item, or `(n,)`; standardised on the items that a
            regression is fitted on.
        y: what is to be told, 0 or 1, `(n,)`.
        group: the kind of shift of each item, `(n,)`, at least two kinds. Familiar items belong to
            groups too: share them out, so that none is learned from and tested on.

    Returns:
        log-odds, `(n,)`. They can be compared within a group, not between groups.

    Raises:
        ValueError: if shapes do not fit, values are not finite, there is one group only, or the
            items outside a group are all of one kind.
    """
    x = _array(signals)
    x = x.reshape(len(x), -1)
    y, group = _checked("y", y), np.asarray(group)
    if len(x) != len(y) or group.shape != y.shape or not np.isfinite(x).all():
        raise ValueError(
            f"signals, y and group are finite and of the same items; got {x.shape}, {y.shape} and "
            f"{group.shape}"
        )
    if not np.isin(y, (0, 1)).all():
        raise ValueError("y holds 0 and 1 only")
    groups = np.unique(group)
    if len(groups) < 2:
        raise ValueError(f"group names at least two kinds, one to be left out; got {groups}")
    scores = np.empty(len(y))
    for one in groups:
        out = group == one
        if len(np.unique(y[~out])) < 2:
            raise ValueError(f"outside group {one!r} all items have y = {y[~out][0]:.0f}")
        regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        scores[out] = regression.fit(x[~out], y[~out]).decision_function(x[out])
    return scores


def logistic_gain(base: Values, extra: Values, y: Values, group: Sequence) -> Gain:
    """Return what signals add to others in telling y, on kinds of shift left out of the fit.

    Each group's AUROC is taken by itself, and they are averaged; groups in which all items have the
    same y cannot be judged, and count in the fits only.

    Args:
        base: the signals there are, `(n,)` or `(n, k)`, for example the softmax maximum.
        extra: those that are added, alike.
        y: 0 or 1, `(n,)`: an error, or a shifted input.
        group: as in `held_out_scores`.

    Raises:
        ValueError: as `held_out_scores`, or if no group holds two items of both kinds.
    """
    base, extra = (_array(signals) for signals in (base, extra))
    base, extra = base.reshape(len(base), -1), extra.reshape(len(extra), -1)
    if len(base) != len(extra):
        raise ValueError(f"base and extra are of the same items; got {len(base)} and {len(extra)}")
    y, group = _checked("y", y), np.asarray(group)
    areas = []
    for signals in (base, np.hstack([base, extra])):
        scores = held_out_scores(signals, y, group)
        parts = [
            (scores[(group == g) & (y == 1)], scores[(group == g) & (y == 0)])
            for g in np.unique(group)
        ]
        parts = [auroc(a, b).estimate for a, b in parts if min(len(a), len(b)) >= 2]
        if not parts:
            raise ValueError("no group holds at least two items of both kinds")
        areas.append(float(np.mean(parts)))
    return Gain(areas[0], areas[1], areas[1] - areas[0])


# --- Private --------------------------------------------------------------------------------------


def _array(values: Values) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _checked(name: str, values: Values) -> np.ndarray:
    found = _array(values)
    if found.ndim != 1 or len(found) < 2 or not np.isfinite(found).all():
        raise ValueError(
            f"{name} takes at least 2 finite values in one dimension; got shape {found.shape}"
            + (f" with {int((~np.isfinite(found)).sum())} not finite" if found.size else "")
        )
    return found


def _pair(x: Values, y: Values) -> tuple[np.ndarray, np.ndarray]:
    x, y = _checked("x", x), _checked("y", y)
    if len(x) != len(y):
        raise ValueError(f"both are of the same items; got {len(x)} and {len(y)} values")
    return x, y
