"""Grids: tickets of many seeds, round by round, beside their controls; stored, so that they resume.

Every training is a file in a folder, written when it is done. So a grid can be stopped at any time
and called again: what is there is read, the rest is trained.
"""

import contextlib
import dataclasses
import functools
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from course_lib import files, pruning, training
from course_lib.checks import is_whole
from course_lib.data import Splits
from course_lib.tickets.barriers import barrier
from course_lib.tickets.finding import (
    LATE,
    SCOPES,
    check_rewind,
    magnitude_masks,
    next_ticket,
    plan_of,
    synflow_masks,
)
from course_lib.tickets.store import DENSE, Store, Unit
from course_lib.tickets.ticket import Plan, Ticket, train

CONTROLS = (
    "re-initialised",
    "random mask",
    "one-shot",
    "one-shot, equal budget",
    "SNIP",
    "SynFlow",
    "other order",
)
CONTROL_SEED = 100_000  # added to a seed where a control draws, so that it draws something else
TABLE = "table.csv"


class Grid:
    """What `grid` returns: a table of results, the learning curves, and the networks by request.

    Attributes:
        folder: where the files are.
        table: a row for each training, in the order of the arms: `arm`, `rewind`, `round`, `seed`,
            `density`, `steps` (of this training), `validation` and `test` (accuracy in percent),
            `barrier` (percentage points, of "other order").
        curves: the rows of `training.fit`, with the columns that name the training.
    """

    def __init__(self, store, units, seeds, keep=None):
        self._store, self._keep = store, keep  # a temporary folder lives as long as it is kept
        self._units, self._seeds = units, seeds
        self._rewinds = list(dict.fromkeys(unit.rewind for unit in units if unit != DENSE))
        self.folder = store.folder
        keys = [(unit, seed) for unit in units for seed in seeds]
        self.table = pd.DataFrame([store.row(*key) for key in keys]).astype({"rewind": object})
        curves = [
            store.curve(unit, seed).assign(
                arm=unit.arm, rewind=unit.rewind, round=unit.round, seed=seed
            )
            for unit, seed in keys
        ]
        self.curves = pd.concat(curves, ignore_index=True).astype({"rewind": object})

    def ticket(self, seed: int, round: int, rewind: int | str = 0) -> Ticket:
        """Return the ticket of a round, ready to train; that of round 0 is dense.

        Raises:
            ValueError: if this grid has no such ticket.
        """
        self._find(seed, round, rewind)
        return self._store.ticket(seed, round, rewind)

    def model(self, seed: int, round: int, rewind: int | str = 0) -> nn.Module:
        """Return the trained network of a round, plain, with zeros where it is pruned.

        Raises:
            ValueError: if this grid has no such network.
        """
        return self._store.model(self._find(seed, round, rewind), seed)

    def _find(self, seed: int, round: int, rewind: int | str) -> Unit:
        unit = Unit("ticket", rewind, round) if round else DENSE
        if unit not in self._units or seed not in self._seeds or rewind not in self._rewinds:
            raise ValueError(
                f"the grid has the seeds {self._seeds}, rounds from 0 to "
                f"{max(unit.round for unit in self._units)} and starts again at {self._rewinds}; "
                f"got seed={seed!r}, round={round!r}, rewind={rewind!r}"
            )
        return unit


def grid(
    build: Callable[[int], nn.Module],
    data: Callable[[int], Splits],
    seeds: Sequence[int],
    plan: Plan,
    *,
    rounds: int,
    arms: Mapping[int | str, Mapping[str, Collection[int]]],
    rate: float = 0.2,
    output_rate: float | None = 0.1,
    scope: str = "layerwise",
    folder: str | Path | None = None,
    together: int = 5,
    workers: int | None = None,
    progress: bool = True,
    device: torch.device | str | None = None,
) -> Grid:
    """Find tickets by `rounds` of magnitude pruning, for many seeds, and train their controls.

    Each dense network is trained once, whatever starts from it. Each seed's batches come in one
    order in all its arms. Each training is stored when it is done: stopped and called again, the
    grid goes on where it was, and a later call may ask for more seeds, rounds or controls.

    The controls have the density of the ticket beside which they stand, and train as it does:

    - "re-initialised": the mask on weights drawn anew;
    - "random mask": the start with as many weights in each layer, picked by chance;
    - "one-shot": the weights that are largest after the dense training, as many as the round has;
    - "one-shot, equal budget": the same after a dense training of as many steps as the rounds took;
    - "SNIP", "SynFlow": pruned before training, over all layers at once, trained from step 0;
      SNIP sees the training set as one batch;
    - "other order": the ticket itself with another order of batches. Its `barrier` is that of the
      line from the ticket to it on the test set.

    Args:
        build: makes the fresh network of a seed.
        data: makes the data of a seed. `test` is measured and chooses nothing.
        seeds: whole numbers below 100,000; they also draw the order of batches.
        plan: how every network is trained.
        rounds: how often to prune, in every arm.
        arms: by where training starts again (`rewind` of `find`), the controls to train beside the
            tickets and the rounds at which to train them, for example
            `{0: {"random mask": (7, 10)}, 30: {}, "rate": {}}`. Late weights take no controls.
        rate, output_rate, scope: as in `magnitude_masks`.
        folder: where to store; a temporary one by default, gone when the result is.
        together: how many seeds train as one stack.
        workers: as in `training.replicate`.
        progress: whether to show a bar with the time left.
        device: where to train.

    Raises:
        ValueError: if an argument is outside its range, or the folder holds a grid of other
            settings, networks or data; nothing in it is changed then.
        training.ReplicateError: if a training failed, after the others.
    """
    seeds = list(seeds)
    options = {"rate": rate, "output_rate": output_rate, "scope": scope}
    _check(seeds, plan, rounds, arms, options)
    seeds = [int(seed) for seed in seeds]
    arms = {step if step in LATE else int(step): controls for step, controls in arms.items()}
    temporary = tempfile.TemporaryDirectory() if folder is None else None
    store = Store(Path(temporary.name if temporary else folder), build, data, plan)
    steps = store.check(options, [rewind for rewind in arms if rewind not in LATE], seeds)
    units = list(_units(rounds, arms))
    paths = [store.path(unit, seed) for unit in units for seed in seeds]
    if not all(path.exists() for path in paths):
        job = functools.partial(
            _train_group, store=store, units=units, steps=steps, options=options, device=device
        )
        with _bar(paths) if progress else contextlib.nullcontext():
            # All seeds, also those that are done: so the same ones share a stack each time.
            training.replicate(job, seeds, together=together, workers=workers, progress=False)
    found = Grid(store, units, seeds, temporary)
    files.write_text(store.folder / TABLE, found.table.to_csv(index=False))
    return found


def early_accuracy(curves: pd.DataFrame, until: int) -> pd.Series:
    """Return the mean validation accuracy of each training up to a step, in percent.

    It is the area under the learning curve divided by its length, with straight lines between the
    steps at which the network was evaluated. The first and the last of these up to `until` are its
    ends, so trainings are comparable that were evaluated at the same steps.

    Args:
        curves: of a `Grid`, those of tickets that start at one step.
        until: the last step that counts.

    Returns:
        A series by `arm`, `rewind`, `round` and `seed`.

    Raises:
        ValueError: if a training was evaluated at fewer than two steps up to `until`.
    """

    def mean(rows: pd.DataFrame) -> float:
        step, right = rows["step"].to_numpy(), rows["validation_accuracy"].to_numpy()
        if len(step) < 2:
            raise ValueError(
                f"a curve takes two evaluations or more up to step {until}; got {len(step)}: name "
                "more steps in the plan's evaluate_at"
            )
        area = (np.diff(step) * (right[1:] + right[:-1]) / 2).sum()
        return 100 * float(area / (step[-1] - step[0]))

    early = curves[curves["step"] <= until].sort_values("step", kind="stable")
    names = ["arm", "rewind", "round", "seed"]
    found = {key: mean(rows) for key, rows in early.groupby(names, sort=False)}
    index = pd.MultiIndex.from_tuples(found, names=names)
    return pd.Series(list(found.values()), index=index, name="early_accuracy")


# --- The trainings of some seeds ------------------------------------------------------------------


def _units(rounds: int, arms: Mapping) -> Iterator[Unit]:
    """Yield all that is trained, in an order in which each comes after what it needs."""
    yield DENSE
    for rewind, controls in arms.items():
        for round in range(1, rounds + 1):
            yield Unit("ticket", rewind, round)
            for name, at in controls.items():
                if round in at:
                    yield Unit(name, rewind, round)


def _train_group(seeds, *, store, units, steps, options, device) -> list[dict[str, int]]:
    """Train what is missing for seeds that train as one stack, and store it."""
    splits = {seed: store.data(seed) for seed in seeds}
    for unit in units:
        missing = [seed for seed in seeds if not store.path(unit, seed).exists()]
        if not missing:
            continue
        parts = [splits[seed] for seed in missing]
        tickets = _tickets_of(unit, missing, parts, store, options, device)
        runs = train(
            tickets,
            parts,
            plan_of(unit.rewind, store.plan),
            seeds=[seed + CONTROL_SEED * (unit.arm == "other order") for seed in missing],
            snapshots=steps if unit == DENSE else (),
            device=device,
        )
        for seed, ticket, run in zip(missing, tickets, runs, strict=True):
            row = dataclasses.asdict(unit) | {
                "seed": seed,
                "density": ticket.density,
                "steps": store.plan.steps - ticket.step % store.plan.steps,
                "validation": training.accuracy(run.model, splits[seed].validation),
                "test": training.accuracy(run.model, splits[seed].test),
                "barrier": np.nan,
            }
            if unit.arm == "other order":
                trained = store.model(dataclasses.replace(unit, arm="ticket"), seed)
                row["barrier"] = barrier(trained, run.model, splits[seed].test).height
            store.put(unit, seed, run, ticket, row)
    return [{"seed": seed} for seed in seeds]


def _tickets_of(unit, seeds, splits, store, options, device) -> list[Ticket]:
    """Return what a unit trains, for each seed; what it needs is in the store."""
    fresh = [Ticket.dense(store.build(seed)) for seed in seeds]
    if unit == DENSE:
        return fresh
    if unit.arm == "ticket":
        last = unit.round - 1
        before = DENSE if last == 0 else dataclasses.replace(unit, round=last)
        return [
            next_ticket(
                store.ticket(seed, last, unit.rewind),
                store.model(before, seed),
                unit.round,
                unit.rewind,
                store.plan,
                **options,
            )
            for seed in seeds
        ]
    tickets = [store.ticket(seed, unit.round, unit.rewind) for seed in seeds]
    pairs = list(zip(tickets, [seed + CONTROL_SEED for seed in seeds], strict=True))
    if unit.arm == "other order":
        return tickets
    if unit.arm == "re-initialised":
        return [ticket.reinitialised(seed) for ticket, seed in pairs]
    if unit.arm == "random mask":
        return [ticket.random_masks(seed) for ticket, seed in pairs]
    if unit.arm == "one-shot":
        trained = [store.model(DENSE, seed) for seed in seeds]
        masks = [magnitude_masks(model, unit.round, **options) for model in trained]
    elif unit.arm == "one-shot, equal budget":
        steps = unit.round * store.plan.steps
        longer = dataclasses.replace(store.plan, steps=steps, evaluate_at=())
        runs = train(fresh, splits, longer, seeds=seeds, device=device)
        masks = [magnitude_masks(run.model, unit.round, **options) for run in runs]
    else:
        masks = [
            pruning.global_mask(pruning.snip(first.start, part.train), 1 - ticket.density)
            if unit.arm == "SNIP"
            else synflow_masks(first.start, 1 - ticket.density, part.train.x)
            for ticket, first, part in zip(tickets, fresh, splits, strict=True)
        ]
        tickets = fresh  # pruned before training: they start where training starts
    return [
        dataclasses.replace(ticket, masks=mask, found=f"{unit.arm}, as many as round {unit.round}")
        for ticket, mask in zip(tickets, masks, strict=True)
    ]


# --- Private --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _bar(paths: Sequence[Path]) -> Iterator[None]:
    """Show how many of the files are there, while other processes write them."""
    done = threading.Event()

    def watch() -> None:
        count = sum(path.exists() for path in paths)
        with tqdm(total=len(paths), initial=count, unit="training", leave=False) as bar:
            while not done.wait(0.5):
                bar.update(sum(path.exists() for path in paths) - bar.n)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _check(seeds, plan: Plan, rounds: int, arms, options) -> None:
    """Raise a ValueError where an argument of `grid` is outside its range."""
    whole = all(is_whole(seed, 0, CONTROL_SEED - 1) for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"seeds must be different whole numbers from 0 to {CONTROL_SEED - 1}, at least one; "
            f"got {seeds}"
        )
    for rate in (options["rate"], options["output_rate"]):
        pruning.iterative_sparsities(rounds, 0.0 if rate is None else rate)  # complains
    if options["scope"] not in SCOPES:
        raise ValueError(f"scope is one of {list(SCOPES)}; got {options['scope']!r}")
    if not isinstance(arms, Mapping) or not arms:
        raise ValueError(
            "arms names where training starts again and the controls of each, for example "
            f'{{0: {{"random mask": (7, 10)}}, 30: {{}}}}; got {arms!r}'
        )
    for rewind, controls in arms.items():
        check_rewind(rewind, plan)
        if unknown := set(controls) - set(CONTROLS):
            raise ValueError(f"controls are {list(CONTROLS)}; got {sorted(unknown)}")
        if controls and rewind in LATE:
            raise ValueError(f"controls start from early weights; the arm {rewind!r} has none")
        for name, at in controls.items():
            if not all(is_whole(r, 1, rounds) for r in at):
                raise ValueError(f"{name} stands beside rounds from 1 to {rounds}; got {list(at)}")
