"""What a hidden test calls: it checks an answer in the student's own kernel.

This is what a plain `nbgrader autograde` runs. It gives honest students their marks and keeps
nobody out: who wants to can patch it.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from course_lib.coursework import judge
from course_lib.coursework.personal import checked_id, course_key, hidden_seed, parameters
from course_lib.coursework.questions import load
from course_lib.exercises import Runner, examine

QUESTIONS, SECRET = "COURSE_QUESTIONS", "COURSE_SECRET"  # set by a course's nbgrader_config.py

_runner = Runner()


def grade(name: str, question: str, function: Callable) -> None:
    """Check the answer to a question on hidden inputs, or send it to the judge if there is one.

    Args:
        name: of the set.
        question: its id.
        function: the student's.

    Raises:
        AssertionError: if the answer is wrong; the text says what is.
        NotImplementedError: if it is still the stub.
        ValueError: if the questions or the secret are not here, as in a student's own copy.
    """
    if judge.JUDGE in os.environ:
        outcome, text = judge.ask(name, question, function)
        if outcome == "not attempted":
            raise NotImplementedError("not attempted yet")
        assert outcome == "passed", text
        return
    for variable in (QUESTIONS, SECRET):
        if variable not in os.environ:
            raise ValueError(f"hidden tests run in a course's folder only: {variable} is not set")
    found = load(name, os.environ[QUESTIONS])
    if question not in found:
        raise ValueError(f"the set {name} has no question {question!r}; it has {list(found)}")
    secret = Path(os.environ[SECRET]).read_bytes()
    typed = getattr(sys.modules["__main__"], "STUDENT", "")
    student = _student(name) or typed
    mine = parameters(name, student, course_key(secret))
    seed = hidden_seed(secret, name, question, student)
    report = examine(found[question].exercise(mine), function, seed, _runner)
    if report.outcome == "not attempted":
        raise NotImplementedError("not attempted yet")
    if not report.passed:
        note = ""
        if typed and checked_id(typed) != student:
            note = (
                f"The notebook says STUDENT = {typed!r}, and was handed in by {student!r}. It "
                "worked with the parameters of another.\n"
            )
        raise AssertionError(f"{note}{report}")


def _student(name: str) -> str:
    """Return whose work this is, by nbgrader's folder `autograded/<student>/<set>`, or nothing."""
    parts = Path.cwd().parts
    return checked_id(parts[-2]) if parts[-1] == name and parts[-3:-2] == ("autograded",) else ""
