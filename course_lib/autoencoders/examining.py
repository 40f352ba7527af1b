"""Latents of a hidden layer one by one: what each responds to, and what it does to the outputs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib.autoencoders.metrics import firing_rates
from course_lib.autoencoders.model import SparseAutoencoder
from course_lib.autoencoders.splicing import splice
from course_lib.checks import check_rows
from course_lib.data import Split
from course_lib.hooks import device_of, evaluating, substitute


class Examination(NamedTuple):
    """What `examine` finds: of d_sae latents, on n inputs of d numbers, with C outputs.

    All tensors are on the CPU. A latent is active for an input if it is not zero. Rows of latents
    that never are, in the last three, are zero.

    `activations` are the latents, `(n, d_sae)`. `firing_rates`, float64 `(d_sae,)`, are the shares
    of inputs for which each is active. `directions`, `(d_sae, d)`, are the means of
    ∂(a(x) · W_dec_i) / ∂x over the inputs for which latent i is active: by how much a small change
    of each input number moves the layer's output a(x) along row i of the decoder. `effects`,
    `(d_sae, C)`, are the mean changes of the outputs over the same inputs when the latent is
    removed: its part is taken out of what the layer puts out, and all else stays, the error of the
    autoencoder too. `accuracy`, float64 `(d_sae,)`, is by how much the accuracy on all inputs then
    changes, in percentage points.
    """

    activations: Tensor
    firing_rates: Tensor
    directions: Tensor
    effects: Tensor
    accuracy: Tensor


def examine(
    network: nn.Module, layer: str | nn.Module, autoencoder: SparseAutoencoder, split: Split
) -> Examination:
    """Return what each latent of a hidden layer responds to, and what happens when it is removed.

    Args:
        network: maps `(n, d)` to logits `(n, C)`, each row on its own. It runs in `eval` mode, as
            the autoencoder does, and is left as it was.
        layer: the name of a part of it, or the part itself, that puts out `(n, d_in)`.
        autoencoder: of that layer's output.
        split: the inputs and their labels. They should not be those of training: a latent looks
            better on what it was fitted to.

    Raises:
        ValueError: if there is no such layer, the layer or the network does not put out rows, the
            inputs are no rows of finite floats, the labels do not fit them, or the autoencoder
            does not fit the layer.
    """
    check_rows("split.x", split.x)
    if split.x.ndim != 2 or split.y.shape != split.x.shape[:1] or split.y.is_floating_point():
        raise ValueError(
            "a split has inputs (n, d) and n whole numbers as labels; got "
            f"{tuple(split.x.shape)} and {split.y.dtype} of shape {tuple(split.y.shape)}"
        )
    device = device_of(network)
    x, y = split.x.detach().to(device), split.y.to(device)
    kept: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # the next layer may work in place

    with evaluating(network), evaluating(autoencoder):
        with torch.enable_grad(), substitute(network, layer, keep):
            x.requires_grad_()
            logits = network(x)
        for whose, output in (("the layer", kept[-1] if kept else None), ("the network", logits)):
            if output is None or output.ndim != 2 or len(output) != len(x):
                got = "nothing" if output is None else tuple(output.shape)
                raise ValueError(f"{whose} must put out {len(x)} rows, one an input; got {got}")
        with torch.no_grad():
            latents = autoencoder.encode(kept[-1])
        active = latents != 0  # (n, d_sae)
        directions = _directions(kept[-1], x, active, autoencoder)
        changes, accuracy = _removals(
            network, layer, autoencoder, Split(x.detach(), y), active, logits.detach()
        )
    found = Examination(latents, firing_rates(latents), directions, changes, accuracy)
    return Examination(*(tensor.cpu() for tensor in found))


def _directions(output: Tensor, x: Tensor, active: Tensor, autoencoder) -> Tensor:
    """Means of ∂(a(x) · W_dec_i) / ∂x, `(d_sae, d)`, over the inputs where latent i is active."""
    means = torch.zeros(autoencoder.d_sae, x.shape[1], device=x.device)
    for i in active.any(0).nonzero().flatten().tolist():
        # A row of the output depends on its own input only, so one pass serves for all inputs.
        along = active[:, i : i + 1] * autoencoder.W_dec[i].detach()  # (n, d_in)
        (gradient,) = torch.autograd.grad(output, x, along, retain_graph=True)
        means[i] = gradient.sum(0) / active[:, i].sum()
    return means


@torch.no_grad()
def _removals(
    network: nn.Module,
    layer: str | nn.Module,
    autoencoder: SparseAutoencoder,
    split: Split,
    active: Tensor,
    logits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Mean change of each logit, and change of the accuracy, without each latent."""
    changes = torch.zeros(autoencoder.d_sae, logits.shape[1], device=logits.device)
    accuracy = torch.zeros(autoencoder.d_sae, dtype=torch.float64)
    right = logits.argmax(1) == split.y
    others = torch.ones(autoencoder.d_sae, device=logits.device)
    for i in active.any(0).nonzero().flatten().tolist():
        others[i] = 0
        where = active[:, i]  # nothing changes for other inputs
        with splice(network, layer, autoencoder, edit=lambda f: f * others, keep_error=True):
            without = network(split.x[where])
        others[i] = 1
        changes[i] = (without - logits[where]).mean(0)
        now_right = without.argmax(1) == split.y[where]
        accuracy[i] = 100 * (int(now_right.sum()) - int(right[where].sum())) / len(split.x)
    return changes, accuracy
