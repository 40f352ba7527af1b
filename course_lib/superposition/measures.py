"""What toy models stored, and how; and what theory says of their losses."""

import torch
from torch import Tensor, nn

from course_lib.checks import check_whole


def squared_norms(W: Tensor) -> Tensor:
    """Return ‖W_i‖² of each feature, `(…, m, n)` to `(…, n)`."""
    return W.detach().square().sum(-2)


def stored(W: Tensor, *, above: float = 0.5) -> Tensor:
    """Return which features are stored, ‖W_i‖² > ½: booleans, `(…, m, n)` to `(…, n)`.

    A model that gives a feature a direction of its own makes it of norm 1, and leaves others at 0.
    """
    return squared_norms(W) > above


def interference(W: Tensor) -> Tensor:
    """Return how much other features are read where feature i is: Σ_{j≠i} (Ŵ_i · W_j)².

    Ŵ_i = W_i / ‖W_i‖; a feature with W_i = 0 has no place, and 0. `(…, m, n)` to `(…, n)`.
    """
    W = W.detach()
    unit = nn.functional.normalize(W, dim=-2)
    seen = (unit.transpose(-2, -1) @ W).square()  # (…, n, n): row i is what stands in direction i
    return seen.sum(-1) - seen.diagonal(dim1=-2, dim2=-1)


def dimensionality(W: Tensor) -> Tensor:
    """Return each feature's share of a dimension, D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², in [0, 1].

    The sum runs over all j, i included. A feature alone in its direction has 1, each of an
    antipodal pair ½, each of a regular pentagon 2/5. A feature with W_i = 0 has 0. Together they
    are at most m; not only orthogonal features reach it, a pentagon does too.
    `(…, m, n)` to `(…, n)`.
    """
    norms = squared_norms(W)
    total = norms + interference(W)
    return torch.where(total > 0, norms / total.clamp_min(torch.finfo(W.dtype).tiny), 0.0)


def features_per_neuron(W: Tensor, *, above: float = 0.0) -> Tensor:
    """Return how many stored features each row of W takes part in, `(…, m, n)` to int64 `(…, m)`.

    Feature i counts for neuron k if it is `stored` and the magnitude of W_ki is above `above` times
    ‖W_i‖. Rows are neurons only behind a ReLU: in a linear bottleneck a rotation changes this
    number and nothing else.
    """
    W = W.detach()
    takes_part = W.abs() > above * squared_norms(W).sqrt().unsqueeze(-2)
    return (takes_part & stored(W).unsqueeze(-2)).sum(-1)


def phase_losses(p_zero: float | Tensor, importance: float | Tensor) -> Tensor:
    """Return the losses of the three ways to put two features into one dimension, `(…, 3)`.

    Feature 1 has importance 1, feature 2 has I; both are present with s = 1 − p_zero. In order:

    - only feature 1, W = (1, 0), b_2 = E[x_2]:  I (s/3 − s²/4), the variance that is lost;
    - only feature 2, W = (0, 1), b_1 = E[x_1]:  s/3 − s²/4;
    - both in superposition, W = (1, −1), b = 0:  (1 + I) s²/6, the error when both are present.

    The least of them says in which phase the best of these three is. For s below 4/5 the third is,
    where I and 1/I are both above 2s / (4 − 5s). A trained model may do a little better, because it
    also chooses lengths and biases.

    Args:
        p_zero: the probability that a feature is zero, in [0, 1].
        importance: I, at least 0. The two are broadcast.

    Returns:
        float64; `argmin(-1)` is the phase.

    Source: the phase diagram of Elhage et al. 2022; the integrals are ours.
    """
    p = torch.as_tensor(p_zero, dtype=torch.float64)
    I = torch.as_tensor(importance, dtype=torch.float64)
    if not ((p >= 0) & (p <= 1)).all() or not (I >= 0).all():
        raise ValueError("p_zero must lie in [0, 1] and importance be at least 0")
    p, I = torch.broadcast_tensors(p, I)
    s = 1 - p
    lost = s / 3 - s**2 / 4
    return torch.stack([I * lost, lost, (1 + I) * s**2 / 6], dim=-1)


def linear_loss(importance: Tensor, p_zero: float | Tensor, m: int) -> float:
    """Return the least loss of the linear model x̂ = WᵀW x + b with independent features.

    It gives its m dimensions to the features of the largest I_i · Var(x_i) and loses the others
    whole: Σ I_i (s_i/3 − s_i²/4) over these, s = 1 − p_zero. However sparse features are, it stores
    m of them, as PCA does.

    Args:
        importance: I `(n,)`, at least 0.
        p_zero: one number, or `(n,)`.
        m: number of dimensions.
    """
    check_whole("m", m)
    s = 1 - torch.as_tensor(p_zero, dtype=torch.float64)
    lost = importance.double() * (s / 3 - s**2 / 4)
    return float(lost.sort(descending=True).values[m:].sum())
