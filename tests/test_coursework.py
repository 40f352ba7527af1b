"""The problem sets: what is a student's own, the questions, the release, and nbgrader's marks."""

import copy
import functools
import json
import math
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import cloudpickle
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import assignment_cells
import assignment_times
import exercise_table
from course_lib.coursework import Parameters, Question, kernel, parameters, personal, release
from course_lib.coursework.__main__ import main
from course_lib.coursework.questions import BEGIN_SOLUTION, load, specimen

ROOT = Path(__file__).parents[1]
SETS = {path.stem: path for path in assignment_cells.sets()}
QUESTIONS = {
    f"{name}.{question.id}": (name, question)
    for name in SETS
    for question in load(name, release.ASSIGNMENTS).values()
}
by_set = pytest.mark.parametrize("name", list(SETS))
by_question = pytest.mark.parametrize(("name", "question"), QUESTIONS.values(), ids=list(QUESTIONS))
STUDENTS = [f"student-{number}" for number in range(8)]
SECRET = b"a secret of the tests, and of nobody else"
COURSE = personal.course_key(SECRET)


# --- What is a student's own ----------------------------------------------------------------------


@by_set
def test_parameters_follow_from_set_student_and_course(name):
    one = parameters(name, "ada", COURSE)
    assert one == parameters(name, "ada", COURSE)
    others = [parameters(name, "ada", "another"), parameters(name, "Ada", COURSE)]
    assert all(one != other for other in others)
    assert len({parameters(name, f"s{n}", COURSE) for n in range(50)}) == 50


@by_set
def test_parameters_are_plain_travel_and_cannot_be_changed(name):
    mine = parameters(name, "ada", COURSE)
    for pickler in (pickle, cloudpickle):
        assert pickle.loads(pickler.dumps(mine)) == mine
    assert json.dumps(dict(mine))
    first = next(iter(dict(mine)))
    assert f"mine.{first} = {getattr(mine, first)!r}" in repr(mine)
    with pytest.raises(AttributeError, match="drawn from your id"):
        setattr(mine, first, 1)
    with pytest.raises(AttributeError, match="drawn from your id"):
        delattr(mine, first)


def test_parameters_hold_numbers_and_texts_only():
    with pytest.raises(ValueError, match="rates must be a number, a text"):
        Parameters(rates=np.ones(3))


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("", "Ask your instructor"),
        (" ", "Ask your instructor"),
        ("..", "Ask your instructor"),
        (None, "as a text"),
        (17, "as a text"),
        ("ada lovelace", "no blank"),
        ("../bob", "none of / "),
        ("ada[1]", "[ ]"),  # nbgrader would take it for a pattern of names
        ("a" * 101, "at most 100"),
    ],
)
def test_an_id_that_cannot_be_one_is_refused_with_a_reason(student, message):
    with pytest.raises(ValueError, match="STUDENT is your id") as error:
        parameters("pruning", student, COURSE)
    assert message in str(error.value)


def test_other_arguments_of_parameters_are_checked():
    with pytest.raises(ValueError, match="no problem set 'prunning'; there are \\['pruning'"):
        parameters("prunning", "ada", COURSE)
    with pytest.raises(ValueError, match="course is the key"):
        parameters("pruning", "ada", "")


def test_an_id_in_two_spellings_of_unicode_is_one():
    assert parameters("pruning", "Zoë", COURSE) == parameters("pruning", "Zoë", COURSE)


def test_the_public_key_does_not_give_the_seeds_of_hidden_inputs():
    seeds = {
        personal.hidden_seed(key, "pruning", question, student)
        for key in (SECRET, COURSE.encode())
        for question in ("favoured", "verdict")
        for student in ("ada", "bob")
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert SECRET.hex() not in COURSE


# --- Questions ------------------------------------------------------------------------------------


@by_question
def test_wrong_answers_fail_by_name_for_every_student(name, question):
    for number, student in enumerate(STUDENTS):
        one, seed = question.exercise(parameters(name, student, COURSE)), number % 2
        assert len(one.wrong) >= 5
        assert len({mistake.message for mistake in one.wrong}) == len(one.wrong)
        assert one.check(one.reference, seed).passed
        for mistake in one.wrong:
            report = one.check(mistake.code, seed)
            assert (report.outcome, report.message) == ("failed", mistake.message)


@by_question
def test_unusual_right_answers_and_the_answer_of_the_notebook_pass(name, question):
    _, (_, answer), *_ = question.cells(name, 1)
    tests = visible(question, name)
    for number, student in enumerate(STUDENTS):
        mine = parameters(name, student, COURSE)
        one, seed = question.exercise(mine), 4 + number % 2
        assert len(one.right) >= 2
        for source in (*one.right, answer):
            function = exercise_table.function_of(source, question.id, {"mine": mine, "math": math})
            report = one.check(function, seed)
            assert report.passed, report
            names = {question.id: function, "mine": mine}
            exec(tests, {"torch": exercise_table.torch, "np": np, **names})


def visible(question, name):
    """The tests of a question that students see."""
    return question.cells(name, 1)[2][1].split("### BEGIN HIDDEN")[0]


@by_question
def test_what_is_visible_fails_some_wrong_answers(name, question):
    """The visible tests explain; the hidden ones decide. Both have to say something."""
    tests = visible(question, name)

    def fails(mistake, mine):
        names = {question.id: mistake.code, "mine": mine, "torch": exercise_table.torch}
        try:
            exec(tests, names)
        except Exception:
            return True

    all_mine = [parameters(name, student, COURSE) for student in STUDENTS[:3]]
    assert any(fails(one, mine) for mine in all_mine for one in question.exercise(mine).wrong)


@by_question
def test_cards_do_not_depend_on_the_student(name, question):
    texts = set()
    for student in STUDENTS:
        one = question.exercise(parameters(name, student, COURSE))
        texts.add((one.title, one.task, one.hint, one.why, one.reference.__doc__, one.solution()))
    assert len(texts) == 1
    assert "Returns" in next(iter(texts))[4]


@by_question
def test_inputs_differ_between_seeds_and_do_not_repeat(name, question):
    def drawn(seed):
        one = question.exercise(specimen(name))
        return [str(case.arguments) for case in one.cases(np.random.default_rng(seed))]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) >= 3


def test_questions_with_faults_are_refused(tmp_path):
    question = QUESTIONS["pruning.favoured"][1]
    with pytest.raises(ValueError, match="whole number, at least 1; got 0"):
        Question("x", 0, question.exercise, "assert x")
    with pytest.raises(ValueError, match="no visible test"):
        Question("x", 1, question.exercise, "print(x)")
    with pytest.raises(ValueError, match="must be pruning.other; got"):
        Question("other", 1, question.exercise, "assert x").cells("pruning", 1)
    with pytest.raises(ValueError, match="holds no questions of a set 'none'"):
        load("none", tmp_path)
    (tmp_path / "twice").mkdir()
    source = (release.ASSIGNMENTS / "pruning" / "questions.py").read_text(encoding="utf-8")
    source += "\nQUESTIONS = (FAVOURED, FAVOURED)\n"
    (tmp_path / "twice" / "questions.py").write_text(source, encoding="utf-8")
    with pytest.raises(ValueError, match="two questions have the same id"):
        load("twice", tmp_path)


# --- The notebooks --------------------------------------------------------------------------------


def about(cell):
    return cell.metadata.get("nbgrader", {})


@by_set
def test_the_notebook_shows_the_questions_as_they_are_tested(name):
    notebook = nbformat.read(SETS[name], as_version=4)
    fresh = assignment_cells.write(copy.deepcopy(notebook), name)
    assert fresh == notebook, f"run python tools/assignment_cells.py {SETS[name]}"


@by_set
def test_a_set_has_a_hundred_points_and_the_parts_it_should_have(name):
    notebook = nbformat.read(SETS[name], as_version=4)
    graded = [cell for cell in notebook.cells if about(cell).get("grade")]
    assert sum(about(cell)["points"] for cell in graded) == 100
    automatic = [cell for cell in graded if not about(cell)["solution"]]
    assert 6 <= len(automatic) <= 10
    by_hand = [cell for cell in graded if about(cell)["solution"]]
    assert len(by_hand) >= 3
    assert any("evidence.record(" in cell.source for cell in by_hand)
    ids = [about(cell)["grade_id"] for cell in notebook.cells if about(cell)]
    assert len(ids) == len(set(ids))
    # What is no answer is locked, so nbgrader puts it back before it grades.
    unlocked = [cell.id for cell in notebook.cells if not about(cell) or not about(cell)["locked"]]
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    answers = [cell.id for cell in notebook.cells if about(cell).get("solution")]
    assert set(unlocked) - set(answers) <= {setup.id}


def test_the_tool_says_which_marks_and_questions_do_not_fit(tmp_path, capsys):
    notebook = new_notebook(cells=[new_markdown_cell("<!-- question: nothing -->")])
    with pytest.raises(ValueError, match=r"marks \['nothing'\]; its questions are \['favoured'"):
        assignment_cells.write(notebook, "pruning")
    folder = tmp_path / "pruning"
    shutil.copytree(SETS["pruning"].parent, folder)
    before = (folder / "pruning.ipynb").read_text(encoding="utf-8")
    assert assignment_cells.main([str(folder / "pruning.ipynb")]) == 0
    assert (folder / "pruning.ipynb").read_text(encoding="utf-8") == before
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), folder / "pruning.ipynb")
    assert assignment_cells.main([str(folder / "pruning.ipynb")]) == 1
    assert "the notebook marks []" in capsys.readouterr().err


# --- The check in the kernel ----------------------------------------------------------------------


@pytest.fixture
def in_a_course(monkeypatch, tmp_path):
    """A process that has what a course's nbgrader_config.py sets, and a warm worker."""
    (tmp_path / "secret").write_bytes(SECRET)
    monkeypatch.setenv("COURSE_QUESTIONS", str(release.ASSIGNMENTS))
    monkeypatch.setenv("COURSE_SECRET", str(tmp_path / "secret"))
    monkeypatch.delenv("COURSE_JUDGE", raising=False)
    folder = tmp_path / "autograded" / "ada" / "pruning"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys.modules["__main__"], "STUDENT", "ada", raising=False)


def answer_of(question, student):
    mine = parameters("pruning", student, COURSE)
    exercise = load("pruning", release.ASSIGNMENTS)[question].exercise(mine)
    source = exercise.solution()
    return exercise_table.function_of(source, question, {"mine": mine, "math": math}), exercise


def test_the_kernel_passes_right_answers_and_explains_wrong_ones(in_a_course, monkeypatch):
    right, exercise = answer_of("most_kept", "ada")
    kernel.grade("pruning", "most_kept", right)
    for mistake in exercise.wrong[:2]:
        with pytest.raises(AssertionError) as error:
            kernel.grade("pruning", "most_kept", mistake.code)
        assert mistake.message in str(error.value)
    # The folder says whose work it is, and not what the notebook says.
    monkeypatch.setattr(sys.modules["__main__"], "STUDENT", "bob")
    kernel.grade("pruning", "most_kept", right)
    with pytest.raises(AssertionError, match="says STUDENT = 'bob', and was handed in by 'ada'"):
        kernel.grade("pruning", "most_kept", exercise.wrong[0].code)

    def most_kept(rows, columns):
        raise NotImplementedError

    with pytest.raises(NotImplementedError, match="not attempted"):
        kernel.grade("pruning", "most_kept", most_kept)
    with pytest.raises(ValueError, match="no question 'least_kept'; it has"):
        kernel.grade("pruning", "least_kept", right)


def test_hidden_tests_say_where_they_belong(monkeypatch):
    for name in ("COURSE_QUESTIONS", "COURSE_SECRET", "COURSE_JUDGE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="run in a course's folder only"):
        kernel.grade("pruning", "most_kept", print)


# --- The release ----------------------------------------------------------------------------------


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course, released once for all tests, which do not change it."""
    folder = tmp_path_factory.mktemp("class") / "course"
    secret = folder.parent / "keys" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    assert main(["course", "--folder", str(folder), "--secret", str(secret)]) == 0
    return folder


@by_set
@pytest.mark.slow
def test_a_release_holds_the_course_key_and_no_answer(course, name):
    released = course / "release" / name / f"{name}.ipynb"
    assert sorted(path.name for path in released.parent.iterdir()) == [released.name]
    assert list(release.leaks(released, course / "source" / name / f"{name}.ipynb")) == []
    text = released.read_text(encoding="utf-8")
    assert f'COURSE = \\"{COURSE}\\"' in text
    assert SECRET.decode() not in text
    for word in ("coursework import grade", "HIDDEN"):
        assert word not in text, word
    notebook = nbformat.read(released, as_version=4)
    for question in load(name, release.ASSIGNMENTS):
        answer = next(cell for cell in notebook.cells if cell.id == f"{question}-answer")
        assert answer.source.endswith(
            "raise NotImplementedError  # your code, in place of this line"
        )
        tests = next(cell for cell in notebook.cells if cell.id == f"{question}-tests")
        assert "assert " in tests.source


@pytest.mark.slow
def test_a_leak_is_found_wherever_it_stands(course, tmp_path):
    source = course / "source" / "pruning" / "pruning.ipynb"
    clean = nbformat.read(course / "release" / "pruning" / "pruning.ipynb", as_version=4)
    line = "prunings = (min(step, mine.end) - mine.start) // mine.every"
    assert line in source.read_text(encoding="utf-8")

    def in_source(notebook):
        notebook.cells[4].source += f"\n{line}"

    def in_metadata(notebook):
        notebook.cells[4].metadata["old"] = line

    def in_text(notebook):
        notebook.cells[0].source += "It may be that a network with random masks of the same count "
        notebook.cells[0].source += next(
            cell for cell in nbformat.read(source, as_version=4).cells if cell.id == "reading-text"
        ).source

    def in_output(notebook):
        cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
        cell.outputs = [nbformat.v4.new_output("stream", text=line)]

    for leak in (in_source, in_metadata, in_text, in_output):
        notebook = copy.deepcopy(clean)
        leak(notebook)
        nbformat.write(notebook, tmp_path / "leaking.ipynb")
        assert list(release.leaks(tmp_path / "leaking.ipynb", source)), leak


@pytest.mark.slow
def test_a_second_run_changes_nothing_that_is_there(course, capsys):
    work = course / "submitted" / "zoe" / "pruning" / "pruning.ipynb"
    work.parent.mkdir(parents=True)
    work.write_text("a submission", encoding="utf-8")
    before = tree(course)
    assert main(["course", "--folder", str(course)]) == 0
    assert "nothing was missing" in capsys.readouterr().out
    assert tree(course) == before
    shutil.rmtree(course / "submitted" / "zoe")


def test_secrets_are_made_once_kept_and_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(release, "_add", lambda *arguments: [])
    given = tmp_path / "given"
    assert main(["course", "--folder", str(tmp_path / "a"), "--secret", str(given)]) == 0
    assert given.read_bytes() == (tmp_path / "a" / "secret").read_bytes()
    assert len(given.read_bytes()) >= 32
    if os.name == "posix":
        assert (tmp_path / "a" / "secret").stat().st_mode & 0o77 == 0
    assert main(["course", "--folder", str(tmp_path / "b")]) == 0
    own = (tmp_path / "b" / "secret").read_bytes()
    assert own != given.read_bytes()
    assert main(["course", "--folder", str(tmp_path / "b"), "--secret", str(given)]) == 1
    assert "is another secret than" in capsys.readouterr().err
    assert main(["course", "--folder", str(tmp_path / "b"), "--secret", str(tmp_path / "no")]) == 1
    assert "holds this course's secret already" in capsys.readouterr().err
    assert (tmp_path / "b" / "secret").read_bytes() == own
    (tmp_path / "short").write_bytes(b"1234")
    assert main(["course", "--folder", str(tmp_path / "c"), "--secret", str(tmp_path / "short")])
    assert "at least 16 bytes" in capsys.readouterr().err


def test_a_place_without_sets_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no problem set in"):
        release.make(tmp_path / "course", assignments=tmp_path)


# --- nbgrader's marks, without a sandbox ----------------------------------------------------------


def solved(course, name, student):
    """What a student hands in who has everything right."""
    notebook = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    source = nbformat.read(course / "source" / name / f"{name}.ipynb", as_version=4)
    answers = {about(c)["grade_id"]: c.source for c in source.cells if about(c).get("solution")}
    for cell in notebook.cells:
        if about(cell).get("solution"):
            text = answers[about(cell)["grade_id"]]
            cell.source = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", text, flags=re.MULTILINE)
            if about(cell)["grade_id"] == "student":
                cell.source = f'STUDENT = "{student}"'
    assert BEGIN_SOLUTION not in str(notebook)
    return notebook


def hand_in(course, name, student, notebook):
    path = course / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def nbgrader(course, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=500)


def test_nbgrader_finds_its_programs_without_an_active_environment(monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    release.find_programs()
    assert Path(shutil.which("alembic")).parent == Path(sys.executable).parent
    before = os.environ["PATH"]
    release.find_programs()
    assert os.environ["PATH"] == before  # once is enough


def marks(course, name):
    """The autograded points by student and cell, from the gradebook."""
    query = """
        select sa.student_id, gc.name, g.auto_score, c.max_score from grade g
        join grade_cells c on g.cell_id = c.id join base_cell gc on c.id = gc.id
        join submitted_notebook sn on g.notebook_id = sn.id
        join submitted_assignment sa on sn.assignment_id = sa.id
        join assignment a on sa.assignment_id = a.id
        where a.name = ? and gc.name like '%-tests'
    """
    found = {}
    with sqlite3.connect(course / "gradebook.db") as database:
        for student, cell, score, most in database.execute(query, (name,)):
            found.setdefault(student, {})[cell] = (score, most)
    return found


@pytest.fixture(scope="module")
def autograded(course, tmp_path_factory):
    """A copy of the course; call it with a set, and nbgrader has run what ada and bob handed in.

    Ada's answers are right, bob's notebook is as it was handed out.
    """
    folder = tmp_path_factory.mktemp("autograded") / "course"
    shutil.copytree(course, folder)

    @functools.cache
    def with_set(name):
        untouched = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
        hand_in(folder, name, "ada", solved(course, name, "ada"))
        hand_in(folder, name, "bob", untouched)
        result = nbgrader(folder, "autograde", name)
        assert result.returncode == 0, result.stderr[-3_000:]
        return folder

    return with_set


@by_set
@pytest.mark.slow
def test_plain_nbgrader_gives_all_points_to_the_answers_and_none_to_the_release(autograded, name):
    folder = autograded(name)
    found = marks(folder, name)
    n = len(load(name, release.ASSIGNMENTS))
    run = nbformat.read(folder / "autograded" / "ada" / name / f"{name}.ipynb", as_version=4)
    errors = [o for c in run.cells for o in c.get("outputs", ()) if o.output_type == "error"]
    assert errors == []
    assert len(found["ada"]) == len(found["bob"]) == n
    assert all(score == most for score, most in found["ada"].values())
    assert all(score == 0 for score, _ in found["bob"].values())


@pytest.mark.slow
def test_the_other_commands_of_nbgrader_work_in_a_course(autograded, tmp_path):
    """With one set, the quickest: what they do is the same for each."""
    times = json.loads(assignment_times.RESULT.read_text(encoding="utf-8"))
    name = min(times, key=lambda one: times[one]["seconds"])
    folder = autograded(name)
    for command in (("generate_feedback", name), ("export", "--to", str(tmp_path / "marks.csv"))):
        result = nbgrader(folder, *command)
        assert result.returncode == 0, result.stderr[-3_000:]
    assert (folder / "feedback" / "ada" / name / f"{name}.html").is_file()
    exported = (tmp_path / "marks.csv").read_text(encoding="utf-8")
    assert all(one in exported for one in (name, "ada", "bob"))
    validated = nbgrader(folder, "validate", f"source/{name}/{name}.ipynb")
    assert "Success" in validated.stdout, validated.stdout[-2_000:]


@by_set
@pytest.mark.slow
def test_a_release_runs_where_there_is_no_nbgrader_and_no_course(course, tmp_path, name):
    """Plain Jupyter: the untouched cells run, and the first answer that is missing says so."""
    notebook = solved(course, name, "ada")
    path = tmp_path / "work"
    path.mkdir()
    first = next(c for c in notebook.cells if "question-answer" in c.metadata.get("tags", []))
    until = notebook.cells.index(first) + 2
    notebook.cells = notebook.cells[:until]
    blocked = 'import sys\nsys.modules["nbgrader"] = None'
    notebook.cells.insert(0, new_code_cell(blocked))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path)}}).execute()
    shown = str([output for cell in notebook.cells for output in cell.get("outputs", ())])
    assert "mine." in shown
    assert list(path.iterdir()) == []


# --- What readers must not meet -------------------------------------------------------------------


@pytest.mark.browser
def test_the_site_holds_no_answer(site):
    """Neither as a page nor among its sources, and not in the index that the search uses."""
    names = "\n".join(path.relative_to(site).as_posix() for path in site.rglob("*"))
    assert "assignments" not in names
    for name in SETS:
        lines = {one.reference.__doc__.splitlines()[0] for one in exercises_of(name)}
        for path in [*site.rglob("*.html"), *site.rglob("*.js"), *site.rglob("*.ipynb")]:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not [line for line in lines if line in text], path


def exercises_of(name):
    return [q.exercise(specimen(name)) for q in load(name, release.ASSIGNMENTS).values()]


def test_the_times_of_the_sets_are_those_of_solved_notebooks():
    """With every answer and no hidden test, which only a course's folder can run."""
    for name in SETS:
        path = release.ASSIGNMENTS / name / f"{name}.ipynb"
        text = "\n".join(cell.source for cell in assignment_times.solved(path).cells)
        assert "coursework import grade" not in text
        assert "\ngrade(" not in text
        assert text.count(BEGIN_SOLUTION) > len(exercises_of(name))
    times = json.loads(assignment_times.RESULT.read_text(encoding="utf-8"))
    assert set(times) == set(SETS)
    assert all(min(one["runs"]) <= one["seconds"] <= max(one["runs"]) for one in times.values())
