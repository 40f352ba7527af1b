"""Checks of input that several modules share."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # who checks numbers only, such as `evidence`, does not wait for PyTorch
    from torch import Tensor


def is_whole(value: object, low: int | None = None, high: int | None = None) -> bool:
    """Say whether a value is a whole number, Python's or NumPy's, within bounds if they are given.

    True and False are none.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        return False
    return bool((low is None or value >= low) and (high is None or value <= high))


def check_whole(
    name: str, value: object, *, low: int = 1, high: int | None = None, hint: str = ""
) -> None:
    """Raise a ValueError unless a value is a whole number, at least `low` and at most `high`.

    `hint` says in a few words what the number stands for.
    """
    if not is_whole(value, low, high):
        takes = f", at least {low}" if high is None else f" from {low} to {high}"
        reason = f" ({hint})" if hint else ""
        raise ValueError(f"{name} must be a whole number{takes}{reason}; got {value!r}")


def check_number(name: str, value: object, *, low: float, above: bool = False) -> None:
    """Raise a ValueError unless a value is a finite number, at least `low`, or above it."""
    is_number = isinstance(value, float | int | np.number) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value) or value < low or (above and value == low):
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}; got {value!r}")


def check_rows(name: str, x: "Tensor", width: int | None = None) -> None:
    """Raise a ValueError unless `x` holds finite floats, `(…, width)`, at least one row."""
    import torch

    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"{name} must be a tensor of floats; got {kind}")
    if x.ndim == 0 or (width is not None and x.shape[-1] != width):
        wanted = "at least one dimension" if width is None else f"shape (…, {width})"
        raise ValueError(f"{name} must have {wanted}; got {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"{name} is empty: its shape is {tuple(x.shape)}")
    # A sum is finite only if all is, and quick to find; of large finite numbers it may overflow.
    if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():
        n = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} holds {n} values that are NaN or infinite")
