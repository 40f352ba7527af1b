"""Words of the glossary: a use leads to the meaning that the word has in that part of the book."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook
from test_site import Book

ROOT = Path(__file__).parents[1]

GLOSSARY = """\
# Glossary

```{glossary}
sparse
  *In parts I and III:* with most weights at zero.

  *In part IV:* with few large activations. Not all zero.

round
  % only in italics
  One pass of training and pruning.

mask
  Says which weights are kept.
```
"""

TOC = """\
format: jb-book
root: book/home
parts:
- caption: I Weights
  chapters:
  - file: notebooks/01_one
- caption: II Features
  chapters:
  - file: notebooks/05_five
- caption: IV Activations
  chapters:
  - file: notebooks/12_twelve
- caption: Reference
  chapters:
  - file: book/ledger
  - file: book/glossary
  - file: book/references
"""

TEXT = "# {title}\n\nA sparse one, a round hole, a *round* of three, another *round*, a mask.\n"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("terms") / "book")
    book.write("_toc.yml", TOC)
    book.write("book/glossary.md", GLOSSARY)
    for name in ("01_one", "05_five", "12_twelve"):
        cells = [new_markdown_cell(TEXT.format(title=name[:2]))]
        book.add_notebook(name, new_notebook(cells=cells))
    result = book.build()
    assert result.code == 0, result.log
    return {
        name: [
            (link.get_text(), link["data-definition"], link.parent.name)
            for link in BeautifulSoup(html, "html.parser").select("a.course-term")
        ]
        for name, html in result.pages.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "sparse"),
    [
        ("01_one", "With most weights at zero."),
        ("05_five", None),
        ("12_twelve", "With few large activations. Not all zero."),
    ],
)
def test_a_term_means_what_it_means_in_its_part(pages, page, sparse):
    found = pages[f"notebooks/{page}.html"]
    expected = [("sparse", sparse, "p")] if sparse else []
    # The round hole is not the one of the glossary; the word in italics is, once.
    assert found == [
        *expected,
        ("round", "One pass of training and pruning.", "em"),
        ("mask", "Says which weights are kept.", "p"),
    ]


# --- The whole book ---------------------------------------------------------------------------


def glossary(site):
    """Each term with its meanings: {name: [(parts or None, text), ...]}."""
    page = BeautifulSoup((site / "book" / "glossary.html").read_text("utf-8"), "html.parser")
    known = {}
    for definition in page.select("dl.glossary > dd"):
        found = []
        for paragraph in definition.find_all("p"):
            text = " ".join(paragraph.get_text().split())
            parts = re.match(r"In parts? ([IVX, and]+): (.*)", text)
            found.append((set(re.findall("[IVX]+", parts[1])), parts[2]) if parts else (None, text))
        term = definition
        while (term := term.find_previous_sibling()) is not None and term.name == "dt":
            known[" ".join(term.get_text().rstrip("#").split()).lower()] = found
    return known


@pytest.mark.browser  # it looks at the built site
def test_each_use_in_the_book_has_a_meaning_that_holds_in_its_part(site):
    """And all of them are listed in `_build/term-uses.txt`, by sense, to be read over."""
    known, uses = glossary(site), {}
    assert len(known) > 150
    for path in sorted((site / "notebooks").glob("*.html")):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        part = re.search(r"Part ([IVX]+),", page.article.get_text())
        for link in page.select("a.course-term"):
            name = " ".join(link.get_text().lower().split())
            meanings = known.get(name) or known[name.removesuffix("s")]
            holding = [text for parts, text in meanings if parts is None or part[1] in parts]
            said = link["data-definition"]
            assert holding, f"{path.name}: {name} means nothing in part {part[1]}"
            assert holding[0].lower().startswith(said[:40].lower()), (path.name, name, said)
            sentence = " ".join(link.find_parent(["p", "li", "dd", "div"]).get_text().split())
            at = sentence.find(link.get_text())
            uses.setdefault((name, said), []).append(
                f"    {path.stem}: … {sentence[max(0, at - 50) : at + 60]} …"
            )
    lines = []
    for (name, said), places in sorted(uses.items()):
        lines += [f"{name}: {said}", *places]
    listed = ROOT / "_build" / "term-uses.txt"
    listed.parent.mkdir(exist_ok=True)
    listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
