"""The figure of chapter 00: one slider over weights, activations and codes, all called sparse."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.evidence import t_interval
from course_lib.widgets import MovingFigure, script

THINGS = ("weights", "activations", "code")
CELL = 3  # pixels of a neuron's or latent's cell


class ThreeSparse(MovingFigure):
    """Zeros among weights, activations and codes, and what each costs.

    Args:
        levels: shares of zeros, rising, from 0 to 1.
        weights: (neurons, height, width) of a layer on images, and its zeros are drawn level by
            level: those of least size go first.
        activations: (n,) of one input. The least go first.
        codes: for each level, the code of one picture, shape (latents,).
        pictures: (1 + levels, height, width), the picture and what each code rebuilds, 0 to 1.
        effects: for each of `THINGS` a row for each seed and level, with columns `seed`, `level`
            and `value` in percent.
        told: for each of `THINGS`, what its value is, such as "accuracy".
        columns: of neurons, cells and latents in a row of the three pictures.
        start: the level that the figure starts with.
        caption: what is drawn, with the seeds and what the band is.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if shapes or levels do not fit, or `start` is no level; and as `MovingFigure`.
    """

    _esm = script("three_sparse.js")
    level = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        levels: Sequence[float],
        weights: np.ndarray,
        activations: np.ndarray,
        codes: np.ndarray,
        pictures: np.ndarray,
        effects: Mapping[str, pd.DataFrame],
        *,
        told: Mapping[str, str],
        columns: tuple[int, int, int],
        start: float,
        caption: str,
        alt: str,
    ):
        levels = [float(level) for level in levels]
        if levels != sorted(set(levels)) or start not in levels:
            raise ValueError(f"levels rise, and start is one of them; got {levels} and {start}")
        weights, activations, codes, pictures = map(
            np.asarray, (weights, activations, codes, pictures)
        )
        shapes = {
            "weights": (weights.ndim == 3, "(neurons, height, width)"),
            "activations": (activations.ndim == 1, "(n,)"),
            "codes": (codes.ndim == 2 and len(codes) == len(levels), "(levels, latents)"),
            "pictures": (
                pictures.ndim == 3 and len(pictures) == 1 + len(levels),
                "(1 + levels, height, width)",
            ),
        }
        given = dict(zip(shapes, (weights, activations, codes, pictures), strict=True))
        for name, (fits, wanted) in shapes.items():
            if not fits:
                raise ValueError(
                    f"{name} has the shape {wanted} for {len(levels)} levels; "
                    f"got {given[name].shape}"
                )
        sizes = (len(weights), len(activations), codes.shape[1])
        for name, size, across in zip(THINGS, sizes, columns, strict=True):
            if size % across:
                raise ValueError(f"{name}: {across} columns do not divide {size}")
        cells = [
            _level_by_level(weights, levels) | {"height": weights.shape[1]},
            _level_by_level(activations, levels) | {"height": CELL},
            {"height": CELL, "values": [_bytes(_signed(code)) for code in codes]},
        ]
        cells[0]["width"] = weights.shape[2]
        cells[1]["width"] = cells[2]["width"] = CELL
        for cell, size, across in zip(cells, sizes, columns, strict=True):
            cell |= {"columns": across, "rows": size // across}
        grey = np.clip(np.round(255 * pictures), 0, 255).astype(np.uint8)
        super().__init__(
            {
                "levels": levels,
                "cells": cells,
                "pictures": [_bytes(one) for one in grey],
                "picture": list(pictures.shape[1:]),
                "effects": [_effect(effects, name, told, levels) for name in THINGS],
            },
            caption=caption,
            alt=alt,
        )
        self.level = levels.index(start)
        self._drawn = weights, activations, codes, pictures

    def numbers(self) -> pd.DataFrame:
        """Return what each share of zeros costs, with intervals, a row for each level."""
        columns = {"share of zeros": [f"{100 * level:g}%" for level in self.state["levels"]]}
        for name, one in zip(THINGS, self.state["effects"], strict=True):
            ends = zip(one["estimate"], one["low"], one["high"], strict=True)
            columns[f"{name}: {one['told']}"] = [f"{e:.1f}% [{a:.1f}, {b:.1f}]" for e, a, b in ends]
        return pd.DataFrame(columns)

    def still(self) -> Figure:
        """Draw the three pictures at the level that the figure starts with."""
        weights, activations, codes, pictures = self._drawn
        share = self.state["levels"][self.level]
        fig, axes = figures.panels(3, columns=3, height=2.9)
        code = codes[self.level]
        shown = (_zeroed(weights, share), _zeroed(activations, share), code)
        for ax, cell, values, name in zip(axes, self.state["cells"], shown, THINGS, strict=True):
            values = values.reshape(cell["rows"], cell["columns"], *np.shape(values)[1:])
            if values.ndim == 4:
                values = np.pad(values, [(0, 0), (0, 0), (0, 1), (0, 1)])
                rows, columns, height, width = values.shape
                values = values.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
            most = np.abs(values).max() or 1.0
            ax.imshow(values, cmap="PuOr_r", vmin=-most, vmax=most)
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.set_title(f"{name}, {100 * share:g}% zeros", fontsize=10)
        return fig


def _zeroed(values: np.ndarray, share: float) -> np.ndarray:
    """Return the values with the given share of them, the least in size, set to zero."""
    kept = _ranks(values) >= round(share * values.size)
    return np.where(kept, values, 0.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the place of each value among all by size, from 0, the least."""
    flat = np.abs(values).ravel()
    ranks = np.empty(flat.size, dtype=int)
    ranks[np.argsort(flat, kind="stable")] = np.arange(flat.size)
    return ranks.reshape(values.shape)


def _level_by_level(values: np.ndarray, levels: Sequence[float]) -> dict:
    """Return the values and how many of the levels each survives, both as bytes."""
    ranks = _ranks(values)
    survived = sum((ranks >= round(level * values.size)).astype(np.uint8) for level in levels)
    return {"values": [_bytes(_signed(values))], "survived": _bytes(survived)}


def _signed(values: np.ndarray) -> np.ndarray:
    """Return whole numbers from −127 to 127, the largest size 127; what is not zero stays so."""
    most = np.abs(values).max() or 1.0
    whole = np.round(127 * values / most)
    whole = np.where((whole == 0) & (values != 0), np.sign(values), whole)
    return whole.astype(np.int8)


def _bytes(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _effect(effects, name: str, told: Mapping[str, str], levels: Sequence[float]) -> dict:
    """Return the mean over seeds and its 95% interval at each level, in percent."""
    table = effects[name]
    missing = {"seed", "level", "value"} - set(table.columns)
    if missing:
        raise ValueError(f"effects[{name!r}] lacks the columns {sorted(missing)}")
    if sorted(table.level.unique()) != list(levels):
        raise ValueError(
            f"effects[{name!r}] has the levels {sorted(table.level.unique())}; wanted {levels}"
        )
    found = [t_interval(table[table.level == level].value.tolist()) for level in levels]
    parts = ("estimate", "low", "high")
    return {"told": told[name]} | {p: [round(getattr(i, p), 2) for i in found] for p in parts}
