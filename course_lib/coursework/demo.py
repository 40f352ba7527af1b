"""A class of 30 simulated students, honest and hostile, graded from release to feedback.

What each should get is known beforehand. Right answers are taken from the instructor's notebook,
so none stands here.
"""

import argparse
import hashlib
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from course_lib import files
from course_lib.coursework import grading, release
from course_lib.coursework.questions import BEGIN_SOLUTION, END_SOLUTION
from course_lib.coursework.sandbox import Limits, protection

ANSWER = "-answer"
LIMITS = Limits(cell_seconds=30.0, seconds=180.0)
DUE, LATE = "2100-01-01 00:00:00 UTC", "2100-01-02 03:00:00 UTC"
WRONG = "def {}(*inputs):\n    return -1\n"


@dataclass(frozen=True)
class Material:
    """What the simulated students work from.

    Args:
        released: the notebook as it was handed out.
        right: the right answer's cell by question, in the order of the questions.
        points: by question.
        port: at which nobody should call.
        outside: a file that nobody should see or change.
    """

    released: NotebookNode
    right: dict[str, str]
    points: dict[str, float]
    port: int = 0
    outside: str = "/nowhere"

    @property
    def most(self) -> float:
        """The points of all questions together."""
        return sum(self.points.values())

    @property
    def first(self) -> str:
        """The id of the first question."""
        return next(iter(self.right))


@dataclass(frozen=True)
class Student:
    """One simulated student.

    Args:
        id: the name of the folder.
        why: what the student does, in a few words.
        expected: the points that the judge should give.
        hand_in: writes the submission into a folder.
        note: a text that the notes of the grader must hold, or nothing.
    """

    id: str
    why: str
    expected: float
    hand_in: Callable[[Path], None]
    note: str = ""


def material(course: str | Path, name: str, port: int = 0, outside: str = "/nowhere") -> Material:
    """Read from a course's folder what the simulated students need."""
    course = Path(course)
    released = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    source = nbformat.read(course / "source" / name / f"{name}.ipynb", as_version=4)
    right, points = {}, {}
    for cell in source.cells:
        known = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if known.endswith(ANSWER) and BEGIN_SOLUTION in cell.source:
            lines = cell.source.splitlines()
            marks = (BEGIN_SOLUTION, END_SOLUTION)
            kept = [line for line in lines if line.strip() not in marks]
            right[known.removesuffix(ANSWER)] = "\n".join(kept)
        if known.endswith(grading.TESTS):
            points[known.removesuffix(grading.TESTS)] = float(cell.metadata.nbgrader.points)
    return Material(released, {q: right[q] for q in points}, points, port, outside)


def answered(
    given: Material,
    student: str,
    answers: dict[str, str],
    *,
    start: str = "",
    after_first: str = "",
    tests: str | None = None,
) -> NotebookNode:
    """Return the released notebook with answers.

    Args:
        given: the material.
        student: the id that is typed in.
        answers: the source of a cell by question. The others stay as they were handed out.
        start: a cell more, before all others.
        after_first: a cell more, behind the tests of the first question.
        tests: what is written over all cells of tests, or None.
    """
    made = nbformat.from_dict(given.released)
    cells = []
    for cell in made.cells:
        known = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        question = known.removesuffix(ANSWER)
        if known.endswith(ANSWER) and question in answers:
            cell.source = f"{answers[question]}\n# by {student}"
        elif known == "student":
            cell.source = f"STUDENT = {student!r}"
        if tests is not None and known.endswith(grading.TESTS):
            cell.source = tests
        cells.append(cell)
        if after_first and known == given.first + grading.TESTS:
            cells.append(nbformat.v4.new_code_cell(after_first))
    made.cells = [nbformat.v4.new_code_cell(start)] * bool(start) + cells
    return made


def the_class(given: Material) -> list[Student]:
    """Return the 30 students."""
    right, most, first = given.right, given.most, given.points[given.first]
    wrong = {question: WRONG.format(question) for question in right}
    half = dict(list(right.items())[: len(right) // 2])
    rest = most - first
    made: list[Student] = []

    def add(
        student: str,
        why: str,
        expected: float,
        answers: dict[str, str],
        *,
        note: str = "",
        file: str = "",
        typed: str | None = None,
        timestamp: str = "",
        change: Callable[[NotebookNode], Any] = lambda notebook: None,
        beside: Callable[[Path], Any] = lambda folder: None,
        **more: str,
    ) -> None:
        def hand_in(folder: Path) -> None:
            folder.mkdir(parents=True)
            notebook = answered(given, student if typed is None else typed, answers, **more)
            change(notebook)
            nbformat.write(notebook, folder / (file or f"{folder.name}.ipynb"))
            if timestamp:
                (folder / "timestamp.txt").write_text(timestamp)
            beside(folder)

        made.append(Student(student, why, expected, hand_in, note))

    def only(answer: str) -> dict[str, str]:
        return right | {given.first: answer}

    # Honest ones
    add("ada", "all answers right", most, right)
    add("bela", "right, with helper cells and a file", most, right, start="import math\nhelper = 1")
    add("carl", "half of the answers right, the others blank", _sum(given, half), half)
    add("dora", "only the first answer right, the others wrong", first, {**wrong, **_one(right)})
    add("emil", "all answers wrong", 0.0, wrong)
    add("fay", "handed in as it was handed out", 0.0, {})
    add("gus", "an answer that does not even parse", rest, only("def broken(:\n"))
    add("hana", "late", most, right, timestamp=LATE, note="after the due date")
    add("ines", "another file name", most, right, file="final (2).ipynb", note="was graded")
    for twin in ("jan", "kim"):
        add(twin, "an identical copy", most, right, change=_copied)
    # Cells that are not as they were
    add("lena", "deleted the test cells", most, right, note="was missing", change=_without_tests)
    add(
        "mio",
        "wrong answers, and tests that always pass",
        0.0,
        wrong,
        tests="assert True",
        note="had been changed",
    )
    add("nora", "right answers, tests edited", most, right, tests="1 / 0", note="changed")
    add("otto", "a file that is no notebook", 0.0, right, beside=_broken, note="no notebook")
    add("pia", "a notebook of 11 MB", 0.0, right, beside=_huge, note="too large")
    # Too much of something
    add("quin", "a loop without an end", most, right, start="while True:\n    pass", note="stopped")
    looping = f"def {given.first}(*inputs):\n    while True:\n        pass"
    add("rosa", "an answer without an end", rest, only(looping))
    add("sven", "takes all memory", most, right, start="hog = bytearray(10**11)")
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    add("tara", "a fork bomb after the first question", first, right, after_first=bomb, note="took")
    crash = "import ctypes\nctypes.string_at(0)"
    add("ugo", "the kernel crashes after the first question", first, right, after_first=crash)
    flood = "for number in range(1_000_000):\n    print('line', number)"
    add("vera", "a million lines of output", most, right, start=flood)
    # Attacks
    add("will", "calls over the network", most, right, start=_CALL.format(port=given.port))
    add("xena", "writes outside the folder", most, right, start=_WRITE.format(path=given.outside))
    add("yann", "links to the instructor's file", 0.0, right, beside=_linked, note="symbolic link")
    add("zoe", "looks for the hidden tests", 0.0, wrong, start=_LOOK)
    add("abe", "patches assert and the checker", 0.0, wrong, start=_PATCH)
    add("bo", "os._exit(0) before the first test", 0.0, wrong, start="import os\nos._exit(0)")
    add("cy", "writes a mark", 0.0, wrong, start=_MARK, change=_rich)
    spying = f"def {given.first}(*inputs):\n    " + _SPY.replace("\n", "\n    ")
    add("di", "an answer that attacks the worker", rest, only(spying))
    return made


def hand_in(students: Sequence[Student], course: str | Path, name: str) -> None:
    """Put the submissions into a course's folder."""
    for student in students:
        student.hand_in(Path(course) / "submitted" / student.id / name)


def grade_demo(
    course: str | Path,
    name: str,
    *,
    only: Sequence[str] = (),
    limits: Limits = LIMITS,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Grade the simulated class in a course's folder that was just made.

    Args:
        course: the folder, with the set released and nothing handed in.
        name: of the set.
        only: the ids of some students, or all.
        limits: what a submission may take.
        show: takes lines about the progress.

    Returns:
        `seconds_per_submission`, `students` with `student, expected, given, why`, and `faults`, a
        list of sentences: what was not contained. It is empty if all went as it should.
    """
    course = Path(course).resolve()
    outside = course.parent / "canary.txt"
    outside.write_text("nobody writes here")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        given = material(course, name, listener.getsockname()[1], str(outside))
        students = [one for one in the_class(given) if not only or one.id in only]
        hand_in(students, course, name)
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
            book.update_or_create_assignment(name, duedate=DUE)
        before = _digests(course)
        start = time.perf_counter()
        records = grading.grade_class(course, name, limits=limits, show=show)
        seconds = time.perf_counter() - start
        faults = [f"{path} changed" for path in _changed(before, _digests(course))]
        try:
            listener.accept()
            faults.append("a student's code made a connection")
        except TimeoutError:
            pass
    if outside.read_text() != "nobody writes here":
        faults.append("a file outside was written")
    found = {record.student: record for record in records}
    faults += _faults_of_the_gradebook(course, name, found)
    rows = []
    for one in students:
        record = found[one.id]
        if one.note and not any(one.note in note for note in record.notes):
            faults.append(f"{one.id}: no note says {one.note!r}; notes: {record.notes}")
        if record.failed:
            faults.append(f"{one.id}: the grader failed")
        rows.append(
            {
                "student": one.id,
                "expected": one.expected,
                "given": record.total,
                "why": one.why,
                "notes": record.notes,
                "seconds": record.seconds,
            }
        )
        if one.expected != record.total:
            faults.append(f"{one.id} ({one.why}): {one.expected} expected, {record.total} given")
    twins = [["jan", "kim"]] if {"jan", "kim"} <= set(found) else []
    if grading.copies(records) != twins:
        faults.append(f"copies: {grading.copies(records)} found, {twins} expected")
    return {
        "set": name,
        "protection": protection(),
        "seconds_per_submission": round(seconds / len(students), 2),
        "students": rows,
        "faults": faults,
    }


# --- What they do ---------------------------------------------------------------------------------

_CALL = """\
import socket, urllib.request
for address in ("127.0.0.1", "localhost", "::1", "10.0.2.2"):
    try:
        socket.create_connection((address, {port}), timeout=1)
        print("connected")
    except OSError as error:
        print(error)
"""
_WRITE = """\
import os, pathlib
places = {path!r}, "/etc/passwd", "/usr/x", "../x", os.path.expanduser("~/x")
for place in (*places, "/sandbox-library/x"):
    try:
        pathlib.Path(place).write_text("mine")
    except OSError as error:
        print(error)
"""
_LOOK = """\
import inspect, os, pathlib
from course_lib import coursework
print(inspect.getsource(coursework.grade))
print({name: value for name, value in os.environ.items() if "COURSE" in name})
for root in ("/", "/sandbox-library", "/sandbox-files", "/proc/1/root", ".."):
    for path in pathlib.Path(root).glob("**/questions.py") if root != "/" else ():
        print(path)
    for name in ("gradebook.db", "secret", "submitted"):
        print(list(pathlib.Path(root).glob(name)))
"""
_PATCH = """\
import builtins, sys
from course_lib import coursework, exercises
from course_lib.coursework import judge, kernel
from course_lib.exercises import comparing
AssertionError = builtins.AssertionError = type("Fine", (Exception,), {})
coursework.grade = kernel.grade = lambda *arguments: None
judge.ask = lambda *arguments: ("passed", "all right")
comparing.difference = lambda *arguments: ""
get_ipython().run_cell_async = None
get_ipython().input_transformers_cleanup.append(
    lambda lines: [line for line in lines if "assert" not in line]
)
"""
_MARK = """\
import glob, json, os, pathlib, sqlite3
for path in glob.glob("/**/gradebook.db", recursive=True):
    sqlite3.connect(path).execute("UPDATE grade SET auto_score = 100, manual_score = 100")
for place in (os.path.dirname(os.environ.get("COURSE_JUDGE", "/tmp/x")), ".", "/tmp"):
    pathlib.Path(place, "outcome.json").write_text(json.dumps({"verdicts": "passed"}))
print(100.0)
100.0
"""
_SPY = """\
import gc, os, signal, sys
for one in gc.get_objects():
    if type(one).__name__ == "Connection":
        os.write(one.fileno(), b"\\x00\\x00\\x00\\x05right")
os.kill(os.getppid(), signal.SIGKILL)
os._exit(0)"""


def _one(right: dict[str, str]) -> dict[str, str]:
    return dict(list(right.items())[:1])


def _sum(given: Material, answers: dict[str, str]) -> float:
    return sum(given.points[question] for question in answers)


def _copied(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.source = cell.source.replace("# by kim", "# by jan")


def _without_tests(notebook: NotebookNode) -> None:
    notebook.cells = [
        cell
        for cell in notebook.cells
        if not cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith(grading.TESTS)
    ]


def _rich(notebook: NotebookNode) -> None:
    """Give every cell a thousand points, and a mark as its output."""
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader |= {"points": 1000, "grade": True, "solution": False}
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "1000.0"})]


def _broken(folder: Path) -> None:
    (folder / f"{folder.name}.ipynb").write_text('{"cells": [' + "[" * 100_000)


def _huge(folder: Path) -> None:
    (folder / f"{folder.name}.ipynb").write_text(" " * 11 * 2**20)


def _linked(folder: Path) -> None:
    path = folder / f"{folder.name}.ipynb"
    path.unlink()
    path.symlink_to(folder.parents[2] / "source" / folder.name / path.name)


# --- What must not change -------------------------------------------------------------------------

KEPT = ("source", "questions", "release", "submitted", "secret", "nbgrader_config.py")


def _digests(course: Path) -> dict[str, str]:
    found = {}
    for top in KEPT:
        for path in [course / top, *(course / top).rglob("*")]:
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
                key = path.relative_to(course).as_posix()
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))


def _faults_of_the_gradebook(course: Path, name: str, found: dict[str, Any]) -> list[str]:
    faults = []
    with sqlite3.connect(course / "gradebook.db") as book:
        if book.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            faults.append("the gradebook is damaged")
        rows = book.execute(
            "SELECT sa.student_id, sum(coalesce(g.auto_score, 0)) FROM grade g "
            "JOIN submitted_notebook sn ON g.notebook_id = sn.id "
            "JOIN submitted_assignment sa ON sn.assignment_id = sa.id GROUP BY sa.student_id"
        ).fetchall()
    book.close()
    if dict(rows) != {student: record.total for student, record in found.items()}:
        faults.append(f"the gradebook has other marks than the records: {dict(rows)}")
    pages = {path.parts[-3] for path in (course / "feedback").glob(f"*/{name}/*.html")}
    if pages != set(found):
        faults.append(f"feedback is missing for {sorted(set(found) - pages)}")
    return faults


# --- The command ----------------------------------------------------------------------------------


def write(result: dict[str, Any], path: str | Path) -> None:
    """Write what came of the class as JSON."""
    kept = {key: value for key, value in result.items() if key != "faults"}
    files.write_json(path, kept)


def add_to(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `grade-demo`."""
    parser = subparsers.add_parser("grade-demo", help="grade a simulated class of 30")
    parser.add_argument("--set", default="pruning", help="the problem set; by default, pruning")
    parser.add_argument("--write", help="a file for the table, as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make a course, hand in, grade, and print what was expected beside what was given."""
    with tempfile.TemporaryDirectory(prefix="demo-") as place:
        course = Path(place).resolve() / "course"
        release.make(course)
        result = grade_demo(course, options.set)
    print(f"\n{'student':8} {'expected':>8} {'given':>6}  why")
    for row in result["students"]:
        print(f"{row['student']:8} {row['expected']:8g} {row['given']:6g}  {row['why']}")
    print(f"\n{result['seconds_per_submission']} s a submission. Protection: {protection()}.")
    for fault in result["faults"]:
        print(f"FAULT: {fault}")
    if options.write:
        write(result, options.write)
    return int(bool(result["faults"]))
