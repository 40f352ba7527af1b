"""A running mean and variance, for data that come in batches."""

import math

import torch
from torch import Tensor


class Moments:
    """A running mean and variance along the first dimension of what is added, float64.

    Batches are merged as in Chan, Golub & LeVeque 1983, so that a large mean costs no digits.

    Attributes:
        n: how many rows were added.
        mean: of each column, on the device of the rows; a single zero before the first row.
        squares: Σ (x − mean)² of each column, likewise.
    """

    def __init__(self):
        self.n = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros_like(self.mean)

    def add(self, rows: Tensor) -> None:
        """Add rows, (n, …), float32 or float64, whose squares that type can hold."""
        n = len(rows)
        if n == 0:
            return
        if self.n == 0:
            self.mean = rows.mean(0, dtype=torch.float64)
            self.squares = torch.zeros_like(self.mean)
        # From about the old mean: small numbers, even where x is large. They keep their precision,
        # because float64 costs three times as much.
        shift = self.mean.to(rows.dtype)
        rows = rows - shift
        total, squares = rows.sum(0).double(), rows.square_().sum(0).double()
        rest = self.mean - shift.double()  # what the mean lost by its rounding
        step = (total - n * rest) / (self.n + n)
        # Σ (x − new mean)², of the old rows and the new ones, is Σ (x − old mean)² less this.
        squares += rest * (n * rest - 2 * total)
        self.squares += squares - (self.n + n) * step.square()
        self.mean += step
        self.n += n

    @property
    def variance(self) -> Tensor:
        """The sample variance of each column, NaN below two rows."""
        return self.squares / (self.n - 1) if self.n > 1 else self.squares + math.nan

    @property
    def std(self) -> Tensor:
        """The square root of `variance`."""
        return self.variance.sqrt()
