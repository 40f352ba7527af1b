"""The figure of chapter 06: pick a latent, and see what it responds to and what it does."""

import base64
from collections.abc import Mapping

import numpy as np
import pandas as pd
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.autoencoders import Examination
from course_lib.data import Split
from course_lib.widgets import MovingFigure, script

SIDE = 8  # of an image, in pixels
SHOWN = 6  # images in a row
TITLES = {"strongest": "strongest images", "spread": "from strongest to weakest"}
NETWORKS = 3  # at most; their colours and dashes are the first of those that figures share


class PickLatent(MovingFigure):
    """Pick a latent from a list by firing rate: its inputs, its direction, what removing it does.

    Args:
        examinations: what `autoencoders.examine` found, by the name that the network has in the
            figure; one to three, all on the images of `split`. Latents that are active for none of
            them are left out.
        split: the images, `(n, 64)` in [0, 1], and their labels. Some hundred keep the state small:
            360 of them and 450 latents are about 270 kB.
        start: the latent of the first network, by its row of `W_dec`, that the figure starts with.
            By default it is the one in the middle of the list, so that nobody has picked it.
        caption: what is drawn, with the seed and the split.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if there is no network or too many, shapes do not fit the images, a class has no
            image, a network has no latent that is active, or `start` is none of the first
            network's; and as `MovingFigure`.
    """

    _esm = script("latents.js")
    network = traitlets.Int(0).tag(sync=True)
    rank = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        examinations: Mapping[str, Examination],
        split: Split,
        *,
        start: int | None = None,
        caption: str,
        alt: str,
    ):
        if not 1 <= len(examinations) <= NETWORKS:
            raise ValueError(
                f"examinations are of 1 to {NETWORKS} networks; got {len(examinations)}"
            )
        x, y = split.x.detach().cpu().numpy(), split.y.cpu().numpy()
        if x.ndim != 2 or x.shape[1] != SIDE**2 or y.shape != (len(x),):
            raise ValueError(
                f"split needs images (n, {SIDE**2}) and n labels; got {x.shape} and {y.shape}"
            )
        if not (x >= 0).all() or not (x <= 1).all():
            raise ValueError("split needs pixels in [0, 1]; some are outside")
        networks = [_network(name, found, y) for name, found in examinations.items()]
        numbers = [one["number"] for one in networks[0]["latents"]]
        if start is None:
            start = numbers[len(numbers) // 2]
        if start not in numbers:
            raise ValueError(
                f"start is a latent that is active for some image, of {len(numbers)} in "
                f"{networks[0]['label']!r}; got {start!r}"
            )
        pixels = np.rint(255 * x).astype(np.uint8)
        super().__init__(
            {"images": _base64(pixels), "digits": y.tolist(), "networks": networks},
            caption=caption,
            alt=alt,
        )
        self.rank = self._start = numbers.index(start)

    def numbers(self) -> pd.DataFrame:
        """Return what the figure says of each latent, a row for each, by firing rate."""
        digits, rows = self.state["digits"], []
        for network in self.state["networks"]:
            for one in network["latents"]:
                said = {"network": network["label"], "latent": one["number"]}
                said["active"] = f"{100 * one['active'] / len(digits):.1f}%"
                for what in ("strongest", "spread"):
                    said[TITLES[what]] = " ".join(str(digits[i]) for i in one[what]["image"])
                most, moved = (int(np.abs(one[name]).argmax()) for name in ("means", "effects"))
                said["largest mean activation"] = f"{one['means'][most]:.2f} (digit {most})"
                said["largest change of a logit"] = f"{one['effects'][moved]:+.2f} (digit {moved})"
                said["change of accuracy (points)"] = f"{one['accuracy']:+.1f}"
                rows.append(said)
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw the six panels of the latent that the figure starts with."""
        state, blue = self.state, figures.PALETTE[0]
        one = state["networks"][0]["latents"][self._start]
        fig, axes = figures.panels(6, columns=2, height=2.6)
        rates, direction, strongest, spread, means, effects = axes

        for style, network in enumerate(state["networks"]):
            share = [100 * one["active"] / len(state["digits"]) for one in network["latents"]]
            look = {"color": figures.PALETTE[style], "ls": figures.DASHES[style]}
            rates.plot(range(1, len(share) + 1), share, label=network["label"], **look)
        rates.axvline(self._start + 1, color=figures.INK, lw=1.5)
        rates.set(xlabel="latent, by firing rate", ylabel="active on (% of images)")
        rates.set_title(f"Latent {one['number']} of “{state['networks'][0]['label']}”")
        rates.legend()

        signed = np.frombuffer(base64.b64decode(one["direction"]), dtype=np.int8) / 127
        picture = signed_picture(signed.reshape(SIDE, SIDE))
        _imshow(direction, picture)
        direction.set_title("Its direction in pixels (hole: minus)")

        images = np.frombuffer(base64.b64decode(state["images"]), dtype=np.uint8)
        images = images.reshape(-1, SIDE, SIDE) / 255
        for ax, name in ((strongest, "strongest"), (spread, "spread")):
            row = one[name]
            picture = np.zeros((SIDE, SHOWN * (SIDE + 1) - 1, 4))
            picture[:, :, :3] = _rgb(blue)
            for place, i in enumerate(row["image"]):
                picture[:, place * (SIDE + 1) :][:, :SIDE, 3] = images[i]
            _imshow(ax, picture)
            ax.set_title(TITLES[name].capitalize())
            said = [
                f"{state['digits'][i]}\n{value:.2f}"
                for i, value in zip(row["image"], row["value"], strict=True)
            ]
            middles = [place * (SIDE + 1) + SIDE / 2 - 0.5 for place in range(len(said))]
            ax.set_xticks(middles, said)
            ax.tick_params(length=0)

        for ax, name, title in (
            (means, "means", "Mean activation by digit"),
            (effects, "effects", "Change of each logit without it"),
        ):
            colours = [figures.PALETTE[value < 0] for value in one[name]]
            ax.barh(range(len(one[name])), one[name], color=colours)
            ax.axvline(0, color=figures.INK, lw=1)
            ax.set_yticks(range(len(one[name])))
            ax.invert_yaxis()
            ax.grid(axis="y", visible=False)
            ax.set(ylabel="digit", title=title)
        return fig


def signed_picture(values: np.ndarray) -> np.ndarray:
    """Return a matrix as colours `(3 * rows, 3 * columns, 4)`, as strong as its numbers in [-1, 1].

    A cell is three by three. It is blue above zero, and orange with a hole below.
    """
    large = np.kron(values, np.ones((3, 3)))
    hole = large.copy()
    hole[1::3, 1::3] = np.maximum(hole[1::3, 1::3], 0)  # a minus has a hole
    picture = np.empty((*large.shape, 4))
    picture[:] = [*_rgb(figures.PALETTE[0]), 0]
    picture[large < 0, :3] = _rgb(figures.PALETTE[1])
    picture[:, :, 3] = np.abs(hole)
    return picture


def _network(name: str, found: Examination, y: np.ndarray) -> dict:
    """The latents of a network that are active for some image, by firing rate."""
    latents, directions, effects, accuracy = (
        np.asarray(tensor.detach().cpu(), dtype=np.float64)
        for tensor in (found.activations, found.directions, found.effects, found.accuracy)
    )
    n, d_sae = latents.shape
    if n != len(y) or directions.shape != (d_sae, SIDE**2) or len(effects) != d_sae:
        raise ValueError(
            f"{name!r} was examined on {n} inputs of {directions.shape[-1]} numbers; the split has "
            f"{len(y)} images of {SIDE**2}"
        )
    n_classes = effects.shape[1]
    if set(range(n_classes)) != set(y.tolist()):
        raise ValueError(
            f"split needs images of all {n_classes} classes that {name!r} tells apart, and of no "
            f"other; it has {sorted(set(y.tolist()))}"
        )
    active = (latents != 0).sum(0)
    # Of latents with the same rate the lower number comes first.
    order = [int(i) for i in np.argsort(-active, kind="stable") if active[i]]
    if not order:
        raise ValueError(f"no latent of {name!r} is active for any image")
    is_class = y == np.arange(n_classes)[:, None]  # (C, n)
    means = is_class @ latents / is_class.sum(1, keepdims=True)  # (C, d_sae)
    return {
        "label": name,
        "latents": [
            {
                "number": i,
                "active": int(active[i]),
                **_images(latents[:, i]),
                **_direction(directions[i]),
                "means": _rounded(means[:, i]),
                "effects": _rounded(effects[i]),
                "accuracy": round(float(accuracy[i]), 2),
            }
            for i in order
        ],
    }


def _images(latent: np.ndarray) -> dict:
    """The images on which a latent is strongest, and some from there to the weakest, by rank."""
    order = [i for i in np.argsort(-latent, kind="stable") if latent[i]]
    places = np.rint(np.linspace(0, len(order) - 1, min(SHOWN, len(order)))).astype(int)
    rows = {"strongest": order[:SHOWN], "spread": [order[place] for place in places]}
    return {
        name: {"image": [int(i) for i in row], "value": _rounded(latent[row])}
        for name, row in rows.items()
    }


def _direction(direction: np.ndarray) -> dict:
    """A direction as signed bytes in base64, its largest entry 127, and how large that is."""
    largest = float(np.abs(direction).max())
    part = direction / largest if largest else direction
    signed = np.rint(127 * part).astype(np.int8)
    return {"direction": _base64(signed), "slope": float(f"{largest:.3g}")}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _imshow(ax: Axes, picture: np.ndarray) -> None:
    ax.imshow(picture, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
