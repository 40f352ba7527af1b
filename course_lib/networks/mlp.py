"""Multilayer perceptrons."""

from collections.abc import Sequence

from torch import nn

from course_lib.checks import is_whole
from course_lib.networks.initialising import initialise


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
    if len(sizes) < 2 or not all(is_whole(n, 1) for n in sizes):
        raise ValueError(
            f"sizes takes at least two positive whole numbers, for example (64, 300, 10); "
            f"got {tuple(sizes)!r}"
        )
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.utils.skip_init(nn.Linear, n_in, n_out), activation()]
    return initialise(nn.Sequential(*layers[:-1]), seed=seed)
