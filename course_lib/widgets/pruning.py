"""The figure of chapter 01: drag the sparsity and see what goes, and what that costs and saves."""

import base64
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
import traitlets
from matplotlib.figure import Figure

from course_lib import figures, pruning
from course_lib.evidence import t_interval
from course_lib.widgets import MovingFigure, draw_tiles, script

BINS = 48


class PruneByHand(MovingFigure):
    """Prune one network by magnitude by hand, beside the accuracy of many.

    Args:
        scores: of one network's weights, by parameter name, as `course_lib.pruning.magnitude` gives
            them. The first is a layer on images: shape (neurons, height · width).
        accuracy: a row for each seed, score and sparsity, with columns `seed`, `score`, `sparsity`
            (from 0 to 1) and `accuracy` (in percent). Its sparsities are the figure's levels.
        nbytes: for each format, the bytes of the weights at each level, from the lowest sparsity.
        image: (height, width) of the images, in pixels.
        columns: neurons in a row of the picture of the first layer.
        start: the sparsity that the figure starts with, one of the levels.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if columns are missing, a format has another number of levels, the first layer
            does not fit the images, or `start` is no level; and as `MovingFigure`.
    """

    _esm = script("pruning.js")
    level = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        scores: Mapping[str, torch.Tensor],
        accuracy: pd.DataFrame,
        nbytes: Mapping[str, Sequence[float]],
        *,
        image: tuple[int, int],
        columns: int,
        start: float,
        caption: str,
        alt: str,
    ):
        missing = {"seed", "score", "sparsity", "accuracy"} - set(accuracy.columns)
        if missing:
            raise ValueError(f"accuracy lacks the columns {sorted(missing)}")
        levels = sorted(accuracy.sparsity.unique().tolist())
        if start not in levels:
            raise ValueError(f"start must be a sparsity of the table; got {start}, not in {levels}")
        for name, values in nbytes.items():
            if len(values) != len(levels):
                raise ValueError(
                    f"nbytes[{name!r}] has {len(values)} values; the table has {len(levels)} levels"
                )
        masks = [pruning.global_mask(scores, level) for level in levels]
        super().__init__(
            {
                "sparsities": levels,
                "histogram": _histogram(scores, levels),
                "mask": _first_layer(masks, image, columns),
                "curves": [_curve(rows) for _, rows in accuracy.groupby("score", sort=False)],
                "formats": [
                    {"label": name, "bytes": [round(float(value)) for value in values]}
                    for name, values in nbytes.items()
                ],
            },
            caption=caption,
            alt=alt,
        )
        self.level = levels.index(start)
        self._start = self.level, masks[self.level]

    def numbers(self) -> pd.DataFrame:
        """Return accuracy with its intervals and bytes, a row for each level."""
        state, columns = self.state, {}
        columns["sparsity"] = [f"{100 * level:g}%" for level in state["sparsities"]]
        for one in state["curves"]:
            ends = zip(one["estimate"], one["low"], one["high"], strict=True)
            columns[f"accuracy, {one['label']}"] = [
                f"{e:.1f}% [{a:.1f}, {b:.1f}]" for e, a, b in ends
            ]
        for one in state["formats"]:
            columns[f"bytes, {one['label']}"] = [f"{value:,}" for value in one["bytes"]]
        return pd.DataFrame(columns)

    def still(self) -> Figure:
        """Draw the four panels at the level that the figure starts with."""
        (level, masks), state = self._start, self.state
        sparsity = state["sparsities"][level]
        fig, (histogram, curves, mask, sizes) = figures.panels(4, columns=2)

        edges, cut = state["histogram"]["edges"], state["histogram"]["cuts"][level]
        histogram.stairs(state["histogram"]["counts"], edges, fill=True, color=figures.PALETTE[0])
        histogram.axvline(cut, color=figures.INK, lw=1.5)
        histogram.set(xlabel="absolute weight |θ|", ylabel="number of weights")
        histogram.set_title(f"Weights left of the line go ({100 * sparsity:g}%)")

        for style, one in enumerate(state["curves"]):
            look = {"color": figures.PALETTE[style]}
            curves.fill_between(
                state["sparsities"], one["low"], one["high"], alpha=0.2, lw=0, **look
            )
            curves.plot(
                state["sparsities"],
                one["estimate"],
                ls=figures.DASHES[style],
                label=one["label"],
                **look,
            )
        curves.axvline(sparsity, color=figures.INK, lw=1.5)
        curves.set(xlabel="sparsity (share of zeros)", ylabel="test accuracy (%)")
        curves.set_title("Accuracy, not trained again")
        curves.legend()

        grid = state["mask"]
        shape = grid["rows"], grid["columns"], grid["height"], grid["width"]
        draw_tiles(mask, next(iter(masks.values())).view(shape))
        mask.set_title("The first layer: filled pixels stay")

        values = [one["bytes"][level] / 1000 for one in state["formats"]]
        sizes.barh(range(len(values)), values, height=0.45, color=figures.PALETTE[: len(values)])
        for row, one in enumerate(state["formats"]):  # above its bar: a name may be a few words
            sizes.text(0, row - 0.3, one["label"], va="bottom")
        sizes.set(yticks=[], ylim=(len(values) - 0.6, -0.9))
        sizes.grid(axis="y", visible=False)
        sizes.set_xlabel("kB")
        sizes.set_title("Bytes to store the weights")
        return fig


def _histogram(scores, levels) -> dict:
    """Counts of all scores in equal bins up to the largest, and the threshold of each level."""
    flat = torch.cat([score.detach().flatten() for score in scores.values()]).double().sort().values
    end = flat[-1].item()
    counts, edges = torch.histogram(flat, bins=BINS, range=(0.0, end))
    # Between the last weight that goes and the first that stays, as `global_mask` counts them.
    first = [min(round(level * len(flat)), len(flat) - 1) for level in levels]
    return {
        "edges": [round(edge, 5) for edge in edges.tolist()],
        "counts": [int(n) for n in counts.tolist()],
        "cuts": [round(flat[i].item(), 6) if i else 0.0 for i in first],
    }


def _first_layer(masks, image: tuple[int, int], columns: int) -> dict:
    """The number of levels that each weight of the first layer survives, as bytes in base64."""
    layers = [next(iter(mask.values())) for mask in masks]
    neurons, inputs = layers[0].shape[0], layers[0][0].numel()
    height, width = image
    if layers[0].dim() != 2 or inputs != height * width or neurons % columns:
        raise ValueError(
            f"the first layer has shape {tuple(layers[0].shape)}; it must be (neurons, "
            f"{height} · {width}), with a number of neurons that {columns} columns divide"
        )
    survived = torch.stack(layers).sum(0).to(torch.uint8)
    return {
        "columns": columns,
        "rows": neurons // columns,
        "height": height,
        "width": width,
        "levels": base64.b64encode(survived.numpy().tobytes()).decode("ascii"),
    }


def _curve(rows: pd.DataFrame) -> dict:
    """The mean over seeds and its 95% t interval at each sparsity, in percent."""
    intervals = [t_interval(some.accuracy.tolist()) for _, some in rows.groupby("sparsity")]
    curve = {"label": str(rows.score.iloc[0])}
    for part in ("estimate", "low", "high"):
        curve[part] = [round(getattr(i, part), 2) for i in intervals]
    return curve
