"""Small plain networks, initialised from a seed, and several of them as one.

Both networks are `nn.Sequential`, so every layer can be read, replaced and pruned by its number.
"""

import copy
import operator
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ELEMENTWISE = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.LeakyReLU, nn.Identity)


def mlp(
    sizes: Sequence[int] = (64, 300, 100, 10),
    *,
    activation: type[nn.Module] = nn.ReLU,
    seed: int,
) -> nn.Sequential:
    """Return a multilayer perceptron that maps `(n, sizes[0])` to `(n, sizes[-1])`.

    Args:
        sizes: widths from the input to the output, at least two. The default is LeNet-300-100
            (LeCun et al. 1998) for 64 pixels.
        activation: the class of the activation between the layers.
        seed: draws the weights; see `initialise`.

    Raises:
        ValueError: if a width is not a positive whole number.
    """
    if len(sizes) < 2 or not all(_is_positive(n) for n in sizes):
        raise ValueError(
            f"sizes takes at least two positive whole numbers, for example (64, 300, 10); "
            f"got {tuple(sizes)!r}"
        )
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.utils.skip_init(nn.Linear, n_in, n_out), activation()]
    return initialise(nn.Sequential(*layers[:-1]), seed=seed)


class Image(nn.Module):
    """Fold rows of pixels, `(n, side²)`, into images, `(n, 1, side, side)`.

    They lie in memory with channels last; what follows keeps that, and a step on a CPU takes a
    quarter less time.
    """

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Turn rows of pixels, (n, side²), into images, (n, 1, side, side)."""
        return x.reshape(len(x), self.side, self.side, 1).permute(0, 3, 1, 2)


def convnet(
    channels: Sequence[int] = (16, 32),
    *,
    side: int = 8,
    n_classes: int = 10,
    activation: type[nn.Module] = nn.ReLU,
    seed: int,
) -> nn.Sequential:
    """Return a small convolutional network that maps `(n, side²)` to `(n, n_classes)`.

    Each block is a 3 × 3 convolution, the activation and a 2 × 2 maximum pool; a linear layer
    follows. The rows of pixels are folded into images by the first layer, so it takes the same
    data as `mlp`.

    Args:
        channels: output channels of each block.
        side: height and width of the image in pixels; each block halves it.
        n_classes: width of the output.
        activation: the class of the activation.
        seed: draws the weights; see `initialise`.

    Raises:
        ValueError: if `side` cannot be halved as often as there are blocks, or a number of
            channels is not a positive whole number.
    """
    if not channels or not all(_is_positive(n) for n in (*channels, n_classes)):
        raise ValueError(
            f"channels and n_classes take positive whole numbers; got {tuple(channels)!r} and "
            f"{n_classes!r}"
        )
    if not _is_positive(side) or side % 2 ** len(channels):
        raise ValueError(
            f"side must be divisible by {2 ** len(channels)} for {len(channels)} blocks that "
            f"halve it each; got {side!r}"
        )
    layers: list[nn.Module] = [Image(side)]
    for n_in, n_out in zip((1, *channels[:-1]), channels, strict=True):
        convolution = nn.utils.skip_init(nn.Conv2d, n_in, n_out, 3, padding=1)
        layers += [convolution, activation(), nn.MaxPool2d(2)]
    width = channels[-1] * (side // 2 ** len(channels)) ** 2
    layers += [nn.Flatten(), nn.utils.skip_init(nn.Linear, width, n_classes)]
    return initialise(nn.Sequential(*layers), seed=seed)


def initialise(model: nn.Module, *, seed: int) -> nn.Module:
    """Draw all weights anew, in place, from a generator of its own, and return the model.

    Weights of linear and convolutional layers are He-normal, W ~ N(0, 2 / fan_in) (He et al.
    2015, equation 10); their biases are zero. Modules of other kinds are left as they are. Masks
    stay on: a pruned weight is still zero afterwards, and the others are those that the network
    would have without the mask.

    Raises:
        ValueError: if the model is a stack; initialise its networks before stacking them.
    """
    if any(isinstance(module, StackedLinear) for module in model.modules()):
        raise ValueError("a stack is initialised before stacking, each network from its own seed")
    generator = torch.Generator().manual_seed(operator.index(seed))
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            weight = torch.empty(module.weight.shape, dtype=module.weight.dtype)
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
            if parametrize.is_parametrized(module, "weight"):
                module.weight = weight.to(module.weight.device)  # through the mask
            else:
                module.weight.data.copy_(weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def n_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters, biases included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def widths_within(
    n: int, build: Callable[[tuple[int, ...]], nn.Module], widths: Sequence[int]
) -> tuple[int, ...]:
    """Return the largest `widths`, shrunk in proportion, of a network of at most `n` parameters.

    It makes the small dense control that a pruned network is compared with.

    Args:
        n: the greatest number of parameters allowed, biases included.
        build: makes the network of given widths, for example
            `lambda h: mlp((64, *h, 10), seed=0)`.
        widths: the widths of the full network. Each is scaled, rounded, and at least one.

    Raises:
        ValueError: if widths of one are already too many parameters.
    """

    def scaled(k: int) -> tuple[int, ...]:  # k thousandths of the full widths
        return tuple(max(1, round(k * w / 1000)) for w in widths)

    if n_parameters(build(scaled(0))) > n:
        raise ValueError(
            f"n = {n} parameters are too few: this network with all widths at one has "
            f"{n_parameters(build(scaled(0)))}"
        )
    low, high = 0, 1001  # scaled(low) fits; bisect for the largest k ≤ 1000 that does
    while high - low > 1:
        middle = (low + high) // 2
        if n_parameters(build(scaled(middle))) <= n:
            low = middle
        else:
            high = middle
    return scaled(low)


class StackedLinear(nn.Module):
    """S linear layers of one shape as one batched product: `(S, B, n_in)` to `(S, B, n_out)`.

    `weight` is `(S, n_out, n_in)` and `bias` is `(S, n_out)`.
    """

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        # In memory as (S, n_in, n_out), as its gradient comes: no copy is needed to add the two.
        transposed = torch.stack([layer.weight.detach().t() for layer in layers])
        self.weight = nn.Parameter(transposed.transpose(1, 2))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        # (S, 1, n_out) + (S, B, n_in) @ (S, n_in, n_out)
        """Multiply each network's batch by its own weight, (S, n, d_in) to (S, n, d_out)."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))


def stack(models: Sequence[nn.Sequential]) -> nn.Sequential:
    """Return S networks of one shape as one network over inputs `(S, B, d)`.

    Small networks spend their time in Python and in starting kernels. Stacked, they share it: the
    parameters of network i are row i of each parameter here, and no network sees another. So
    training the stack trains each one as it would be trained alone, up to rounding.

    Raises:
        ValueError: if the networks are not MLPs of one shape: linear layers with biases and
            activations that work element by element, none of them masked.
    """
    if len(models) == 0 or any(not isinstance(m, nn.Sequential) for m in models):
        raise ValueError("stack takes a list of at least one nn.Sequential")
    stacked: list[nn.Module] = []
    for number, layers in enumerate(zip(*models, strict=False)):
        first = layers[0]
        if any(parametrize.is_parametrized(layer) for layer in layers):
            raise ValueError(
                f"layer {number} is masked: remove masks before stacking, with pruning.remove, "
                "and put them on the stack after"
            )
        if any(
            len(m) != len(models[0]) or type(layer) is not type(first)
            for m, layer in zip(models, layers, strict=True)
        ):
            raise ValueError("the networks of a stack must have the same layers")
        if type(first) is nn.Linear and all(layer.bias is not None for layer in layers):
            shapes = {tuple(layer.weight.shape) for layer in layers}
            if len(shapes) > 1:
                raise ValueError(f"layer {number} has different shapes: {sorted(shapes)}")
            stacked.append(StackedLinear(layers))
        elif isinstance(first, ELEMENTWISE) and len({repr(layer) for layer in layers}) == 1:
            stacked.append(copy.deepcopy(first))
        else:
            raise ValueError(
                f"layer {number} is {first}; only linear layers with a bias, and the same "
                "elementwise activation in every network, can be stacked"
            )
    return nn.Sequential(*stacked)


def unstack(stacked: nn.Sequential) -> list[nn.Sequential]:
    """Return the networks of a `stack` as plain ones with copies of its weights.

    Masked weights come out as zeros; the masks themselves stay with the stack.

    Raises:
        ValueError: if `stacked` holds no `StackedLinear`.
    """
    sizes = {len(m.weight) for m in stacked if isinstance(m, StackedLinear)}
    if len(sizes) != 1:
        raise ValueError("unstack takes a network made by networks.stack")

    def layer_of(module: nn.Module, i: int) -> nn.Module:
        if not isinstance(module, StackedLinear):
            return copy.deepcopy(module)
        n_out, n_in = module.weight.shape[1:]
        options = {"device": module.weight.device, "dtype": module.weight.dtype}
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out, **options)
        layer.weight.data.copy_(module.weight.detach()[i])
        layer.bias.data.copy_(module.bias.detach()[i])
        return layer

    return [nn.Sequential(*(layer_of(m, i) for m in stacked)) for i in range(sizes.pop())]


def _is_positive(n: object) -> bool:
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1
