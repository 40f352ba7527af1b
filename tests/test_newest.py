"""What tools/newest.py says of a site that another Sphinx built."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import build_book
import newest

FIGURE = '<figure class="course-figure" tabindex="0">a curve</figure>'
PAGES = {
    "book/home": "<p>hello</p>",
    "book/glossary": '<dl class="glossary"><dt id="term-l0">L0</dt><dt id="term-x">X</dt></dl>',
    "notebooks/01_a": f"{FIGURE}{FIGURE}<div class='cell_output docutils container'>1</div>"
    '<a class="course-term reference internal" href="#">L0</a>'
    '<a class="course-citation reference internal" href="#">LeCun 1990</a>',
}
CLAIMS = [{"id": "a", "verdict": "supported"}, {"id": "b", "verdict": "inconclusive"}]


def make_site(folder, changed=(), claims=CLAIMS):
    """A built site as far as it is looked at."""
    for page, text in (PAGES | dict(changed)).items():
        path = folder / f"{page}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<html><body>{text}</body></html>", encoding="utf-8")
    (folder / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    return folder


def compare(tmp_path, **options):
    old, new = make_site(tmp_path / "old"), make_site(tmp_path / "new", **options)
    return newest.compare(list(PAGES), old, new)


def test_a_site_that_is_the_same(tmp_path):
    other = PAGES["notebooks/01_a"].replace("course-term reference", "reference course-term new")
    lines, sums = compare(tmp_path, changed={"notebooks/01_a": f"<main>{other}</main>"})
    assert lines == []
    assert {what: n for what, n in sums.items() if n} == {
        "figures": 2,
        "links to terms": 1,
        "links to papers": 1,
        "terms": 2,
        "cells with output": 1,
    }


@pytest.mark.parametrize(
    ("page", "lost", "said"),
    [
        ("notebooks/01_a", FIGURE, "notebooks/01_a: 2 figures, now 1"),
        ("notebooks/01_a", "course-citation", "notebooks/01_a: 1 links to papers, now 0"),
        ("notebooks/01_a", "course-term", "notebooks/01_a: 1 links to terms, now 0"),
        ("book/glossary", '<dt id="term-x">', "book/glossary: 2 terms, now 1"),
    ],
)
def test_what_a_page_lost_is_named(tmp_path, page, lost, said):
    lines, _ = compare(tmp_path, changed={page: PAGES[page].replace(lost, "", 1)})
    assert lines == [said]


def test_a_lost_page_is_named(tmp_path):
    old, new = make_site(tmp_path / "old"), make_site(tmp_path / "new")
    (new / "book" / "glossary.html").unlink()
    assert newest.compare(list(PAGES), old, new)[0] == ["book/glossary is missing"]


def test_a_changed_claim_is_named(tmp_path):
    changed = [CLAIMS[0], CLAIMS[1] | {"verdict": "supported"}]
    assert compare(tmp_path, claims=changed)[0] == ["claims.json differs in b"]
    assert compare(tmp_path, claims=CLAIMS[:1])[0] == ["claims.json differs in b"]
    assert compare(tmp_path, claims=CLAIMS[::-1])[0] == [
        "claims.json differs in its order or layout"
    ]
    (tmp_path / "new" / "claims.json").unlink()
    old, new = tmp_path / "old", tmp_path / "new"
    assert newest.compare_claims(old, new) == ["claims.json is missing"]


# What stands in for Sphinx: it says a line, makes a site or not, and ends with a code.
SPHINX = """#!{python}
import shutil, sys
print({line!r}, flush=True)
shutil.copytree({site!r}, sys.argv[-1])
sys.exit({code})
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with a built site and the newest tools beside it, but for Sphinx itself."""
    if os.name == "nt":
        pytest.skip("the stand-in for Sphinx is a script with a first line that names its Python")
    root = tmp_path / "course"
    make_site(build_book.html_folder(root))
    pages = "[{file: book/glossary}, {file: notebooks/01_a}]"
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/home\nchapters: {pages}\n")
    monkeypatch.setattr(newest, "versions", lambda python: "sphinx 99")
    monkeypatch.setattr(newest, "write_settings", lambda root, folder: None)

    def sphinx(line="build succeeded.", code=0, **options):
        site = make_site(tmp_path / "new", **options)
        program = tmp_path / "python"
        text = SPHINX.format(python=sys.executable, line=line, site=str(site), code=code)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setattr(newest, "make_environment", lambda folder: program)
        return newest.main([], root)

    return sphinx


def test_the_exit_code_and_the_summary(course, capsys):
    assert course() == 0
    said = capsys.readouterr().out
    assert "Building 3 pages with sphinx 99" in said
    assert "2 figures" in said
    assert "0 warnings; the site is as the ordinary one" in said

    assert course(changed={"notebooks/01_a": ""}) == 1
    assert "differs from the ordinary one" in capsys.readouterr().out


def test_a_warning_is_repeated_and_fails(course, capsys):
    warning = "book/home.md:3: WARNING: undefined label: 'x'"
    assert course(line=warning, code=1) == 1
    assert f"{warning}\n" in capsys.readouterr().out
    assert course(code=2) == 1  # it may end badly without a word
    assert "Sphinx ended with code 2" in capsys.readouterr().out


def test_a_notebook_that_would_run_stops_the_build(course, capsys):
    line = "/a/course/notebooks/01_a.ipynb: Executing notebook using local CWD [mystnb]"
    assert course(line=line) == 1
    said = capsys.readouterr().out
    assert "Run make book first" in said
    assert "warnings;" not in said


def test_without_a_site_nothing_is_installed(course, tmp_path, capsys):
    shutil.rmtree(build_book.html_folder(tmp_path / "course") / "notebooks")
    assert course() == 1
    assert capsys.readouterr().out.startswith("There is no whole site to compare with")


def test_the_settings_are_those_of_the_book(tmp_path):
    """Jupyter Book writes them, all paths lead to the book, and its own extensions are out."""
    root = Path(newest.ROOT)
    (tmp_path / "book" / "_build" / ".jupyter_cache").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, tmp_path / "book")
    folder = tmp_path / "newest"
    folder.mkdir()
    newest.write_settings(tmp_path / "book", folder)
    assert not (tmp_path / "book" / "conf.py").exists()
    settings = {}
    exec((folder / "conf.py").read_text(encoding="utf-8"), settings)
    assert not newest.LEFT_OUT & set(settings["extensions"])
    assert {"myst_nb", "course_ledger", "sphinx_external_toc"} <= set(settings["extensions"])
    assert settings["html_static_path"] == [(tmp_path / "book" / "book" / "static").as_posix()]
    assert settings["bibtex_bibfiles"] == [(tmp_path / "book/book/references.bib").as_posix()]
    assert settings["nb_execution_cache_path"] == str(folder / "cache")
