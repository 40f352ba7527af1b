"""Training a sparse autoencoder: a loop that can be read, killed and taken up again."""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from course_lib import files
from course_lib.autoencoders import losses
from course_lib.autoencoders.activations import BatchTopK, Gated
from course_lib.autoencoders.metrics import Sums
from course_lib.autoencoders.model import SparseAutoencoder, calibrate
from course_lib.autoencoders.resampling import resample
from course_lib.checks import check_number, check_rows, check_whole
from course_lib.seeds import generator
from course_lib.training import default_device

Schedule = Callable[[float], float]
POOL = 8192  # inputs from which dead latents start anew, and for the threshold of BatchTopK
RECENT = 32  # batches that are kept for it, if the data come as batches
# What a checkpoint remembers, besides schedules and data, to see that it is of the same training.
REMEMBERED = (
    *("steps", "seed", "batch_size", "learning_rate", "penalty"),
    *("aux_k", "aux_weight", "dead_after", "evaluate_every"),
)


def linear(start: float, end: float, *, until: float = 1.0) -> Schedule:
    """Return a schedule that goes straight from `start` to `end`, and stays there.

    It takes the share of training that is done and reaches `end` at the share `until`, in (0, 1].
    `linear(0, 1, until=0.1)` brings a penalty in; `linear(500, 50, until=0.8)` anneals k.
    """
    check_number("until", until, low=0, above=True)
    return lambda done: start + (end - start) * min(done / until, 1.0)


def trapezoid(*, warm_up: float = 0.05, decay: float = 0.2) -> Schedule:
    """Return a schedule that rises from 0 to 1, stays, and falls to 0 at the end of training.

    Args:
        warm_up: the share of training in which it rises.
        decay: the share in which it falls.

    Raises:
        ValueError: if the two are negative or together more than 1.
    """
    check_number("warm_up", warm_up, low=0)
    check_number("decay", decay, low=0)
    if warm_up + decay > 1:
        raise ValueError(f"warm_up + decay must be at most 1; got {warm_up} + {decay}")

    def factor(done: float) -> float:
        rising = done / warm_up if warm_up else 1.0
        falling = (1 - done) / decay if decay else 1.0
        return max(0.0, min(rising, falling, 1.0))

    return factor


def fit(
    model: SparseAutoencoder,
    data: Tensor | Iterable[Tensor],
    *,
    steps: int,
    seed: int,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    penalty: float = 0.0,
    schedule: Schedule | None = None,
    penalty_schedule: Schedule | None = None,
    k_schedule: Schedule | None = None,
    aux_k: int = 0,
    aux_weight: float = 1 / 32,
    dead_after: int = 200,
    resample_at: Sequence[int] = (),
    evaluate_every: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> pd.DataFrame:
    """Train an autoencoder in place with Adam, and return its history; it is in `eval` mode then.

    The loss is the squared error, summed over dimensions and averaged over inputs, in normalised
    units; plus λ times the penalty of the activation, plus the auxiliary losses (see `losses`).
    After each step the rows of the decoder have norm 1. At the end the threshold of a `BatchTopK`
    is computed anew, on up to 8,192 inputs. The same seed gives the same model.

    Args:
        model: an autoencoder.
        data: inputs `(n, d_in)`, which are never changed, or batches of them, at least `steps`.
        steps: number of optimiser steps, at least 1.
        seed: draws the order of the batches, and inputs for `resample_at`.
        batch_size: inputs in a batch of a tensor. Each epoch is a fresh permutation; its last,
            incomplete batch is dropped.
        learning_rate: step size of Adam.
        penalty: λ; for ReLU, `Gated` and `JumpReLU` only.
        schedule: multiplies the learning rate, given the share of training done in [0, 1); for
            example `trapezoid()`.
        penalty_schedule: multiplies λ, for example `linear(0, 1, until=0.1)`.
        k_schedule: gives k, rounded, for `TopK` and `BatchTopK`; by default k stays.
        aux_k: how many dead latents an input uses in the auxiliary loss; 0 for none. Half of
            `d_in` is usual.
        aux_weight: the factor of that loss.
        dead_after: a latent counts as dead, for these two, when it was silent for so many steps.
        resample_at: after how many steps dead latents are started anew.
        evaluate_every: steps between rows of the history; by default 10 rows.
        checkpoint: a file that is written at each row. If it is there when `fit` is called, with
            the same arguments, training goes on from it and ends with the same weights as if it
            had never stopped. Of batches, the first ones are then only skipped.
        progress: whether to show a bar with the last row.
        device: where to train; the model stays there. By default `training.default_device()`.

    Returns:
        A table with the columns `step`, `loss`, `l0`, `fvu` and `dead` (the share of latents that
        were never active), each over the training batches since the row before.

    Raises:
        ValueError: if an argument is outside its range or does not fit the model or the data, the
            data are empty, constant or not finite, or the checkpoint is of another training.
        FloatingPointError: if the loss is not finite.

    Warns:
        RuntimeWarning: if no latent at all was active since the last row.
    """
    settings = _checked(model, data, dict(locals()))
    device = torch.device(device) if device is not None else default_device()
    model.to(device)
    fused = device.type in ("cpu", "cuda")
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=fused)
    silent = torch.zeros(model.d_sae, dtype=torch.int64, device=device)  # steps since last active
    start, rows = 0, []
    if checkpoint is not None and Path(checkpoint).exists():
        start, rows = _resume(checkpoint, model, optimiser, silent, settings)
        if k_schedule is not None:
            model.activation.k = _k(model, k_schedule, (start - 1) / steps)
    recent: deque[Tensor] = deque(maxlen=RECENT)
    batches = _batches(model, data, seed, batch_size, start, recent)
    evaluate_every = evaluate_every or max(1, steps // 10)

    model.train()
    sums, total = Sums(), 0.0  # since the last row
    bar = tqdm(range(start, steps), disable=not progress, leave=False)
    for step in bar:
        x = _next(batches, step, steps).to(device)
        done = step / steps
        if schedule is not None:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * schedule(done)
        if k_schedule is not None:
            model.activation.k = _k(model, k_schedule, done)

        output = model(x)
        loss = losses.reconstruction_loss(model, x, output)
        if penalty:
            factor = 1.0 if penalty_schedule is None else penalty_schedule(done)
            loss = loss + penalty * factor * losses.sparsity_loss(model, output)
        if isinstance(model.activation, Gated):
            loss = loss + losses.gate_loss(model, x)
        if aux_k:
            dead = silent >= dead_after
            loss = loss + aux_weight * losses.aux_k_loss(model, x, output, dead, aux_k)
        optimiser.zero_grad()
        loss.backward()
        model.remove_parallel_gradient()
        optimiser.step()
        model.project()  # after the step, or the norms would not be 1 when it is over

        silent += 1
        silent[(output.latents != 0).reshape(-1, model.d_sae).any(0)] = 0
        sums.add(x, output.reconstruction, output.latents)
        total = total + loss.detach().double()
        if step + 1 in resample_at:
            dead = silent >= dead_after
            draw = generator(seed, "resample", step)
            resample(model, _pool(data, recent, draw).to(x), dead, draw=draw, optimiser=optimiser)
            silent[dead] = 0
        if (step + 1) % evaluate_every == 0 or step == steps - 1:
            first = rows[-1]["step"] if rows else 0
            rows.append(_row(step + 1, float(total) / (step + 1 - first), sums, learning_rate))
            bar.set_postfix(rows[-1])
            sums, total = Sums(), 0.0
            if step == steps - 1 and isinstance(model.activation, BatchTopK) and rows[-1]["l0"]:
                calibrate(model, _pool(data, recent, generator(seed, "threshold")).to(x))
            if checkpoint is not None:
                _write(checkpoint, model, optimiser, silent, settings, rows)
    model.eval()
    return pd.DataFrame(rows)


# --- Parts of fit ---------------------------------------------------------------------------------


def _row(step: int, loss: float, sums: Sums, learning_rate: float) -> dict:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss is not finite by step {step}; a smaller learning rate than {learning_rate} "
            "may help"
        )
    found = sums.evaluation()
    if found.dead_fraction == 1:
        warnings.warn(
            f"all latents are dead: by step {step} none was active for any input. A smaller "
            "penalty or threshold, or a decoder bias set before training, may help",
            RuntimeWarning,
            stacklevel=3,
        )
    return {
        "step": step,
        "loss": loss,
        "l0": found.l0,
        "fvu": found.fvu,
        "dead": found.dead_fraction,
    }


def _k(model: SparseAutoencoder, k_schedule: Schedule, done: float) -> int:
    k = round(k_schedule(done))
    if not 1 <= k <= model.d_sae:
        raise ValueError(f"k_schedule must stay between 1 and {model.d_sae}; got {k} at {done:.0%}")
    return k


def _batches(model, data, seed, batch_size, start, recent: deque) -> Iterator[Tensor]:
    """Yield the batches from step `start` on. Every epoch is drawn on its own: none is replayed."""
    if not isinstance(data, Tensor):
        for step, x in enumerate(data):
            check_rows("a batch", x, model.d_in)
            recent.append(x.reshape(-1, model.d_in))
            if step >= start:
                yield x
        return
    per_epoch = len(data) // batch_size
    while True:
        epoch, done = divmod(start, per_epoch)
        order = torch.randperm(len(data), generator=generator(seed, "batches", epoch))
        for i in range(done, per_epoch):
            yield data[order[i * batch_size : (i + 1) * batch_size].to(data.device)]
        start = (epoch + 1) * per_epoch


def _next(batches: Iterator[Tensor], step: int, steps: int) -> Tensor:
    try:
        return next(batches)
    except StopIteration:
        raise ValueError(f"data gave {step} batches, and steps={steps} needs one each") from None


def _pool(data, recent: deque, draw: torch.Generator) -> Tensor:
    """Return inputs to look at all together: of a tensor, or of the last batches."""
    rows = data if isinstance(data, Tensor) else torch.cat(list(recent))
    return rows[torch.randperm(len(rows), generator=draw)[:POOL].to(rows.device)]


def _write(path, model, optimiser, silent: Tensor, settings: dict, rows: list[dict]) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{name}": tensor for name, tensor in state.items()}
    files.write_tensors(path, tensors | {"silent": silent}, {"fit": settings, "rows": rows})


def _resume(path, model, optimiser, silent: Tensor, settings: dict) -> tuple[int, list[dict]]:
    """Fill model, optimiser and counts from a checkpoint; return its step and its rows."""
    tensors, facts = files.read_tensors(path, of="fit")
    if "fit" not in facts:
        raise ValueError(f"{path} is not a checkpoint of fit")
    differing = [name for name in settings if settings[name] != facts["fit"].get(name)]
    if differing:
        told = ", ".join(f"{n}: {facts['fit'].get(n)} then, {settings[n]} now" for n in differing)
        raise ValueError(f"the checkpoint {path} is of another training ({told})")
    expected = model.state_dict() | {"silent": silent}
    found = {n.removeprefix("model."): t for n, t in tensors.items() if n[:10] != "optimiser."}
    files.check_tensors(f"the checkpoint {path} is of another training", found, expected)
    del found["silent"]
    model.load_state_dict(found)
    state: dict[int, dict] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, i, moment = name.split(".")
            state.setdefault(int(i), {})[moment] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    silent.copy_(tensors["silent"])
    return facts["rows"][-1]["step"], facts["rows"]


def _checked(model: SparseAutoencoder, data, given: dict) -> dict:
    """Check the arguments of `fit`; return those that make the result, as plain values."""
    for name in ("steps", "batch_size", "dead_after", "evaluate_every"):
        check_whole(name, given[name] if given[name] is not None else 1)
    check_whole("aux_k", given["aux_k"], low=0)
    check_number("learning_rate", given["learning_rate"], low=0, above=True)
    check_number("aux_weight", given["aux_weight"], low=0)
    check_number("penalty", given["penalty"], low=0)
    generator(given["seed"])  # complain about it now
    for step in given["resample_at"]:
        check_whole("resample_at", step)
    if not losses.takes_penalty(model) and (given["penalty"] or given["penalty_schedule"]):
        raise ValueError(
            f"{type(model.activation).__name__} fixes L0 by k, and a penalty would only shrink: "
            f"leave penalty at 0; got {given['penalty']!r}"
        )
    if given["k_schedule"] is not None:
        if losses.takes_penalty(model):
            raise ValueError(f"{type(model.activation).__name__} has no k for a k_schedule")
        for i in range(101):
            _k(model, given["k_schedule"], i / 101)
    about_data = None
    if isinstance(data, Tensor):
        check_rows("data", data, model.d_in)
        if data.ndim != 2 or given["batch_size"] > len(data):
            raise ValueError(
                f"data must be (n, {model.d_in}) with n at least batch_size="
                f"{given['batch_size']}; got {tuple(data.shape)}"
            )
        if (data == data[0]).all():
            raise ValueError("data is constant: there is nothing to learn")
        about_data = [*data.shape, float(data.double().sum()), float(data.double().square().sum())]
    settings = {name: given[name] for name in REMEMBERED}
    settings = {n: v.item() if isinstance(v, np.generic) else v for n, v in settings.items()}
    for name in ("schedule", "penalty_schedule", "k_schedule"):  # a function, known by its values
        function = given[name]
        settings[name] = function and [float(function(i / 16)) for i in range(16)]
    settings["resample_at"] = [int(step) for step in given["resample_at"]]
    return settings | {"data": about_data, "autoencoder": _without_k(model, given["k_schedule"])}


def _without_k(model: SparseAutoencoder, k_schedule: Schedule | None) -> dict:
    """Return the model's settings, without a k that is scheduled: it is another one each time."""
    settings = model.settings()
    if k_schedule is not None:
        settings["activation"] = settings["activation"] | {"k": None}
    return settings
