"""The site: what its extensions add to the pages, when notebooks run again, and what stops a build.

All builds are plain `jupyter-book build -W -n --keep-going .` in small copies of the book: the real
`_config.yml`, extensions, styles and bibliography, with tiny pages, notebooks and library.
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from jsonschema import Draft202012Validator
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

# --- A small book ---------------------------------------------------------------------------------

TOC = """\
format: jb-book
root: book/home
chapters:
- file: book/ledger
- file: book/glossary
- file: book/references
"""

HOME = """\
# Home

[The ledger](ledger.md), {doc}`glossary` and [a paper](https://arxiv.org/abs/1710.01878).

```{claims-summary}
```
"""

LEDGER = "# Ledger\n\n```{claims-ledger}\n```\n"

GLOSSARY = """\
# Glossary

```{glossary}
mask
  Says which weights are kept.

random mask
  A mask by chance.

seed
seeds
  Starts the random numbers.
```
"""

REFERENCES = "# References\n\n```{bibliography}\n:all:\n```\n"

CLAIM = {
    "id": "Z1",
    "claim": "Zeros are <free> & easy",
    "source": "popular accounts; 1803.03635",
    "chapter": "01_one",
    "criterion": "lower(change) ≥ −1 pp",
    "run": "live",
    "rule": "each",
    "follows": None,
    "seeds": [0, 1, 2, 3, 4],
    "verdict": "not supported",
    "reason": "Fails (1): first arm.",
    "finding": None,
    "budget": None,
    "arms": [
        {
            "name": "second arm",
            "primary": False,
            "outcome": "holds",
            "note": "",
            "conditions": [
                {
                    "what": "all − dense",
                    "estimate": 0.5,
                    "low": -0.25,
                    "high": 1.25,
                    "n": 5,
                    "level": 0.95,
                    "side": "inside",
                    "holds": [-2.0, 2.0],
                    "fails": [-2.0, 2.0],
                    "unit": "pp",
                    "outcome": "holds",
                    "values": None,
                }
            ],
        },
        {
            "name": "first arm",
            "primary": True,
            "outcome": "fails",
            "note": "",
            "conditions": [
                {
                    "what": "pruned − dense",
                    "estimate": -12.34,
                    "low": -15.5,
                    "high": -9.87,
                    "n": 5,
                    "level": 0.95,
                    "side": ">=",
                    "holds": -1.0,
                    "fails": -1.0,
                    "unit": "pp",
                    "outcome": "fails",
                    "values": [-12.0, -14.5, -9.5, -13.2, -12.5],
                },
                {
                    "what": "pruned − random",
                    "estimate": 3.25,
                    "low": 2.5,
                    "high": 4.0,
                    "n": 5,
                    "level": 0.95,
                    "side": ">",
                    "holds": 0,
                    "fails": 0.5,
                    "unit": "pp",
                    "outcome": "holds",
                    "values": None,
                },
            ],
        },
    ],
    "protocol": {"hash": "0123456789ab", "date": None},
    "platform": "Linux x86_64",
}

RECORD = """\
from IPython.display import display
display(
    {{"text/html": "<div class='claim' id='claim-{id}'>verdict</div>", "text/plain": "verdict"}},
    raw=True,
    metadata={{"claim": {claim!r}}},
)"""

FIGURE = """\
from IPython.display import HTML
caption = "Drawn by the run"
HTML(f'<figure class="course-figure"><svg></svg><figcaption>{caption}</figcaption></figure>')"""

WIDGET = "from ipywidgets import IntSlider\nIntSlider()"

PROSE = """\
# {title} and a mask

A **random mask**, then masks, then Mask, `mask`, $mask$ and [mask](https://example.org/mask).

## Seeds in a heading

See [Frankle and Carbin](https://arxiv.org/abs/1803.03635v5), the [rules](../book/home.md), and
[LeCun](https://papers.nips.cc/paper/1989/hash/6c9882bbac1c7093bd25041881277658-Abstract.html).
Two seeds.
"""


def record(claim):
    return RECORD.format(id=claim["id"], claim=claim)


def notebook(title, *code):
    """A notebook that leaves a line in `runs.txt` each time it runs."""
    ran = "from pathlib import Path\nwith Path('../runs.txt').open('a') as file:\n"
    ran += f"    print({title!r}, file=file)"
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_markdown_cell(PROSE.format(title=title)),
            *(new_code_cell(source) for source in (ran, *code)),
        ],
    )


class Book:
    """A small copy of the book in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "notebooks").mkdir(parents=True)
        for part in ("book/_ext", "book/static", "book/templates"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        self.write("_config.yml", (ROOT / "_config.yml").read_text(encoding="utf-8"))
        bibliography = ROOT / "book" / "references.bib"
        # The npm packages of the real book, or put there for it too: one install, not one a book.
        shutil.copytree(ROOT / "book" / "vendor", folder / "book" / "vendor")
        config = self.read("_config.yml")
        packages = json.dumps(str(ROOT / "_build" / "vendor"))
        assert config.count("\n  config:\n") == 1
        self.write(
            "_config.yml",
            config.replace("\n  config:\n", f"\n  config:\n    vendor_folder: {packages}\n"),
        )
        self.write("book/references.bib", bibliography.read_text(encoding="utf-8"))
        self.write("_toc.yml", TOC)
        self.write("book/home.md", HOME)
        self.write("book/ledger.md", LEDGER)
        self.write("book/glossary.md", GLOSSARY)
        self.write("book/references.md", REFERENCES)
        self.write("constraints.txt", "example==1.0\n")
        self.write("course_lib/__init__.py", "")
        for name in ("verdicts.py", "claims.schema.json"):  # which the ledger takes from there
            shutil.copy(ROOT / "course_lib" / name, folder / "course_lib")
        shared = ("page.js", "page.css", "betting.js", "bets.css")  # by course_bets
        (folder / "course_lib" / "widgets").mkdir()
        for name in shared:
            shutil.copy(ROOT / "course_lib" / "widgets" / name, folder / "course_lib" / "widgets")
        self.write("course_lib/alpha.py", "from course_lib import gamma\n")
        self.write("course_lib/beta.py", "")
        self.write("course_lib/gamma.py", "")
        self.set_address("")

    def write(self, path, text):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def read(self, path):
        return (self.folder / path).read_text(encoding="utf-8")

    def add_page(self, page):
        self.write("_toc.yml", self.read("_toc.yml") + f"- file: {page}\n")

    def add_notebook(self, name, content):
        nbformat.write(content, self.folder / f"notebooks/{name}.ipynb")
        if f"notebooks/{name}\n" not in self.read("_toc.yml"):
            self.add_page(f"notebooks/{name}")

    def set_address(self, url):
        config = self.read("_config.yml")
        config, count = re.subn(r"^  url: .*$", f'  url: "{url}"', config, flags=re.MULTILINE)
        assert count == 1, "_config.yml has no line for the address"
        self.write("_config.yml", config)

    def environment(self):
        """With the library of the copy, for the build and for the kernels."""
        return {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONUTF8": "1"}

    def build(self):
        """Build; what came of it, with the pages as they are now and the notebooks that ran."""
        runs = self.folder / "runs.txt"
        runs.write_text("")
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
        done = subprocess.run(
            [*command, "build", "-W", "-n", "--keep-going", "."],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
        )
        html = self.folder / "_build" / "html"
        pages = {p.relative_to(html).as_posix(): p for p in html.rglob("*.html")}
        return SimpleNamespace(
            code=done.returncode,
            log=re.sub(r"\x1b\[[0-9;]*m", "", done.stdout),
            ran=sorted(runs.read_text().split()),
            pages={name: page.read_text(encoding="utf-8") for name, page in pages.items()},
            json={p.name: json.loads(p.read_text(encoding="utf-8")) for p in html.glob("*.json")},
        )


def soup(result, page):
    return BeautifulSoup(result.pages[page], "html.parser").select_one("article")


def links(result, page):
    """All links of a page by what they show or are called, buttons included."""
    found = {}
    for link in BeautifulSoup(result.pages[page], "html.parser").find_all("a", href=True):
        found.setdefault(" ".join(link.get_text().split()), link["href"])
    return found


# --- One book, built again and again --------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("site") / "book")
    book.write("book/home.md", HOME + "\n```{chapter-figure} notebooks/01_one\n```\n")
    book.add_notebook("01_one", notebook("one", "from course_lib import alpha", record(CLAIM)))
    one = nbformat.read(book.folder / "notebooks/01_one.ipynb", as_version=4)
    one.cells.append(new_code_cell(FIGURE))
    book.add_notebook("01_one", one)
    book.add_notebook("02_two", notebook("two", "import course_lib.beta", WIDGET))
    return book


@pytest.fixture(scope="module")
def first(book):
    return book.build()


@pytest.fixture(scope="module")
def again(book, first):
    return book.build()


@pytest.fixture(scope="module")
def library_edited(book, again):
    book.write("course_lib/gamma.py", "x = 1\n")  # which 01_one imports through alpha
    return book.build()


@pytest.fixture(scope="module")
def text_edited(book, library_edited):
    """Markdown changed in the first notebook, a cell's tag in the second."""
    one, two = (
        nbformat.read(book.folder / f"notebooks/{name}.ipynb", as_version=4)
        for name in ("01_one", "02_two")
    )
    one.cells[0].source += "\nA sentence more.\n"
    two.cells[2].metadata["tags"] = ["remove-input"]
    book.add_notebook("01_one", one)
    book.add_notebook("02_two", two)
    return book.build()


@pytest.fixture(scope="module")
def with_address(book, text_edited):
    """Another address and other pinned versions."""
    book.set_address("https://github.com/OWNER/NAME")
    book.write("constraints.txt", "example==1.1\n")
    return book.build()


def test_it_builds(first):
    assert first.code == 0, first.log
    assert first.ran == ["one", "two"]


def test_a_second_build_runs_nothing(first, again):
    assert again.code == 0, again.log
    assert again.ran == []
    assert again.json == first.json


def test_a_change_in_the_library_runs_what_imports_it(library_edited):
    assert library_edited.code == 0, library_edited.log
    assert library_edited.ran == ["one"]


def test_text_runs_nothing_and_a_tag_takes_effect(library_edited, text_edited):
    assert text_edited.code == 0, text_edited.log
    assert text_edited.ran == ["two"]
    assert "A sentence more." in text_edited.pages["notebooks/01_one.html"]
    assert "course_lib.beta" in soup(library_edited, "notebooks/02_two.html").get_text()
    assert "course_lib.beta" not in soup(text_edited, "notebooks/02_two.html").get_text()


def test_outputs_from_the_cache_feed_the_ledger_too(first, text_edited):
    """01_one was read again and did not run: its outputs came from the cache."""
    assert text_edited.json["claims.json"] == first.json["claims.json"]
    assert "Drawn by the run" in text_edited.pages["book/home.html"]


def test_other_versions_run_everything(with_address):
    assert with_address.code == 0, with_address.log
    assert with_address.ran == ["one", "two"]


# --- The ledger -----------------------------------------------------------------------------------


def test_claims_json(first):
    href = "notebooks/01_one.html#claim-Z1"
    assert first.json["claims.json"] == [{**CLAIM, "href": href}]
    assert "id='claim-Z1'" in first.pages["notebooks/01_one.html"]


def test_claims_json_fits_the_schema_beside_it(first):
    schema = first.json["claims.schema.json"]
    assert schema == json.loads((ROOT / "course_lib/claims.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(first.json["claims.json"])
    for wrong in ({"href": None}, {"verdict": "true"}, {"id": "first"}, {"also": []}):
        claims = [first.json["claims.json"][0] | wrong]
        assert not Draft202012Validator(schema).is_valid(claims), wrong
    assert not Draft202012Validator(schema).is_valid([CLAIM]), "without its address"


def test_timings_json(first, text_edited):
    seconds = first.json["timings.json"]
    assert sorted(seconds) == ["notebooks/01_one", "notebooks/02_two"]
    assert all(0 < value < 60 for value in seconds.values())
    # 01_one ran again for the library, and not for its text: the time is that of its last run.
    assert text_edited.json["timings.json"]["notebooks/01_one"] > 0


def test_ledger_page(first):
    entry = soup(first, "book/ledger.html").select_one("section.ledger-entry.verdict-not-supported")
    text = " ".join(entry.get_text(" ").split())
    for shown in (
        "Zeros are <free> & easy",
        "✗ not supported",
        "Fails (1): first arm.",
        "lower(change) ≥ −1 pp",
        "5 seeds, 0 to 4",
        "0123456789ab",
    ):
        assert shown in text
    rows = [
        [" ".join(cell.get_text(" ").split()) for cell in row.find_all(["th", "td"])]
        for row in entry.select("tbody tr")
    ]
    assert rows == [  # an arm's name and outcome stand once, beside all its conditions
        ["first arm", "pruned − dense", "−12.3 pp", "[−15.5, −9.9]", "≥ −1 pp", "✗ fails"],
        ["pruned − random", "3.25 pp", "[2.50, 4.00]", "> 0 pp (fails below 0.5 pp)"],
        ["second arm", "all − dense", "0.50 pp", "[−0.25, 1.25]", "inside [−2, 2] pp", "✓ holds"],
    ]
    assert [row[0] for row in rows if entry.find("details").find(string=row[0])] == ["second arm"]
    targets = {link["href"] for link in entry.find_all("a")}
    assert "../notebooks/01_one.html#claim-Z1" in targets
    # A paper named by its number leads to the bibliography.
    [paper] = [target for target in targets if target.startswith("references.html#")]
    assert f'id="{paper.split("#")[1]}"' in first.pages["book/references.html"]


def test_home_shows_verdicts_and_the_first_figure(first):
    home = soup(first, "book/home.html")
    cells = [cell.get_text() for cell in home.select(".claims-summary tbody tr > *")]
    assert " ".join(cells[0].split()) == "Z1 · Zeros are <free> & easy one and a mask"
    assert (
        " ".join(cells[1].split()) == "✗ not supported Arms: the only arm fails."
    )  # the drawing beside it: see test_reading.py
    assert home.select_one(".claims-summary a")["href"] == "../notebooks/01_one.html#claim-Z1"
    assert home.select_one("figure.course-figure figcaption").get_text() == "Drawn by the run"


# --- Links that the build adds --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "name", "title"),
    [
        ("notebooks/01_one.html", "Frankle and Carbin", "The Lottery Ticket Hypothesis: Finding"),
        ("notebooks/01_one.html", "LeCun", "Optimal Brain Damage"),
        ("book/home.html", "a paper", "To prune, or not to prune"),
    ],
)
def test_citations_lead_to_the_bibliography(first, page, name, title):
    [link] = [a for a in soup(first, page).find_all("a") if a.get_text() == name]
    where, anchor = link["href"].split("#")
    assert where == ("../book/references.html" if "notebooks" in page else "references.html")
    assert link["title"].startswith(title)
    entry = soup(first, "book/references.html").find(id=anchor)
    assert entry.find("a", href=re.compile("^https://")), "the entry leads nowhere"


def test_the_first_use_of_a_term_leads_to_the_glossary(first):
    found = soup(first, "notebooks/01_one.html").select("a.course-term")
    # Not in the title, a heading, code, math or a link; the longest term first; each term once.
    assert [link.get_text() for link in found] == ["random mask", "masks", "seeds"]
    assert [link["title"] for link in found] == [
        "A mask by chance.",
        "Says which weights are kept.",
        "Starts the random numbers.",
    ]
    for link in found:
        where, anchor = link["href"].split("#")
        assert where == "../book/glossary.html"
        assert f'id="{anchor}"' in first.pages["book/glossary.html"]


def test_pages_of_the_book_are_not_strewn_with_terms(first):
    assert not soup(first, "book/home.html").select("a.course-term")


# --- Buttons --------------------------------------------------------------------------------------


def test_without_an_address_no_button_leads_nowhere(first):
    for page in first.pages:
        for name, target in links(first, page).items():
            assert name not in ("Colab", "Binder", "Repository", "Suggest edit", "Open issue")
            for word in ("colab", "binder", "github.com"):
                assert word not in target, f"{page}: {name} leads to {target}"
    lines = [line for line in first.log.splitlines() if "repository.url" in line]
    assert len(lines) == 1
    assert "left out" in lines[0]


def test_with_an_address_every_link_is_right(with_address):
    chapter = links(with_address, "notebooks/01_one.html")
    assert chapter["Colab"] == (
        "https://colab.research.google.com/github/OWNER/NAME/blob/main/notebooks/01_one.ipynb"
    )
    assert chapter["Binder"] == (
        "https://mybinder.org/v2/gh/OWNER/NAME/main?urlpath=lab/tree/notebooks/01_one.ipynb"
    )
    assert chapter[".ipynb"] == "../_sources/notebooks/01_one.ipynb"
    edit = "https://github.com/OWNER/NAME/edit/main/"
    assert chapter["Suggest edit"] == f"{edit}notebooks/01_one.ipynb"

    home = links(with_address, "book/home.html")
    assert "Colab" not in home, "a page without code has nothing to launch"
    assert "Binder" not in home
    assert home[".md"] == "../_sources/book/home.md"
    assert home["Suggest edit"] == f"{edit}book/home.md"

    for page, found in (("notebooks/01_one", chapter), ("book/home", home)):
        assert found["Repository"] == "https://github.com/OWNER/NAME"
        assert found["Open issue"].startswith("https://github.com/OWNER/NAME/issues/new?title=")
        assert f"%2F{page}.html" in found["Open issue"]
    assert "repository.url" not in with_address.log


def scripts(result, page):
    found = BeautifulSoup(result.pages[page], "html.parser").find_all("script", src=True)
    return [script["src"].partition("?")[0] for script in found]


def test_pages_load_nothing_from_elsewhere_and_no_script_in_vain(book, first):
    for page in first.pages:
        whole = BeautifulSoup(first.pages[page], "html.parser")
        for tag in whole.find_all(["script", "link", "img"]):
            assert "://" not in tag.get("src", tag.get("href", "")), f"{page}: {tag}"
        assert "thebe" not in first.pages[page].lower()
        assert len(whole.select("input[name=q]")) <= 1 + (page == "search.html")
        named = [name for name in scripts(first, page) if "/vendor/" in name]
        wanted = []
        if page.startswith("notebooks/"):  # formulas stand in their text
            wanted.append("../_static/../vendor/mathjax/tex-mml-chtml.js")
        if page == "notebooks/02_two.html":  # the one with a widget
            wanted += [f"../_static/../vendor/{n}.js" for n in ("require", "widgets", "embed-amd")]
        assert sorted(named) == sorted(wanted), page
        for name in named:
            assert (
                (book.folder / "_build" / "html" / page).parent.joinpath(name).resolve().is_file()
            )


def test_the_download_is_the_source(book, with_address):
    download = book.folder / "_build/html/_sources/notebooks/01_one.ipynb"
    assert download.read_bytes() == (book.folder / "notebooks/01_one.ipynb").read_bytes()


# --- What stops a build ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A book without any fault and without any claim; the faults are tried in copies of it."""
    book = Book(tmp_path_factory.mktemp("whole") / "book")
    book.add_notebook("01_one", notebook("one"))
    book.result = book.build()
    return book


@pytest.fixture
def copy_of_whole(whole, tmp_path):
    # With the cache of executions, so that only what changes has to run.
    skip = shutil.ignore_patterns("html", ".doctrees", "jupyter_execute")
    shutil.copytree(whole.folder, tmp_path / "book", ignore=skip)
    book = object.__new__(Book)
    book.folder = tmp_path / "book"
    return book


def test_a_book_without_faults_builds(whole):
    assert whole.result.code == 0, whole.result.log
    assert "No claim has been tried yet" in whole.result.pages["book/ledger.html"]
    assert whole.result.json["claims.json"] == []


def failing_cell(book):
    book.add_notebook("01_one", notebook("one", "1 / 0"))


def missing_page(book):
    book.add_page("book/nowhere")


def broken_link(book):
    book.write("book/ledger.md", LEDGER + "\n[A page](nowhere.md) that is not there.\n")


def undefined_label(book):
    book.write("book/ledger.md", LEDGER + "\nSee {ref}`nowhere`.\n")


def broken_link_in_notebook(book):
    content = notebook("one")
    content.cells[0].source += "\n[A page](../book/nowhere.md)\n"
    book.add_notebook("01_one", content)


def unknown_paper(book):
    book.write("book/home.md", HOME + "\n[No such paper](https://arxiv.org/abs/9901.00001)\n")


def malformed_claim(book):
    claim = copy.deepcopy(CLAIM) | {"verdict": "true", "seeds": "five"}
    del claim["reason"]
    claim["arms"][1]["outcome"] = "perhaps"
    claim["arms"][1]["also"] = []
    claim["arms"][1]["conditions"][0]["holds"] = None
    claim["arms"][0]["conditions"][0]["fails"] = 2.0
    book.add_notebook("01_one", notebook("one", record(claim)))


def claim_twice(book):
    book.add_notebook("01_one", notebook("one", record(CLAIM)))
    book.add_notebook("02_two", notebook("two", record(CLAIM)))


FAULTS = {
    failing_cell: [r"01_one\.ipynb.*Executing notebook failed"],
    missing_page: [r"nonexisting document 'book/nowhere'"],
    broken_link: [r"ledger\.md.*nowhere\.md"],
    undefined_label: [r"ledger\.md.*undefined label: 'nowhere'"],
    broken_link_in_notebook: [r"01_one\.ipynb.*nowhere\.md"],
    unknown_paper: [r"home\.md.*9901\.00001 is not in the bibliography"],
    malformed_claim: [
        r"01_one: claim 'Z1': field 'verdict' is 'true'",
        r"01_one: claim 'Z1': field 'seeds' is 'five'",
        r"01_one: claim 'Z1': field 'reason' is missing",
        r"01_one: claim 'Z1': field 'arms\[1\]\.outcome' is 'perhaps'",
        r"field 'arms\[1\]\.also' is not one that the schema knows",
        r"field 'arms\[1\]\.conditions\[0\]\.holds' is None; it must be a finite number",
        r"field 'arms\[0\]\.conditions\[0\]\.fails' is 2\.0; it must be two finite numbers",
    ],
    claim_twice: [r"02_two: claim 'Z1': field 'id' is taken already, in notebooks/01_one"],
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_fails_the_build(copy_of_whole, fault):
    fault(copy_of_whole)
    # A second build must not pass because pages and executions of the first are there.
    for attempt in range(2 if fault in (failing_cell, broken_link) else 1):
        result = copy_of_whole.build()
        assert result.code != 0, f"build {attempt + 1} passed:\n{result.log}"
        complaints = [line for line in result.log.splitlines() if "WARNING: " in line]
        for pattern in FAULTS[fault]:
            assert any(re.search(pattern, line) for line in complaints), result.log
        # And nothing else is wrong: this fault alone fails the build. (A failed cell has two
        # lines: that it failed, and where its report is.)
        assert len(complaints) <= max(2, len(FAULTS[fault])), result.log


# --- What a notebook depends on -------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    import course_cache

    return course_cache


@pytest.fixture
def modules(tmp_path):
    sources = {
        "__init__": "def setup():\n    from course_lib.base import x\n",
        "base": "",
        "one": "from . import two",
        "two": "def f():\n    import course_lib.three as t",
        "three": "",
        "part/__init__": "from .inner import x",
        "part/inner": "from ..base import x",
        "data/__init__": "from course_lib.data.digits import digits",
        "data/digits": "def digits(): ...",
        "data/rules": "",
        "rules": "from course_lib.data.rules import x",
    }
    for name, source in sources.items():
        path = tmp_path / "course_lib" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path / "course_lib"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import numpy, os.path", ""),
        ("import course_lib", "base"),
        ("import course_lib\ncourse_lib.setup()", "base"),
        ("import course_lib\ncourse_lib.one.f()", "base one two three"),
        ("import course_lib as lib\nlib.three", "base three"),
        ("from course_lib import three, two", "base two three"),
        ("from course_lib.three import x", "base three"),
        ("import course_lib.one as o", "base one two three"),
        ("def f():\n    from course_lib import one", "base one two three"),
        ("import importlib\nimportlib.import_module('course_lib.three')", "base three"),
        ("import course_lib.part", "base part part.inner"),
        ("from course_lib import data\ndata.digits(0)", "base data data.digits"),
        ("from course_lib.data import digits", "base data data.digits"),
        ("from course_lib.data import rules", "base data data.digits data.rules"),
        ("from course_lib import rules", "base data data.digits data.rules rules"),
    ],
)
def test_imports_are_followed(cache, modules, code, expected):
    known = cache.library_modules(modules)
    found = cache.closure(cache.imported(code, known), known)
    package = {"course_lib"} if expected else set()
    assert found == package | {f"course_lib.{name}" for name in expected.split()}


def test_the_key_follows_what_a_notebook_depends_on(cache, modules, monkeypatch):
    root = modules.parent
    monkeypatch.setattr(cache, "library_folder", lambda source: modules)
    content = notebook(
        "one", "%matplotlib inline\n!ls\nfrom course_lib import two", "table('grid')"
    )

    def key():
        return cache.notebook_key(content, root)

    seen = [key()]
    assert key() == seen[0]
    for path, matters in [
        ("course_lib/one.py", False),
        ("course_lib/two.py", True),
        ("course_lib/three.py", True),
        ("course_lib/style.css", True),
        ("course_lib/sheets/style.css", True),
        ("course_lib/part/script.js", False),
        ("constraints.txt", True),
        ("results/grid.csv", True),
        ("results/other.csv", False),
        ("course_lib/__pycache__/two.cpython-311.pyc", False),
    ]:
        (root / path).parent.mkdir(exist_ok=True)
        with (root / path).open("a") as file:
            file.write("# more\n")
        assert (key() != seen[-1]) == matters, path
        seen.append(key())
    content.cells[0].source += "more text"
    assert key() == seen[-1]
    content.cells[1].metadata["tags"] = ["hide-input"]
    assert key() != seen[-1]
