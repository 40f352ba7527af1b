"""Widgets of the course, at home on a page without a kernel: figures that move, and quizzes.

A widget has all that it shows with it, computed by the run, so a page needs no kernel for it. Where
no script runs, and in print, something plain stands instead. Each widget has a module of its own
here, with its script beside it; `page.js` and `page.css` are what all of them share, `figure.js`
and `figure.css` what figures share besides.
"""

import hashlib
import html
import json
from pathlib import Path

import anywidget
import pandas as pd
import torch
import traitlets
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.display import show_html

MAX_BYTES = 300_000  # of a figure's state, as JSON
HERE = Path(__file__).parent


def joined(*names: str) -> str:
    """Return files of this folder as one text.

    anywidget takes one module and one style a widget, and a page has no address that a second could
    be imported from.
    """
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def script(*names: str) -> str:
    """Return the ES module of a figure: what figures share, then the files of these names.

    The files use what `page.js` and `figure.js` define and import nothing.
    """
    return joined("page.js", "figure.js", *names)


def draw_tiles(ax: Axes, kept: torch.Tensor) -> None:
    """Draw the mask of a layer on images: a tile for each neuron, kept pixels filled.

    Args:
        ax: where to draw.
        kept: booleans `(rows, columns, height, width)`, the tiles as they lie.
    """
    rows, columns, height, width = kept.shape
    colours = torch.tensor([[128, 128, 128, 50], [0, 114, 178, 255]])[kept.int()] / 255
    colours = torch.nn.functional.pad(colours, (0, 0, 0, 1, 0, 1))  # clear between neurons
    pixels = colours.permute(0, 2, 1, 3, 4)  # (rows, height + 1, columns, width + 1, 4)
    pixels = pixels.reshape(rows * (height + 1), columns * (width + 1), 4)
    ax.imshow(pixels[:-1, :-1].numpy(), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)


class PageWidget(anywidget.AnyWidget):
    """A widget that needs no kernel. A subclass sets `_esm` and `_css`, and shows what stands in.

    What stands in has the id `still_id` and one `div` for all that the script hides (`hideStill`).

    Args:
        state: all that the script needs; what JSON can hold, below 300 kB.
        salt: what tells two widgets of the same state apart.

    Raises:
        ValueError: if the state is too large or holds what JSON cannot, such as NaN.
    """

    state = traitlets.Dict().tag(sync=True)
    still_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, state: dict, *, salt: str = ""):
        try:
            text = json.dumps(state, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the state must be what JSON can hold: {error}") from None
        if len(text) >= MAX_BYTES:
            raise ValueError(
                f"the state has {len(text):,} bytes; a page takes less than {MAX_BYTES:,}. "
                "Send fewer points, or whole numbers in base64"
            )
        digest = hashlib.sha256((text + salt).encode()).hexdigest()[:10]
        super().__init__(state=state, still_id=f"still-{digest}")


class MovingFigure(PageWidget):
    """What figures that move have in common. A subclass sets `_esm` and draws `still`.

    Args:
        state: as `PageWidget`.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows, for who cannot see it, and what can be moved.

    Raises:
        ValueError: if a text is empty, and as `PageWidget`.
    """

    _css = joined("page.css", "figure.css")
    palette = traitlets.List(list(figures.PALETTE)).tag(sync=True)
    numbers_are = "The numbers of this figure"  # of the folded table

    def __init__(self, state: dict, *, caption: str, alt: str):
        if not caption.strip() or not alt.strip() or caption.strip() == alt.strip():
            raise ValueError(
                "a moving figure needs a caption (what is drawn, seeds, band) and another text "
                "as alt (what it shows and what can be moved, to who cannot see it)"
            )
        self.caption, self.alt = caption, alt
        super().__init__(state, salt=caption)

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
        rows = figures.table_markup(table, caption=f"{self.numbers_are}.")
        display(self)
        show_html(
            f'<figure class="course-figure course-still" id="{self.still_id}" tabindex="0">'
            f"<div>{picture}</div><figcaption>{html.escape(self.caption)}</figcaption></figure>"
            f"<details><summary>{self.numbers_are}, as a table</summary>{rows}</details>",
            f"[figure: {self.alt}]\n{self.caption}\n{table.to_string(index=False)}",
        )
