"""Benchmarks: what `benchmarks/*.py` measured, as tables (directive `benchmark`).

`{benchmark} tickets` shows `benchmarks/results/tickets.json`. Without a name it shows every file
that the page has not named, each under its name: a result is never left out. A file holds

* `results`, a list of dictionaries, a row each; or a dictionary of dictionaries of dictionaries,
  such as `{"topk": {"ours": {"fvu": 0.1}, "sparsify": {...}}}`, a row for each of the inner ones;
* `intervals`, a sentence that says what the three numbers of an entry are, for above the table;
* anything else: how it was measured, and results that are no table.
"""

import json
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

FOLDER = "benchmarks/results"


class Benchmark(SphinxDirective):
    optional_arguments = 1

    def run(self):
        folder = Path(self.env.srcdir, FOLDER)
        named = self.env.temp_data.setdefault("course_benchmarks", set())
        if self.arguments:
            named.add(self.arguments[0])
            return self.show(folder / f"{self.arguments[0]}.json")
        pages_of_all(self.env)[self.env.docname] = files(self.env.srcdir)
        found = []
        for path in sorted(folder.glob("*.json")):
            if path.stem not in named:
                found += [nodes.rubric("", path.stem.replace("_", " ")), *self.show(path)]
        return found

    def show(self, path):
        self.env.note_dependency(str(path))
        if not path.is_file():
            logger.warning("[benchmarks] there is no %s", path, location=self.get_location())
            return []
        text = markup(path.stem, json.loads(path.read_text(encoding="utf-8")))
        return [nodes.raw("", text, format="html")]


def files(source):
    """The names of the results that are there."""
    return sorted(path.name for path in Path(source, FOLDER).glob("*.json"))


def pages_of_all(env):
    """The pages that show every result, with the names of those that they were read with."""
    if not hasattr(env, "course_benchmark_pages"):
        env.course_benchmark_pages = {}
    return env.course_benchmark_pages


def outdated(app, env, added, changed, removed):
    """Pages to read again because a file came or went: Sphinx takes no folder as a dependency."""
    now = files(app.srcdir)
    pages = pages_of_all(env).items()
    return [page for page, then in pages if then != now and page in env.found_docs]


def purge(app, env, page):
    pages_of_all(env).pop(page, None)


def merge(app, env, pages, other):
    pages_of_all(env).update({p: f for p, f in pages_of_all(other).items() if p in pages})


def markup(name, content):
    """A file as a table of its results, if it has one, and a folded list of all else."""
    content = dict(content)
    caption = content.pop("intervals", "")
    rows = content.pop("results", None)
    if rows is None:
        nested = {outer: inner for outer, inner in content.items() if is_nested(inner)}
        rows = [
            {"": outer, "arm": arm} | found
            for outer, inner in nested.items()
            for arm, found in inner.items()
        ]
        content = {key: value for key, value in content.items() if key not in nested}
    said = table(rows, caption, f"Results of the benchmark {name}") if rows else ""
    facts = "".join(
        f"<tr><th scope='row'>{escape(words(key))}</th><td>{escape(shown(value))}</td></tr>"
        for key, value in content.items()
    )
    if not facts:
        return said
    facts = f'<table class="course-table"><tbody>{facts}</tbody></table>'
    if not rows:
        return scrolling(facts, f"Results of the benchmark {name}")
    return (
        f'{said}<details class="course-details"><summary>How it was measured</summary>{facts}'
        "</details>"
    )


def is_nested(value):
    return isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())


def table(rows, caption, label):
    keys = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f'<th scope="col">{escape(words(key))}</th>' for key in keys)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(row.get(key)))}</td>" for key in keys) + "</tr>"
        for row in rows
    )
    # Above the table and no caption of it, which would scroll with it.
    above = f"<p>{escape(caption[:1].upper() + caption[1:])}.</p>" if caption else ""
    text = (
        f'<table class="course-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
    return above + scrolling(text, label)


def scrolling(text, label):
    return (
        f'<div class="course-scroll" tabindex="0" role="region" aria-label="{label}">{text}</div>'
    )


def words(key):
    return key.replace("_", " ")


def cell(value):
    """An entry of a table: three numbers are an estimate and its interval."""
    if isinstance(value, list) and len(value) == 3:
        places = max(len(str(one).partition(".")[2]) for one in value)
        estimate, low, high = (f"{one:,.{places}f}".replace("-", "−") for one in value)
        return f"{estimate} [{low}, {high}]"
    return shown(value)


def shown(value):
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | float):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, list):
        return "; ".join(map(shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{words(str(key))} {shown(one)}" for key, one in value.items())
    raise TypeError(f"a benchmark holds numbers, texts, lists and dictionaries; got {value!r}")


def setup(app):
    app.add_directive("benchmark", Benchmark)
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 2}
