"""How each chapter reads in a browser, within limits; and what its page offers to who reads it."""

import browser as in_browser  # beside this file; `browser` is the fixture
import measuring
import pytest

pytestmark = pytest.mark.browser

CHAPTERS = [p for p in in_browser.site_pages() if p.startswith("notebooks/")]
CHAPTERS = CHAPTERS or ["notebooks/01_pruning"]  # without a site, to say so


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_how_a_chapter_reads(browser, site_url, chapter, record_property):
    with in_browser.opened(browser, f"{site_url}{chapter}.html", site_url) as (tab, _):
        tab.wait_for_selector(".moving-figure", timeout=in_browser.PATIENCE)
        found = measuring.measures(tab)
    record_property("reading", f"{chapter.rpartition('/')[2]}: {measuring.in_a_line(found)}")
    faults = measuring.faults(found)
    assert not faults, "\n".join(["", *faults])


def bad_page():
    """A page with every fault: pictures at its end, much code, crowded words, long verdicts."""
    code = "\n".join(["x = 1"] * 599 + ["y = " + " + ".join(["1"] * 100)])
    cell = f'<div class="cell_input"><pre style="overflow: auto">{code}</pre></div>'
    words = "<p>From 1 to 2, then 3.5, −4 and 5%.</p>"
    moving = '<input type="range">' + '<svg width="100" height="100"></svg>'
    verdicts = '<section><h2>Verdicts</h2><div style="height: 2600px"></div></section>'
    space = '<div style="height: 24000px"></div>'
    return f"<main><article>{cell}{words}{space}{verdicts}{moving}</article></main>"


def test_a_bad_page_has_every_fault(page):
    page.set_content(bad_page())
    found = measuring.measures(page)
    assert len(found["crowded"]) == 1
    assert found["lines of code"] == 600
    said = "\n".join(measuring.faults(found))
    for _, what in measuring.LIMITS.values():
        assert what in said
    page.set_content("<main><p>Nothing.</p></main>")
    said = measuring.faults(measuring.measures(page))
    assert said == ["first picture: there is none", "first move: there is none"]


@pytest.mark.parametrize(
    ("text", "crowded"),
    [
        ("<p>1 2 3 4</p>", 0),
        ("<p>1 2 3 4 64-300-100-10</p>", 1),
        ("<p>1,797 and 0.25 and W1 and x2 and 3</p>", 0),
        ("<p>1 2 3 <code>4 5</code> <a>6</a></p>", 0),
        ("<table><tr><td><p>1 2 3 4 5</p></td></tr></table>", 0),
        ("<details open><p>1 2 3 4 5</p></details>", 0),
    ],
)
def test_what_counts_as_a_number(page, text, crowded):
    page.set_content(f"<main>{text}</main>")
    assert len(measuring.measures(page)["crowded"]) == crowded


def shown_code(tab):
    return tab.evaluate(
        "[...document.querySelectorAll('.cell_input')].filter(e => e.checkVisibility()).length"
    )


def test_the_switch_shows_ideas_all_code_or_none_and_is_remembered(browser, site_url):
    with in_browser.opened(browser, f"{site_url}{CHAPTERS[0]}.html", site_url) as (tab, _):
        ideas = shown_code(tab)
        tab.check(".code-switch input[value=all]")
        everything = shown_code(tab)
        tab.check(".code-switch input[value=none]")
        assert everything > ideas > shown_code(tab) == 0
        tab.reload()
        in_browser.settle(tab)
        assert tab.is_checked(".code-switch input[value=none]")
        assert shown_code(tab) == 0
        tab.check(".code-switch input[value=ideas]")
        assert shown_code(tab) == ideas


def test_a_key_leads_past_the_text_to_the_figure(browser, site_url):
    with in_browser.opened(browser, f"{site_url}{CHAPTERS[0]}.html", site_url) as (tab, _):
        tab.wait_for_selector("#try-it-and-bet .moving-figure", timeout=in_browser.PATIENCE)
        tab.keyboard.press("Tab")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the figure"
        tab.keyboard.press("Enter")
        tab.wait_for_function(
            "document.activeElement.closest('#try-it-and-bet .moving-figure') !== null",
            timeout=in_browser.PATIENCE,
        )
        listed = "[...document.querySelectorAll('button.copybtn')].filter(e => e.tabIndex >= 0)"
        assert tab.evaluate(f"{listed}.length") == 0
