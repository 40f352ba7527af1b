"""What to remove: a score for each weight. The lowest go first.

Scores are a plain dictionary of tensors by parameter name, of the weights' shapes. `magnitude` and
`random` need the network alone, and `synflow` the width of its input; the others need data, because
they ask what a weight does to the loss.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from course_lib import seeds
from course_lib.checks import check_whole
from course_lib.data import Split
from course_lib.networks import Image, StackedLinear
from course_lib.pruning.layers import PRUNABLE, plain_name, prunable

# Layers without weights that scale with a positive input: `synflow` can follow paths through them.
POSITIVE = (
    *(nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Dropout, nn.Flatten, nn.Unflatten, Image),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that can be pruned, by parameter name, detached, as the network uses them.

    These are the weights of linear and convolutional layers. Biases are never pruned: there are
    few of them, and a missing bias changes what a neuron does for every input.

    Raises:
        ValueError: if the model has no such layer.
    """
    found = {name: module.weight.detach() for name, module in prunable(model).items()}
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no linear or convolutional layer, so nothing to prune"
        )
    return found


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Score each of the `weights` by its absolute value (Han et al. 2015, 1506.02626)."""
    return {name: weight.abs() for name, weight in weights(model).items()}


def random(model: nn.Module, *, seed: int | Sequence[int]) -> dict[str, Tensor]:
    """Score each weight by chance, s ~ U(0, 1): the control of every other score.

    The same seed gives the same scores, so that masks of growing sparsity are nested. A stack of
    S networks takes S seeds, and scores each network as it would be scored alone. The scores share
    nothing with the weights that `networks.initialise` draws from the same seed.

    Raises:
        ValueError: if the number of seeds is not the number of networks.
    """

    def draw(shapes: Mapping[str, torch.Size], seed: int) -> dict[str, Tensor]:
        generator = seeds.generator(seed, "random scores")
        return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}

    found = weights(model)
    shapes = {name: weight.shape for name, weight in found.items()}
    if isinstance(seed, Sequence):
        stacked = {len(m.weight) for m in prunable(model).values() if isinstance(m, StackedLinear)}
        if stacked != {len(seed)}:
            raise ValueError(f"a stack takes one seed for each network; got {len(seed)} seeds")
        rows = [draw({name: shape[1:] for name, shape in shapes.items()}, one) for one in seed]
        drawn = {name: torch.stack([row[name] for row in rows]) for name in shapes}
    else:
        drawn = draw(shapes, seed)
    return {name: score.to(found[name].device) for name, score in drawn.items()}


def snip(model: nn.Module, batch: Split) -> dict[str, Tensor]:
    """Score each weight by what switching it off would do to the loss, to first order.

    Give each weight a switch c = 1. The score is `|∂L/∂c| = |g ⊙ W|`, where g is the gradient of
    the loss L on one batch (Lee et al. 2019, 1810.02340, taken before training; their division by
    the sum changes no rank and is left out).

    `prune(model, 0.9, score=lambda m: snip(m, batch))` prunes by it.

    Args:
        model: a classifier, masked or not; it stays as it is. The loss is taken in `eval` mode.
        batch: inputs `(n, d)` and labels `(n,)`; for a stack of S networks `(S, n, d)`, `(S, n)`.

    Raises:
        ValueError: if the batch is empty or inputs and labels differ in number.
    """
    return {name: product.abs() for name, product in _gradient_times_weight(model, batch).items()}


def taylor(
    model: nn.Module, split: Split, *, batch_size: int = 60, units: bool = False
) -> dict[str, Tensor]:
    """Score each weight by its squared first-order effect on the loss, a mean over batches.

    The score is the mean over mini-batches of (g ⊙ W)² (Molchanov et al. 2019, 1906.10771). The
    square is taken in each batch: over all data, the gradient of a trained network is nearly zero,
    and gains and losses cancel.

    Args:
        model: a classifier, masked or not; it stays as it is. The loss is taken in `eval` mode.
        split: items as in `snip`, cut into batches in their order.
        batch_size: items in a batch; the last may hold fewer.
        units: whether to score a neuron or channel as a whole, (Σ g ⊙ W)² over its weights. Each
            weight then has an equal part of it, so that `units(rule, norm=1)` puts it together.

    Raises:
        ValueError: as `snip`, or if `batch_size` is below one.
    """
    check_whole("batch_size", batch_size)
    layers, total, n_batches = prunable(model), {}, 0
    items = split.y.ndim - 1  # the dimension of the items: 0, for a stack 1
    batches = zip(split.x.split(batch_size, items), split.y.split(batch_size, items), strict=False)
    for x, y in batches:
        n_batches += 1
        for name, product in _gradient_times_weight(model, Split(x, y)).items():
            if units:
                first = 2 if isinstance(layers[name], StackedLinear) else 1
                row = tuple(range(first, product.ndim))  # all but (n_out,), for a stack (S, n_out)
                effect = product.sum(row, keepdim=True).square()
                product = (effect / product[(0,) * first].numel()).expand_as(product)
            else:
                product = product.square()
            total[name] = total.get(name, 0) + product
    return {name: score / n_batches for name, score in total.items()}


def synflow(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Score each weight by its share of the flow through the network, without any data.

    Take the absolute values of all weights and no biases, and put in ones: `R = 1ᵀ |W_L| … |W_1| 1`
    adds up, over all paths from an input to an output, the product of the weights on the path. The
    score is `∂R/∂|W| ⊙ |W|`, what the paths through a weight contribute (Tanaka et al. 2020,
    2006.05467). In every layer the scores add up to R, so no layer can lose them all.

    The paper prunes by it in 100 small steps and scores anew after each, as
    `tickets.synflow_masks` does.

    Args:
        model: linear and convolutional layers, activations that leave positive numbers as they are
            (ReLU, leaky ReLU, identity), pooling, flatten, dropout; masked or not, or a stack.
        x: any inputs of the network, `(n, d)`, for a stack `(S, n, d)`; their shape alone counts.

    Returns:
        Scores in float64, because products over layers leave the range of float32.

    Raises:
        ValueError: if the model holds a layer of another kind, such as batch norm or a sigmoid.
    """
    found, known = weights(model), (*PRUNABLE, *POSITIVE)
    for name, layer in model.named_modules():
        is_part = type(layer) is nn.Sequential or "parametrizations" in name
        if not is_part and not isinstance(layer, known):
            raise ValueError(
                f"synflow knows only {', '.join(kind.__name__ for kind in known)} in sequence: "
                f"layers that scale with a positive input; got {name} {type(layer).__name__}"
            )
    positive = {
        name: torch.zeros_like(value, dtype=torch.float64)
        if name.endswith("bias")
        else value.detach().abs().double().requires_grad_()
        for name, value in model.named_parameters()
    }
    switched = {name: value for name, value in positive.items() if value.requires_grad}
    device = next(iter(found.values())).device
    ones = torch.ones_like(x[..., :1, :], dtype=torch.float64, device=device)  # (1, d)
    training = model.training
    model.eval()  # no dropout
    with torch.enable_grad():
        flow = torch.func.functional_call(model, positive, ones).sum()  # over a stack as well
        gradients = torch.autograd.grad(flow, list(switched.values()))
    model.train(training)
    scores = {
        plain_name(name): g * value.detach()
        for (name, value), g in zip(switched.items(), gradients, strict=True)
    }
    return {name: scores[name] for name in found}


def _gradient_times_weight(model: nn.Module, batch: Split) -> dict[str, Tensor]:
    """Return g ⊙ W for the mean loss over the batch, of each network in a stack."""
    x, y = batch.x, batch.y
    if y.numel() == 0 or x.shape[: y.ndim] != y.shape:
        raise ValueError(
            "a batch holds at least one item, and a label for each; "
            f"got inputs {tuple(x.shape)} and labels {tuple(y.shape)}"
        )
    device = next(iter(weights(model).values())).device
    training = model.training
    model.eval()  # batch norm would count this batch, and dropout would move the generator
    with torch.enable_grad(), parametrize.cached():  # cached: the weight that the model uses
        used = {name: layer.weight for name, layer in prunable(model).items()}
        logits = model(x.to(device))
        losses = F.cross_entropy(logits.flatten(0, -2), y.to(device).flatten())
        n_networks = y.numel() // y.shape[-1]  # one loss each, added up: none sees another
        gradients = torch.autograd.grad(losses * n_networks, list(used.values()))
    model.train(training)
    return {
        name: (gradient * weight).detach()
        for (name, weight), gradient in zip(used.items(), gradients, strict=True)
    }
