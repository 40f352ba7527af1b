"""How large a network is, and the widths that fit a size."""

from collections.abc import Callable, Sequence

from torch import nn


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
