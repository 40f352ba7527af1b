"""Figures: one style, every mean with its band, every picture with a caption and an alt text.

Pictures are SVG inside HTML. Text and axes take the page's own colour, so that they read on a
light page, on a dark one and in print. The palette keeps a contrast of 3 : 1 on both and can be
told apart by colour-blind readers; lines differ by dash and marker too.
"""

from course_lib.figures.results import curves, dots, mean_band
from course_lib.figures.schematics import arrow, grid, schematic
from course_lib.figures.showing import means, picture, show, table, table_markup, to_svg
from course_lib.figures.style import DASHES, INK, MARKERS, PALETTE, STYLE, panels

__all__ = [  # in the order of the API page
    "DASHES",
    "INK",
    "MARKERS",
    "PALETTE",
    "STYLE",
    "panels",
    # results over seeds
    "mean_band",
    "curves",
    "dots",
    # drawings
    "schematic",
    "arrow",
    "grid",
    # what a page shows
    "show",
    "picture",
    "to_svg",
    "table",
    "table_markup",
    "means",
]
