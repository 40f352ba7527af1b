"""The figure of chapter 13: draw a digit, turn the dials, and see what a network makes of it."""

import base64
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_lib import figures, probes, seeds
from course_lib.checks import check_rows, check_whole
from course_lib.data import Split
from course_lib.probes import METRICS, Null
from course_lib.widgets import MovingFigure, script

SIDE = 8  # of an image, in pixels
STEP_DEGREES, STEP_SHARE = 5, 0.05  # of the dials
STEPS = {"rotation": 36, "inversion": 20, "noise": 20}
NORM, SOFTMAX = "norm of the layer", "softmax maximum"
FEWEST = 20  # familiar inputs, for a range that leaves out a tenth

# Beside the image as it is, in the table; and, with the dials at their ends, for the axes.
TURNED = {"rotated by 90°": (90, 0, 0), "inverted": (0, 1, 0), "noise 0.5": (0, 0, 0.5)}
ENDS = ((0, 0, 0), (45, 0, 0), (180, 0, 0), (0, 0.5, 0), (0, 0, 1), (90, 1, 1), *TURNED.values())


class DrawDigit(MovingFigure):
    """Draw a digit or choose one, rotate and invert it, add noise, and see what follows.

    A trained network runs in the page. Beside the activations of its last hidden layer stand the
    first metric with the range of familiar inputs, and the softmax; behind a fold each metric with
    its null, and the layer's norm. The weights travel as halves (float16), and all that the figure
    says is of the network with these weights; `rounding` is the largest change that this makes to a
    logit of its images.

    The dials are `course_lib.probes.rotation`, `inversion` and `noise`, in this order.

    Args:
        model: linear layers with biases, and between them `nn.ReLU`, `nn.GELU` of either form or
            `nn.Tanh`, the same everywhere; from 64 pixels to a logit for each class.
            `networks.mlp()` makes 134 kB of state; the most is about 85,000 weights.
        split: the images that can be chosen, `(n, 64)` in [0, 1], and their labels `(n,)`.
        familiar: images `(m, 64)`, m at least 20. The ranges are from their 5th to their 95th
            percentile.
        nulls: by name, of `course_lib.probes.METRICS`, the metrics that are shown, and their nulls
            for the last hidden layer.
        held_out: labels of classes that the network never learned.
        start: the image that the figure starts with, by its row in `split`.
        noise_seed: draws the noise, as in `course_lib.probes.noise` for a single image.
        caption: what is drawn, with the seed and the split.
        alt: what the picture shows and what can be moved.

    Raises:
        ValueError: if the model has other layers or weights that halves cannot hold, shapes do not
            fit, pixels lie outside [0, 1], a metric is unknown or `start` is no row; and as
            `MovingFigure`.
    """

    _esm = script("sparsity.js", "network.js", "shifts.js")
    ink = traitlets.List(traitlets.Float()).tag(sync=True)  # the image before the dials, by rows
    item = traitlets.Int().tag(sync=True)  # the image of the split that was chosen last
    rotation = traitlets.Int(0).tag(sync=True)  # the dials, in steps
    inversion = traitlets.Int(0).tag(sync=True)
    noise = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        model: nn.Sequential,
        split: Split,
        familiar: Tensor,
        nulls: Mapping[str, Null],
        *,
        held_out: Sequence[int] = (),
        start: int = 0,
        noise_seed: int = 0,
        caption: str,
        alt: str,
    ):
        split = Split(split.x.detach().cpu().float(), split.y.cpu())
        familiar = torch.as_tensor(familiar).detach().cpu().float()
        _check(split, familiar, nulls, start)
        exact = _copy(model)
        self._network, self._x = _halved(exact), split.x.half().float()
        self._names, self._start, self._noise_seed = list(nulls), start, noise_seed
        with torch.no_grad():
            before = exact(torch.cat([split.x, familiar]))
            after = self._network(torch.cat([self._x, familiar]))
        self.rounding = float((before - after).abs().max())

        ranges = self._values(familiar)
        shifted = [self._values(self._shifted(self._x, *dials)) for dials in ENDS]
        self._lines = [
            _line(name, values, [one[name] for one in shifted], nulls.get(name))
            for name, values in ranges.items()
        ]
        layers = [layer for layer in self._network if isinstance(layer, nn.Linear)]
        draw = seeds.generator(noise_seed, "shift", "noise")
        super().__init__(
            {
                "layers": [
                    {"weight": _halves(of.weight), "bias": _halves(of.bias)} for of in layers
                ],
                "activation": _name(self._network[1]),
                "images": _halves(self._x),
                "labels": split.y.tolist(),
                "held_out": [int(label) for label in held_out],
                "noise": torch.randn(1, SIDE**2, generator=draw)[0].tolist(),
                "dials": {"degrees": STEP_DEGREES, "share": STEP_SHARE, "steps": STEPS},
                "lines": self._lines,
                "reach": self._reach(),
                "rounding": _upwards(self.rounding),
            },
            caption=caption,
            alt=alt,
        )
        self.item, self.ink = start, self._x[start].tolist()

    def numbers(self) -> pd.DataFrame:
        """Return each metric's null, familiar range and values for the start, turned in turn."""
        image = self._x[[self._start]]
        columns = {"as it is": self._values(image)}
        for name, dials in TURNED.items():
            columns[name] = self._values(self._shifted(image, *dials))
        rows = []
        for line in self._lines:
            null = line["null"]
            row = {"metric": line["name"]}
            row["null, ± 2 sd"] = f"{_brief(null[0])} ± {_brief(2 * null[1])}" if null else ""
            row["familiar, 5–95%"] = f"{_brief(line['low'])} to {_brief(line['high'])}"
            row |= {name: _brief(values[line["name"]][0]) for name, values in columns.items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw the image of the start, the activations, the metrics and the softmax."""
        image = self._x[[self._start]]
        values = self._values(image)
        with torch.no_grad():
            hidden, logits = self._hidden(image)[0].numpy(), self._network(image)[0]
        fig, (seen, layer, lines, classes) = figures.panels(4, height=3.2)
        pixels = np.empty((SIDE, SIDE, 4))
        pixels[:, :, :3] = [int(figures.PALETTE[0][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        pixels[:, :, 3] = image.reshape(SIDE, SIDE)
        seen.imshow(pixels, interpolation="nearest")
        seen.set(xticks=[], yticks=[], title=f"The image: a {self.state['labels'][self._start]}")
        seen.grid(visible=False)
        layer.bar(range(len(hidden)), hidden, width=1, color=figures.PALETTE[0])
        layer.set(xlabel="unit", ylabel="activation", title="Last hidden layer")
        _draw_lines(lines, self._lines, values)
        share = logits.double().softmax(0).tolist()
        classes.barh(range(len(share)), share, color=figures.PALETTE[0])
        classes.set(yticks=range(len(share)), xlim=(0, 1), ylabel="class", title="Softmax")
        classes.invert_yaxis()
        return fig

    def _hidden(self, x: Tensor) -> Tensor:
        return self._network[:-1](x)

    def _shifted(self, x: Tensor, degrees: float, inversion: float, strength: float) -> Tensor:
        noise = probes.noise(strength, seed=self._noise_seed)
        return noise(probes.inversion(inversion)(probes.rotation(degrees)(x)))

    @torch.no_grad()
    def _values(self, x: Tensor) -> dict[str, np.ndarray]:
        """What is said of images by each line of the figure, an array each."""
        hidden = self._hidden(x)
        values = {name: METRICS[name](hidden).numpy() for name in self._names}
        values[NORM] = probes.norm(hidden).numpy()
        return values | {SOFTMAX: probes.softmax_maximum(self._network(x)).numpy()}

    @torch.no_grad()
    def _reach(self) -> list[float]:
        """The smallest and largest activation of the layer that its picture has room for."""
        hidden = torch.cat([self._hidden(self._shifted(self._x, *dials)) for dials in ENDS])
        return [min(0.0, float(hidden.min())), max(1e-3, float(hidden.max()))]


def _line(name: str, familiar: np.ndarray, shifted: list[np.ndarray], null: Null | None) -> dict:
    """A metric's null, its familiar range, and a picture wide enough for all that may come."""
    low, high = np.quantile(familiar, [0.05, 0.95]).tolist()
    known = [familiar, *shifted]
    if null:
        known.append([null.mean - 2 * null.std, null.mean + 2 * null.std])
    known = np.concatenate(known)
    reach = [float(known.min()), float(known.max())]
    said = list(null) if null else None
    return {"name": name, "null": said, "low": low, "high": high, "reach": reach}


def _name(layer: nn.Module) -> str | None:
    """What the page calls an activation; None if it knows none like it."""
    if isinstance(layer, nn.GELU):
        return "GELU (tanh)" if layer.approximate == "tanh" else "GELU"
    return {nn.ReLU: "ReLU", nn.Tanh: "tanh"}.get(type(layer))


def _copy(model: nn.Sequential) -> nn.Sequential:
    """The network on the CPU in float32, its masks multiplied in."""
    layers = list(model) if isinstance(model, nn.Sequential) else []
    linear, between = layers[::2], layers[1::2]
    names = {_name(layer) for layer in between}
    fits = len(linear) == len(between) + 1 >= 2 and len(names) == 1 and None not in names
    fits = fits and all(isinstance(of, nn.Linear) and of.bias is not None for of in linear)
    if not fits or linear[0].in_features != SIDE**2:
        raise ValueError(
            f"model takes linear layers with biases from {SIDE**2} inputs on, and between them "
            f"nn.ReLU, nn.GELU or nn.Tanh, the same everywhere; got {model}"
        )
    copied = list(between)
    for place, layer in enumerate(linear):
        plain = nn.utils.skip_init(nn.Linear, layer.in_features, layer.out_features)
        plain.weight.data.copy_(layer.weight.detach())
        plain.bias.data.copy_(layer.bias.detach())
        copied.insert(2 * place, plain)
    return nn.Sequential(*copied)


def _halved(network: nn.Sequential) -> nn.Sequential:
    """A copy whose weights are those that the page has."""
    halved = _copy(network)
    for parameter in halved.parameters():
        parameter.data.copy_(parameter.data.half())
        if not torch.isfinite(parameter).all():
            raise ValueError("model has weights that are NaN or too large for halves, above 65,504")
    return halved


def _halves(values: Tensor) -> str:
    halves = values.detach().numpy().astype("<f2")
    return base64.b64encode(halves.tobytes()).decode("ascii")


def _brief(value: float) -> str:
    return f"{value:.{3 if abs(value) < 10 else 1}f}".replace("-", "−")


def _upwards(value: float) -> float:
    """The next number above of one digit."""
    if value == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit) * unit:.1g}")


def _draw_lines(ax: Axes, lines: list[dict], values: Mapping[str, np.ndarray]) -> None:
    """Draw each line from the least to the largest that it has room for."""
    for row, line in enumerate(lines):
        low, high = line["reach"]

        def at(value: float, low: float = low, high: float = high) -> float:
            return (value - low) / max(high - low, 1e-12)

        ax.plot([0, 1], [row, row], color=figures.INK, lw=0.5, alpha=0.4)
        box = {"left": at(line["low"]), "height": 0.5, "ec": figures.PALETTE[2], "fill": False}
        ax.barh(row, at(line["high"]) - at(line["low"]), **box)
        if line["null"]:
            mean, sd = line["null"]
            ax.plot([at(mean - 2 * sd), at(mean + 2 * sd)], [row, row], color=figures.INK, ls=":")
            ax.plot([at(mean)] * 2, [row - 0.4, row + 0.4], color=figures.INK, ls="--")
        ax.plot(at(values[line["name"]][0]), row, color=figures.PALETTE[0], marker="o")
    ax.set_yticks(range(len(lines)), [line["name"] for line in lines], fontsize=9)
    ax.set(xticks=[], ylim=(len(lines) - 0.4, -0.6), title="Box: familiar; dashes: null; dot: it")
    ax.grid(visible=False)


def _check(split: Split, familiar: Tensor, nulls: Mapping[str, Null], start: int) -> None:
    x, y = split
    if x.ndim != 2 or x.shape[1] != SIDE**2 or y.shape != (len(x),):
        raise ValueError(
            f"split needs images (n, {SIDE**2}) and n labels; got {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    check_rows("split", x)
    check_rows("familiar", familiar, SIDE**2)
    if familiar.ndim != 2 or len(familiar) < FEWEST:
        raise ValueError(
            f"familiar has at least {FEWEST} images, (m, {SIDE**2}); got {tuple(familiar.shape)}"
        )
    for name, pixels in (("split", x), ("familiar", familiar)):
        if pixels.min() < 0 or pixels.max() > 1:
            raise ValueError(f"{name} needs pixels in [0, 1]; some are outside")
    unknown = set(nulls) - set(METRICS)
    if unknown or not nulls:
        raise ValueError(f"nulls are of metrics of {tuple(METRICS)}; got {list(nulls)}")
    check_whole("start", start, low=0)
    if start >= len(x):
        raise ValueError(f"start is a row of split, 0 to {len(x) - 1}; got {start}")
