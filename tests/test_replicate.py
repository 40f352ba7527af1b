"""Replicates: the same table whoever computes it, no run lost, no process left behind."""

import contextlib
import importlib
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
import threadpoolctl
import torch

from course_lib import data, networks, pruning, training

ROOT = str(Path(__file__).parents[1])
pytestmark = [
    # A thread of the pool that ends in an error is an error, not a warning.
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.alone,  # two workers, which are to share the work and end in time
]
posix = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


def run(experiment, seeds, **kwargs):
    return training.replicate(experiment, seeds, **({"progress": False} | kwargs))


def workers_of(pid):
    """Return the processes of a pool; the pool's own tracker of resources is none of them."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # a short-lived child may be gone by now
            found += [child] if "LokyProcess" in " ".join(child.cmdline()) else []
    return found


def assert_gone(processes, seconds):
    gone, alive = psutil.wait_procs(processes, timeout=seconds)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


# --- The same table -------------------------------------------------------------------------------


def experiment(seed, sparsity, wide):
    """Train, prune and use NumPy: all that could depend on threads, order or a generator."""
    splits = data.digits(seed, label_noise=0.2)
    model = networks.mlp((64, 60 if wide else 20, 10), seed=seed)
    pruning.prune(model, sparsity)
    training.fit(model, splits, steps=15, seed=seed)
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(300, 2000)), generator.normal(size=(2000, 40))
    return {
        "accuracy": training.accuracy(model, splits.validation),
        "weights": sum(w.double().sum().item() for w in model.parameters()),
        "product": float((a @ b)[7, 5] + np.abs(a @ b).sum()),
    }


def test_the_table_does_not_depend_on_the_number_of_workers():
    grid = {"sparsity": [0.0, 0.9], "wide": [True, False]}
    torch.manual_seed(0)
    one = run(experiment, [3, 1], workers=1, **grid)
    torch.manual_seed(1)
    two = run(experiment, [3, 1], workers=2, **grid)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert list(one.columns) == ["sparsity", "wide", "seed", "accuracy", "weights", "product"]
    settings = list(one[["sparsity", "wide", "seed"]].itertuples(index=False, name=None))
    assert settings == [(s, w, k) for s in (0.0, 0.9) for w in (True, False) for k in (3, 1)]
    assert one["weights"].nunique() == len(one), "the runs must differ, or the test proves little"
    with joblib.parallel_config(backend="threading", n_jobs=2):
        pd.testing.assert_frame_equal(run(experiment, [3, 1], **grid), one, check_exact=True)


def test_runs_that_share_a_process_keep_to_one_thread_each_when_another_ends():
    """The limits belong to the process: the first run to end must not lift them."""

    def sleeper(seed):
        time.sleep(0.3 * (seed + 1))
        pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        return {"threads": max([torch.get_num_threads(), *pools])}

    before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    for seeds in ([0, 1, 2], [2, 1, 0]):  # whichever starts first
        with joblib.parallel_config(backend="threading", n_jobs=3):
            assert run(sleeper, seeds)["threads"].tolist() == [1, 1, 1]
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == before


def test_the_table_does_not_depend_on_who_finishes_first():
    def sleeper(seed, length):
        time.sleep(length * (0.3 if seed == 0 else 0.02))
        return {"square": seed**2, "finished": time.time()}

    table = run(sleeper, [0, 1, 2, 3], workers=2, length=[1.0, 0.5])
    assert not table["finished"].is_monotonic_increasing, "they must finish in another order"
    assert table["seed"].tolist() == [0, 1, 2, 3] * 2
    assert table["square"].tolist() == [0, 1, 4, 9] * 2


def test_each_run_starts_from_the_same_copy_of_what_it_refers_to():
    """A model outside the function, trained in place, would carry over from run to run."""
    model, calls = networks.mlp((64, 12, 10), seed=0), []

    def careless(seed):
        calls.append(seed)
        training.fit(model, data.digits(0), steps=3, seed=0)
        return {"calls": len(calls), "weight": model[0].weight[0, 0].item()}

    for workers in (1, 2):
        table = run(careless, [0, 1, 2], workers=workers)
        assert table["calls"].tolist() == [1, 1, 1]
        assert table["weight"].nunique() == 1
    assert calls == []
    assert torch.equal(model[0].weight, networks.mlp((64, 12, 10), seed=0)[0].weight)


def test_several_rows_a_run():
    table = run(lambda seed: [{"step": s, "loss": seed / s} for s in (1, 2)], [4, 6], workers=1)
    assert table.to_dict("list") == {
        "seed": [4, 4, 6, 6], "step": [1, 2, 1, 2], "loss": [4.0, 2.0, 6.0, 3.0],
    }  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_seeds_together_are_a_stack(workers):
    def stacked(seeds, width):
        models = networks.stack([networks.mlp((64, width, 10), seed=s) for s in seeds])
        splits = [data.digits(s) for s in seeds]
        training.fit(models, splits, steps=10, seed=seeds)
        found = training.accuracy(models, [part.validation for part in splits])
        return [
            {"accuracy": a, "seed": s, "n": len(seeds)} for s, a in zip(seeds, found, strict=True)
        ]

    table = run(stacked, [0, 1, 2, 3, 4], workers=workers, together=2, width=[8, 16])
    assert list(table.columns) == ["width", "seed", "accuracy", "n"]
    assert table["seed"].tolist() == [0, 1, 2, 3, 4] * 2
    assert table["n"].tolist() == [2, 2, 2, 2, 1] * 2
    assert table["accuracy"].nunique() > 5


@pytest.mark.parametrize(
    "rows",
    [
        lambda seeds: [{"x": 1} for _ in seeds],
        lambda seeds: [{"seed": i} for i, _ in enumerate(seeds)],  # numbered, not named
        lambda seeds: [{"seed": seeds[0]}],
        lambda seeds: {"seed": seeds[0], "x": 1},
    ],
)
def test_seeds_together_must_all_be_named(rows):
    with pytest.raises(training.ReplicateError, match="each row names its own"):
        run(rows, [5, 6], workers=1, together=2)


# --- Runs that fail -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_run_is_named_and_the_others_are_kept(workers):
    def fragile(seed, rate):
        if (seed, rate) in ((2, 0.1), (1, 0.5)):
            raise KeyError(f"no luck with {seed}")
        return {"x": seed * rate}

    with pytest.raises(training.ReplicateError) as error:
        run(fragile, [1, 2, 3], workers=workers, rate=[0.1, 0.5])
    message = str(error.value)
    assert "2 run(s) failed" in message
    assert "{'rate': 0.1, 'seed': 2}" in message
    assert "{'rate': 0.5, 'seed': 1}" in message
    assert "no luck with 2" in message
    assert "in fragile" in message, "the traceback shows the learner's own line"
    assert [settings for settings, _ in error.value.failures] == [
        {"rate": 0.1, "seed": 2},
        {"rate": 0.5, "seed": 1},
    ]
    expected = pd.DataFrame({"rate": [0.1, 0.1, 0.5, 0.5], "seed": [1, 3, 2, 3]})
    expected["x"] = expected["seed"] * expected["rate"]
    pd.testing.assert_frame_equal(error.value.table, expected)


@pytest.mark.parametrize(
    "result",
    [3.0, None, [1, 2], ({"x": 1},), "text", [{"x": 1}, None], {"x": "a generator"}],
    ids=repr,
)
def test_what_is_no_row_is_named_too(result):
    def odd(seed):
        if seed == 0:
            return {"x": 1}
        return {"x": (i for i in range(3))} if result == {"x": "a generator"} else result

    with pytest.raises(training.ReplicateError) as error:
        run(odd, [0, 1], workers=1)
    assert error.value.table["seed"].tolist() == [0]
    assert error.value.failures[0][0] == {"seed": 1}


def test_what_cannot_be_sent_to_a_worker_is_said_before_any_run():
    masked = networks.mlp((4, 3, 2), seed=0)
    pruning.prune(masked, 0.5)
    for workers in (1, 2):
        with pytest.raises(ValueError, match="(?s)cannot be sent to a worker.*build models"):
            run(lambda seed: {"x": len(list(masked.parameters()))}, [0, 1], workers=workers)


# --- Threads, processes, generators ---------------------------------------------------------------


def threads(seed):
    pools = {info["num_threads"] for info in threadpoolctl.threadpool_info()}
    return {"torch": torch.get_num_threads(), "most": max(pools), "pid": os.getpid()}


def test_one_thread_also_with_one_worker_and_the_callers_count_comes_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threadpoolctl.threadpool_limits(2):
            for workers in (1, 2):
                table = run(threads, [0, 1, 2], workers=workers)
                assert table["torch"].tolist() == [1, 1, 1]
                assert table["most"].tolist() == [1, 1, 1]
                assert torch.get_num_threads() == 2
                assert threads(0)["most"] == 2
            with pytest.raises(training.ReplicateError):
                run(lambda seed: 1 / 0, [0], workers=1)
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_worker_is_this_process_and_two_stay_for_the_next_call():
    assert set(run(threads, [0, 1], workers=1)["pid"]) == {os.getpid()}

    def slow(seed):
        time.sleep(0.2)
        return threads(seed)

    first, again = (set(run(slow, range(4), workers=2)["pid"]) for _ in range(2))
    assert os.getpid() not in first
    assert len(first) == 2
    assert first == again


def test_no_global_generator_is_touched_by_the_workers(global_generators):
    run(lambda seed: {"x": random.random()}, [0, 1, 2], workers=2)


# --- Workers that have to start again: together, because each start takes seconds -----------------


def test_workers_do_not_keep_older_code(tmp_path, monkeypatch):
    """A module that is edited and reloaded here must not stay as it was there."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "edited_by_a_learner.py"
    file.write_text("def experiment(seed):\n    return {'version': 1}\n")
    module = importlib.import_module("edited_by_a_learner")
    assert set(run(module.experiment, range(4), workers=2)["version"]) == {1}
    file.write_text("def experiment(seed):\n    return {'version': 2}\n")
    os.utime(file, (time.time() + 5,) * 2)
    importlib.reload(module)
    assert set(run(module.experiment, range(4), workers=2)["version"]) == {2}


def test_an_interrupted_call_ends_its_workers_at_once(monkeypatch):
    """Ctrl-C may come while the workers start, or while a result is handled."""

    def interrupt_after(n):
        def progress(iterable, **kwargs):
            yield from itertools.islice(iterable, n)
            time.sleep(0.1)
            raise KeyboardInterrupt

        monkeypatch.setattr(training.replicates, "tqdm", progress)

    def sleeper(seed):
        time.sleep(0 if seed == 0 else 300)
        return {"x": seed}

    for n in (1, 0):  # the second time, the workers are new
        interrupt_after(n)
        start = time.time()
        with pytest.raises(KeyboardInterrupt):
            run(sleeper, range(10), workers=2)
        assert time.time() - start < 250
        assert_gone(workers_of(os.getpid()), 5)


def test_a_worker_that_dies_is_reported_and_replaced():
    def deadly(seed):
        if seed == 3:
            time.sleep(0.5)
            os._exit(9)
        return {"x": seed}

    with pytest.raises(training.ReplicateError, match="a worker process died") as error:
        run(deadly, [0, 1, 2, 3], workers=2)
    assert {"seed": 3} in [settings for settings, _ in error.value.failures]
    assert error.value.table["seed"].tolist() == [0, 1, 2]
    assert run(lambda seed: {"x": seed}, [0, 1], workers=2)["x"].tolist() == [0, 1]


# --- Whole programs: functions of __main__, signals, and what is left at the end ------------------


def program(code, tmp_path, **kwargs):
    file = tmp_path / "program.py"
    # Started in the background of a shell, these tests would hand on that Ctrl-C is ignored.
    heed = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    file.write_text(heed + textwrap.dedent(code))
    paths = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        **kwargs,
    )


def wait_for(condition, seconds=200):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.05)


def test_functions_of_a_notebook_and_a_quiet_end(tmp_path):
    """What is defined in `__main__` stands for what is defined in a notebook."""
    process = program(
        """
        import os, signal, time
        from dataclasses import dataclass
        from course_lib import training

        @dataclass
        class Protocol:
            factor: int = 3

        P = Protocol()

        def helper(x):
            return P.factor * x

        def experiment(seed, add):
            time.sleep(0.2)
            return {"y": helper(seed) + add, "pid": os.getpid()}

        if __name__ == "__main__":
            table = training.replicate(experiment, [1, 2], workers=2, progress=False, add=[0, 10])
            print(table["y"].tolist(), len(set(table["pid"]) - {os.getpid()}))
            P.factor = 5  # a cell that was changed and run again
            if os.name == "posix":  # Ctrl-C in another cell: the idle workers get it too
                try:
                    os.killpg(os.getpgid(0), signal.SIGINT)
                    time.sleep(10)
                except KeyboardInterrupt:
                    pass
            again = training.replicate(experiment, [1, 2], workers=2, progress=False, add=[0, 10])
            print(again["y"].tolist(), set(again["pid"]) == set(table["pid"]))
            print(*set(table["pid"]))
        """,
        tmp_path,
        start_new_session=True,
    )
    out, err = process.communicate(timeout=300)
    assert err == ""
    assert process.returncode == 0
    first, again, pids = out.splitlines()
    assert first == "[3, 6, 13, 16] 2"
    assert again == "[5, 10, 15, 20] True"
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.split())


SWEEP = """
    import pathlib, time
    from course_lib import training

    def experiment(seed):
        pathlib.Path(f"started-{seed}").touch()
        time.sleep(300)
        return {"x": seed}

    if __name__ == "__main__":
        training.replicate(experiment, range(6), workers=2, progress=False)
    """


@posix
@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_a_sweep_that_is_ended_leaves_no_process(how, tmp_path):
    process = program(SWEEP, tmp_path, start_new_session=True)
    wait_for(lambda: len(list(tmp_path.glob("started-*"))) == 2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(workers_of(process.pid)) == 2
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    else:
        process.kill()
    _, err = process.communicate(timeout=30)
    assert_gone(family, 10)
    if how == "Ctrl-C":
        # On a busy machine the pool's tracker may say of a semaphore that it is gone already.
        err = re.sub(r".*resource_tracker: .*\n.*warn.*\n?", "", err)
        assert err.count("Traceback") == 1, f"only the caller's, none of the workers: {err}"
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert [*Path("/dev/shm").glob(f"*loky-{process.pid}-*")] == [], "no semaphore is left"


# --- Leaving one machine --------------------------------------------------------------------------


def test_on_a_dask_cluster():
    distributed = pytest.importorskip("distributed")
    expected = run(experiment, [0, 1], workers=1, sparsity=[0.5], wide=[False])
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        table = run(experiment, [0, 1], sparsity=[0.5], wide=[False])
        pd.testing.assert_frame_equal(table, expected, check_exact=True)
        with pytest.raises(training.ReplicateError, match=r"\{'seed': 1\}") as error:
            run(lambda seed: {"x": 1 / (1 - seed)}, [0, 1])
        assert error.value.table["x"].tolist() == [1.0]


# --- Progress, and bad input ----------------------------------------------------------------------


def test_progress_shows_the_time_left_and_can_be_silent(capfd):
    def sleeper(seed):
        time.sleep(0.15)
        return {"x": seed}

    run(sleeper, range(4), workers=1)
    assert capfd.readouterr() == ("", "")
    run(sleeper, range(4), workers=1, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "2/4 [00:00<00:00" in err  # done of all, time taken < time left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "seeds must be different whole numbers, at least one"),
        ({"seeds": [1, 1]}, "got [1, 1]"),
        ({"seeds": [1.5]}, "got [1.5]"),
        ({"seeds": [True]}, "got [True]"),
        ({"seeds": ["1"]}, "got ['1']"),
        ({"rate": 0.5}, "rate takes a list of values, for example [0.5, 0.9]"),
        ({"rate": "high"}, "got rate='high'"),
        ({"rate": []}, "rate has no values"),
        ({"seed": [1]}, "seeds= takes the seeds"),
        ({"together": 0}, "together must be a whole number, at least 1; got 0"),
        ({"together": 1.5}, "together must be a whole number"),
        ({"workers": 0}, "workers must be a whole number, at least 1; got 0"),
        ({"workers": 2.0}, "got 2.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError) as error:
        run(lambda **settings: {"x": 1}, **({"seeds": [0, 1]} | arguments))
    assert message in str(error.value)


def test_values_may_come_from_a_generator_or_an_array():
    table = run(
        lambda seed, a, b: {"x": a + b},
        np.arange(2),
        workers=1,
        a=(i for i in (1, 2)),
        b=np.array([10, 20]),
    )
    assert table["x"].tolist() == [11, 11, 21, 21, 12, 12, 22, 22]
