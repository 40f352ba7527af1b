"""Questions: an exercise with points, made anew from each student's parameters.

The questions of a set stand in a file beside its notebook, outside of this package, so what
students install holds neither answers nor tests. Instructors have that file.
"""

import importlib.util
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course_lib.checks import check_whole
from course_lib.coursework.personal import Parameters, parameters
from course_lib.exercises import Exercise

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


@dataclass(frozen=True)
class Question:
    """One question of a problem set.

    Args:
        id: the name of the student's function.
        points: a whole number.
        exercise: makes the exercise for a student's parameters. Its reference may use them under
            the name `mine`, which is what they are called in the notebook.
        tests: visible tests, Python that asserts, each with a message that explains. They hold
            for every student's parameters.

    Raises:
        ValueError: if the points are not a whole number from 1 on, or a test is missing.
    """

    id: str
    points: int
    exercise: Callable[[Parameters], Exercise]
    tests: str

    def __post_init__(self):
        check_whole(f"points of {self.id}", self.points)
        object.__setattr__(self, "points", int(self.points))  # a notebook holds no NumPy numbers
        if "assert " not in self.tests:
            raise ValueError(f"{self.id} has no visible test; tests must hold an assert")

    def cells(self, name: str, number: int) -> list[tuple[str, str]]:
        """Return the sources of its three cells in the notebook of a set: card, answer and tests.

        The answer holds the reference between nbgrader's marks of a solution, the tests end with
        the lines that nbgrader hides. The text is the same whoever the student is.

        Args:
            name: of the set.
            number: of the question in it.

        Returns:
            `(kind, source)` for each cell, in their order.

        Raises:
            ValueError: if the reference is not a function of the question's name.
        """
        one = self.exercise(specimen(name))
        if one.name != self.id or one.id != f"{name}.{self.id}":
            raise ValueError(f"the exercise of {self.id} must be {name}.{self.id}; got {one.id}")
        dots = "●" * one.difficulty + "○" * (5 - one.difficulty)
        task, hint = (textwrap.dedent(text).strip() for text in (one.task, one.hint))
        card = (
            f"### Question {number}: {one.title}\n\n| | |\n|---|---|\n"
            f"| **Points** | {self.points} |\n"
            f"| **Difficulty** | {one.difficulty} of 5 {dots} |\n"
            f"| **Time** | about {one.minutes} minutes |\n"
            f"| **Why it matters** | {one.why} |\n\n{task}\n\n"
            f"<details>\n<summary>Hint</summary>\n\n{hint}\n\n</details>"
        )
        *head, _ = one.stub().splitlines()  # its last line is where the answer goes
        body = [f"    {BEGIN_SOLUTION}", *one.body(), f"    {END_SOLUTION}"]
        answer = f"{one.imports()}\n\n\n" + "\n".join(head + body)
        tests = (
            f"{textwrap.dedent(self.tests).strip()}\n{BEGIN_HIDDEN}\n"
            "from course_lib.coursework import grade\n\n"
            f'grade("{name}", "{self.id}", {self.id})\n{END_HIDDEN}'
        )
        return [("markdown", card), ("code", answer.strip()), ("code", tests)]


def specimen(name: str) -> Parameters:
    """Return parameters of nobody, to read from a question what does not depend on them."""
    return parameters(name, "specimen", "specimen")


def load(name: str, folder: str | Path) -> dict[str, Question]:
    """Read the questions of a set, by id and in their order.

    Args:
        name: of the set.
        folder: holds `<name>/questions.py`, in which `QUESTIONS` is a tuple of them.

    Raises:
        ValueError: if there is no such file, or two questions have the same id.
    """
    path = Path(folder) / name / "questions.py"
    if not path.is_file():
        raise ValueError(f"there is no {path}: {folder} holds no questions of a set {name!r}")
    spec = importlib.util.spec_from_file_location(f"questions_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # `inspect` looks there for the text of a reference
    spec.loader.exec_module(module)
    found = {question.id: question for question in module.QUESTIONS}
    if len(found) != len(module.QUESTIONS):
        raise ValueError(f"{path}: two questions have the same id")
    return found
