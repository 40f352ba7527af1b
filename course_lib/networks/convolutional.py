"""Small convolutional networks over rows of pixels."""

from collections.abc import Sequence

from torch import Tensor, nn

from course_lib.checks import check_whole, is_whole
from course_lib.networks.initialising import initialise


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
    if not channels or not all(is_whole(n, 1) for n in channels):
        raise ValueError(
            f"channels takes positive whole numbers, for example (16, 32); got {tuple(channels)!r}"
        )
    check_whole("n_classes", n_classes)
    if not is_whole(side, 1) or side % 2 ** len(channels):
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
