"""Figures and tables as a page shows them: SVG inside HTML, with caption and alt text."""

import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from course_lib.display import scrolling, show_html, true_minus
from course_lib.evidence import t_interval
from course_lib.figures.results import check_columns
from course_lib.figures.style import INK


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


def table(rows: pd.DataFrame, *, caption: str, decimals: int = 2, folded: bool = False) -> None:
    """Display a table of results with its caption; numbers are rounded to `decimals`.

    Args:
        rows: as they are shown.
        caption: says what the numbers are.
        decimals: of the numbers.
        folded: whether the reader sees only the caption until a click; for long tables.

    Raises:
        ValueError: if the caption is empty, or a column has no heading or, in its first column, no
            word at all.
    """
    if not caption.strip():
        raise ValueError("a table needs a caption that says what its numbers are")
    first = rows.iloc[:, 0].astype(str).str.strip() if rows.shape[1] else []
    if any(not str(name).strip() for name in rows.columns) or (len(first) and not any(first)):
        raise ValueError(
            f"a table's columns have headings and its rows begin with a word; got the columns "
            f"{list(rows.columns)} and rows that begin with {list(first)[:3]}"
        )
    markup = table_markup(rows, caption=caption, decimals=decimals)
    if folded:
        summary = f"<summary>{html.escape(caption)}</summary>"
        markup = f'<details class="course-folded">{summary}{markup}</details>'
    show_html(markup, f"{caption}\n{rows.to_string(index=False)}")


def table_markup(rows: pd.DataFrame, *, caption: str, decimals: int = 2) -> str:
    """Return what `table` displays, as HTML."""
    markup = rows.to_html(
        index=False, border=0, classes="course-table", float_format=f"%.{decimals}f", justify="left"
    )
    markup = markup.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)
    return scrolling(true_minus(markup), label=caption)


def means(
    rows: pd.DataFrame,
    *,
    by: str | Sequence[str],
    values: Sequence[str] | Mapping[str, str],
    caption: str,
    decimals: int = 2,
    level: float = 0.95,
    folded: bool = False,
) -> None:
    """Display a table of means over seeds, "mean [low, high]" with its t interval, a row a group.

    Args:
        rows: a row for each seed and each group.
        by: column of the groups, or several; groups stand in the order of the table.
        values: columns whose means are shown, or a dictionary from columns to their headings.
        caption: says what the numbers are, with the seeds and the level.
        decimals: of the numbers.
        level: of the intervals.
        folded: as in `table`.

    Raises:
        ValueError: if the table lacks a column or has no rows, a group has fewer than two rows, or
            the caption is empty.
    """
    keys = [by] if isinstance(by, str) else list(by)
    headings = dict(values) if isinstance(values, Mapping) else {name: name for name in values}
    check_columns(rows, *keys, *headings)
    shown = []
    for names, some in rows.groupby(keys, sort=False):
        row = dict(zip(keys, names, strict=True))
        for column, heading in headings.items():
            i = t_interval(some[column].tolist(), level)
            mean, low, high = (f"{x:.{decimals}f}" for x in (i.estimate, i.low, i.high))
            row[heading] = f"{mean} [{low}, {high}]"
        shown.append(row)
    table(pd.DataFrame(shown), caption=caption, decimals=decimals, folded=folded)
