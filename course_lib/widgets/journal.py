"""The one-seed journal: papers that each rest on one network, above what all seeds say."""

import pandas as pd
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.evidence import t_interval
from course_lib.widgets import MovingFigure, joined, script

COLUMNS = ("seed", "dial", "network", "change", "low", "high", "images")
WORDS = ("sparser", "denser", "no difference")
PAPERS = 20  # on a full shelf


class Journal(MovingFigure):
    """Press *publish*: one seed, one dial and one network become a headline and an abstract.

    The headline says what the one draw says by its own interval, over the images that this network
    was shown: "sparser" above zero, "denser" below, else "no difference". Below a full shelf of
    papers stand the intervals over all seeds.

    Args:
        table: a row for each seed, dial and network. `change` is that of the sparseness from
            familiar inputs to the dial's strongest setting; `low` and `high` are the ends of this
            one network's interval over its `images`, a number. At least 20 rows, and 2 seeds or
            more for each dial and network.
        unit: of the three, such as "points".
        caption: what is drawn, with the seeds and what the bars are.
        alt: what the picture shows and what can be pressed.

    Raises:
        ValueError: if columns are missing, numbers are not finite or out of order, there are too
            few rows, or a dial and network have a seed twice or fewer than 2; and as
            `MovingFigure`.
    """

    _esm = script("journal.js")
    _css = joined("page.css", "figure.css", "games.css")

    def __init__(self, table: pd.DataFrame, *, unit: str, caption: str, alt: str):
        missing = set(COLUMNS) - set(table.columns)
        if missing:
            raise ValueError(f"table lacks the columns {sorted(missing)}")
        if len(table) < PAPERS:
            raise ValueError(f"table has {len(table)} rows; a shelf takes {PAPERS}")
        if not ((table.low <= table.change) & (table.change <= table.high)).all():
            raise ValueError("table needs low ≤ change ≤ high, all finite, in each row")
        pairs = table.groupby(["dial", "network"], sort=False)
        for (dial, network), rows in pairs:
            if len(rows) < 2 or rows.seed.duplicated().any():
                raise ValueError(
                    f"table has the seeds {sorted(rows.seed)} for {dial!r} and {network!r}; "
                    "each takes 2 or more, each once"
                )
        self.table = table[list(COLUMNS)].reset_index(drop=True)
        honest = [
            {"dial": dial, "network": network, "seeds": len(rows)}
            | _ends(t_interval(rows.change.tolist()))
            for (dial, network), rows in pairs
        ]
        draws = table[["dial", "network"]].assign(
            **{name: table[name].astype(int) for name in ("seed", "images")},
            **{name: table[name].astype(float).round(4) for name in ("change", "low", "high")},
        )
        super().__init__(
            {
                "unit": unit,
                "papers": PAPERS,
                "draws": draws.to_dict("records"),
                "honest": honest,
            },
            caption=caption,
            alt=alt,
        )

    def numbers(self) -> pd.DataFrame:
        """Return the mean over all seeds with its interval, and what single seeds would say."""
        rows = []
        for one in self.state["honest"]:
            some = [
                word_of(draw["low"], draw["high"])
                for draw in self.state["draws"]
                if (draw["dial"], draw["network"]) == (one["dial"], one["network"])
            ]
            ends = f"{one['estimate']:+.1f} [{one['low']:+.1f}, {one['high']:+.1f}]"
            rows.append(
                {"dial": one["dial"], "network": one["network"]}
                | {f"all seeds ({self.state['unit']})": ends}
                | {f"seeds alone: {word}": some.count(word) for word in WORDS}
            )
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw what all seeds say, with a point for each seed."""
        honest = self.state["honest"]
        fig, (ax,) = figures.panels(1, height=1.2 + 0.28 * len(honest))
        for y, one in enumerate(honest):
            rows = self.table[
                (self.table.dial == one["dial"]) & (self.table.network == one["network"])
            ]
            label = {"label": "one seed"} if y == 0 else {}
            ax.plot(rows.change, [y] * len(rows), "o", ms=3, color=figures.PALETTE[1], **label)
            label = {"label": "all seeds, 95% interval"} if y == 0 else {}
            ends = [one["low"], one["high"]]
            ax.plot(ends, [y, y], lw=5, alpha=0.5, color=figures.PALETTE[0], **label)
        ax.axvline(0, color=figures.INK, lw=1)
        ax.set_yticks(range(len(honest)), [f"{one['network']}, {one['dial']}" for one in honest])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"change of sparseness ({self.state['unit']})")
        fig.legend(loc="outside lower center", ncols=2)
        return fig


def word_of(low: float, high: float) -> str:
    """Say what an interval says of a change: "sparser", "denser" or "no difference"."""
    return "sparser" if low > 0 else "denser" if high < 0 else "no difference"


def _ends(interval) -> dict:
    return {name: round(getattr(interval, name), 4) for name in ("estimate", "low", "high")}
