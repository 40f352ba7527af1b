"""Exercises: a learner's function is tried on fresh inputs, and a report says what is wrong.

`check("pruning.global_mask", global_mask)` runs the learner's function in a worker process and
compares its answers, outside that process, with those of a reference. An exercise stands in one
place, for example `course_lib.exercises.pruning`. The page on exercises shows which mistakes each
check was tried on.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace

from IPython.display import Markdown

from course_lib.checks import check_whole
from course_lib.exercises.comparing import Case, Wrong, compare
from course_lib.exercises.exercise import Exercise, find, of_chapter
from course_lib.exercises.report import Report
from course_lib.exercises.runner import Fault, Remote, Runner
from course_lib.exercises.solved import add as _solved
from course_lib.exercises.solved import keep_progress, progress

__all__ = [
    "Case",
    "Exercise",
    "Fault",
    "Remote",
    "Report",
    "Runner",
    "Wrong",
    "card",
    "check",
    "compare",
    "examine",
    "find",
    "keep_progress",
    "of_chapter",
    "progress",
    "restart",
    "start",
]

_runner = Runner()


def check(exercise_id: str, function: Callable, seed: int | None = None) -> Report:
    """Check a learner's function, note what is solved, and return the report.

    Args:
        exercise_id: for example "pruning.global_mask".
        function: the learner's; the function itself and not its result.
        seed: draws the inputs. Without one, it is a fresh one, which the report names.

    Raises:
        ValueError: if there is no such exercise, or the seed is not a whole number from 0 on.
    """
    exercise = find(exercise_id)
    if seed is None:
        seed = secrets.randbelow(1_000_000)
    check_whole("seed", seed, low=0)
    report = examine(exercise, function, int(seed), _runner)
    if report.passed:
        _solved(exercise.id)
    return replace(report, progress=f"Solved in this chapter: {progress(exercise.chapter)}.")


def examine(exercise: Exercise, function: Callable, seed: int, runner: Runner) -> Report:
    """Check a function in a runner's worker, and do nothing else: what graders build on.

    The same function and seed give the same outcome.
    """
    if not callable(function):
        message = f"Hand over the function itself, not what it returns: {exercise.call()}"
        report = Report("failed", message=message)
    elif _is_stub(function):
        runner.start()  # in the background: the next check will likely need it
        report = Report("not attempted")
    else:
        remote = None
        try:
            remote = runner.remote(function)
            report = exercise.check(remote, seed)
        except Fault as fault:  # of a check that does not catch it itself
            report = fault.report()
        if remote is not None:
            report = replace(report, printed=remote.printed)
    return replace(report, exercise=exercise.id, title=exercise.title, seed=seed)


def card(exercise_id: str) -> Markdown:
    """Return an exercise's card and task, to be displayed."""
    return Markdown(find(exercise_id).card())


def start() -> None:
    """Start the worker in the background, so that the first check need not wait for it."""
    _runner.start()


def restart() -> None:
    """End the worker and start a new one, for example after a function changed its settings."""
    _runner.stop()
    _runner.start()


def _stub():
    raise NotImplementedError


def _is_stub(function: Callable) -> bool:
    """Whether a function does nothing but raise NotImplementedError, which needs no worker."""
    code, ours = getattr(function, "__code__", None), _stub.__code__
    return code is not None and (code.co_code, code.co_names) == (ours.co_code, ours.co_names)
