"""What helps reading: the table of verdicts, a chapter's card and end, the map, terms, addresses.

Three builds of a small book (see test_site.py): without an address, with one, and with faults.
"""

import copy
import functools
import json
import math
import operator
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_site import CLAIM, FIGURE, Book, record

import address  # tools/ is on the path: see pyproject.toml
from course_lib import figures, strips, verdicts

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

import course_address  # noqa: E402
import course_chapter  # noqa: E402
import course_ledger  # noqa: E402
import course_links  # noqa: E402

# --- The drawing ----------------------------------------------------------------------------------

numbers = st.floats(-1e4, 1e4).map(lambda n: round(n, 3))


@st.composite
def conditions(draw):
    low, estimate, high = sorted(draw(st.lists(numbers, min_size=3, max_size=3)))
    side = draw(st.sampled_from(list(verdicts.SIDES)))
    pair = st.tuples(numbers, numbers).map(sorted)
    holds, fails = (draw(pair if side == "inside" else numbers) for _ in range(2))
    fails = draw(st.sampled_from([holds, fails]))
    return {
        "what": "a − b",
        "unit": "pp",
        "side": side,
        "holds": holds,
        "fails": fails,
        "estimate": estimate,
        "low": low,
        "high": high,
        "outcome": verdicts.outcome(low, high, side, holds, fails),
    }


def drawn(picture):
    """The numbers of a picture: share of the width, from 0 to 100."""
    svg = BeautifulSoup(picture, "html.parser").svg

    def percent(element, name):
        return float(element[name].removesuffix("%"))

    interval = svg.select_one(".interval")
    rect = svg.select_one(".wanted")
    left = percent(rect, "x")
    return {
        "label": svg["aria-label"],
        "role": svg["role"],
        "interval": (percent(interval, "x1"), percent(interval, "x2")),
        "estimate": percent(svg.select_one("svg"), "x"),
        "thresholds": [percent(stroke, "x1") for stroke in svg.select(".threshold")],
        "wanted": (left, left + percent(rect, "width")),
    }


@given(conditions(), conditions())
def test_a_picture_shows_the_numbers(condition, other):
    """The axis read backwards gives the numbers; the interval and the shaded side the outcome."""
    axis = strips.Axis([condition, other])
    outcome = condition["outcome"]
    seen = drawn(strips.picture(axis, condition))
    assert seen["label"].endswith(f": {outcome}")

    def number(percent):
        share = (percent - strips.MARGIN) / (100 - 2 * strips.MARGIN)
        return math.sinh(axis.low + share * (axis.high - axis.low))

    given_numbers = [condition["low"], condition["high"], condition["estimate"]]
    given_numbers += strips.limits(condition)
    places = [*seen["interval"], seen["estimate"], *seen["thresholds"]]
    step = 0.005 / 88 * (axis.high - axis.low)  # places have two decimals
    for value, place in zip(given_numbers, places, strict=True):
        assert number(place) == pytest.approx(value, rel=2 * step, abs=2 * step)

    low, high = seen["interval"]
    first, last = seen["wanted"]
    if outcome == "holds":
        assert first - 0.02 <= low
        assert high <= last + 0.02
    elif outcome == "fails" and condition["fails"] == condition["holds"]:
        assert high <= first + 0.02 or low >= last - 0.02
    assert seen["role"] == "img"


@given(st.lists(conditions(), min_size=1, max_size=6))
def test_labels_of_an_axis_have_room_and_stand_in_order(found):
    axis = strips.Axis(found)
    labels = axis.labels()
    places = [axis.at(label) for label in labels]
    assert labels
    assert all(0 <= place <= 100 for place in places)
    assert all(b - a >= strips.GAP - 1e-9 for a, b in zip(places, places[1:], strict=False))
    assert set(labels) & set(axis.thresholds)


def test_a_picture_says_in_words_what_it_shows():
    condition = CLAIM["arms"][1]["conditions"][1]
    seen = drawn(strips.picture(strips.Axis([condition]), condition))
    assert seen["label"] == (
        "pruned − random: 3.25 pp, interval from 2.50 to 4.00, "
        "to be > 0 pp (fails below 0.5 pp): holds"
    )
    assert len(seen["thresholds"]) == 2


def test_what_has_no_number_is_not_drawn():
    empty = {
        **CLAIM["arms"][1]["conditions"][0],
        **{"estimate": None, "low": None, "high": None, "outcome": "undecided"},
    }
    picture = strips.picture(strips.Axis([empty]), empty)
    assert 'aria-label="pruned − dense: no number, to be ≥ −1 pp: undecided"' in picture
    assert not re.search('class="interval"|<path', picture)


def test_each_unit_has_an_axis():
    first, second = CLAIM["arms"][1]["conditions"]
    arm = {**CLAIM["arms"][1], "conditions": [first, {**second, "unit": "bytes"}]}
    found = BeautifulSoup(strips.forest([arm]), "html.parser").select(".forest")
    assert [forest.select_one(".forest-scale .forest-name").get_text() for forest in found] == [
        "pruned − dense (pp)",
        "pruned − random (bytes)",
    ]


def test_an_arm_that_was_left_out_says_so_in_the_ledger():
    arm = {**CLAIM["arms"][1], "outcome": None}
    assert course_ledger.faults({**CLAIM, "arms": [arm]}) == []
    row = BeautifulSoup(course_ledger.arm_table([arm], "Arms"), "html.parser").tbody.tr
    assert row.find_all("td")[-1].get_text() == "left out"


def changed(path, value):
    """The claim with one field changed; `path` as in "arms.1.outcome"; without it for `...`."""
    claim = copy.deepcopy(CLAIM)
    *inside, last = (int(p) if p.isdigit() else p for p in path.split("."))
    found = functools.reduce(operator.getitem, inside, claim)
    if value is ...:
        del found[last]
    else:
        found[last] = value
    return claim


HERE = "arms.1.conditions.0"
SHOWN = "field 'arms[1].conditions[0]."


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("id", "first", "field 'id' is 'first'; it must be a capital and a number, such as"),
        ("source", " ", "field 'source' is ' '; it must be who says so"),
        ("verdict", "true", "field 'verdict' is 'true'; it must be one of 'supported', 'not"),
        ("rule", "most", "field 'rule' is 'most'; it must be the rule"),
        ("follows", 1, "field 'follows' is 1; it must be the id of the older claim"),
        ("finding", ..., "field 'finding' is missing"),
        ("budget", "", "field 'budget' is ''; it must be what the training was given"),
        ("seeds", [0, 1, 2, 3], "it must be a list of at least 5 whole numbers"),
        ("seeds", [0, 1, 2, 3, True], "field 'seeds[4]' is True; it must be a whole number"),
        ("arms", [], "field 'arms' has 0 primary arms; from 1 to 6 are allowed"),
        ("arms", CLAIM["arms"] * 7, "field 'arms' has 7 primary arms; from 1 to 6 are allowed"),
        ("arms", ["one"], "field 'arms[0]' is 'one'; it must be one way to try the claim"),
        ("protocol", "0123456789ab", "field 'protocol' is '0123456789ab'; it must be the protocol"),
        ("protocol.date", "January", "field 'protocol.date' is 'January'; it must be the day"),
        (f"{HERE}.what", "", f"{SHOWN}what' is ''; it must be what was measured"),
        (f"{HERE}.low", math.nan, f"{SHOWN}low' is nan; it must be the interval's lower end"),
        (f"{HERE}.low", 7.0, f"{SHOWN}low' is 7.0, above 'high', which is -9.87"),
        (f"{HERE}.level", 95, f"{SHOWN}level' is 95; it must be the interval's level"),
        (f"{HERE}.side", "inside", f"{SHOWN}holds' is -1.0; it must be two finite numbers"),
        (f"{HERE}.side", "above", f"{SHOWN}side' is 'above'; it must be where"),
        (f"{HERE}.values", [1.0, None], f"{SHOWN}values[1]' is None; it must be a finite number"),
        ("arms.0.conditions.0.holds", [2, -2], ".holds[0]' is 2, above 'holds[1]', which is -2"),
    ],
)
def test_what_does_not_fit_the_schema_is_named_in_words(path, value, fault):
    assert course_ledger.faults(CLAIM) == []
    found = course_ledger.faults(changed(path, value))
    assert any(fault in sentence for sentence in found), found


@pytest.mark.parametrize("claim", [None, "W1", [CLAIM]])
def test_a_claim_is_an_object(claim):
    [fault] = course_ledger.faults(claim)
    assert fault.startswith("the claim is ")


def test_all_fields_of_a_claim_are_wanted():
    arm = CLAIM["arms"][1]
    parts = {"": CLAIM, "arms.1.": arm, f"{HERE}.": arm["conditions"][0]}
    for where, part in {**parts, "protocol.": CLAIM["protocol"]}.items():
        for field in part:
            found = course_ledger.faults(changed(where + field, ...))
            assert any(fault.endswith(f"{field}' is missing") for fault in found), where + field


def test_colours_and_marks_are_those_of_the_figures():
    style = (ROOT / "book/static/reading.css").read_text(encoding="utf-8")
    for outcome, number in {"holds": 2, "fails": 1, "undecided": 5}.items():
        [colour] = re.findall(rf"^\.forest-{outcome} {{\n  --outcome: (\S+);", style, re.MULTILINE)
        assert colour == strips.COLOURS[outcome] == figures.PALETTE[number].lower()
    assert len(set(strips.SHAPES.values())) == 3


# --- A chapter's numbers --------------------------------------------------------------------------


def test_minutes_to_read():
    prose = "word " * 400 + "$$ x = 1 $$ <br> [link](https://example.org/a-b-c) <!-- no -->"
    shown = new_code_cell("x = 1\n\n" * 40)
    hidden = new_code_cell("x = 1\n" * 400, metadata={"tags": ["hide-input"]})
    shown.outputs = [
        nbformat.v4.new_output("display_data", {"text/html": "<figure></figure>" * 3}),
        nbformat.v4.new_output("display_data", {"text/markdown": "word " * 200}),
    ]
    cells = [new_markdown_cell(prose), shown, hidden]
    # 401 words, 1 equation, 40 lines, 3 figures, 200 words: 2 + 0.3 + 1 + 1 + 1
    assert course_chapter.minutes_to_read({"cells": cells}) == 5
    assert course_chapter.minutes_to_read({"cells": []}) == 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 second"), (76.62, "77 seconds"), (99.4, "99 seconds"), (150, "2.5 minutes")],
)
def test_a_time_in_words(seconds, said):
    assert course_chapter.in_seconds(seconds) == said


@pytest.mark.parametrize(
    ("definition", "shown"),
    [
        ("One.", "One."),
        ("One. Two, e.g. this.", "One. Two, e.g. this."),
        ("One. " + "Two " * 60 + "end.", "One."),
        ("Long " * 60 + "end. Two.", "Long " * 60 + "end."),
    ],
)
def test_hover_text_is_whole_sentences(definition, shown):
    assert course_links.first_sentences(definition) == shown


@pytest.mark.parametrize(
    "url",
    ["https://github.com/Owner/Name", "https://github.com/o/O.github.io", "https://github.com/o/n"],
)
def test_the_site_stands_where_the_readme_says(url):
    assert course_address.pages_address(url) == address.site_link(url)
    assert course_address.pages_address(url + ".git") == address.site_link(url)


def test_elsewhere_than_on_github_no_address_is_made_up():
    assert course_address.pages_address("https://example.org/owner/name") == ""


# --- The built pages ------------------------------------------------------------------------------

PARTS = """\
format: jb-book
root: book/home
parts:
- caption: I Sparse weights
  chapters:
  - file: notebooks/01_one
- caption: Reference
  chapters:
  - file: book/ledger
  - file: book/glossary
  - file: book/references
"""

PAGE = """\
# Home

```{claims-summary}
```

```{chapter-map}
I Sparse weights: 01 One · 02 Two & more
II Sparse features: 05 Five
```

```{course-citation}
```
"""

CARD = """\
# 01 · One: how much can go?

| | |
|---|---|
| **You need first** | a mask |
| **To read** | about 999 minutes |
| **To run** | about 998 minutes |

A mask.
"""

SETUP = """\
print("course_lib 9.9 · Python 3.99")
print("device cpu · 2 CPU cores · seeds: in the protocol below")"""

CITATION = """\
cff-version: 1.2.0
title: "Sparse & so on"
authors:
  - name: The authors
  - given-names: Ada
    family-names: Lovelace
version: 0.1.0
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("reading") / "book")
    book.write("_toc.yml", PARTS)
    book.write("book/home.md", PAGE)
    book.write("CITATION.cff", CITATION)
    cells = [
        new_markdown_cell(CARD),
        new_code_cell(SETUP, metadata={"tags": ["setup"]}),
        new_code_cell(record(CLAIM)),
        new_code_cell(FIGURE),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(
        new_notebook(metadata=kernel, cells=cells), book.folder / "notebooks/01_one.ipynb"
    )
    return book


@pytest.fixture(scope="module")
def plain(book):
    result = book.build()
    assert result.code == 0, result.log
    result.sitemap = (book.folder / "_build/html/sitemap.xml").is_file()
    return result


@pytest.fixture(scope="module")
def with_address(book, plain):
    book.set_address("https://github.com/Owner/Name")
    result = book.build()
    assert result.code == 0, result.log
    result.sitemap = (book.folder / "_build/html/sitemap.xml").read_text(encoding="utf-8")
    return result


def page(result, name):
    return BeautifulSoup(result.pages[name], "html.parser")


def words(element):
    return " ".join(element.get_text(" ").split())


@pytest.mark.slow
def test_the_numbers_of_the_table_are_those_of_claims_json(plain):
    [claim] = plain.json["claims.json"]
    [row] = page(plain, "book/home.html").select(".claims-summary tbody tr")
    assert row.a["href"] == "../" + claim["href"]
    assert words(row.th) == "Z1 · Zeros are <free> & easy 01 · One"
    assert words(row.td) == "✗ not supported Arms: the only arm fails."
    assert row["data-verdict"] == claim["verdict"]
    assert (row["data-chapter"], row["data-part"]) == ("notebooks/01_one", "part I Sparse weights")
    # Its primary arm has two conditions, each drawn with an outcome of its own.
    [arm] = [arm for arm in claim["arms"] if arm["primary"]]
    items = row.select(".forest li")
    assert [item["class"] for item in items] == [["forest-fails"], ["forest-holds"]]
    for item, condition in zip(items, arm["conditions"], strict=True):
        estimate, low, high = strips.shown(
            condition["estimate"], condition["low"], condition["high"]
        )
        label = item.svg["aria-label"]
        assert f"{condition['what']}: {estimate} pp, interval from {low} to {high}, to be" in label
    assert "second arm" not in words(row), "an exploratory arm does not decide"


@pytest.mark.slow
def test_the_filter_is_the_ledgers(plain):
    form = page(plain, "book/ledger.html").select_one(".claims > form.claims-filter")
    assert form.has_attr("hidden"), "without JavaScript it would do nothing"
    for control in form.select("select, input"):
        assert control.find_parent("label"), f"{control['name']} has no label"
    assert [option.get_text() for option in form.select("[name=chapter] option")] == [
        "all",
        "Part I Sparse weights",
        "01 · One",
    ]
    loaded = {name for name, html in plain.pages.items() if "claims.js" in html}
    assert loaded == {"book/ledger.html"}


@pytest.mark.slow
def test_the_card_says_one_thing(plain):
    chapter = page(plain, "notebooks/01_one.html")
    card = chapter.select_one("h1 + ul.chapter-card")
    [seconds] = plain.json["timings.json"].values()
    assert words(card) == (
        f"about 1 minute to read {course_chapter.in_seconds(seconds)} to run, measured "
        "1 claim on trial"
    )
    assert chapter.find(id=card.a["href"].removeprefix("#"))
    assert "999" not in words(chapter.article)
    assert "998" not in words(chapter.article)
    assert "You need first" in words(chapter.article)


@pytest.mark.slow
def test_the_end_of_a_chapter(plain, with_address):
    end = page(plain, "notebooks/01_one.html").select_one("aside.chapter-end")
    text = words(end)
    assert "course_lib 9.9 · Python 3.99 device cpu · 2 CPU cores" in text
    assert "seeds" not in text
    year = re.search(r'copyright: "(\d+)"', (ROOT / "_config.yml").read_text())[1]
    assert f"The authors, Ada Lovelace ({year}). “01 · One: how much can go?” In" in text
    assert "author = {{The authors} and {Ada Lovelace}}," in text
    assert not end.select('a[href^="http"]'), "there is no address to link to"

    end = page(with_address, "notebooks/01_one.html").select_one("aside.chapter-end")
    here = "https://owner.github.io/Name/notebooks/01_one.html"
    assert f"url = {{{here}}}" in words(end)
    [report] = [link["href"] for link in end.select("a") if "mistake" in link.get_text()]
    asked = parse_qs(urlsplit(report).query)
    assert report.startswith("https://github.com/Owner/Name/issues/new?")
    assert asked["title"] == ["Mistake in 01 · One"]
    assert "notebooks/01_one" in asked["body"][0]
    assert not page(with_address, "book/home.html").select("aside.chapter-end, .chapter-card")


@pytest.mark.slow
def test_previous_and_next(plain):
    chapter = page(plain, "notebooks/01_one.html")
    assert chapter.select_one("a.left-prev")["href"] == "../book/home.html"
    assert chapter.select_one("a.right-next")["href"] == "../book/ledger.html"


@pytest.mark.slow
def test_the_map_links_what_is_written(plain):
    entries = page(plain, "book/home.html").select(".chapter-map li")
    one, *planned = entries
    assert one.a["href"] == "../notebooks/01_one.html"
    assert words(one).startswith("01 One How much can go? 1 min to read, ")
    assert [words(entry) for entry in planned] == ["02 Two & more planned", "05 Five planned"]
    assert not any(entry.find("a") for entry in planned)


@pytest.mark.parametrize(
    ("title", "number"),
    [
        ("01 · Pruning: how much?", "01"),
        ("01b · Costs: what it saves", "01b"),
        ("01_one", "01"),
        ("01bis", "01"),  # a word, not a letter
        ("02b · Of another chapter", "01"),
        ("Pruning", "01"),
    ],
)
def test_a_second_notebook_of_a_chapter_has_a_letter_on_the_map(title, number):
    assert course_chapter.number_on_map("notebooks/01_name", title) == number


@pytest.mark.slow
def test_the_course_is_cited_with_its_address_once_it_has_one(plain, with_address):
    assert "Sparse & so on , version 0.1.0." in words(page(plain, "book/home.html").article)
    found = page(with_address, "book/home.html").select("article a")
    assert "https://owner.github.io/Name/" in [link["href"] for link in found]


@pytest.mark.slow
def test_a_term_carries_its_definition(plain):
    chapter = page(plain, "notebooks/01_one.html")
    [term] = chapter.select("a.course-term")
    assert term["title"] == term["data-definition"] == "Says which weights are kept."
    assert chapter.select('script[src*="terms.js"]')
    assert not page(plain, "book/home.html").select('script[src*="terms.js"]')


@pytest.mark.slow
def test_canonical_addresses_and_a_sitemap_only_with_an_address(plain, with_address):
    assert not plain.sitemap
    assert not any('rel="canonical"' in html for html in plain.pages.values())

    root = "https://owner.github.io/Name/"
    pages = ["book/glossary", "book/home", "book/ledger", "book/references", "notebooks/01_one"]
    listed = re.findall("<loc>(.*?)</loc>", with_address.sitemap)
    assert listed == [f"{root}{name}.html" for name in pages]
    for name in pages:
        [link] = page(with_address, f"{name}.html").select('link[rel="canonical"]')
        assert link["href"] == f"{root}{name}.html"


@pytest.mark.slow
def test_the_page_for_missing_pages_needs_no_other_file(plain, with_address):
    for result in (plain, with_address):
        missing = page(result, "404.html")
        assert missing.html["lang"] == "en"
        assert not missing.select("link, [src]"), "a relative address is wrong at another depth"
        assert missing.form["action"] == "search.html"
        targets = [link["href"] for link in missing.select("a")]
        assert targets == ["book/home.html", "search.html"]
        assert set(targets) <= set(result.pages)
    assert page(plain, "404.html").base is None
    assert page(with_address, "404.html").base["href"] == "https://owner.github.io/Name/"


# --- Faults ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_faults_fail_the_build(tmp_path):
    book = Book(tmp_path / "book")
    broken = {
        "01_one": {**CLAIM, "id": "Z1", "arms": []},
        "02_two": {**CLAIM, "id": "Z2", "verdict": "perhaps"},
    }
    for name, claim in broken.items():
        cells = [new_markdown_cell(f"# {name}"), new_code_cell(record(claim))]
        book.add_notebook(name, new_notebook(cells=cells))
    for name, title in {"01_again": "01 Again", "01_half": "01b Half"}.items():
        book.add_notebook(name, new_notebook(cells=[new_markdown_cell(f"# {title}")]))
    book.write("book/home.md", "# Home\n\n```{chapter-map}\nI Weights: 01 One\n```\n")
    book.write("book/ledger.md", "# Ledger\n\n```{chapter-map}\nI Weights: One\n```\n")
    book.write("CITATION.cff", json.dumps({"authors": [], "version": 1}))
    result = book.build()
    assert result.code != 0, result.log
    for pattern in (
        r"claim 'Z1': field 'arms' has 0 primary arms; from 1 to 6 are allowed",
        r"claim 'Z2': field 'verdict' is 'perhaps'; it must be one of",
        r"home.*the map lacks notebooks/02_two",
        r"home.*the map lacks notebooks/01_half",
        r"home.*notebooks/01_again and notebooks/01_one are both 01 on the map",
        r"ledger\.md.*a line of the map is 'I Part: 01 Name · 02 Name'.*got 'I Weights: One'",
        r"CITATION\.cff has no title",
    ):
        assert re.search(pattern, result.log, re.DOTALL), f"{pattern} not in:\n{result.log}"


def test_a_claim_that_is_tried_again_leads_to_the_newer_one_and_back():
    old, new = {**CLAIM, "id": "W1", "follows": None}, {**CLAIM, "id": "W1b", "follows": "W1"}
    found = [{"claim": claim, "href": "#", "page": "p", "part": ""} for claim in (old, new)]
    first, second = (
        BeautifulSoup(course_ledger.ledger_entry(row, "somebody", found), "html.parser")
        for row in found
    )
    facts = {entry: words(entry.select_one("dl")) for entry in (first, second)}
    assert "Tried again as W1b" in facts[first]
    assert "Tries again W1" in facts[second]
    assert first.select_one('a[href="#ledger-W1b"]')
    alone = course_ledger.ledger_entry(found[0], "somebody")
    assert "again" not in words(BeautifulSoup(alone, "html.parser").select_one("dl"))
