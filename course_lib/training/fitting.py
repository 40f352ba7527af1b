"""Fitting: a training loop that can be read, for one network or a `networks.stack` of them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.checks import check_whole, is_whole
from course_lib.data import Split, Splits
from course_lib.networks import StackedLinear

PADDING = -1  # the label of rows that only fill up the smaller sets of a stack


def default_device() -> torch.device:
    """Return the first CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Fit(NamedTuple):
    """What `fit` found out.

    `history` has a row for each evaluation (and network of a stack): `step`, `network`,
    `train_loss` (mean over the batches since the last row), `validation_loss`,
    `validation_accuracy`. `best_step` is the step of the checkpoint with the highest validation
    accuracy (the first of equals), one for each network, and `best_state` is the model's
    `state_dict` there; None after a training with `on_step`, which may have changed the network.
    """

    history: pd.DataFrame
    best_step: list[int]
    best_state: dict[str, Tensor] | None


def fit(
    model: nn.Module,
    splits: Splits | Sequence[Splits],
    *,
    steps: int,
    seed: int | Sequence[int],
    batch_size: int = 60,
    learning_rate: float = 1.2e-3,
    weight_decay: float = 0.0,
    optimiser: Callable[..., torch.optim.Optimizer] | None = None,
    schedule: Callable[[float], float] | None = None,
    evaluate_every: int | None = None,
    evaluate_at: Collection[int] = (),
    start: int = 0,
    keep: str = "last",
    on_step: Callable[[int, nn.Module], None] | None = None,
    device: torch.device | str | None = None,
) -> Fit:
    """Train a classifier in place by cross-entropy and return its history.

    Args:
        model: maps float `(n, d)` to logits `(n, classes)`; or a `networks.stack` of S networks.
        splits: data with `train` and `validation`; for a stack a list of S of them. `test` is
            never touched.
        steps: number of optimiser steps, at least 1.
        seed: draws the order of the batches; for a stack a list of S seeds.
        batch_size: items in a batch. Each epoch is a fresh permutation; its last, incomplete
            batch is dropped.
        learning_rate: step size of the optimiser.
        weight_decay: decoupled weight decay (AdamW).
        optimiser: called as `optimiser(parameters, lr=…, weight_decay=…)`; AdamW by default.
        schedule: multiplies the learning rate, given the share of training done in [0, 1).
        evaluate_every: steps between rows of the history; by default 10 rows.
        evaluate_at: more steps that get a row, numbered from 1 as in the history.
        start: steps that count as done, 0 ≤ start < steps. Training goes on from there with the
            batches and the learning rates of the steps that are left; the optimiser is a new one.
        keep: `"last"` leaves the final weights in the model, `"best"` those of the row with the
            highest validation accuracy (the first of equals).
        on_step: called as `on_step(step, model)` before each step, start ≤ step < steps, and once
            more after the last, for example by `pruning.gradual`.
        device: where to train; the model stays there. By default `default_device()`.

    Raises:
        ValueError: if an argument is outside its range or does not fit the data.
        FloatingPointError: if the loss is not finite.
    """
    _check_fit_arguments(model, splits, steps, seed, batch_size, evaluate_every, keep)
    check_whole("start", start, low=0, high=steps - 1, hint="the first step")
    if not all(is_whole(step, start + 1, steps) for step in evaluate_at):
        raise ValueError(
            f"evaluate_at takes steps from {start + 1} to {steps}; got {list(evaluate_at)!r}"
        )
    if keep == "best" and on_step is not None:
        raise ValueError(
            'keep="best" could bring back weights from before on_step changed the network, a '
            'mask for example: first prune with keep="last", then fine-tune with keep="best"'
        )
    device = torch.device(device) if device is not None else default_device()
    model.to(device)
    is_stack = not is_whole(seed)
    train = _on(_pad([s.train for s in splits]) if is_stack else splits.train, device)
    validation = _on(
        _pad([s.validation for s in splits]) if is_stack else splits.validation, device
    )
    order = _batches(splits, seed, steps, batch_size).to(device)  # (steps, B) or (steps, S, B)
    parameters, views = list(model.parameters()), []
    if optimiser is None:  # fused: one kernel for all parameters, a third of the time of a step
        fused = device.type in ("cpu", "cuda")
        optimiser = lambda p, **kw: torch.optim.AdamW(p, fused=fused, **kw)  # noqa: E731
        # It works number by number, and copies gradients that do not lie in order.
        views = [(p, *_as_it_lies(p)) for p in parameters if not p.is_contiguous()]
    ordered = {p: view for p, view, _ in views}
    opt = optimiser(
        [ordered.get(p, p) for p in parameters], lr=learning_rate, weight_decay=weight_decay
    )
    evaluate_every = evaluate_every or max(1, steps // 10)

    rows, losses = [], []
    best, best_state = None, None
    model.train()
    for step in range(start, steps):
        if on_step is not None:
            on_step(step, model)
        if schedule is not None:
            for group in opt.param_groups:
                group["lr"] = learning_rate * schedule(step / steps)
        x, y = _take(train, order[step])
        loss = _cross_entropy(model(x), y)  # () or (S,)
        model.zero_grad()
        loss.sum().backward()  # a sum: no network's gradient depends on another network
        for p, view, dims in views:
            view.data = p.detach().permute(dims)  # a first mask puts p into other memory
            view.grad = None if p.grad is None else p.grad.permute(dims)
        opt.step()
        losses.append(loss.detach())

        if step == steps - 1 and on_step is not None:
            on_step(steps, model)
        if (step + 1) % evaluate_every == 0 or step == steps - 1 or step + 1 in evaluate_at:
            validation_loss, accuracy = evaluate(model, validation)
            train_loss = torch.stack(losses).mean(0)
            if not torch.isfinite(train_loss + validation_loss).all():
                raise FloatingPointError(
                    f"the loss is not finite by step {step + 1}; "
                    f"a smaller learning rate than {learning_rate} may help"
                )
            rows.append((step + 1, train_loss, validation_loss, accuracy))
            losses = []
            better = accuracy > best if best is not None else torch.ones_like(accuracy).bool()
            best = torch.where(better, accuracy, best) if best is not None else accuracy
            if on_step is None:
                best_state = _choose(better, model.state_dict(), best_state)
    if keep == "best":
        model.load_state_dict(best_state)
    history = _history(rows)
    winners = history.loc[history.groupby("network")["validation_accuracy"].idxmax(), "step"]
    return Fit(history, winners.tolist(), best_state)


@torch.no_grad()
def evaluate(model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy (nats) and the accuracy (share) on a split.

    Scalars for one network; `(S,)` for a stack and a split of `(S, n, d)` from `fit`.

    Raises:
        ValueError: if the split is empty, as `held_out` is unless classes are held out.
    """
    training = model.training
    model.eval()
    logits = model(split.x)
    model.train(training)
    real = split.y != PADDING
    if not real.any(-1).all():
        raise ValueError("the split is empty: there is nothing to evaluate on")
    right = ((logits.argmax(-1) == split.y) & real).sum(-1) / real.sum(-1)
    return _cross_entropy(logits, split.y), right


def accuracy(model: nn.Module, split: Split | Sequence[Split]) -> float | list[float]:
    """Return the accuracy in percent on a split, or for a stack on one split for each network."""
    device = next(model.parameters()).device
    if isinstance(split, Split):
        return 100 * float(evaluate(model, _on(split, device))[1])
    return (100 * evaluate(model, _on(_pad(split), device))[1].double()).tolist()


def cosine(done: float) -> float:
    """Return the cosine schedule's factor, from 1 at the start to 0 at the end of training."""
    return 0.5 * (1 + float(np.cos(np.pi * done)))


# --- Parts of fit: each works on one network, () in front, or on a stack, (S,) in front -----------


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean loss of each network: logits (…, B, C) and labels (…, B) to (…)."""
    loss = F.cross_entropy(
        logits.flatten(0, -2), y.flatten(), ignore_index=PADDING, reduction="none"
    )
    return loss.view(y.shape).sum(-1) / (y != PADDING).sum(-1)


def _take(split: Split, index: Tensor) -> Split:
    """Return rows: x (n, d) and index (B,) to (B, d); x (S, n, d) and index (S, B) to (S, B, d)."""
    if index.ndim == 1:
        return Split(split.x[index], split.y[index])
    S, n = split.y.shape
    row = index + n * torch.arange(S, device=index.device).unsqueeze(1)  # (S, B), of S · n
    # To select whole rows is several times faster than to index by network and item.
    x = split.x.flatten(0, 1).index_select(0, row.flatten())
    return Split(x.view(*index.shape, *x.shape[1:]), split.y.take(row))


def _as_it_lies(parameter: Tensor) -> tuple[Tensor, list[int]]:
    """Return the same numbers as a tensor that is contiguous, and the dimensions in that order."""
    dims = sorted(range(parameter.ndim), key=parameter.stride, reverse=True)
    return parameter.detach().permute(dims), dims


def _batches(splits, seed, steps: int, batch_size: int) -> Tensor:
    """Return the rows of every batch, (steps, B), for a stack (steps, S, B)."""
    if not is_whole(seed):
        each = [_batches(s, one, steps, batch_size) for s, one in zip(splits, seed, strict=True)]
        return torch.stack(each, dim=1)
    n = len(splits.train.y)
    per_epoch = n // batch_size
    generator = torch.Generator().manual_seed(int(seed))
    epochs = [
        torch.randperm(n, generator=generator)[: per_epoch * batch_size].view(-1, batch_size)
        for _ in range(-(-steps // per_epoch))
    ]
    return torch.cat(epochs)[:steps]


def _pad(splits: Sequence[Split]) -> Split:
    """Return S splits as one, (S, n, d); shorter ones are filled up and labelled PADDING."""
    return Split(
        nn.utils.rnn.pad_sequence([s.x for s in splits], batch_first=True),
        nn.utils.rnn.pad_sequence([s.y for s in splits], batch_first=True, padding_value=PADDING),
    )


def _on(split: Split, device: torch.device) -> Split:
    return Split(split.x.to(device), split.y.to(device))


def _choose(better: Tensor, new: dict, old: dict | None) -> dict:
    """Return, for each network, its new state where it is better and else its old one."""
    if old is None:
        return {name: value.clone() for name, value in new.items()}
    if better.ndim == 0:
        return {name: value.clone() for name, value in new.items()} if better else old
    return {
        name: torch.where(better.view(-1, *[1] * (value.ndim - 1)), value, old[name])
        for name, value in new.items()
    }


def _history(rows: list[tuple]) -> pd.DataFrame:
    table = [
        (step, network, *values)
        for step, *columns in rows
        for network, values in enumerate(
            zip(*(c.reshape(-1).tolist() for c in columns), strict=True)
        )
    ]
    names = ["step", "network", "train_loss", "validation_loss", "validation_accuracy"]
    return pd.DataFrame(table, columns=names)


def _check_fit_arguments(model, splits, steps, seed, batch_size, evaluate_every, keep) -> None:
    counts = {"steps": steps, "batch_size": batch_size, "evaluate_every": evaluate_every or 1}
    for name, count in counts.items():
        check_whole(name, count)
    if keep not in ("last", "best"):
        raise ValueError(f'keep is "last" or "best"; got {keep!r}')
    if not list(model.parameters()):
        raise ValueError(f"{type(model).__name__} has no parameters to train")
    is_one = isinstance(splits, Splits) and is_whole(seed)
    is_many = isinstance(splits, Iterable) and not isinstance(splits, Splits)
    parts = list(splits) if is_many else [splits]
    seeds = list(seed) if isinstance(seed, Iterable) else [seed]
    stacked = {len(m.weight) for m in model.modules() if isinstance(m, StackedLinear)}
    if (
        len(parts) != len(seeds)
        or not all(isinstance(part, Splits) for part in parts)
        or not all(is_whole(one) for one in seeds)
        or stacked != (set() if is_one else {len(seeds)})
    ):
        raise ValueError(
            "one network takes one Splits and one seed, a stack of S networks a list of S of "
            f"each; got {f'a stack of {stacked}' if stacked else 'one network'}, "
            f"{type(splits).__name__} of {len(parts)} and seed={seed!r}"
        )
    for part in parts:
        if batch_size > len(part.train.y):
            raise ValueError(
                f"batch_size must lie between 1 and the {len(part.train.y)} training items; "
                f"got {batch_size!r}"
            )
        if len(part.validation.y) == 0:
            raise ValueError("the validation set is empty")
        if min(part.train.y.min(), part.validation.y.min()) < 0:
            raise ValueError("labels must be whole numbers from 0; a negative one was found")
