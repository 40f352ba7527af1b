"""The figure of chapter 05: drag the sparsity, and see features find room in two dimensions."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib import figures, superposition
from course_lib.evidence import t_interval
from course_lib.widgets import MovingFigure, script

LEVELS = (*(round(0.05 * i, 2) for i in range(20)), 0.97, 0.99)  # of P, besides those of the run
DECAYS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # of importance, from a feature to the next
MOST_FEATURES = len(figures.PALETTE)


class DragSparsity(MovingFigure):
    """Train toy models with two dimensions in the page, beside those that the run trained.

    The page starts with a model of the run. When a slider moves, a new one trains there, on the
    same distribution and loss as `course_lib.superposition.fit`, with Adam and the cosine schedule.
    Feature i has importance decay^i, i from 0. Losses are in percent of that of a model that stores
    nothing and answers with each feature's mean, which is the variance of the features.

    Args:
        W: the run's models at L values of P and S seeds, `(L, S, 2, n)`, with n from 2 to 6.
        b: their biases, `(L, S, n)`.
        losses: their losses after training, `(L, S)`, in percent as above.
        p_zero: the L values of P, the probability that a feature is zero, rising, in [0, 1).
        seeds: the S seeds, at least 2. The first one's arrows are drawn.
        start: the value of P that the figure starts with, one of `p_zero`.
        decay: the decay of importance that the run's models were trained with, one of `DECAYS`.
        steps: of a training in the page; so are `batch_size` and `learning_rate`.
        batch_size: inputs of a step.
        learning_rate: of Adam, at the start.
        caption: what is drawn, with the seeds.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if a shape does not fit, a value is not finite, `p_zero` does not rise or leaves
            its range, `start` or `decay` is another number, or a setting of training is not
            positive; and as `MovingFigure`.
    """

    _esm = script("toy_model.js", "superposition.js")
    level = traitlets.Int().tag(sync=True)
    decay = traitlets.Int().tag(sync=True)  # this and the level by their numbers in the lists
    seed = traitlets.Int(1).tag(sync=True)  # of the next start in the page; none of the run's

    def __init__(
        self,
        W: Tensor,
        b: Tensor,
        losses: Tensor,
        *,
        p_zero: Sequence[float],
        seeds: Sequence[int],
        start: float,
        decay: float = 0.9,
        steps: int = 2000,
        batch_size: int = 256,
        learning_rate: float = 0.01,
        caption: str,
        alt: str,
    ):
        p_zero, seeds = [float(p) for p in p_zero], list(seeds)
        _check(W, b, losses, p_zero, seeds)
        if start not in p_zero:
            raise ValueError(f"start must be one of p_zero; got {start}, not in {p_zero}")
        if decay not in DECAYS:
            raise ValueError(f"decay must be one of {DECAYS}; got {decay}")
        settings = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
        for name, value in settings.items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0; got {value!r}")
        self.W, self.losses = W.detach(), losses.detach()
        self.p_zero, self.seeds = p_zero, seeds
        counts = [_counts(some) for some in self.W]
        levels = sorted({*LEVELS, *p_zero})
        first = p_zero.index(start)
        super().__init__(
            {
                "n": W.shape[-1],
                "levels": levels,
                "decays": DECAYS,
                "steps": steps,
                "batchSize": batch_size,
                "rate": learning_rate,
                "start": {"W": _rounded(W[first, 0]), "b": _rounded(b[first, 0])},
                "decay": DECAYS.index(decay),
                "models": len(seeds),
                "counts": [counts[p_zero.index(p)] if p in p_zero else None for p in levels],
            },
            caption=caption,
            alt=alt,
        )
        self.level, self.decay = levels.index(start), self.state["decay"]

    def numbers(self) -> pd.DataFrame:
        """Return how many features the run's models store and what they lose, a row for each P."""
        rows = []
        for p, W, losses in zip(self.p_zero, self.W, self.losses, strict=True):
            stored = superposition.stored(W)  # (S, n)
            shares = superposition.dimensionality(W)[stored]
            rows.append(
                {
                    "P": f"{p:g}",
                    "features stored": _said(stored.sum(1).double(), 2),
                    "D of stored ones": f"{shares.mean():.2f}" if len(shares) else "none",
                    "loss (%)": _said(losses.double(), 1),
                    "models": len(self.seeds),
                }
                | {f"length of {i + 1}": f"{x:.2f}" for i, x in enumerate(W[0].norm(dim=0))}
            )
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw the arrows of the first seed at each P of the run."""
        fig, axes = figures.panels(len(self.p_zero), columns=4, height=2.4)
        for ax, p, W in zip(axes, self.p_zero, self.W, strict=True):
            stored = int(superposition.stored(W[0]).sum())
            runs = dict(_counts(W))[stored]
            _draw_arrows(ax, W[0])
            ax.set_title(f"P = {p:g}\n{stored} stored, as in {runs} of {len(W)}")
        return fig


def _draw_arrows(ax: Axes, W: Tensor) -> None:
    """Draw the columns of W `(2, n)` as numbered arrows inside the unit circle."""
    angle = torch.linspace(0, 2 * torch.pi, 100)
    ax.plot(angle.cos(), angle.sin(), color=figures.INK, lw=0.8, alpha=0.35)
    for i, (x, y) in enumerate(W.t().tolist()):
        length = (x**2 + y**2) ** 0.5
        arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "lw": 2}
        arrow |= {"color": figures.PALETTE[i], "ls": figures.DASHES[i % 4]}
        if length > 0.15:  # else there is no room for a head and a number
            ax.annotate("", (x, y), (0, 0), arrowprops=arrow)
            far = 1 + 0.2 / length
            ax.text(far * x, far * y, str(i + 1), ha="center", va="center", weight="bold")
        else:
            ax.plot([0, x], [0, y], color=figures.PALETTE[i], lw=2)
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
    ax.set_axis_off()


def _counts(W: Tensor) -> list[tuple[int, int]]:
    """How many models (S, 2, n) store how many features: (features, models), most models first."""
    return Counter(superposition.stored(W).sum(1).tolist()).most_common()


def _said(values: Tensor, places: int) -> str:
    """The mean over seeds and its 95% t interval."""
    i = t_interval(values.tolist())
    return f"{i.estimate:.{places}f} [{i.low:.{places}f}, {i.high:.{places}f}]"


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 5) for value in values.detach().flatten().tolist()]


def _check(W, b, losses, p_zero, seeds) -> None:
    L, S = len(p_zero), len(seeds)
    if W.ndim != 4 or W.shape[:3] != (L, S, 2) or not 2 <= W.shape[3] <= MOST_FEATURES:
        raise ValueError(
            f"W has shape {tuple(W.shape)}; for {L} values of P and {S} seeds it must be "
            f"({L}, {S}, 2, n), n from 2 to {MOST_FEATURES}"
        )
    shapes = {"b": (b, (L, S, W.shape[3])), "losses": (losses, (L, S))}
    for name, (value, shape) in shapes.items():
        if value.shape != shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; it must be {shape}")
    for name, value in {"W": W, "b": b, "losses": losses}.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} has values that are not finite")
    if S < 2:
        raise ValueError(f"seeds must be at least 2, for an interval; got {seeds}")
    if sorted(set(p_zero)) != p_zero or not all(0 <= p < 1 for p in p_zero):
        raise ValueError(f"p_zero must rise and lie in [0, 1); got {p_zero}")
