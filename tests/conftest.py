"""Fixtures that several test files share."""

import os
import random
from contextlib import ExitStack, contextmanager

import browser as in_browser  # beside this file
import moving
import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

# Tests are small, and several run on one machine: threads would only wait for each other.
torch.set_num_threads(1)

# The same examples on every machine and in every run, and none thrown out for a slow machine.
settings.register_profile("course", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("course")


@pytest.fixture
def global_generators():
    """Fail a test in whose course the global random generators of torch, NumPy or Python moved."""

    def states():
        numpy_state = np.random.get_state()  # noqa: NPY002
        return torch.get_rng_state().tolist(), str(numpy_state), random.getstate()

    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    random.seed(123)
    before = states()
    yield
    for name, old, new in zip(("torch", "NumPy", "Python"), before, states(), strict=True):
        assert old == new, f"the global generator of {name} moved"


# --- The built site in a browser ------------------------------------------------------------

NOT_CHECKED = "not checked: "  # begins the reason of such a skip, which the summary finds again


@contextmanager
def needed():
    """Where something is missing: a failure in CI; elsewhere a skip that the summary tells of."""
    try:
        yield
    except in_browser.Missing as missing:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"In CI nothing is skipped. {missing}", pytrace=False)
        pytest.skip(f"{NOT_CHECKED}{missing}")


def pytest_terminal_summary(terminalreporter):
    """Say at the end, so that nobody takes a green run for more than it was."""
    passed, failed = (terminalreporter.getreports(kind) for kind in ("passed", "failed"))
    properties = [pair for report in [*passed, *failed] for pair in report.user_properties]
    if figures := sorted({text for name, text in properties if name == "reading"}):
        terminalreporter.section("How the chapters read, in screens of 800 pixels")
        for line in figures:
            terminalreporter.write_line(line)
    found = []
    for report in terminalreporter.getreports("skipped"):
        # (file, line, "Skipped: ..."); it is the same where the test ran in another process.
        *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("",)
        reason = reason.removeprefix("Skipped: ")
        if reason.startswith(NOT_CHECKED):
            found.append((report.nodeid, reason.removeprefix(NOT_CHECKED)))
    if not found:
        return
    names = sorted({name.rpartition("::")[2].partition("[")[0] for name, _ in found})
    terminalreporter.section(f"NOT CHECKED: {len(found)} tests", red=True, bold=True)
    terminalreporter.write_line("Not looked at: " + ", ".join(names))
    for reason in sorted({reason for _, reason in found}):
        terminalreporter.write_line(reason, red=True)


@pytest.fixture(scope="session")
def needs():
    """`with needs():` around what may be missing on this machine, for tests in other files."""
    return needed


@pytest.fixture(scope="session", name="browser")
def started_browser():
    """One Chromium for all tests, without a window. It reaches nothing but this machine."""
    with ExitStack() as stack:
        with needed():
            chromium = in_browser.start(stack.enter_context(in_browser.playwright()))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """An empty page with nothing stored, as on a first visit."""
    size = {"width": in_browser.WIDE, "height": in_browser.HEIGHT}
    context = browser.new_context(viewport=size)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core."""
    with needed():
        return in_browser.axe_source()


@pytest.fixture(scope="session")
def site():
    """The folder of the built site: `_build/html`, or what the variable COURSE_SITE names."""
    with needed():
        return in_browser.built_site()


@pytest.fixture(scope="session")
def site_url(site):
    """The address at which the built site is served, with a slash at the end."""
    with in_browser.served(site) as url:
        yield url


# --- Moving figures -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def all_tests_folder(tmp_path_factory):
    """A folder of this run of the tests, the same one in all of its processes."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def made_once(all_tests_folder):
    """`made_once(name, make)`: the folder of that name, filled by `make(folder)`.

    Of several processes that test at the same time the first one makes it; the others wait.
    """

    def once(name, make):
        folder = all_tests_folder / name
        with FileLock(all_tests_folder / f"{name}.lock"):
            if not (folder / "made").is_file():
                folder.mkdir(exist_ok=True)
                make(folder)
                (folder / "made").touch()
        return folder

    return once


@pytest.fixture(scope="session")
def figure_notebooks(made_once):
    """{test file: the executed notebook of its moving figure}, with a page beside each."""
    figures = moving.figures()

    def make(folder):
        code = "from {} import MOVING\nMOVING.make().show()"
        moving.execute({name: code.format(name) for name in figures}, folder)
        for name in figures:
            moving.as_page(folder / f"{name}.ipynb")

    folder = made_once("figures", make)
    return {name: folder / f"{name}.ipynb" for name in figures}


@pytest.fixture(scope="session")
def figure_pages(figure_notebooks):
    """{test file: the page of its moving figure}."""
    return {name: path.with_suffix(".html") for name, path in figure_notebooks.items()}


@pytest.fixture
def figure_name(request):
    """The test file whose figure is meant: this one, where a test has no such parameter."""
    return request.module.__name__


@pytest.fixture
def figure(browser, figure_pages, figure_name):
    """The page of a moving figure."""
    with needed(), moving.shown(browser, figure_pages[figure_name]) as page:
        yield page


@pytest.fixture
def phone(browser, figure_pages, figure_name):
    """The page of a moving figure on a small phone."""
    size = {"width": in_browser.NARROW, "height": in_browser.HEIGHT}
    path = figure_pages[figure_name]
    with needed(), moving.shown(browser, path, viewport=size, has_touch=True) as page:
        yield page


@pytest.fixture(scope="session")
def lab(all_tests_folder, tmp_path_factory):
    """`lab(page, notebook)` opens a notebook of these tests in JupyterLab and runs it there."""
    with ExitStack() as stack:
        with needed():
            url = stack.enter_context(
                moving.lab(all_tests_folder, tmp_path_factory.mktemp("settings"))
            )
        yield lambda page, notebook, widget=".moving-figure": moving.run_in_lab(
            page, url, notebook.relative_to(all_tests_folder), widget
        )
