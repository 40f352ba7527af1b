"""The first figure of chapter 03: cross weights out of a network that is never trained."""

import base64
from collections.abc import Mapping

import pandas as pd
import torch
import traitlets
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.checks import check_whole
from course_lib.evidence import t_interval
from course_lib.widgets import MovingFigure, script

ACROSS = 6  # images in a row


class MaskAlone(MovingFigure):
    """Cross out more and more weights of an untrained network and see which digits it gets right.

    Args:
        images: of one seed, `(n, height, width)`, grey from 0 to 1; n is a multiple of 6.
        labels: whole numbers `(n,)`, what the images show.
        answers: for each way to a mask, what its network says of the images, whole numbers
            `(rounds, n)`. One to three ways; the rounds begin with 0, the network with all weights.
        accuracy: of all seeds, in percent: a row for each seed, way and round, with the columns
            `way`, `round`, `density` and `accuracy`. It has the ways and rounds of `answers`.
        start: the round that the figure starts with.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if shapes do not fit, columns or rows are missing, or `start` is no round; and
            as `MovingFigure`.
    """

    _esm = script("masks.js")
    round = traitlets.Int().tag(sync=True)
    way = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        answers: Mapping[str, torch.Tensor],
        accuracy: pd.DataFrame,
        *,
        start: int,
        caption: str,
        alt: str,
    ):
        if missing := {"way", "round", "density", "accuracy"} - set(accuracy.columns):
            raise ValueError(f"accuracy lacks the columns {sorted(missing)}")
        if images.dim() != 3 or len(images) % ACROSS or not 0 <= images.min() <= images.max() <= 1:
            raise ValueError(
                f"images must be (n, height, width), n a multiple of {ACROSS}, from 0 to 1; got "
                f"the shape {tuple(images.shape)}"
            )
        if not 1 <= len(answers) <= 3:
            raise ValueError(f"answers takes 1 to 3 ways to a mask; got {list(answers)}")
        shapes = {tuple(said.shape) for said in answers.values()}
        if len(shapes) > 1 or any(shape[1:] != (len(labels),) for shape in shapes):
            raise ValueError(
                f"answers must all be (rounds, {len(labels)}); got {sorted(map(str, shapes))}"
            )
        if len(labels) != len(images):
            raise ValueError(f"there are {len(images)} images and {len(labels)} labels")
        rounds = len(next(iter(answers.values())))
        check_whole("start", start, low=0, high=rounds - 1, hint="a round")
        ways = [_way(name, said, accuracy, rounds) for name, said in answers.items()]
        by_round = accuracy[accuracy.way == ways[0]["label"]].groupby("round").density.mean()
        pixels = (255 * images).round().to(torch.uint8)
        super().__init__(
            {
                "height": images.shape[1],
                "width": images.shape[2],
                "images": base64.b64encode(pixels.numpy().tobytes()).decode("ascii"),
                "labels": [int(label) for label in labels],
                "densities": [round(float(by_round[r]), 4) for r in range(rounds)],
                "ways": ways,
            },
            caption=caption,
            alt=alt,
        )
        self.round = start
        self._start, self._images = start, images

    def numbers(self) -> pd.DataFrame:
        """Return how many images are right and the accuracy, a row for each round."""
        state, rounds = self.state, range(len(self.state["densities"]))
        columns = {"round": list(rounds)}
        columns["weights kept"] = [f"{100 * density:.0f}%" for density in state["densities"]]
        for one in state["ways"]:
            ends = zip(one["estimate"], one["low"], one["high"], strict=True)
            columns[f"right, {one['label']}"] = [
                f"{e:.0f}% [{low:.0f}, {high:.0f}]" for e, low, high in ends
            ]
            columns[f"of these images, {one['label']}"] = [
                f"{self._right(one, r)} of {len(state['labels'])}" for r in rounds
            ]
        return pd.DataFrame(columns)

    def _right(self, way: dict, number: int) -> int:
        pairs = zip(way["answers"][number], self.state["labels"], strict=True)
        return sum(said == label for said, label in pairs)

    def still(self) -> Figure:
        """Draw the images and the accuracy at the round that the figure starts with."""
        state, now = self.state, self._start
        fig, (digits, chart) = figures.panels(2, height=2.9)
        n, height, width = self._images.shape
        rows = self._images.view(n // ACROSS, ACROSS, height, width)
        rows = torch.nn.functional.pad(rows, (1, 1, 0, 5))  # room for the answers
        picture = rows.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
        blue = torch.tensor([0, 114, 178]).expand(*picture.shape, 3) / 255
        digits.imshow(torch.cat([blue, picture.unsqueeze(2)], 2).numpy(), interpolation="nearest")
        first = state["ways"][0]
        for i, (said, label) in enumerate(zip(first["answers"][now], state["labels"], strict=True)):
            x = (i % ACROSS) * (width + 2) + (width + 1) / 2
            y = (i // ACROSS) * (height + 5) + height + 1.5
            digits.text(x, y, f"{said} {'✓' if said == label else '✗'}", ha="center", va="center")
        digits.set(xticks=[], yticks=[], title="What it says, untrained")
        digits.grid(visible=False)
        digits.spines[:].set_visible(False)
        for style, one in enumerate(state["ways"]):
            look = {"color": figures.PALETTE[style]}
            at = range(len(one["estimate"]))
            chart.fill_between(at, one["low"], one["high"], alpha=0.2, lw=0, **look)
            look |= {"ls": figures.DASHES[style], "marker": figures.MARKERS[style], "ms": 4}
            chart.plot(at, one["estimate"], label=one["label"], **look)
        chart.axvline(now, color=figures.INK, lw=1.5)
        chart.set(xlabel="round", ylabel="right (%)", ylim=(0, 100))
        chart.set_title("Right without any training")
        chart.legend()
        return fig


def _way(name: str, said: torch.Tensor, accuracy: pd.DataFrame, rounds: int) -> dict:
    """The answers of one way to a mask, and the mean over seeds of its accuracy by round."""
    groups = dict(list(accuracy[accuracy.way == name].groupby("round")))
    if missing := sorted(set(range(rounds)) - set(groups)):
        raise ValueError(f"accuracy lacks the rounds {missing} of {name!r}")
    means = [t_interval(groups[r].accuracy.tolist()) for r in range(rounds)]
    found = {"label": name, "answers": [[int(x) for x in row] for row in said]}
    return found | {
        part: [round(getattr(i, part), 2) for i in means] for part in ("estimate", "low", "high")
    }
