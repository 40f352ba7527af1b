"""An exercise: what a learner reads, and what decides whether the answer is right.

All that a learner meets is made from one `Exercise`: the card, the stub, the check, the hint and
the solution. The stub is the reference without its body, the solution is the reference.
"""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from course_lib.checks import is_whole
from course_lib.exercises.comparing import Case, Wrong, compare
from course_lib.exercises.report import Report

# Modules beside this one; an exercise "pruning.global_mask" stands in `pruning`.
TOPICS = ("reading", "pruning", "costs", "tickets", "superposition", "autoencoders", "probes")


LINE = 76  # characters of code that a page shows at once on a laptop
QUOTES = '"""'
ENTRY = re.compile(r"\s*\w+(, \w+)*: ")  # what an argument is


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Args:
        id: its topic and the name of the function, for example "pruning.global_mask".
        chapter: the notebook, for example "01_pruning".
        title: a few words.
        difficulty: 1 to 5.
        minutes: that a learner needs, roughly.
        why: why it matters, in a sentence.
        task: what to do, as Markdown.
        hint: a push, as Markdown.
        reference: the right function. Its docstring is what the learner reads in the stub.
        cases: draws the inputs, as `compare` takes it.
        wrong: likely mistakes.
        right: sources of unusual right answers.
        check: `check(function, seed)`, made by `compare` if it is not given.

    Raises:
        ValueError: if the difficulty, the minutes or the id is out of range, or nothing checks.
    """

    id: str
    chapter: str
    title: str
    difficulty: int
    minutes: int
    why: str
    task: str
    hint: str
    reference: Callable
    cases: Callable[[np.random.Generator], Iterable[Case]] | None = None
    wrong: Sequence[Wrong] = ()
    right: Sequence[str] = ()
    check: Callable[[Callable, int], Report] | None = None

    def __post_init__(self):
        if not is_whole(self.difficulty, 1, 5) or not is_whole(self.minutes, 1):
            raise ValueError(
                f"{self.id}: difficulty is 1 to 5 and minutes at least 1; got {self.difficulty} "
                f"and {self.minutes}"
            )
        if self.id.partition(".")[2] != self.reference.__name__:
            raise ValueError(
                f"an id is the topic and the reference's name, {self.reference.__name__!r}; "
                f"got {self.id!r}"
            )
        if self.check is None:
            if self.cases is None:
                raise ValueError(f"{self.id} needs cases to compare, or a check of its own")
            object.__setattr__(self, "check", compare(self.reference, self.cases, self.wrong))

    @property
    def name(self) -> str:
        """The name of the learner's function."""
        return self.reference.__name__

    def card(self) -> str:
        """Return the card and the task as Markdown."""
        dots = "●" * self.difficulty + "○" * (5 - self.difficulty)
        return (
            f"### Exercise: {self.title}\n\n| | |\n|---|---|\n"
            f"| **Difficulty** | {self.difficulty} of 5 {dots} |\n"
            f"| **Time** | about {self.minutes} minutes |\n"
            f"| **Why it matters** | {self.why} |\n\n{textwrap.dedent(self.task).strip()}"
        )

    def imports(self) -> str:
        """Return the imports that the reference needs, as they stand in its module."""
        tree = ast.parse(inspect.getsource(inspect.getmodule(self.reference)))
        used = {n.id for n in ast.walk(ast.parse(self.solution())) if isinstance(n, ast.Name)}
        found = {True: [], False: []}  # Python's own modules first, then the others
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a for a in node.names if (a.asname or a.name) in used]
                if names:
                    module = node.module if isinstance(node, ast.ImportFrom) else names[0].name
                    node.names = names
                    standard = module.partition(".")[0] in sys.stdlib_module_names
                    found[standard].append(ast.unparse(node))
        return "\n\n".join("\n".join(lines) for lines in found.values() if lines)

    def stub(self) -> str:
        """Return the source of the function without its body, no line cut on a laptop's page."""
        lines = self.solution().splitlines()
        head = _narrowed(lines[: -len(self.body())])
        return f"{head}\n    raise NotImplementedError  # your code, in place of this line"

    def body(self) -> list[str]:
        """Return the lines of the reference below its docstring."""
        docstring = ast.parse(self.solution()).body[0].body[0]
        return self.solution().splitlines()[docstring.end_lineno :]

    def solution(self) -> str:
        """Return the source of the reference."""
        return textwrap.dedent(inspect.getsource(self.reference)).strip()

    def call(self) -> str:
        """Return the line that checks the learner's function."""
        return f'exercises.check("{self.id}", {self.name})'


def _narrowed(lines: Sequence[str]) -> str:
    """Return lines of a docstring with those that are too long for a page broken.

    What follows on a line of the same entry, which is indented deeper or stands in the same
    paragraph, moves on with it.
    """
    done: list[str] = []
    left = list(lines)
    while left:
        line = left.pop(0)
        if len(line) <= LINE:
            done.append(line)
            continue
        indent, entry = _depth(line), ENTRY.match(line)
        below = left[0] if left else ""
        deeper = bool(below.strip()) and _depth(below) > indent
        goes_on = deeper or not (entry or ENTRY.match(below)) and _depth(below) == indent
        goes_on = goes_on and bool(below.strip()) and not below.lstrip().startswith(QUOTES)
        onward = _depth(below) if goes_on else indent + 4 * bool(entry)
        first, *rest = textwrap.wrap(
            line, LINE, subsequent_indent=" " * onward, break_on_hyphens=False
        )
        done.append(first)
        moved = " ".join(part.strip() for part in rest)
        if goes_on:
            left[0] = " " * onward + f"{moved} {below.lstrip()}"
        else:
            left.insert(0, " " * onward + moved)
    return "\n".join(done)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def find(exercise_id: str) -> Exercise:
    """Return an exercise by its id. Raises ValueError if there is none, naming those there are."""
    topic = str(exercise_id).partition(".")[0]
    known = _of(topic) if topic in TOPICS else [e for t in TOPICS for e in _of(t)]
    for exercise in known:
        if exercise.id == exercise_id:
            return exercise
    raise ValueError(f"there is no exercise {exercise_id!r}; there are {[e.id for e in known]}")


def of_chapter(chapter: str) -> list[Exercise]:
    """Return the exercises of a chapter, in their order. Raises ValueError if it has none."""
    everything = [exercise for topic in TOPICS for exercise in _of(topic)]
    found = [exercise for exercise in everything if exercise.chapter == chapter]
    if not found:
        chapters = sorted({exercise.chapter for exercise in everything})
        raise ValueError(f"no exercise belongs to chapter {chapter!r}; chapters are {chapters}")
    return found


def _of(topic: str) -> Sequence[Exercise]:
    return importlib.import_module(f"course_lib.exercises.{topic}").EXERCISES
