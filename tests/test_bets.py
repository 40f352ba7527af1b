"""Bets: their score, the chapter's widget, and the site's scripts in a browser."""

import json
import random
import sys
from pathlib import Path

import browser as in_browser  # beside this file
import moving
import pytest
from test_evidence import CLAIM, Protocol, shown, trial  # noqa: F401
from test_home_browser import ROWS, show, sideways

from course_lib import bets, evidence
from course_lib.verdicts import MEANINGS, VERDICTS
from course_lib.widgets.bets import Bets

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

import course_bets  # noqa: E402
import course_forest  # noqa: E402
import course_ledger  # noqa: E402

# --- In Python ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidence", "came", "score"),
    [(60, "supported", 0.16), (60, "vacuous", 0.36), (100, "supported", 0), (100, "vacuous", 1)],
)
def test_the_score_of_a_bet(confidence, came, score):
    assert bets.brier(bets.Bet("supported", confidence), came) == pytest.approx(score)


@pytest.mark.parametrize(
    ("verdict", "confidence"), [("maybe", 50), ("vacuous", 0), ("vacuous", 52), ("vacuous", 50.0)]
)
def test_what_is_no_bet(verdict, confidence):
    with pytest.raises(ValueError, match="got"):
        bets.Bet(verdict, confidence)


def test_every_word_has_a_meaning_and_a_letter_of_its_own():
    assert tuple(MEANINGS) == VERDICTS
    assert len({word[0] for word in VERDICTS}) == len(VERDICTS)  # the code for a class needs it


def test_a_bet_that_the_page_sends_is_shown_beside_the_verdict(shown, monkeypatch):  # noqa: F811
    monkeypatch.setattr(bets, "PLACED", {})
    widget = Bets([CLAIM])
    settings = {"seeds": range(8), "protocol": Protocol()}
    widget.bets = {"W1": {"verdict": "conditional", "confidence": 60}, "Q9": {}}
    evidence.record(CLAIM, trial(), **settings)
    widget.bets = {"W1": {"verdict": "<b>", "confidence": 60}}  # no bet
    evidence.record(CLAIM, trial(), **settings)
    (with_bet, _), (without, _) = shown
    said = "Your bet: conditional, 60% sure · Brier 0.16"
    assert said in with_bet["text/html"]
    assert said in with_bet["text/plain"]
    assert "Your bet" not in without["text/html"] + without["text/plain"]


@pytest.mark.parametrize("claims", [[], [CLAIM, CLAIM]])
def test_each_claim_once(claims):
    with pytest.raises(ValueError, match="each once"):
        Bets(claims)


# --- In a browser ---------------------------------------------------------------------------------

HOME = course_forest.summary_table(ROWS)
# The filter stands above what it filters; in the book that is the ledger.
FILTERED = f'<div class="claims">{course_forest.filter_form(ROWS)}{HOME}</div>'
CARD = """<p style="height: 900px">Above.</p>
<div class="claim verdict-not-supported" id="claim-W1" data-bet="W1" data-verdict="not supported">
<p><strong>W1. Ninety percent can go.</strong> <span class="bet-result">Verdict: not supported.
Fails.</span></p><div class="bet-cover-here"></div>
<div class="bet-result"><table><tr><td><a href="#x">an arm</a></td></tr></table></div></div>
<p style="height: 900px">Below.</p>"""


def ledger(n):
    words = [VERDICTS[i % 5] for i in range(n)]
    claims = [
        {**ROWS[0]["claim"], "id": f"W{i}", "verdict": word} for i, word in enumerate(words, 1)
    ]
    entries = [course_ledger.ledger_entry({**ROWS[0], "claim": c}, "somebody") for c in claims]
    return '<div class="bets-bar" data-calibration></div>' + "".join(entries), claims


@pytest.fixture
def opened(browser, tmp_path):
    """Open an article with a script of the site: `opened(html, "covers.js", ...)`."""

    def go(html, *names, after="", **options):
        (tmp_path / "bets.js").write_text(
            course_bets.script(*names) + (STATIC_FILTER if "claims-filter" in html else "") + after
        )
        body = f"<style>{course_bets.style()}</style>{html}<script src='bets.js' defer></script>"
        return show(browser, tmp_path / "page.html", body, **options)

    return go


STATIC_FILTER = (ROOT / "book" / "static" / "claims.js").read_text(encoding="utf-8")


def fnv(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    value, digits = value % 36**4, ""
    for _ in range(4):
        value, digit = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def code_of(placed):
    """The code, written again in Python."""
    text = "SB1" + "".join(
        f"{name}{verdict[0]}{chr(ord('a') + confidence // 5 - 1)}"
        for name, (verdict, confidence) in sorted(placed.items())
    )
    return f"{text}-{fnv(text)}"


def some_bets(n, seed=0):
    draw = random.Random(seed)
    names = ["W1", "A1", "A1b", "T12", "D7", "S3", "M1c"]
    return [
        {
            name: (draw.choice(VERDICTS), draw.randrange(5, 101, 5))
            for name in names
            if draw.random() < 0.7
        }
        | {"W2": ("vacuous", 100)}
        for _ in range(n)
    ]


@pytest.mark.browser
@pytest.mark.slow
def test_codes_and_scores_agree_with_python(browser, tmp_path):
    script = course_bets.script().replace(
        "})();", "globalThis.kit = {encodeBets, decodeBets, brier, inWords, WORDS};\n})();"
    )
    (tmp_path / "kit.js").write_text(script)
    page = show(browser, tmp_path / "kit.html", "<script src='kit.js'></script>")
    for placed in some_bets(30):
        given = {name: {"verdict": v, "confidence": c} for name, (v, c) in placed.items()}
        code = page.evaluate("bets => kit.encodeBets(bets)", given)
        assert code == code_of(placed)
        assert page.evaluate("code => kit.decodeBets(code, kit.WORDS)", code) == given
        for verdict, confidence in placed.values():
            bet = bets.Bet(verdict, confidence)
            for came in VERDICTS:
                said = page.evaluate(
                    "([v, c, came]) => kit.inWords({verdict: v, confidence: c}, came)",
                    [verdict, confidence, came],
                )
                assert said == bets.in_words(bet, came)


def covered(page):
    return page.locator(".bet-cover").count()


@pytest.mark.browser
@pytest.mark.slow
def test_home_is_covered_until_bet_on_by_keyboard(opened):
    page = opened(FILTERED, "covers.js")
    page.context.set_offline(True)
    assert covered(page) == 4
    text = page.locator("article").inner_text()
    assert "4 claims tried." in text.replace("\n", " ")
    for hidden in ("✗", "not supported\n", "interval from"):
        assert hidden not in page.locator("table").inner_text()
    assert page.locator("svg[role=img]:visible").count() == 0
    # The filter says nothing about what is covered.
    page.get_by_role("combobox", name="Verdict").select_option("not supported")
    assert page.get_by_text("No claim fits. Covered verdicts are left out.").is_visible()
    page.get_by_role("combobox", name="Verdict").select_option("all")
    page.get_by_role("searchbox", name="Words").fill("not supported")
    assert page.locator("tbody tr:visible").count() == 0
    assert page.get_by_text("No claim fits. Covered verdicts are not searched.").is_visible()
    page.get_by_role("searchbox", name="Words").fill("")
    # A bet, by keyboard.
    page.get_by_text("Bet on W1", exact=True).focus()
    keys = page.keyboard
    keys.press("Enter")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Enter")
    assert page.get_by_text("Choose a word first.").is_visible()
    keys.press("Shift+Tab")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    keys.press("Shift+Tab")
    keys.press("Space")
    keys.press("ArrowDown")  # the second word
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Enter")
    row = page.locator("tbody tr").first
    assert "Your bet: not supported, 60% sure · Brier 0.16" in row.inner_text()
    assert page.evaluate("document.activeElement.innerText").strip().startswith("✗ not supported")
    heard = page.locator(".bets-heard").inner_text()
    assert heard == "W1: not supported. Your bet: not supported, 60% sure · Brier 0.16."
    assert covered(page) == 3
    page.reload()
    assert covered(page) == 3
    page.get_by_role("button", name="Show all verdicts").click()
    assert covered(page) == 0
    assert "2 ✗ not supported" in page.locator(".claims-tally").inner_text()
    page.reload()
    assert covered(page) == 0
    page.get_by_role("button", name="Forget all bets").click()
    assert covered(page) == 4
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.browser
@pytest.mark.slow
def test_without_scripts_and_in_print_every_verdict_is_open(opened):
    page = opened(HOME, "covers.js", java_script_enabled=False)
    assert page.locator(".course-verdict:visible").count() == 3 + 4  # the tally and the rows
    page = opened(HOME, "covers.js")
    assert page.locator(".course-verdict:visible").count() == 0
    page.emulate_media(media="print")
    assert page.locator(".course-verdict:visible").count() == 3 + 4
    assert page.locator(".bet-cover:visible").count() == 0


@pytest.mark.browser
@pytest.mark.slow
def test_where_nothing_can_be_kept_bets_last_as_long_as_the_page(opened):
    page = opened(HOME, "covers.js")
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw Error(); }})"
    )
    page.reload()
    page.get_by_role("button", name="Show the verdict on W2").click()
    assert covered(page) == 3
    assert "Your bet" not in page.locator("article").inner_text()
    page.reload()
    assert covered(page) == 4


@pytest.mark.browser
@pytest.mark.slow
def test_a_card_covers_only_its_verdict_and_a_link_lands(opened):
    page = opened(CARD, "covers.js")
    page.goto(page.url + "#claim-W1")
    page.reload()
    card = page.locator("#claim-W1")
    assert card.get_by_text("Ninety percent can go").is_visible()
    assert not card.get_by_text("Fails.").is_visible()
    assert page.get_by_role("link", name="an arm").count() == 0
    assert 0 <= card.bounding_box()["y"] < 300
    before = card.bounding_box()["y"]
    card.get_by_role("button", name="Show the verdict").click()
    assert card.get_by_text("Fails.").is_visible()
    assert card.bounding_box()["y"] == pytest.approx(before, abs=1)


@pytest.mark.browser
@pytest.mark.slow
def test_after_ten_bets_the_calibration_is_drawn(opened):
    html, claims = ledger(12)
    page = opened(html, "covers.js")
    place = "([id, bet]) => localStorage.setItem(`sparse-by-experiment.bet.${id}`, bet)"
    for number, claim in enumerate(claims[:10]):
        if number == 9:
            page.reload()
            assert page.get_by_text("After 1 more bet your").count() == 1
        word = claim["verdict"] if number % 2 else VERDICTS[(number + 1) % 5]
        bet = {"verdict": word, "confidence": 90 if number < 4 else 30}
        page.evaluate(place, [claim["id"], json.dumps(bet)])
    # What is no bet counts for nothing.
    page.evaluate(place, ["W11", '{"verdict": "<b>", "confidence": 50}'])
    page.evaluate(place, ["W12", "not JSON"])
    page.reload()
    picture = page.locator("svg.calibration")
    label = picture.get_attribute("aria-label")
    assert "30% sure: 50% right of 6; 90% sure: 50% right of 4" in label
    cells = page.locator(".bets-bar tbody td").all_inner_texts()
    assert cells == ["25 to 40%", "30%", "50%", "6", "85 to 100%", "90%", "50%", "4"]
    mean = (2 * 0.01 + 2 * 0.81 + 3 * 0.49 + 3 * 0.09) / 10
    assert f"mean Brier score is {mean:.2f}" in page.locator(".bets-bar").inner_text()


@pytest.mark.browser
@pytest.mark.slow
def test_a_class_is_drawn_from_its_codes_and_broken_ones_are_named(opened):
    claims = [{key: ROWS[0]["claim"][key] for key in ("id", "claim", "verdict")}]
    html = f"<div class='class-bets' data-claims='{json.dumps(claims)}'></div>"
    page = opened(html, "class_bets.js")
    good = [{"W1": ("not supported", 60)}, {"W1": ("supported", 80), "Q9": ("vacuous", 5)}]
    slip = code_of({"W1": ("supported", 90)}).replace("sr", "sq")
    hostile = "<img/src=x/onerror=window.caught=1>"
    alien = "SB1W1zz-" + fnv("SB1W1zz")
    twice = "SB1W1saW1sb-" + fnv("SB1W1saW1sb")
    newer = "SB2W1sa-" + fnv("SB2W1sa")
    pasted = "\n".join([*map(code_of, good), slip, hostile, alien, twice, newer, "x" * 2000])
    page.get_by_label("The codes, one a line").fill(pasted)
    text = page.locator(".class-bets").inner_text()
    assert "2 codes read. 6 skipped." in text
    for why in (
        "Code 3 is skipped, its last four characters do not fit",
        "Code 4 is skipped, it does not begin with SB1: <img",
        "Code 5 is skipped, a bet in it cannot be read",
        "Code 6 is skipped, it has two bets on W1",
        "Code 7 is skipped, it is of another version",
        "Code 8 is skipped, it is too long for a code",
    ):
        assert why in text
    assert page.locator("img").count() == 0
    assert page.evaluate("window.caught") is None
    assert "2 bets, on average 70% sure." in text
    assert "Q9 (a claim that this book does not have)" in text
    assert "Brier" not in text
    assert "(came)" not in text
    page.get_by_role("checkbox", name="Show the verdicts and the scores").check()
    text = page.locator(".class-bets").inner_text()
    assert f"Mean Brier score {(0.16 + 0.64) / 2:.2f}." in text
    assert "not supported (came)" in text


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_serious_is_wrong_and_it_fits(opened, axe, width):
    for html in (HOME, ledger(11)[0]):
        page = opened(html, "covers.js", width=width)
        for summary in page.locator(".course-bets summary").all():
            summary.click()
        assert sideways(page) <= 0
        assert in_browser.serious_violations(page, axe) == []


# --- The widget -----------------------------------------------------------------------------------

WIDGET = """\
from course_lib import evidence
from course_lib.widgets.bets import Bets
one = {"source": "somebody", "criterion": "x", "chapter": "01_x"}
W1 = evidence.Claim("W1", "Zeros are <b>free</b>", **one)
Bets([W1, evidence.Claim("W2", "So", **one)]).show()
"""


@pytest.fixture(scope="module")
def converted(made_once):
    """A notebook with the widget, run and made a page."""

    def make(folder):
        moving.execute({"bets": WIDGET}, folder)
        moving.as_page(folder / "bets.ipynb")

    return made_once("bets", make) / "bets.html"


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [in_browser.NARROW, in_browser.WIDE])
def test_the_widget_by_keyboard(browser, converted, needs, axe, width):
    size = {"width": width, "height": 800}
    with needs(), moving.shown(browser, converted, viewport=size) as page:
        root, keys = page.locator(".course-bets"), page.keyboard
        first = root.get_by_role("group", name="W1. Zeros are <b>free</b>")
        assert root.get_by_text("No bet yet.").is_visible()
        assert root.locator("dd").all_inner_texts() == list(MEANINGS.values())
        assert not page.locator(".course-bets-plain dl").is_visible()
        first.get_by_role("radio").first.focus()
        keys.press("Space")
        for _ in range(4):
            keys.press("ArrowDown")
        keys.press("Tab")
        assert page.evaluate("document.activeElement.type") == "range"
        for _ in range(3):
            keys.press("ArrowRight")
        keys.press("Tab")
        keys.press("Enter")
        assert first.get_by_role("status").inner_text() == "Your bet: inconclusive, 65% sure."
        assert "You have bet on 1 of 2 claims." in root.inner_text()
        root.get_by_role("button", name="Show my code for a class").press("Enter")
        code = code_of({"W1": ("inconclusive", 65)})
        assert root.locator("output.code").inner_text() == code
        page.add_style_tag(content=".jp-InputArea { display: none }")  # nbconvert's own greys
        assert in_browser.serious_violations(page, axe) == []
        page.reload()
        first.get_by_text("Your bet: inconclusive, 65% sure.").wait_for()
        assert first.get_by_role("slider").input_value() == "65"
        box = root.bounding_box()
        assert box["x"] + box["width"] <= width
        page.screenshot(path=converted.with_name(f"{width}.png"))
        root.get_by_role("button", name="Forget all bets").press("Enter")
        assert page.evaluate("localStorage.length") == 0
        assert first.get_by_role("radio", checked=True).count() == 0
        page.emulate_media(media="print")
        assert page.locator(".course-bets-plain dl").is_visible()
        assert not root.is_visible()
