"""How the build runs notebooks: what it says meanwhile, and how it talks to their kernels.

The build says which notebooks will run, how long each took last time, and what is left of it all.
"""

import functools
import json
import re
import time
from pathlib import Path

import course_cache
import zmq
from myst_nb.core.execute import cache as execution
from sphinx.util import logging
from traitlets.config import Config

logger = logging.getLogger(__name__)

WORDS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
MINUTES = re.compile(rf"\*\*To run\*\* \|[^|\n]*?\b({'|'.join(WORDS)}) minutes?\b")
SECONDS = 90  # of a notebook whose card says nothing


def expected(notebook):
    """Seconds that a notebook should take by its card, which speaks of two processor cores."""
    text = "".join("".join(cell["source"]) for cell in notebook["cells"][:1])
    found = MINUTES.search(text)
    return 60 * WORDS[found[1]] if found else SECONDS


def duration(seconds):
    """A duration as one says it: "45 s", "12 min"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class Progress:
    """Counts the notebooks that a build runs."""

    def __init__(self, app):
        self.todo, self.done = {}, {}  # seconds by page: expected; what it took
        self.page = self.since = None
        app.connect("env-before-read-docs", self.plan)
        app.connect("source-read", self.start, priority=1)
        app.connect("doctree-read", self.end)

    def plan(self, app, env, pages):
        notebooks = [page for page in pages if course_cache.is_notebook(env, page)]
        if not notebooks or app.config.nb_execution_mode != "cache":
            return
        timings = Path(app.outdir, "timings.json")
        last = json.loads(timings.read_text(encoding="utf-8")) if timings.is_file() else {}
        folder = app.config.nb_execution_cache_path or Path(app.outdir).parent / ".jupyter_cache"
        for page in notebooks:
            try:
                notebook = json.loads(Path(env.doc2path(page)).read_text(encoding="utf-8"))
                if course_cache.stored(notebook, app.srcdir, folder) is None:
                    self.todo[page] = last.get(page) or expected(notebook)
            except (ValueError, KeyError, OSError):
                continue  # not a notebook: the parser says so better
        if self.todo:
            every = sum(course_cache.is_notebook(env, page) for page in env.found_docs)
            total = duration(sum(self.todo.values()))
            logger.info(f"[run] {len(self.todo)} of {every} notebooks have to run: about {total}")

    def start(self, app, page, content):
        if page not in self.todo:
            return
        number, total = len(self.done) + 1, len(self.todo)
        # This machine may be slower or faster than the one that the seconds are from.
        before = sum(self.todo[page] for page in self.done)
        pace = sum(self.done.values()) / before if before else 1
        left = pace * (sum(self.todo.values()) - before)
        logger.info(
            f"[run] notebook {number} of {total}: {Path(page).name}, "
            f"about {duration(pace * self.todo[page])}; {duration(left)} left for all"
        )
        self.page, self.since = page, time.perf_counter()

    def end(self, app, doctree):
        page = app.env.docname
        if page == self.page:
            self.done[page] = time.perf_counter() - self.since
            logger.info(f"[run] {Path(page).name}: {self.done[page]:.1f} s")
            self.page = None


def encrypt():
    """Encrypt what the build and its kernels say to each other, where ZeroMQ can.

    Else each kernel warns that others on this machine could listen. jupyter-cache has no setting
    for it, but hands on what it is given.
    """
    if zmq.has("curve"):
        config = Config({"KernelManager": {"transport_encryption": "auto"}})
        run = execution.single_nb_execution
        execution.single_nb_execution = functools.partial(run, config=config)


def setup(app):
    encrypt()
    Progress(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
