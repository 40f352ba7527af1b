"""Bets on the site: scripts that cover verdicts and score bets, and the page for a class.

The scripts share their code with the widget (`course_lib/widgets/betting.js`), so that bets placed
in a chapter are found on every page. Directive: `{class-bets}`, where a class's codes are pasted.
"""

import json
from html import escape
from pathlib import Path

from course_ledger import in_order, pages_with_claims
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from course_lib import verdicts

WIDGETS = Path(verdicts.__file__).parent / "widgets"
STATIC = Path(__file__).parents[1] / "static"
PENDING = (  # before the page is drawn; taken back in any case once all is loaded
    "document.documentElement.classList.add('bets-pending');addEventListener('load',()=>"
    "document.documentElement.classList.remove('bets-pending'))"
)


def script(*names):
    """One script of the site: what bets share, then the files of these names."""
    texts = [(WIDGETS / name).read_text(encoding="utf-8") for name in ("page.js", "betting.js")]
    texts.append(f"const WORDS = {json.dumps(verdicts.MEANINGS)};")
    texts += [(STATIC / name).read_text(encoding="utf-8") for name in names]
    return "(() => {\n" + "\n".join(texts) + "\n})();\n"


def style():
    return "\n".join((WIDGETS / n).read_text(encoding="utf-8") for n in ("page.css", "bets.css"))


class class_bets(nodes.General, nodes.Element):
    """Where the directive stood, until all notebooks have been read."""


class ClassBets(SphinxDirective):
    def run(self):
        pages_with_claims(self.env).add(self.env.docname)
        return [class_bets()]


def fill(app, doctree, page):
    for spot in list(doctree.findall(class_bets)):
        claims = [
            {key: claim[key] for key in ("id", "claim", "verdict")}
            for _, claim in in_order(app.env)
        ]
        html = f'<div class="class-bets" data-claims="{escape(json.dumps(claims))}"></div>'
        spot.replace_self(nodes.raw("", html, format="html"))


def add_scripts(app, page, template, context, doctree):
    body = context.get("body", "")
    covers, of_class = "bet-result" in body, 'class="class-bets"' in body
    if covers:
        app.add_js_file(None, body=PENDING, priority=1)
        app.add_js_file("bets.js", loading_method="defer")
    if of_class:
        app.add_js_file("class-bets.js", loading_method="defer")
    if covers or of_class:
        app.add_css_file("bets.css")


def write(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    for name, text in (
        ("bets.js", script("covers.js")),
        ("class-bets.js", script("class_bets.js")),
        ("bets.css", style()),
    ):
        Path(app.outdir, "_static", name).write_text(text, encoding="utf-8")


def make_first(app):
    """Sphinx wants the files before the pages that name them."""
    folder = Path(app.outdir, "_static")
    folder.mkdir(parents=True, exist_ok=True)
    write(app, None)


def setup(app):
    app.add_node(class_bets)
    app.add_directive("class-bets", ClassBets)
    app.connect("builder-inited", make_first)
    app.connect("doctree-resolved", fill)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
