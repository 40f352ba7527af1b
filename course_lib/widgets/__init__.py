"""Figures that move: one anywidget class a figure, at home on a page without a kernel.

A moving figure has all its numbers with it, computed by the run, so a page needs no kernel for it.
Where no script runs, and in print, its still picture stands instead. Each figure has a module of
its own here, with its script beside it; `figure.js` and `figure.css` are what all of them share.
"""

import hashlib
import html
import json
from pathlib import Path

import anywidget
import pandas as pd
import traitlets
from IPython.display import display
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.display import show_html

MAX_BYTES = 300_000  # of a figure's state, as JSON
HERE = Path(__file__).parent


def script(name: str) -> str:
    """Return the ES module of a figure: the shared `figure.js`, then the file of that name.

    anywidget takes one module a widget and a page has no address that a second could be imported
    from, so the two are one text; `name` uses what `figure.js` defines and imports nothing.
    """
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("figure.js", name))


class MovingFigure(anywidget.AnyWidget):
    """What figures that move have in common. A subclass sets `_esm` and draws `still`.

    Args:
        state: all that the script draws from; what JSON can hold, below 300 kB.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows, for who cannot see it, and what can be moved.

    Raises:
        ValueError: if a text is empty, or the state is too large or holds what JSON cannot,
            such as NaN.
    """

    _css = (HERE / "figure.css").read_text(encoding="utf-8")
    state = traitlets.Dict().tag(sync=True)
    palette = traitlets.List(list(figures.PALETTE)).tag(sync=True)
    still_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, state: dict, *, caption: str, alt: str):
        if not caption.strip() or not alt.strip() or caption.strip() == alt.strip():
            raise ValueError(
                "a moving figure needs a caption (what is drawn, seeds, band) and another text "
                "as alt (what it shows and what can be moved, to who cannot see it)"
            )
        try:
            text = json.dumps(state, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the state must be what JSON can hold: {error}") from None
        if len(text) >= MAX_BYTES:
            raise ValueError(
                f"the state has {len(text):,} bytes; a page takes less than {MAX_BYTES:,}. "
                "Send fewer points, or whole numbers in base64"
            )
        digest = hashlib.sha256((text + caption).encode()).hexdigest()[:10]
        self.caption, self.alt = caption, alt
        super().__init__(state=state, still_id=f"still-{digest}")

    def still(self) -> Figure:
        """Return the figure as a picture, at the point where it starts."""
        raise NotImplementedError(f"{type(self).__name__} does not draw a still")

    def numbers(self) -> pd.DataFrame:
        """Return what the figure shows, as a table for who cannot see or move it."""
        raise NotImplementedError(f"{type(self).__name__} has no table")

    def show(self) -> None:
        """Display the figure, its caption and, folded, its numbers as a table.

        The still picture stands below the moving one in the page. The script hides it when it has
        drawn itself, except in print.
        """
        picture = figures.picture(self.still(), name=self.still_id, alt=self.alt)
        table = self.numbers()
        rows = figures.table_markup(table, caption="The numbers of this figure.")
        display(self)
        show_html(
            f'<figure class="course-figure course-still" id="{self.still_id}" tabindex="0">'
            f"<div>{picture}</div><figcaption>{html.escape(self.caption)}</figcaption></figure>"
            f"<details><summary>The numbers of this figure, as a table</summary>{rows}</details>",
            f"[figure: {self.alt}]\n{self.caption}\n{table.to_string(index=False)}",
        )
