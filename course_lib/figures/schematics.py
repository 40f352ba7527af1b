"""Drawings that show an idea: no axes, arrows, and matrices as grids of cells."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from course_lib.figures.style import DASHES, INK, PALETTE, panels


def schematic(width: float = 7.0, height: float = 3.0) -> tuple[Figure, Axes]:
    """Return a figure for a drawing: one axis without ticks or frame, as wide as it is high.

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
    """
    fig, (ax,) = panels(1, width=width, height=height)
    ax.set_axis_off()
    ax.set_aspect("equal")
    return fig, ax


def arrow(
    ax: Axes,
    start: Sequence[float],
    end: Sequence[float],
    *,
    style: int | None = 0,
    label: str = "",
) -> None:
    """Draw an arrow from `start` to `end`, its label beside its tip.

    Args:
        ax: where to draw; its limits grow so that the arrow is seen.
        start: (x, y).
        end: (x, y).
        style: number of the colour and dash; None for the colour of the text, undashed.
        label: a few letters.
    """
    colour, dash = (INK, "-") if style is None else (PALETTE[style % 6], DASHES[style % 6])
    ax.add_patch(
        FancyArrowPatch(
            tuple(start), tuple(end), arrowstyle="-|>", mutation_scale=14, color=colour,
            ls=dash, lw=1.8, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
    ax.plot(*zip(start, end, strict=True), ls="", marker="")  # a patch does not move the limits
    if label:
        dx, dy = np.subtract(end, start)
        offset = 12 * np.array([dx, dy]) / (np.hypot(dx, dy) or 1)
        ax.annotate(
            label, tuple(end), textcoords="offset points", xytext=tuple(offset), color=colour,
            ha="center", va="center", fontsize=11,
        )  # fmt: skip


def grid(
    ax: Axes,
    matrix: np.ndarray,
    *,
    at: Sequence[float] = (0.0, 0.0),
    size: float = 1.0,
    style: int = 0,
    values: bool = False,
) -> None:
    """Draw a matrix as cells, filled where it is not zero.

    Args:
        ax: where to draw; its limits grow so that the cells are seen.
        matrix: (rows, columns), numbers or booleans; the first row is drawn on top.
        at: (x, y) of the upper left corner.
        size: of a cell's side.
        style: number of the colour.
        values: whether each number stands in its cell.

    Raises:
        ValueError: if `matrix` has not two dimensions or no cell.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"a grid needs a matrix (rows, columns); got shape {matrix.shape}")
    left, top = at
    for (row, column), value in np.ndenumerate(matrix):
        corner = left + column * size, top - (row + 1) * size
        if value:
            filled = {"facecolor": PALETTE[style % 6], "alpha": 0.35}
            ax.add_patch(Rectangle(corner, size, size, lw=0, **filled))
        ax.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=INK, lw=0.8))
        if values:
            place = corner[0] + size / 2, corner[1] + size / 2
            text = f"{value:g}".replace("-", "\u2212")
            ax.text(*place, text, ha="center", va="center", fontsize=11)
    rows, columns = matrix.shape
    ax.plot([left, left + columns * size], [top, top - rows * size], ls="", marker="")
