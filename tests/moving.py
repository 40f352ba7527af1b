"""What the browser tests of all moving figures share: their pages, and a hand on them.

A figure's test file, test_widgets_*.py, says as `MOVING` how the figure is made and what a hand
finds in it. tests/test_moving.py takes every figure through the steps that all must stand, and the
fixtures `figure` and `phone` (conftest.py) open the page of the file's own.
"""

import importlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import browser as in_browser  # beside this file
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.widgets import MovingFigure

HERE = Path(__file__).parent
ROOT = HERE.parent
SLIDER = ".moving-figure input[type=range]"


class Moving(NamedTuple):
    """A moving figure under test, and its controls.

    Args:
        make: makes it; without arguments.
        controls: (role, name) of all that a screen reader must find in it.
        panels: numbers of the panels whose drawing a pointer drags the first slider along, from its
            least value at the left to its largest at the right.
    """

    make: Callable[[], MovingFigure]
    controls: tuple
    panels: tuple = ()


def figures():
    """{name of the test file: its `MOVING`}, of all figures."""
    names = sorted(path.stem for path in HERE.glob("test_widgets_*.py"))
    return {name: importlib.import_module(name).MOVING for name in names}


# --- Its page -------------------------------------------------------------------------------------


def execute(cells, folder):
    """Notebooks of one cell each, {name: code}, as JupyterLab would save them once they have run.

    All run in one kernel; it is the import of PyTorch that takes its time.
    """
    from nbclient import NotebookClient

    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    first = f"import sys; sys.path[:0] = {[str(ROOT), str(HERE)]!r}"
    together = new_notebook(metadata=kernel, cells=[new_code_cell(first)])
    together.cells += [new_code_cell(code) for code in cells.values()]
    NotebookClient(together, kernel_name="python3").execute()
    for name, cell in zip(cells, together.cells[1:], strict=True):
        alone = new_notebook(metadata=together.metadata, cells=[together.cells[0], cell])
        nbformat.write(alone, folder / f"{name}.ipynb")


def as_page(notebook):
    """Write what `jupyter nbconvert --to html` makes of a notebook beside it; returns its path."""
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(notebook))
    path = notebook.with_suffix(".html")
    path.write_text(html, encoding="utf-8")
    return path


def serve_from_here(context):
    """Answer nbconvert's requests to CDNs with the files that the site brings along."""
    modules = ROOT / "_build" / "vendor" / "node_modules"
    import anywidget

    answers = {
        "require": modules / "requirejs" / "require.js",
        "html-manager": modules / "@jupyter-widgets" / "html-manager" / "dist" / "embed-amd.js",
        "anywidget": Path(anywidget.__file__).parent / "nbextension" / "index.js",
    }
    missing = [str(path) for path in answers.values() if not path.is_file()]
    if missing:
        raise in_browser.Missing(f"{missing[0]} is not there. Build the site: make book.")

    def answer(route):
        for name, path in answers.items():
            if name in route.request.url:
                return route.fulfill(path=path, content_type="text/javascript")
        return route.abort()

    context.route(re.compile("^https?://"), answer)


@contextmanager
def shown(browser, path, **options):
    """The page of a notebook with a widget, from its file, once the widget is there."""
    options = {"viewport": {"width": in_browser.WIDE, "height": in_browser.HEIGHT}} | options
    context = browser.new_context(**options)
    try:
        serve_from_here(context)
        page = context.new_page()
        page.goto(path.as_uri())
        page.locator(".moving-figure, .course-quiz, .course-bets").first.wait_for()
        yield page
    finally:
        context.close()


# --- In JupyterLab --------------------------------------------------------------------------------


@contextmanager
def lab(folder, settings):
    """The address of a JupyterLab server over a folder, with settings of its own."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise in_browser.Missing("JupyterLab is not installed: pip install -e .[lab]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--notebook-dir={folder}"]
    command += ["--ServerApp.port_retries=0"]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(settings / name) for name in folders}
    process = subprocess.Popen(
        command, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=1).read()
                break
            except OSError:
                if process.poll() is not None:
                    raise AssertionError("JupyterLab ended at once") from None
                time.sleep(0.25)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def run_in_lab(page, url, notebook, widget=".moving-figure"):
    """Open a saved notebook of two cells in JupyterLab and run both by keyboard."""
    page.goto(f"{url}/lab/workspaces/{notebook.stem}/tree/{notebook.as_posix()}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)  # what is run earlier can get lost
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    page.locator(widget).wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for()


# --- A hand ---------------------------------------------------------------------------------------


def slider(page, which=0):
    """A slider of the figure, by its number or by its name."""
    if isinstance(which, int):
        return page.locator(SLIDER).nth(which)
    return page.locator(".moving-figure").get_by_role("slider", name=which)


def at(page, which=0):
    """Where a slider stands, as a whole number."""
    return int(slider(page, which).input_value())


def panel(page, number):
    return page.locator(".moving-figure .panel").nth(number)


def changed_by(effects, action):
    """Do what must change all that `effects()` tells of; returns what it told before and after."""
    before = effects()
    action()
    after = effects()
    same = [what for what in before if before[what] == after[what]]
    assert not same, f"nothing moved {same}"
    return before, after


def place(drawing, across, down=0.5):
    """Where on the screen a point of a drawing lies, given as shares of its width and height."""
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(page, start, *others):
    """Press the mouse at a place and drag it on to others; yields, still pressed, at each place."""
    page.mouse.move(*start)
    page.mouse.down()
    yield start
    for point in others:
        page.mouse.move(*point, steps=4)
        yield point
    page.mouse.up()


def reading(page):
    """The sentence under the figure, which `announcer` in figure.js changes 400 ms after a hand."""
    page.evaluate("new Promise(done => setTimeout(done, 420))")
    return page.locator(".moving-figure p[aria-live]").inner_text()


def fits(page):
    """Whether the figure is no wider than its place."""
    return page.locator(".moving-figure").evaluate("f => f.scrollWidth <= f.clientWidth")
