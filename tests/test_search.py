"""The search: what the build writes down of each section, and what the page makes of a question."""

import json
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_site import Book

ROOT = Path(__file__).parents[1]
SCRIPT = (ROOT / "book" / "static" / "search.js").read_text(encoding="utf-8")

CHAPTER = """\
# 01 · Zebras: how many stripes?

A zebra is counted from its left.

## 1 · Counting

Count $n$ stripes with `count(zebra)`; a **lottery** decides.

| zebra | quagga |
|---|---|
| tabled | 2 |

### The small print

A paragraph of its own.
"""

LIBRARY = '''\
"""A library."""


def count(zebra, start=0):
    """Count the stripes of a zebra.

    Args:
        zebra: the animal to be argued about.
    """
'''


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("search") / "book")
    cells = [
        new_markdown_cell(CHAPTER),
        new_code_cell("secret_in_code = 1\nfrom IPython.display import HTML, Markdown, display"),
        new_code_cell("HTML('<p>secret in HTML</p>')"),
        new_code_cell("Markdown('The run says seventeen giraffes.')"),
    ]
    book.add_notebook("01_one", new_notebook(cells=cells))
    book.write("course_lib/stripes.py", LIBRARY)
    book.write(
        "book/api.md", "# Library\n\n```{eval-rst}\n.. automodule:: course_lib.stripes\n```\n"
    )
    book.add_page("book/api")
    result = book.build()
    assert result.code == 0, result.log
    return book


def written(book):
    text = (book.folder / "_build/html/_static/search-sections.js").read_text(encoding="utf-8")
    rows = json.loads(text.removeprefix("window.courseSections = ").removesuffix(";\n"))
    return dict(rows)


@pytest.mark.slow
def test_sections_terms_and_objects_are_targets_of_their_own(book):
    pages = written(book)
    top, counting, small = pages["notebooks/01_one.html"]
    assert top == ["chapter", "", ["01 · Zebras: how many stripes?"], top[3]]
    assert top[3].startswith("A zebra is counted from its left.")
    assert counting[2] == ["01 · Zebras: how many stripes?", "1 · Counting"]
    assert counting[3] == "Count n stripes with count(zebra); a lottery decides."
    assert small[2][1:] == ["1 · Counting", "The small print"]
    assert small[3] == "A paragraph of its own. The run says seventeen giraffes."

    html = (book.folder / "_build/html/notebooks/01_one.html").read_text(encoding="utf-8")
    assert all(f'id="{anchor}"' in html for _, anchor, *_ in (counting, small))

    glossary = {tuple(row[2]): row for row in pages["book/glossary.html"]}
    kind, anchor, _, text = glossary["Glossary", "seed, seeds"]
    assert (kind, text) == ("term", "Starts the random numbers.")
    html = (book.folder / "_build/html/book/glossary.html").read_text(encoding="utf-8")
    assert f'id="{anchor}"' in html

    [found] = [row for row in pages["book/api.html"] if row[0] == "library"]
    assert found[1:3] == ["course_lib.stripes.count", ["Library", "course_lib.stripes.count"]]
    assert found[3] == "Count the stripes of a zebra."


@pytest.mark.slow
def test_only_what_a_reader_reads_is_found(book):
    text = json.dumps(written(book), ensure_ascii=False)
    assert "secret" not in text
    assert "quagga" not in text
    assert "argued about" not in text


@pytest.mark.slow
def test_a_page_that_is_not_written_again_stays_to_be_found(book):
    before = written(book)
    book.write("book/home.md", "# Home\n\nA new sentence about okapis.\n")
    assert book.build().code == 0
    after = written(book)
    assert "okapis" in json.dumps(after["book/home.html"])
    assert {p: rows for p, rows in after.items() if p != "book/home.html"} == {
        p: rows for p, rows in before.items() if p != "book/home.html"
    }


# --- In the browser -------------------------------------------------------------------------------


def library(name, text):
    return ["library", name, ["Library", name], text]


SECTIONS = [
    ["book/api.html", [
        ["page", "", ["Library"], ""],
        library("course_lib.tickets.draw_lottery", "Draw lottery tickets; a lottery is drawn."),
        library("course_lib.pruning.global_mask", "Keep the largest."),
    ]],
    ["book/glossary.html", [
        ["page", "", ["Glossary"], "Words."],
        ["term", "term-mask", ["Glossary", "mask"], "Says which weights are kept."],
    ]],
    ["notebooks/03_tickets.html", [
        ["chapter", "", ["03 · Lottery tickets"], "Do they? " + "much " * 100 + "<b>bold</b>"],
        ["chapter", "prune", ["03 · Lottery tickets", "1 · Pruned networks"],
         "We prune, and the lottery " + "goes on and " * 60 + "on."],
        *(["chapter", f"s{n}", ["03 · Lottery tickets", f"{n}"], "A lottery ticket."]
          for n in range(2, 6)),
    ]],
]  # fmt: skip

PAGE = """\
<!DOCTYPE html><html lang="en" data-content_root="../"><head><meta charset="utf-8">
<title>Search</title></head><body><div id="search-results"></div>
<script>var Search = {performSearch: () => fail()};
function Stemmer() { this.stemWord = word => word.replace(/(ing|ed)$/, "").replace(/y$/, "i"); }
const stopwords = ["the"];
window.courseSections = SECTIONS;</script><script>SCRIPT</script></body></html>"""


@pytest.fixture(scope="module")
def results(browser, tmp_path_factory):
    """Ask, and get the texts of the page: its status, and (page, [link, ...]) for each page."""
    path = tmp_path_factory.mktemp("search page") / "search.html"
    sections = json.dumps(SECTIONS).replace("</", "<\\/")
    path.write_text(PAGE.replace("SECTIONS", sections, 1).replace("SCRIPT", SCRIPT, 1), "utf-8")
    tab = browser.new_context().new_page()
    tab.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
    tab.goto(path.as_uri())

    def ask(query):
        tab.evaluate("query => Search.performSearch(query)", query)
        return tab

    yield ask
    tab.context.close()


def hrefs(tab):
    return [link.get_attribute("href") for link in tab.locator("#search-results li a").all()]


@pytest.mark.browser
def test_chapters_come_before_the_library(results):
    tab = results("lottery")
    assert tab.locator("#search-results h2").all_inner_texts() == [
        "03 · Lottery tickets",
        "Library",
    ]
    assert hrefs(tab)[0] == "../notebooks/03_tickets.html"
    assert "7 sections on 2 pages" in tab.locator("[role=status]").inner_text()
    assert tab.locator("details summary").inner_text() == "3 more on this page"


@pytest.mark.browser
def test_a_name_comes_first(results):
    assert hrefs(results("global_mask"))[0] == "../book/api.html#course_lib.pruning.global_mask"
    assert hrefs(results("Mask"))[0] == "../book/glossary.html#term-mask"


@pytest.mark.browser
def test_words_are_found_by_their_stem_and_only_from_their_beginning(results):
    assert hrefs(results("pruning"))[:1] == ["../notebooks/03_tickets.html#prune"]
    assert "Nothing was found" in results("ottery").locator("[role=status]").inner_text()


@pytest.mark.browser
def test_all_words_are_wanted_and_common_ones_are_not(results):
    assert hrefs(results("the pruned lottery")) == ["../notebooks/03_tickets.html#prune"]
    tab = results("lottery zebra")
    assert "No section has all the words" in tab.locator("[role=status]").inner_text()
    assert hrefs(tab)


@pytest.mark.browser
def test_an_excerpt_is_prose_round_the_words_and_never_markup(results):
    tab = results("lottery prune")
    [text] = tab.locator("#search-results li p").all_inner_texts()
    assert text.startswith("We prune, and the lottery goes on")
    assert text.endswith("…")
    assert len(text) < 400
    assert tab.locator("#search-results li p mark").all_inner_texts() == ["prune", "lottery"]
    tab = results("bold")
    assert "<b>bold</b>" in tab.locator("#search-results li p").first.inner_text()
    assert not tab.locator("#search-results li p b").count()


@pytest.mark.browser
@pytest.mark.parametrize(
    "query", ["", "  ", "(", ".*", "\\", "<img src=x onerror=fail()>", "?" * 50]
)
def test_odd_questions_do_no_harm(results, query):
    tab = results(query)
    assert tab.locator("[role=status]").count() == 1
    assert not tab.locator("#search-results img").count()
