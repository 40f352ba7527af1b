"""The style of all figures, and the panels that they are drawn on."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.checks import check_whole

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
