"""Figures: one style, every mean with its band, every picture with a caption and an alt text.

Pictures are SVG inside HTML. Text and axes take the page's own colour, so that they read on a
light page, on a dark one and in print. The palette keeps a contrast of 3 : 1 on both and can be
told apart by colour-blind readers; lines differ by dash and marker too.
"""

import hashlib
import html
import io
import re
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import verdicts
from course_lib.checks import check_whole
from course_lib.display import scrolling, show_html, true_minus
from course_lib.evidence import Arm, t_interval

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#9B4FE0", "#85602A", "#5A6969")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "x")
INK = "#010203"  # stands for "the page's own text colour", see `to_svg`

STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def panels(
    n: int = 1, *, columns: int = 2, width: float = 7.0, height: float = 3.2, **options
) -> tuple[Figure, list[Axes]]:
    """Return a figure with n axes side by side, at most `columns` in a row, and the axes.

    It sets matplotlib's parameters to the course's `STYLE`.

    Args:
        n: number of panels.
        columns: panels in a row.
        width: of the whole figure, in inches.
        height: of a row, in inches.
        **options: passed on to `matplotlib.pyplot.subplots`, for example `sharey=True`.

    Raises:
        ValueError: if `n` or `columns` is not a positive whole number.
    """
    check_whole("n", n)
    check_whole("columns", columns)
    columns = min(n, columns)
    rows = -(-n // columns)
    plt.rcParams.update(STYLE)  # for good: legends and titles come after this call
    fig, axes = plt.subplots(
        rows, columns, figsize=(width, height * rows), squeeze=False, **options
    )
    flat = list(axes.flat)
    for extra in flat[n:]:
        extra.remove()
    return fig, flat[:n]


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
    missing = {x, y} - set(table.columns)
    if missing:
        raise ValueError(f"the table lacks {sorted(missing)}; it has {sorted(table.columns)}")
    if table.empty:
        raise ValueError("the table has no rows, so there is nothing to draw")
    points = [(at, t_interval(rows[y].tolist(), level)) for at, rows in table.groupby(x)]
    at = [p for p, _ in points]
    colour, dash, marker = (s[style % len(s)] for s in (PALETTE, DASHES, MARKERS))
    ax.fill_between(
        at, [i.low for _, i in points], [i.high for _, i in points], color=colour, alpha=0.2, lw=0
    )
    ax.plot(
        at, [i.estimate for _, i in points], color=colour, ls=dash, marker=marker, ms=4, label=label
    )


def forest(ax: Axes, arms: Sequence[Arm]) -> None:
    """Draw the interval of every arm's first condition, with a tick at each threshold.

    Raises:
        ValueError: if there is no arm, or their units differ.
    """
    units = {arm.conditions[0].unit for arm in arms}
    if len(units) != 1:
        raise ValueError(f"a forest plot needs arms of one unit; got {sorted(units)}")
    style = {"holds": 2, "fails": 1, "undecided": 5}
    for row, arm in enumerate(arms):
        c, look = arm.conditions[0], style[arm.outcome]
        ax.plot([c.interval.low, c.interval.high], [row, row], color=PALETTE[look], lw=2)
        marker = MARKERS[look]
        ax.plot([c.interval.estimate], [row], color=PALETTE[look], marker=marker, ms=7, ls="")
        for end in verdicts.ends(c.holds, c.fails):
            ax.plot([end, end], [row - 0.35, row + 0.35], color=INK, lw=1.5)
    ax.set_yticks(range(len(arms)), [f"{arm.name} ({arm.outcome})" for arm in arms])
    ax.set_ylim(len(arms) - 0.4, -0.6)  # the first arm on top
    ax.set_xlabel(f"difference ({units.pop()})")
    ax.grid(axis="y", visible=False)


def to_svg(fig: Figure, *, name: str) -> str:
    """Return a figure as an SVG element that can stand inside HTML.

    Args:
        fig: the figure.
        name: makes the identifiers inside unique on a page with several figures.
    """
    file = io.StringIO()
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        fig.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    # Matplotlib's own style element would apply to the whole page; its content goes to the root.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    prefix = "f" + hashlib.sha256(name.encode()).hexdigest()[:8] + "-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{prefix}", svg)
    tag = svg[: svg.index(">")]
    points = float(re.search(r' width="([\d.]+)pt"', tag)[1])
    # As wide as the page lets it, up to its own size; without a style sheet too.
    style = f"width:100%;max-width:{points * 4 / 3:.0f}px;height:auto;stroke-linejoin:round"
    # Matplotlib leaves a black fill unsaid. Black would not be seen on a dark page: it is ink too.
    style += ";fill:currentColor"
    sized = re.sub(r' (width|height)="[\d.]+pt"', "", tag) + f' style="{style}"'
    svg = svg.replace(tag, sized, 1).replace("stroke: #000000", "stroke: currentColor")
    return svg.replace(INK, "currentColor")


def show(fig: Figure, *, caption: str, alt: str) -> None:
    """Display a figure with its caption and alt text, and close it.

    Args:
        fig: the figure.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows, for who cannot see it: its axes and its message.

    Raises:
        ValueError: if the caption or the alt text is empty or they are the same.
    """
    if not caption.strip() or not alt.strip() or caption.strip() == alt.strip():
        raise ValueError(
            "a figure needs a caption (what is drawn, seeds, band) and another text as alt "
            "(what the picture shows to who cannot see it)"
        )
    caption_below = f"<figcaption>{html.escape(caption)}</figcaption>"
    show_html(  # on a narrow page the figure scrolls, by keyboard too
        f'<figure class="course-figure" tabindex="0">'
        f"{picture(fig, name=caption + alt, alt=alt)}{caption_below}</figure>",
        f"[figure: {alt}]\n{caption}",
    )


def picture(fig: Figure, *, name: str, alt: str) -> str:
    """Return a figure as an SVG element with its alt text, and close it; `name` as in `to_svg`."""
    svg = to_svg(fig, name=name)
    plt.close(fig)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)


def table(rows: pd.DataFrame, *, caption: str, decimals: int = 2) -> None:
    """Display a table of results with its caption; numbers are rounded to `decimals`.

    Raises:
        ValueError: if the caption is empty.
    """
    if not caption.strip():
        raise ValueError("a table needs a caption that says what its numbers are")
    text = f"{caption}\n{rows.to_string(index=False)}"
    show_html(table_markup(rows, caption=caption, decimals=decimals), text)


def table_markup(rows: pd.DataFrame, *, caption: str, decimals: int = 2) -> str:
    """Return what `table` displays, as HTML."""
    markup = rows.to_html(
        index=False, border=0, classes="course-table", float_format=f"%.{decimals}f", justify="left"
    )
    markup = markup.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)
    return scrolling(true_minus(markup), label=caption)
