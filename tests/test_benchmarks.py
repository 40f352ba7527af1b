"""Benchmarks: their results on the page, whole and as measured, and the tool that runs them."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from test_site import Book, soup  # beside this file

import bench

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import course_benchmarks  # noqa: E402

FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
NESTED = {
    "topk": {"ours": {"fvu": 0.125, "share_of_five_products": 1.5}, "sparsify": {"fvu": 0.25}},
    "jumprelu": {"ours": {"fvu": -0.375}},
    "platform": "Linux <x86>",
}


def texts(html, of):
    return [one.get_text() for one in BeautifulSoup(html, "html.parser").select(of)]


def numbers(value):
    """Every number of a file."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


# --- The tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_of_a_file_is_shown(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    shown = re.findall(r"−?[\d,]*\d\.?\d*(?:e−\d+)?", course_benchmarks.markup(path.stem, content))
    found = {float(text.replace(",", "").replace("−", "-")) for text in shown}
    assert set(map(float, numbers(content))) <= found


def test_a_row_for_each_result():
    rows = [
        {"arm": "a < b", "ratio": [1.0, 0.75, 2.25], "left": [20557, 20558]},
        {"arm": "ours", "gap_pp": -0.5, "left": [1234567]},
    ]
    content = {"results": rows, "intervals": "ratio with its interval", "seeds": [0, 1]}
    html = course_benchmarks.markup("one", content)
    assert texts(html, "thead th") == ["arm", "ratio", "left", "gap pp"]
    cells = texts(html, ".course-scroll td")
    assert cells[:4] == ["a < b", "1.00 [0.75, 2.25]", "20,557; 20,558", "–"]
    assert cells[4:] == ["ours", "–", "1,234,567", "−0.5"]
    assert texts(html, "p") == ["Ratio with its interval."]
    assert texts(html, "details td") == ["0; 1"]


def test_a_row_for_each_inner_dictionary():
    html = course_benchmarks.markup("autoencoders", NESTED)
    assert texts(html, "thead th") == ["", "arm", "fvu", "share of five products"]
    rows = [texts(str(row), "td") for row in BeautifulSoup(html, "html.parser").select("tbody tr")]
    assert rows[:3] == [
        ["topk", "ours", "0.125", "1.5"],
        ["topk", "sparsify", "0.25", "–"],
        ["jumprelu", "ours", "−0.375", "–"],
    ]
    assert texts(html, "details td") == ["Linux <x86>"]


def test_what_is_no_table_is_a_list():
    html = course_benchmarks.markup("replicate", {"runs": 1200, "seconds_with_1": [68.5, 69.8, 70]})
    assert texts(html, "th") == ["runs", "seconds with 1"]
    assert texts(html, "td") == ["1,200", "68.5; 69.8; 70"]  # three runs, no interval
    assert "details" not in html


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(TypeError, match="numbers, texts, lists and dictionaries; got "):
        course_benchmarks.markup("bad", {"runs": object()})


# --- The page -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_shows_every_file(tmp_path):
    book = Book(tmp_path / "book")
    book.write("book/benchmarks.md", (ROOT / "book" / "benchmarks.md").read_text(encoding="utf-8"))
    shutil.copytree(ROOT / "benchmarks" / "results", book.folder / "benchmarks" / "results")
    book.write("benchmarks/results/later_one.json", json.dumps(NESTED))
    book.add_page("book/benchmarks")
    # The page as it is links to nothing that the small book lacks.
    built = book.build()
    assert built.code == 0, built.log
    page = soup(built, "book/benchmarks.html")
    assert [one.get_text() for one in page.select("p.rubric")][-1] == "later one"
    assert len(page.select(".course-scroll")) == len({*FILES, "later_one"})
    for path in FILES:
        said = f"Results of the benchmark {path.stem}"
        assert len(page.select(f'[aria-label="{said}"]')) == 1, path.stem
    # It is read again if a file comes or goes, and only then.
    assert "0 added, 0 changed, 0 removed" in book.build().log
    (book.folder / "benchmarks/results/later_one.json").rename(
        book.folder / "benchmarks/results/last_one.json"
    )
    page = soup(book.build(), "book/benchmarks.html")
    assert "last one" in [one.get_text() for one in page.select("p.rubric")]
    assert "later one" not in page.get_text()
    book.write("book/benchmarks.md", "# Side by side\n\n```{benchmark} absent\n```\n")
    failed = book.build()
    assert failed.code
    assert "there is no" in failed.log


# --- The tool -------------------------------------------------------------------------------------


def test_the_tool_knows_every_benchmark_and_calls_it(monkeypatch, tmp_path, capsys):
    assert bench.NAMES == ["autoencoders", "recording", "replicate", "structured", "tickets"]
    called = []

    def run(command, **more):
        called.append(command[1:])
        return type("Done", (), {"returncode": int("replicate" in command[1])})

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "BESIDE", ROOT / "absent")
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert bench.main([]) == 1  # one of them failed
    assert called == [["benchmarks/recording.py"], ["benchmarks/replicate.py"]]
    said = capsys.readouterr()
    assert "structured is left out; it needs: pip install torch-pruning" in said.out
    assert "tickets is left out; it needs: git clone" in said.out
    assert "sparsify and git clone" in said.out
    assert "dictionary_learning and pip install einops" in said.out
    assert "failed: replicate" in said.err

    called.clear()
    address = "https://example.org/results"  # the name of a folder that is there
    monkeypatch.setattr(bench, "BESIDE", ROOT / "benchmarks")
    monkeypatch.setattr(bench, "REPOSITORIES", {"tickets": {"--open-lth": address}})
    assert bench.main(["tickets"]) == 0
    assert called == [["benchmarks/tickets.py", "--open-lth", "benchmarks/results"]]
    with pytest.raises(SystemExit):
        bench.main(["absent"])
    assert "benchmarks are autoencoders" in capsys.readouterr().err
