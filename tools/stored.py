"""Make a stored table: what a run finds that is too long for a reader to wait for.

    python tools/stored.py                                list them
    python tools/stored.py tickets-conv                   make results/tickets-conv.csv and .json
    python tools/stored.py tickets-mnist --steps 50000    with longer trainings

A run can be stopped at any time, and the same command goes on where it was: what was trained lies
in _build/stored/. The test of the stored tables measures some of their rows anew.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from torch import nn

from course_lib import data, files, networks, probes, stored, tickets
from course_lib.data import Splits

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "_build" / "stored"
GROUP = ["arm", "rewind", "round"]  # a row for each seed of these
MEASURED = ["validation", "test", "barrier", "early"]
EXACT = ["density", "steps"]


@dataclasses.dataclass(frozen=True)
class Run:
    """A grid of tickets that is stored: the arguments of `tickets.grid`, and what it is in words.

    `rerun` limits which rows the test measures anew: those that take at most so many network-steps.
    A row of round r takes r + 1 trainings, or r + 2 if it is a control's, because it needs its
    ticket, and that the rounds before. `needs` complains where the data are not on this machine.
    """

    what: str
    build: Callable[[int], nn.Module]
    data: Callable[[int], Splits]
    seeds: tuple[int, ...]
    plan: tickets.Plan
    rounds: int
    arms: Mapping[int | str, Mapping[str, tuple[int, ...]]]
    rerun: int
    together: int = 1
    needs: Callable[[], object] = lambda: None
    group = tuple(GROUP)
    measured = tuple(MEASURED)

    def table(self, folder: Path | None = None, *, seeds=None, rounds=None, arms=None, **options):
        """Train what is asked for, all of it by default, and return its rows."""
        grid = tickets.grid(
            self.build,
            self.data,
            seeds or self.seeds,
            self.plan,
            rounds=rounds or self.rounds,
            arms=arms or self.arms,
            folder=folder,
            together=self.together,
            device="cpu",
            **options,
        )
        first_tenth = self.plan.steps // 10
        # A ticket that starts again later has another part of the first tenth before it.
        curves = grid.curves[grid.curves["rewind"] == 0]
        early = tickets.early_accuracy(curves, first_tenth).reset_index()
        names = [*GROUP, "seed"]
        return grid.table.merge(early.rename(columns={"early_accuracy": "early"}), "left", names)

    def again(self, row: Mapping) -> pd.Series:
        """Train anew what a row needs, and return the row."""
        arm, rewind, number, seed = (row[name] for name in (*GROUP, "seed"))
        is_control = arm not in ("dense", "ticket")
        arms = {rewind: {arm: (number,)} if is_control else {}}
        options = {"seeds": [seed], "rounds": max(number, 1), "arms": arms}
        if arm == "dense":
            options["arms"] = {0: {}}
        table = self.table(**options, workers=1, progress=False)
        (found,) = (r for _, r in table.iterrows() if (r[GROUP] == row[GROUP]).all())
        return found

    def cost(self, table: pd.DataFrame) -> pd.Series:
        """Return how many network-steps each row takes to be measured anew."""
        is_control = ~table["arm"].isin(["dense", "ticket"])
        trainings = table["round"].clip(lower=1) + 1 + is_control
        return self.plan.steps * trainings

    def settings(self) -> dict:
        """Return what is asked for, in terms of JSON."""
        plan = dataclasses.asdict(self.plan)
        schedule = plan.pop("schedule")
        every = {
            "network": str(self.build(self.seeds[0])),
            "seeds": self.seeds,
            **plan,
            "schedule": getattr(schedule, "__name__", None),
            "rounds": self.rounds,
            "arms": self.arms,
        }
        return json.loads(json.dumps(every))

    def rows(self) -> list[tuple]:
        """Return what names each row, in the table's order."""
        units = tickets.grids._units(self.rounds, self.arms)
        return [(unit.arm, unit.rewind, unit.round, seed) for unit in units for seed in self.seeds]

    def lasting(self, steps: int) -> "Run":
        """Return the run with trainings of another length."""
        evaluate_at = tuple(step for step in self.plan.evaluate_at if step <= steps // 10)
        plan = dataclasses.replace(self.plan, steps=steps, evaluate_at=evaluate_at)
        return dataclasses.replace(self, plan=plan)


@dataclasses.dataclass(frozen=True)
class Rates:
    """How sparse networks are that never saw one digit, while they train, at other learning rates.

    A row for each network, `factor` (times `learning_rate`), seed and look: the mean sparseness by
    Hoyer of familiar and of held-out test images.
    """

    what: str
    factors: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    looks: tuple[int, ...]
    batch_size: int = 60
    learning_rate: float = 1.2e-3
    kinds: tuple[str, ...] = probes.NETWORKS
    rerun: int = 600
    group = ("network", "factor", "step")
    measured = ("familiar", "held_out")

    def needs(self) -> None:
        """Nothing that is not there: the digits come with scikit-learn."""

    def table(self, folder: Path | None = None, *, seeds=None, kinds=None, factors=None, **options):
        """Train what is asked for, all of it by default, and return its rows."""
        rows = []
        for factor in factors or self.factors:
            found = probes.train_without_class(
                seeds or self.seeds,
                folds=len(self.seeds),
                kinds=kinds or self.kinds,
                steps=self.steps,
                batch_size=self.batch_size,
                learning_rate=factor * self.learning_rate,
                states_at=self.looks,
                **options,
            )
            rows += [self._row(one, factor, step) for some in found.values() for one in some
                     for step in self.looks]  # fmt: skip
        return pd.DataFrame(rows)

    def _row(self, one, factor: float, step: int) -> dict:
        splits = probes.without_class(one.seed, folds=len(self.seeds))
        mean = {
            name: probes.hoyer(probes.last_hidden(one.states[step], part.x)[0]).mean().item()
            for name, part in (("familiar", splits.test), ("held_out", splits.held_out))
        }
        return {"network": one.network, "factor": factor, "seed": one.seed, "step": step} | mean

    def rows(self) -> list[tuple]:
        """Return what names each row, in the table's order."""
        every = itertools.product(self.factors, self.kinds, self.seeds, self.looks)
        return [(kind, factor, step, seed) for factor, kind, seed, step in every]

    def again(self, row: Mapping) -> pd.Series:
        """Train anew what a row needs, and return the row."""
        asked = {"seeds": [row["seed"]], "kinds": [row["network"]], "factors": [row["factor"]]}
        table = self.table(**asked, workers=1, progress=False)
        return table[table["step"] == row["step"]].iloc[0]

    def cost(self, table: pd.DataFrame) -> pd.Series:
        """Return how many network-steps each row takes to be measured anew: a training."""
        return pd.Series(self.steps, index=table.index)

    def settings(self) -> dict:
        """Return what is asked for, in terms of JSON."""
        every = dataclasses.asdict(self)
        return json.loads(json.dumps({k: every[k] for k in every if k not in ("what", "rerun")}))

    def lasting(self, steps: int) -> "Rates":
        """Return the run with trainings of another length."""
        looks = tuple(step for step in self.looks if step < steps)
        return dataclasses.replace(self, steps=steps, looks=(*looks, steps))


def digits(seed: int) -> Splits:
    return data.digits(seed, folds=10)


def early(steps: int, every: int) -> tuple[int, ...]:
    """Return steps within the first tenth of training, where learning is watched closely."""
    return tuple(range(every, steps // 10 + 1, every))


def step_down(done: float) -> float:
    """Return the learning rate's factor: a tenth in the last third of training.

    A schedule that ends at zero would leave nothing to fine-tune with, at its last rate.
    """
    return 1.0 if done < 2 / 3 else 0.1


ON_DIGITS = tickets.Plan(steps=600, batch_size=60, learning_rate=1.2e-3, evaluate_at=early(600, 5))
CONTROLS = dict.fromkeys(("re-initialised", "random mask"), (3, 7, 10, 14, 18))
RUNS = {
    "tickets-mnist": Run(
        what="LeNet-300-100 on MNIST: tickets and their controls. Batch size, rates and pruning "
        "are those reported of Frankle & Carbin 2019 (1803.03635), who are reported to train for "
        "50,000 steps; `settings` has the steps of this run",
        build=lambda seed: networks.mlp((784, 300, 100, 10), seed=seed),
        data=data.mnist,
        seeds=tuple(range(5)),
        plan=tickets.Plan(
            steps=3000, batch_size=60, learning_rate=1.2e-3, evaluate_at=early(3000, 50)
        ),
        rounds=18,
        arms={0: CONTROLS},
        rerun=9000,
        needs=lambda: data.mnist(0, download=False),
    ),
    "tickets-conv": Run(
        what="The convolutional network on digits: tickets and their controls",
        build=lambda seed: networks.convnet(seed=seed),
        data=digits,
        seeds=tuple(range(10)),
        plan=ON_DIGITS,
        rounds=18,
        arms={0: CONTROLS, 30: CONTROLS},
        rerun=3000,
    ),
    # T4 of chapter 03, whose protocol has these numbers too.
    "tickets-stability": Run(
        what="Tickets by the step that they are rewound to, and the barrier between two orders",
        build=lambda seed: networks.mlp(seed=seed),
        data=digits,
        seeds=tuple(range(10)),
        plan=ON_DIGITS,
        rounds=14,
        arms={
            0: {"other order": (7, 14), "one-shot, equal budget": (7, 10, 14)},
            **dict.fromkeys((6, 12, 30, 60, 120, 240), {"other order": (7, 14)}),
        },
        rerun=5400,
        together=5,
    ),
    # With a constant rate, rewinding the rate and fine-tuning would be the same.
    "tickets-restart": Run(
        what="Four ways to start again after pruning, with a learning rate that falls to a tenth",
        build=lambda seed: networks.mlp(seed=seed),
        data=digits,
        seeds=tuple(range(5)),
        plan=dataclasses.replace(ON_DIGITS, schedule=step_down),
        rounds=14,
        arms={0: {}, 30: {}, "rate": {}, "none": {}},
        rerun=3000,
        together=3,
    ),
    # D4 of chapter 13, whose protocol has these numbers too.
    "probes-rates": Rates(
        what="Sparseness during training, of networks that never saw one digit, at other rates",
        factors=(1 / 3, 3.0, 10.0),
        seeds=tuple(range(10)),
        steps=600,
        looks=(0, 1, 2, 4, 8, 15, 30, 60, 100, 150, 200, 300, 450, 600),
    ),
}


def run_of(name: str, steps: int | None = None) -> Run | Rates:
    """Return a run, with trainings of another length if asked for."""
    run = RUNS[name]
    return run if steps is None or steps == run.settings()["steps"] else run.lasting(steps)


def differences(
    table: pd.DataFrame, row: pd.Series, again: pd.Series, group=GROUP, measured=MEASURED
) -> list[str]:
    """Say where a row that was measured anew is not what is stored.

    It may differ by at most 3 standard deviations between the seeds of its arm: on another platform
    sums are rounded differently, and small differences grow during training.
    """
    group = list(group)
    alike = table[(table[group] == row[group]).all(axis=1)]
    found = []
    for name in measured:
        limit = 3 * alike[name].std()
        if np.isnan(row[name]) and np.isnan(again[name]):
            continue
        if not abs(again[name] - row[name]) <= limit:  # NaN on one side only is a difference
            found.append(f"{name} is {row[name]}, now {again[name]}; may differ by {limit:.3g}")
    for name in (name for name in EXACT if name in table):
        if not np.isclose(again[name], row[name], rtol=1e-9, atol=0):
            found.append(f"{name} is {row[name]}, now {again[name]}")
    return found


@contextlib.contextmanager
def clock(file: Path):
    """Add up the seconds of a run that is stopped and called again."""
    before = float(file.read_text()) if file.is_file() else 0.0
    start = time.perf_counter()
    # What stops a process politely ends it as an error does, so that the seconds are written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        yield
    finally:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(file, str(before + time.perf_counter() - start))


def hardware() -> str:
    """Return what the run ran on, in a few words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {model}"


def make(name: str, steps: int | None = None, workers: int | None = None) -> None:
    """Make a table, or go on with one, and store it when it is whole."""
    run = run_of(name, steps)
    place = WORK / (name if steps is None else f"{name}-{steps}")
    seconds = place.with_suffix(".seconds")
    with clock(seconds):
        table = run.table(place, workers=workers)
    about = stored.About(
        what=run.what,
        command=f"python tools/stored.py {name}" + (f" --steps {steps}" if steps else ""),
        date=date.today().isoformat(),
        seconds=round(float(seconds.read_text())),
        hardware=hardware(),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "system": f"{platform.system()} {platform.machine()}",
        },
        settings=run.settings(),
    )
    stored.save(name, table, about)
    print(f"results/{name}.csv has {len(table)} rows. {about.sentence}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=list(RUNS))
    parser.add_argument("--steps", type=int, help="of each training, if not as usual")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.name is None:
        for name, run in RUNS.items():
            print(f"{name:<20}{run.what}")
        return
    make(options.name, options.steps, options.workers)


if __name__ == "__main__":
    main()
