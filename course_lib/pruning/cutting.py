"""Cutting pruned units out, so that a masked network becomes a smaller one with the same outputs.

Two steps, and each leaves the outputs as they are. First, whatever constant units contribute moves
into the next layer's bias, so that nobody reads them any more. Then units that nobody reads go.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from course_lib.networks import ELEMENTWISE, Image
from course_lib.pruning.layers import Masks
from course_lib.pruning.masked import apply, remove

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
# Layers that leave each unit to itself, and a constant unit constant with the same value.
SEPARATE = (
    *AVERAGE_POOLS,
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Dropout, nn.Flatten),
)
FIRST_ONLY = (Image, nn.Unflatten)  # they give inputs a shape; later they would mix units


def shrink(model: nn.Module, masks: Masks | None = None) -> nn.Sequential:
    """Return a smaller network with the same outputs, without the units that masks took out.

    A neuron or channel is cut out if all its weights are zero: it puts out a constant, which moves
    through the activation and batch norm into the next layer's bias. It is cut out too if no later
    layer reads it. Zeros scattered among other weights stay as they are.

    Where a convolution pads its input with zeros, a constant channel is not constant at the
    border, so no bias can replace it. There, one of the constant channels stays and stands for all
    of them, unless their constants are zero (as with ReLU and no positive bias). A layer keeps at
    least one unit.

    Args:
        model: an `nn.Sequential`, which may hold others, of linear layers, convolutions of one
            group, batch norm, activations that work element by element, pooling, dropout and
            flatten. `networks.Image` and `nn.Unflatten` may come before the first weights.
        masks: booleans by parameter name, put on a copy of the model; by default those that the
            model carries. Weights that are zero without a mask count as well.

    Returns:
        A new network of plain layers, unmasked, with layers at the same numbers (those of inner
        sequences follow one another). In `eval` mode its outputs are the model's, up to rounding;
        in training mode batch norm sees only what is left. Inputs and outputs keep their widths.

    Raises:
        ValueError: if the model holds a layer of another kind (the message names it) or one layer
            twice, or the masks do not fit, as in `apply`.
    """
    layers = _plain_layers(model, masks)
    with torch.no_grad():
        _fold_constants(layers)
        return nn.Sequential(*_cut(layers)).train(model.training)


# --- Constants move on ----------------------------------------------------------------------------


def _fold_constants(layers: list[nn.Module]) -> None:
    """Move what constant units contribute into the next layer's bias, and zero their wires."""
    constant = value = None  # of the units of the last layer with weights, (n_units,)
    for layer in layers:
        if _has_weights(layer):
            if constant is not None:
                n_in = layer.weight.shape[1]
                _absorb(layer, _spread(constant, n_in), _spread(value, n_in))
            constant = (layer.weight == 0).flatten(1).all(1)
            value = torch.zeros(len(constant), dtype=torch.float64, device=layer.weight.device)
            if layer.bias is not None:
                value += layer.bias
        elif isinstance(layer, BATCH_NORMS) and constant is not None:
            n = layer.num_features
            constant, value = _spread(constant, n), _spread(value, n)
            value = (value - layer.running_mean) / (layer.running_var + layer.eps).sqrt()
            if layer.affine:
                value = layer.weight * value + layer.bias
        elif isinstance(layer, ELEMENTWISE) and constant is not None:
            value = layer(value)


def _absorb(layer: nn.Module, constant: Tensor, value: Tensor) -> None:
    """Make a layer independent of those inputs, `(n_in,)`, that are constant."""
    weight = layer.weight  # (n_out, n_in, …)
    value = torch.where(constant, value, 0.0)
    given = torch.einsum("oi...,i->o...", weight.double(), value)  # (n_out, …): what they give
    weight[:, constant] = 0
    if not _pads_with_zeros(layer):
        given = given.flatten(1).sum(1) if given.ndim > 1 else given  # (n_out,): the whole kernel
        if layer.bias is None and given.any():
            layer.bias = nn.Parameter(torch.zeros(len(weight)).to(weight))
        if layer.bias is not None:
            layer.bias += given
    elif given.any():
        # The border sees fewer pixels of a constant: one channel stands for all of them.
        one = value.abs().argmax()
        weight[:, one] = (given / value[one]).to(weight.dtype)


def _pads_with_zeros(layer: nn.Module) -> bool:
    if not isinstance(layer, CONVOLUTIONS) or layer.padding_mode != "zeros":
        return False
    return layer.padding != "valid" and any(layer.padding)  # "same" counts as padding


# --- Units that nobody reads go -------------------------------------------------------------------


def _cut(layers: list[nn.Module]) -> Iterator[nn.Module]:
    """Yield the layers without the units that no later layer reads."""
    keep, read = {}, None
    for layer in reversed(layers):
        if _has_weights(layer):
            n_out = len(layer.weight)
            keep[layer] = torch.ones(n_out, dtype=torch.bool, device=layer.weight.device)
            if read is not None:
                keep[layer] = read.view(n_out, -1).any(1)  # a channel is read at any position
                keep[layer][0] |= not keep[layer].any()
            read = (layer.weight[keep[layer]] != 0).transpose(0, 1).flatten(1).any(1)  # (n_in,)
    kept = None  # which units of the layer before are kept; None: these are inputs
    for layer in layers:
        if _has_weights(layer):
            n_in = layer.weight.shape[1]
            inputs = slice(None) if kept is None else _spread(kept, n_in)
            kept = keep[layer]
            yield _part(layer, kept, inputs)
        elif isinstance(layer, BATCH_NORMS) and kept is not None:
            yield _part(layer, _spread(kept, layer.num_features))
        else:
            yield layer


def _part(layer: nn.Module, rows: Tensor, columns: Tensor | slice | None = None) -> nn.Module:
    """Take some units of a layer, and of its inputs; change the sizes that it states."""
    for name, parameter in sorted(layer.named_parameters(), reverse=True):  # weight, then bias
        part = parameter.detach()[rows]
        if name == "weight" and columns is not None:
            part = part[:, columns]
        delattr(layer, name)  # taking masks off had put the weight behind the bias
        layer.register_parameter(name, nn.Parameter(part))
    for name, buffer in layer.named_buffers():
        if buffer.ndim:  # not batch norm's count of batches
            setattr(layer, name, buffer[rows])
    if isinstance(layer, BATCH_NORMS):
        layer.num_features = len(layer.running_mean)
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    else:
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]
    return layer


# --- Private --------------------------------------------------------------------------------------


def _spread(units: Tensor, width: int) -> Tensor:
    """Return a value for each feature; after flatten, a channel is `width / n` of them in a row."""
    return units.repeat_interleave(width // len(units))


def _has_weights(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Linear, *CONVOLUTIONS))


def _plain_layers(model: nn.Module, masks: Masks | None) -> list[nn.Module]:
    """Return copies of the layers, flat and without masks, or say which one is in the way."""
    if type(model) is not nn.Sequential:
        raise ValueError(f"shrink takes an nn.Sequential; got {type(model).__name__}")
    if any(name.endswith("weight_orig") for name, _ in model.named_parameters()):
        raise ValueError(
            "the model is pruned by torch.nn.utils.prune: call its remove(layer, 'weight') on each "
            "layer, and give masks, such as layer.weight != 0"
        )
    plain = copy.deepcopy(model)
    remove(plain if masks is None else apply(plain, masks))
    layers = list(_flat(plain))
    known = (nn.Linear, *CONVOLUTIONS, *BATCH_NORMS, *ELEMENTWISE, *SEPARATE, *FIRST_ONLY)
    seen: list[nn.Module] = []  # layers with parameters so far
    n, is_image = None, None  # units of the last layer with weights, and whether each is an image
    for number, layer in enumerate(layers):
        reason = None
        if type(layer) not in known:
            reason = f"shrink knows only {', '.join(kind.__name__ for kind in known)}"
        elif any(layer is other for other in seen):
            reason = "it stands in the network twice, and each place would need its own units"
        elif _has_weights(layer):
            if getattr(layer, "groups", 1) != 1:
                reason = "its channels are in groups"
            elif n is not None and is_image != isinstance(layer, CONVOLUTIONS):
                reason = "a convolution takes images, a linear layer rows: nn.Flatten is missing"
            elif n is not None and layer.weight.shape[1] % n:
                reason = f"its inputs are no multiple of the {n} units before it"
            n, is_image = len(layer.weight), isinstance(layer, CONVOLUTIONS)
        elif isinstance(layer, BATCH_NORMS) and layer.running_mean is None:
            reason = "it keeps no running statistics, so no unit is constant after it"
        elif isinstance(layer, FIRST_ONLY) and n is not None:
            reason = "it comes after the first weights and would mix units"
        elif isinstance(layer, nn.Flatten):
            is_image = False
            if (layer.start_dim, layer.end_dim) != (1, -1):
                reason = "it does not flatten all dimensions but the first"
        elif isinstance(layer, AVERAGE_POOLS) and any(_pair(layer.padding)):
            reason = "it averages over its padding, where constant units are not constant"
        if reason:
            raise ValueError(f"layer {number}, {layer}, is in the way of shrink: {reason}")
        seen += [layer] if list(layer.parameters()) else []
    return layers


def _flat(model: nn.Sequential) -> Iterator[nn.Module]:
    for layer in model:
        yield from _flat(layer) if type(layer) is nn.Sequential else [layer]


def _pair(padding: int | tuple) -> tuple:
    return padding if isinstance(padding, tuple) else (padding,)
