"""Bringing dead latents back: start them anew where the reconstruction is worst."""

import torch
from torch import Tensor

from course_lib.autoencoders.activations import Gated, JumpReLU
from course_lib.autoencoders.model import SparseAutoencoder
from course_lib.checks import check_rows
from course_lib.hooks import evaluating


@torch.no_grad()
def resample(
    model: SparseAutoencoder,
    x: Tensor,
    dead: Tensor,
    *,
    draw: torch.Generator,
    optimiser: torch.optim.Optimizer | None = None,
) -> int:
    """Point dead latents at badly reconstructed inputs, in place; return how many there were.

    Inputs are drawn with probability in proportion to their squared loss. A dead latent's decoder
    row becomes x̃ − b_dec of its input, at norm 1; its encoder the same direction at a fifth of the
    mean norm of the living encoders; its bias zero; and what the activation and the optimiser hold
    for it starts anew. An input is used twice only if there are more dead latents than inputs.

    Args:
        model: an autoencoder.
        x: inputs `(n, d_in)`, many more than there are dead latents.
        dead: which latents are dead, `(d_sae,)` booleans.
        draw: the generator that draws inputs, on the CPU.
        optimiser: an Adam whose running means of these latents are put to zero.

    Returns:
        The number of latents that were started anew. It is zero if nothing is dead, or if the
        reconstruction is perfect.

    Raises:
        ValueError: if `dead` is not booleans of shape `(d_sae,)`, or the inputs are as
            `SparseAutoencoder.encode` rejects them, or a `BatchTopK` has no threshold yet.

    Source: Bricken et al. 2023, the appendix on resampling. There the input itself is taken; here
    the decoder's bias is taken off, because it is added again.
    """
    if dead.dtype != torch.bool or dead.shape != (model.d_sae,):
        raise ValueError(
            f"dead must be boolean of shape ({model.d_sae},); got {dead.dtype} of shape "
            f"{tuple(dead.shape)}"
        )
    check_rows("x", x, model.d_in)
    n_dead = int(dead.sum())
    if n_dead == 0:
        return 0
    with evaluating(model):
        reconstructed = model.encode(x) @ model.W_dec
    wanted = model.normalise(x) - model.b_dec  # (n, d_in)
    loss = (wanted - reconstructed).square().sum(1)
    weight = loss.double().cpu().square() * (wanted.norm(dim=1) > 0).cpu()
    if not weight.any():
        return 0
    enough = int((weight > 0).sum()) >= n_dead
    chosen = torch.multinomial(weight, n_dead, replacement=not enough, generator=draw)
    directions = torch.nn.functional.normalize(wanted[chosen.to(x.device)], dim=1)  # (n_dead, d_in)
    living = model.W_enc[:, ~dead] if not dead.all() else model.W_enc
    model.W_dec[dead] = directions
    model.W_enc[:, dead] = 0.2 * living.norm(dim=0).mean() * directions.t()
    model.b_enc[dead] = 0
    if isinstance(model.activation, JumpReLU | Gated):
        model.activation.reset(dead)
    if optimiser is not None:
        _forget(model, dead, optimiser)
    return n_dead


def _forget(model: SparseAutoencoder, dead: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Put Adam's running means of some latents to zero: they belong to what the latents were."""
    for parameter in model.parameters():
        for moment in optimiser.state.get(parameter, {}).values():
            if moment.shape != parameter.shape or parameter is model.b_dec:
                continue  # the count of steps, and what no latent owns
            if parameter is model.W_enc:
                moment[:, dead] = 0
            else:
                moment[dead] = 0
