"""What every data set returns: inputs and labels, cut in three."""

from typing import NamedTuple

from torch import Tensor


class Split(NamedTuple):
    """Inputs `x`, float32 `(n, d)` in [0, 1], and labels `y`, int64 `(n,)`."""

    x: Tensor
    y: Tensor


class Splits(NamedTuple):
    """A data set cut in three, and what was held out of all three.

    `train` is learned from, every choice is made on `validation`, and `test` is looked at once.
    `held_out` holds the test fold's items of the held-out classes; it is empty without any.
    """

    train: Split
    validation: Split
    test: Split
    held_out: Split
