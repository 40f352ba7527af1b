"""Recording: what the layers of any network put out, in one pass and in constant memory::

    with record(model, ["1", "3"], seed=0) as recording:
        for x in batches:
            model(x)
    recording["3"].mean

Nothing is kept of a batch but moments, in float64, and a sample of fixed size. What it costs
depends on what the network computes for each number that is recorded: little beside wide layers and
blocks, and more than the forward pass itself in networks as narrow as those of this course.
`benchmarks/recording.py` measures it, and the book shows what it found.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import seeds
from course_lib.checks import check_whole
from course_lib.hooks import part
from course_lib.moments import Moments
from course_lib.probes.metrics import Metric, hoyer

CHUNK = 2**18  # numbers that are worked on at once: few enough to stay in the cache
LARGE = 1e15  # beyond it, squares are summed in float64


class Statistics:
    """What was recorded of one layer of d units.

    Its tensors stay where the layer is; nothing in it grows with the number of batches.

    Attributes:
        units: `Moments` of each unit, `(d,)`. `mean`, `variance` and `n` are theirs.
        metrics: for each metric, `Moments` of its values over all vectors.
        by_position: for each metric, a list with the `Moments` of each position of the sequences;
            empty without positions.
        sample: `(k, d)`, drawn from all vectors alike, each as likely, in the layer's dtype: from
            it, any other metric or quantile can be estimated. k is the size that was asked for, or
            as many as there were.
        positions: int64 `(k,)`, where in their sequences the vectors of the sample stood; zeros
            without positions.
    """

    def __init__(self, metrics: Mapping[str, Metric], size: int, generator: torch.Generator):
        self._functions, self._size, self._generator = dict(metrics), size, generator
        self._keys = torch.empty(0, dtype=torch.float64)
        self.units = Moments()
        self.metrics = {name: Moments() for name in metrics}
        self.by_position: dict[str, list[Moments]] = {name: [] for name in metrics}
        self.sample = torch.empty(0)
        self.positions = torch.empty(0, dtype=torch.int64)

    @property
    def n(self) -> int:
        """How many vectors were recorded."""
        return self.units.n

    @property
    def mean(self) -> Tensor:
        """The mean of each unit, float64 `(d,)`."""
        return self.units.mean

    @property
    def variance(self) -> Tensor:
        """The sample variance of each unit, float64 `(d,)`."""
        return self.units.variance

    def add(self, vectors: Tensor, positions: Tensor | None = None) -> None:
        """Add vectors (n, d), and where in their sequences they stood, int64 (n,)."""
        n, d = vectors.shape
        if self.n == 0:
            self.units = Moments()
            self.sample = vectors[:0].clone()
        elif d != len(self.mean):
            raise ValueError(f"the layer had {len(self.mean)} units, and now {d}")
        step = max(1, CHUNK // d)
        values = {name: [] for name in self._functions}
        for rows in vectors.split(step):
            # Half precision holds no sums, and float32 no squares of very large numbers.
            exact = rows.dtype == torch.float64 or max(map(abs, torch.aminmax(rows))) > LARGE
            rows = rows.double() if exact else rows.float()
            self.units.add(rows)
            for name, metric in self._functions.items():
                values[name].append(metric(rows))
        for name, parts in values.items():
            value = torch.cat(parts).cpu()
            self.metrics[name].add(value)
            if positions is not None:
                self._add_by_position(self.by_position[name], value, positions.cpu())
        self._keep_some(vectors, positions)

    def _add_by_position(self, moments: list[Moments], value: Tensor, positions: Tensor) -> None:
        order = positions.argsort(stable=True)
        counts = positions.bincount().tolist()
        moments.extend(Moments() for _ in range(len(counts) - len(moments)))
        for one, values in zip(moments, value[order].split(counts), strict=False):
            one.add(values)

    def _keep_some(self, vectors: Tensor, positions: Tensor | None) -> None:
        """Each vector gets a random key; those with the smallest keys of all stay."""
        keys = torch.rand(len(vectors), generator=self._generator, dtype=torch.float64)
        full = len(self._keys) == self._size
        new = (keys < self._keys.max()).nonzero()[:, 0] if full else torch.arange(len(keys))
        if len(new) == 0:
            return
        at = positions.cpu()[new] if positions is not None else torch.zeros_like(new)
        rows = vectors[new.to(vectors.device)]
        room = self._size - len(self._keys)
        if room:
            self._keys = torch.cat([self._keys, keys[new[:room]]])
            self.positions = torch.cat([self.positions, at[:room]])
            self.sample = torch.cat([self.sample, rows[:room]])
            new, at, rows = new[room:], at[room:], rows[room:]
        # Those that go leave their places to those that come.
        both = torch.cat([self._keys, keys[new]])
        stay = torch.zeros(len(both), dtype=torch.bool)
        stay[both.argsort()[: self._size]] = True
        gone = (~stay[: len(self._keys)]).nonzero()[:, 0]
        come = stay[len(self._keys) :].nonzero()[:, 0]
        self._keys[gone], self.positions[gone] = keys[new[come]], at[come]
        self.sample[gone.to(rows.device)] = rows[come.to(rows.device)]


class Recording(Mapping):
    """What `record` gathered: `Statistics` by the name of the layer.

    Attributes:
        mask: set it before a batch to say which places of the sequences count, booleans
            `(n, positions)`, True where one does: for example to leave out padding. It stays until
            it is set anew; None counts all.
    """

    def __init__(self, statistics: dict[str, Statistics]):
        self._statistics = statistics
        self.mask: Tensor | None = None

    def __getitem__(self, layer: str) -> Statistics:
        found = self._statistics[layer]
        if found.n == 0:
            raise ValueError(f"layer {layer!r} put nothing out: no data went through it")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._statistics)

    def __len__(self) -> int:
        return len(self._statistics)


@contextmanager
def record(
    model: nn.Module,
    layers: Sequence[str] | Mapping[str, int],
    *,
    metrics: Mapping[str, Metric] | None = None,
    by_position: bool = False,
    sample: int = 256,
    seed: int = 0,
) -> Iterator[Recording]:
    """Within the `with`, gather statistics of what layers put out whenever the model runs.

    The model computes what it would without. Its mode is its own: put it into `eval` mode for what
    it does in use. Values are taken before the next layer can change them in place.

    Args:
        model: any network.
        layers: names of its parts, as in `model.named_modules()`; "" is the model itself. A part
            puts out a tensor, or a tuple, list or dictionary (as models of Hugging Face do) whose
            first tensor is taken. Its last dimension holds the units, or the dimension that a
            mapping gives, for example `{"conv": 1}` for the channels of images. All other
            dimensions hold vectors: `(n, d)` or `(n, positions, d)`, with several dimensions of
            positions taken as one.
        metrics: by name, functions of vectors `(…, d)`; Hoyer alone by default, for each costs
            time. All of `probes.METRICS` can be taken of the sample afterwards.
        by_position: whether metrics are gathered for each position too.
        sample: how many vectors are kept.
        seed: draws which.

    Yields:
        A `Recording`: `recording[layer]` is that layer's `Statistics`, also after the `with`.

    Raises:
        ValueError: if there is no such layer, it puts out no tensor of finite floats, or `mask`
            does not fit.
    """
    check_whole("sample", sample)
    if isinstance(layers, str) or len(layers) == 0:
        raise ValueError(f"layers is a list of at least one name; got {layers!r}")
    metrics = {"Hoyer": hoyer} if metrics is None else metrics
    dims = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, -1)
    recording = Recording(
        {name: Statistics(metrics, sample, seeds.generator(seed, "record", name)) for name in dims}
    )

    def watch(name: str, dim: int):
        @torch.no_grad()
        def hook(module, inputs, output):
            vectors, positions = _vectors(name, _first_tensor(output), dim, recording.mask)
            if len(vectors):
                where = positions if by_position else None
                recording._statistics[name].add(vectors, where)

        return hook

    with ExitStack() as stack:
        for name, dim in dims.items():
            handle = part(model, name).register_forward_hook(watch(name, dim))
            stack.callback(handle.remove)
        yield recording


# --- Private --------------------------------------------------------------------------------------


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, Mapping | list | tuple):
        return None
    return next((one for one in map(_first_tensor, parts) if one is not None), None)


def _vectors(name: str, output: Tensor | None, dim: int, mask: Tensor | None) -> tuple:
    """Return the vectors (m, d) of an output that count, and their positions (m,)."""
    if output is None or not output.is_floating_point() or output.ndim < 2:
        kind = "no tensor" if output is None else f"{output.dtype} of shape {tuple(output.shape)}"
        raise ValueError(
            f"layer {name!r} must put out floats of shape (n, d) or (n, positions, d); got {kind}"
        )
    units = output.detach().movedim(dim, -1)
    units = units.reshape(len(units), -1, units.shape[-1])  # (n, positions, d)
    n, n_positions, d = units.shape
    positions = torch.arange(n_positions, device=units.device).expand(n, -1)
    if mask is None:
        return _checked(name, units.reshape(-1, d)), positions.reshape(-1)
    if mask.shape != (n, n_positions) or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be booleans of shape {(n, n_positions)} for layer {name!r}; got "
            f"{mask.dtype} of shape {tuple(mask.shape)}"
        )
    mask = mask.to(units.device)
    return _checked(name, units[mask]), positions[mask]


def _checked(name: str, vectors: Tensor) -> Tensor:
    if not torch.isfinite(vectors.sum()) and not torch.isfinite(vectors).all():
        n = int((~torch.isfinite(vectors)).sum())
        raise ValueError(f"layer {name!r} put out {n} values that are NaN or infinite")
    return vectors
