"""Settings of pytest for the tests and for the notebooks that nbval runs."""

import itertools
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import bootstrap  # tools/ is on the path: see pyproject.toml

pytest_plugins = ["built_notebooks"]
KEPT_OUTPUTS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[KEPT_OUTPUTS] = []


def pytest_collection_modifyitems(items):
    """Run the slow tests late, so that most failures show soon, and those in a browser last.

    Playwright keeps an event loop running in this thread, where other tests start their own.
    """

    def lateness(item):
        return [item.get_closest_marker(name) is not None for name in ("browser", "slow")]

    items.sort(key=lateness)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`, give out the slow tests of a file by themselves, and last.

    In xdist's own order a file whose slow tests come early keeps its worker from the quick tests
    of other files, and the longest files may begin when the rest is done.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class QuickFirst(LoadFileScheduling):
        """A unit of work is an unbroken run of tests of one file, in the order of all tests."""

        def schedule(self):
            if self.collection is None:
                config.option.loadscopereorder = False
                tests = next(iter(self.registered_collections.values()))
                runs = itertools.groupby(tests, super()._split_scope)
                self.runs = {t: f"{file} {n}" for n, (file, run) in enumerate(runs) for t in run}
            super().schedule()

        def _split_scope(self, nodeid):
            return self.runs[nodeid]

    return QuickFirst(config, log)


def off_reference():
    """How this machine differs from the one whose outputs are kept; an empty text if it does not.

    Only there do the notebooks have to print exactly what they printed before: elsewhere the last
    digits of a sum may differ, and with them, rarely, a verdict.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return f"{platform.system()} {platform.machine()}, not Linux x86-64"
    pinned = bootstrap.pinned_torch(str(Path(__file__).parent))
    if version("torch").split("+")[0] != pinned:
        return f"PyTorch {version('torch')}, not {pinned}"
    import torch

    return "a GPU is in use" if torch.cuda.is_available() else ""


def is_changed_output(call):
    """Whether a notebook's cell ran to its end and printed something else than the kept output."""
    error = call.excinfo.value if call.excinfo else None
    return type(error).__name__ == "NbCellError" and str(error) == "Cell outputs differ"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Off the reference platform, a changed output is an expected failure; the rest still fails."""
    report = yield
    if is_changed_output(call) and (difference := off_reference()):
        item.config.stash[KEPT_OUTPUTS].append((item.nodeid, str(report.longrepr)))
        report.outcome = "skipped"
        report.wasxfail = f"kept output differs; {difference}"
    return report


def pytest_terminal_summary(terminalreporter, config):
    """Print the differences in full, whatever pytest is asked to show."""
    for name, text in config.stash[KEPT_OUTPUTS]:
        terminalreporter.section(f"kept output differs here: {name}")
        terminalreporter.write_line(text)
