"""Several small networks of one shape as one, which trains them all at once."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ELEMENTWISE = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.LeakyReLU, nn.Identity)


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
