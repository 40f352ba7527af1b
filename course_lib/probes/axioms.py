"""Six axioms that a metric of sparsity may be asked to keep, and a search for cases against them.

They speak of vectors of entries of at least zero, as of wealth: take the sizes of h. S is a metric,
signed so that larger is sparser. As usually stated (Hurley & Rickard 2009, "Comparing measures of
sparsity", 0811.4706):

=============  ====================================================================================
Robin Hood     Taking from a larger entry and giving to a smaller one, without making it the larger
               by as much, lowers S.
Scaling        Multiplying all entries by the same positive number leaves S as it is.
Rising Tide    Adding the same positive number to all entries lowers S.
Cloning        Putting the vector beside itself leaves S as it is.
Bill Gates     From some size on, every further growth of an entry raises S.
Babies         An additional zero raises S.
=============  ====================================================================================

Two kinds of vectors are left out, for which the axioms contradict each other: those with fewer
than two entries above zero (of a multiple of a one-hot vector, more is only Scaling) and, for
Rising Tide, those whose entries are all equal.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import seeds
from course_lib.checks import check_rows, check_whole
from course_lib.probes.metrics import METRICS, Metric

AXIOMS = ("Robin Hood", "Scaling", "Rising Tide", "Cloning", "Bill Gates", "Babies")

UNCHANGED = ("Scaling", "Cloning")  # S is to stay as it is
LOWERED = ("Robin Hood", "Rising Tide")  # S is to fall; in the other two it is to rise

# A change of S below this part of its size counts as none. Cases that change a vector by less than
# a hundredth are not drawn, so that a change that is there cannot hide below it.
TOLERANCE = 1e-9

# For Bill Gates: how large an entry becomes, in sums of the vector, and how much larger still.
RICHES = (3.0, 30.0, 300.0)
MORE = (0.5, 1.0, 3.0)

WIDTHS = (4, 5, 6, 8, 24, 40)  # the kurtosis of three entries is 3/2 whatever they are


class Case(NamedTuple):
    """A vector and how it is changed.

    `vector` has entries of at least zero, `(d,)`. `amount` and `entries` are what the axiom needs:
    Robin Hood takes `amount` from the first entry for the second, Scaling multiplies by `amount`,
    Rising Tide adds it; Bill Gates' entry is the first.
    """

    axiom: str
    vector: tuple[float, ...]
    amount: float = 1.0
    entries: tuple[int, int] = (0, 1)


def changed(case: Case) -> tuple[Tensor, Tensor]:
    """Return the vectors before and after, each float64 `(m, d)`, d not the same in both.

    m is 1 but for Bill Gates, where it is the number of pairs of a size and a further growth.

    Raises:
        ValueError: if the axiom is unknown, or the case is outside what it speaks of.
    """
    if case.axiom not in AXIOMS:
        raise ValueError(f"axiom is one of {AXIOMS}; got {case.axiom!r}")
    vector = torch.as_tensor(case.vector, dtype=torch.float64)
    check_rows("vector", vector)
    i, j = case.entries
    if vector.ndim != 1 or (vector < 0).any() or (vector > 0).sum() < 2:
        raise ValueError(
            "vector takes entries of at least 0, two or more of them above; got "
            f"{tuple(case.vector)}"
        )
    if not 0 <= min(i, j) <= max(i, j) < len(vector) or i == j:
        raise ValueError(f"entries are two of 0 … {len(vector) - 1}; got {case.entries!r}")
    if not case.amount > 0:
        raise ValueError(f"amount must be above 0; got {case.amount!r}")
    if case.axiom == "Robin Hood" and not case.amount < float(vector[i] - vector[j]) / 2:
        raise ValueError(
            f"Robin Hood takes less than half of the difference, {float(vector[i] - vector[j])}; "
            f"got {case.amount}"
        )
    if case.axiom == "Rising Tide" and (vector == vector[0]).all():
        raise ValueError("Rising Tide does not speak of vectors whose entries are all equal")
    amount = torch.tensor([case.amount], dtype=torch.float64)
    return _change(case.axiom, vector.unsqueeze(0), amount, torch.tensor([[i, j]]))


def breaks(metric: Metric, case: Case) -> bool:
    """Say whether a case breaks its axiom for a metric that is signed so that larger is sparser.

    Raises:
        ValueError: as `changed`.
    """
    before, after = changed(case)
    return bool(_broken(case.axiom, metric(before), metric(after)).all())


def search(metric: Metric, axiom: str, *, cases: int = 100_000, seed: int = 0) -> Case | None:
    """Return a case that breaks an axiom, or None if none of so many random cases does.

    None is no proof. Vectors of small whole numbers come first, so that a case that is found can be
    checked by hand; then ones with zeros, and with entries of very different sizes, of up to 40
    entries.

    Args:
        metric: signed so that larger is sparser, one number for each vector `(…, d)`.
        axiom: one of `AXIOMS`.
        cases: how many are tried, at most.
        seed: draws them.

    Raises:
        ValueError: if the axiom is unknown, or `cases` is no count.
    """
    if axiom not in AXIOMS:
        raise ValueError(f"axiom is one of {AXIOMS}; got {axiom!r}")
    check_whole("cases", cases)
    kinds = [(kind, d) for kind in ("whole", "zeros", "heavy") for d in WIDTHS]
    for number, (kind, d) in enumerate(kinds):
        n = cases // len(kinds) + (number < cases % len(kinds))
        draw = seeds.generator(seed, "axioms", axiom, kind, d)
        vectors, amount, entries = _draw(axiom, kind, n, d, draw)
        if len(vectors) == 0:
            continue
        before, after = _change(axiom, vectors, amount, entries)
        broken = _broken(axiom, metric(before), metric(after))
        # All pairs of Bill Gates' sizes stand one after the other: (pairs · n,) to (n,).
        found = broken.reshape(-1, len(vectors)).all(0).nonzero()
        if len(found):
            k = int(found[0])
            entry, other = entries[k].tolist()
            return Case(axiom, tuple(vectors[k].tolist()), float(amount[k]), (entry, other))
    return None


def table(
    metrics: Mapping[str, Metric] = METRICS, *, cases: int = 100_000, seed: int = 0
) -> dict[str, dict[str, Case | None]]:
    """Return by metric and axiom the case that `search` finds, None where it finds none.

    Raises:
        ValueError: as `search`.
    """
    return {
        name: {axiom: search(metric, axiom, cases=cases, seed=seed) for axiom in AXIOMS}
        for name, metric in metrics.items()
    }


# By metric and axiom, cases that break it and are easy to follow. `search` finds none for the pairs
# that are missing here.
_ROBIN_HOOD = Case("Robin Hood", (9, 4, 1, 1), 1.0, (1, 2))
_CLONING = Case("Cloning", (1, 2, 3, 4))
_BABIES = Case("Babies", (1, 2, 3, 4))
_COUNTS = {"Robin Hood": _ROBIN_HOOD, "Cloning": _CLONING, "Babies": _BABIES}
COUNTEREXAMPLES: dict[str, dict[str, Case]] = {
    "Hoyer": {"Cloning": _CLONING},
    # Of 40 entries the largest two count, and of 20 too: those two hold everything already.
    "top 5% energy": _COUNTS | {"Bill Gates": Case("Bill Gates", (1, 2) + (0,) * 38)},
    "top 10% energy": _COUNTS | {"Bill Gates": Case("Bill Gates", (1, 2) + (0,) * 18)},
    "−effective rank": _COUNTS,
    "−participation ratio": _COUNTS,
    "kurtosis": {
        "Robin Hood": _ROBIN_HOOD,
        "Rising Tide": Case("Rising Tide", (1, 2, 3, 5), 1.0),
        # One entry among equals is as far out as it can be, however large.
        "Bill Gates": Case("Bill Gates", (3, 1, 1, 1)),
        "Babies": Case("Babies", (3, 3, 3, 0)),
    },
    "−L0": _COUNTS
    | {
        "Scaling": Case("Scaling", (0.005, 1, 2), 10.0),
        "Rising Tide": Case("Rising Tide", (1, 2, 3, 4), 1.0),
        "Bill Gates": Case("Bill Gates", (1, 2, 3, 4)),
    },
}


# --- Private --------------------------------------------------------------------------------------


def _change(axiom: str, vectors: Tensor, amount: Tensor, entries: Tensor) -> tuple[Tensor, Tensor]:
    """Change vectors (n, d), each by its amount (n,) and at its entries (n, 2)."""
    rows = torch.arange(len(vectors))
    i, j = entries.unbind(1)
    if axiom == "Robin Hood":
        after = vectors.clone()
        after[rows, i] -= amount
        after[rows, j] += amount
    elif axiom == "Scaling":
        after = vectors * amount.unsqueeze(1)
    elif axiom == "Rising Tide":
        after = vectors + amount.unsqueeze(1)
    elif axiom == "Cloning":
        after = torch.cat([vectors, vectors], dim=1)
    elif axiom == "Babies":
        after = torch.nn.functional.pad(vectors, (0, 1))
    else:
        wealth = vectors.sum(1)
        pairs = []
        for riches in RICHES:
            rich = vectors.clone()
            rich[rows, i] += riches * wealth
            for more in MORE:
                richer = rich.clone()
                richer[rows, i] += more * riches * wealth
                pairs.append((rich, richer))
        return tuple(torch.cat(side) for side in zip(*pairs, strict=True))
    return vectors, after


def _broken(axiom: str, before: Tensor, after: Tensor) -> Tensor:
    """Say of each case whether S does not do what the axiom asks, by more than rounding."""
    size = torch.maximum(before.abs(), after.abs()).clamp(min=1.0)
    rise = (after - before) / size
    if axiom in UNCHANGED:
        return rise.abs() > TOLERANCE
    if axiom in LOWERED:
        rise = -rise
    if axiom != "Bill Gates":
        return rise <= TOLERANCE
    # Broken if from every size on some growth does not raise S; each size has its growths in turn.
    by_size = (rise <= TOLERANCE).reshape(len(RICHES), len(MORE), -1).any(1)  # (sizes, n)
    return by_size.all(0).repeat(len(RICHES) * len(MORE))


def _draw(axiom: str, kind: str, n: int, d: int, draw: torch.Generator) -> tuple:
    """Draw up to n vectors that the axiom speaks of, (n, d), with amounts and entries."""
    uniform = torch.rand(n, d, generator=draw, dtype=torch.float64)
    if kind == "whole":
        vectors = (10 * uniform).floor()
    elif kind == "zeros":
        kept = torch.rand(n, d, generator=draw) < torch.rand(n, 1, generator=draw)
        vectors = (0.05 + uniform) * kept
    else:
        vectors = torch.exp(torch.randn(n, d, generator=draw, dtype=torch.float64))
    entries = torch.rand(n, d, generator=draw).argsort(1)[:, :2]
    i, j = entries.unbind(1)
    share = 0.05 + 0.9 * torch.rand(n, generator=draw, dtype=torch.float64)
    most = vectors.amax(1)
    fits = (vectors > 0).sum(1) >= 2
    if axiom == "Robin Hood":
        rows = torch.arange(n)
        a, b = vectors[rows, i], vectors[rows, j]
        entries = torch.where((a > b).unsqueeze(1), entries, entries.flip(1))
        gap = (a - b).abs()
        # From a poor to a poorer in a rich country: a change, but one that drowns in rounding.
        fits &= gap > 0.05 * most
        amount = share * gap / 2
    elif axiom == "Rising Tide":
        fits &= most - vectors.amin(1) > 0.05 * most
        amount = 2 * share * most
    elif axiom == "Scaling":
        amount = torch.exp(6 * (share - 0.5))
    else:
        amount = torch.ones(n, dtype=torch.float64)  # not used
    if kind == "whole" and axiom in LOWERED + ("Scaling",):
        half = amount.mul(2).ceil().div(2)  # halves and wholes are easy to follow
        if axiom == "Robin Hood":
            half = torch.where(2 * half < gap, half, 0.5 * amount.ceil().clamp(max=1))
            fits &= 2 * half < gap
        amount = half
    return vectors[fits], amount[fits], entries[fits]
