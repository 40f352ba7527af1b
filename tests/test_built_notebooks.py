"""Each notebook runs once: nbval looks at what the build has run, and nothing gets past it so.

The stages are those of `make test`, in a small copy of the book with its tools.
"""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_output
from test_site import CLAIM, FIGURE, ROOT, WIDGET, Book, notebook, record

import bootstrap

pytestmark = pytest.mark.slow

MEASURED = """\
import time
start = time.perf_counter()
print(f"It took {time.perf_counter() - start:.9f} s")"""
KEPT = '# NBVAL_CHECK_OUTPUT\nprint("3 networks")'


def chapter():
    kept = new_code_cell(KEPT, outputs=[new_output("stream", text="3 networks\n")])
    kept.execution_count = 2
    content = notebook(
        "one", "from course_lib import alpha", record(CLAIM), FIGURE, WIDGET, MEASURED
    )
    content.cells.append(kept)
    return content


def small_book(folder):
    book = Book(folder)
    book.write(
        "book/home.md", book.read("book/home.md") + "\n```{chapter-figure} notebooks/01_one\n```\n"
    )
    book.add_notebook("01_one", chapter())
    return book


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = small_book(tmp_path_factory.mktemp("once") / "book")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, book.folder)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tools", book.folder / "tools", ignore=skip)
    # The pinned PyTorch is the one that is here, so that a changed output is a failure.
    version = bootstrap.pinned_torch(str(ROOT))
    book.write("constraints.txt", f"torch=={version}\n")
    return book


@pytest.fixture(scope="module")
def reference(request):
    """Skip where a changed output is no failure."""
    plugin = request.config.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    if plugin.off_reference():
        pytest.skip(f"not the reference platform: {plugin.off_reference()}")


def run(book, *stages):
    """Run stages of `make test` there; their code and output, and how often the notebook ran."""
    (book.folder / "runs.txt").write_text("")
    done = subprocess.run(
        [sys.executable, "tools/run_tests.py", *stages],
        cwd=book.folder,
        env=book.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
    ran = (book.folder / "runs.txt").read_text().split().count("one")
    return SimpleNamespace(code=done.returncode, output=done.stdout, ran=ran)


@pytest.fixture(scope="module")
def first(book):
    result = run(book, "book", "notebooks")
    html = book.folder / "_build" / "html"
    result.pages = {name: (html / name).read_text() for name in ("notebooks/01_one.html",)}
    result.claims = (html / "claims.json").read_text()
    return result


def test_a_notebook_runs_once_and_every_cell_is_looked_at(first):
    assert first.code == 0, first.output
    assert first.ran == 1
    assert "7 passed" in first.output
    assert "01_one.ipynb: as the build ran it, in " in first.output


def test_a_first_build_says_what_a_stranger_can_read(first):
    build = first.output[: first.output.index("===== stage 2 of 2: notebooks")]
    assert not re.search("warning|error|traceback|interrupt", build, re.IGNORECASE), build
    assert "1 of 1 notebooks have to run: about 90 s" in build
    assert "notebook 1 of 1: 01_one, about 90 s; 90 s left for all" in build
    assert re.search(r"^01_one: \d+\.\d s$", build, re.MULTILINE)
    assert re.search(r"^5 pages in \d+\.\d s\. Open .*index\.html$", build, re.MULTILINE)
    assert len(build.splitlines()) < 20, build


def kept_text(book, text):
    content = chapter()
    content.cells[-1].outputs[0].text = text
    book.add_notebook("01_one", content)


def test_a_changed_kept_output_fails_without_a_run(book, first, reference):
    kept_text(book, "4 networks\n")
    result = run(book, "notebooks")
    kept_text(book, "3 networks\n")
    assert result.code == 1
    assert "1 failed, 6 passed" in result.output
    assert "Cell outputs differ" in result.output
    assert result.ran == 0


def test_an_edit_of_the_library_makes_nbval_run_the_notebook(book, first):
    book.write("course_lib/gamma.py", "x = 1\n")
    result = run(book, "notebooks")
    book.write("course_lib/gamma.py", "")
    assert result.code == 0, result.output
    assert "01_one.ipynb: run now" in result.output
    assert result.ran == 1


def test_a_failing_cell_fails_in_both_stages(book, first):
    content = chapter()
    content.cells[3].source = "1 / 0"
    book.add_notebook("01_one", content)
    result = run(book, "book", "notebooks")
    book.add_notebook("01_one", chapter())
    assert result.code == 1
    build, _, looked = result.output.partition("===== stage 2 of 2: notebooks")
    for output in (build, looked):
        assert "ZeroDivisionError" in output
    assert "WARNING: Executing notebook failed" in build
    assert "The book was NOT built." in build
    assert "01_one.ipynb: run now" in looked
    assert re.search(r"^book +\d+\.\d  FAILED", looked, re.MULTILINE)
    assert re.search(r"^notebooks +\d+\.\d  FAILED", looked, re.MULTILINE)


# --- What is stored is of this very notebook, library and machine ---------------------------------


@pytest.fixture
def look(book, first, monkeypatch):
    """Looks for the stored execution of the book's notebook, as it is or with changes."""
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    import course_cache

    import built_notebooks

    monkeypatch.setattr(course_cache, "library_folder", lambda source: book.folder / "course_lib")
    return lambda: built_notebooks.execution(book.folder / "notebooks/01_one.ipynb", book.folder)


def test_the_stored_execution_is_found(book, look):
    executed, seconds = look()
    code = [cell for cell in chapter().cells if cell.cell_type == "code"]
    assert [cell.source for cell in executed.cells] == [cell.source for cell in code]
    assert 0 < seconds < 100


def edit_cell(content):
    content.cells[1].source += "\n"


def edit_tag(content):
    content.cells[1].metadata["tags"] = ["hide-input"]


def edit_metadata(content):
    content.metadata["execution"] = {"timeout": 1}


@pytest.mark.parametrize("edit", [edit_cell, edit_tag, edit_metadata])
def test_an_edit_of_the_notebook_is_another_execution(book, look, edit):
    content = chapter()
    edit(content)
    book.add_notebook("01_one", content)
    found = look()
    book.add_notebook("01_one", chapter())
    assert found is None
    assert look() is not None


def test_text_and_kept_outputs_are_the_same_execution(book, look):
    content = chapter()
    content.cells[0].source += "\nMore."
    content.cells[-1].outputs[0].text = "4 networks\n"
    book.add_notebook("01_one", content)
    found = look()
    book.add_notebook("01_one", chapter())
    assert found is not None


@pytest.mark.parametrize("path", ["course_lib/alpha.py", "course_lib/gamma.py", "constraints.txt"])
def test_an_edit_of_what_it_needs_is_another_execution(book, look, path):
    before = book.read(path)
    book.write(path, before + "# more\n")
    found = look()
    book.write(path, before)
    assert found is None
    assert look() is not None


@pytest.mark.parametrize(
    "change",
    [
        ("sys.version", "3.11.0 (another build)"),
        ("platform.machine", lambda: "sparc"),
        ("platform.system", lambda: "Plan9"),
        ("installed", lambda constraints: {"torch": "2.0.0"}),
    ],
    ids=lambda change: change[0],
)
def test_another_machine_is_another_execution(look, monkeypatch, change):
    name, value = change
    monkeypatch.setattr(f"course_cache.{name}", value)
    assert look() is None


@pytest.mark.parametrize("fault", ["another Python", "a cell left out", "broken"])
def test_an_execution_that_is_not_as_good_as_a_run_is_left_alone(book, look, fault):
    [file] = (
        path
        for path in (book.folder / "_build/.jupyter_cache/executed").glob("*/base.ipynb")
        if "3 networks" in path.read_text(encoding="utf-8")
    )
    before = file.read_text(encoding="utf-8")
    executed = json.loads(before)
    if fault == "another Python":
        executed["metadata"]["language_info"]["version"] = "3.10.1"
    else:
        executed["cells"][2]["execution_count"] = None
    file.write_text("" if fault == "broken" else json.dumps(executed), encoding="utf-8")
    found = look()
    file.write_text(before, encoding="utf-8")
    assert found is None
    assert look() is not None


# --- The site is that of a plain build ------------------------------------------------------------

# What differs from run to run: measured times, what is computed from them, ids of widgets.
CHANGING = {
    "measured times": r"It took \d\.\d+ s",
    "minutes from them": r"\d+(\.\d+)? (s|seconds?|minutes?)\b( on [^<.;]*)?",
    "ids of widgets": r"[0-9a-f]{32}",
}


def masked(text):
    for name, pattern in CHANGING.items():
        text = re.sub(pattern, f"<{name}>", text)
    return text


def shown(page):
    """Text, figures and the state of widgets of a page."""
    soup = BeautifulSoup(page, "html.parser")
    states = [
        json.loads(one.get_text()) for one in soup.find_all("script", type=re.compile("widget"))
    ]
    widgets = [one for state in states for one in state.get("state", {"view": state}).values()]
    return {
        "text": masked(soup.select_one("article").get_text()),
        "figures": [masked(str(figure)) for figure in soup.find_all(["figure", "img"])],
        "widgets": sorted(masked(json.dumps(one, sort_keys=True)) for one in widgets),
    }


def test_the_site_is_that_of_a_plain_build(first, tmp_path):
    plain = small_book(tmp_path / "book")
    plain.write("constraints.txt", f"torch=={bootstrap.pinned_torch(str(ROOT))}\n")
    result = plain.build()
    assert result.code == 0, result.log
    page = "notebooks/01_one.html"
    mine, theirs = shown(first.pages[page]), shown(result.pages[page])
    assert mine == theirs
    assert not re.search(r"It took \d", mine["text"])
    assert "<measured times>" in mine["text"]
    assert mine["figures"]
    assert mine["widgets"]
    assert json.loads(first.claims) == result.json["claims.json"] != []
