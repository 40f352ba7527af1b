"""Labels that are wrong on purpose."""

import torch
from torch import Tensor

from course_lib import seeds
from course_lib.checks import check_whole


def noisy_labels(y: Tensor, share: float, *, seed: int, n_classes: int = 10) -> Tensor:
    """Return a copy of labels `y` in which `round(share · n)` are wrong.

    Args:
        y: int64 `(n,)`, labels below `n_classes`.
        share: in [0, 1]. Each changed label becomes one of the other classes, all equally likely.
        seed: draws which labels change and what they become.
        n_classes: number of classes, at least 2.

    Raises:
        ValueError: if `share` is outside [0, 1] or a label is outside its range.

    Source: symmetric noise as in He et al. 2022, "Sparse double descent" (2206.08684).
    """
    check_whole("n_classes", n_classes, low=2, high=2**31)
    if isinstance(share, bool | str) or not 0 <= share <= 1:
        raise ValueError(f"label noise is a share in [0, 1], for example 0.4; got {share!r}")
    if y.ndim != 1 or y.is_floating_point() or (len(y) and not 0 <= y.min() <= y.max() < n_classes):
        raise ValueError(
            f"labels must be whole numbers from 0 to {n_classes - 1} in one dimension; "
            f"got {y.dtype} of shape {tuple(y.shape)}"
        )
    # Not the stream of the batches: training starts with a permutation of as many examples, and
    # from the same stream it would begin with all the wrong labels.
    generator = seeds.generator(seed, "label noise")
    changed = torch.randperm(len(y), generator=generator)[: round(share * len(y))]
    # Adding 1 … n_classes − 1 in a circle reaches every other class once and never the old one.
    offset = torch.randint(1, n_classes, (len(changed),), generator=generator).to(y.device)
    noisy = y.clone()
    noisy[changed] = (y[changed] + offset) % n_classes
    return noisy
