"""Grade what a class handed in: read it safely, run it in a sandbox, let the judge decide, record.

Each submission runs in a process of its own, two at once. Only this process writes, one submission
after the other: into the gradebook by nbgrader's own steps, and then a record, which says that the
submission is done. So an interrupted run goes on where it was, and grading again gives the same
marks.

It resists what `sandbox` and `judge` resist. It does not resist: a hole in the operating system;
two students who work together; a right answer taken from somewhere; an answer that looks up
nothing and guesses right. A plain `nbgrader autograde` resists nothing: it runs the hidden tests in
the student's own kernel.
"""

import argparse
import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import CsvExportPlugin
from nbgrader.utils import parse_utc
from traitlets.config import Config, PyFileConfigLoader

from course_lib import files
from course_lib.coursework import feedback, questions, running
from course_lib.coursework.personal import checked_id
from course_lib.coursework.release import find_programs
from course_lib.coursework.running import TESTS, error_output, writable
from course_lib.coursework.sandbox import Limits, end, protection
from course_lib.coursework.submissions import (
    Handed,
    grade_id_of,
    read_submission,
    restore,
    typed_id,
)

AT_ONCE = 2
BACKUPS = 10
SECONDS_TO_END = 120.0  # beyond the limit of a submission, for what is the grader's own
FAILED = "The grader itself failed on this submission; grade it again."
PROTECTIONS = {
    "bubblewrap": "bubblewrap (no network, no view of other files) and limits",
    "limits": "LIMITS ONLY: code of students can read and write what you can, and use the network",
    "none": "NONE: code of students can do what you can",
}


@dataclass
class Record:
    """What is known of a graded submission; it stands in `grading/<set>/<student>.json`.

    Args:
        student: whose it is.
        set: the problem set.
        digest: of what was handed in.
        marks: points by question, of those that the judge decides.
        most: the sum that can be reached by them.
        notes: what the student and the instructor should know.
        late_seconds: after the due date, 0 without one.
        answers: a digest of the answers' text, to find copies; empty if nothing was answered.
        seconds: that the submission took.
        protection: under which it ran.
        failed: whether the grader itself failed, so that it should be graded again.
    """

    student: str
    set: str
    digest: str
    marks: dict[str, float] = field(default_factory=dict)
    most: float = 0.0
    notes: list[str] = field(default_factory=list)
    late_seconds: float = 0.0
    answers: str = ""
    seconds: float = 0.0
    protection: str = ""
    failed: bool = False

    @property
    def total(self) -> float:
        """The points that the judge gave."""
        return sum(self.marks.values())


def grade_class(
    course: str | Path,
    name: str,
    *,
    again: Iterable[str] = (),
    everyone: bool = False,
    unprotected: bool = False,
    limits: Limits | None = None,
    at_once: int = AT_ONCE,
    show: Callable[[str], None] = print,
) -> list[Record]:
    """Grade all submissions of a set that are not graded yet; write feedback and `grades.csv`.

    Args:
        course: the course's folder, as `make course` makes it.
        name: of the set.
        again: students to grade again although a record stands.
        everyone: grade all of them again.
        unprotected: grade without bubblewrap where there is none.
        limits: what a submission may take.
        at_once: how many submissions run at the same time.
        show: takes lines about the progress.

    Returns:
        The records of all submissions, by student.

    Raises:
        ValueError: if the folder is no course, the set is unknown or not released, one of `again`
            handed in nothing, or there is no protection and `unprotected` was not said.
    """
    course, limits = Path(course).resolve(), limits or Limits()
    find_programs()
    if protection() != "bubblewrap" and not unprotected:
        raise ValueError(
            f"protection: {PROTECTIONS[protection()]}. Install bubblewrap (on Linux), or grade in "
            "a virtual machine that holds nothing else; to grade all the same, add --unprotected"
        )
    show(f"Protection: {PROTECTIONS[protection()]}.")
    with _alone(course):
        work = _Class(course, name, limits)
        _back_up(course)
        students = work.students()
        again = set(again)
        if again - set(students):
            missing = sorted(again - set(students))
            raise ValueError(f"nothing is handed in by {missing}; submissions: {students}")
        due = [one for one in students if everyone or one in again or not work.is_done(one)]
        show(f"{len(students)} submissions of {name}, {len(students) - len(due)} graded before.")
        work.grade(due, at_once, show)
        records = [work.read(student) for student in students]
        work.export()
    for group in copies(records):
        show(f"Identical answers (marks unchanged): {', '.join(group)}")
    failed = [record.student for record in records if record.failed]
    if failed:
        show(f"The grader failed on {', '.join(failed)}. The next run grades them again.")
    return records


def copies(records: Iterable[Record]) -> list[list[str]]:
    """Return the groups of students whose answers are the same text."""
    groups: dict[str, list[str]] = {}
    for record in records:
        if record.answers:
            groups.setdefault(record.answers, []).append(record.student)
    return [group for group in groups.values() if len(group) > 1]


# --- One class ------------------------------------------------------------------------------------


class _Class:
    """A class's submissions of one set, and where everything lies."""

    def __init__(self, course: Path, name: str, limits: Limits):
        self.course, self.name, self.limits = course, name, limits
        self.config = _config(course)
        self.folders = CourseDirectory(config=self.config)
        self.folders.root = str(course)
        self.records = course / "grading" / name
        self.recording = course / "grading" / "recording"
        self.questions = questions.load(name, course / "questions")
        self.secret = (course / "secret").read_bytes()
        self.released = self._released()
        points = {c.metadata.nbgrader.grade_id: c for c in self.released.cells if _is_test(c)}
        unknown = [known for known in points if known.removesuffix(TESTS) not in self.questions]
        if unknown:
            raise ValueError(f"no question decides the cells {unknown} of {name}")
        self.points = {
            known.removesuffix(TESTS): float(cell.metadata.nbgrader.points)
            for known, cell in points.items()
        }
        self.blank = self._answers(self.released)

    def _released(self) -> NotebookNode:
        """Return the released notebook with the tests as the gradebook has them."""
        path = self.course / "release" / self.name / f"{self.name}.ipynb"
        if not path.is_file():
            raise ValueError(f"{self.name} is not released: there is no {path}")
        made = nbformat.read(path, as_version=4)
        with Gradebook(self.folders.db_url, self.folders.course_id) as book:
            cells = book.find_notebook(self.name, self.name).source_cells
            kept = {cell.name: (cell.source, cell.locked, cell.checksum) for cell in cells}
            self.due = book.find_assignment(self.name).duedate  # in UTC, or None
        for cell in made.cells:
            known = grade_id_of(cell)
            if known is None:
                continue
            source, locked, checksum = kept[known]
            if _is_test(cell):
                cell.metadata.as_released = cell.source
            if locked:
                cell.source = source
            cell.metadata.nbgrader.checksum = checksum
        return made

    def students(self) -> list[str]:
        """Return who handed something in, in the order of their ids."""
        place = Path(self.folders.format_path(self.folders.submitted_directory, ".", "."))
        found = []
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if os.path.lexists(os.path.join(entry.path, self.name)):
                found.append(entry.name)
        return found

    def is_done(self, student: str) -> bool:
        """Whether a record stands for what is handed in now."""
        if not self._record(student).is_file():
            return False
        record = self.read(student)
        return not record.failed and record.digest == self._handed(student).digest

    def read(self, student: str) -> Record:
        """Return the record of a student who was graded."""
        return Record(**json.loads(self._record(student).read_text(encoding="utf-8")))

    def grade(self, students: list[str], at_once: int, show: Callable[[str], None]) -> None:
        """Grade these, some at once; a record is written as each is done."""
        context = multiprocessing.get_context(_start_method())
        if _start_method() == "forkserver":
            context.set_forkserver_preload([running.__name__, "course_lib.exercises.worker"])
        waiting, active, done = list(reversed(students)), {}, 0
        try:
            while waiting or active:
                while waiting and len(active) < at_once:
                    student = waiting.pop()
                    try:
                        one = _Run(self, student, context)
                        active[one.sentinel] = one
                    except Exception as error:  # one submission must not stop the others
                        done += 1
                        show(f"[{done}/{len(students)}] {self._failure(student, error).notes[0]}")
                ready = wait(list(active), timeout=1.0)
                ready += [s for s, one in active.items() if s not in ready and one.is_over()]
                for sentinel in ready:
                    one = active.pop(sentinel)
                    try:
                        record = self.finish(one)
                    except Exception as error:
                        record = self._failure(one.student, error)
                    done += 1
                    show(
                        f"[{done}/{len(students)}] {record.student}: {record.total:g} of "
                        f"{record.most:g}, {record.seconds:.1f} s"
                        + (f" ({len(record.notes)} notes)" if record.notes else "")
                    )
        finally:
            for one in active.values():
                one.stop()

    def finish(self, one: "_Run") -> Record:
        """Record a submission that ran: outputs, marks, feedback."""
        outcome = one.outcome()
        record = Record(one.student, self.name, one.handed.digest, protection=protection())
        failed = outcome is None and not one.blank
        outcome = outcome or asdict(running.Outcome(seconds=one.elapsed()))
        record.notes = [*one.notes, *outcome["notes"]]
        record.late_seconds = self._late(one.handed.timestamp)
        if record.late_seconds:
            late = timedelta(seconds=int(record.late_seconds))
            record.notes.append(f"Handed in {late} (days, h:mm:ss) after the due date.")
        verdicts = outcome["verdicts"]
        if failed:
            record.notes.append(FAILED)
        for number, cell in enumerate(one.notebook.cells):
            if cell.cell_type != "code":
                continue
            outputs = outcome["outputs"].get(str(number), [])
            if _is_test(cell):
                question = cell.metadata.nbgrader.grade_id.removesuffix(TESTS)
                verdict = verdicts.get(question)
                record.marks[question] = self.points[question] * (
                    verdict is not None and verdict[0] == "passed"
                )
                outputs = decided(outputs, verdict, " ".join(record.notes))
            cell.outputs = [nbformat.from_dict(output) for output in outputs]
        record.most = sum(self.points.values())
        record.seconds = round(outcome["seconds"], 3)
        record.failed = failed
        answers = self._answers(one.notebook)
        record.answers = "" if answers == self.blank else answers
        if record.notes:
            lines = "\n".join(f"- {_plain(note)}" for note in record.notes)
            head = nbformat.v4.new_markdown_cell(f"**How this was graded**\n\n{lines}")
            one.notebook.cells.insert(0, head)
        self._enter(one)
        self._feedback(one.student)
        self._keep(record)
        return record

    def _failure(self, student: str, error: Exception) -> Record:
        """Note that the grader failed on a submission."""
        note = f"{student}: {FAILED} ({type(error).__name__}: {error})"[:500]
        record = Record(student, self.name, "", notes=[note], failed=True)
        record.most = sum(self.points.values())
        self._keep(record)
        return record

    def export(self) -> None:
        """Write the marks of all sets as `grades.csv`."""
        plugin = CsvExportPlugin(config=self.config)
        plugin.log.setLevel(logging.ERROR)
        plugin.to = str(self.course / "grades.csv")
        with Gradebook(self.folders.db_url, self.folders.course_id) as book:
            plugin.export(book)

    def _enter(self, one: "_Run") -> None:
        """Put a notebook with its outputs through nbgrader's steps that write the gradebook."""
        place = self.recording / one.student / self.name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        files.write_text(place / f"{self.name}.ipynb", nbformat.writes(one.notebook))
        if one.handed.timestamp:
            files.write_text(place / "timestamp.txt", one.handed.timestamp)
        folders = CourseDirectory(config=self.config)
        folders.root = str(self.course)
        folders.submitted_directory = f"grading/{self.recording.name}"
        self._convert(_Recorder, folders, one.student)
        shutil.rmtree(place, ignore_errors=True)

    def _late(self, timestamp: str) -> float:
        if not timestamp or self.due is None:
            return 0.0
        return max(0.0, (parse_utc(timestamp) - self.due).total_seconds())

    def _feedback(self, student: str) -> None:
        folders = CourseDirectory(config=self.config)
        folders.root = str(self.course)
        self._convert(GenerateFeedback, folders, student)

    def _convert(self, converter: type, folders: CourseDirectory, student: str) -> None:
        folders.assignment_id, folders.student_id = self.name, student
        config = Config(self.config)
        # A student's HTML would run in the browser of whoever reads the feedback.
        config.HTMLExporter.sanitize_html = True
        config.GenerateFeedback.post_convert_hook = feedback.offline
        one = converter(coursedir=folders, config=config)
        one.force = True
        one.log.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader's own, about its use of the database
            one.start()

    def _answers(self, notebook: NotebookNode) -> str:
        kept = [
            "".join(cell.source.split())
            for cell in notebook.cells
            if (grade_id_of(cell) or "").endswith("-answer")
        ]
        return hashlib.sha256("\0".join(kept).encode()).hexdigest()

    def _handed(self, student: str) -> Handed:
        place = self.folders.format_path(self.folders.submitted_directory, student, self.name)
        return read_submission(place, self.name, self.limits)

    def _keep(self, record: Record) -> None:
        self.records.mkdir(parents=True, exist_ok=True)
        files.write_json(self._record(record.student), asdict(record))

    def _record(self, student: str) -> Path:
        return self.records / f"{student}.json"


class _Recorder(Autograde):
    """nbgrader's autograding without running anything: the outputs stand there already."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        skipped = ("Execute", "ClearOutput")
        keep = lambda steps: [step for step in steps if step.__name__ not in skipped]  # noqa: E731
        self.sanitize_preprocessors = keep(self.sanitize_preprocessors)
        self.autograde_preprocessors = keep(self.autograde_preprocessors)


class _Run:
    """One submission in its process."""

    def __init__(self, work: _Class, student: str, context: Any):
        self.student, self._limits = student, work.limits
        self.handed = work._handed(student)
        self.notebook, notes = restore(self.handed.notebook, work.released)
        self.notes = [*self.handed.notes, *notes]
        self.blank = self.handed.notebook is None
        self._start = time.monotonic()
        self._place = Path(tempfile.mkdtemp(prefix="handed-"))
        self._said_id()
        self._files(work)
        self._result = self._place / "outcome.json"
        arguments = (str(self._result), self.blank, self.notebook, work.name, student)
        arguments += (str(work.course), work.secret, work.limits, str(self._place / "files"))
        self._process = context.Process(target=_run, args=arguments)
        self._process.start()
        self.sentinel = self._process.sentinel

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._start

    def is_over(self) -> bool:
        """Whether it took longer than a submission and its grader may."""
        return self.elapsed() > self._limits.seconds + SECONDS_TO_END

    def stop(self) -> None:
        """End it with all that it started, and delete its folder."""
        if self._process.is_alive():
            end(self._process.pid)
        self._process.join(10)
        shutil.rmtree(self._place, ignore_errors=True)

    def outcome(self) -> dict | None:
        """Return what came of it, or None if its process broke."""
        try:
            return json.loads(self._result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        finally:
            self.stop()

    def _said_id(self) -> None:
        try:
            checked_id(self.student)
        except ValueError:
            self.blank = True
            self.notes.append("The folder's name cannot be a student's id; nothing was run.")
        typed = typed_id(self.notebook)
        if not self.blank and typed != self.student:
            said = f'STUDENT = "{typed[:100]}"' if typed else "no STUDENT"
            self.notes.append(
                f"The notebook says {said}, and was handed in by {self.student}. It was graded "
                f"with the parameters of {self.student}."
            )

    def _files(self, work: _Class) -> None:
        place = self._place / "files"
        place.mkdir()
        for key, content in self.handed.files.items():
            with contextlib.suppress(OSError):  # a name that this system cannot have
                (place / key).parent.mkdir(parents=True, exist_ok=True)
                (place / key).write_bytes(content)
        source = work.course / "source" / work.name
        for path in source.rglob("*"):  # the instructor's win
            if path.is_file() and path.suffix != ".ipynb":
                target = place / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def _run(result: str, blank: bool, notebook: NotebookNode, *arguments: Any) -> None:
    """Run in a submission's process: write what came of it to a file."""
    outcome = asdict(running.Outcome()) if blank else running.run(notebook, *arguments)
    files.write_text(result, json.dumps(outcome))


# --- Small parts ----------------------------------------------------------------------------------


def decided(outputs: list[dict], verdict: tuple[str, str] | None, reason: str) -> list[dict]:
    """Return the outputs of a test cell, from which nbgrader takes the mark.

    Args:
        outputs: that the student's kernel gave. Of them, only errors are shown, and only where
            the judge heard nothing.
        verdict: of the judge, or None if no answer reached it.
        reason: why, if nothing else says so.
    """
    if verdict is None:
        errors = [one for one in outputs if one["output_type"] == "error"]
        text = f"No answer reached the judge. {reason}".strip()
        return errors or [error_output("NotGraded", text)]
    outcome, text = verdict
    if outcome == "passed":
        return [{"output_type": "stream", "name": "stdout", "text": f"{text}\n"}]
    if not any(one["output_type"] == "error" for one in outputs):
        text += "\nThe notebook's own run showed no error here. The judge's decision counts."
    return [error_output("NotRight" if outcome == "failed" else "NotAttempted", text)]


def _is_test(cell: NotebookNode) -> bool:
    """Whether a cell gives points by itself."""
    nbgrader = cell.metadata.get("nbgrader", {})
    by_itself = nbgrader.get("grade") and not nbgrader.get("solution")
    return bool(by_itself and cell.cell_type == "code")


def _plain(note: str) -> str:
    """A note as Markdown that says nothing but its text: names of files are a student's."""
    kept = writable(note).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return kept.replace("`", "'").replace("[", "(").replace("]", ")")


def _config(course: Path) -> Config:
    path = course / "nbgrader_config.py"
    needed = [path, course / "secret", course / "questions", course / "submitted"]
    missing = [one.name for one in needed if not one.exists()]
    if missing:
        raise ValueError(f"{course} is no course as `make course` makes it: {missing} missing")
    return PyFileConfigLoader(path.name, path=str(course)).load_config()


@contextlib.contextmanager
def _alone(course: Path) -> Iterator[None]:
    """Hold the course for one grader: two would write the same files."""
    lock = course / "grading" / "running"
    lock.parent.mkdir(exist_ok=True)
    try:
        other = int(lock.read_text())
    except (OSError, ValueError):
        other = 0
    if other and other != os.getpid() and psutil.pid_exists(other):
        raise ValueError(f"process {other} grades this course now; if it does not, delete {lock}")
    files.write_text(lock, str(os.getpid()))
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _back_up(course: Path) -> None:
    """Copy the gradebook, and keep the latest copies."""
    source = course / "gradebook.db"
    if not source.is_file():
        return
    place = course / "grading" / "backup"
    place.mkdir(parents=True, exist_ok=True)
    target = place / f"gradebook-{time.strftime('%Y%m%d-%H%M%S')}.db"
    with (
        files.whole(target) as copy,
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(copy)) as new,
    ):
        old.backup(new)
    for old_copy in sorted(place.glob("gradebook-*.db"))[:-BACKUPS]:
        old_copy.unlink()


def _start_method() -> str:
    methods = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in methods else "spawn"


# --- The command ----------------------------------------------------------------------------------


def add_to(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `grade`."""
    parser = subparsers.add_parser("grade", help="grade what is handed in; feedback and grades.csv")
    parser.add_argument("set", help="the problem set, for example pruning")
    parser.add_argument("--folder", default="course", help="of the course; by default, course")
    parser.add_argument(
        "--again", action="append", default=[], metavar="STUDENT", help="grade once more"
    )
    parser.add_argument("--everyone", action="store_true", help="grade all once more")
    parser.add_argument("--unprotected", action="store_true", help="grade even without bubblewrap")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="how many run together")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Grade a class and say where everything is."""
    records = grade_class(
        options.folder,
        options.set,
        again=options.again,
        everyone=options.everyone,
        unprotected=options.unprotected,
        at_once=options.at_once,
    )
    print(f"{len(records)} submissions. Feedback is in feedback/, the marks are in grades.csv.")
    return int(any(record.failed for record in records))
