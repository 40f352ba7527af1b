"""What training makes small: squared error, a price for active latents, and work for dead ones.

All are in normalised units: errors are those of x̃, so that they do not depend on the scale of the
data. A squared error is summed over dimensions and averaged over inputs.
"""

import torch
from torch import Tensor, nn

from course_lib.autoencoders.activations import BatchTopK, Gated, JumpReLU, TopK
from course_lib.autoencoders.model import Output, SparseAutoencoder


def reconstruction_loss(model: SparseAutoencoder, x: Tensor, output: Output) -> Tensor:
    """Return the mean over inputs of ‖x̃ − x̃̂‖², a scalar."""
    return residual(model, x, output).square().sum(-1).mean()


def sparsity_loss(model: SparseAutoencoder, output: Output) -> Tensor:
    """Return the mean over inputs of what λ multiplies, a scalar.

    ReLU: Σ f_i, the L1 norm (Bricken et al. 2023). Gated: Σ ReLU(π_i), the L1 norm of the gate.
    JumpReLU: Σ H(π_i − θ_i), the number of active latents, L0. Decoder rows have norm 1, so no
    latent can become cheap by a longer row.

    Raises:
        ValueError: for `TopK` and `BatchTopK`, which fix L0 and pay nothing.
    """
    activation = model.activation
    if isinstance(activation, nn.ReLU):
        return output.latents.sum(-1).mean()
    if isinstance(activation, Gated):
        return output.pre_activations.relu().sum(-1).mean()
    if isinstance(activation, JumpReLU):
        return activation.l0(output.pre_activations).mean()
    raise ValueError(f"{type(activation).__name__} fixes L0 by k: it takes no penalty")


def gate_loss(model: SparseAutoencoder, x: Tensor) -> Tensor:
    """Return the mean over inputs of ‖x̃ − x̃̂(ReLU(π))‖², from which a gate learns, a scalar.

    The decoder is frozen here: `W_dec` and `b_dec` get no gradient, also not where `b_dec` is taken
    off the input, because the gate's shrunken reconstruction is not what they are to serve.

    Source: Rajamanoharan et al. 2024a (2404.16014).
    """
    W_dec, b_dec = model.W_dec.detach(), model.b_dec.detach()
    x = model.normalise(x)
    gate = (x - b_dec) @ model.W_enc + model.b_enc
    return (gate.relu() @ W_dec + b_dec - x).square().sum(-1).mean()


def aux_k_loss(model: SparseAutoencoder, x: Tensor, output: Output, dead: Tensor, k: int) -> Tensor:
    """Return the mean over inputs of ‖e − ê‖²: dead latents reconstruct what the others missed.

    e = x̃ − x̃̂ is a constant here. ê = z W_dec, where z keeps the k largest pre-activations of dead
    latents, through a ReLU as in the model itself. Dead latents so get a gradient, in the decoder
    and in the encoder, and the others get none.

    Args:
        model: an autoencoder.
        x: inputs `(…, d_in)`.
        output: what the model made of them, with its graph.
        dead: which latents are dead, `(d_sae,)` booleans.
        k: how many of them an input uses; all, if there are fewer.

    Returns:
        A scalar; zero if no latent is dead.

    Source: Gao et al. 2024 (2406.04093), section 2.4 and appendix A.2.
    """
    k = min(k, int(dead.sum()))
    if k == 0:
        return output.reconstruction.new_zeros(())
    error = residual(model, x, output).detach()
    values, indices = output.pre_activations[..., dead].topk(k, dim=-1, sorted=False)
    values = values.relu() if getattr(model.activation, "rectify", True) else values
    latents = torch.zeros_like(output.pre_activations[..., dead]).scatter(-1, indices, values)
    return (error - latents @ model.W_dec[dead]).square().sum(-1).mean()


def residual(model: SparseAutoencoder, x: Tensor, output: Output) -> Tensor:
    """Return x̃ − x̃̂, `(…, d_in)`; the mean of the normalisation cancels out."""
    return (x - output.reconstruction) / model.input_scale


def takes_penalty(model: SparseAutoencoder) -> bool:
    """Say whether a penalty makes the latents sparse, rather than k."""
    return not isinstance(model.activation, TopK | BatchTopK)
