"""Make one PDF of the built site: its pages in the book's order, with outline and page numbers.

    python tools/make_pdf.py                     what `make pdf` runs, into _build/
    python tools/make_pdf.py --answers           with the solutions and the answers of the quizzes
    python tools/make_pdf.py --no-code           without code

The browser that the tests use prints each page by the site's style sheet book/static/print.css, and
pypdf joins what it printed. A link to another page of the book leads there inside the PDF.
"""

import argparse
import io
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pypdf import PdfWriter
from pypdf.generic import ArrayObject, NameObject

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

import browser  # noqa: E402 - beside the tests

from build_book import html_folder, pages  # noqa: E402

NAME = "sparse-by-experiment.pdf"
# A picture that waits for the reader to scroll near it would be missing on paper; the number of the
# first page goes on from the page before.
PREPARE = """first => {
  for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
  const style = document.createElement("style");
  style.textContent = `html { counter-reset: page ${first - 1} }`;
  document.head.append(style);
}"""


def print_page(tab, url, first):
    """A page of the site as the bytes of a PDF whose page numbers begin with `first`."""
    tab.goto(url)
    browser.settle(tab)
    tab.evaluate(PREPARE, first)
    return tab.pdf(format="A4", outline=True, tagged=True)


def lead_inside(writer, starts, home):
    """Turn links from page to page of the site into links inside the PDF."""
    for page in writer.pages:
        for reference in page.get("/Annots", []):
            note = reference.get_object()
            action = note.get("/A", {}).get_object() if "/A" in note else {}
            url = action.get("/URI")
            if not isinstance(url, str) or not unquote(url).startswith(unquote(home)):
                continue
            path = unquote(urlsplit(url).path.removeprefix(urlsplit(home).path))
            del note["/A"]
            if path in starts:
                target = writer.pages[starts[path]].indirect_reference
                note[NameObject("/Dest")] = ArrayObject([target, NameObject("/Fit")])


def make(chromium, root=ROOT, *, answers=False, code=True, say=print):
    """Print the site of `root` in a browser; the path of the PDF.

    Raises:
        browser.Missing: there is no site.
    """
    site = browser.built_site(html_folder(root))
    names = pages(root)
    asked = ",".join(["answers"] * answers + ["nocode"] * (not code))
    writer, starts = PdfWriter(), {}
    begun = time.perf_counter()
    with browser.served(site) as home:
        context = chromium.new_context(color_scheme="light")
        tab = context.new_page()
        for place, name in enumerate(names, 1):
            start = starts[f"{name}.html"] = len(writer.pages)
            printed = print_page(tab, f"{home}{name}.html?print={asked}", start + 1)
            writer.append(io.BytesIO(printed))  # and its outline, which begins with its title
            done = time.perf_counter() - begun
            left = done / place * (len(names) - place)
            said = f"{len(writer.pages) - start} pages on paper, {left:.0f} s left"
            say(f"{place} of {len(names)}: {name}, {said}")
        context.close()
        lead_inside(writer, starts, home)
    writer.add_metadata({"/Title": "Sparse by Experiment"})
    path, partial = root / "_build" / NAME, root / "_build" / f"{NAME}.part"
    with partial.open("wb") as file:
        writer.write(file)
    partial.replace(path)  # what was printed before stays until this is whole
    say(f"{len(writer.pages)} pages, {path.stat().st_size / 1e6:.1f} MB: {path}")
    return path


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", action="store_true", help="with solutions and answers")
    parser.add_argument("--no-code", action="store_true", help="without code")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")
    try:
        with browser.playwright() as entrance:
            chromium = browser.start(entrance)
            make(chromium, answers=options.answers, code=not options.no_code)
            chromium.close()
    except browser.Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
