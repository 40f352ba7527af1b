"""The table of exercises: on how many wrong answers, right answers and mutants a check was tried.

The tests make `results/exercise-table.json`. Here it becomes a table (directive `exercise-table`)
and, for programs, the file `exercises.json` of the site.
"""

import json
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

TABLE = "results/exercise-table.json"
HEADS = ("Exercise", "Wrong failed", "Right passed", "Mutants failed", "Spared")


class ExerciseTable(SphinxDirective):
    def run(self):
        path = Path(self.env.srcdir, TABLE)
        self.env.note_dependency(str(path))
        if not path.is_file():
            logger.warning("[exercises] there is no %s", TABLE, location=self.get_location())
            return []
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [nodes.raw("", table(rows) + "".join(map(details, rows)), format="html")]


def table(rows):
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    body = "".join(
        f'<tr><th scope="row">{escape(row["title"])}<br><code>{escape(row["id"])}</code></th>'
        f"<td>{row['wrong_killed']} of {row['wrong_total']}</td>"
        f"<td>{row['right_passed']} of {row['right_total']}</td>"
        f"<td>{row['mutants_killed']} of {row['mutants_total']}</td>"
        f"<td>{row['equivalent']}</td></tr>"
        for row in rows
    )
    return f"""
<div class="course-scroll" tabindex="0" role="region" aria-label="What each check was tried on">
<table class="course-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def details(row):
    mistakes = "".join(f"<li>{escape(text)}</li>" for text in row["mistakes"])
    survivors = "".join(
        f"<li><code>{escape(one['mutant'].strip('`'))}</code>: {escape(one['reason'])}</li>"
        for one in row["survivors"]
    )
    spared = f"<p>Mutants that give the right answer:</p><ul>{survivors}</ul>" if survivors else ""
    return f"""
<details class="course-details">
<summary>{escape(row["title"])}: the mistakes that its check names</summary>
<ul>{mistakes}</ul>{spared}</details>"""


def write_json(app, exception):
    path = Path(app.srcdir, TABLE)
    if exception is None and app.builder.format == "html" and path.is_file():
        text = path.read_text(encoding="utf-8")
        Path(app.outdir, "exercises.json").write_text(text, encoding="utf-8")


def setup(app):
    app.add_directive("exercise-table", ExerciseTable)
    app.connect("build-finished", write_json)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
