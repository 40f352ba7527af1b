"""How well and how sparsely an autoencoder reconstructs. All sums are taken in float64.

The functions take tensors; `evaluate` takes an autoencoder and data of any length.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.autoencoders.model import SparseAutoencoder
from course_lib.checks import check_number, check_rows, check_whole
from course_lib.hooks import evaluating
from course_lib.moments import Moments


class Evaluation(NamedTuple):
    """What `evaluate` measured on n inputs.

    `l0`, `mse`, `fvu`, `explained_variance` and `dead_fraction` are as the functions of these
    names; `firing_rates` is float64 `(d_sae,)`.
    """

    n: int
    l0: float
    mse: float
    fvu: float
    explained_variance: float
    dead_fraction: float
    firing_rates: Tensor


# --- Sparsity -------------------------------------------------------------------------------------


def l0(latents: Tensor) -> float:
    """Return the mean number of latents that are not zero: (1/n) Σ_n Σ_i [f_ni ≠ 0].

    Raises:
        ValueError: if the latents `(…, d_sae)` are empty or not finite.
    """
    check_rows("latents", latents)
    return float((latents != 0).sum() / latents[..., 0].numel())


def firing_rates(latents: Tensor) -> Tensor:
    """Return the share of inputs for which each latent is not zero, float64 `(d_sae,)`.

    rate_i = (1/n) Σ_n [f_ni ≠ 0].

    Raises:
        ValueError: as `l0`.
    """
    check_rows("latents", latents)
    return (latents != 0).reshape(-1, latents.shape[-1]).double().mean(0)


def dead_fraction(latents: Tensor, *, rate: float = 0.0) -> float:
    """Return the share of latents that are not zero for at most a share `rate` of the inputs.

    (1/d_sae) Σ_i [rate_i ≤ rate]. With fewer inputs, more latents look dead: say how many.

    Raises:
        ValueError: as `l0`, or if `rate` is not in [0, 1].
    """
    check_number("rate", rate, low=0)
    if rate > 1:
        raise ValueError(f"rate is a share in [0, 1]; got {rate!r}")
    return float((firing_rates(latents) <= rate).double().mean())


# --- Reconstruction -------------------------------------------------------------------------------


def mse(x: Tensor, reconstruction: Tensor) -> float:
    """Return the mean squared error over inputs and dimensions: (1/nd) Σ_n ‖x_n − x̂_n‖².

    Raises:
        ValueError: if the two are empty, not finite or of different shapes.
    """
    _check_pair(x, reconstruction)
    return float((x.double() - reconstruction.detach().double()).square().mean())


def fvu(x: Tensor, reconstruction: Tensor) -> float:
    """Return the fraction of variance unexplained: Σ_n ‖x_n − x̂_n‖² / Σ_n ‖x_n − x̄‖².

    x̄ is the mean of *each dimension*. So the best constant scores 1 and a constant error counts:
    the variance of x − x̂, or a mean over all dimensions, would hide both.

    Raises:
        ValueError: if the two `(…, d)` are empty, not finite or of different shapes, or `x` is
            constant.
    """
    _check_pair(x, reconstruction)
    sums = Sums()
    sums.add(x, reconstruction)
    return sums.fvu()


def explained_variance(x: Tensor, reconstruction: Tensor) -> float:
    """Return 1 − `fvu`: 1 is perfect, 0 is as good as the mean; it may be far below 0.

    Raises:
        ValueError: as `fvu`.
    """
    return 1 - fvu(x, reconstruction)


def magnitude_slope(true: Tensor, found: Tensor) -> float:
    """Return the slope through the origin of found on true magnitudes, over entries active in both.

    Σ t·f / Σ t² over the entries where t ≠ 0 and f ≠ 0: below 1 where magnitudes are shrunk. Give
    it matched columns: `codes[:, m.true]` and `latents[:, m.found]` with `m = match(…)`.

    Args:
        true: codes `(n, k)`.
        found: latents `(n, k)` of the same features in the same order.

    Raises:
        ValueError: if the two are empty, not finite or of different shapes, or never active
            together.
    """
    _check_pair(true, found)
    both = (true != 0) & (found != 0)
    if not both.any():
        raise ValueError("no entry is active in both, so there is nothing to compare")
    t, f = true[both].double(), found.detach()[both].double()
    return float((t * f).sum() / t.square().sum())


# --- Over data of any length ----------------------------------------------------------------------


class Sums:
    """Sums over batches of inputs, in float64, from which all of an `Evaluation` follows."""

    def __init__(self):
        self.inputs, self.width = Moments(), 0
        self.error = 0.0  # Σ ‖x − x̂‖²
        self.active = torch.zeros(())  # (d_sae,): counts

    @property
    def n(self) -> int:
        """Return how many inputs were added."""
        return self.inputs.n

    @torch.no_grad()
    def add(self, x: Tensor, reconstruction: Tensor, latents: Tensor | None = None) -> None:
        """Add inputs `(..., d_in)`, what was made of them, and their latents `(..., d_sae)`."""
        rows = x.reshape(-1, x.shape[-1]).double()
        self.error += float((rows - reconstruction.reshape(rows.shape)).square().sum())
        self.inputs.add(rows)
        if latents is not None:
            active = (latents != 0).reshape(len(rows), -1).sum(0)
            self.active = self.active.to(active.device) + active
        self.width = x.shape[-1]

    def fvu(self) -> float:
        """Return the fraction of variance unexplained; a ValueError if the inputs have none."""
        variance = float(self.inputs.squares.sum())  # Σ ‖x − x̄‖²
        if not variance > 1e-24 * self.n * float(self.inputs.mean.square().sum()):
            raise ValueError(
                "x is constant, so there is no variance to explain; got "
                f"{self.n} equal row(s) of width {self.width}"
            )
        return self.error / variance

    def evaluation(self) -> Evaluation:
        """Return all measures; a ValueError if the inputs have no variance."""
        rates = self.active.double().cpu() / self.n
        return Evaluation(
            n=self.n,
            l0=float(rates.sum()),
            mse=self.error / (self.n * self.width),
            fvu=self.fvu(),
            explained_variance=1 - self.fvu(),
            dead_fraction=float((rates == 0).double().mean()),
            firing_rates=rates,
        )


@torch.no_grad()
def evaluate(
    model: SparseAutoencoder, data: Tensor | Iterable[Tensor], *, batch_size: int = 4096
) -> Evaluation:
    """Measure an autoencoder in `eval` mode, batch by batch.

    Args:
        model: an autoencoder. It is left in the mode it was in.
        data: inputs `(n, d_in)`, or batches of them.
        batch_size: how many inputs of a tensor are taken at once; it changes nothing.

    Raises:
        ValueError: if there are no inputs, they are not finite or constant, or a `BatchTopK` has
            no threshold yet.
    """
    check_whole("batch_size", batch_size)
    sums = Sums()
    with evaluating(model):
        for x in data.split(batch_size) if isinstance(data, Tensor) else data:
            x = x.to(model.W_enc.device)
            output = model(x)
            sums.add(x, output.reconstruction, output.latents)
    if sums.n == 0:
        raise ValueError("data is empty: there is nothing to evaluate on")
    result = sums.evaluation()
    if not math.isfinite(result.fvu):
        raise ValueError("the reconstructions are not finite: the model holds NaN or Inf")
    return result


def _check_pair(x: Tensor, other: Tensor) -> None:
    check_rows("x", x)
    check_rows("what is compared with x", other)
    if x.shape != other.shape:
        raise ValueError(f"shapes differ: {tuple(x.shape)} and {tuple(other.shape)}")
