"""Build the site with plain Sphinx and the newest tools, and compare it with the ordinary site.

    python tools/newest.py    after make book; needs the package index and a few minutes

Jupyter Book 1 is in maintenance and pins Sphinx below 8. This shows each week that the book could
leave it: it makes an environment with today's Sphinx, MyST-NB and theme in `_build/newest`, builds
there from the same `_config.yml`, and asks that there is no warning, that the claims are the same
bytes, and that no page lost a figure, a term, a citation or an entry of the API. No notebook runs:
what `make book` kept of them is taken.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bs4 import BeautifulSoup

import build_book

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["sphinx>=8", "myst-nb", "sphinx-book-theme", "sphinx-external-toc", "sphinx-togglebutton"]
TOOLS += ["sphinx-copybutton", "sphinx-design", "sphinxcontrib-bibtex"]
# Jupyter Book's own, and what the site does not use.
LEFT_OUT = {"jupyter_book", "sphinx_thebe", "sphinx_comments", "sphinx.ext.intersphinx"}
LEFT_OUT |= {"sphinx_jupyterbook_latex"}
# Put below the settings that Jupyter Book writes: its paths start where the book is.
TAIL = """
extensions = [name for name in extensions if name not in {left_out!r}]
html_static_path = [{root!r} + "/" + path for path in html_static_path]
templates_path = [{root!r} + "/" + path for path in templates_path]
bibtex_bibfiles = [{root!r} + "/" + path for path in bibtex_bibfiles]
nb_execution_cache_path = {cache!r}
"""
# What is counted on each page, by how it is found.
COUNTED = {
    "figures": "figure.course-figure",
    "links to terms": "a.course-term",
    "links to papers": "a.course-citation",
    "terms": "dl.glossary dt[id]",
    "citations": "div.citation",
    "entries of the API": "dt.sig[id]",
    "cells with input": "div.cell_input",
    "cells with output": "div.cell_output",
    "formulas": ".math",
}


class Problem(Exception):
    """What stands in the way of a comparison."""


def run(command, log, **options):
    """Run a command with its output in the file `log`."""
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        raise Problem("\n".join([f"{command[0]} failed. The end of {log}:", *end]))


def make_environment(folder):
    """Make an environment with the newest tools; its Python.

    PyTorch and what else the library imports come from the ordinary environment. It is put behind
    the new one when all is installed, so that pip does not take its Sphinx for the newest.
    """
    venv = folder / "venv"
    run([sys.executable, "-m", "venv", "--clear", venv], folder / "venv.log")
    (python,) = (
        p for p in (venv / "bin" / "python", venv / "Scripts" / "python.exe") if p.exists()
    )
    pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--upgrade"]
    run([python, *pip, *TOOLS], folder / "install.log")
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ours, theirs = (
        subprocess.check_output([exe, "-c", place], text=True).strip()
        for exe in (python, sys.executable)
    )
    Path(ours, "course_behind.pth").write_text(theirs + "\n", encoding="utf-8")
    return python


def versions(python):
    """The versions of the newest tools, as words."""
    names = ["sphinx", "myst-nb", "sphinx-book-theme", "docutils"]
    code = f"import importlib.metadata as m; print(*[f'{{n}} {{m.version(n)}}' for n in {names}])"
    return subprocess.check_output([python, "-c", code], text=True).strip()


def write_settings(root, folder):
    """Let Jupyter Book say in `folder/conf.py` what the book's settings are to Sphinx."""
    config = Path(shutil.copy(root / "_config.yml", folder))
    book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "config"]
    book += ["sphinx", str(root), "--config", str(config), "--toc", str(root / "_toc.yml")]
    run(book, folder / "config.log", cwd=root)
    cache = folder / "cache"  # a copy: another version may write it in another way
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(root / "_build" / ".jupyter_cache", cache)
    with (folder / "conf.py").open("a", encoding="utf-8") as file:
        file.write(TAIL.format(left_out=LEFT_OUT, root=root.as_posix(), cache=str(cache)))


def build(python, root, folder):
    """Build the site into `folder/html`; the complaints. A notebook that would run stops it."""
    site = folder / "html"
    for old in (site, folder / "doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    command = [python, "-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "--no-color"]
    command += ["-c", folder, "-d", folder / "doctrees", root, site]
    paths = [str(root), str(root / "book" / "_ext")]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    complaints = []
    with (folder / "build.log").open("w", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            if "Executing notebook" in line:
                process.kill()
                raise Problem(f"{line.strip()}\nIts results are not kept. Run make book first.")
            if re.search(r"\b(WARNING|ERROR|CRITICAL): ", line):
                complaints.append(line.strip())
    if process.wait() != 0 and not complaints:
        complaints.append(
            f"Sphinx ended with code {process.returncode}; see {folder / 'build.log'}"
        )
    return complaints


def count(page):
    """What is on a page: {"figures": 9, ...}."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    return {what: len(soup.select(pattern)) for what, pattern in COUNTED.items()}


def compare_claims(old, new):
    """How the claims of two sites differ, as lines; none if they are the same bytes."""
    before, after = (site / "claims.json" for site in (old, new))
    if not after.is_file():
        return ["claims.json is missing"]
    if before.read_bytes() == after.read_bytes():
        return []
    both = [json.loads(file.read_text(encoding="utf-8")) for file in (before, after)]
    claims = [{claim["id"]: claim for claim in claims} for claims in both]
    names = sorted(claims[0].keys() | claims[1].keys())
    differ = [name for name in names if claims[0].get(name) != claims[1].get(name)]
    return [f"claims.json differs in {', '.join(differ) or 'its order or layout'}"]


def compare(pages, old, new):
    """How the site `new` differs from `old`, as lines, and the sums of what both have."""
    lines, sums = compare_claims(old, new), collections.Counter()
    for page in pages:
        before, after = (site / f"{page}.html" for site in (old, new))
        if not after.is_file():
            lines.append(f"{page} is missing")
            continue
        counts = count(before), count(after)
        sums.update(counts[0])
        lines += [
            f"{page}: {counts[0][what]} {what}, now {counts[1][what]}"
            for what in COUNTED
            if counts[0][what] != counts[1][what]
        ]
    return lines, sums


def main(arguments=None, root=ROOT):
    """The exit code."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    old, folder, start = build_book.html_folder(root), root / "_build" / "newest", time.monotonic()
    pages = build_book.pages(root)
    try:
        if not (old / "claims.json").is_file() or build_book.missing_pages(root):
            raise Problem("There is no whole site to compare with. Run make book first.")
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Installing the newest tools, about a minute. Logs: {folder}", flush=True)
        python = make_environment(folder)
        print(f"Building {len(pages)} pages with {versions(python)}.", flush=True)
        write_settings(root, folder)
        complaints = build(python, root, folder)
    except Problem as problem:
        print(problem)
        return 1
    lines, sums = compare(pages, old, folder / "html")
    for line in [*complaints, *lines]:
        print(line)
    same = "differs from" if lines else "is as"
    print(f"{', '.join(f'{n} {what}' for what, n in sums.items())}.")
    print(f"{len(complaints)} warnings; the site {same} the ordinary one.", end=" ")
    print(f"No notebook ran. {time.monotonic() - start:.0f} s.")
    return int(bool(complaints or lines))


if __name__ == "__main__":
    sys.exit(main())
