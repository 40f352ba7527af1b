"""The tools behind the Makefile: what they do when all is well, and when it is not."""

import json
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import nbformat
import pytest

import address
import bootstrap
import build_book
import notebooks
import run_tests
import setup_cell

ROOT = Path(__file__).resolve().parents[1]


# ---------------------------------------------------------------- tools/build_book.py


@pytest.fixture
def book(tmp_path):
    """A built site of two pages, as far as the checks look at it."""
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/home\nchapters:\n- file: notebooks/01_a\n", encoding="utf-8"
    )
    (tmp_path / "_config.yml").write_text(
        'repository:\n  url: ""\n  branch: main\n', encoding="utf-8"
    )
    html = build_book.html_folder(tmp_path)
    for page in ("book/home", "notebooks/01_a"):
        (html / page).parent.mkdir(parents=True, exist_ok=True)
        (html / f"{page}.html").touch()
    (html / "timings.json").write_text('{"notebooks/01_a": 43.2}', encoding="utf-8")
    return tmp_path


def write_report(root):
    report = build_book.html_folder(root) / "reports" / "notebooks" / "01_a.err.log"
    report.parent.mkdir(parents=True)
    report.write_text("\x1b[31mZeroDivisionError\x1b[0m: division by zero\n", encoding="utf-8")


def test_build_ends_with_seconds_and_the_path(book, monkeypatch, capsys):
    monkeypatch.setattr(build_book, "run_jupyter_book", lambda root: (0, []))
    assert build_book.build(book) == 0
    output = capsys.readouterr().out
    assert "took 43 s in all" in output
    assert "No repository address is set" in output
    assert str(build_book.html_folder(book) / "index.html") in output

    (book / "_config.yml").write_text("repository:\n  url: https://x.org/y\n", encoding="utf-8")
    build_book.build(book)
    assert "No repository address" not in capsys.readouterr().out


def test_a_build_without_npm_says_so_at_its_end(book, monkeypatch, capsys):
    monkeypatch.setattr(build_book, "run_jupyter_book", lambda root: (0, []))
    build_book.build(book)
    assert "it needs the network" in capsys.readouterr().out
    bring_scripts(book)
    build_book.build(book)
    assert "network" not in capsys.readouterr().out


def bring_scripts(root):
    vendor = build_book.html_folder(root) / "vendor"
    (vendor / "mathjax").mkdir(parents=True)
    (vendor / "embed-amd.js").write_text("the manager", encoding="utf-8")


def test_the_packed_site_is_the_site_in_one_folder(book, tmp_path, capsys):
    bring_scripts(book)
    assert build_book.pack(book) == 0
    archive = book / "_build" / "sparse-by-experiment.zip"
    with zipfile.ZipFile(archive) as file:
        assert sorted(file.namelist()) == [
            "sparse-by-experiment/book/home.html",
            "sparse-by-experiment/notebooks/01_a.html",
            "sparse-by-experiment/timings.json",
            "sparse-by-experiment/vendor/embed-amd.js",
        ]
        assert file.read("sparse-by-experiment/vendor/embed-amd.js") == b"the manager"


def test_a_site_that_is_not_whole_is_not_packed(book, capsys):
    assert build_book.pack(book) == 1
    assert "loads scripts from CDNs" in capsys.readouterr().out
    bring_scripts(book)
    (build_book.html_folder(book) / "notebooks" / "01_a.html").unlink()
    assert build_book.pack(book) == 1
    assert "01_a of _toc.yml is not in the site" in capsys.readouterr().out
    assert not list((book / "_build").glob("*.zip"))


def test_build_does_not_trust_an_exit_code_of_zero(book, monkeypatch, capsys):
    def with_report(root):
        write_report(root)
        return 0, []

    monkeypatch.setattr(build_book, "run_jupyter_book", with_report)
    assert build_book.build(book) == 1
    output = capsys.readouterr().out
    assert "NOT built" in output
    assert "notebooks/01_a failed" in output
    assert "| ZeroDivisionError: division by zero" in output

    # The report of a notebook that was mended since is not held against it.
    monkeypatch.setattr(build_book, "run_jupyter_book", lambda root: (0, []))
    assert build_book.build(book) == 0

    (build_book.html_folder(book) / "notebooks" / "01_a.html").unlink()
    assert build_book.build(book) == 1
    assert "notebooks/01_a of _toc.yml is not in the site" in capsys.readouterr().out
    assert build_book.check(book) == 1


def test_build_fails_when_jupyter_book_does(book, monkeypatch, capsys):
    complaint = "book/home.md:3: WARNING: undefined label"
    monkeypatch.setattr(build_book, "run_jupyter_book", lambda root: (1, [complaint]))
    assert build_book.build(book) == 1
    assert complaint in capsys.readouterr().out
    monkeypatch.setattr(build_book, "run_jupyter_book", lambda root: (2, []))
    assert build_book.build(book) == 1
    assert "ended with code 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("", None),
        ("Running Sphinx v7.4.7", None),
        ("loading translations [en]... done", None),
        ("reading sources... [ 83%] notebooks/01_one", None),
        ("/x/01_one.ipynb: Executed notebook in 1.77 seconds [mystnb]", None),
        ("dumping search index in English (code: en)... done", None),
        ("=====================", None),
        ("[run] notebook 1 of 2: 01_one", "notebook 1 of 2: 01_one"),
        ("/x/01_one.ipynb: WARNING: Executing notebook failed", ...),
        ("/x/home.md:3: WARNING: undefined label: 'done'", ...),
        ("WARNING: reading sources", ...),
        ("build finished with problems, 2 warnings.", ...),
        ("Traceback (most recent call last):", ...),
        ("[IPKernelApp] WARNING | Kernel is running over TCP without encryption.", ...),
        ('  File "/x/worker.py", line 3, in main', ...),
    ],
)
def test_only_what_is_known_to_say_nothing_is_left_out(line, shown):
    assert build_book.meaning(line) == (line if shown is ... else shown)


# ---------------------------------------------------------------- tools/run_tests.py


def test_run_tests_goes_on_after_a_failure_and_fails_in_the_end(capfd, tmp_path):
    def stage(code):
        return [sys.executable, "-c", f"print('ran {code}'); raise SystemExit({code})"]

    kept = tmp_path / "_build" / "stages.json"
    stages = {"lint": stage(0), "tests": stage(3), "book": stage(0)}
    assert run_tests.run(["lint", "tests", "book"], stages, kept) == 1
    output = capfd.readouterr().out
    assert output.count("ran ") == 2 * 3  # each command is shown, then run
    assert "stage 2 of 3: tests\n" in output, "nobody knows yet how long it takes"
    table = output[output.index("stage  ") :].splitlines()
    assert [line.split()[0] for line in table if line] == ["stage", "lint", "tests", "book", "all"]
    assert "FAILED (code 3)" in table[2]
    assert sorted(json.loads(kept.read_text())) == ["book", "lint"], "of those that passed"

    kept.write_text(json.dumps({"lint": 61.2, "tests": 500, "book": 120}))
    assert run_tests.run(["lint", "book"], stages, kept) == 0
    output = capfd.readouterr().out
    assert "stage 1 of 2: lint, last time 61 s; all from here 3 min\n" in output
    assert "stage 2 of 2: book, last time 120 s; all from here 2 min\n" in output
    assert json.loads(kept.read_text())["tests"] == 500


def test_run_tests_has_the_cheap_stages_first_and_builds_as_make_book_does():
    """And it builds before nbval looks at the notebooks, so that they run once."""
    stages = ["lint", "format", "tests", "alone", "book", "notebooks", "browser"]
    assert list(run_tests.STAGES) == stages
    # There is no site yet; and what runs alone runs once.
    assert "not browser and not alone" in run_tests.STAGES["tests"]
    assert "alone and not browser" in run_tests.STAGES["alone"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(RUN) tools/build_book.py" in makefile
    assert Path(run_tests.STAGES["book"][-1]) == ROOT / "tools" / "build_book.py"
    with pytest.raises(SystemExit):
        run_tests.main(["no-such-stage"])


# ---------------------------------------------------------------- tools/notebooks.py


def code_cell(source, outputs=(), count=7, **metadata):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count)
    cell.metadata.update(metadata)
    return cell


def stream(text):
    return nbformat.v4.new_output("stream", text=text)


MINE = {"name": "python3", "display_name": "Python 3 (ipykernel)"}


def a_notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": MINE})


def test_clean_takes_out_what_running_left():
    dirty = a_notebook(
        nbformat.v4.new_markdown_cell("# Größe\n"),
        code_cell("1 + 1", [stream("2\n")], tags=["a"], ExecuteTime={"end": "now"}, scrolled=True),
        code_cell(f"{notebooks.MARKER}\nprint('three')", [stream("three\n")], count=2),
        code_cell(f"{notebooks.MARKER}  \nprint('four')", [stream("four\n")]),
    )
    cleaned = notebooks.clean(dirty)
    plain, kept, near_miss = cleaned.cells[1:]
    assert (plain.outputs, plain.execution_count, plain.metadata) == ([], None, {"tags": ["a"]})
    assert (kept.outputs[0]["text"], kept.execution_count) == ("three\n", 2)
    # nbval would overlook a marker that does not stand alone, so it keeps nothing.
    assert near_miss.outputs == []
    assert cleaned.metadata.kernelspec == notebooks.KERNEL
    text = notebooks.as_text(cleaned)
    assert text.endswith("}\n")
    assert "Größe" in text
    assert notebooks.as_text(notebooks.clean(nbformat.v4.reads(text))) == text


def test_clean_gives_lasting_ids_to_cells_without(tmp_path):
    path = tmp_path / "a.ipynb"
    old = json.loads(nbformat.writes(a_notebook(code_cell("1"))))
    del old["cells"][0]["id"]
    path.write_text(json.dumps(old | {"nbformat_minor": 4}), encoding="utf-8")
    assert notebooks.clean_file(path)
    first = path.read_bytes()
    assert not notebooks.clean_file(path)
    assert path.read_bytes() == first
    assert json.loads(first)["cells"][0]["id"] == "cell-0"


def test_clean_refuses_an_output_that_could_never_compare_equal(tmp_path, capsys):
    table = nbformat.v4.new_output("display_data", {"text/html": "<b>1</b>", "text/plain": "1"})
    path = tmp_path / "a.ipynb"
    nbformat.write(a_notebook(code_cell(f"{notebooks.MARKER}\nshow()", [table])), path)
    before = path.read_bytes()
    assert notebooks.main(["clean", str(path)]) == 1
    assert "text/html; print() text instead" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_run_makes_kept_outputs_anew(tmp_path):
    path = tmp_path / "a.ipynb"
    kept = code_cell(f"{notebooks.MARKER}\nprint(2 + 2)", [stream("5\n")], count=1)
    nbformat.write(a_notebook(code_cell("x = 1\nx"), kept), path)
    assert notebooks.main(["check", str(path)]) == 1
    assert notebooks.main(["run", str(path)]) == 0
    assert notebooks.main(["check", str(path)]) == 0
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["outputs"] == []
    assert cells[1]["outputs"][0]["text"] == ["4\n"]
    assert cells[1]["execution_count"] == 2


# ---------------------------------------------------------------- tools/address.py

ADDRESS = "https://github.com/ada/sparse-course"


@pytest.fixture
def course(tmp_path):
    """A copy of the files that carry the address."""
    for name in ("README.md", "CITATION.cff", "_config.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for path in notebooks.all_notebooks():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    address.main(["--clear"], tmp_path)
    return tmp_path


def snapshot(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_copies_of_the_address_agree(capsys):
    assert address.main(["--check"]) == 0, capsys.readouterr()


def test_address_is_set_everywhere_and_taken_out_again(course):
    before = snapshot(course)
    assert address.main([ADDRESS + ".git", "--branch", "2026"], course) == 0
    assert address.main(["--check"], course) == 0
    for path in before:
        text = path.read_text(encoding="utf-8")
        assert ADDRESS in text or "ada/sparse-course" in text, path
        assert '.git"' not in text
    config = (course / "_config.yml").read_text(encoding="utf-8")
    assert f'  url: "{ADDRESS}"\n  branch: 2026\n' in config
    # Nothing but the address changed there: comments and layout are as before.
    assert len(config.splitlines()) == len(before[course / "_config.yml"].splitlines())

    chapter = sorted((course / "notebooks").glob("*.ipynb"))[0]
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    name = f"notebooks/{chapter.name}"
    top = "".join(cells[0]["source"])
    assert f"(https://colab.research.google.com/github/ada/sparse-course/blob/2026/{name})" in top
    assert f"(https://mybinder.org/v2/gh/ada/sparse-course/2026?urlpath=lab/tree/{name})" in top
    for path in (course / "notebooks" / "assignments").rglob("*.ipynb"):  # their answers inside
        assert "colab.research" not in path.read_text(encoding="utf-8")
    setup = ["".join(c["source"]) for c in cells if "REPOSITORY = " in "".join(c["source"])]
    assert setup == [setup_cell.setup_cell(ADDRESS, "2026")]
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert f"git clone {ADDRESS}\ncd sparse-course\n" in readme
    assert "<https://ada.github.io/sparse-course/>" in readme

    assert address.main(["--clear"], course) == 0
    assert snapshot(course) == before


def test_address_check_names_what_differs(course, capsys):
    config = course / "_config.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('url: ""', f"url: {ADDRESS}  # mine"), encoding="utf-8")
    assert address.main(["--check"], course) == 1
    output = capsys.readouterr().out
    for name in ("README.md", "CITATION.cff", "01_"):
        assert name in output
    # Without an address on the command line, what stands in _config.yml is written.
    assert address.main([], course) == 0
    assert address.main(["--check"], course) == 0
    assert "# mine" in config.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ada/sparse-course"],
        ["https://example.org/ada/sparse-course"],
        ["https://github.com/ada"],
        ['https://github.com/ada/course"; import os'],
        [ADDRESS, "--branch", "a branch"],
    ],
)
def test_address_refuses_what_it_could_not_write(course, arguments, capsys):
    before = snapshot(course)
    assert address.main(arguments, course) == 1
    assert "Nothing was changed" in capsys.readouterr().err
    assert snapshot(course) == before


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "_config.yml"])
def test_address_changes_nothing_where_a_place_is_missing(course, name):
    (course / name).write_text("no place for it\n", encoding="utf-8")
    before = snapshot(course)
    assert address.main([ADDRESS], course) == 1
    assert snapshot(course) == before


# ---------------------------------------------------------------- tools/setup_cell.py


def run_setup_cell(monkeypatch, url="", installed=True, colab=False):
    """Run the cell; what it gave to pip."""
    import importlib.util

    calls = []
    library = types.ModuleType("course_lib")
    library.setup = lambda: calls.append("setup")
    monkeypatch.setitem(sys.modules, "course_lib", library)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: library if installed else None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command[1:]))
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(compile(setup_cell.setup_cell(url, "main"), "setup cell", "exec"), {})
    return calls


def test_setup_cell_installs_in_colab_only_and_once(monkeypatch):
    pip = ["-m", "pip", "install", "--quiet", f"git+{ADDRESS}@main"]
    assert run_setup_cell(monkeypatch) == ["setup"]
    assert run_setup_cell(monkeypatch, ADDRESS) == ["setup"]
    with pytest.raises(ModuleNotFoundError, match="pip install -e"):
        run_setup_cell(monkeypatch, ADDRESS, installed=False)
    assert run_setup_cell(monkeypatch, ADDRESS, installed=False, colab=True) == [pip, "setup"]
    assert run_setup_cell(monkeypatch, ADDRESS, installed=True, colab=True) == ["setup"]
    with pytest.raises(ModuleNotFoundError):
        run_setup_cell(monkeypatch, "", installed=False, colab=True)


# ---------------------------------------------------------------- conftest.py


def copy_settings(folder):
    """Put this course's settings of pytest into a folder."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))


def nbval(folder, torch_pin):
    """Run nbval on a notebook whose kept output is wrong, under this course's conftest.py."""
    copy_settings(folder)
    (folder / "constraints.txt").write_text(f"torch=={torch_pin}\n", encoding="utf-8")
    cells = [
        code_cell(f"{notebooks.MARKER}\nprint('new verdict')", [stream("old verdict\n")], count=1),
        code_cell("1 / 0" if torch_pin == "0.0.2" else "x = 1", count=None),
    ]
    nbformat.write(a_notebook(*cells), folder / "a.ipynb")
    command = [sys.executable, "-m", "pytest", "a.ipynb", "--nbval-lax", "--nbval-current-env"]
    return subprocess.run(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_slow_tests_wait_for_the_quick_ones_of_all_files(tmp_path):
    """Also where workers take whole files, which is how `make test` runs them."""
    copy_settings(tmp_path)
    code = """
import pytest
@pytest.mark.slow
def test_slow(): pass
def test_quick(): pass
"""
    (tmp_path / "tests").mkdir()
    for name in "ab":
        (tmp_path / "tests" / f"test_{name}.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-n", "1", "--dist", "loadfile", "-v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    order = re.findall(r"PASSED tests/test_(\w)\.py::test_(\w+)", done.stdout)
    assert order == [("a", "quick"), ("b", "quick"), ("a", "slow"), ("b", "slow")], done.stdout


@pytest.mark.slow
def test_changed_output_is_printed_off_the_reference_platform(tmp_path):
    done = nbval(tmp_path, "0.0.1")  # no machine has this PyTorch
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 xfailed" in done.stdout
    section = done.stdout[done.stdout.index("kept output differs here") :]
    assert "old verdict" in section
    assert "new verdict" in section


@pytest.mark.slow
def test_failing_cell_fails_off_the_reference_platform_too(tmp_path):
    done = nbval(tmp_path, "0.0.2")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "1 failed, 1 xfailed" in done.stdout


@pytest.mark.slow
def test_changed_output_fails_on_the_reference_platform(tmp_path, request):
    plugin = request.config.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    if plugin.off_reference():
        pytest.skip(f"not the reference platform: {plugin.off_reference()}")
    done = nbval(tmp_path, bootstrap.pinned_torch(str(ROOT)))
    assert done.returncode == 1
    assert "Cell outputs differ" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "kept output differs here" not in done.stdout
