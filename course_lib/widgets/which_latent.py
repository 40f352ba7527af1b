"""Which latent has learned nothing? Top images of latents, shuffled, and a score against chance."""

import base64
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib import figures
from course_lib.checks import check_whole
from course_lib.evidence import share_interval
from course_lib.widgets import MovingFigure, joined, script

SIDE = 8  # of an image, in pixels
ROUNDS = 20
LETTERS = "ABCDEF"


class WhichLatent(MovingFigure):
    """Twenty rounds: a latent of each source, side by side; which is the trained network's?

    A latent is shown by its strongest images. Once the reader has chosen, its weaker images are
    shown too, and the choice may be changed. Which latents meet in which round, and in which order
    they stand, is drawn here; no latent comes twice.

    Args:
        images: `(n, 64)`, in [0, 1].
        digits: their n labels, for who cannot see them.
        sources: for each source its latents' images, as rows of `images`: a pair of arrays of whole
            numbers, `(latents, images)`, the strongest and the weaker ones, each from strong to
            weak. At least 20 latents a source, and 2 to 6 sources, all with as many images.
        learned: the name of the source that is asked for.
        seed: of the draw.
        caption: what is drawn, with the seed and the split.
        alt: what the picture shows and what can be chosen.

    Raises:
        ValueError: if shapes or numbers do not fit, `learned` is no source, or there are too few
            latents or sources; and as `MovingFigure`.
    """

    _esm = script("which_latent.js")
    numbers_are = "The answers of all rounds"
    _css = joined("page.css", "figure.css", "games.css")

    def __init__(
        self,
        images: np.ndarray,
        digits: Sequence[int],
        sources: Mapping[str, tuple[np.ndarray, np.ndarray]],
        *,
        learned: str,
        seed: int,
        caption: str,
        alt: str,
    ):
        images, digits = np.asarray(images, dtype=np.float64), np.asarray(digits)
        if images.ndim != 2 or images.shape[1] != SIDE**2 or digits.shape != (len(images),):
            raise ValueError(
                f"images are (n, {SIDE**2}) with n digits; got {images.shape} and {digits.shape}"
            )
        if not ((images >= 0) & (images <= 1)).all():
            raise ValueError("images need pixels in [0, 1]; some are outside")
        if learned not in sources or not 2 <= len(sources) <= len(LETTERS):
            raise ValueError(
                f"learned is one of 2 to {len(LETTERS)} sources; got {learned!r} and "
                f"{list(sources)}"
            )
        both = {name: _checked(name, pair, len(images)) for name, pair in sources.items()}
        shapes = {tuple(part.shape[1] for part in pair) for pair in both.values()}
        if len(shapes) > 1:
            raise ValueError(f"all sources show as many images; got {sorted(shapes)}")
        draw = np.random.default_rng(seed)
        chosen = {name: draw.permutation(len(pair[0]))[:ROUNDS] for name, pair in both.items()}
        names, rounds = list(both), []
        orders = []  # each as often as the others, so that no letter is a good guess
        while len(orders) < ROUNDS:
            orders += draw.permutation([*itertools.permutations(range(len(names)))]).tolist()
        for number, order in enumerate(orders[:ROUNDS]):
            latents = []
            for which in order:
                strong, weak = (part[chosen[names[which]][number]] for part in both[names[which]])
                latents.append({"source": which, "strong": strong.tolist(), "weak": weak.tolist()})
            rounds.append(latents)
        used = sorted({i for one in rounds for part in one for i in part["strong"] + part["weak"]})
        place = {i: number for number, i in enumerate(used)}
        for part in (part for one in rounds for part in one):
            for name in ("strong", "weak"):
                part[name] = [place[i] for i in part[name]]
        pixels = np.rint(255 * images[used]).astype(np.uint8)
        ends = [share_interval(score, ROUNDS) for score in range(ROUNDS + 1)]
        super().__init__(
            {
                "images": base64.b64encode(pixels.tobytes()).decode("ascii"),
                "digits": [int(digits[i]) for i in used],
                "sources": names,
                "learned": names.index(learned),
                "rounds": rounds,
                "intervals": [[i.low, i.high] for i in ends],  # of each score, of all rounds
            },
            caption=caption,
            alt=alt,
        )

    def numbers(self) -> pd.DataFrame:
        """Return the answers, and the digits that each latent shows."""
        rows = []
        for number, latents in enumerate(self.state["rounds"], 1):
            row = {"round": number}
            for letter, one in zip(LETTERS, latents, strict=False):
                said = "".join(str(self.state["digits"][i]) for i in one["strong"])
                row[letter] = f"{said} ({self.state['sources'][one['source']]})"
            rows.append(row)
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw the first round; who looks at paper finds the answer in the table."""
        latents = self.state["rounds"][0]
        images = np.frombuffer(base64.b64decode(self.state["images"]), dtype=np.uint8)
        images = images.reshape(-1, SIDE, SIDE) / 255
        fig, axes = figures.panels(2 * len(latents), columns=2, height=1.0)
        for number, one in enumerate(latents):
            for ax, name in zip(axes[2 * number :], ("strong", "weak"), strict=False):
                picture = np.zeros((SIDE, len(one[name]) * (SIDE + 1) - 1, 4))
                picture[:, :, :3] = [
                    int(figures.PALETTE[0][i : i + 2], 16) / 255 for i in (1, 3, 5)
                ]
                for place, i in enumerate(one[name]):
                    picture[:, place * (SIDE + 1) :][:, :SIDE, 3] = images[i]
                ax.imshow(picture, interpolation="nearest")
                ax.set(xticks=[], yticks=[])
                ax.grid(visible=False)
                shown = {"strong": "strongest images", "weak": "weaker images"}[name]
                ax.set_title(f"{LETTERS[number]}: {shown}")
        return fig


def top_and_weaker(activations: np.ndarray, shown: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return the strongest and weaker inputs of each latent that has enough of both.

    Args:
        activations: `(n, latents)`, finite; a latent is active where it is above 0.
        shown: how many of each. The strongest come first; the weaker ones are spread evenly over
            the other inputs for which the latent is active, down to the weakest.

    Returns:
        Two arrays of row numbers, `(latents with at least 2 · shown active inputs, shown)`.

    Raises:
        ValueError: if `activations` is no such array, or `shown` is not 1 or more.
    """
    activations = np.asarray(activations, dtype=np.float64)
    check_whole("shown", shown)
    if activations.ndim != 2 or not np.isfinite(activations).all():
        raise ValueError(f"activations are finite, (n, latents); got {activations.shape}")
    found = []
    for one in activations.T:
        order = np.argsort(-one, kind="stable")[: (one > 0).sum()]
        if len(order) >= 2 * shown:
            ranks = np.linspace(len(order) - 1, shown, shown).round().astype(int)[::-1]
            found.append((order[:shown], order[ranks]))
    both = np.array(found, dtype=int).reshape(-1, 2, shown)
    return both[:, 0], both[:, 1]


def _checked(name: str, pair, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays of a source; a ValueError if they cannot be played with."""
    strong, weak = (np.asarray(part) for part in pair)
    for part in (strong, weak):
        whole = np.issubdtype(part.dtype, np.integer)
        if part.ndim != 2 or part.shape[1] < 1 or len(part) != len(strong) or not whole:
            raise ValueError(
                f"{name}: strongest and weaker images are whole numbers (latents, images), with as "
                f"many latents; got {strong.dtype} {strong.shape} and {weak.dtype} {weak.shape}"
            )
        if part.size and not ((part >= 0) & (part < n)).all():
            raise ValueError(f"{name}: an image is a row of images, 0 to {n - 1}; some are not")
    if len(strong) < ROUNDS:
        raise ValueError(
            f"{name}: {ROUNDS} rounds take {ROUNDS} latents or more; got {len(strong)}"
        )
    return strong, weak
