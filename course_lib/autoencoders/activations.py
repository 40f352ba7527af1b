"""The activations that make latents sparse: which pre-activations are kept, and as what.

ReLU is PyTorch's own `nn.ReLU`. The others stand here. Chapter 06 introduces them.
"""

import torch
from torch import Tensor, nn

from course_lib.checks import check_number, check_whole


class TopK(nn.Module):
    """Keep the k largest pre-activations of each input and put zero for the others.

    Equal values are told apart by their place, so never more than k are kept.

    Args:
        k: how many, at least 1 and at most the number of latents.
        rectify: whether what is kept passes a ReLU too, so that latents are never negative and
            there may be fewer than k. Without it, k = d_sae leaves a linear autoencoder.

    Source: Gao et al. 2024 (2406.04093), section 2.3.
    """

    def __init__(self, k: int, *, rectify: bool = True):
        super().__init__()
        check_whole("k", k)
        self.k, self.rectify = k, bool(rectify)

    def forward(self, pre: Tensor) -> Tensor:
        """Keep the k largest pre-activations of each input, (..., d_sae) in and out."""
        values, indices = pre.topk(self.k, dim=-1, sorted=False)
        if self.rectify:
            values = values.relu()
        return torch.zeros_like(pre).scatter(-1, indices, values)

    def settings(self) -> dict:
        """Return what builds it again, besides its tensors, as plain values."""
        return {"k": self.k, "rectify": self.rectify}

    def extra_repr(self) -> str:
        """Return what `print` shows of it."""
        return f"k={self.k}, rectify={self.rectify}"


class BatchTopK(nn.Module):
    """Keep the k · B largest positive pre-activations of a batch of B inputs.

    An input may so have more latents than another. That holds in training mode only. In `eval`
    mode each input is on its own: what reaches `threshold` is kept, whatever else is in the batch.

    During training the threshold is the running mean, over batches, of the smallest value that was
    kept. It starts with the first batch, and remembers about a hundred. `fit` ends with
    `calibrate`, which computes it from data: then inputs have k latents on average. It is a buffer,
    so it is saved with the model.

    Args:
        k: how many latents an input has on average, at least 1 and at most all.

    Source: Bussmann et al. 2024 (2412.06410).
    """

    def __init__(self, k: int):
        super().__init__()
        check_whole("k", k)
        self.k = k
        self.register_buffer("threshold", torch.tensor(torch.nan))
        self.register_buffer("n_batches", torch.tensor(0))

    def forward(self, pre: Tensor) -> Tensor:
        """Keep the largest pre-activations of a batch, (n, d_sae) in and out; see the class."""
        if not self.training:
            if self.threshold.isnan():
                raise ValueError(
                    "this BatchTopK has no threshold yet, so it cannot look at inputs one by one: "
                    "train it with fit, or compute the threshold with calibrate"
                )
            return pre * (pre >= self.threshold)
        positive = pre.relu().flatten()
        values, indices = positive.topk(self.k * pre[..., 0].numel(), sorted=False)
        kept = values.detach()[values > 0]
        if len(kept):
            self._remember(kept.min())
        return torch.zeros_like(positive).scatter(0, indices, values).view_as(pre)

    def _remember(self, smallest: Tensor) -> None:
        self.n_batches += 1
        if self.n_batches == 1:
            self.threshold.copy_(smallest)
        else:
            # An average of all batches so far until there are a hundred, and a running one then.
            self.threshold.lerp_(smallest, 1 / min(int(self.n_batches), 100))

    def settings(self) -> dict:
        """Return what builds it again, besides its tensors, as plain values."""
        return {"k": self.k}

    def extra_repr(self) -> str:
        """Return what `print` shows of it."""
        return f"k={self.k}, threshold={float(self.threshold):.4g}"


class _Jump(torch.autograd.Function):
    """z · H(z − θ), with the pseudo-derivative for θ: −(θ/ε) · K((z − θ)/ε)."""

    @staticmethod
    def forward(ctx, z, theta, bandwidth):
        """Return z · H(z − θ); z (..., d_sae), θ (d_sae,)."""
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        return z * (z > theta)

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradients for z and, by the pseudo-derivative, θ."""
        z, theta = ctx.saved_tensors
        near = rectangle((z - theta) / ctx.bandwidth)
        for_theta = -(theta / ctx.bandwidth) * near * gradient
        return gradient * (z > theta), for_theta.reshape(-1, len(theta)).sum(0), None


class _Step(torch.autograd.Function):
    """H(z − θ), with the pseudo-derivative for θ: −(1/ε) · K((z − θ)/ε); none for z."""

    @staticmethod
    def forward(ctx, z, theta, bandwidth):
        """Return H(z − θ) in the dtype of z; z (..., d_sae), θ (d_sae,)."""
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        return (z > theta).to(z.dtype)

    @staticmethod
    def backward(ctx, gradient):
        """Return no gradient for z, and that of the pseudo-derivative for θ."""
        z, theta = ctx.saved_tensors
        near = rectangle((z - theta) / ctx.bandwidth)
        for_theta = -(near / ctx.bandwidth) * gradient
        return None, for_theta.reshape(-1, len(theta)).sum(0), None


def rectangle(u: Tensor) -> Tensor:
    """Return the kernel K(u): 1 where u lies between −½ and ½, else 0, in the dtype of `u`."""
    return (u.abs() < 0.5).to(u.dtype)


class JumpReLU(nn.Module):
    """Keep a pre-activation unchanged if it is above its latent's own threshold θ, else put zero.

    The number of active latents is a step function of θ, whose derivative is zero almost
    everywhere. Training uses a pseudo-derivative instead: pre-activations within ε/2 of θ stand for
    the density of all of them there.

    Args:
        d_sae: the number of latents.
        threshold: θ at the start, above 0, in units of the pre-activations.
        bandwidth: ε, above 0, in the same units. The paper takes 0.001 for billions of examples;
            with thousands, so narrow a window is nearly always empty.
        log: whether the parameter is log θ, which keeps θ positive by itself. Else it is θ, and
            `project` puts negative ones to zero after each step.

    Source: Rajamanoharan et al. 2024b (2407.14435).
    """

    def __init__(
        self, d_sae: int, *, threshold: float = 0.1, bandwidth: float = 0.1, log: bool = True
    ):
        super().__init__()
        check_whole("d_sae", d_sae)
        check_number("threshold", threshold, low=0, above=True)
        check_number("bandwidth", bandwidth, low=0, above=True)
        self.start, self.bandwidth, self.log = float(threshold), float(bandwidth), bool(log)
        start = torch.full((d_sae,), self.start)
        if log:
            self.log_threshold = nn.Parameter(start.log())
        else:
            self.threshold = nn.Parameter(start)

    @property
    def theta(self) -> Tensor:
        """The thresholds, `(d_sae,)`."""
        return self.log_threshold.exp() if self.log else self.threshold

    def forward(self, pre: Tensor) -> Tensor:
        """Zero what is not above its latent's threshold, (..., d_sae) in and out."""
        return _Jump.apply(pre, self.theta, self.bandwidth)

    def l0(self, pre: Tensor) -> Tensor:
        """Return the number of active latents of each input, `(…,)`; θ gets its gradient."""
        return _Step.apply(pre, self.theta, self.bandwidth).sum(-1)

    @torch.no_grad()
    def project(self) -> None:
        """Keep thresholds that are learned as they are from falling below zero."""
        if not self.log:
            self.threshold.clamp_(min=0)

    @torch.no_grad()
    def reset(self, latents: Tensor) -> None:
        """Put the thresholds of some latents, `(d_sae,)` booleans, back to the start."""
        start = torch.tensor(self.start)
        parameter = self.log_threshold if self.log else self.threshold
        parameter[latents] = (start.log() if self.log else start).to(parameter)

    def settings(self) -> dict:
        """Return what builds it again, besides its tensors, as plain values."""
        return {"threshold": self.start, "bandwidth": self.bandwidth, "log": self.log}

    def extra_repr(self) -> str:
        """Return what `print` shows of it."""
        return f"bandwidth={self.bandwidth}, log={self.log}"


class Gated(nn.Module):
    """Let one path decide whether a latent is active, and another how strongly.

    With π = (x − b_dec) W_enc + b_enc, the gate, a latent is H(π) · ReLU(π_mag), where
    π_mag = exp(r_mag) ⊙ (π − b_enc) + b_mag: the two paths share their directions and differ in
    scale and bias. The penalty on ReLU(π) shrinks the gate and leaves the magnitude alone. H has no
    gradient, so the gate learns from an auxiliary reconstruction (`losses.gate_loss`).

    Args:
        d_sae: the number of latents.

    Source: Rajamanoharan et al. 2024a (2404.16014).
    """

    def __init__(self, d_sae: int):
        super().__init__()
        check_whole("d_sae", d_sae)
        self.r_mag = nn.Parameter(torch.zeros(d_sae))
        self.b_mag = nn.Parameter(torch.zeros(d_sae))

    def forward(self, pre: Tensor, b_enc: Tensor) -> Tensor:
        """Return the gated magnitudes, (..., d_sae) in and out."""
        magnitude = self.r_mag.exp() * (pre - b_enc) + self.b_mag
        return (pre > 0) * magnitude.relu()

    @torch.no_grad()
    def reset(self, latents: Tensor) -> None:
        """Put the magnitudes of some latents, `(d_sae,)` booleans, back to the start."""
        self.r_mag[latents] = 0
        self.b_mag[latents] = 0

    def settings(self) -> dict:
        """Return what builds it again, besides its tensors, as plain values."""
        return {}


KINDS = {kind.__name__: kind for kind in (nn.ReLU, TopK, BatchTopK, JumpReLU, Gated)}
