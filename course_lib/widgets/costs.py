"""The figure of chapter 01b: how many weights stay, in which format, in which product."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.widgets import MovingFigure, script

FORMATS = {  # how the weight is stored: its bytes, and the kernel of `course_lib.costs` for it
    "CSR, PyTorch": ("CSR", "torch CSR"),
    "CSR, SciPy": ("CSR", "SciPy CSR"),
    "whole rows": ("whole rows", "structured"),
    "bitmask": ("bitmask", None),
}
VALUE = INDEX = 4  # bytes of a value, and of a number of an index


class WeighAndTime(MovingFigure):
    """Bytes and time of one weight, as multiples of dense, by density, format and product.

    Args:
        products: by their names: the shape of a weight, and its times in a batch, as
            `course_lib.costs.latency_by_density` measures them, at the same densities for all.
        start: (product, format, density) that the figure starts with.
        caption: what is drawn, on which machine, and what the band is.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if there is no product, the densities differ, dense or a kernel was not timed,
            or `start` is not there; and as `MovingFigure`.
    """

    _esm = script("costs.js")
    level = traitlets.Int().tag(sync=True)
    product = traitlets.Int().tag(sync=True)
    format = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        products: Mapping[str, tuple[tuple[int, int], pd.DataFrame]],
        *,
        start: tuple[str, str, float],
        caption: str,
        alt: str,
    ):
        densities = _densities(products)
        names = list(products), list(FORMATS), densities
        for there, one in zip(names, start, strict=True):
            if one not in there:
                raise ValueError(f"start is one of {there}; got {one!r}")
        state = {
            "densities": densities,
            "formats": [{"label": label, "stored": of} for label, (of, _) in FORMATS.items()],
            "products": [
                _product(name, shape, times, densities) for name, (shape, times) in products.items()
            ],
        }
        super().__init__(state, caption=caption, alt=alt)
        self.product, self.format, self.level = (
            there.index(one) for there, one in zip(names, start, strict=True)
        )
        self._start = self.product, self.format, self.level

    def numbers(self) -> pd.DataFrame:
        """Return bytes and times as multiples of dense, a row for each point of the figure."""
        rows = []
        for product in self.state["products"]:
            for label, one in zip(FORMATS, product["formats"], strict=True):
                for level, density in enumerate(self.state["densities"]):
                    ends = [one[part][level] for part in PARTS] if one["estimate"] else None
                    rows.append(
                        {
                            "product": product["label"],
                            "format": label,
                            "weights that stay": f"{100 * density:g}%",
                            "bytes": f"{one['bytes'][level]:,}",
                            "bytes, dense = 1": f"{one['share'][level]:.3f}",
                            "time, dense = 1": "{:.2f} [{:.2f}, {:.2f}]".format(*ends)
                            if ends
                            else "",
                            "in words": one["said"][level],
                        }
                    )
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw both panels for the product, the format and the density of the start."""
        product, format, level = self._start
        shown, densities = self.state["products"][product], self.state["densities"]
        fig, axes = figures.panels(2, sharey=True)
        for ax, what in zip(axes, ("bytes", "time"), strict=True):
            for style, (label, one) in enumerate(_lines(shown, what).items()):
                _draw(ax, densities, one, label, style)
            one = shown["formats"][format]
            values = one["share"] if what == "bytes" else one["estimate"]
            ax.axvline(densities[level], color=figures.INK, lw=1.5)
            if values:
                ax.plot(densities[level], values[level], "o", mfc="none", color=figures.INK, ms=11)
            ax.axhline(1, color=figures.INK, lw=1)
            ax.set(xscale="log", yscale="log", xlabel="density (share that stays)")
            ax.set_title(f"{what.capitalize()}, dense = 1")
            ax.set_xticks(densities, [f"{d:g}" for d in densities])
            ticks = [0.01, 0.1, 1, 10]
            ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            ax.minorticks_off()
            ax.legend(fontsize=9)
        place = f"{shown['label']}, {100 * densities[level]:g}% stay, {list(FORMATS)[format]}"
        fig.suptitle(f"{place}: {_said(one, level)}")
        return fig


PARTS = ("estimate", "low", "high")


def _densities(products) -> list[float]:
    """The densities that all products were timed at."""
    if not products:
        raise ValueError("products holds at least one product; got none")
    found = {}
    for name, (_, times) in products.items():
        kernels = {kernel for _, kernel in FORMATS.values() if kernel}
        if missing := {"dense", *kernels} - set(times.name):
            raise ValueError(f"{name}: the times lack {sorted(missing)}")
        found[name] = sorted(times.density[times.name != "dense"].unique().tolist())
    first = next(iter(found.values()))
    if any(some != first for some in found.values()):
        raise ValueError(f"all products have the same densities; got {found}")
    return first


def _product(name: str, shape: tuple[int, int], times: pd.DataFrame, densities) -> dict:
    """Bytes by equation (1) of the chapter, and times as ratios to dense in the same block."""
    rows, columns = shape
    dense = times[times.name == "dense"].set_index("block").seconds
    formats = []
    for stored, kernel in FORMATS.values():
        nbytes = [_bytes(stored, rows, columns, density) for density in densities]
        one = {"bytes": nbytes, "share": [round(b / (VALUE * rows * columns), 5) for b in nbytes]}
        one |= dict.fromkeys(PARTS)
        if kernel:
            some = times[times.name == kernel]
            ratio = some.seconds.to_numpy() / dense[some.block].to_numpy()
            by_density = pd.Series(ratio).groupby(some.density.to_numpy())
            for part, q in zip(PARTS, (0.5, 0.25, 0.75), strict=True):
                one[part] = [round(value, 4) for value in by_density.quantile(q).tolist()]
        one["said"] = [_said(one, level) for level in range(len(densities))]
        formats.append(one)
    return {
        "label": name,
        "bytes": VALUE * rows * columns,
        "seconds": float(np.format_float_positional(dense.median(), 3, fractional=False)),
        "formats": formats,
    }


def _bytes(stored: str, rows: int, columns: int, density: float) -> int:
    size = rows * columns
    left = round(density * size)
    if stored == "CSR":
        return (VALUE + INDEX) * left + INDEX * (rows + 1)
    if stored == "bitmask":
        return VALUE * left + -(-size // 8)
    return VALUE * max(1, round(density * rows)) * columns  # whole rows


def _said(one: dict, level: int) -> str:
    """Say in words what is gained: faster or slower only if both quartiles say so."""
    share = one["share"][level]
    size = "smaller" if share < 1 else "larger" if share > 1 else "as large"
    if not one["estimate"]:
        return f"{size}; no product reads it, so it is unpacked first"
    if one["low"][level] <= 1 <= one["high"][level]:
        return f"{size}, and about as fast"
    is_faster = one["high"][level] < 1
    alike = is_faster == (share < 1)
    return f"{size}{' and' if alike else ', but'} {'faster' if is_faster else 'slower'}"


def _lines(product: dict, what: str) -> dict:
    """The different lines of a panel, by their names."""
    if what == "time":
        pairs = zip(FORMATS, product["formats"], strict=True)
        return {label: [one[part] for part in PARTS] for label, one in pairs if one["estimate"]}
    shares = (one["share"] for one in product["formats"])
    stored = (of for of, _ in FORMATS.values())
    return {of: [share] * 3 for of, share in zip(stored, shares, strict=True)}


def _draw(ax: Axes, densities, values, label: str, number: int) -> None:
    style = style_of(label)
    look = {"color": figures.PALETTE[style]}
    middle, low, high = values
    ax.fill_between(densities, low, high, alpha=0.2, lw=0, **look)
    look |= {"ls": figures.DASHES[style], "marker": figures.MARKERS[style], "ms": 4}
    ax.plot(densities, middle, label=label, **look)


def style_of(label: str) -> int:
    """The number of the colour of a line: bytes and times of one format have the same."""
    return next(
        number for number, (name, (of, _)) in enumerate(FORMATS.items()) if label in (name, of)
    )
