"""The worker of the exercises: whatever a learner's function does, a clear report comes in time.

Functions are written as source and compiled here, as a notebook does it, so that none of them can
be imported by the worker.
"""

import linecache
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from course_lib import exercises
from course_lib.exercises import solved, values, worker
from course_lib.exercises.report import Report
from course_lib.exercises.runner import Fault, Runner

ROOT = Path(__file__).parents[1]
EXERCISE = exercises.find("pruning.magnitude_mask")
RIGHT = """
def magnitude_mask(weight, sparsity):
    n = round(sparsity * weight.numel())
    ranks = weight.abs().flatten().argsort().argsort()
    return (ranks >= n).view(weight.shape)
"""


def learner(source, name=None):
    """Compile a function as a cell of a notebook does: by value, its lines known to linecache."""
    source = textwrap.dedent(source).strip()
    file = f"<cell {abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    namespace = {"__name__": "__main__", "torch": torch, "np": np}
    exec(compile(source, file, "exec"), namespace)
    functions = [v for v in namespace.values() if callable(v) and hasattr(v, "__code__")]
    return namespace[name] if name else functions[-1]


def body(*lines):
    return learner("def f(weight, sparsity):\n" + textwrap.indent("\n".join(lines), "    "))


@pytest.fixture(scope="module")
def runner():
    runner = Runner(seconds=1.5)
    yield runner
    runner.stop()


def report_of(runner, function, seed=5):
    report = exercises.examine(EXERCISE, function, seed, runner)
    for shown in (repr(report), report._repr_html_()):
        assert report.title in shown
        # Neither the answer's code nor a line of the library is ever shown.
        assert "topk" not in shown
        assert "course_lib/exercises" not in shown.replace(os.sep, "/")
    return report


def test_right_answers_pass_and_one_worker_serves_them_all(runner):
    assert report_of(runner, learner(RIGHT)).passed
    process = runner._process
    start = time.monotonic()
    for seed in range(5):
        assert report_of(runner, learner(RIGHT), seed).passed
    assert time.monotonic() - start < 5
    assert runner._process is process


FAULTS = {
    "endless loop": (["while True:", "    pass"], "stopped after 1.5 seconds", False),
    "sleep": (["import time", "time.sleep(60)"], "stopped after 1.5 seconds", False),
    "os._exit": (["import os", "os._exit(3)"], "ended the process that it ran in", False),
    "abort": (["import os", "os.abort()"], "ended the process that it ran in", False),
    "recursion": (["return f(weight, sparsity)"], "raised RecursionError", True),
    "sys.exit": (["import sys", "sys.exit(0)"], "called sys.exit", True),
    "exception": (["return weight[99999]"], "raised IndexError", True),
    "keyboard": (["raise KeyboardInterrupt"], "raised KeyboardInterrupt", True),
    "input": (["return input('?')"], "raised EOFError", True),
    "text": (["return 'all of them'"], "is the text 'all of them'; asked for is a tensor", True),
    "nothing": (["weight.abs()"], "is None. Is a `return` missing?", True),
    "array": (["return weight.numpy() > 0"], "is a NumPy array", True),
    "generator": (["yield weight"], "is an object of type generator", True),
    "module": (["return torch"], "is an object of type module", True),
    "number": (["return 3"], "is a whole number", True),
    "floats": (["return (weight > 0).float()"], "has the dtype float32; asked for is bool", True),
    "NaN": (["return weight * float('nan')"], "has the dtype float32", True),
    "flat": (["return (weight > 0).flatten()"], "has the shape (35,)", True),
    "ones": (["return torch.ones_like(weight).bool()"], "keeps 35 of 35", True),
    "in place": (
        ["weight.abs_()", "return weight > 0"],
        "changed its input in place: weight",
        True,
    ),
    "large answer": (["return [0] * 10**7"], "returned far more", True),
    "large text": (["return 'x' * 10**8"], "is the text 'xxxxx", True),
    "deep answer": (
        ["x = []", "for _ in range(5000):", "    x = [x]", "return x"],
        "returned far more",
        True,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_ends_in_a_clear_report(runner, name):
    lines, message, same_worker = FAULTS[name]
    runner._warm()
    process, start = runner._process, time.monotonic()
    report = report_of(runner, body(*lines))
    assert report.outcome == "failed"
    assert message in report.message
    assert "shape (5, 7)" in report.tried
    assert time.monotonic() - start < 1.5 + 2
    assert (runner._process is process) == same_worker
    assert len(repr(report)) < 6_000


def test_too_few_arguments_are_named(runner):
    report = report_of(runner, learner("def f(weight):\n    return weight > 0"))
    assert "raised TypeError" in report.message
    assert "takes 1 positional argument but 2 were given" in report.message


@pytest.mark.parametrize(
    "allocation",
    [
        "np.ones(2**27)",
        "np.zeros(2**27)",
        "torch.ones(2**28)",
        "torch.zeros(2**28)",
        "bytearray(2**30)",
        "[bytes(2**20) for _ in range(2**10)]",
    ],
)
def test_a_gigabyte_ends_in_a_clear_report(runner, allocation):
    start = time.monotonic()
    report = report_of(runner, body(f"x = {allocation}", "return weight > 0"))
    assert report.outcome == "failed"
    assert "more than 512 MB" in report.message
    assert time.monotonic() - start < 1.5 + 2
    assert report_of(runner, learner(RIGHT)).passed


def test_memory_is_watched_from_outside_too(runner, monkeypatch):
    """Where no limit of the system helps, as on macOS, and a function touches what it takes."""
    lines = [
        "try:",
        "    import resource",
        "    _, hard = resource.getrlimit(resource.RLIMIT_DATA)",
    ]
    lines += ["    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))"]
    lines += ["except ImportError:", "    pass", "x = []", "while True:"]
    lines += ["    x.append(np.ones(2**23))"]
    monkeypatch.setattr(runner, "seconds", 60.0)  # filling memory takes long on some machines
    runner._warm()
    process = runner._process
    report = report_of(runner, body(*lines))
    assert "more than 512 MB" in report.message
    assert runner._process is not process


def test_a_flood_of_prints_is_cut_and_harmless(runner):
    lines = RIGHT.strip().splitlines()
    flood = "\n".join([lines[0], "    for _ in range(10**4): print('<b>x</b>' * 10)", *lines[1:]])
    report = report_of(runner, learner(flood))
    assert report.passed
    assert "the rest is left out" in repr(report)
    assert "<b>" not in report._repr_html_()
    assert "&lt;b&gt;" in report._repr_html_()


def test_the_learners_own_lines_are_shown_and_no_others(runner):
    source = """
    def helper(weight):
        return torch.topk(weight, 10**6)

    def f(weight, sparsity):
        return helper(weight)
    """
    report = exercises.examine(EXERCISE, learner(source), 5, runner)
    assert report.got.splitlines() == [
        "line 5, in f: return helper(weight)",
        "line 2, in helper: return torch.topk(weight, 10**6)",
    ]
    deep = report_of(runner, body("return f(weight, sparsity)"))
    assert deep.got.splitlines()[0] == "…"
    assert len(deep.got.splitlines()) == 5
    # An error that says it comes from another file does not open that file.
    forged = body(
        f"exec(compile('\\n' * 20 + '1 / 0', {str(ROOT / 'pyproject.toml')!r}, 'exec'))",
    )
    assert "build-backend" not in repr(report_of(runner, forged))
    assert report_of(runner, forged).got == "line 2, in f: " + (
        f"exec(compile('\\n' * 20 + '1 / 0', {str(ROOT / 'pyproject.toml')!r}, 'exec'))"
    )


def test_stubs_are_not_attempted_yet():
    runner = Runner()
    stub = learner(EXERCISE.stub())
    report = exercises.examine(EXERCISE, stub, 5, runner)
    assert report.outcome == "not attempted"
    assert "not attempted yet" in repr(report)
    assert "seed" not in repr(report)
    runner.stop()


@pytest.mark.parametrize(
    "lines",
    [
        ["return ..."],
        ["scores = weight.abs()", "raise NotImplementedError"],
        ["print('so far')", "raise NotImplementedError('the rest')"],
    ],
)
def test_half_a_stub_is_not_attempted_either(runner, lines):
    assert report_of(runner, body(*lines)).outcome == "not attempted"


def test_what_cannot_be_sent_is_said(runner, tmp_path):
    with (tmp_path / "x").open("w") as file:
        function = learner("def f(weight, sparsity):\n    return FILE")
        function.__globals__["FILE"] = file
        report = report_of(runner, function)
    assert report.outcome == "failed"
    assert "cannot be sent" in report.message


@pytest.mark.parametrize("thing", [torch.ones(3), None, "magnitude_mask"])
def test_a_result_instead_of_a_function_is_said(runner, thing):
    report = report_of(runner, thing)
    assert "Hand over the function itself" in report.message


# --- What decides is out of the function's reach --------------------------------------------------


def test_a_function_cannot_change_what_decides(runner):
    """It would pass if the answers were compared in the process that it runs in."""
    tricks = (
        "torch.equal = lambda *a: True; torch.Tensor.__eq__ = lambda *a: True",
        "import course_lib.exercises.comparing as c; c.difference = lambda *a, **k: ''",
        "import course_lib.exercises.report as r; r.Report.passed = True",
        "import course_lib.exercises.pruning as p; p.magnitude_mask = lambda w, s: w > 0",
    )
    assert report_of(runner, body(*tricks, "return weight > 0")).outcome == "failed"
    runner.stop()


def test_an_answer_that_equals_everything_does_not_pass(runner):
    source = """
    class Yes:
        dtype, shape = torch.bool, (5, 7)
        def __eq__(self, other): return True
        def __reduce__(self): return (print, ("runs on arrival",))
        def __repr__(self): raise ValueError

    class YesTensor(torch.Tensor):
        def __eq__(self, other): return True

    def f(weight, sparsity):
        return Yes()
    """
    report = report_of(runner, learner(source, "f"))
    assert "is an object of type Yes" in report.message
    report = report_of(
        runner, learner(source.replace("Yes()", "weight.as_subclass(YesTensor)"), "f")
    )
    assert "has the dtype float32" in report.message


class Evil:
    def __reduce__(self):
        return (print, ("runs on arrival",))


NONSENSE = [
    pickle.dumps(Evil()),
    b"",
    b"nonsense",
    values.dumps(3),
    values.dumps(()),
    values.dumps(("what", "")),
    values.dumps(("returned", ("plain", ["x"]), [], "")),
    values.dumps(("returned", ("tensor", "torch.bool", (9, 9), b"1"), [], "")),
    values.dumps(("returned", ("array", "|O", (1,), b"12345678"), [], "")),
    values.dumps(("returned", ("plain", 1), ["first"], "")),
    values.dumps(("raised", "Error", "text", [3], "")),
]


@pytest.mark.parametrize("content", NONSENSE)
def test_nonsense_from_the_process_is_no_answer(content, monkeypatch, capfd):
    """A function may find the connection and send what it likes."""
    runner = Runner()
    for name in ("start", "stop"):
        monkeypatch.setattr(runner, name, lambda: None)
    runner._connection, other = multiprocessing.Pipe()
    runner._ready = True
    other.send_bytes(content)
    report = report_of(runner, learner(RIGHT))
    assert report.outcome == "failed"
    assert "nobody can read" in report.message
    assert "runs on arrival" not in "".join(capfd.readouterr())


def test_a_function_keeps_what_it_remembers_within_a_check(runner):
    """Else nobody would notice a default argument that grows from call to call."""
    source = """
    def f(weight, sparsity, before=[]):
        n = round(sparsity * weight.numel()) + len(before)
        before.append(1)
        return (weight.abs().flatten().argsort().argsort() >= n).view(weight.shape)
    """
    assert report_of(runner, learner(source)).outcome == "failed"


def test_two_functions_may_take_turns(runner):
    one, other = (runner.remote(learner(f"def f(x):\n    return x + {n}")) for n in (1, 2))
    assert [one(1), other(1), one(2), one(3), other(3)] == [2, 3, 3, 4, 5]


def test_an_orphan_ends_by_itself():
    """A kernel that is killed leaves no endless loop behind."""
    script = textwrap.dedent(
        """
        import os
        from course_lib import exercises
        from course_lib.exercises.runner import Runner

        def loop(weight, sparsity):
            while True:
                pass

        if __name__ == "__main__":
            import threading
            runner = Runner(seconds=100)
            runner._warm()
            print(runner._process.pid, flush=True)
            threading.Timer(0.5, os._exit, (9,)).start()
            exercises.examine(exercises.find("pruning.magnitude_mask"), loop, 1, runner)
        """
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    pid = int(done.stdout.split()[0])
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its kernel")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no process groups")
def test_an_interrupt_leaves_a_worker_that_still_imports_alone():
    """A kernel's manager interrupts the kernel's whole group of processes as it ends it."""
    script = textwrap.dedent(
        """
        import os, signal, time
        from course_lib.exercises.runner import Runner

        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)
            runner = Runner()
            runner.start()
            try:
                time.sleep(0.3)
                os.killpg(0, signal.SIGINT)
                time.sleep(10)
            except KeyboardInterrupt:
                print(runner._ready, runner.remote(abs)(-3))
            runner.stop()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        start_new_session=True,
        timeout=100,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["False", "3"]


def test_the_stop_button_ends_the_call(runner, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    runner._warm()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_wait", stop)
        with pytest.raises(KeyboardInterrupt):
            report_of(runner, learner(RIGHT))
    assert runner._process is None
    assert report_of(runner, learner(RIGHT)).passed


# --- Values on their way --------------------------------------------------------------------------


def test_values_arrive_as_they_left():
    t = torch.tensor([[1.5, -2.0, float("nan")], [0.0, 3.0, float("inf")]])
    for value in (
        None, True, 3, -2.5, "text", ..., [1, (2, 3)], {"a": 1, 2: [t]}, np.float32(0.5).item(),
    ):  # fmt: skip
        assert repr(values.decode(values.loads(values.dumps(values.encode(value))))) == repr(value)
    tensors = [t, t.t(), t.bool(), t.half(), t.bfloat16(), t.long(), t.int()[:, 1:], t[0, 0]]
    tensors += [torch.empty(0, 3), torch.nn.Parameter(t), t.to(torch.complex64)]
    for tensor in tensors:
        arrived = values.decode(values.loads(values.dumps(values.encode(tensor))))
        assert arrived.dtype == tensor.dtype
        assert torch.equal(arrived.nan_to_num(7), tensor.detach().nan_to_num(7))
    array = np.arange(6, dtype=">i2").reshape(2, 3)[:, ::2]
    assert np.array_equal(values.decode(values.encode(array)), array)
    assert values.decode(values.encode(np.float32(0.5))) == 0.5
    assert values.decode(values.encode({3})) == values.Other("set", "{3}")
    assert values.decode(values.encode(t.to_sparse())).type_name == "Tensor"
    assert values.decode(values.encode(10**1000)).type_name == "int"


@pytest.mark.parametrize("value", [torch.zeros(2**25), [0] * 200_000, np.zeros(2**24)])
def test_too_much_does_not_travel(value):
    with pytest.raises(values.TooLarge):
        values.encode(value)


@pytest.mark.parametrize(
    "data",
    [
        ("plain", [1]),
        ("tensor", "torch.nothing", (1,), b""),
        ("tensor", "torch.float32", (5,), b"1234"),
        ("array", "O", (1,), b"12345678"),
        ("call", "os.system"),
        (),
        3,
    ],
)
def test_only_values_are_read(data):
    with pytest.raises(ValueError):
        values.decode(data)
    nested = ("plain", 1)
    for _ in range(100):
        nested = ("list", [nested, nested])  # small to send, endless to unfold
    with pytest.raises(ValueError):
        values.decode(nested)


# --- The learner's side ---------------------------------------------------------------------------


@pytest.fixture
def fresh_progress():
    solved.forget()
    yield
    solved.forget()


def test_check_draws_a_seed_and_repeats_with_it(fresh_progress):
    wrong = body("return weight > 0")
    first = exercises.check(EXERCISE.id, wrong)
    assert f"seed={first.seed}" in repr(first)
    again = exercises.check(EXERCISE.id, wrong, seed=first.seed)
    assert repr(again) == repr(first)
    assert torch.equal(again.arguments[0], first.arguments[0])
    assert exercises.check(EXERCISE.id, wrong).seed != first.seed
    for seed in (-1, 1.5, True, "7"):
        with pytest.raises(ValueError, match="seed must be a whole number, at least 0"):
            exercises.check(EXERCISE.id, wrong, seed=seed)
    with pytest.raises(ValueError, match=r"no exercise 'pruning\.nothing'.*pruning\.global_mask"):
        exercises.check("pruning.nothing", wrong)


def test_a_check_leaves_the_global_generators_alone(fresh_progress, global_generators):
    exercises.check(EXERCISE.id, learner(RIGHT))


def test_progress_counts_and_is_kept_if_asked(fresh_progress, tmp_path):
    file = tmp_path / "progress.json"
    assert exercises.progress("01_pruning") == "0 of 5"
    report = exercises.check(EXERCISE.id, learner(RIGHT))
    assert "Solved in this chapter: 1 of 5." in repr(report)
    assert "0 exercises" in exercises.keep_progress(file)
    exercises.check(EXERCISE.id, body("return weight > 0"))  # a later failure takes nothing away
    assert exercises.progress("01_pruning") == "1 of 5"
    solved.forget()  # as a restart of the kernel does
    assert exercises.progress("01_pruning") == "0 of 5"
    assert "1 exercises" in exercises.keep_progress(file)
    assert exercises.progress("01_pruning") == "1 of 5"
    solved.forget()
    for nonsense in ("", "[]", '{"solved": 3}', '{"solved": [3]}'):
        file.write_text(nonsense)
        with pytest.raises(ValueError, match="not a file of keep_progress"):
            exercises.keep_progress(file)
        assert file.read_text() == nonsense
    with pytest.raises(ValueError, match="chapter '99_none'"):
        exercises.progress("99_none")


def test_reports_escape_what_a_learner_wrote():
    evil = "<script>alert(1)</script>"
    report = Report("failed", evil, evil, evil, evil, title=evil, printed=evil, progress=evil)
    assert "<script>" not in report._repr_html_()
    assert report._repr_html_().count("&lt;script&gt;") == 7
    with pytest.raises(ValueError, match="outcome is one of"):
        Report("right")


def test_restart_gives_a_new_worker(fresh_progress):
    exercises.check(
        EXERCISE.id, body("torch.set_default_dtype(torch.float64)", "return weight > 0")
    )
    default = body("return torch.tensor(1.0)")
    assert "float64" in exercises.check(EXERCISE.id, default).message
    exercises.restart()
    assert "float32" in exercises.check(EXERCISE.id, default).message


def test_a_worker_that_cannot_start_is_said(monkeypatch):
    monkeypatch.setattr(worker, "main", None)  # what the new process is told to call
    runner = Runner()
    with pytest.raises(Fault, match="ended as it started"):
        runner.remote(learner(RIGHT))(torch.ones(2, 3), 0.5)
    runner.stop()
