"""Results over seeds, drawn with their intervals: curves and dots."""

import pandas as pd
from matplotlib.axes import Axes

from course_lib.evidence import t_interval
from course_lib.figures.style import DASHES, MARKERS, PALETTE


def mean_band(
    ax: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    label: str,
    style: int = 0,
    level: float = 0.95,
) -> None:
    """Draw the mean of `y` over seeds at each `x`, with its t interval as a band.

    Args:
        ax: where to draw.
        table: a row for each seed and each value of `x`.
        x: column of the horizontal axis.
        y: column whose mean is drawn.
        label: name in the legend.
        style: number of the colour, dash and marker.
        level: of the interval.

    Raises:
        ValueError: if the table lacks a column, or a value of `x` has fewer than two rows.
    """
    check_columns(table, x, y)
    points = [(at, t_interval(rows[y].tolist(), level)) for at, rows in table.groupby(x)]
    at = [p for p, _ in points]
    colour, dash, marker = _look(style)
    ax.fill_between(
        at, [i.low for _, i in points], [i.high for _, i in points], color=colour, alpha=0.2, lw=0
    )
    ax.plot(
        at, [i.estimate for _, i in points], color=colour, ls=dash, marker=marker, ms=4, label=label
    )


def curves(ax: Axes, table: pd.DataFrame, *, x: str, y: str, by: str, level: float = 0.95) -> None:
    """Draw a curve with its band for each value of the column `by`, in the order of the table.

    Args:
        ax: where to draw.
        table: a row for each seed, each value of `x` and each group.
        x: column of the horizontal axis.
        y: column whose mean over seeds is drawn.
        by: column of the groups; its values are the names in the legend.
        level: of the intervals.

    Raises:
        ValueError: as `mean_band`.
    """
    check_columns(table, x, y, by)
    for style, (name, rows) in enumerate(table.groupby(by, sort=False)):
        mean_band(ax, rows, x=x, y=y, label=str(name), style=style, level=level)


def dots(
    ax: Axes, table: pd.DataFrame, *, x: str, y: str, by: str | None = None, level: float = 0.95
) -> None:
    """Draw the mean of `y` over seeds as a mark with its t interval, for each category of `x`.

    Args:
        ax: where to draw.
        table: a row for each seed, each category and each group.
        x: column of the categories, which stand in the order of the table.
        y: column whose mean over seeds is drawn.
        by: column of the groups, drawn side by side; its values are the names in the legend.
        level: of the intervals.

    Raises:
        ValueError: if the table lacks a column or has no rows, or a mark has fewer than two rows.
    """
    check_columns(table, x, y, *([by] if by else []))
    places = {name: place for place, name in enumerate(dict.fromkeys(table[x]))}
    groups = [(None, table)] if by is None else list(table.groupby(by, sort=False))
    for style, (group, rows) in enumerate(groups):
        shift = 0.5 * ((style + 0.5) / len(groups) - 0.5)
        found = [
            (places[name] + shift, t_interval(some[y].tolist(), level))
            for name, some in rows.groupby(x, sort=False)
        ]
        colour, _, marker = _look(style)
        for at, i in found:
            ax.plot([at, at], [i.low, i.high], color=colour, lw=2)
        at, means = [p for p, _ in found], [i.estimate for _, i in found]
        label = None if group is None else str(group)
        ax.plot(at, means, color=colour, marker=marker, ms=7, ls="", label=label)
    ax.set_xticks(range(len(places)), [str(name) for name in places])
    ax.set_xlim(-0.6, len(places) - 0.4)
    ax.grid(axis="x", visible=False)


def check_columns(table: pd.DataFrame, *columns: str) -> None:
    """Raise a ValueError if the table has no rows or lacks one of the columns."""
    missing = set(columns) - set(table.columns)
    if missing:
        raise ValueError(f"the table lacks {sorted(missing)}; it has {sorted(table.columns)}")
    if table.empty:
        raise ValueError("the table has no rows, so there is nothing to draw")


def _look(style: int) -> tuple:
    """Return the colour, dash and marker of a number; a large one begins again."""
    return tuple(s[style % len(s)] for s in (PALETTE, DASHES, MARKERS))
