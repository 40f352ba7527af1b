"""Shifts: ways to make inputs unfamiliar, each with a dial for how far.

A dial makes a `Shift` of a given strength, 0 for none. Pixels are taken to lie in [0, 1], and stay
there. Chapter 13 introduces every dial.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import seeds
from course_lib.checks import check_number, check_rows
from course_lib.probes.metrics import METRICS, Metric


@dataclass(frozen=True)
class Shift:
    """A change of inputs: its name, how strong it is, and the function that makes it.

    `shift(x)` returns changed inputs of the same shape, in the same order, and leaves x as it is.
    """

    name: str
    strength: float
    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the inputs, shifted."""
        return self.function(x)


def noise(strength: float, *, seed: int = 0) -> Shift:
    """Return a shift that adds normal noise of a standard deviation, then clips to [0, 1].

    The same seed draws the same noise at every strength, only larger.

    Raises:
        ValueError: if `strength` is negative.
    """
    check_number("strength", strength, low=0)

    def add(x: Tensor) -> Tensor:
        draw = seeds.generator(seed, "shift", "noise")
        z = torch.randn(x.shape, generator=draw).to(x)
        return (x + strength * z).clamp(0, 1)

    return Shift("noise", strength, add)


def rotation(degrees: float) -> Shift:
    """Return a shift that turns square images anticlockwise about their middle.

    Images are rows of side² pixels. What comes in from outside is 0; between pixels it
    interpolates linearly.

    Raises:
        ValueError: if `degrees` is negative; of the shift, if the images are not square.
    """
    check_number("degrees", degrees, low=0)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def turn(x: Tensor) -> Tensor:
        images = _images(x)
        # Where each pixel of the new image comes from; y points downwards.
        matrix = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]]).to(x)
        grid = F.affine_grid(matrix.expand(len(x), 2, 3), list(images.shape), align_corners=False)
        turned = F.grid_sample(images, grid, align_corners=False)
        return turned.reshape(x.shape).clamp(0, 1)

    return Shift("rotation", degrees, turn if degrees else torch.clone)


def inversion(strength: float) -> Shift:
    """Return a shift towards the negative: (1 − s) x + s (1 − x). At s = ½ all is grey.

    Raises:
        ValueError: if `strength` is not in [0, 1].
    """
    _check_share(strength)
    return Shift("inversion", strength, lambda x: (1 - strength) * x + strength * (1 - x))


def contrast(strength: float) -> Shift:
    """Return a shift that takes contrast away: each image moves by s towards its mean brightness.

    Raises:
        ValueError: if `strength` is not in [0, 1].
    """
    _check_share(strength)

    def fade(x: Tensor) -> Tensor:
        return x + strength * (x.mean(-1, keepdim=True) - x)

    return Shift("contrast", strength, fade)


def occlusion(strength: float, *, seed: int = 0) -> Shift:
    """Return a shift that sets a square of each image to 0, at a place drawn for each.

    The square's side is round(√s · side), so that it covers about a share s of the image.

    Raises:
        ValueError: if `strength` is not in [0, 1]; of the shift, if the images are not square.
    """
    _check_share(strength)

    def cover(x: Tensor) -> Tensor:
        images = _images(x).clone()
        side = images.shape[-1]
        size = round(math.sqrt(strength) * side)
        draw = seeds.generator(seed, "shift", "occlusion")
        # The place is a share of the room there is, so a larger square grows around a smaller one.
        corner = (torch.rand(len(x), 2, generator=draw) * (side - size + 1)).long().to(x.device)
        at = torch.arange(side, device=x.device)
        inside = (at >= corner.unsqueeze(2)) & (at < corner.unsqueeze(2) + size)  # (n, 2, side)
        covered = inside[:, 0].unsqueeze(2) & inside[:, 1].unsqueeze(1)  # (n, side, side)
        return images.masked_fill(covered.unsqueeze(1), 0).reshape(x.shape)

    return Shift("occlusion", strength, cover)


def held_out(strength: float, unfamiliar: Tensor, *, seed: int = 0) -> Shift:
    """Return a shift that puts inputs of classes that were never learned in the place of some.

    Args:
        strength: the share of inputs replaced, round(s · n) of them. A larger share replaces the
            same ones and more.
        unfamiliar: inputs to draw from, `(m, d)`, for example `data.digits(…).held_out.x`. They are
            drawn without repeating any, if there are enough.
        seed: draws which are replaced, and by what.

    Raises:
        ValueError: if `strength` is not in [0, 1], or there are no unfamiliar inputs.
    """
    _check_share(strength)
    check_rows("unfamiliar", unfamiliar)

    def replace(x: Tensor) -> Tensor:
        draw = seeds.generator(seed, "shift", "held out")
        n, m = len(x), len(unfamiliar)
        places = torch.randperm(n, generator=draw)[: round(strength * n)]
        rounds = [torch.randperm(m, generator=draw) for _ in range(-(-n // m))]
        drawn = torch.cat(rounds)[: len(places)]
        shifted = x.clone()
        shifted[places.to(x.device)] = unfamiliar[drawn.to(unfamiliar.device)].to(x)
        return shifted

    return Shift("held-out classes", strength, replace)


@torch.no_grad()
def shift_curve(
    hidden: Callable[[Tensor], Tensor],
    x: Tensor,
    shifts: Iterable[Shift],
    metrics: Mapping[str, Metric] = METRICS,
) -> pd.DataFrame:
    """Return what metrics say of each input under each shift, one row for each pair.

    Args:
        hidden: from inputs `(n, …)` to activations `(n, d)`, for example all but the last layer of
            an `nn.Sequential` in `eval` mode.
        x: inputs.
        shifts: in the order of the table.
        metrics: by name, of activations; the columns.

    Returns:
        A tidy table with the columns `shift`, `strength`, `item` (the row of x) and one for each
        metric.

    Raises:
        ValueError: if there is no shift, or `hidden` does not give one vector for each input.
    """
    parts = []
    for shift in shifts:
        h = hidden(shift(x))
        if h.ndim != 2 or len(h) != len(x):
            raise ValueError(
                f"hidden must give vectors of shape ({len(x)}, d); got {tuple(h.shape)}"
            )
        columns = {name: metric(h).cpu().numpy() for name, metric in metrics.items()}
        named = {"shift": shift.name, "strength": shift.strength, "item": range(len(x))}
        parts.append(pd.DataFrame(named | columns))
    if not parts:
        raise ValueError("shifts holds at least one Shift; got none")
    return pd.concat(parts, ignore_index=True)


# --- Private --------------------------------------------------------------------------------------


def _check_share(strength: float) -> None:
    check_number("strength", strength, low=0)
    if strength > 1:
        raise ValueError(f"strength is a share in [0, 1]; got {strength!r}")


def _images(x: Tensor) -> Tensor:
    """Fold rows of pixels (n, side²) into images (n, 1, side, side)."""
    check_rows("x", x)
    side = math.isqrt(x.shape[-1])
    if x.ndim != 2 or side**2 != x.shape[-1]:
        raise ValueError(f"x must be square images as rows (n, side²); got {tuple(x.shape)}")
    return x.reshape(-1, 1, side, side)
