"""The built site in a real browser: every check over every page, and once over a broken one.

    python tools/run_tests.py book browser    build the site, then this

COURSE_SITE names another site's folder. Where there is no browser, no axe-core or no site, what was
not checked is told at the end of the run; in CI it fails.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import browser as in_browser  # beside this file; `browser` is the fixture
import pytest
from browser import ROOT

import build_book

pytestmark = pytest.mark.browser

HOME = "book/home"
# Without a site the tests are there all the same, to say so.
PAGES = in_browser.site_pages() or [HOME]
# Of each kind of page one, which is looked at from a file too, and by axe in all ways.
KINDS = in_browser.kinds_of_pages(in_browser.site_pages()) or [HOME]
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")] or ["notebooks/01_pruning"]
# Sphinx makes these. They are checked as the others are, but nobody wrote them to be looked at.
GENERATED = {"genindex", "py-modindex", "search"}

SCREENSHOTS = ROOT / "_build" / "screenshots"


def look(browser, axe, folder, url, page, theme, shots=None):
    """Open a page of a served folder and run all checks that need an open page.

    Returns {check: problems}. `axe` is the text of axe-core, or None to go without; with `shots`,
    a picture of the whole page is put into that folder: wide if it is light, narrow if dark.
    """
    found = {}
    limit = in_browser.HOME_LIMIT if page == HOME else in_browser.PAGE_LIMIT
    with in_browser.opened(browser, f"{url}{quote(page)}.html", url, theme) as (tab, log):
        found["weight"] = in_browser.overweight(log, folder, limit)
        found["theme"] = in_browser.other_theme(tab, theme)
        found["math"] = in_browser.unrendered_math(tab)
        found["images"] = in_browser.images_without_text(tab)
        for name, width in (("wide", in_browser.WIDE), ("narrow", in_browser.NARROW)):
            if name == "narrow":
                in_browser.resize(tab, width)
            found[f"scroll {name}"] = in_browser.sideways_scroll(tab)
            if axe and axe_looks(page, theme, name):
                found[f"axe {name}"] = in_browser.serious_violations(tab, axe)
            if shots and (name, theme) in PICTURED:
                in_browser.photograph(tab, picture_of(shots, page, theme))
        found["other hosts"] = in_browser.requests_elsewhere(log)
        found["files"] = in_browser.failed_requests(log)
        found["console"] = in_browser.console_errors(log)
    return found


def axe_looks(page, theme, width):
    """Whether axe looks at a page in this theme at this width; on long pages it takes long.

    Each page is looked at in each theme and at each width, one of each kind in all four ways: what
    stands round the text differs with the width, and is the same on all pages of a kind.
    """
    return page in KINDS or (theme, width) in {("light", "wide"), ("dark", "narrow")}


PICTURED = {("wide", "light"), ("narrow", "dark")}


def picture_of(folder, page, theme):
    [name] = [name for name, other in PICTURED if other == theme]
    return folder / f"{page.replace('/', '-')}-{name}-{theme}.jpg"


def look_from_file(browser, folder, page):
    """Open a page as a file, on a phone, and run the checks to which that matters."""
    home = folder.as_uri() + "/"
    width = in_browser.NARROW
    with in_browser.opened(browser, f"{home}{quote(page)}.html", home, width=width) as (tab, log):
        return {
            "math": in_browser.unrendered_math(tab),
            "scroll narrow": in_browser.sideways_scroll(tab),
            "other hosts": in_browser.requests_elsewhere(log),
            "files": in_browser.failed_requests(log),
            "console": in_browser.console_errors(log),
        }


CHECKS = ["theme", "math", "images", "scroll wide", "scroll narrow", "axe wide", "axe narrow"]
CHECKS += ["other hosts", "files", "console", "weight"]


def checks_of(page, theme):
    """The names of all checks of a visit."""
    return sorted(
        check
        for check in CHECKS
        if not check.startswith("axe ") or axe_looks(page, theme, check.removeprefix("axe "))
    )


def told(problems):
    return "\n".join(["", *problems])


# --- The site -------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_page(browser, axe, site, site_url, page, theme):
    """All checks of one visit; its picture stays, to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    shots = SCREENSHOTS if page not in GENERATED else None
    found = look(browser, axe, site, site_url, page, theme, shots)
    assert sorted(found) == checks_of(page, theme)
    problems = [f"{check}: {problem}" for check, those in found.items() for problem in those]
    assert not problems, told(problems)
    if shots:
        assert picture_of(shots, page, theme).stat().st_size > 5000, page


@pytest.mark.parametrize("page", KINDS)
def test_page_from_a_file(browser, site, page):
    problems = [
        f"{check}: {problem}"
        for check, found in look_from_file(browser, site, page).items()
        for problem in found
    ]
    assert not problems, told(problems)


def test_links(site):
    found = in_browser.broken_links(site)
    assert {"index.html", *(f"{page}.html" for page in PAGES)} <= set(found)
    problems = [f"{page}: {problem}" for page, those in found.items() for problem in those]
    assert not problems, told(problems)


# All share one index, so from a file one of them will do.
@pytest.mark.parametrize(
    ("how", "chapter"), [("file", CHAPTERS[0]), *(("http", chapter) for chapter in CHAPTERS)]
)
def test_search_finds_what_only_a_notebook_says(browser, site, site_url, how, chapter):
    word = in_browser.rare_word(site, chapter, set(PAGES) - {chapter})
    home = site_url if how == "http" else site.as_uri() + "/"
    with in_browser.opened(browser, f"{home}search.html?q={word}", home) as (tab, log):
        problems = in_browser.search_problems(tab, chapter)
        problems += in_browser.requests_elsewhere(log) + in_browser.console_errors(log)
    assert not problems, told(problems)


@pytest.mark.parametrize("how", ["http", "file"])
@pytest.mark.parametrize("width", [in_browser.WIDE, in_browser.NARROW])
def test_search_by_the_button(browser, site, site_url, how, width):
    chapter = CHAPTERS[0]
    word = in_browser.rare_word(site, chapter, set(PAGES) - {chapter})
    home = site_url if how == "http" else site.as_uri() + "/"
    with in_browser.opened(browser, f"{home}{HOME}.html", home, width=width) as (tab, _):
        in_browser.search_with_the_button(tab, word)
        problems = in_browser.search_problems(tab, chapter)
    assert not problems, told(problems)


@pytest.mark.skipif(bool(os.environ.get("COURSE_SITE")), reason="another site's pages")
def test_every_page_of_the_table_of_contents_is_looked_at(site):
    assert set(build_book.pages(ROOT)) <= set(PAGES)
    assert HOME in PAGES


LIGHT_ON_PAPER = """() => {
  const pale = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || e.closest("script, style")) continue;
    if (!e.checkVisibility() || !e.getClientRects().length) continue;
    const [r, g, b] = getComputedStyle(e).color.match(/[\\d.]+/g).map(Number);
    if (0.2126 * r + 0.7152 * g + 0.0722 * b > 150)
      pale.set(`${e.localName}.${e.className}`, texts.currentNode.data.trim().slice(0, 40));
  }
  return [...pale].map(([name, text]) => `${name}: ${text}`);
}"""


@pytest.mark.parametrize("page", [HOME, "book/ledger", *CHAPTERS[-1:]])
def test_what_is_printed_is_dark_on_light_in_the_dark_theme_too(browser, site, site_url, page):
    with in_browser.opened(browser, f"{site_url}{page}.html", site_url, "dark") as (tab, _):
        assert tab.evaluate(LIGHT_ON_PAPER), "the check sees no light text on the dark screen"
        tab.emulate_media(media="print")
        pale = tab.evaluate(LIGHT_ON_PAPER)
    assert not pale, told(pale)


# --- Each check, on a page that is good and on one that is not ------------------------------

GOOD = """<!DOCTYPE html>
<html lang="en" data-content_root="./">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A good page</title>
<script>
document.documentElement.dataset.theme =
  matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
</script>
<style>
html[data-theme="dark"] :is(body, a) { background: #111; color: #eee; }
.scroll { overflow-x: auto; }
.long { width: 900px; }
</style>
</head>
<body>
<main>
<article>
<h1 id="größe">A good page</h1>
<p>Math <span class="math">\\(x\\)</span>, and <code>\\(y\\)</code> in code.</p>
<p><a href="#gr%C3%B6%C3%9Fe">up</a> <a href="a%20b.html?v=1#part">on</a>
<a href="https://example.org/">out</a> <a href="mailto:a@example.org">write</a></p>
<img src="dot.svg" alt="A dot">
<svg role="img" aria-label="A line" width="9" height="9"><path d="M0 0L9 9"/></svg>
<svg aria-hidden="true" width="9" height="9"><path d="M0 0L9 9"/></svg>
<div class="scroll" tabindex="0"><div class="long">A wide table</div></div>
HERE
</article>
<img src="dot.svg" alt="">
</main>
<script>
for (const math of document.querySelectorAll(".math"))
  math.innerHTML = "<mjx-container>x</mjx-container>";
console.log("all is well");
</script>
</body>
</html>
"""

# A word of 800 to 830 pixels in whatever font: its letters are tiny, and 40 pixels apart.
STYLE, WORD = 'style="font-size: 1px; letter-spacing: 40px"', "abcdefghij" * 2

# check: (what is put into the good page, part of what must be said of it)
BROKEN = {
    "other hosts": [
        ('<script src="https://cdn.example.org/x.js"></script>', "https://cdn.example.org/x.js"),
        ("<script>fetch('http://127.0.0.1:9/x').catch(() => 0)</script>", "http://127.0.0.1:9/x"),
        ("<script>new WebSocket('wss://example.org/')</script>", "wss://example.org/"),
        ("<style>@import url(//example.org/x.css);</style>", "example.org/x.css"),
    ],
    "files": [
        ('<script src="missing.js"></script>', "missing.js: 404"),
        ('<img src="missing.png" alt="A cat">', "missing.png: 404"),
    ],
    "console": [
        ("<script>console.error('a complaint')</script>", "a complaint"),
        ("<script>nobody.knows()</script>", "uncaught: nobody is not defined"),
        ("<script>Promise.reject(new Error('lost'))</script>", "uncaught: lost"),
        ("<script>addEventListener('resize', () => gone())</script>", "gone is not defined"),
    ],
    "math": [
        ('<div id="m"></div><script>onload = () => '
         'm.innerHTML = "<p class=math>\\\\[z\\\\]</p>"</script>', "not set: \\[z\\]"),
        ("<p>Let \\(w\\) be</p>", "source in the text: Let \\(w\\) be"),
        ('<mjx-container><mjx-merror data-mjx-error="Undefined">x</mjx-merror></mjx-container>',
         "a mistake: Undefined"),
    ],
    "images": [
        ('<img src="dot.svg">', "no text for main > article > img dot.svg"),
        ('<img src="dot.svg" alt=" ">', "no text for main > article > img dot.svg"),
        ('<img src="dot.svg" alt="">', "no text for main > article > img dot.svg"),
        ('<img src="dot.svg" alt="_images/dot.svg">', "only the name of a file"),
        ('<svg id="s" role="img"><title> </title><path d="M0 0L9 9"/></svg>', "no text for svg#s"),
        ('<svg id="s" width="9"></svg>', "no text for svg#s"),
        ('<canvas id="c"></canvas>', "no text for canvas#c"),
    ],
    "axe wide": [
        ('<p style="color: #aaa; background: #fff">Pale</p>', "color-contrast (serious)"),
        ('<button></button>', "button-name (critical)"),
    ],
    "axe narrow": [
        ('<style>@media (width < 500px) { b { color: #777; background: #888 } }</style><b>Pale</b>',
         "color-contrast (serious)"),
    ],
    "scroll wide": [('<div class="long" style="width: 2000px">x</div>', "div.long reaches 20")],
    "scroll narrow": [
        ('<div class="long" id="wide">x</div>', "div#wide reaches 9"),
        (f"<p {STYLE}>{WORD}</p>", "pixels wide in a window of 360: main > article > p reaches 8"),
        (f'<style>body {{ overflow-x: hidden }}</style><pre id="p" {STYLE}>{WORD}</pre>', "pre#p"),
    ],
    "theme": [("<script>document.documentElement.dataset.theme = 'sepia'</script>", "'sepia'")],
    "weight": [('<img src="heavy.png" alt="A hundred megabytes">', "heavy.png 3,000,000")],
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a small site, with a space and a letter that needs escaping in its name."""
    folder = tmp_path_factory.mktemp("a (small) sité")
    (folder / "good.html").write_text(GOOD.replace("HERE", ""), encoding="utf-8")
    (folder / "a b.html").write_text('<p id="part">Part</p>', encoding="utf-8")
    dot = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
    (folder / "dot.svg").write_text(dot, encoding="utf-8")
    (folder / "heavy.png").write_bytes(bytes(3_000_000))
    return folder


@pytest.fixture(scope="module")
def small_url(small):
    with in_browser.served(small) as url:
        yield url


def write(folder, inserted, name="broken"):
    (folder / f"{name}.html").write_text(GOOD.replace("HERE", inserted), encoding="utf-8")
    return name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_said_of_a_good_page(browser, axe, small, small_url, theme):
    found = look(browser, axe, small, small_url, "good", theme)
    assert sorted(found) == checks_of("good", theme)
    assert not any(found.values()), found


def test_nothing_is_said_of_a_good_page_from_a_file(browser, small):
    found = look_from_file(browser, small, "good")
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("check", "inserted", "said"),
    [(check, *case) for check, cases in BROKEN.items() for case in cases],
)
def test_a_broken_page_is_reported(browser, request, small, small_url, check, inserted, said):
    axe = request.getfixturevalue("axe") if check.startswith("axe") else None
    theme = "dark" if check == "axe narrow" else "light"
    found = look(browser, axe, small, small_url, write(small, inserted), theme)
    assert said in told(found[check])
    # The other checks do not take this for a fault of theirs; what is wrong when the page is wide
    # may be wrong when it is narrow too.
    others = {name for name, problems in found.items() if problems} - {check}
    assert others <= {check.replace("wide", "narrow")}, found


def test_every_check_has_a_broken_page():
    assert sorted(BROKEN) == sorted(CHECKS)


def test_a_fault_in_the_dark_only_is_reported(browser, axe, small, small_url):
    page = write(small, '<style>[data-theme="dark"] b { color: #333 }</style><b>Dim</b>')
    assert not look(browser, axe, small, small_url, page, "light")["axe wide"]
    found = look(browser, axe, small, small_url, page, "dark")
    assert "#333333 on #111111" in told(found["axe narrow"])


def test_axe_looks_at_each_page_in_each_theme_and_at_each_width():
    for page in PAGES:
        seen = [
            (theme, width)
            for theme in ("light", "dark")
            for width in ("wide", "narrow")
            if axe_looks(page, theme, width)
        ]
        assert {("light", "wide"), ("dark", "narrow")} <= set(seen)
        assert (len(seen) == 4) == (page in KINDS)


def test_what_fails_from_a_file_only_is_reported(browser, small, small_url):
    page = write(small, "<script>fetch('dot.svg').then(r => r.text())</script>")
    assert not any(look(browser, None, small, small_url, page, "light").values())
    found = look_from_file(browser, small, page)
    assert "dot.svg" in told(found["files"])
    assert "Failed to fetch" in told(found["console"])

    # A path from the root of the host is, in a file, a path from the root of the disk.
    page = write(small, '<link rel="stylesheet" href="/style.css">')
    assert "/style.css" in told(look_from_file(browser, small, page)["other hosts"])


def test_weight_is_what_travels(tmp_path):
    text, packed = "0123456789" * 10_000, os.urandom(50_000)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    (tmp_path / "font.woff2").write_bytes(packed)
    log = in_browser.Log("http://127.0.0.1:1/")
    log.requests = [log.home + "page.html", log.home + "font.woff2?v=1", log.home + "font.woff2"]
    log.requests += ["https://example.org/page.html", "data:text/html,x", log.home + "missing"]
    sizes = in_browser.weight(log, tmp_path)
    assert sizes[tmp_path / "font.woff2"] == 50_000
    assert 100 < sizes[tmp_path / "page.html"] < 1000
    total = sum(sizes.values())
    assert not in_browser.overweight(log, tmp_path, total)
    assert "font.woff2 50,000, page.html" in told(in_browser.overweight(log, tmp_path, total - 1))


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("page.html", ""),
        ("../one/page.html#here", ""),
        ("page.html?q=1#n%C3%A4me", ""),
        ("../", ""),
        ("..", ""),
        ("#", ""),
        ("#here", ""),
        ("#nowhere", "no such anchor"),
        ("page.html#here-too", "no such anchor"),
        ("missing.html", "no such file"),
        ("Page.html", "no such file"),
        ("page", "no such file"),
        ("../one", "no such file"),
        ("../../page.html", "leads out of the site"),
        ("/one/page.html", "starts at the root of the host"),
        ("//example.org/missing", ""),
        ("https://example.org/missing", ""),
        ("javascript:void 0", ""),
    ],
)
def test_links_are_followed(tmp_path, link, said):
    (tmp_path / "one").mkdir()
    (tmp_path / "_static").mkdir()
    page = f'<h1 id="here">x</h1><a name="näme">x</a><a href="{link}">x</a>'
    (tmp_path / "one" / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "index.html").write_text("<p>x</p>", encoding="utf-8")
    (tmp_path / "_static" / "piece.html").write_text('<a href="nowhere">x</a>', encoding="utf-8")
    found = in_browser.broken_links(tmp_path)
    assert found == {"index.html": [], "one/page.html": [f"{link}: {said}"] if said else []}


@pytest.mark.parametrize(
    "broken",
    [
        '<img src="no.png">',
        '<script src="no.js"></script>',
        '<link rel="next" href="no.html">',
        '<form action="no.html"></form>',
        '<meta http-equiv="Refresh" content="0; url=no.html">',
    ],
)
def test_all_that_a_page_names_is_followed(tmp_path, broken):
    (tmp_path / "index.html").write_text(broken, encoding="utf-8")
    assert "no such file" in told(in_browser.broken_links(tmp_path)["index.html"])


def test_the_page_for_wrong_addresses_may_name_the_root(tmp_path):
    (tmp_path / "404.html").write_text('<a href="/name/">x</a>', encoding="utf-8")
    assert in_browser.broken_links(tmp_path) == {"404.html": []}


SEARCH = """<!DOCTYPE html><html data-content_root="./"><body><div id="search-results"></div>
<script>
const pages = {INDEX}, asked = new URLSearchParams(location.search).get("q");
setTimeout(() => {
  for (const [word, page] of Object.entries(pages))
    if (word === asked)
      document.getElementById("search-results").innerHTML = `<a href="${page}.html">${page}</a>`;
}, 300);
</script></body></html>"""


def test_a_search_that_finds_nothing_is_reported(browser, small, small_url):
    path = small / "search.html"
    url = f"{small_url}search.html?q=capybara"
    for index, good in (("capybara: 'one/page'", True), ("capybara: 'home'", False), ("", False)):
        path.write_text(SEARCH.replace("INDEX", index), encoding="utf-8")
        with in_browser.opened(browser, url, small_url) as (tab, _):
            problems = in_browser.search_problems(tab, "one/page", patience=1000)
        assert bool(problems) == (not good)
        assert good or "one/page is not among the results" in problems[0]


def test_the_word_to_search_for_stands_only_there(tmp_path):
    def write(name, prose, rest=""):
        text = f"<article><section><p>{prose}</p>{rest}</section></article>"
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")

    write(
        "chapter", "Networks forget capybaras; capybaras remember.", "<pre>incomprehensible</pre>"
    )
    write("other", "Networks", "<div>remembers</div>")
    assert in_browser.rare_word(tmp_path, "chapter", ["other"]) == "capybaras"
    with pytest.raises(ValueError, match="every word of other"):
        in_browser.rare_word(tmp_path, "other", ["chapter", "other"])


def test_of_each_kind_of_page_one_is_looked_at_from_a_file(tmp_path):
    def write(name, head="", body=""):
        path = tmp_path / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<head>{head}</head><body>{body}</body>", encoding="utf-8")
        return name

    script = '<script src="../_static/a.js?v=1"></script>'
    style = '<link rel="stylesheet" href="../_static/a.css" />'
    pages = [
        write("book/short", script),
        write("book/long", script, "<p>Another one of its kind.</p>"),
        write("book/plain"),
        write("book/styled", script + style),
        write("book/ledger", script, '<div class="ledger-entry"></div>'),
        write("notebooks/same", script),
        write("index"),
        write("search"),
    ]
    assert in_browser.kinds_of_pages(pages, tmp_path) == sorted(set(pages) - {"book/long"})


def test_pages_are_those_that_sphinx_wrote(small):
    assert in_browser.site_pages(small) == sorted(
        path.stem for path in small.glob("*.html") if path.stem != "a b"
    )


# --- Where something is missing -------------------------------------------------------------


def test_a_browser_that_does_not_start_is_passed_over():
    def launch(executable_path, args):
        if executable_path == "/good":
            return "the browser"
        raise OSError(f"{executable_path} is no program\nat length")

    machine = SimpleNamespace(chromium=SimpleNamespace(launch=launch))
    assert in_browser.start(machine, ["/bad", "/good"]) == "the browser"
    with pytest.raises(in_browser.Missing) as caught:
        in_browser.start(machine, ["/bad"])
    for part in ("playwright install chromium", "/bad is no program", "Playwright: None is no"):
        assert part in str(caught.value)
    assert "at length" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(in_browser.Missing, match="make book"):
        in_browser.built_site(tmp_path)
    with pytest.raises(in_browser.Missing, match="make book"):
        in_browser.axe_source(tmp_path / "axe.min.js")
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(in_browser.Missing, match=re.escape("pip install")), in_browser.playwright():
        pass


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_missing_site_is_told_of_and_fails_in_ci(tmp_path, ci, code):
    command = [sys.executable, "-m", "pytest", str(Path(__file__)), "-k", "test_links and not are"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "COURSE_SITE": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout
    assert f"There is no built site at {tmp_path}. Run: make book" in done.stdout
    assert ("NOT CHECKED: 1 tests" in done.stdout) == (code == 0)
    assert ("Not looked at: test_links" in done.stdout) == (code == 0)
