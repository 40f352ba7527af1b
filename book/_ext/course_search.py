"""The search: sections as targets, chapters before the library, excerpts of the book's own prose.

Sphinx's search knows pages, and cuts its excerpts from whole pages, menus included; from a file it
cannot cut any. So the build writes down what stands in each section, a term of the glossary and an
object of the library counting as one, into `search-sections.js`, and `search.js` searches there. A
script is loaded from a file too, where a page cannot be fetched.

Code, tables, formulas and outputs in HTML are left out: the search is for the text, and a verdict
is not to be read before the chapter is.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

SILENT = (
    nodes.literal_block,
    nodes.math_block,
    nodes.table,
    nodes.raw,
    nodes.comment,
    nodes.system_message,
    nodes.title,
)
KINDS = ("chapter", "page", "term", "library")  # the script's order of preference


def prose(node, inside=()):
    """The text of a node as a reader sees it, without `SILENT` parts and those in `inside`."""
    if isinstance(node, nodes.Text):
        return str(node)
    if isinstance(node, (*SILENT, *inside)):
        return " "
    gap = "" if isinstance(node, (nodes.Inline, nodes.math)) else " "
    return gap + "".join(prose(child, inside) for child in node.children) + gap


def tidy(text):
    return " ".join(text.split())


def sections(doctree, page):
    """What a page has to be found by: rows [kind, anchor, headings, text].

    `headings` are the titles from the page's own down to the section's.
    """
    kind = "chapter" if page.startswith("notebooks/") else "page"
    rows = []

    def walk(section, above):
        title = section.next_node(nodes.title)
        headings = [*above, tidy(title.astext())]
        anchor = section["ids"][-1] if above and section["ids"] else ""
        apart = (nodes.section, addnodes.glossary, addnodes.desc)
        text = tidy("".join(prose(child, apart) for child in section.children))
        rows.append([kind, anchor, headings, text])
        for glossary in (g for g in section.children if isinstance(g, addnodes.glossary)):
            for item in glossary.findall(nodes.definition_list_item):
                terms = list(item.findall(nodes.term))
                names = [tidy(term.astext()) for term in terms]
                meaning = tidy("".join(prose(d) for d in item.findall(nodes.definition)))
                rows.append(["term", terms[0]["ids"][0], [headings[0], ", ".join(names)], meaning])
        for child in section.children:
            if isinstance(child, nodes.section):
                walk(child, headings)

    for section in (s for s in doctree.children if isinstance(s, nodes.section)):
        walk(section, [])
    for described in doctree.findall(addnodes.desc):
        signature = described.next_node(addnodes.desc_signature)
        if signature is not None and signature["ids"]:
            content = described.next_node(addnodes.desc_content)
            text = tidy(prose(content, (addnodes.desc, nodes.field_list))) if content else ""
            title = rows[0][2][0] if rows else page
            rows.append(["library", signature["ids"][0], [title, signature["ids"][0]], text])
    return rows


def folder(app):
    return Path(app.doctreedir) / "course-search"


def keep(app, doctree, page):
    """A page that is not written again keeps what it had."""
    if app.builder.format != "html":
        return
    path = folder(app) / f"{page}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = json.dumps(sections(doctree, page), ensure_ascii=False)
    path.write_text(rows, encoding="utf-8")


def write(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    pages = []
    for page in sorted(app.env.found_docs):
        path = folder(app) / f"{page}.json"
        if path.is_file():
            rows = json.loads(path.read_text(encoding="utf-8"))
            pages.append([app.builder.get_target_uri(page), rows])
    text = json.dumps(pages, ensure_ascii=False, separators=(",", ":"))
    written = f"window.courseSections = {text};\n"
    Path(app.outdir, "_static", "search-sections.js").write_text(written, encoding="utf-8")


def add_scripts(app, page, template, context, doctree):
    if page == "search":
        app.add_js_file("search-sections.js", loading_method="defer")
        app.add_js_file("search.js", loading_method="defer")


def setup(app):
    app.connect("doctree-resolved", keep, priority=900)  # after every change to the text
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
