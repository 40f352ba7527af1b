"""Work and time: multiply–adds of a network, and kernels timed side by side."""

import timeit
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import evidence, pruning
from course_lib.checks import check_whole, is_whole
from course_lib.networks import StackedLinear

KERNELS = ("dense", "dense with zeros", "torch CSR", "SciPy CSR", "structured")
BURSTS = 5  # of which a block of timings keeps the median


# --- Multiply–adds --------------------------------------------------------------------------------


def multiply_adds(model: nn.Module, x: Tensor) -> pd.DataFrame:
    """Return the multiply–adds of one item in each layer: all of them, and those not by a zero.

    A linear layer takes one for each weight, a convolution one for each weight and place of the
    output; places in the padding count, as is usual. Biases, activations and pooling do not.

    Args:
        model: one network, masked or not.
        x: a batch of inputs; only its shape matters.

    Returns:
        A table with a row for each weight and the columns `dense` and `nonzero`.

    Raises:
        ValueError: if the model is a stack or has no linear or convolutional layer.
    """
    found = pruning.weights(model)
    layers = {model.get_submodule(name.rpartition(".")[0]): name for name in found}
    if any(isinstance(layer, StackedLinear) for layer in layers):
        raise ValueError("multiply_adds takes one network; got a stack: see networks.unstack")
    counts = {name: {"dense": 0, "nonzero": 0} for name in found}

    def count(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        weight = found[layers[layer]]
        places = output.numel() // (len(x) * len(weight))  # of one item and one output unit
        counts[layers[layer]]["dense"] += places * weight.numel()
        counts[layers[layer]]["nonzero"] += places * int(weight.count_nonzero())

    training = model.training
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            model.eval()(x)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return pd.DataFrame.from_dict(counts, orient="index")


# --- Times ----------------------------------------------------------------------------------------


def kernel(name: str, weight: Tensor, mask: Tensor, x: Tensor) -> Callable[[], Any]:
    """Return a function that multiplies a batch by a pruned weight, in one of the `KERNELS`.

    * `"dense"`: the weight before pruning, as `nn.Linear` does it, without a bias.
    * `"dense with zeros"`: the same after pruning.
    * `"torch CSR"`, `"SciPy CSR"`: the non-zeros only, with 32-bit indices. (Those that PyTorch
      makes by itself have 64 bits, which is more to read.)
    * `"structured"`: whole rows kept, as many as the mask's density allows, as a smaller dense
      weight. It computes another function: the time, not the output, is what it is for.

    All is prepared beforehand, so that only the product is timed. Sparse kernels get the batch in
    the layout that suits them: items as columns, or a vector for a batch of one.

    Args:
        name: one of `KERNELS`.
        weight: `(n_out, n_in)`, float32, on the CPU.
        mask: booleans of its shape, True where a weight stays.
        x: `(batch, n_in)`.

    Returns:
        A function without arguments. Dense kernels return `(batch, n_out)`, sparse ones
        `(n_out, batch)` or `(n_out,)`.

    Raises:
        ValueError: if the name is unknown or the shapes do not fit.
    """
    if weight.ndim != 2 or mask.shape != weight.shape or x.shape[1:] != weight.shape[1:]:
        raise ValueError(
            "a kernel takes a weight (n_out, n_in), its mask and inputs (batch, n_in); got shapes "
            f"{tuple(weight.shape)}, {tuple(mask.shape)} and {tuple(x.shape)}"
        )
    if name not in KERNELS:
        raise ValueError(f"name is one of {list(KERNELS)}; got {name!r}")
    weight = weight.detach()
    if name == "dense":
        return lambda: F.linear(x, weight)
    if name == "structured":
        n_kept = max(1, round(float(mask.double().mean()) * len(weight)))
        rows = weight[:n_kept].clone()
        return lambda: F.linear(x, rows)
    pruned = weight * mask
    if name == "dense with zeros":
        return lambda: F.linear(x, pruned)
    csr = scipy.sparse.csr_array(pruned.numpy())
    columns = x[0].clone() if len(x) == 1 else x.t().contiguous()  # (n_in,) or (n_in, batch)
    if name == "SciPy CSR":
        items = columns.numpy()
        return lambda: csr @ items
    with warnings.catch_warnings(action="ignore"):  # that it is in beta state
        parts = map(torch.from_numpy, (csr.indptr, csr.indices, csr.data))
        sparse = torch.sparse_csr_tensor(*parts, csr.shape)
    return lambda: sparse @ columns


def latency(
    candidates: Mapping[Any, Callable[[], Any]],
    *,
    blocks: int = 20,
    seconds: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Time functions side by side, in interleaved blocks, without gradients.

    Each block times every candidate once, in a random order, so that whatever slows the machine
    for a while slows all of them. One time is the median of up to five bursts of calls, after a
    call to warm up where a call is short; data that fit into the cache are in it.

    Args:
        candidates: functions without arguments by name. They run on the CPU.
        blocks: at least 2.
        seconds: about how long to spend on a candidate in a block. One call is the least.
        seed: draws the orders.

    Returns:
        A table with the columns `block`, `name`, `seconds` (of one call), and `threads` (of torch).

    Raises:
        ValueError: if there is no candidate or a number is out of range.
    """
    if not candidates or not is_whole(blocks, 2) or not seconds > 0:
        raise ValueError(
            "latency takes at least one candidate, at least 2 blocks and seconds above 0; got "
            f"{len(candidates)} candidates, blocks={blocks!r} and seconds={seconds!r}"
        )
    generator, names, rows = np.random.default_rng(seed), list(candidates), []
    threads = torch.get_num_threads()
    with torch.no_grad():
        timers = [timeit.Timer(call) for call in candidates.values()]
        plans = [_plan(timer, seconds) for timer in timers]
        for block in range(blocks):
            took = {}
            for i in generator.permutation(len(names)):
                (bursts, calls), timer = plans[i], timers[i]
                if bursts * calls > 1:  # a long call warms up by itself
                    timer.timeit(1)
                took[i] = float(np.median(timer.repeat(bursts, calls))) / calls
            rows += [(block, name, took[i], threads) for i, name in enumerate(names)]
    return pd.DataFrame(rows, columns=["block", "name", "seconds", "threads"])


def _plan(timer: timeit.Timer, seconds: float) -> tuple[int, int]:
    """Return how many bursts of how many calls take about so long.

    An interruption makes a call seem long, and would leave a short one without its warm-up in every
    block: hence the smaller of two times.
    """
    calls, took = 1, min(timer.repeat(3, 1)[1:])  # the first call may set things up
    while took < seconds / BURSTS / 2:
        calls *= 2
        took = min(timer.repeat(2, calls))
    bursts = min(BURSTS, max(1, int(seconds / took)))
    return bursts, max(1, int(calls * seconds / BURSTS / took))


def ratio(
    times: pd.DataFrame, name: Any, to: Any = "dense", *, level: float = 0.95, seed: int = 0
) -> evidence.Interval:
    """Return the ratio of median times of two candidates of `latency`, with its interval.

    Blocks are resampled (`evidence.bootstrap_ratio_of_medians`). If several candidates are tried
    and the fastest is put to the test, choose it on other blocks: the best of several is in part
    the luckiest.

    Raises:
        ValueError: if a name is not in the table.
    """
    by_block = times.pivot(index="block", columns="name", values="seconds")
    if missing := {name, to} - set(by_block):
        raise ValueError(f"times has the names {list(by_block)}; got {missing}")
    return evidence.bootstrap_ratio_of_medians(by_block[name], by_block[to], level, seed=seed)


def summary(times: pd.DataFrame, to: Any = "dense", *, seed: int = 0) -> pd.DataFrame:
    """Return the spread of each candidate of `latency` over blocks, and its `ratio` to one.

    Columns: `median` and the quartiles `q25` and `q75` in seconds; `ratio` with its 95% interval
    `low` to `high`.
    """
    rows = {}
    for name, seconds in times.groupby("name", sort=False).seconds:
        q25, median, q75 = np.quantile(seconds, [0.25, 0.5, 0.75])
        r = ratio(times, name, to, seed=seed)
        rows[name] = [median, q25, q75, r.estimate, r.low, r.high]
    columns = ["median", "q25", "q75", "ratio", "low", "high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def latency_by_density(
    shape: tuple[int, int],
    *,
    batch: int,
    densities: Sequence[float],
    names: Sequence[str] = ("torch CSR", "SciPy CSR", "structured"),
    blocks: int = 20,
    seconds: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Time each `kernel` at several densities, random weights and masks, and dense once a block.

    Each weight stays with a probability, the density; where few weights are, the share that does
    differs a little.

    Returns:
        The table of `latency` with a column `density` more, which is 1 for `"dense"`.

    Raises:
        ValueError: if a density is outside (0, 1] or there is none, or as `kernel` and `latency`.
    """
    if not densities or not all(0 < density <= 1 for density in densities):
        raise ValueError(f"densities are shares in (0, 1], at least one; got {densities!r}")
    check_whole("seed", seed, low=0)
    generator = torch.Generator().manual_seed(int(seed))
    weight = torch.randn(shape, generator=generator)
    x = torch.randn(batch, shape[1], generator=generator)
    chance = torch.rand(shape, generator=generator)
    candidates = {("dense", 1.0): kernel("dense", weight, torch.ones_like(weight).bool(), x)}
    for density in densities:
        candidates |= {(name, density): kernel(name, weight, chance < density, x) for name in names}
    times = latency(candidates, blocks=blocks, seconds=seconds, seed=seed)
    name_and_density = pd.DataFrame(times.name.tolist(), columns=["name", "density"])
    return times.assign(name=name_and_density.name, density=name_and_density.density)


def break_even_in_time(times: pd.DataFrame) -> pd.DataFrame:
    """Return the density below which each kernel is faster than dense, on this machine.

    In each block, the ratio to dense is followed from the sparsest density upward to where it
    first reaches 1, on straight lines between logarithms. The ends of what was measured are
    censored: 0 if even the sparsest is slower, the largest density if all are faster.

    Args:
        times: of `latency_by_density`.

    Returns:
        A row for each kernel: the `median` over blocks and the quartiles `q25` and `q75`.

    Raises:
        ValueError: if `times` has no density or no `"dense"`.
    """
    if "density" not in times or "dense" not in set(times.name):
        raise ValueError("break_even_in_time takes a table of latency_by_density, dense included")
    dense = times[times.name == "dense"].set_index("block").seconds
    rows = {}
    for name, some in times[times.name != "dense"].groupby("name", sort=False):
        table = some.pivot(index="block", columns="density", values="seconds").sort_index(axis=1)
        ratios = table.div(dense, axis=0)
        found = [_crossing(ratios.columns.to_numpy(), r) for r in ratios.to_numpy()]
        rows[name] = np.quantile(found, [0.5, 0.25, 0.75])
    return pd.DataFrame.from_dict(rows, orient="index", columns=["median", "q25", "q75"])


def _crossing(densities: np.ndarray, ratios: np.ndarray) -> float:
    """Return where growing densities' ratios first reach 1."""
    slower = np.flatnonzero(ratios >= 1)
    if len(slower) == 0:
        return float(densities[-1])
    if slower[0] == 0:
        return 0.0
    pair = slice(slower[0] - 1, slower[0] + 1)
    return float(np.exp(np.interp(0, np.log(ratios[pair]), np.log(densities[pair]))))
