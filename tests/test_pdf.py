"""The book as one PDF: pages in order, numbered through, links inside, answers if asked for."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pypdf import PdfReader
from test_site import Book

import make_pdf  # tools/ is on the path: see pyproject.toml

CHAPTER = """\
# 01 · Zebras: how many?

As the [glossary](../book/glossary.md) and [a page outside](https://example.org/stripes) say.

## 1 · Counting

LINES

<details>
<summary>Hint: count</summary>

Begin at the left.

</details>

<details>
<summary>Solution: count</summary>

There are fortytwo stripes.

</details>
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("pdf") / "book")
    text = CHAPTER.replace("LINES", "A line of the chapter.\n\n" * 60)
    cells = [new_markdown_cell(text), new_code_cell("print('codeoutput')  # codesource")]
    book.add_notebook("01_one", new_notebook(cells=cells))
    result = book.build()
    assert result.code == 0, result.log
    return book


def printed(browser, book, **options):
    said = []
    path = make_pdf.make(browser, book.folder, say=said.append, **options)
    reader = PdfReader(path)
    return reader, [" ".join(page.extract_text().split()) for page in reader.pages], said


@pytest.mark.browser
@pytest.mark.slow
def test_one_pdf_of_the_whole_book(book, browser):
    reader, texts, said = printed(browser, book)
    whole = " ".join(texts)
    assert re.search(r"Home.*Ledger.*Glossary.*References.*01 · Zebras", whole)
    assert [int(text.split()[0]) for text in texts] == list(range(1, len(texts) + 1))
    assert len(texts) > 5
    assert "Begin at the left." in whole
    assert "codesource" in whole
    assert "fortytwo" not in whole
    assert "Print this page" not in whole

    titles = [item.title for item in reader.outline if not isinstance(item, list)]
    assert titles == ["Home", "Ledger", "Glossary", "References", "01 · Zebras: how many?"]
    chapter = next(n for n, text in enumerate(texts) if text.startswith(f"{n + 1} 01 · Zebras"))
    assert reader.get_destination_page_number(reader.outline[-2]) == chapter
    assert [item.title for item in reader.outline[-1] if not isinstance(item, list)][:1] == [
        "1 · Counting"
    ]

    notes = [note.get_object() for page in reader.pages for note in page.get("/Annots", [])]
    addresses = [n["/A"].get("/URI") for n in notes if "/A" in n]
    assert "https://example.org/stripes" in addresses
    assert not [a for a in addresses if a and "127.0.0.1" in a]
    glossary = next(n for n, text in enumerate(texts) if text.startswith(f"{n + 1} Glossary"))
    targets = [n["/Dest"][0].get_object() for n in notes if isinstance(n.get("/Dest"), list)]
    assert reader.pages[glossary].get_object() in targets
    assert said[-1].startswith(f"{len(texts)} pages, ")
    assert said[0].startswith("1 of 5: book/home, 1 pages on paper, ")


@pytest.mark.browser
@pytest.mark.slow
def test_answers_and_no_code_if_asked_for(book, browser):
    _, texts, _ = printed(browser, book, answers=True, code=False)
    whole = " ".join(texts)
    assert "fortytwo" in whole
    assert "codesource" not in whole
    assert "codeoutput" in whole
