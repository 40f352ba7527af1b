"""Autoencoders inside a network: take activations out, put reconstructions in, see what it costs.

Nothing stays behind in the network: hooks go when the work is done, also after an error.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.autoencoders.model import SparseAutoencoder
from course_lib.checks import check_whole
from course_lib.data import Split
from course_lib.hooks import device_of, evaluating, substitute


class LossRecovered(NamedTuple):
    """Losses of a network as it is, spliced and ablated, and the share that splicing recovers.

    `share` is (ablated − spliced) / (ablated − original): 1 if the reconstruction serves as well as
    the activations, 0 if no better than the ablation; it may be outside [0, 1].
    """

    original: float
    spliced: float
    ablated: float
    share: float


@torch.no_grad()
def collect_activations(
    model: nn.Module,
    layer: str | nn.Module,
    data: Tensor | Split | Iterable[Tensor],
    *,
    dim: int = -1,
    batch_size: int = 1024,
) -> Tensor:
    """Return what a layer puts out, as rows `(rows, d)` on the CPU, in the order of the data.

    Args:
        model: any network. It runs in `eval` mode and is left as it was.
        layer: the name of a part of it, as in `model.named_modules()`, or the part itself.
        data: inputs `(n, …)`, a `data.Split` (its labels are not used), or batches of inputs.
        dim: the dimension of the output that holds the units, 1 for the channels of images. All
            others become rows.
        batch_size: how many inputs of a tensor are taken at once.

    Raises:
        ValueError: if there is no such layer, it puts out something else than one tensor, it is not
            reached, or there are no data.
    """
    check_whole("batch_size", batch_size)
    rows: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        units = output.detach().movedim(dim, -1)
        # A copy: the next layer may work in place, as nn.ReLU(inplace=True) does.
        rows.append(units.reshape(-1, units.shape[-1]).to("cpu", copy=True))
        return output

    data = data.x if isinstance(data, Split) else data
    with evaluating(model), substitute(model, layer, keep):
        for x in data.split(batch_size) if isinstance(data, Tensor) else data:
            if len(x):
                model(x.to(device_of(model)))
    if not rows:
        raise ValueError(
            f"layer {layer!r} put nothing out: there are no data, or it is not reached"
        )
    return torch.cat(rows)


@contextmanager
def splice(
    model: nn.Module,
    layer: str | nn.Module,
    autoencoder: SparseAutoencoder,
    *,
    dim: int = -1,
    edit: Callable[[Tensor], Tensor] | None = None,
    keep_error: bool = False,
) -> Iterator[nn.Module]:
    """Within the `with`, let an autoencoder's reconstruction take the place of a layer's output.

    Gradients flow through it. The autoencoder is in `eval` mode meanwhile; the network keeps its
    own.

    Args:
        model: any network.
        layer: the name of a part of it, or the part itself.
        autoencoder: one for as many inputs as the layer has units.
        dim: the dimension that holds the units, as in `collect_activations`.
        edit: changes the latents `(…, d_sae)` before they are decoded, for example puts one to
            zero. It returns a new tensor.
        keep_error: whether to add what the autoencoder misses, x − x̂ before the edit, so that only
            the edit makes a difference.

    Raises:
        ValueError: as `substitute`, or if the autoencoder does not fit.
    """

    def through(output: Tensor) -> Tensor:
        x = output.movedim(dim, -1)
        latents = autoencoder.encode(x)
        new = autoencoder.decode(latents if edit is None else edit(latents))
        if keep_error:
            new = new + (x - autoencoder.decode(latents))
        return new.movedim(-1, dim)

    with evaluating(autoencoder), substitute(model, layer, through):
        yield model


@torch.no_grad()
def loss_recovered(
    model: nn.Module,
    layer: str | nn.Module,
    autoencoder: SparseAutoencoder,
    split: Split,
    *,
    dim: int = -1,
    ablation: str = "mean",
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> LossRecovered:
    """Return how much of a network's loss survives when an autoencoder stands in for a layer.

    Args:
        model: a network, run in `eval` mode on all inputs at once.
        layer: the name of a part of it, or the part itself.
        autoencoder: stands in for its output.
        split: inputs and labels.
        dim: the dimension that holds the units, as in `collect_activations`.
        ablation: what the layer is compared with: `"mean"`, the mean output of each unit, or
            `"zero"`, which a layer far from zero finds harder.
        loss: takes the network's outputs, in float64, and the labels.

    Raises:
        ValueError: as `splice`; if `ablation` is another word; or if the ablation does not raise
            the loss, so that there is nothing to recover.
    """
    if ablation not in ("mean", "zero"):
        raise ValueError(f'ablation is "mean" or "zero"; got {ablation!r}')

    def constant(output: Tensor) -> Tensor:
        if ablation == "zero":
            return torch.zeros_like(output)
        units = output.movedim(dim, -1)
        mean = units.reshape(-1, units.shape[-1]).mean(0)
        return mean.expand_as(units).movedim(-1, dim)

    def measure(*contexts) -> float:
        with ExitStack() as stack:
            for context in (evaluating(model), *contexts):
                stack.enter_context(context)
            outputs = model(split.x.to(device_of(model)))
        return float(loss(outputs.double(), split.y.to(outputs.device)))

    original = measure()
    spliced = measure(splice(model, layer, autoencoder, dim=dim))
    ablated = measure(substitute(model, layer, constant))
    if not ablated > original:
        raise ValueError(
            f"the {ablation} ablation of layer {layer!r} does not raise the loss ({ablated:.4g} "
            f"after {original:.4g}), so there is nothing to recover"
        )
    share = (ablated - spliced) / (ablated - original)
    return LossRecovered(original, spliced, ablated, share)
