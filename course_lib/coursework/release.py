"""`course`: make a course's folder, with the student versions of its problem sets.

The folder is nbgrader's own, so all of nbgrader's commands run in it:

    source/        the notebooks with answers, and with the key of this course
    release/       what students get
    submitted/     what they hand in: submitted/<student>/<set>/<set>.ipynb
    autograded/    what nbgrader has run
    feedback/      what students get back
    questions/     references and hidden inputs
    secret         draws all parameters and hidden inputs; keep it, and keep it to yourself
    gradebook.db   the marks
"""

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

import course_lib
from course_lib import files
from course_lib.coursework.personal import DRAWS, course_key
from course_lib.coursework.questions import BEGIN_HIDDEN, BEGIN_SOLUTION, END_HIDDEN, END_SOLUTION

ASSIGNMENTS = Path(course_lib.__file__).resolve().parents[1] / "notebooks" / "assignments"
KEY = re.compile(r'^COURSE = "[^"]*".*$', re.MULTILINE)
LEAST_BYTES = 16  # of a secret
FOLDERS = ("source", "release", "submitted", "autograded", "feedback", "questions")

CONFIG = """\
# Written once by `python -m course_lib.coursework course`; yours to change.
import os
from pathlib import Path

here = Path(__file__).resolve().parent
# Where the hidden tests find the references, and what draws their inputs.
os.environ["COURSE_QUESTIONS"] = str(here / "questions")
os.environ["COURSE_SECRET"] = str(here / "secret")

c = get_config()
c.CourseDirectory.root = str(here)
c.CourseDirectory.course_id = "sparse-by-experiment"
c.ClearSolutions.code_stub = {
    "python": "raise NotImplementedError  # your code, in place of this line"
}
c.ClearSolutions.text_stub = "*Your answer, in place of this line.*"
c.Execute.timeout = 120  # seconds a cell
# Feedback that can be read without a network, and in which no student's HTML runs.
c.GenerateFeedback.post_convert_hook = "course_lib.coursework.feedback.offline"
c.HTMLExporter.sanitize_html = True
"""

NEXT = """\
The course is in {folder}.

1. Give students the notebooks in release/, and each student an id: the name of the folder that
   the work comes back in.
2. Put what comes back into submitted/<id>/<set>/<set>.ipynb.
3. Grade it with `make grade`, which runs each submission in a sandbox, or with nbgrader itself,
   which does not: `nbgrader autograde <set>` in the course's folder.
4. Read the written answers with `nbgrader formgrader`, then `nbgrader generate_feedback <set>` and
   `nbgrader export`.

Keep a copy of {folder}/secret. Without it nobody can grade again. Do not publish it."""


def find_programs() -> None:
    """Let nbgrader find the programs that it calls by name, such as alembic.

    They lie beside this Python, which need not be on the path: nobody has to activate `.venv`.
    """
    place = str(Path(sys.executable).parent)
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if place not in places:
        os.environ["PATH"] = os.pathsep.join([place, *places])


def make(
    folder: str | Path,
    *,
    secret: str | Path | None = None,
    assignments: str | Path = ASSIGNMENTS,
) -> list[str]:
    """Make a course's folder and release its problem sets.

    What is there stays as it is: the secret, sources that you changed, submissions and marks. To
    take a set anew from the repository, delete its folders in source/, questions/ and release/.

    Args:
        folder: of the course.
        secret: a file; it is made if it is not there. Without one, the folder has its own.
        assignments: where the sets are, as in the repository.

    Returns:
        A sentence for each thing that was done.

    Raises:
        ValueError: if there are no sets, the secret is too short or is another one than the
            folder's, nbgrader is missing or fails, or a released notebook holds an answer.
    """
    folder, assignments = Path(folder).resolve(), Path(assignments)
    sets = [name for name in DRAWS if (assignments / name / f"{name}.ipynb").is_file()]
    if not sets:
        raise ValueError(
            f"there is no problem set in {assignments}: run this in a copy of the repository, "
            "installed with `pip install -e .`"
        )
    find_programs()
    folder.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    key, done = _secret(folder, secret)
    config = folder / "nbgrader_config.py"
    if not config.exists():
        files.write_text(config, CONFIG)
        done.append("wrote nbgrader_config.py")
    for name in sets:
        done += _add(name, folder, assignments, course_key(key))
    return done


def _secret(folder: Path, given: str | Path | None) -> tuple[bytes, list[str]]:
    """Return the course's secret, and what had to be done for it."""
    own, done = folder / "secret", []
    place = own if given is None else Path(given)
    if not place.exists():
        if own.exists():
            raise ValueError(f"{place} is not there, and {own} holds this course's secret already")
        _write_privately(place, secrets.token_hex(32).encode())
        done.append(f"made a secret: {place}")
    content = place.read_bytes()
    if len(content) < LEAST_BYTES:
        raise ValueError(f"a secret has at least {LEAST_BYTES} bytes; {place} has {len(content)}")
    if not own.exists():
        _write_privately(own, content)
    elif own.read_bytes() != content:
        raise ValueError(
            f"{place} is another secret than {own}. With another one all parameters change; "
            "make another course for it."
        )
    return content, done


def _write_privately(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, and never over another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, content, new=True, private=True)


def _add(name: str, folder: Path, assignments: Path, key: str) -> list[str]:
    """Copy a set into the course, with the course's key, and release it."""
    source = folder / "source" / name / f"{name}.ipynb"
    questions = folder / "questions" / name / "questions.py"
    released = folder / "release" / name / f"{name}.ipynb"
    done = []
    if not source.exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        notebook = nbformat.read(assignments / name / f"{name}.ipynb", as_version=4)
        written = 0
        for cell in notebook.cells:
            cell.source, n = KEY.subn(f'COURSE = "{key}"', cell.source)
            written += n
        if written != 1:
            raise ValueError(f'{name}: {written} lines `COURSE = "..."`; there must be one')
        files.write_text(source, nbformat.writes(notebook) + "\n")
        done.append(f"wrote source/{name}")
    if not questions.exists():
        questions.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(questions, (assignments / name / "questions.py").read_bytes())
        done.append(f"wrote questions/{name}")
    if not released.exists():
        _nbgrader(folder, "generate_assignment", name, "--create", "--force")
        found = list(leaks(released, source))
        if found:
            shutil.rmtree(released.parent)
            raise ValueError(f"{name} is not released: it would hold answers, {found[:3]}")
        done.append(f"released {name}")
    return done


def _nbgrader(folder: Path, *arguments: str) -> None:
    """Run a command of nbgrader in a course's folder."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        if "No module named nbgrader" in result.stderr:
            raise ValueError("nbgrader is not installed: pip install -e '.[grade]'")
        raise ValueError(f"{' '.join(arguments)} failed:\n{result.stderr[-2_000:]}")


def leaks(released: str | Path, source: str | Path) -> Iterator[str]:
    """Name each line of an answer or a hidden test that stands anywhere in a released notebook.

    Lines that students may see elsewhere in the source do not count.

    Args:
        released: the notebook that students get.
        source: the notebook that it was made from.
    """
    text = Path(released).read_text(encoding="utf-8")
    notebook = nbformat.read(released, as_version=4)
    if any(cell.get("outputs") for cell in notebook.cells):
        yield "outputs"
    for mark in ("BEGIN SOLUTION", "BEGIN HIDDEN", "END SOLUTION", "END HIDDEN"):
        if mark in text:
            yield mark
    hidden, seen = [], set()
    for cell in nbformat.read(source, as_version=4).cells:
        about, inside, marked = cell.metadata.get("nbgrader", {}), False, False
        whole = about.get("solution") and BEGIN_SOLUTION not in cell.source
        for line in cell.source.splitlines():
            if line.strip() in (BEGIN_SOLUTION, BEGIN_HIDDEN, END_SOLUTION, END_HIDDEN):
                inside, marked = line.strip() in (BEGIN_SOLUTION, BEGIN_HIDDEN), True
            elif inside or (whole and not marked):
                hidden.append(line.strip())
            else:
                seen.add(line.strip())
    readable = "\n".join(cell.source for cell in notebook.cells) + str(notebook.metadata)
    readable += "".join(str(cell.metadata) for cell in notebook.cells)
    lines = {line.strip() for line in readable.splitlines()}
    for line in hidden:
        # A short line such as `return found` says nothing; a long one leaks inside another too.
        if line not in seen and (line in lines or (len(line) > 20 and line in readable)):
            yield line


def add_to(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `course`."""
    parser = subparsers.add_parser("course", help="make a course's folder and release its sets")
    parser.add_argument("--folder", default="course", help="of the course; by default, course")
    parser.add_argument("--secret", help="a file that draws everything; made if it is not there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the course and say what to do next."""
    for sentence in make(options.folder, secret=options.secret) or ["nothing was missing"]:
        print(sentence)
    print(f"\n{NEXT.format(folder=options.folder)}")
    return 0
