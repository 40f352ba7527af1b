"""The figure of chapter 03: walk through the rounds in which a ticket is found."""

import base64
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import traitlets
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.checks import check_whole
from course_lib.evidence import t_interval
from course_lib.pruning import Masks
from course_lib.widgets import MovingFigure, draw_tiles, script

NEEDED = {
    "table": {"arm", "rewind", "round", "seed", "density", "steps", "test"},
    "curves": {"arm", "rewind", "round", "seed", "step", "validation_accuracy"},
}
DENSE = 3  # number of the colour and dash of the dense network; the arms come before it


class TicketRounds(MovingFigure):
    """Walk through the rounds of one seed's search, beside the accuracy of all seeds.

    Args:
        masks: of one seed's tickets by round; the first, round 0, keeps every weight. The first
            layer is one on images: shape (neurons, height · width).
        table: as of `tickets.Grid`: a row for each training, with the columns `arm`, `rewind`,
            `round`, `seed`, `density`, `steps` and `test` (accuracy in percent). It has the arm
            "dense" and the rounds of `masks`.
        curves: as of `tickets.Grid`, with the columns `arm`, `rewind`, `round`, `seed`, `step` and
            `validation_accuracy` (a share).
        seed: whose masks these are.
        rewind: where the tickets that are shown start again; other rows are left out.
        arms: at most three to draw. The first has all rounds; others may have some.
        image: (height, width) of the images, in pixels.
        columns: neurons in a row of the picture of the first layer.
        start: the round that the figure starts with.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if columns or rows are missing, the first layer does not fit the images, the
            seeds of an arm were evaluated at different steps, or `start` is no round; and as
            `MovingFigure`.
    """

    _esm = script("tickets.js")
    round = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        masks: Sequence[Masks],
        table: pd.DataFrame,
        curves: pd.DataFrame,
        *,
        seed: int,
        rewind: int | str = 0,
        arms: Sequence[str] = ("ticket", "re-initialised", "random mask"),
        image: tuple[int, int],
        columns: int,
        start: int,
        caption: str,
        alt: str,
    ):
        for name, rows in (("table", table), ("curves", curves)):
            if missing := NEEDED[name] - set(rows.columns):
                raise ValueError(f"{name} lacks the columns {sorted(missing)}")
        if not 1 <= len(arms) <= DENSE:
            raise ValueError(f"arms are 1 to {DENSE} names; got {list(arms)}")
        rounds = len(masks)
        check_whole("start", start, low=0, high=rounds - 1, hint="a round")
        first = arms[0]
        drawn = [
            _arm(name, *(_rows(r, name, rewind, name == first) for r in (table, curves)), rounds)
            for name in arms
        ]
        if drawn[0]["rounds"] != list(range(rounds)):
            raise ValueError(
                f"the arm {first!r} needs all rounds, 0 (dense) to {rounds - 1}; the table has "
                f"{drawn[0]['rounds']}"
            )
        search = _rows(table, first, rewind, True)
        search = search[search.seed == seed].set_index("round").steps.reindex(range(rounds))
        if search.isna().any():
            raise ValueError(f"the table lacks rounds of {first!r} of seed {seed!r}")
        before = [0, *search.cumsum().tolist()[:-1]]
        super().__init__(
            {
                "densities": [_density(mask) for mask in masks],
                "mask": _first_layer(masks, image, columns),
                "layers": [
                    {
                        "label": f"layer {number}",
                        "total": masks[0][name].numel(),
                        "kept": [int(mask[name].sum()) for mask in masks],
                    }
                    for number, name in enumerate(masks[0], start=1)
                ],
                "steps": {"search": [int(n) for n in before], "train": [int(n) for n in search]},
                "arms": drawn,
            },
            caption=caption,
            alt=alt,
        )
        self.round = start
        self._start = start

    def numbers(self) -> pd.DataFrame:
        """Return accuracy with its intervals, weights kept and steps, a row for each round."""
        state, rounds = self.state, range(len(self.state["densities"]))
        columns = {"round": list(rounds)}
        columns["density"] = [f"{100 * density:.1f}%" for density in state["densities"]]
        for one in state["arms"]:
            said = {
                r: f"{e:.1f}% [{low:.1f}, {high:.1f}]"
                for r, e, low, high in zip(
                    one["rounds"], one["estimate"], one["low"], one["high"], strict=True
                )
            }
            columns[f"accuracy, {one['label']}"] = [said.get(r, "–") for r in rounds]
        for one in state["layers"]:
            columns[f"weights kept, {one['label']}"] = [f"{n:,}" for n in one["kept"]]
        for where in ("outer", "inner"):
            columns[f"weights at an {where} pixel"] = [f"{n:.1f}" for n in state["mask"][where]]
        columns["steps to find it"] = [f"{n:,}" for n in state["steps"]["search"]]
        return pd.DataFrame(columns)

    def still(self) -> Figure:
        """Draw the six panels at the round that the figure starts with."""
        state, now = self.state, self._start
        fig, axes = figures.panels(6, columns=2, height=2.9)
        accuracy, learning, pixels, mask, layers, steps = axes

        for style, one in enumerate(state["arms"]):
            density = [100 * state["densities"][r] for r in one["rounds"]]
            _band(accuracy, density, one, style, one["label"])
        accuracy.axvline(100 * state["densities"][now], color=figures.INK, lw=1.5)
        accuracy.set(xlabel="density (%)", ylabel="test accuracy (%)")
        _log_axis(accuracy, (100, 50, 20, 10, 5, 2, 1))
        accuracy.invert_xaxis()
        accuracy.set_title(f"Accuracy over density, round {now}")
        accuracy.legend()

        for style, label, points in _curves_at(state, now):
            _band(learning, points["step"], points, style, label)
        learning.set(xlabel="step of training", ylabel="validation accuracy (%)")
        _log_axis(learning, (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000))
        learning.set_title("Learning curves at this round")
        learning.legend()

        grid = state["mask"]
        survived = np.frombuffer(base64.b64decode(grid["rounds"]), dtype=np.uint8)
        shape = grid["rows"], grid["columns"], grid["height"], grid["width"]
        kept = torch.from_numpy(survived > now).view(shape)
        left = kept.flatten(0, 1).float().sum(0)  # (height, width)
        blue = torch.tensor([0, 114, 178]).expand(*left.shape, 3) / 255
        full = left / left.max().clamp(min=1)  # the fullest pixel has the full colour
        pixels.imshow(torch.cat([blue, full.unsqueeze(2)], 2).numpy(), interpolation="nearest")
        pixels.set(xticks=[], yticks=[], title="Weights kept at each input pixel")
        pixels.grid(visible=False)
        draw_tiles(mask, kept)
        mask.set_title("The first layer: filled pixels stay")

        names = [one["label"] for one in state["layers"]]
        shares = [100 * one["kept"][now] / one["total"] for one in state["layers"]]
        _bars(layers, names, shares, "weights kept (%)")
        layers.set_title("Weights kept by layer")
        spent = [state["steps"][what][now] for what in ("search", "train")]
        _bars(steps, ["to find it", "to train it"], spent, "steps of training")
        steps.set_title("Steps spent")
        return fig


def _rows(rows: pd.DataFrame, arm: str, rewind: int | str, with_dense: bool) -> pd.DataFrame:
    """Return the rows of an arm, with those of the dense network, round 0, where it starts."""
    found = (rows["arm"] == arm) & (rows["rewind"] == rewind)
    return rows[found | (rows["arm"] == "dense")] if with_dense else rows[found]


def _arm(name: str, table: pd.DataFrame, curves: pd.DataFrame, rounds: int) -> dict:
    """The means over seeds and their 95% t intervals: test accuracy, and the learning curves."""
    table, curves = table[table["round"] < rounds], curves[curves["round"] < rounds]
    if table.empty:
        raise ValueError(f"the table has no rows of the arm {name!r}")
    found = {"label": name, "rounds": sorted(int(r) for r in table["round"].unique())}
    found |= _means([rows.test for _, rows in table.groupby("round")])
    found["curves"] = {str(r): _curve(name, r, rows) for r, rows in curves.groupby("round")}
    return found


def _curve(name: str, round: int, rows: pd.DataFrame) -> dict:
    """The learning curve of an arm at a round, in percent."""
    by_step = rows.groupby("step").validation_accuracy
    if by_step.size().nunique() > 1:
        raise ValueError(
            f"the seeds of {name!r}, round {round}, were evaluated at different steps, so "
            "their curves have no mean"
        )
    means = _means([100 * values for _, values in by_step])
    return {"step": [int(step) for step in by_step.groups], **means}


def _means(groups) -> dict[str, list[float]]:
    intervals = [t_interval(values.tolist()) for values in groups]
    return {
        part: [round(getattr(i, part), 2) for i in intervals]
        for part in ("estimate", "low", "high")
    }


def _density(mask: Masks) -> float:
    kept, total = sum(int(m.sum()) for m in mask.values()), sum(m.numel() for m in mask.values())
    return round(kept / total, 6)


def _first_layer(masks: Sequence[Masks], image: tuple[int, int], columns: int) -> dict:
    """How many rounds each weight of the first layer survives, as bytes in base64.

    `outer` and `inner` are the mean numbers of weights that a pixel of the border, or within it,
    has left in each round.
    """
    layers = torch.stack([next(iter(mask.values())) for mask in masks])  # (rounds, neurons, inputs)
    height, width = image
    if layers.dim() != 3 or layers.shape[2] != height * width or layers.shape[1] % columns:
        raise ValueError(
            f"the first layer has shape {tuple(layers.shape[1:])}; it must be (neurons, "
            f"{height} · {width}), with a number of neurons that {columns} columns divide"
        )
    if (layers[1:] & ~layers[:-1]).any():
        raise ValueError("masks must be nested; a weight comes back in a later round")
    pixels = layers.sum(1).view(-1, height, width).double()  # weights left at each pixel
    border = torch.ones(height, width, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    survived = layers.sum(0).to(torch.uint8)
    return {
        "columns": columns,
        "rows": layers.shape[1] // columns,
        "height": height,
        "width": width,
        "rounds": base64.b64encode(survived.numpy().tobytes()).decode("ascii"),
        "outer": [round(n, 2) for n in pixels[:, border].mean(1).tolist()],
        "inner": [round(n, 2) for n in pixels[:, ~border].mean(1).tolist()],
    }


def _curves_at(state: dict, round: int) -> list[tuple[int, str, dict]]:
    """Style, label and points of each curve that was trained at a round, the dense one last."""
    arms = enumerate(state["arms"])
    found = [(s, one["label"], one["curves"].get(str(round))) for s, one in arms]
    if round:
        found.append((DENSE, "dense", state["arms"][0]["curves"].get("0")))
    return [(style, label, points) for style, label, points in found if points]


def _band(ax, x, points: dict, style: int, label: str) -> None:
    colour = figures.PALETTE[style]
    ax.fill_between(x, points["low"], points["high"], color=colour, alpha=0.2, lw=0)
    look = {"ls": figures.DASHES[style], "marker": figures.MARKERS[style], "ms": 3}
    ax.plot(x, points["estimate"], color=colour, label=label, **look)


def _log_axis(ax, ticks: Sequence[int]) -> None:
    """Make the horizontal axis logarithmic, with those ticks that lie within what is drawn."""
    low, high = ax.dataLim.intervalx
    ticks = [tick for tick in ticks if low <= tick <= high]
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()


def _bars(ax, names: list[str], values: list[float], label: str) -> None:
    ax.barh(range(len(names)), values, color=figures.PALETTE[: len(names)])
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(label)
