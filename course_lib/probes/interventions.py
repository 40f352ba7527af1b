"""Interventions: make activations sparser, or smaller, and see what the network then does.

Each function takes activations `(…, d)` and returns new ones. Put one into a network with
`hooks.substitute(model, layer, function)`.
"""

import torch
from torch import Tensor

from course_lib.checks import check_number, check_rows, check_whole


def keep_top(h: Tensor, k: int) -> Tensor:
    """Return h with all but its k entries of largest size set to 0; equal ones by their place.

    Raises:
        ValueError: if h is not finite floats, or k is not a whole number from 1 to d.
    """
    check_rows("h", h)
    check_whole("k", k)
    if k > h.shape[-1]:
        raise ValueError(f"k is at most the width, {h.shape[-1]}; got {k}")
    top = h.abs().argsort(dim=-1, descending=True, stable=True)[..., :k]
    return torch.zeros_like(h).scatter(-1, top, h.gather(-1, top))


def keep_norm(new: Tensor, old: Tensor) -> Tensor:
    """Return `new` with each vector scaled to the norm that it has in `old`.

    With it, an intervention changes where the energy is and not how much there is. A new vector of
    zeros stays zero.

    Raises:
        ValueError: if the two are not finite floats of the same shape.
    """
    check_rows("new", new)
    check_rows("old", old)
    if new.shape != old.shape:
        raise ValueError(
            f"new and old must have the same shape; got {tuple(new.shape)} and {tuple(old.shape)}"
        )
    norm = torch.linalg.vector_norm(new, dim=-1, keepdim=True)
    wanted = torch.linalg.vector_norm(old, dim=-1, keepdim=True)
    return new * torch.where(norm > 0, wanted / torch.where(norm > 0, norm, 1.0), 1.0)


def clip(h: Tensor, ceiling: float) -> Tensor:
    """Return min(h, ceiling), as ReAct does.

    The ceiling is a quantile of activations on familiar inputs: choose it on validation data, for
    example from the `sample` of a recording.

    Raises:
        ValueError: if h is not finite floats, or `ceiling` is not above 0.

    Source: Sun, Guo & Li 2021, "ReAct" (2111.12797).
    """
    check_rows("h", h)
    check_number("ceiling", ceiling, low=0, above=True)
    return h.clamp(max=ceiling)


def rescale(h: Tensor, share: float = 0.1) -> Tensor:
    """Return h · exp(Σ h / Σ_top h), top being the k = ⌈share · d⌉ largest entries; SCALE does it.

    Nothing becomes sparser: every vector keeps its direction. It is for activations of at least
    zero. A vector of zeros stays zero.

    Raises:
        ValueError: if h is not finite floats of at least 0, or `share` is not in (0, 1].

    Source: Xu et al. 2024, "Scaling for training time and post-hoc out-of-distribution detection
    enhancement" (2310.00227).
    """
    check_rows("h", h)
    if (h < 0).any():
        raise ValueError(f"h must hold no negative activations; the smallest is {float(h.min())}")
    total = h.sum(-1, keepdim=True)
    top = h.topk(_count(h, share), dim=-1).values.sum(-1, keepdim=True)
    return h * torch.exp(total / torch.where(top > 0, top, 1.0))


def prune_and_rescale(h: Tensor, share: float = 0.1) -> Tensor:
    """Return `rescale` of h with all but its largest entries set to 0, as ASH-S does.

    Beside `rescale`, with the same k = ⌈share · d⌉, it shows what the zeros do.

    Raises:
        ValueError: as `rescale`.

    Source: Djurisic et al. 2023, "Extremely simple activation shaping for out-of-distribution
    detection" (2209.09858).
    """
    return keep_top(rescale(h, share), _count(h, share))


def _count(h: Tensor, share: float) -> int:
    check_number("share", share, low=0, above=True)
    if share > 1:
        raise ValueError(f"share is a part of the entries, in (0, 1]; got {share!r}")
    d = h.shape[-1]
    return min(d, int(-(-share * d // 1)))
