"""What stands round a chapter: its card, its last lines, and its place on the map of chapters.

* Below the title: minutes to read, estimated from the text; seconds to run, as the last execution
  took them; the claims on trial. The notebook's own card has rough words for the first two, for
  readers in Colab; the site leaves those rows out, so that a page says one thing.
  Below it a switch for how much code the page shows.
* At the end: how to report a mistake (if the repository's address is known), how to cite (from
  `CITATION.cff`), the versions that the chapter ran with (from the output of its setup cell), and
  how to print it.

Directives, for pages in `book/`:

* `{chapter-map}`: all chapters, a part a line: `I Sparse weights: 01 Pruning · 02 Penalties`. A
  chapter whose notebook is in the book is a link; the others are said to be planned;
* `{course-citation}`: how to cite the course.

A chapter is a notebook `notebooks/NN_name.ipynb`, NN its number. A second notebook of a chapter has
a letter behind the number in its title, `01b · Costs`, and is called so on the map.
"""

import re
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import yaml
from course_ledger import executed, pages_with_claims, short_title, store
from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

CHAPTER = re.compile(r"notebooks/(\d\d)_\w+")
WORDS_A_MINUTE = 200
LINES_A_MINUTE = 40  # of code that the page shows
SECONDS_A_FIGURE = 20  # for a displayed equation too
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
SOLUTION = re.compile(r"<details>(\s*<summary>Solution\b)")
ROUGH_ROWS = {"To read", "To run"}  # of the notebook's card


# --- What is known of a chapter -------------------------------------------------------------


def words(markdown):
    """The number of words that a reader of this Markdown sees: no math, tags, addresses or code."""
    prose = re.sub(r"```.*?```|\$\$.*?\$\$|<!--.*?-->", " ", markdown, flags=re.DOTALL)
    prose = re.sub(r"\]\([^)]*\)|<[^>]*>", " ", prose)
    return len(re.findall(r"\w[\w’'-]*", prose))


def minutes_to_read(notebook):
    """How long an executed notebook takes to read, in whole minutes; at least one."""
    minutes = 0.0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            minutes += words(cell["source"]) / WORDS_A_MINUTE
            minutes += cell["source"].count("$$") / 2 * SECONDS_A_FIGURE / 60
        elif cell["cell_type"] == "code":
            if not HIDDEN & set(cell["metadata"].get("tags", [])):
                lines = sum(line.strip() != "" for line in cell["source"].splitlines())
                minutes += lines / LINES_A_MINUTE
            for output in cell["outputs"]:
                data = output.get("data", {})
                minutes += words(data.get("text/markdown", "")) / WORDS_A_MINUTE
                minutes += data.get("text/html", "").count("</figure>") * SECONDS_A_FIGURE / 60
    return max(1, round(minutes))


def versions(notebook):
    """The versions and the machine that `course_lib.setup` printed; None if it did not."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "setup" in cell["metadata"].get("tags", []):
            printed = [o["text"] for o in cell["outputs"] if o["output_type"] == "stream"]
            lines = [line for line in "".join(printed).splitlines() if " · " in line]
            if len(lines) >= 2:
                return lines[0], lines[1].partition(" · seeds")[0]
    return None


def in_seconds(seconds):
    """A time as a reader wants it: "77 seconds", "2.5 minutes"."""
    if seconds < 99.5:
        number = max(1, round(seconds))
        return f"{number} second{'s' * (number > 1)}"
    return f"{seconds / 60:.1f} minutes"


def collect(app, doctree):
    """After `course_ledger`, whose store keeps it, so that pages that show it are written anew."""
    env = app.env
    if not CHAPTER.fullmatch(env.docname):
        return
    notebook = executed(env, env.docname)
    ran = NbMetadataCollector.get_exec_data(env, env.docname)
    found = versions(notebook)
    if found is None:
        logger.info("[chapter] %s: no setup cell printed versions", env.docname)
    store(env)[env.docname] |= {
        "minutes": minutes_to_read(notebook),
        "seconds": ran["runtime"] if ran else None,
        "versions": found,
    }


def drop_rough_rows(app, doctree, page):
    if not CHAPTER.fullmatch(page):
        return
    for row in list(doctree.findall(nodes.row)):
        if row.children and row.children[0].astext().strip() in ROUGH_ROWS:
            row.parent.remove(row)


# --- How to cite ----------------------------------------------------------------------------


def citation(app):
    """The fields of CITATION.cff that a citation needs; None if there is no such file."""
    path = Path(app.srcdir, "CITATION.cff")
    if not path.is_file():
        return None
    fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = {"title", "authors", "version"} - set(fields if isinstance(fields, dict) else {})
    if missing:
        logger.warning("[chapter] CITATION.cff has no %s", ", ".join(sorted(missing)))
        return None
    people = [
        person.get("name") or f"{person.get('given-names', '')} {person['family-names']}".strip()
        for person in fields["authors"]
    ]
    # The day of a release, if there was one; else the year that the book's copyright names.
    year = str(fields.get("date-released") or app.config.copyright)[:4]
    url = app.config.html_baseurl or fields.get("repository-code", "")
    return {**fields, "people": people, "year": year, "url": url}


def how_to_cite(app, chapter="", target=""):
    """A sentence and BibTeX; of a chapter, if its title is given. Empty without CITATION.cff."""
    fields = citation(app)
    if fields is None:
        return ""
    url = fields["url"] + (target if app.config.html_baseurl else "")
    stop = "" if chapter.endswith(("?", "!")) else "."
    where = f"“{escape(chapter)}{stop}” In " if chapter else ""
    sentence = (
        f"{escape(', '.join(fields['people']))} ({fields['year']}). {where}"
        f"<cite>{escape(fields['title'])}</cite>, version {escape(str(fields['version']))}."
    )
    entry = {
        "author": " and ".join(f"{{{name}}}" for name in fields["people"]),
        "title": f"{{{fields['title']}}}",
        "year": fields["year"],
        "note": f"{chapter + stop + ' ' if chapter else ''}Version {fields['version']}",
        **({"url": url} if url else {}),
    }
    lines = "".join(f"  {name:<6} = {{{value}}},\n" for name, value in entry.items())
    link = f' <a href="{escape(url)}">{escape(url)}</a>' if url else ""
    bibtex = escape(f"@misc{{sparse_by_experiment,\n{lines}}}")
    return f"""
<p>{sentence}{link}</p>
<details class="course-bibtex"><summary>BibTeX</summary>
<pre tabindex="0" aria-label="BibTeX">{bibtex}</pre></details>"""


class citation_placeholder(nodes.General, nodes.Element):
    """Where the citation stands, until it is known where the site stands."""


class CourseCitation(SphinxDirective):
    def run(self):
        self.env.note_dependency(str(Path(self.env.srcdir, "CITATION.cff")))
        return [citation_placeholder()]


def write_citation(app, doctree, page):
    for spot in list(doctree.findall(citation_placeholder)):
        spot.replace_self(nodes.raw("", how_to_cite(app), format="html"))


# --- The card and the last lines ------------------------------------------------------------


def card(app, page):
    facts = store(app.env)[page]
    items = [f"about {facts['minutes']} minute{'s' * (facts['minutes'] > 1)} to read"]
    if facts["seconds"] is not None:
        measured = '<a href="#about-this-chapter">measured</a>' if facts["versions"] else "measured"
        items.append(f"{in_seconds(facts['seconds'])} to run, {measured}")
    if claims := len(facts["claims"]):
        items.append(f"{claims} claim{'s' * (claims > 1)} on trial")
    written = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="chapter-card" aria-label="About this chapter">{written}</ul>'


def report_link(app, page):
    """Opens an issue that already says which page it is about; empty if there is no address."""
    repository = app.config.html_theme_options.get("repository_url")
    if not repository:
        return ""
    name = short_title(app.env, page)
    issue = {
        "title": f"Mistake in {name}",
        "body": f"Page: {page}\n\nWhat is wrong, and what would be right?\n",
    }
    return (
        f'<p><a href="{escape(repository)}/issues/new?{escape(urlencode(issue))}">'
        "Report a mistake</a> on this page.</p>"
    )


# The script shows it: without one, code is as its author left it.
CODE_SWITCH = """
<form class="code-switch" hidden><fieldset><legend>Code</legend>
<label><input type="radio" name="code" value="ideas" checked> the ideas</label>
<label><input type="radio" name="code" value="all"> all</label>
<label><input type="radio" name="code" value="none"> none</label>
</fieldset></form>"""

# The script shows it: without one, a reader prints by the browser's menu, without the answers.
PRINT = """
<form class="course-print" aria-labelledby="print-this-chapter" hidden>
<h3 id="print-this-chapter">Print</h3>
<label><input type="checkbox" name="code" checked> with code</label>
<label><input type="checkbox" name="answers"> with solutions and answers</label>
<button type="submit">Print this page</button>
</form>"""


def last_lines(app, page):
    facts = store(app.env)[page]
    ran = ""
    if facts["versions"] is not None:
        took = f"{in_seconds(facts['seconds'])} in all" if facts["seconds"] is not None else ""
        lines = "<br>".join(filter(None, [*map(escape, facts["versions"]), took]))
        ran = f'<h3>Ran with</h3>\n<div class="ran-with">{lines}</div>'
    title = app.env.titles[page].astext()
    cite = how_to_cite(app, title, app.builder.get_target_uri(page))
    cite = f"<h3>How to cite</h3>\n{cite}" if cite else ""
    report = report_link(app, page)
    report = f"<h3>Something wrong?</h3>\n{report}" if report else ""
    return f"""
<aside class="chapter-end" aria-labelledby="about-this-chapter">
<h2 id="about-this-chapter">About this chapter</h2>
{ran}{cite}{report}{PRINT}</aside>"""


def frame(app, page, template, context, doctree):
    """Put both into the page and not into the document: the search is for the chapter's text."""
    if doctree is None or not CHAPTER.fullmatch(page) or page not in store(app.env):
        return
    body = context["body"]
    body = body.replace("</h1>", f"</h1>\n{card(app, page)}{CODE_SWITCH}", 1) + last_lines(
        app, page
    )
    # Docutils leaves HTML as an author wrote it; for paper it must be known what gives answers.
    context["body"] = SOLUTION.sub(r'<details class="course-solution">\1', body)
    app.add_js_file("chapter.js", loading_method="defer")
    app.add_js_file("print.js", loading_method="defer")


def note_citation(app, doctree):
    if CHAPTER.fullmatch(app.env.docname):
        app.env.note_dependency(str(Path(app.srcdir, "CITATION.cff")))


# --- The map --------------------------------------------------------------------------------


class map_placeholder(nodes.General, nodes.Element):
    """Where the map stands, until all notebooks have been read."""


class ChapterMap(SphinxDirective):
    has_content = True

    def run(self):
        found = []
        for row in filter(None, self.content):
            part, _, names = row.partition(": ")
            chapters = [re.fullmatch(r"(\d\d[a-z]?) (\S.*)", name) for name in names.split(" · ")]
            if not part or None in chapters:
                raise self.error(
                    "a line of the map is 'I Part: 01 Name · 02 Name', each chapter with two "
                    f"digits, a second notebook of it with a letter more; got {row!r}"
                )
            found.append((part, [chapter.groups() for chapter in chapters]))
        pages_with_claims(self.env).add(self.env.docname)
        return [map_placeholder(parts=found)]


def number_on_map(page, title):
    """The number that a chapter's title begins with, "01" or "01b", or else its file's."""
    number = CHAPTER.fullmatch(page)[1]
    found = re.match(rf"{number}[a-z]?(?![a-z\d])", title)
    return found[0] if found else number


def chapter_entry(app, page, number, name, written):
    chapter = written.get(number)
    if chapter is None:
        return (
            f'<li class="planned"><span class="map-number">{number} </span>{escape(name)}'
            ' <span class="course-note">planned</span></li>'
        )
    href = app.builder.get_relative_uri(page, chapter)
    facts = store(app.env)[chapter]
    times = [f"{facts['minutes']} min to read"]
    if facts["seconds"] is not None:
        times.append(f"{in_seconds(facts['seconds'])} to run")
    title = app.env.titles[chapter].astext().partition(":")[2].strip()
    is_told = not title or title.lower() == name.lower()
    question = "" if is_told else f"<br>{escape(title[:1].upper() + title[1:])}"
    # The chapter's first figure, as a thumbnail: its words are too small to be read here.
    pictures = re.findall(r"<svg\b.*?</svg>", "".join(facts["figures"][:1]), re.DOTALL)
    picture = (
        f'<span class="map-picture" aria-hidden="true">{pictures[0]}</span>' if pictures else ""
    )
    return (
        f'<li>{picture}<span class="map-number">{number} </span>'
        f'<a href="{escape(href)}">{escape(name)}</a>'
        f'{question} <span class="course-note">{", ".join(times)}</span></li>'
    )


def draw_map(app, doctree, page):
    for spot in list(doctree.findall(map_placeholder)):
        written = {}
        for chapter in sorted(filter(CHAPTER.fullmatch, store(app.env))):
            number = number_on_map(chapter, app.env.titles[chapter].astext())
            if number in written:
                twins = (written[number], chapter, number)
                logger.warning("[chapter] %s and %s are both %s on the map", *twins, location=page)
            written[number] = chapter
        on_map = {number for _, chapters in spot["parts"] for number, _ in chapters}
        for number in sorted(set(written) - on_map):
            logger.warning("[chapter] the map lacks %s", written[number], location=page)
        parts = "".join(
            f"<section><h3>{escape(part)}</h3><ul>"
            + "".join(chapter_entry(app, page, *chapter, written) for chapter in chapters)
            + "</ul></section>"
            for part, chapters in spot["parts"]
        )
        html = f'<div class="chapter-map">{parts}</div>'
        spot.replace_self(nodes.raw("", html, format="html"))


def setup(app):
    app.add_node(map_placeholder)
    app.add_node(citation_placeholder)
    app.add_directive("chapter-map", ChapterMap)
    app.add_directive("course-citation", CourseCitation)
    app.connect("doctree-read", collect, priority=600)
    app.connect("doctree-read", note_citation)
    app.connect("doctree-resolved", drop_rough_rows)
    app.connect("doctree-resolved", draw_map)
    app.connect("doctree-resolved", write_citation)
    app.connect("html-page-context", frame)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
