"""The sparse autoencoder: x ≈ f W_dec + b_dec, where few entries of f are not zero."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib.autoencoders.activations import KINDS, BatchTopK, Gated, JumpReLU, TopK
from course_lib.checks import check_rows, check_whole
from course_lib.seeds import generator


class Output(NamedTuple):
    """What an autoencoder makes of inputs `(…, d_in)`.

    `reconstruction` is `(…, d_in)`, in the units of the input; `latents` and `pre_activations` are
    `(…, d_sae)`.
    """

    reconstruction: Tensor
    latents: Tensor
    pre_activations: Tensor


class SparseAutoencoder(nn.Module):
    """An autoencoder with d_sae latents f, of which few are active for one input.

    π = (x̃ − b_dec) W_enc + b_enc, f = σ(π), x̂ = f W_dec + b_dec, where x̃ is the input, normalised
    if `set_normalisation` was called. Row i of `W_dec` is what latent i stands for; it has norm 1,
    so that latents of different size mean different strengths.

    Parameters are `W_enc` `(d_in, d_sae)`, `b_enc` `(d_sae,)`, `W_dec` `(d_sae, d_in)`, `b_dec`
    `(d_in,)` and those of the activation; `input_mean` `(d_in,)` and `input_scale` `()` are
    buffers. All are float32.

    Args:
        d_in: the width of the input.
        d_sae: the number of latents, often more than `d_in`.
        activation: `nn.ReLU()`, the default; `TopK(k)`, `BatchTopK(k)`, `JumpReLU(d_sae)` or
            `Gated(d_sae)`.
        seed: draws the directions of the decoder, uniformly on the sphere. Biases start at zero.
        tied: whether the encoder starts as the transpose of the decoder. Else its directions are
            drawn alike, on their own. Training unties them in both cases.

    Raises:
        ValueError: if a width is not a positive whole number, k is above `d_sae`, or the activation
            is of another kind or for another number of latents.

    Source: Bricken et al. 2023 for the form; Gao et al. 2024 (2406.04093) for the tied start.
    """

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        activation: nn.Module | None = None,
        *,
        seed: int,
        tied: bool = True,
    ):
        super().__init__()
        check_whole("d_in", d_in)
        check_whole("d_sae", d_sae)
        self.d_in, self.d_sae = d_in, d_sae
        self.activation = nn.ReLU() if activation is None else activation
        _check_activation(self.activation, d_sae)
        decoder = _directions(d_sae, d_in, generator(seed, "autoencoder", "decoder"))
        encoder = decoder
        if not tied:
            encoder = _directions(d_sae, d_in, generator(seed, "autoencoder", "encoder"))
        self.W_enc = nn.Parameter(encoder.t().clone(memory_format=torch.contiguous_format))
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.W_dec = nn.Parameter(decoder)
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        self.register_buffer("input_mean", torch.zeros(d_in))
        self.register_buffer("input_scale", torch.ones(()))

    # --- What it computes ---------------------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents `(…, d_sae)` of inputs `(…, d_in)`.

        Raises:
            ValueError: if the inputs are empty, of another width or dtype, or not finite.
        """
        return self.activate(self.pre_activations(x))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the reconstruction `(…, d_in)`, in the units of the input, of `(…, d_sae)`."""
        if latents.shape[-1] != self.d_sae:
            raise ValueError(
                f"latents must have shape (…, {self.d_sae}); got {tuple(latents.shape)}"
            )
        return (latents @ self.W_dec + self.b_dec) * self.input_scale + self.input_mean

    def forward(self, x: Tensor) -> Output:
        """Return reconstruction, latents and pre-activations of inputs `(…, d_in)`.

        Raises:
            ValueError: as `encode`.
        """
        pre = self.pre_activations(x)
        latents = self.activate(pre)
        return Output(self.decode(latents), latents, pre)

    def pre_activations(self, x: Tensor) -> Tensor:
        """Return π = (x̃ − b_dec) W_enc + b_enc, `(…, d_sae)`, of inputs `(…, d_in)`."""
        return (self.normalise(x) - self.b_dec) @ self.W_enc + self.b_enc

    def activate(self, pre: Tensor) -> Tensor:
        """Return the latents of pre-activations, both `(…, d_sae)`."""
        if isinstance(self.activation, Gated):
            return self.activation(pre, self.b_enc)
        return self.activation(pre)

    def normalise(self, x: Tensor) -> Tensor:
        """Return x̃ = (x − mean) / scale, a new tensor; the one that was given stays as it is."""
        check_rows("x", x, self.d_in)
        if x.dtype != self.W_enc.dtype:
            raise ValueError(f"x must be {self.W_enc.dtype}, as the weights are; got {x.dtype}")
        return (x - self.input_mean) / self.input_scale

    # --- Before training ----------------------------------------------------------------------

    @torch.no_grad()
    def set_normalisation(self, x: Tensor, *, centre: bool = True, scale: bool = True) -> None:
        """Measure inputs `(n, d_in)` and normalise by it from now on, also after loading.

        With `centre` the mean of each dimension is taken off. With `scale` all dimensions are
        divided by one number, so that the mean squared norm of x̃ is `d_in` and a penalty means the
        same for every data set.

        Raises:
            ValueError: if the inputs are as `encode` rejects them, or zero or constant, so that
                nothing is left to scale.
        """
        check_rows("x", x, self.d_in)
        rows = x.reshape(-1, self.d_in).double()
        mean = rows.mean(0) if centre else torch.zeros_like(rows[0])
        size = (rows - mean).square().mean().sqrt()
        if scale and size <= 1e-12 * rows.abs().max():
            raise ValueError(f"x is {'constant' if centre else 'zero'}: it cannot be scaled")
        self.input_mean.copy_(mean)
        self.input_scale.copy_(size if scale else torch.ones_like(size))

    @torch.no_grad()
    def set_decoder_bias(self, x: Tensor, *, by: str = "geometric median") -> None:
        """Start `b_dec` at the centre of inputs `(n, d_in)`, so that latents need not learn it.

        Args:
            x: inputs; they are normalised first, as in `encode`.
            by: `"geometric median"`, the point of the least mean distance to the inputs, which few
                far ones cannot move (Bricken et al. 2023), or `"mean"`.

        Raises:
            ValueError: if the inputs are as `encode` rejects them, or `by` is another word.
        """
        rows = self.normalise(x).reshape(-1, self.d_in)
        if by == "geometric median":
            self.b_dec.copy_(geometric_median(rows))
        elif by == "mean":
            self.b_dec.copy_(rows.double().mean(0))
        else:
            raise ValueError(f'by is "geometric median" or "mean"; got {by!r}')

    # --- In training --------------------------------------------------------------------------

    @torch.no_grad()
    def remove_parallel_gradient(self) -> None:
        """Take off the part of the decoder's gradient that only changes the norms of its rows.

        Call it after the backward pass: `project` would undo that part of the step, and the
        optimiser's running means would keep it (Bricken et al. 2023).
        """
        rows, gradient = self.W_dec, self.W_dec.grad
        if gradient is not None:
            gradient -= (gradient * rows).sum(1, keepdim=True) * rows

    @torch.no_grad()
    def project(self) -> None:
        """Put the rows of the decoder back to norm 1. Call it after the optimiser's step.

        Thresholds of `JumpReLU` that went below zero go back to zero.
        """
        self.W_dec.copy_(nn.functional.normalize(self.W_dec, dim=1))
        if isinstance(self.activation, JumpReLU):
            self.activation.project()

    def settings(self) -> dict:
        """Return what is needed to build it again, besides its tensors, as plain values."""
        kind = type(self.activation)
        own = {} if kind is nn.ReLU else self.activation.settings()
        activation = {"kind": kind.__name__} | own
        return {"d_in": self.d_in, "d_sae": self.d_sae, "activation": activation}

    def extra_repr(self) -> str:
        """Return what `print` shows of it."""
        return f"d_in={self.d_in}, d_sae={self.d_sae}"


@torch.no_grad()
def calibrate(model: SparseAutoencoder, x: Tensor) -> float:
    """Set the threshold of a `BatchTopK` so that inputs have k latents on average; return it.

    Args:
        model: an autoencoder with `BatchTopK`; its threshold changes in place.
        x: inputs `(n, d_in)`, best those of training.

    Raises:
        ValueError: if the activation is another, the inputs are as `encode` rejects them, or no
            pre-activation is positive: then all latents are dead.
    """
    if not isinstance(model.activation, BatchTopK):
        raise ValueError(f"only BatchTopK has such a threshold; got {model.activation}")
    pre = model.pre_activations(x).flatten()
    smallest = pre.topk(model.activation.k * (len(pre) // model.d_sae), sorted=False).values
    smallest = smallest[smallest > 0]
    if len(smallest) == 0:
        raise ValueError("no pre-activation is positive: all latents are dead")
    model.activation.threshold.copy_(smallest.min())
    return float(model.activation.threshold)


@torch.no_grad()
def geometric_median(x: Tensor, *, steps: int = 100, tolerance: float = 1e-6) -> Tensor:
    """Return the point `(d,)` of the least mean Euclidean distance to rows `(n, d)`.

    Weiszfeld's iteration in float64: a mean with weights 1 / distance, again and again, until it
    moves by less than `tolerance` times the spread of the rows.

    Raises:
        ValueError: if the rows are empty or not finite.
    """
    check_rows("x", x)
    rows = x.reshape(-1, x.shape[-1]).double()
    point = rows.mean(0)
    spread = (rows - point).norm(dim=1).mean()
    for _ in range(steps):
        # The least distance keeps the weight of a row finite when the point meets it.
        distance = (rows - point).norm(dim=1).clamp_min(1e-9 * spread)
        weight = 1 / distance if spread > 0 else torch.ones_like(distance)
        new = (weight.unsqueeze(1) * rows).sum(0) / weight.sum()
        moved = (new - point).norm()
        point = new
        if moved <= tolerance * spread:
            break
    return point.to(x.dtype)


def _directions(n: int, d: int, draw: torch.Generator) -> Tensor:
    return nn.functional.normalize(torch.randn(n, d, generator=draw), dim=1)


def _check_activation(activation: nn.Module, d_sae: int) -> None:
    if type(activation) not in KINDS.values():
        raise ValueError(f"activation must be one of {', '.join(KINDS)}; got {activation!r}")
    if isinstance(activation, TopK | BatchTopK) and activation.k > d_sae:
        raise ValueError(f"k = {activation.k} is more than the {d_sae} latents that there are")
    sizes = {len(parameter) for parameter in activation.parameters()}
    if sizes - {d_sae}:
        raise ValueError(
            f"{type(activation).__name__} is made for {sizes.pop()} latents; the autoencoder has "
            f"{d_sae}"
        )
