"""Let nbval look at the notebooks as the build has run them, so that each runs once.

A part of the settings of pytest (conftest.py). nbval collects every cell and compares what is
kept, as ever. Only its kernel is another one where the book's cache has an execution of the very
notebook, by the key of book/_ext/course_cache.py: that kernel answers each cell with the outputs
that it had there. Where there is none, because a cell failed or nothing was built, nbval runs the
notebook.
"""

import collections
import json
import platform
from queue import Empty

import pytest
from nbval.plugin import IPyNbFile

SEEN = pytest.StashKey[list]()


class Replay:
    """Stands where nbval has a kernel, and answers each cell with the outputs of a run before."""

    def __init__(self, cells):
        self.cells = iter(cells)
        self.messages = collections.deque()

    def execute_cell_input(self, source, allow_stdin=None):
        for cell in self.cells:  # those between were not asked for
            if cell.source == source:
                break
        else:
            raise RuntimeError("the execution that the book's cache has is of other cells")
        self.messages.extend((output.output_type, output) for output in cell.outputs)
        self.messages.append(("status", {"execution_state": "idle"}))
        return "replay"

    def get_message(self, stream, timeout=None):
        if not self.messages:
            raise Empty
        kind, content = self.messages.popleft()
        return {"msg_type": kind, "content": content, "parent_header": {"msg_id": "replay"}}

    def await_reply(self, message, timeout=None):
        pass

    def await_idle(self, message, timeout=None):
        self.messages.clear()

    def is_alive(self):
        return True

    def stop(self):
        pass


def execution(path, root):
    """The execution of a notebook in the book's cache, and its seconds, if it is as good as a run.

    Returns:
        None if there is none, a cell was left out, or another Python ran it.
    """
    cache = root / "_build" / ".jupyter_cache"
    if not cache.is_dir():
        return None
    import course_cache  # needs Sphinx; book/_ext/ is on the path: see pyproject.toml

    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = course_cache.stored(notebook, root, cache)
    if found is None:
        return None
    executed, seconds = found
    version = executed.metadata.get("language_info", {}).get("version")
    left_out = [c for c in executed.cells if c.source.strip() and c.execution_count is None]
    return None if left_out or version != platform.python_version() else (executed, seconds)


class BuiltNotebook(IPyNbFile):
    """A notebook that runs only if the build has not run it."""

    def setup(self):
        found = execution(self.path, self.config.rootpath)
        if found is None:
            said = "run now"
            super().setup()
        else:
            executed, seconds = found
            said = f"as the build ran it, in {seconds:.1f} s"
            self.kernel = Replay(executed.cells)
            self.setup_sanitize_files()
        self.config.stash[SEEN].append(f"{self.nodeid}: {said}")


def pytest_configure(config):
    config.stash[SEEN] = []


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    collected = yield
    return [
        BuiltNotebook.from_parent(parent, path=file_path) if type(one) is IPyNbFile else one
        for one in collected
    ]


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[SEEN]:
        terminalreporter.section("notebooks")
        terminalreporter.write_line("\n".join(config.stash[SEEN]))
