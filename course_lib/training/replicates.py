"""Replicates: one experiment over seeds and settings, side by side, as one tidy table."""

import functools
import itertools
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import cloudpickle
import joblib
import pandas as pd
import threadpoolctl
import torch
from joblib.externals import loky
from tqdm import tqdm

from course_lib.checks import check_whole, is_whole


class ReplicateError(RuntimeError):
    """Some runs failed. `table` holds the others' rows, `failures` (settings, traceback) pairs."""

    def __init__(self, table: pd.DataFrame, failures: list[tuple[dict, str]]):
        names = "\n\n".join(f"{settings}\n{trace}" for settings, trace in failures)
        super().__init__(
            f"{len(failures)} run(s) failed; the rows of the others are in .table of this "
            f"error.\n\n{names}"
        )
        self.table, self.failures = table, failures


def replicate(
    experiment: Callable[..., Any],
    seeds: Iterable[int],
    *,
    together: int | None = None,
    workers: int | None = None,
    progress: bool = True,
    **grid: Iterable[Any],
) -> pd.DataFrame:
    """Run `experiment(seed=…, **settings)` for every seed and setting; return one tidy table.

    The runs are spread over worker processes of one torch thread each. The table does not depend
    on how many there are or on who finishes first. To leave one machine, call it inside
    `with joblib.parallel_config(backend="dask"):` or another backend of joblib's.

    Args:
        experiment: returns a dictionary (a row) or a list of them. It may be defined in a
            notebook.
        seeds: whole numbers.
        together: if given, so many seeds go to one call, `experiment(seeds=[…], **settings)`,
            which then trains a stack and returns rows that each name their `seed`.
        workers: how many processes; one for each CPU core by default. With 1 nothing is started.
        progress: whether to show a bar with the time left.
        **grid: values to combine, for example `sparsity=[0.5, 0.9]`; their product is run.

    Returns:
        A table with the columns of the grid, `seed`, and what the rows hold, in the order of the
        grid and then of the seeds.

    Raises:
        ReplicateError: after all runs, if some failed; it names their seed and settings, and its
            `table` keeps the rows of the others.
        ValueError: if there is no seed, or a setting has no values.
    """
    seeds = list(seeds)
    if not seeds or not all(map(is_whole, seeds)) or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, at least one; got {seeds}")
    seeds = [int(seed) for seed in seeds]
    for name, values in grid.items():
        if name == "seed" or isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(
                f"{name} takes a list of values, for example [0.5, 0.9], and seeds= takes the "
                f"seeds; got {name}={values!r}"
            )
        grid[name] = list(values)
        if not grid[name]:
            raise ValueError(f"{name} has no values, so there is nothing to run")
    for name, count in (("together", together), ("workers", workers)):
        if count is not None:
            check_whole(name, count)
    if together is None:
        who = [{"seed": s} for s in seeds]
    else:
        who = [{"seeds": seeds[i : i + together]} for i in range(0, len(seeds), together)]
    runs = [
        dict(zip(grid, values, strict=True)) | one
        for values in itertools.product(*grid.values())
        for one in who
    ]
    outcomes = _run_all(experiment, runs, workers, progress)

    rows, failures = [], []
    for settings, (result, trace) in zip(runs, outcomes, strict=True):
        if trace is not None:
            failures.append((settings, trace))
            continue
        named = {k: v for k, v in settings.items() if k != "seeds"}
        rows += [
            named | {"seed": row["seed"]} | row if "seeds" in settings else named | row
            for row in result
        ]
    table = pd.DataFrame(rows)
    if failures:
        raise ReplicateError(table, failures)
    return table


def _run_all(experiment, runs: list[dict], workers: int | None, progress: bool) -> list[tuple]:
    """Return (rows, traceback) for each run, in order."""
    own_pool = type(joblib.parallel.get_active_backend()[0]).__name__ == "LokyBackend"
    if workers is None:
        workers = (os.cpu_count() or 1) if own_pool else -1
    n_jobs = min(workers, len(runs)) if own_pool else workers
    try:
        # By value: each run starts from the same copy of all that the experiment refers to, also
        # with one worker, where it could otherwise find what an earlier run left behind.
        code = cloudpickle.dumps(experiment)
        pickled = [cloudpickle.dumps(settings) for settings in runs]
    except Exception as error:
        raise ValueError(
            f"the experiment cannot be sent to a worker ({error}); build models, with their "
            "masks, and open files inside it"
        ) from error
    outcomes: list[tuple] = [()] * len(runs)
    caller = os.getpid() if own_pool else None
    if own_pool and n_jobs > 1:
        _end_workers_of_older_code()
    jobs = (joblib.delayed(_run)(code, one, i, caller) for i, one in enumerate(pickled))
    # Each run keeps to one thread by itself. Where runs are threads of this process, the first to
    # end would lift that limit under the others, if it were not held here as well.
    with threadpoolctl.threadpool_limits(1):
        # One run a task: auto-batching would give the last worker a tail of several runs.
        done = joblib.Parallel(n_jobs, batch_size=1, return_as="generator_unordered")(jobs)
        try:
            for i, rows, trace in tqdm(done, total=len(runs), disable=not progress, leave=False):
                outcomes[i] = (rows if rows is None else pickle.loads(rows), trace)
        except loky.process_executor.TerminatedWorkerError as error:
            lost = (None, f"lost, because a worker process died in this run or beside it: {error}")
            outcomes = [outcome or lost for outcome in outcomes]
        except BaseException:  # Ctrl-C: end the runs under way at once, and their workers
            with warnings.catch_warnings(action="ignore"):
                done.close()
            raise
    return outcomes


def _run(code: bytes, pickled: bytes, i: int, caller: int | None) -> tuple:
    """Run one experiment on one thread; return its number, and its pickled rows or a traceback."""
    if os.getppid() == caller:
        _serve_only(caller)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order, however many workers there are
    # Averages of Adam for weights without a gradient sink below 1e-38, where arithmetic is slow.
    torch.set_flush_denormal(True)
    try:
        experiment, settings = pickle.loads(code), pickle.loads(pickled)
        with threadpoolctl.threadpool_limits(1):  # the same for NumPy, SciPy and scikit-learn
            result = experiment(**settings)
        return i, cloudpickle.dumps(_checked_rows(result, settings)), None
    except Exception:
        return i, None, traceback.format_exc()
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def _checked_rows(result: Any, settings: dict) -> list[dict]:
    rows = result if isinstance(result, list) else [result]
    if any(type(row) is not dict for row in rows):
        raise TypeError(
            f"an experiment returns a dictionary or a list of dictionaries; got {result!r:.200}"
        )
    if "seeds" in settings:
        named = {row.get("seed") for row in rows}
        if named != set(settings["seeds"]):
            raise ValueError(
                'with several seeds together, each row names its own under "seed", and each seed '
                f"has a row; got rows of {named} for the seeds {settings['seeds']}"
            )
    return rows


@functools.cache
def _serve_only(caller: int) -> None:
    """Tie this worker process to its caller: leave Ctrl-C to it, and do not outlive it.

    Workers stay for the next call, because to start one takes seconds. Idle for five minutes they
    end by themselves; when a kernel is killed, they must not wait for that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        while os.getppid() == caller:  # on Windows it stays equal, and the five minutes apply
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_sources: dict[str, int] = {}  # by file, when it was changed last, as the workers know it


def _end_workers_of_older_code() -> None:
    """Start afresh when a module of the user's own was edited, or would be sought elsewhere.

    Workers keep what they imported, and the folders to import from, as they were at their start.
    """
    installed = tuple({sys.prefix, sys.base_prefix})
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    now = {
        file: os.stat(file).st_mtime_ns
        for file in files
        if file and not file.startswith(installed) and os.path.exists(file)
    }
    now["the folders"] = hash((os.getcwd(), *sys.path))
    if any(_sources.get(file, when) != when for file, when in now.items()):
        loky.get_reusable_executor(reuse=True).shutdown(wait=True)
    _sources.update(now)
