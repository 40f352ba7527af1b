"""Grading: reading what students made, the sandbox, the judge, and a class with hostile members."""

import contextlib
import copy
import json
import os
import shutil
import subprocess
import sys
from multiprocessing.connection import Client
from pathlib import Path

import cloudpickle
import nbformat
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.coursework import (
    Question,
    demo,
    feedback,
    grading,
    judge,
    release,
    running,
    sandbox,
)
from course_lib.coursework.__main__ import main
from course_lib.coursework.grading import Record
from course_lib.coursework.sandbox import Limits, Watch
from course_lib.coursework.submissions import read_submission, restore, typed_id
from course_lib.exercises import Case, Exercise, values

LIMITS = Limits(notebook_megabytes=1)
CLOSED = sandbox.protection() == "bubblewrap"
WORK, NOTEBOOKS = sandbox.WORK, f"{sandbox.LIBRARY}/notebooks"
# The summary of the run tells of these.
in_a_sandbox = pytest.mark.skipif(
    not CLOSED, reason="not checked: there is no bubblewrap that works here. Install it (Linux)."
)


def about(grade_id, *, grade=False, solution=False, **more):
    made = {"grade_id": grade_id, "grade": grade, "solution": solution, "locked": not solution}
    return {"nbgrader": {"schema_version": 3, "task": False, **made, **more}}


def released():
    tests = about("twice-tests", grade=True, points=3) | {"as_released": "assert twice(1) == 2"}
    cells = [
        new_markdown_cell("# A set"),
        new_markdown_cell("the card", metadata=about("twice-card")),
        new_code_cell("raise NotImplementedError", metadata=about("twice-answer", solution=True)),
        new_code_cell("assert twice(1) == 2\ngrade()", metadata=tests),
        new_markdown_cell("write", metadata=about("essay", grade=True, solution=True)),
    ]
    cells[4].metadata.nbgrader.points = 5
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return new_notebook(cells=cells)


def handed():
    made = json.loads(nbformat.writes(released()))
    made["cells"][2]["source"] = "def twice(x):\n    return 2 * x"
    made["cells"][3]["source"] = "assert twice(1) == 2"
    made["cells"][4]["source"] = "what I think"
    return made


def sources(notebook):
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in notebook.cells
        if "nbgrader" in cell.metadata
    }


# --- Reading --------------------------------------------------------------------------------------


def put(tmp_path, name="set.ipynb", content=None):
    folder = tmp_path / "ann" / "set"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(handed()) if content is None else content
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_submission_is_read_with_its_files_and_time(tmp_path):
    folder = put(tmp_path)
    put(tmp_path, "timestamp.txt", "2026-03-01 10:00:00 UTC")
    (folder / "data").mkdir()
    (folder / "data" / "own.py").write_text("x = 1")
    found = read_submission(folder, "set", LIMITS)
    assert found.notebook == handed()
    assert found.files == {"data/own.py": b"x = 1"}
    assert found.timestamp.startswith("2026-03-01 10:00:00")
    assert found.notes == []
    before = found.digest
    (folder / "data" / "own.py").write_text("x = 2")
    assert read_submission(folder, "set", LIMITS).digest != before


def test_another_name_is_taken_if_it_is_the_only_one(tmp_path):
    folder = put(tmp_path, "final (2).ipynb")
    found = read_submission(folder, "set", LIMITS)
    assert found.notebook
    assert "final (2).ipynb was graded" in found.notes[0]
    put(tmp_path, "final (3).ipynb")
    found = read_submission(folder, "set", LIMITS)
    assert found.notebook is None
    assert found.notes == ["There is no set.ipynb that can be read."]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("{", "no notebook that can be read"),
        ("[" * 100_000, "no notebook that can be read"),
        ('{"cells": 3}', "no list of cells"),
        ("[]", "no list of cells"),
        ('{"worksheets": [{"cells": []}]}', "nbformat 4"),
        (" " * (2**20 + 1), "too large"),
    ],
)
def test_what_is_no_notebook_is_refused_with_a_reason(tmp_path, content, note):
    found = read_submission(put(tmp_path, content=content), "set", LIMITS)
    assert found.notebook is None
    assert any(note in one for one in found.notes)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_and_pipes_are_never_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(handed()))
    folder = put(tmp_path, "own.py", "x = 1")
    (folder / "set.ipynb").symlink_to(secret)
    (folder / "all").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")  # opening it would wait for ever
    found = read_submission(folder, "set", LIMITS)
    assert found.notebook is None
    assert found.files == {"own.py": b"x = 1"}
    assert sum("symbolic link" in note for note in found.notes) == 2
    whole = tmp_path / "bob" / "set"
    whole.parent.mkdir()
    whole.symlink_to(put(tmp_path / "elsewhere"))
    found = read_submission(whole, "set", LIMITS)
    assert (found.notebook, found.files) == (None, {})


def test_a_time_that_is_none_does_not_stop_the_grader(tmp_path):
    folder = put(tmp_path)
    put(tmp_path, "timestamp.txt", "yesterday evening")
    found = read_submission(folder, "set", LIMITS)
    assert found.timestamp == ""
    assert "holds no time" in found.notes[0]


# --- Putting the notebook together ----------------------------------------------------------------


def test_answers_are_the_students_and_the_rest_is_ours():
    notebook, notes = restore(handed(), released())
    assert sources(notebook) == {
        "twice-card": "the card",
        "twice-answer": "def twice(x):\n    return 2 * x",
        "twice-tests": "assert twice(1) == 2\ngrade()",
        "essay": "what I think",
    }
    assert notes == []


def test_edited_and_missing_cells_are_put_back_and_said():
    given_in = handed()
    given_in["cells"][3]["source"] = "assert True"
    assert "twice-tests had been changed" in restore(given_in, released())[1][0]
    del given_in["cells"][3]
    del given_in["cells"][1]
    notebook, notes = restore(given_in, released())
    assert list(sources(notebook)) == [
        "twice-card",
        "twice-answer",
        "twice-tests",
        "essay",
    ]
    assert notes == ["The cell twice-tests was missing; it was put back as it was handed out."]


def test_a_cell_that_claims_a_taken_name_or_more_points_gets_neither():
    given_in = handed()
    forged = copy.deepcopy(given_in["cells"][3])
    forged["source"] = "100.0"
    given_in["cells"].append(forged)
    for cell in given_in["cells"]:
        cell["metadata"].setdefault("nbgrader", {})["points"] = 1000
        cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "1000"}}]
    notebook, _ = restore(given_in, released())
    points = [c.metadata.nbgrader.get("points") for c in notebook.cells if "nbgrader" in c.metadata]
    assert points == [None, None, 3, 5]
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_what_no_file_or_page_should_hold_is_left_out():
    given_in = handed()
    given_in["cells"][4]["source"] = "half a character: \ud800"
    forged = 'x" onerror="alert(1)'
    given_in["cells"][4]["attachments"] = {
        "a.png": {"image/png": "aGk="},
        "b.png": {"image/png": forged, "text/html": "<script>"},
        "\udc00": {"image/png": "aGk="},
    }
    notebook, _ = restore(given_in, released())
    text = nbformat.writes(notebook).encode()
    assert b"aGk=" in text
    assert b"onerror" not in text
    assert b"text/html" not in text
    error = running.error_output("E", "\ud800")
    assert error["traceback"] == ["E: ?"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["cell_type", "source", "metadata", "nbgrader", "grade_id", "attachments"]
            ),
            inner | st.sampled_from(["code", "markdown", "twice-tests", "twice-answer", "essay"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(anything, max_size=6))
def test_whatever_the_cells_are_the_notebook_is_valid_and_its_tests_are_ours(cells):
    notebook, _ = restore({"cells": cells}, released())
    nbformat.validate(notebook)
    tests = [c for c in notebook.cells if "nbgrader" in c.metadata and c.metadata.nbgrader.grade]
    assert [cell.metadata.nbgrader.points for cell in tests] == [3, 5] or [
        cell.metadata.nbgrader.points for cell in tests
    ] == [5, 3]
    assert sources(notebook)["twice-tests"] == "assert twice(1) == 2\ngrade()"


def test_the_typed_id_is_read_without_running_anything():
    notebook = new_notebook(cells=[new_code_cell("(:"), new_code_cell('x = 1\nSTUDENT = "ann"')])
    assert typed_id(notebook) == "ann"
    assert typed_id(new_notebook(cells=[new_code_cell("STUDENT = print(1)")])) == ""


# --- Deciding -------------------------------------------------------------------------------------


def test_marks_come_from_the_judge_and_not_from_outputs():
    forged = [
        {"output_type": "execute_result", "data": {"text/plain": "3.0"}, "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": "passed"},
    ]
    failed = grading.decided(forged, ("failed", "too small"), "")
    assert [one["output_type"] for one in failed] == ["error"]
    assert "too small" in failed[0]["evalue"]
    assert "judge's decision counts" in failed[0]["evalue"]
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    passed = grading.decided([error], ("passed", "all right"), "")
    assert [one["output_type"] for one in passed] == ["stream"]
    assert passed[0]["name"] == "stdout"  # nbgrader takes what is on stderr for a failure
    unheard = grading.decided(forged, None, "The kernel ended.")
    assert [one["output_type"] for one in unheard] == ["error"]
    assert "The kernel ended." in unheard[0]["evalue"]
    assert grading.decided([error], None, "") == [error]


def test_copies_are_listed_and_blanks_are_not():
    answers = {"a": "x", "b": "", "c": "x", "d": ""}
    records = [Record(student, "set", "", answers=one) for student, one in answers.items()]
    assert grading.copies(records) == [["a", "c"]]


def test_feedback_asks_for_nothing_from_a_network():
    page = '<html><head><script src="https://cdnjs.x/y.js?z"> </script></head>$x$</html>'
    for mathjax in (None, "../m.js"):
        made = feedback.readable(page, mathjax)
        assert "http" not in made
        assert ("../m.js" in made) == (mathjax is not None)


def test_limits_are_checked():
    with pytest.raises(ValueError, match="megabytes must be above 0; got 0"):
        Limits(megabytes=0)


def test_without_protection_nothing_is_graded_unless_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(grading, "protection", lambda: "limits")
    with pytest.raises(ValueError, match="--unprotected"):
        grading.grade_class(tmp_path, "pruning")
    with pytest.raises(ValueError, match="no course"):
        grading.grade_class(tmp_path, "pruning", unprotected=True, show=lambda line: None)


def test_two_graders_do_not_work_in_one_course(tmp_path):
    (tmp_path / "grading").mkdir()
    lock = tmp_path / "grading" / "running"
    lock.write_text(str(psutil.Process().ppid()))
    with pytest.raises(ValueError, match="grades this course now"), grading._alone(tmp_path):
        pass
    lock.write_text("999999999")  # of a grader that was killed
    with grading._alone(tmp_path):
        assert lock.read_text() == str(os.getpid())
    assert not lock.exists()


# --- The sandbox ----------------------------------------------------------------------------------


def inside(code, **more):
    """Run Python code where a student's runs; return what it printed."""
    made = sandbox.command(["kernel"], Limits(), **more)
    command = [*made[: made.index("-P")], "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@in_a_sandbox
def test_a_sandbox_shows_python_and_nothing_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "x")
    (tmp_path / "gradebook.db").write_text("marks")
    code = f"""
import os, course_lib
print(os.path.exists({str(tmp_path)!r}), os.path.exists("/etc/passwd"), os.getuid())
print("COURSE_SECRET" in os.environ, os.path.isdir({NOTEBOOKS!r}), os.listdir({WORK!r}))
print(len([p for p in os.listdir("/proc") if p.isdigit()]) < 5)
for place in ("/usr/x", course_lib.__file__, "/x"):
    try:
        open(place, "a").write("x")
    except OSError as error:
        print("refused")
open({WORK + "/own"!r}, "w").write("x")
"""
    result = inside(code)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[:3] == ["False False 65534", "False False []", "True"]
    assert lines[3:5] == ["refused", "refused"]


@in_a_sandbox
def test_a_folder_below_python_can_be_hidden(monkeypatch, tmp_path):
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "secret").write_text("x")
    seen = sandbox._seen()
    monkeypatch.setattr(sandbox, "_seen", lambda: (*seen, tmp_path))
    path = str(tmp_path / "course" / "secret")
    assert inside(f"print(open({path!r}).read())").stdout == "x\n"
    hidden = inside(f"print(open({path!r}).read())", hidden=[tmp_path / "course"])
    assert "FileNotFoundError" in hidden.stderr


def test_the_watch_ends_what_takes_too_much():
    code = "import subprocess, sys, time\n" + (
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n" * 3
    )
    started = subprocess.Popen([sys.executable, "-c", f"{code}time.sleep(60)"])
    watch = Watch(Limits(processes=2))
    watch.add(started.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(20)
    watch.close()
    assert "more than 2 processes" in watch.reasons[started.pid]
    assert started.returncode not in (None, 0)


# --- The judge ------------------------------------------------------------------------------------


def doubling(mine):
    def twice(x):
        """Return two times x."""
        return 2 * x

    def numbers(rng):
        for number in rng.integers(3, 99, size=4).tolist():
            yield Case(f"the number {number}", (number,))

    return Exercise(
        id="pruning.twice",
        chapter="01_pruning",
        title="twice",
        difficulty=1,
        minutes=1,
        why="It has to be.",
        task="Double.",
        hint="Add.",
        reference=twice,
        cases=numbers,
    )


@pytest.fixture
def a_judge(tmp_path):
    questions = {"twice": Question("twice", 3, doubling, "assert True")}
    watch = Watch(Limits())
    runner = judge.SandboxedRunner(Limits(answer_seconds=3), watch)
    place = str(tmp_path / "judge")
    one = judge.Judge("pruning", "ann", questions, b"the secret of a test", place, runner)
    yield one
    one.close()
    watch.close()


def answer(one, function, question="twice", source=""):
    message = ("pruning", question, cloudpickle.dumps(function), "<cell>", source, ["x"])
    with Client(one.address) as connection:
        connection.send_bytes(values.dumps(message))
        return values.loads(connection.recv_bytes())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the sandboxed worker takes a socket by its number")
def test_the_judge_hears_one_answer_to_the_question_that_is_asked(a_judge):
    assert "waits for None" in answer(a_judge, lambda x: 2 * x)[1]
    a_judge.current = "twice"
    assert "waits for 'twice'" in answer(a_judge, lambda x: 2 * x, "other")[1]
    assert a_judge.reports == {}
    outcome, text = answer(a_judge, lambda x: x + 1)
    assert outcome == "failed"
    # What is right now stands in the text, so a second answer is not heard.
    assert answer(a_judge, lambda x: 2 * x) == (outcome, text)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the sandboxed worker takes a socket by its number")
def test_the_judge_survives_what_students_send(a_judge):
    a_judge.current = "twice"
    for sent in (b"", b"garbage", values.dumps(3), cloudpickle.dumps(lambda: 1)):
        with Client(a_judge.address) as connection:
            connection.send_bytes(sent)
    assert answer(a_judge, lambda x: 2 * x)[0] == "passed"
    for function in (lambda x: os._exit(0), lambda x: [0] * 10**10, lambda x: os.abort()):
        a_judge.reports.clear()
        assert answer(a_judge, function)[0] == "failed"
    a_judge.reports.clear()
    assert answer(a_judge, lambda x: x + x)[0] == "passed"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the sandboxed worker takes a socket by its number")
def test_no_file_of_the_grader_is_shown_in_a_report(a_judge, tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("the hidden line\n" * 9)
    a_judge.current = "twice"
    space = {}
    exec(compile("def twice(x):\n    return 1 / 0\n", str(secret), "exec"), space)
    message = ("pruning", "twice", cloudpickle.dumps(space["twice"]), str(secret), "x", ["x"])
    with Client(a_judge.address) as connection:
        connection.send_bytes(values.dumps(message))
        _, text = values.loads(connection.recv_bytes())
    assert "ZeroDivisionError" in text
    assert "hidden line" not in text


@in_a_sandbox
@pytest.mark.slow
def test_a_worker_cannot_see_a_hidden_folder(tmp_path, monkeypatch):
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "secret").write_text("x")
    seen = sandbox._seen()
    monkeypatch.setattr(sandbox, "_seen", lambda: (*seen, tmp_path))
    path, watch = str(tmp_path / "course" / "secret"), Watch(Limits())
    for hidden, found in (((), True), ([tmp_path / "course"], False)):
        runner = judge.SandboxedRunner(Limits(), watch, hidden)
        assert runner.remote(lambda: os.path.exists(path))() is found
        runner.stop()
    watch.close()


# --- A class --------------------------------------------------------------------------------------


def released_course(folder):
    """Make a course in `folder / "course"` of the set that is graded here: each takes seconds."""
    sets = folder / "assignments"
    shutil.copytree(release.ASSIGNMENTS / "pruning", sets / "pruning")
    release.make(folder / "course", assignments=sets)
    return folder / "course"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return released_course(tmp_path_factory.mktemp("grading"))


@pytest.fixture(scope="module")
def graded(course):
    """Students of every kind that a grader must survive; the demo has all thirty."""
    only = (
        "ada",
        "dora",
        "hana",
        "ines",
        "lena",
        "yann",
        "abe",
        "bo",
        "tara",
        "quin",
        "will",
        "xena",
    )
    limits = Limits(cell_seconds=20, seconds=120)
    return demo.grade_demo(course, "pruning", only=only, limits=limits, show=lambda line: None)


@in_a_sandbox
@pytest.mark.slow
@pytest.mark.alone  # two submissions at once, with limits of time
def test_every_student_gets_what_is_due_and_nothing_outside_changes(graded):
    assert graded["faults"] == []
    given_marks = {row["student"]: row["given"] for row in graded["students"]}
    assert given_marks["ada"] == given_marks["quin"] == given_marks["will"] > 0
    assert 0 < given_marks["tara"] < given_marks["ada"]
    assert given_marks["abe"] == given_marks["bo"] == given_marks["yann"] == 0


@in_a_sandbox
@pytest.mark.slow
@pytest.mark.alone  # after the one before
def test_graded_again_the_marks_are_the_same_and_only_what_is_due_runs(graded, course, capsys):
    record = course / "grading" / "pruning" / "dora.json"
    before, lines = json.loads(record.read_text()), []
    marks = (course / "grades.csv").read_text()
    grading.grade_class(course, "pruning", show=lines.append)
    assert lines[1] == "12 submissions of pruning, 12 graded before."
    record.unlink()  # as if the run had been interrupted here
    assert main(["grade", "pruning", "--folder", str(course)]) == 0
    assert "11 graded before" in capsys.readouterr().out
    after = json.loads(record.read_text())
    assert after["marks"] == before["marks"]
    assert (course / "grades.csv").read_text() == marks
    assert list((course / "grading" / "backup").glob("gradebook-*.db"))
    with pytest.raises(ValueError, match="nothing is handed in by"):
        grading.grade_class(course, "pruning", again=["nobody"], show=lines.append)


@pytest.mark.slow
def test_a_submission_that_the_grader_cannot_handle_does_not_stop_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "protection", lambda: "bubblewrap")  # nothing is run here
    folder, lines = released_course(tmp_path), []
    for student in ("a b", "ann", "eve", "x+y", "[z]", "ünal"):
        (folder / "submitted" / student / "pruning").mkdir(parents=True)
        (folder / "submitted" / student / "pruning" / "pruning.ipynb").write_text("{")
    (folder / "submitted" / ".DS_Store").write_text("")
    enter = grading._Class._enter

    def break_down(work, one):
        if one.student == "eve":
            raise RuntimeError("the disk is full")
        return enter(work, one)

    monkeypatch.setattr(grading._Class, "_enter", break_down)
    records = grading.grade_class(folder, "pruning", show=lines.append)
    assert len(records) == 6
    failed = {record.student: record.notes[0] for record in records if record.failed}
    assert "the disk is full" in failed["eve"]
    assert set(failed) == {"eve", "[z]"}  # nbgrader takes brackets for a pattern
    page = folder / "feedback" / "ann" / "pruning" / "pruning.html"
    assert "script src" not in page.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", "pruning", "--force"]
    subprocess.run([*command, "--student", "ann"], cwd=folder, check=True, capture_output=True)
    assert "script src" not in page.read_text(encoding="utf-8")
    monkeypatch.setattr(grading._Class, "_enter", enter)
    records = grading.grade_class(folder, "pruning", show=lines.append)
    assert [record.student for record in records if record.failed] == ["[z]"]


def test_the_book_shows_the_class_as_it_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "book" / "_ext")
    import course_sets

    def one(name, expected, given, seconds):
        return {"student": name, "why": "<b>", "expected": expected, "given": given,
                "seconds": seconds}  # fmt: skip

    students = [one("ann", 65, 65, 6.0), one("bo", 65, 65, 10.0), one("cy", 0, 5, 44.0)]
    found = {"students": students, "protection": "bubblewrap", "seconds_per_submission": 10.0}
    shown = " ".join(course_sets.demo(found).split())
    assert "2 of 3 got the marks that were expected" in shown
    # 60 seconds of work in 30: two at once. 200 of 8 seconds each are then 800 seconds.
    assert "takes 8 seconds (median) with 2.0 running" in shown
    assert "about 13 minutes" in shown
    assert "adds up to 22 seconds" in shown
    assert shown.count("<tr>") == 4
    assert "<b>" not in shown
