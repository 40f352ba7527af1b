"""Words of the glossary: a use leads to the meaning that the word has in that part of the book."""

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
