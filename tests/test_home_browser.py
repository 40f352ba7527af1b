"""The site's own small scripts in a real browser: the filter, terms by key and finger, page 404.

The pages are made of what the extensions write, without a build of the book.
"""

import functools
import http.server
import json
import sys
import threading
from pathlib import Path

import pytest
from sphinx.util.template import SphinxRenderer
from test_site import CLAIM

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

import course_forest  # noqa: E402
import course_moving  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.slow]
STATIC = ROOT / "book" / "static"


def show(browser, path, html, *, width=1300, **options):
    """A page of the site's style sheets and this article; it fails on any error in a script."""
    sheets = "".join(
        f"<style>{(STATIC / name).read_text(encoding='utf-8')}</style>"
        for name in ("course.css", "reading.css", "print.css")
    )
    path.write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'{sheets}</head><body><article class="bd-article">{html}</article></body></html>',
        encoding="utf-8",
    )
    page = browser.new_context(viewport={"width": width, "height": 800}, **options).new_page()
    page.set_default_timeout(5000)
    page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
    page.goto(path.as_uri())
    return page


def sideways(page):
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


# --- The filter -----------------------------------------------------------------------------------


def row(name, verdict, chapter, part, sentence):
    claim = {**CLAIM, "id": name, "verdict": verdict, "claim": sentence}
    page = f"notebooks/{chapter}_x"
    return {"claim": claim, "href": f"#{name}", "page": page, "chapter": chapter, "part": part}


ROWS = [
    row("W1", "not supported", "01", "I Weights", "Ninety percent can go"),
    row("W2", "inconclusive", "01", "I Weights", "Weights carry no signal"),
    row("W5", "supported", "02", "I Weights", "A long sentence " * 8),
    row("F1", "not supported", "05", "II Features", "Features share neurons"),
]


@pytest.fixture
def table(browser, tmp_path):
    def open_table(scripts=True, **options):
        html = f'<div class="claims">{course_forest.filter_form(ROWS)}'
        html += f"{course_forest.summary_table(ROWS)}</div>"
        html += f'<script src="{(STATIC / "claims.js").as_uri()}" defer></script>'
        return show(browser, tmp_path / "t.html", html, java_script_enabled=scripts, **options)

    return open_table


def visible(page):
    rows = page.locator("tbody tr")
    return [rows.nth(n).locator("a").inner_text()[:2] for n in range(4) if rows.nth(n).is_visible()]


def test_the_table_is_whole_without_javascript(table):
    page = table(scripts=False)
    assert visible(page) == ["W1", "W2", "W5", "F1"]
    assert not page.locator("form").is_visible()


def test_the_filter_shows_what_was_asked_for(table):
    page = table()
    count = page.get_by_role("status")
    assert count.inner_text() == "4 of 4 claims shown."
    page.get_by_role("combobox", name="Verdict").select_option("not supported")
    assert visible(page) == ["W1", "F1"]
    page.get_by_role("combobox", name="Chapter").select_option("Part I Weights")
    assert visible(page) == ["W1"]
    assert count.inner_text() == "1 of 4 claims shown."
    page.get_by_role("combobox", name="Verdict").select_option("all")
    assert visible(page) == ["W1", "W2", "W5"]
    page.get_by_role("combobox", name="Chapter").select_option("05")
    assert visible(page) == ["F1"]
    page.get_by_role("searchbox", name="Words").fill("ninety")
    assert visible(page) == []
    assert count.inner_text() == "No claim fits."
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("4 of 4 claims shown.").wait_for()
    assert visible(page) == ["W1", "W2", "W5", "F1"]


def test_the_filter_works_from_the_keyboard(table):
    page = table()
    page.get_by_role("combobox", name="Verdict").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("NO  weights")  # in any order, in capitals or not
    assert visible(page) == ["W2"]
    page.keyboard.press("Enter")  # sends nothing anywhere
    assert visible(page) == ["W2"]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("4 of 4 claims shown.").wait_for()


@pytest.mark.parametrize("width", [360, 1300])
def test_the_table_fits_and_stays_a_table(table, width):
    page = table(width=width)
    assert sideways(page) <= 0
    assert page.get_by_role("row").count() == 5  # with the one of the headings
    arms = page.locator("svg[role=img]")
    assert arms.count() == 8
    assert "interval from −15.5 to −9.9" in arms.first.get_attribute("aria-label")
    box = arms.first.bounding_box()
    assert box["width"] > 200
    assert box["x"] + box["width"] <= width


# --- Terms ----------------------------------------------------------------------------------------

TERMS = f"""
<p style="text-align: right">At the far end stands a
<a class="course-term" href="#there" title="{"A definition. " * 10}"
data-definition="{"A definition. " * 10}">term</a></p>
<script src="{(STATIC / "terms.js").as_uri()}" defer></script>"""


def definition(term):
    return term.evaluate("e => getComputedStyle(e, '::after').content")


def test_a_definition_shows_by_mouse_and_key_and_goes_by_escape(browser, tmp_path):
    page = show(browser, tmp_path / "t.html", TERMS, width=900)
    term = page.locator("a.course-term")
    assert definition(term) == "none"
    page.keyboard.press("Tab")
    assert "A definition." in definition(term)
    page.keyboard.press("Escape")
    assert definition(term) == "none"
    term.evaluate("e => e.blur()")
    term.hover()
    assert "A definition." in definition(term)
    assert term.get_attribute("title") is None, "the browser would show the text a second time"
    assert "A definition." in term.get_attribute("aria-description")


def test_the_first_tap_shows_the_definition_and_the_second_follows(browser, tmp_path):
    options = {"width": 360, "has_touch": True, "is_mobile": True}
    page = show(browser, tmp_path / "t.html", TERMS, **options)
    term = page.locator("a.course-term")
    term.tap()
    assert "A definition." in definition(term)
    assert not page.url.endswith("#there")
    assert sideways(page) <= 0
    term.tap()
    page.wait_for_url("**/t.html#there")


# --- The page for missing pages -------------------------------------------------------------------


class Missing(http.server.SimpleHTTPRequestHandler):
    """Like GitHub Pages: a site below /name/, whose 404.html answers for what is not there."""

    def send_error(self, code, *rest):
        body = Path(self.directory, "name", "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *rest):
        pass


def missing_page(top=""):
    source = (ROOT / "book/_ext/templates/404.html").read_text(encoding="utf-8")
    context = {"title": "Page not found", "docstitle": "A book", "home": "book/home.html"}
    return SphinxRenderer().render_string(source, {**context, "top": top})


@pytest.fixture
def site(tmp_path):
    (tmp_path / "name" / "book").mkdir(parents=True)
    (tmp_path / "name" / "searchindex.js").write_text("")
    (tmp_path / "name" / "book" / "home.html").write_text("<h1>Home</h1>")
    (tmp_path / "name" / "search.html").write_text("<h1>Search</h1>")
    handler = functools.partial(Missing, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "name", f"http://127.0.0.1:{server.server_port}/name/"
        server.shutdown()


@pytest.mark.parametrize("wrong", ["gone.html", "gone/", "a/b/c/random-masks.html"])
@pytest.mark.parametrize("top", ["", "https://owner.github.io/name/", "{here}"])
def test_a_missing_page_leads_back_from_any_depth(browser, site, wrong, top):
    folder, root = site
    (folder / "404.html").write_text(missing_page(top.format(here=root)), encoding="utf-8")
    page = browser.new_page()
    page.set_default_timeout(5000)
    page.goto(root + wrong)
    assert page.get_by_role("heading").inner_text() == "Page not found"
    page.wait_for_function(f"document.baseURI === {json.dumps(root)}")
    home = page.get_by_role("link", name="home page")
    assert home.evaluate("a => a.href") == f"{root}book/home.html"
    words = page.get_by_role("searchbox").input_value()
    assert words == {"gone.html": "gone", "gone/": ""}.get(wrong, "random masks")
    page.get_by_role("searchbox").fill("mask")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(f"{root}search.html?q=mask")


def test_the_missing_page_works_from_a_file(browser, tmp_path):
    path = tmp_path / "404.html"
    path.write_text(missing_page(), encoding="utf-8")
    page = show_file(browser, path)
    home = page.get_by_role("link", name="home page")
    assert home.evaluate("a => a.href") == (tmp_path / "book/home.html").as_uri()


def show_file(browser, path):
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
    page.goto(path.as_uri())
    assert sideways(page) <= 0
    return page


# --- A chapter's moving figure on another page ----------------------------------------------------

FIGURE = """
function render({ model, el }) {
  const button = el.appendChild(document.createElement("button"));
  const draw = () => (button.textContent = `at ${model.get("level")} of ${model.get("state").max}`);
  button.addEventListener("click", () => {
    model.set("level", model.get("level") + 1);
    model.save_changes();
  });
  model.on("change:level", draw);
  draw();
}

export default { render };
"""


def with_figure(**changed):
    """An executed notebook whose second output shows a widget, and its still the third."""
    state = {"_esm": FIGURE, "_css": "button { color: red }", "still_id": "still-7", "level": 2}
    state |= {"state": {"max": 9, "told": "</script><b>"}} | changed
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "m1"}}
    still = {"text/html": '<figure class="course-figure" id="still-7"><div>still</div></figure>'}
    outputs = [{"output_type": "stream", "text": "x"}, {"data": view}, {"data": still}]
    widgets = {course_moving.MIME: {"state": {"m1": {"state": state}}}}
    return {"metadata": {"widgets": widgets}, "cells": [{"outputs": []}, {"outputs": outputs}]}


def test_a_figure_moves_on_a_page_without_the_widget_manager(browser, tmp_path):
    html = course_moving.first_moving(with_figure())
    page = show(browser, tmp_path / "moved.html", html)
    button = page.get_by_role("button")
    assert button.inner_text() == "at 2 of 9"
    button.click()
    assert button.inner_text() == "at 3 of 9"
    assert page.locator("#still-7").count() == 1


def test_what_is_no_figure_of_the_course_is_left_where_it_is():
    assert course_moving.first_moving(with_figure(still_id="another")) == ""
    assert course_moving.first_moving(with_figure(_esm="export default { draw };")) == ""
    assert course_moving.first_moving({"metadata": {}, "cells": [{"outputs": []}]}) == ""
