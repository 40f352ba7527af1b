"""Comparing dictionaries: the rows of a decoder with true directions, or with another decoder."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from course_lib.checks import check_rows


class Matching(NamedTuple):
    """Pairs of rows: row `found[i]` of one dictionary with row `true[i]` of the other.

    Both are int64 `(k,)`, `true` in rising order, and no row is used twice; `cosine` is float64
    `(k,)`. k is the size of the smaller dictionary.
    """

    found: Tensor
    true: Tensor
    cosine: Tensor


def cosines(found: Tensor, true: Tensor, *, signed: bool = True) -> Tensor:
    """Return the cosine of each row of `found` with each of `true`, float64 `(n_found, n_true)`.

    A row of zeros has cosine 0 with all.

    Args:
        found: `(n_found, d)`, for example `model.W_dec`.
        true: `(n_true, d)`.
        signed: False for methods that do not choose a sign, such as PCA: then absolute values.

    Raises:
        ValueError: if a dictionary is empty, not finite or not a matrix, or widths differ.
    """
    for name, rows in (("found", found), ("true", true)):
        check_rows(name, rows)
        if rows.ndim != 2 or rows.shape[1] != true.shape[-1]:
            raise ValueError(
                "dictionaries have one row for each direction, all of one width; got found "
                f"{tuple(found.shape)} and true {tuple(true.shape)}"
            )
    unit = [torch.nn.functional.normalize(rows.detach().cpu().double()) for rows in (found, true)]
    product = unit[0] @ unit[1].t()
    return product if signed else product.abs()


def best_cosines(found: Tensor, true: Tensor, *, signed: bool = True) -> Tensor:
    """Return for each row of `true` the largest cosine with any row of `found`, `(n_true,)`.

    Raises:
        ValueError: as `cosines`.
    """
    return cosines(found, true, signed=signed).amax(0)


def mmcs(found: Tensor, true: Tensor, *, signed: bool = True) -> float:
    """Return the mean maximal cosine similarity: (1/n_true) Σ_j max_i cos(found_i, true_j).

    It asks whether each *true* row was found. Rows of `found` that are like none of them cost
    nothing, and more rows can only raise it, so compare dictionaries of one size. With the
    arguments exchanged it asks whether what was found is true. Two random dictionaries score well
    above zero: set a random one beside it.

    Raises:
        ValueError: as `cosines`.

    Source: Sharkey et al. 2022, "Taking features out of superposition with sparse autoencoders".
    """
    return float(best_cosines(found, true, signed=signed).mean())


def recovered(found: Tensor, true: Tensor, *, cosine: float = 0.9, signed: bool = True) -> float:
    """Return the share of rows of `true` with a row of `found` at a cosine above `cosine`.

    (1/n_true) Σ_j [max_i cos(found_i, true_j) > cosine].

    Raises:
        ValueError: as `cosines`, or if `cosine` is not in [−1, 1].
    """
    if isinstance(cosine, bool | str) or not -1 <= cosine <= 1:
        raise ValueError(f"cosine must lie in [−1, 1]; got {cosine!r}")
    return float((best_cosines(found, true, signed=signed) > cosine).double().mean())


def match(found: Tensor, true: Tensor, *, signed: bool = True) -> Matching:
    """Pair the rows of two dictionaries one to one, with the largest sum of cosines.

    Unlike `mmcs` it lets no row stand for two. The Hungarian problem is solved exactly by
    `scipy.optimize.linear_sum_assignment`.

    Raises:
        ValueError: as `cosines`.
    """
    table = cosines(found, true, signed=signed)
    rows, columns = map(torch.from_numpy, linear_sum_assignment(table.numpy(), maximize=True))
    order = columns.argsort()
    rows, columns = rows[order], columns[order]
    return Matching(rows, columns, table[rows, columns])
