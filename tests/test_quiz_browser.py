"""A quiz in the browser: under a hand in a page, in JupyterLab, and plain where no script runs."""

import shutil
import tomllib
from pathlib import Path

import browser as in_browser  # beside this file
import moving
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_quiz_keys import GOOD
from test_site import Book

from course_lib.widgets.quiz import QUIZZES, read

ROOT = Path(__file__).parents[1]

SHOW = """\
from course_lib.widgets.quiz import Quiz
Quiz("good", folder={folder!r}).show()"""
CHAPTER = 'from course_lib.widgets.quiz import Quiz\n\nQuiz("01_pruning").show()'


def show_good(folder):
    """Put the quiz into a folder; returns the code of a cell that shows it."""
    (folder / "good.toml").write_text(GOOD, encoding="utf-8")
    return SHOW.format(folder=str(folder))


@pytest.fixture(scope="module")
def executed(made_once):
    """A notebook with the quiz, run in a kernel of its own, as JupyterLab would save it."""

    def make(folder):
        moving.execute({"quiz": show_good(folder)}, folder)
        moving.as_page(folder / "quiz.ipynb")

    return made_once("quiz", make) / "quiz.ipynb"


@pytest.fixture(scope="module")
def converted(executed):
    """That notebook as a page."""
    return executed.with_suffix(".html")


@pytest.fixture(scope="module")
def built(made_once, needs):
    """The pages of a small book with the real library: the quiz above, and chapter 01's."""

    def make(folder):
        book = Book(folder / "book")
        library = book.folder / "course_lib"
        shutil.rmtree(library)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "course_lib", library, ignore=ignore)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        for name, code in (("01_good", show_good(folder)), ("02_chapter", CHAPTER)):
            cells = [new_markdown_cell(f"# {name}\n\nA quiz."), new_code_cell(code)]
            book.add_notebook(name, new_notebook(metadata=kernel, cells=cells))
        result = book.build()
        assert result.code == 0, result.log

    pages = made_once("quiz-book", make) / "book" / "_build" / "html" / "notebooks"
    with needs():
        if not (pages.parent / "vendor" / "embed-amd.js").is_file():
            raise in_browser.Missing("npm cannot be reached, so the widget manager is not here.")
    return {"good": pages / "01_good.html", "chapter": pages / "02_chapter.html"}


@pytest.fixture
def offline(page, built):
    """Open a page of the book from its file, with the network off."""
    page.context.set_offline(True)
    page.set_default_timeout(in_browser.PATIENCE)

    def go(name):
        log = in_browser.watch(page, built[name].parents[1].as_uri() + "/")
        page.goto(built[name].as_uri())
        page.locator(".course-quiz").wait_for()
        assert in_browser.requests_elsewhere(log) == []
        assert in_browser.console_errors(log) == []
        return page

    return go


def question(page, number):
    return page.locator(".course-quiz fieldset").nth(number - 1)


def said(page, number):
    """What stands under a question after a check, as one line."""
    return " ".join(question(page, number).locator(".feedback").inner_text().split())


def result(page):
    return page.locator(".course-quiz .result").inner_text()


def focused(page):
    """What has the focus: the text of a button or summary, or the name of an input."""
    return page.evaluate(
        "() => { const e = document.activeElement;"
        " return e.labels?.length ? e.labels[0].innerText.trim() : e.innerText?.trim(); }"
    )


@pytest.mark.slow
@pytest.mark.browser
def test_one_right_answer_by_keyboard(offline):
    page = offline("good")
    keys = page.keyboard
    assert result(page) == "4 questions. Nothing is stored and nothing is sent."
    question(page, 1).locator("input").first.focus()
    keys.press("Tab")
    assert focused(page) == "Check"
    keys.press("Enter")
    assert said(page, 1) == "Choose an answer first."
    assert result(page).startswith("4 questions")  # that was no try
    keys.press("Shift+Tab")
    keys.press("Space")
    assert focused(page) == "The <i>first</i>, 2 * 3 * 4"
    keys.press("Tab")
    keys.press("Space")
    assert said(page, 1) == (
        "✗ Not right. ✗ The <i>first</i>, 2 * 3 * 4 "
        "Because of <script>window.caught = true</script>. To read again: “Somewhere”."
    )
    assert page.evaluate("window.caught") is None
    assert focused(page) == "Check"
    assert result(page) == "0 of 1 right at the first try, 3 to go."
    keys.press("Shift+Tab")
    keys.press("ArrowDown")
    keys.press("Enter")  # in the group itself
    assert said(page, 1) == ("✓ Right. ✓ The second It is right. What is wrong with the others?")
    assert question(page, 1).locator(".feedback em").inner_text() == "is"
    assert question(page, 1).locator(".feedback code").inner_text() == "right"
    assert focused(page).startswith("The second")
    assert result(page) == "0 of 1 right at the first try, 3 to go."
    keys.press("Tab")
    keys.press("Tab")
    assert focused(page) == "What is wrong with the others?"
    keys.press("Enter")
    assert said(page, 1).endswith("✗ The third Not the third.")


@pytest.mark.slow
@pytest.mark.browser
def test_several_right_answers_by_keyboard(offline):
    page = offline("good")
    keys = page.keyboard
    question(page, 2).locator("input").first.focus()
    keys.press("Space")
    keys.press("Tab")
    assert focused(page) == "Beta"
    keys.press("Space")
    keys.press("Enter")
    # What was ticked is explained; what was not stays open.
    assert said(page, 2) == (
        "✗ Not right. ✓ Alpha Alpha is one of them. ✗ Beta Beta is not. "
        "Right ones that you did not tick: 1. To read again: “Elsewhere”."
    )
    keys.press("Space")
    keys.press("Enter")
    assert said(page, 2).startswith("✗ Not all yet. ✓ Alpha Alpha is one of them. Right ones")
    for _ in range(3):
        keys.press("Tab")
    assert focused(page) == "Show the answer"
    keys.press("Enter")
    assert said(page, 2) == (
        "The answer: ✓ Alpha Alpha is one of them. ✓ Gamma Gamma is one of them. "
        "What is wrong with the others?"
    )
    assert focused(page) == "Show the answer"
    question(page, 2).locator("input").nth(2).focus()
    keys.press("Space")
    keys.press("Enter")
    assert said(page, 2).startswith("✓ Right. ✓ Alpha")
    assert not question(page, 2).get_by_role("button", name="Show the answer").is_visible()
    # All of the right ones and a wrong one besides.
    question(page, 2).locator("input").nth(1).focus()
    keys.press("Space")
    keys.press("Enter")
    assert said(page, 2).startswith("✗ Not right.")
    assert "did not tick" not in said(page, 2)
    assert result(page) == "0 of 1 right at the first try, 3 to go."


NUMBERS = [  # the question, what is typed, how the feedback begins
    (3, "-1.5", "✓ Right. ✓ −1.5 pp So much."),
    (3, "−1,5", "✓ Right."),
    (3, "  - 1.5 pp ", "✓ Right."),
    (3, "-1.6", "✓ Right."),
    (3, "-1,4", "✓ Right."),
    (3, "-1.61", "✗ Not right. Think of the sign. To read again"),
    (3, "-1500", "✗ Not right. Think of the sign."),
    (3, "1.5", "✗ Not right. ✗ 1.5 pp A loss has a minus."),
    (3, "+1.5", "✗ Not right. ✗ 1.5 pp A loss has a minus."),
    (3, "  ", "Write a number first."),
    (3, "<b>a lot</b>", "“<b>a lot</b>” is not a number. Write digits"),
    (3, "1.5.3", "“1.5.3” is not a number."),
    (3, "--1.5", "“--1.5” is not a number."),
    (3, "pp", "“pp” is not a number."),
    (3, "e5", "“e5” is not a number."),
    (4, "16564", "✓ Right. ✓ 16,564 bytes So many."),
    (4, "16,564", "✓ Right."),
    (4, "16.564", "✓ Right."),
    (4, "16 564", "✓ Right."),
    (4, "16\u202f564,0 bytes", "✓ Right."),
    (4, "16,564.00", "✓ Right."),
    (4, "1.6564e4", "✓ Right."),
    (4, "16399", "✓ Right."),
    (4, "16398", "✗ Not right. Count again."),
    (4, "7.680", "✗ Not right. ✗ 7,680 bytes Only the values."),
    (4, "16,56", "✗ Not right. Count again."),
    (4, "0,16564", "✗ Not right. Count again."),
    (4, "1,65,64", "“1,65,64” is not a number."),
]


@pytest.mark.slow
@pytest.mark.browser
def test_numbers_by_keyboard(offline):
    page = offline("good")
    tried = set()
    for number, text, begins in NUMBERS:
        question(page, number).locator("input").focus()
        page.keyboard.press("Control+A")
        page.keyboard.press("Delete")
        page.keyboard.insert_text(text)
        page.keyboard.press("Enter")
        assert said(page, number).startswith(begins), text
        assert question(page, number).locator("input").input_value() == text
        tried.add(number)
    assert result(page) == "2 of 2 right at the first try, 2 to go."


@pytest.mark.slow
@pytest.mark.browser
def test_the_quiz_of_chapter_01_by_keyboard(offline):
    page = offline("chapter")
    questions = read(QUIZZES / "01_pruning.toml")
    for number, asked in enumerate(questions, start=1):
        question(page, number).locator("input").first.focus()
        right = [i for i, option in enumerate(asked.options) if option.right]
        if asked.kind == "number":
            page.keyboard.type(f"{asked.options[0].value}")
        elif asked.kind == "one":
            page.keyboard.press("Space")
            for _ in range(right[0]):
                page.keyboard.press("ArrowDown")
        else:
            for i in range(len(asked.options)):
                if i in right:
                    page.keyboard.press("Space")
                if i + 1 < len(asked.options):
                    page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert said(page, number).startswith("✓ Right.")
    assert result(page) == "6 of 6 right at the first try."


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_wrong_and_a_phone_shows_it_all(browser, built, axe, theme):
    url = built["chapter"].as_uri()
    with in_browser.opened(browser, url, url, theme) as (page, _):
        # Some answered rightly, wrongly and not at all, with everything open.
        for number, i in ((1, 0), (3, 0), (3, 2), (6, 1)):
            question(page, number).locator("input").nth(i).check()
        question(page, 2).locator("input").fill("7680")
        question(page, 4).locator("input").fill("much")
        for number in range(1, 7):
            question(page, number).get_by_role("button", name="Check").click()
        question(page, 3).locator("summary").click()
        question(page, 6).get_by_role("button", name="Show the answer").click()
        states = page.locator(".course-quiz fieldset").evaluate_all(
            "f => f.map(e => e.dataset.state)"
        )
        assert states == ["wrong", "wrong", "right", "", "", ""]
        assert in_browser.other_theme(page, theme) == []
        for width in (in_browser.WIDE, in_browser.NARROW):
            in_browser.resize(page, width)
            assert in_browser.sideways_scroll(page) == []
            assert in_browser.serious_violations(page, axe) == []


@pytest.fixture
def lone(browser, converted, needs):
    """The quiz in the page that nbconvert made."""
    with needs(), moving.shown(browser, converted) as page:
        yield page


@pytest.mark.browser
def test_a_screen_reader_finds_names_and_hears_what_changes(lone):
    first = lone.get_by_role(
        "group", name="Question 1 of 4 · choose one Which of a < b & these is <b>right</b>?"
    )
    assert first.get_by_role("radio").count() == 3
    assert first.get_by_role("radio", name="The second", exact=True).count() == 1
    names = [box.evaluate("e => e.name") for box in lone.locator("input[type=radio]").all()]
    assert len(set(names)) == 1
    assert lone.get_by_role("checkbox", name="Beta", exact=True).count() == 1
    assert lone.get_by_role("textbox", name="Your answer in pp", exact=True).count() == 1
    assert lone.get_by_role("button", name="Check").count() == 4
    # Regions that speak are there before anything is said in them.
    live = lone.locator(".course-quiz [aria-live=polite]")
    assert live.count() == 5
    assert lone.locator(".feedback[aria-live=polite]").all_inner_texts() == [""] * 4


@pytest.mark.browser
def test_nothing_is_kept(lone):
    question(lone, 2).locator("input").first.check()
    question(lone, 2).get_by_role("button", name="Check").click()
    assert result(lone).startswith("0 of 1")
    assert lone.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        0,
        0,
        "",
    ]
    lone.reload()
    lone.locator(".course-quiz").wait_for()
    assert result(lone).startswith("4 questions")
    assert not question(lone, 2).locator("input").first.is_checked()


@pytest.mark.browser
def test_questions_stand_in_print_and_without_scripts(lone, browser, converted):
    plain = lone.locator(".course-quiz-plain")
    assert not plain.get_by_text("Which two?").is_visible()
    lone.emulate_media(media="print")
    assert plain.get_by_text("Which two?").is_visible()
    assert not lone.locator(".course-quiz").is_visible()

    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(converted.as_uri())
    plain = page.locator(".course-quiz-plain")
    assert plain.get_by_text("Which two? (tick all that are right)").is_visible()
    assert plain.get_by_text("How much? (write a number in pp)").is_visible()
    assert plain.get_by_text("Gamma", exact=True).first.is_visible()
    assert not plain.get_by_text("So many.").is_visible()
    plain.locator("summary").press("Enter")
    assert plain.get_by_text("So many.").is_visible()
    context.close()


@pytest.mark.slow
def test_the_plain_page_holds_every_question_and_answer(executed):
    outputs = nbformat.read(executed, as_version=4).cells[1].outputs
    shown = next(o.data for o in outputs if "text/html" in o.get("data", {}))
    page = BeautifulSoup(shown["text/html"], "html.parser")
    asked = page.select(".course-quiz-plain > div > ol > li")
    answered = page.select("details > ol > li")
    questions = tomllib.loads(GOOD)["question"]
    assert len(asked) == len(answered) == len(questions)
    for table, item, answers in zip(questions, asked, answered, strict=True):
        options = table.get("option", [])
        assert len(item.select("ul > li")) == len(options)
        signs = [answer.text.split()[0] for answer in answers.select("li")]
        if options:
            assert signs == ["✓" if option.get("right") else "✗" for option in options]
        else:
            assert signs == ["✓", "✗"]
    assert not page.find(["script", "i", "b"])
    # What stands where HTML cannot be shown asks, and gives nothing away.
    assert shown["text/plain"].startswith("1. Which of `a < b`")
    assert shown["text/plain"].endswith("4. How many? (write a number in bytes)")


@pytest.mark.browser
def test_it_works_in_jupyterlab(page, lab, executed):
    """The saved notebook, opened in JupyterLab, run there and answered by keyboard."""
    lab(page, executed, ".course-quiz")
    n_cells = page.locator(".jp-Notebook .jp-Cell").count()
    question(page, 1).locator("input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert focused(page) == "Check"
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert said(page, 1).startswith("✓ Right. ✓ The second")
    assert focused(page) == "Check"
    # These would cut, add, delete and run cells.
    for key in ("x", "a", "b", "d", "d", "Shift+Enter"):
        page.keyboard.press(key)
    question(page, 3).locator("input").focus()
    page.keyboard.type("-1.5")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert said(page, 3).startswith("✓ Right.")
    assert result(page) == "2 of 2 right at the first try, 2 to go."
    assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells
    assert not page.locator(".course-quiz-plain").get_by_text("Which two?").is_visible()
