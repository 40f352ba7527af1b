"""Links that notebooks cannot write themselves: to the bibliography and to the glossary.

Notebooks hold plain CommonMark, because Colab, JupyterLab and GitHub show them too. So:

* a link to a paper, such as `[Frankle & Carbin 2019](https://arxiv.org/abs/1803.03635)`, is turned
  into a link to that paper's entry in the bibliography, with its title as hover text (the entry
  links out). A link to a paper that `references.bib` does not know is a warning: what the book says
  of a paper, it cites;
* the first use of a glossary term on a notebook's page is linked to the glossary, with the
  definition as hover text. It is shown by the style sheet too, for who comes by keyboard; where
  nothing can hover, the first tap shows it and the second follows the link (`terms.js`).
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Text inside these is left alone: a heading is no place for a link, a link has one already, a table
# is to be looked over, and code and math are not prose.
NO_TERMS_INSIDE = (
    nodes.table,
    nodes.title,
    nodes.caption,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.term,
    nodes.citation,
    addnodes.pending_xref,
    addnodes.compact_paragraph,
)


# --- Citations ------------------------------------------------------------------------------


def paper_address(url):
    """One spelling for each address of a paper: 'arxiv:1803.03635' or 'doi:10.1000/xyz'.

    None for any other address.
    """
    arxiv = re.match(r"https?://(?:www\.)?arxiv\.org/(?:abs|pdf|html)/([^?#]+?)(?:\.pdf)?$", url)
    if arxiv:
        return "arxiv:" + re.sub(r"v\d+$", "", arxiv.group(1).rstrip("/").lower())
    doi = re.match(r"https?://(?:dx\.)?doi\.org/(.+)$", url)
    if doi:
        return "doi:" + doi.group(1).lower()
    return None


def addresses(entry):
    """All addresses under which a paper of the bibliography may be linked."""
    fields = entry.fields
    found = set()
    if "eprint" in fields:
        found.add("arxiv:" + fields["eprint"].lower())
    if "doi" in fields:
        found.add("doi:" + fields["doi"].lower())
    if "url" in fields:
        found.add(paper_address(fields["url"]) or fields["url"].rstrip("/"))
    return found


def title(citation):
    return re.sub(r"[{}]", "", citation.entry.fields.get("title", ""))


def known_papers(env):
    """The citations of the bibliography, by each of their addresses."""
    citations = env.get_domain("cite").citations
    return {address: citation for citation in citations for address in addresses(citation.entry)}


def entry_link(app, page, citation):
    """Where a citation's entry stands, as seen from a page."""
    target = app.builder.get_relative_uri(page, citation.bibliography_key.docname)
    return f"{target}#{citation.citation_id}"


def link_citations(app, doctree, page):
    bibliographies = {key.docname for key in app.env.get_domain("cite").bibliographies}
    if page in bibliographies:
        return
    known = known_papers(app.env)
    for link in doctree.findall(nodes.reference):
        url = link.get("refuri", "")
        paper = paper_address(url)
        citation = known.get(paper or url.rstrip("/"))
        if citation is not None:
            link["refuri"] = entry_link(app, page, citation)
            link["reftitle"] = title(citation)
            link["internal"] = True
            link["classes"].append("course-citation")
        elif paper is not None and bibliographies:
            logger.warning(
                "[links] %s is not in the bibliography (book/references.bib)",
                url,
                location=(page, link.line),
                type="links",
            )


# --- Glossary -------------------------------------------------------------------------------

HOVER_LENGTH = 200  # characters; a definition's first sentence is shown however long it is


class term_link(nodes.reference):
    """A link to the glossary that carries the definition; other formats write a plain link."""


def visit_term_link(self, node):
    attributes = {"href": node["refuri"], "title": node["reftitle"]}
    attributes["data-definition"] = node["reftitle"]
    self.body.append(self.starttag(node, "a", "", CLASS="reference internal", **attributes))


def depart_term_link(self, node):
    self.body.append("</a>")


def first_sentences(definition):
    """As many whole sentences of a definition as hover text has room for; at least one."""
    first, *others = re.split(r"(?<=[.!?])\s+(?=[A-Z])", definition.strip())
    for sentence in others:
        if len(first) + len(sentence) >= HOVER_LENGTH:
            break
        first = f"{first} {sentence}"
    return first


def terms(env):
    """By page with a glossary: {term in lower case: (page, id, definition)}."""
    if not hasattr(env, "course_terms"):
        env.course_terms = {}
    return env.course_terms


def collect_terms(app, doctree):
    found = {}
    for glossary in doctree.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            definition = " ".join(
                part.astext().replace("\n", " ") for part in item.findall(nodes.definition)
            )
            for term in item.findall(nodes.term):
                # Sphinx puts index entries inside the term; only its text is its name.
                name = "".join(
                    part.astext() for part in term.children if not isinstance(part, addnodes.index)
                )
                found[name.strip().lower()] = (app.env.docname, term["ids"][0], definition)
    if found:
        terms(app.env)[app.env.docname] = found


def is_notebook(app, page):
    return str(app.env.doc2path(page)).endswith(".ipynb")


def link_terms(app, doctree, page):
    if not is_notebook(app, page):
        return
    known = {name: place for found in terms(app.env).values() for name, place in found.items()}
    if not known:
        return
    longest_first = sorted(known, key=len, reverse=True)
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in longest_first)
    pattern = re.compile(rf"(?<![\w-])({names})s?(?![\w-])", re.IGNORECASE)
    used = set()
    for text in list(doctree.findall(nodes.Text)):
        if any(isinstance(above, NO_TERMS_INSIDE) for above in _above(text)):
            continue
        parts, last = [], 0
        for match in pattern.finditer(text):
            name = re.sub(r"\s+", " ", match.group(1).lower())
            if name in used:
                continue
            used.add(name)
            where, anchor, definition = known[name]
            target = app.builder.get_relative_uri(page, where)
            link = term_link(
                "",
                match.group(),
                refuri=f"{target}#{anchor}",
                reftitle=first_sentences(definition),
                internal=True,
                classes=["course-term"],
            )
            parts += [nodes.Text(text[last : match.start()]), link]
            last = match.end()
        if parts:
            parts.append(nodes.Text(text[last:]))
            text.parent.replace(text, parts)


def _above(node):
    while node.parent is not None:
        node = node.parent
        yield node


# --- Keeping up with changes ----------------------------------------------------------------


def note_dependencies(app, doctree):
    """A page with such links is read again when the bibliography or the glossary changes."""
    env = app.env
    if any(paper_address(link.get("refuri", "")) for link in doctree.findall(nodes.reference)):
        for bibliography in app.config.bibtex_bibfiles:
            env.note_dependency(str(Path(app.srcdir, bibliography)))
    if is_notebook(app, env.docname):
        for page in env.found_docs:
            if page.rsplit("/", 1)[-1] == "glossary":
                env.note_dependency(str(env.doc2path(page)))


def purge(app, env, page):
    terms(env).pop(page, None)


def merge(app, env, pages, other):
    terms(env).update({page: found for page, found in terms(other).items() if page in pages})


def add_taps(app, page, template, context, doctree):
    if 'data-definition="' in context.get("body", ""):
        app.add_js_file("terms.js", loading_method="defer")


def setup(app):
    app.add_node(term_link, html=(visit_term_link, depart_term_link))
    app.connect("html-page-context", add_taps)
    app.connect("doctree-read", collect_terms)
    app.connect("doctree-read", note_dependencies)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("doctree-resolved", link_citations)
    app.connect("doctree-resolved", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
