"""What one or several latents know about a label."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from course_lib.checks import check_rows
from course_lib.data import Split
from course_lib.ranks import ranks, wins


def auroc(latents: Tensor, y: Tensor) -> Tensor:
    """Return how well each latent alone tells each class from the others, float64 `(C, d_sae)`.

    Entry (c, i) is the chance that latent i is larger for a random input of class c than for a
    random one of the others, with ties counted half: ½ for a latent that knows nothing, 0 for one
    that is off for this class only. C is the largest label plus 1.

    Args:
        latents: `(n, d_sae)`.
        y: labels, int64 `(n,)`, from 0.

    Raises:
        ValueError: if shapes do not fit, latents are not finite, or a class has all inputs or none.
    """
    _check(latents, y)
    x = latents.detach().cpu().numpy()
    rank = ranks(x)  # (n, d_sae)
    rows = []
    for c in range(int(y.max()) + 1):
        is_c = (y == c).cpu().numpy()
        n_in, n_out = int(is_c.sum()), int((~is_c).sum())
        if n_in == 0 or n_out == 0:
            raise ValueError(f"class {c} has {n_in} of {len(y)} inputs: nothing to tell apart")
        rows.append(wins(rank[is_c], x[is_c]).sum(0) / (n_in * n_out))
    return torch.from_numpy(np.stack(rows))


def best_latents(latents: Tensor, y: Tensor) -> Tensor:
    """Return for each class the latent whose `auroc` is farthest from ½, int64 `(C,)`.

    It chooses, so give it validation data.

    Raises:
        ValueError: as `auroc`.
    """
    return (auroc(latents, y) - 0.5).abs().argmax(1)


def probe(
    train: Split,
    test: Split,
    latents: Sequence[int] | None = None,
    *,
    balanced: bool = False,
    strength: float = 1.0,
) -> float:
    """Return the accuracy, a share, of a logistic regression from some latents to the label.

    Args:
        train: latents as `x` and labels as `y`; the probe and its standardisation are fitted here.
        test: another split, on which it is judged.
        latents: the numbers of the latents it sees; all by default.
        balanced: whether classes count alike however many inputs they have, in training and in the
            accuracy. For one class against the rest, a probe that knows nothing then scores ½.
        strength: of the L2 penalty on the standardised weights; scikit-learn's 1 / C.

    Raises:
        ValueError: if shapes do not fit, latents are not finite, or `train` has one class only.
    """
    columns = slice(None) if latents is None else list(latents)
    parts = []
    for split in (train, test):
        _check(split.x, split.y)
        parts.append((split.x[:, columns].detach().cpu().numpy(), split.y.cpu().numpy()))
    (x, y), (x_test, y_test) = parts
    weight = "balanced" if balanced else None
    regression = LogisticRegression(C=1 / strength, class_weight=weight, max_iter=1000)
    found = make_pipeline(StandardScaler(), regression).fit(x, y).predict(x_test)
    score = balanced_accuracy_score if balanced else accuracy_score
    return float(score(y_test, found))


def _check(latents: Tensor, y: Tensor) -> None:
    check_rows("latents", latents)
    if latents.ndim != 2 or y.shape != (len(latents),) or y.is_floating_point():
        raise ValueError(
            "latents must be (n, d_sae) and labels n whole numbers; got "
            f"{tuple(latents.shape)} and {y.dtype} of shape {tuple(y.shape)}"
        )
