"""Links that notebooks cannot write themselves: to the bibliography and to the glossary.

Notebooks hold plain CommonMark, because Colab, JupyterLab and GitHub show them too. So:

* a link to a paper, such as `[Frankle & Carbin 2019](https://arxiv.org/abs/1803.03635)`, is turned
  into a link to that paper's entry in the bibliography, with its title as hover text (the entry
  links out). A link to a paper that `references.bib` does not know is a warning: what the book says
  of a paper, it cites;
* the first use of a glossary term on a notebook's page is linked to the glossary, with the
  definition as hover text. It is shown by the style sheet too, for who comes by keyboard; where
  nothing can hover, the first tap shows it and the second follows the link (`terms.js`).

A word may mean one thing in one part of the book and another in the next: a paragraph of its
definition that begins with "*In parts II and IV:*" holds on pages of these parts only, and where no
paragraph holds, nothing is linked. A word that is more often said without its special meaning has
the line "% only in italics" in its definition: it is linked where the text sets it in italics, as
the chapters do where they introduce a word.
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
    """By page with a glossary: {term in lower case: {"page", "id", "meanings", "italics"}}.

    `meanings` are pairs of the parts of the book in which a definition holds, None for all, and its
    text.
    """
    if not hasattr(env, "course_terms"):
        env.course_terms = {}
    return env.course_terms


IN_PARTS = re.compile(r"In parts? ([IVX]+(?:(?:, | and )[IVX]+)*):")


def meanings(definition):
    """The pairs of parts and text that the paragraphs of a definition are."""
    found = []
    for paragraph in definition.findall(nodes.paragraph):
        text = paragraph.astext().replace("\n", " ")
        parts = IN_PARTS.match(text)
        if parts:
            said = text[parts.end() :].strip()
            found.append((re.findall("[IVX]+", parts[1]), said[:1].upper() + said[1:]))
        else:
            found.append((None, text))
    return found


def meaning_in(part, found):
    """What a term means in a part of the book; None if it has no meaning of its own there."""
    holding = [text for parts, text in found if parts is None or part in parts]
    return " ".join(holding) or None


def collect_terms(app, doctree):
    found = {}
    for glossary in doctree.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            definition = item.next_node(nodes.definition)
            italics = any(
                comment.astext().strip() == "only in italics"
                for comment in definition.findall(nodes.comment)
            )
            for term in item.findall(nodes.term):
                # Sphinx puts index entries inside the term; only its text is its name.
                name = "".join(
                    part.astext() for part in term.children if not isinstance(part, addnodes.index)
                )
                found[name.strip().lower()] = {
                    "page": app.env.docname,
                    "id": term["ids"][0],
                    "meanings": meanings(definition),
                    "italics": italics,
                }
    if found:
        terms(app.env)[app.env.docname] = found


def parts(env):
    """The part of the book that each page of the table of contents belongs to."""
    trees = env.tocs[env.config.root_doc].findall(addnodes.toctree)
    return {page: tree.get("caption") or "" for tree in trees for _, page in tree["entries"]}


def is_notebook(app, page):
    return str(app.env.doc2path(page)).endswith(".ipynb")


def link_terms(app, doctree, page):
    if not is_notebook(app, page):
        return
    part = parts(app.env).get(page, "").partition(" ")[0]
    known = {}
    for name, term in ((n, t) for found in terms(app.env).values() for n, t in found.items()):
        if (meaning := meaning_in(part, term["meanings"])) is not None:
            known[name] = term | {"meaning": meaning}
    if not known:
        return
    longest_first = sorted(known, key=len, reverse=True)
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in longest_first)
    pattern = re.compile(rf"(?<![\w-])({names})s?(?![\w-])", re.IGNORECASE)
    used = set()
    for text in list(doctree.findall(nodes.Text)):
        above = list(_above(text))
        if any(isinstance(node, NO_TERMS_INSIDE) for node in above):
            continue
        in_italics = any(isinstance(node, nodes.emphasis) for node in above)
        pieces, last = [], 0
        for match in pattern.finditer(text):
            name = re.sub(r"\s+", " ", match.group(1).lower())
            term = known[name]
            if name in used or (term["italics"] and not in_italics):
                continue
            used.add(name)
            target = app.builder.get_relative_uri(page, term["page"])
            link = term_link(
                "",
                match.group(),
                refuri=f"{target}#{term['id']}",
                reftitle=first_sentences(term["meaning"]),
                internal=True,
                classes=["course-term"],
            )
            pieces += [nodes.Text(text[last : match.start()]), link]
            last = match.end()
        if pieces:
            pieces.append(nodes.Text(text[last:]))
            text.parent.replace(text, pieces)


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
