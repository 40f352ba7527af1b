"""The figure of chapter 12: drag a vector through the axioms that a metric of sparsity may keep."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import torch
import traitlets
from matplotlib.figure import Figure

from course_lib import figures, probes
from course_lib.probes import AXIOMS, COUNTEREXAMPLES, METRICS, Case
from course_lib.probes.axioms import LOWERED, UNCHANGED
from course_lib.widgets import MovingFigure, script

TENTHS = 50  # the largest entry, in tenths
EDGE = 8.0  # of the plane that is drawn
SHARE = 0.5  # how strong the change is at the start, from 0.1 to 0.9
WIDEST = 4  # entries of a vector that is shown: two, cloned

WHAT = {  # each axiom's change, in a few words
    "Robin Hood": "the larger entry gives to the smaller",
    "Scaling": "all entries are multiplied",
    "Rising Tide": "the same is added to all entries",
    "Cloning": "the vector is put beside itself",
    "Bill Gates": "an entry that is large already grows",
    "Babies": "a zero comes to it",
}


class DragVector(MovingFigure):
    """Drag a vector in the plane, change it as an axiom does, and see which metrics do as asked.

    The metrics are those of `course_lib.probes.METRICS`, computed in the page. A vector on which an
    axiom is kept proves nothing, so the figure names a case that breaks it where one is known. On
    the axes, and for Robin Hood and Rising Tide on the diagonal, an axiom asks nothing.

    How strong the change is, s from 0.1 to 0.9, sets what Robin Hood takes (s times half of the
    difference), by how much Scaling multiplies (1 + s) and what Rising Tide adds (2 s). Bill Gates
    makes the larger entry as large as `course_lib.probes.changed` does; the first of its pairs of
    a size and a further growth is shown, and all of them decide.

    Args:
        vector: the two entries that the figure starts with, whole tenths from 0 to 5.
        axiom: the one that it starts with, of `course_lib.probes.AXIOMS`.
        metric: whose level curves are drawn at the start, of `METRICS`.
        cases: by metric and axiom a case that breaks it, or None where none is known: what
            `course_lib.probes.table` returns, by default the stored ones.
        caption: what is drawn.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if the vector, the axiom or the metric is none of these, or a case does not
            break its axiom; and as `MovingFigure`.
    """

    _esm = script("sparsity.js", "axioms.js")
    first = traitlets.Int().tag(sync=True)  # the entries, in tenths
    second = traitlets.Int().tag(sync=True)
    axiom = traitlets.Int().tag(sync=True)  # this and the metric by their numbers in the lists
    metric = traitlets.Int().tag(sync=True)
    strength = traitlets.Int(round(10 * SHARE)).tag(sync=True)  # in tenths

    def __init__(
        self,
        *,
        vector: Sequence[float] = (4.0, 1.5),
        axiom: str = "Robin Hood",
        metric: str = "Hoyer",
        cases: Mapping[str, Mapping[str, Case | None]] = COUNTEREXAMPLES,
        caption: str,
        alt: str,
    ):
        tenths = [round(10 * float(value), 6) for value in vector]
        if len(tenths) != 2 or not all(t in range(TENTHS + 1) for t in tenths):
            raise ValueError(
                f"vector has two entries, whole tenths from 0 to {TENTHS / 10:g}; got {vector!r}"
            )
        for name, value, known in (("axiom", axiom, AXIOMS), ("metric", metric, tuple(METRICS))):
            if value not in known:
                raise ValueError(f"{name} is one of {known}; got {value!r}")
        super().__init__(
            {
                "axioms": [
                    {"name": name, "what": WHAT[name], "asks": _asks(name)} for name in AXIOMS
                ],
                "metrics": list(METRICS),
                "cases": {name: _texts(name, cases.get(name, {})) for name in METRICS},
                "largest": TENTHS,
                "edge": EDGE,
                "widest": WIDEST,
            },
            caption=caption,
            alt=alt,
        )
        self.first, self.second = (int(t) for t in tenths)
        self.axiom, self.metric = AXIOMS.index(axiom), list(METRICS).index(metric)
        self._start = tuple(t / 10 for t in tenths), axiom, metric

    def numbers(self) -> pd.DataFrame:
        """Return what each axiom's change does to each metric, from the vector at the start."""
        vector, _, _ = self._start
        columns = {axiom: _outcomes(axiom, vector) for axiom in AXIOMS}
        return pd.DataFrame({"metric": list(METRICS), **columns})

    def still(self) -> Figure:
        """Draw the level curves of a metric with the vector, and what the axiom does to all."""
        vector, axiom, metric = self._start
        fig, (plane, ax) = figures.panels(2, height=4.2)
        case = _case(axiom, vector)
        before, after = (pair[0] for pair in probes.changed(case)) if case else (vector, vector)
        at = torch.linspace(0.01, EDGE, 200, dtype=torch.float64)
        values = METRICS[metric](torch.cartesian_prod(at, at)).reshape(200, 200).T
        if values.max() > values.min():
            drawn = plane.contour(at, at, values, levels=5, colors=figures.PALETTE[5], linewidths=1)
            plane.clabel(drawn, fmt=lambda level: f"{level:.2g}".replace("-", "−"), fontsize=8)
        plane.plot([0, EDGE], [0, EDGE], color=figures.INK, lw=0.8, alpha=0.35)
        style = {"marker": "o", "ls": "", "ms": 8}
        plane.plot(*vector, color=figures.PALETTE[0], label="the vector", **style)
        if len(after) == 2 and max(after) <= EDGE:
            end = {"color": figures.PALETTE[1], "mfc": "none", "label": "after the change"}
            plane.plot(*after, **style | {"marker": "s"}, **end)
        plane.set(xlim=(0, EDGE), ylim=(0, EDGE), aspect="equal")
        plane.set(xlabel="first entry", ylabel="second entry", title=f"Level curves of {metric}")
        plane.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.15), ncols=2)

        for row, (name, said) in enumerate(zip(METRICS, _outcomes(axiom, vector), strict=True)):
            lengths = [
                _reach(name, torch.as_tensor(h, dtype=torch.float64)) for h in (before, after)
            ]
            colour = figures.PALETTE[1 if said.startswith("broken") else 0]
            ax.barh(row - 0.18, lengths[0], height=0.16, fill=False, ec=figures.INK)
            ax.barh(row + 0.02, lengths[1], height=0.16, color=colour)
            ax.text(0, row - 0.34, f"{name}: {said}", fontsize=8)
        ax.set(xlim=(0, 1.02), ylim=(len(METRICS) - 0.5, -0.7), yticks=[])
        ax.set_xticks([0, 1], ["all equal", "one-hot"])
        ax.set_title(f"{axiom}: before (outline) and after")
        return fig


def _asks(axiom: str) -> str:
    if axiom in UNCHANGED:
        return "stay as it is"
    return "fall" if axiom in LOWERED else "rise"


def _case(axiom: str, vector: Sequence[float], share: float = SHARE) -> Case | None:
    """The change of a vector by an axiom; None where the axiom asks nothing of it."""
    larger = int(vector[1] > vector[0])
    gap = abs(vector[0] - vector[1])
    if min(vector) <= 0 or (gap == 0 and axiom in LOWERED):
        return None
    amount = {"Robin Hood": share * gap / 2, "Scaling": 1 + share, "Rising Tide": 2 * share}
    return Case(axiom, tuple(vector), amount.get(axiom, 1.0), (larger, 1 - larger))


def _outcomes(axiom: str, vector: Sequence[float]) -> list[str]:
    """What an axiom's change does to each metric, in words."""
    case = _case(axiom, vector)
    if case is None:
        return ["not asked"] * len(METRICS)
    before, after = (pair[0] for pair in probes.changed(case))
    said = []
    for metric in METRICS.values():
        kept = "broken" if probes.breaks(metric, case) else "kept"
        said.append(f"{kept}, {float(metric(before)):.3f} → {float(metric(after)):.3f}")
    return [text.replace("-0.000", "0.000").replace("-", "−") for text in said]


def _reach(name: str, h: torch.Tensor) -> float:
    """Where a value lies from that of equal entries, 0, to that of a one-hot vector, 1."""
    ends = METRICS[name](torch.stack([torch.ones(WIDEST), torch.eye(WIDEST)[0]]))
    low, high = ends.tolist()
    return float(np.clip((float(METRICS[name](h)) - low) / (high - low), 0, 1))


def _texts(metric: str, cases: Mapping[str, Case | None]) -> dict[str, str]:
    """The vectors that break axioms for a metric, in words, by axiom."""
    texts = {}
    for axiom, case in cases.items():
        if case is None:
            continue
        if case.axiom != axiom or not probes.breaks(METRICS[metric], case):
            raise ValueError(f"cases: {case} does not break {axiom!r} for {metric!r}")
        parts = []
        for value, run in groupby(case.vector):
            length = len(list(run))
            long = value == 0 and length > 3
            parts += [f"{length} zeros"] if long else [f"{value:.3g}"] * length
        text = f"({', '.join(parts)})"
        texts[axiom] = text if len(text) < 24 else f"one of {len(case.vector)} entries"
    return texts
