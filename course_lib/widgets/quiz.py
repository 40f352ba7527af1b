"""The quiz of a chapter: a few questions, each answer with the reason why it is right or wrong.

The questions stand in one plain file for each chapter, `quizzes/01_pruning.toml`; `read` says what
it holds. The quiz is for learning, not for grading: the source of the page holds the answers.
Nothing is stored and nothing is sent.
"""

import dataclasses
import html
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from IPython.display import display

from course_lib.display import show_html, true_minus
from course_lib.widgets import HERE, PageWidget, joined

QUIZZES = HERE / "quizzes"
FEWEST, MOST = 3, 6  # questions of a chapter
TASKS = {
    "one": "choose one",
    "several": "tick all that are right",
    "number": "write a number",
}


@dataclasses.dataclass(frozen=True)
class Option:
    """An answer, and why it is right or wrong. Of a number, `text` is the value with its unit."""

    text: str
    why: str
    right: bool = False
    value: float | None = None


@dataclasses.dataclass(frozen=True)
class Question:
    """A question of kind "one", "several" or "number", with its answers.

    Of a number, the first option is right and the others are mistakes that people make; an answer
    counts as an option within `tolerance` of its value, in `unit`, and `hint` is for any other.
    `where` is the heading of the chapter under which the answer stands, without its number, and
    `computed` says that a test computes the key.
    """

    id: str
    kind: str
    ask: str
    where: str
    options: tuple[Option, ...]
    computed: bool = False
    tolerance: float = 0.0
    unit: str = ""
    hint: str = ""


# --- The file -------------------------------------------------------------------------------------

QUESTION = {"id": str, "kind": str, "ask": str, "where": str}
CHOICE = QUESTION | {"option": list}
NUMBER = QUESTION | {"answer": float, "why": str, "hint": str}
MAY = {"computed": bool}
NUMBER_MAY = MAY | {"unit": str, "tolerance": float, "relative_tolerance": float, "mistake": list}
CALLED = {str: "a text", float: "a finite number", bool: "true or false", list: "a list of tables"}


def read(path: str | Path) -> tuple[Question, ...]:
    """Read the questions of a chapter from a TOML file, 3 to 6 tables `[[question]]`.

    Every question has `id`, `kind`, `ask` and `where`, and may have `computed = true`.

    * Of kind `"one"` or `"several"` it has tables `[[question.option]]` with `text`, `why` and, if
      it is right, `right = true`: one right option, or at least two, and at least one wrong.
    * Of kind `"number"` it has `answer`, `why`, `hint`, and either `tolerance`, in the unit of the
      answer, or `relative_tolerance`, a share of it. It may have `unit`, and for numbers that
      people get wrong tables `[[question.mistake]]` with `value` and `why`.

    Texts may hold `code` and *emphasis*, set as in Markdown; formulas are written in Unicode.
    Options are shown in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, the question and what is wrong with it.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        _check(content, "the file", {"question": list})
        tables = content["question"]
        if not FEWEST <= len(tables) <= MOST:
            raise ValueError(f"a quiz has {FEWEST} to {MOST} questions; got {len(tables)}")
    except ValueError as error:  # also what is no TOML
        raise ValueError(f"{path.name}: {error}") from None
    questions = {}
    for place, table in enumerate(tables, start=1):
        name = table.get("id", "no id") if isinstance(table, dict) else table
        try:
            question = _question(table)
            if question.id in questions:
                raise ValueError("an earlier question has the same id")
        except ValueError as error:
            raise ValueError(f"{path.name}, question {place} ({name}): {error}") from None
        questions[question.id] = question
    return tuple(questions.values())


def _question(table: object) -> Question:
    kind = table.get("kind") if isinstance(table, dict) else None
    if kind not in TASKS:
        raise ValueError(f"kind is one of {list(TASKS)}; got {kind!r}")
    options = _numbers(table) if kind == "number" else _choices(table)
    texts = [option.text for option in options]
    if doubled := {text for text in texts if texts.count(text) > 1}:
        raise ValueError(f"{min(doubled)!r} stands there twice")
    fields = {field.name for field in dataclasses.fields(Question)}
    given = {key: value for key, value in table.items() if key in fields}
    if kind == "number":
        given["tolerance"] = _tolerance(table)
    return Question(**given | {"options": tuple(options)})


def _choices(table: dict) -> list[Option]:
    _check(table, "the question", CHOICE, MAY)
    for option in table["option"]:
        _check(option, "an option", {"text": str, "why": str}, {"right": bool})
    options = [Option(**option) for option in table["option"]]
    n_right = sum(option.right for option in options)
    if n_right == len(options):
        raise ValueError("there is no wrong option")
    if table["kind"] == "one" and n_right != 1:
        raise ValueError(f"kind 'one' has one right option; got {n_right}")
    if table["kind"] == "several" and n_right < 2:
        raise ValueError(f"kind 'several' has two right options or more; got {n_right}")
    return options


def _numbers(table: dict) -> list[Option]:
    _check(table, "the question", NUMBER, NUMBER_MAY)
    for mistake in table.get("mistake", []):
        _check(mistake, "a mistake", {"value": float, "why": str})
    gap = {"%": ""}.get(table.get("unit", ""), " ")

    def option(value: float, why: str, right: bool = False) -> Option:
        text = true_minus(f"{value:,}{gap}{table.get('unit', '')}").strip()
        return Option(text, why, right, value)

    options = [option(table["answer"], table["why"], right=True)]
    for mistake in table.get("mistake", []):
        for other in options:
            if abs(other.value - mistake["value"]) <= 2 * _tolerance(table):
                raise ValueError(
                    f"the mistake {mistake['value']} is too near to {other.value} to be told from "
                    f"it with a tolerance of {_tolerance(table):g}"
                )
        options.append(option(**mistake))
    return options


def _tolerance(table: dict) -> float:
    """Return the tolerance of a number in the unit of the answer."""
    given = [key for key in ("tolerance", "relative_tolerance") if key in table]
    if len(given) != 1:
        raise ValueError(f"give either tolerance or relative_tolerance; got {given or 'none'}")
    tolerance = table[given[0]] * (1 if given == ["tolerance"] else abs(table["answer"]))
    if tolerance <= 0:
        raise ValueError(f"{given[0]} must leave more than 0 on each side; got {table[given[0]]}")
    return tolerance


def _check(table: object, what: str, must: Mapping, may: Mapping = {}) -> None:
    """Complain of keys that lack, are unknown, or hold something else than they take."""
    if not isinstance(table, dict):
        raise ValueError(f"{what} must be a table; got {table!r}")
    if missing := [key for key in must if key not in table]:
        raise ValueError(f"{what} lacks {', '.join(missing)}: {table}")
    takes = {**must, **may}
    for key, value in table.items():
        if key not in takes:
            raise ValueError(f"{what} has the unknown key {key!r}; it takes {list(takes)}")
        fits = isinstance(value, (int, float) if takes[key] is float else takes[key])
        if takes[key] is float:
            fits = fits and not isinstance(value, bool) and math.isfinite(value)
        if not fits:
            raise ValueError(f"{key} of {what} must be {CALLED[takes[key]]}; got {value!r}")
        if takes[key] is str:
            if not value.strip():
                raise ValueError(f"{key} of {what} is empty")
            markup(value)


def markup(text: str) -> str:
    """Return a text as HTML: `code` and *emphasis* as in Markdown, everything else as it stands.

    Raises:
        ValueError: if a backtick stands alone, or there is TeX, which a quiz does not set.
    """
    if found := re.search(r"[$\\]", text):
        raise ValueError(f"{found.group()!r} in {text!r}: formulas are written in Unicode")
    pieces = [html.escape(piece) for piece in text.split("`")]
    if len(pieces) % 2 == 0:
        raise ValueError(f"a backtick stands alone in {text!r}")
    pieces[::2] = [re.sub(r"\*(?=\S)([^*]+)(?<=\S)\*", r"<em>\1</em>", p) for p in pieces[::2]]
    pieces[1::2] = [f"<code>{piece}</code>" for piece in pieces[1::2]]
    return "".join(pieces)


# --- The widget -----------------------------------------------------------------------------------


class Quiz(PageWidget):
    """The questions of a chapter, answered in the page and explained at once.

    Args:
        chapter: its name, such as "01_pruning".
        folder: where its file lies, `<chapter>.toml`.

    Raises:
        FileNotFoundError: if the chapter has no file.
        ValueError: as `read`.
    """

    _esm = joined("page.js", "quiz.js")
    _css = joined("page.css", "quiz.css")

    def __init__(self, chapter: str, *, folder: str | Path = QUIZZES):
        self.questions = read(Path(folder) / f"{chapter}.toml")
        super().__init__({"questions": [_state(q) for q in self.questions]}, salt=chapter)

    def show(self) -> None:
        """Display the quiz and, where no script runs and in print, its questions as a text.

        The text stands below the quiz in the page, its answers folded. The script hides it when it
        has drawn itself.
        """
        questions = self.state["questions"]
        display(self)
        show_html(
            f'<div class="course-quiz-plain" id="{self.still_id}"><div>'
            f"<ol>{''.join(_plain(question) for question in questions)}</ol>"
            "<details><summary>The answers, and why</summary>"
            f"<ol>{''.join(_answers(question) for question in questions)}</ol>"
            "</details></div></div>",
            "\n".join(_as_text(i, question) for i, question in enumerate(self.questions, start=1)),
        )


def _state(question: Question) -> dict:
    """What the script needs of a question; texts are HTML."""
    unit = f" in {question.unit}" if question.unit else ""
    return {
        "kind": question.kind,
        "task": TASKS[question.kind] + unit,
        "ask": markup(question.ask),
        "where": markup(question.where),
        "hint": markup(question.hint),
        "unit": question.unit,
        "tolerance": question.tolerance,
        "options": [
            {"text": markup(o.text), "why": markup(o.why), "right": o.right, "value": o.value}
            for o in question.options
        ],
    }


def _plain(question: dict) -> str:
    """A question to read, as an item of a list."""
    options = "".join(f"<li>{option['text']}</li>" for option in question["options"])
    listed = "" if question["kind"] == "number" else f"<ul>{options}</ul>"
    return f"<li><p>{question['ask']} ({html.escape(question['task'])})</p>{listed}</li>"


def _answers(question: dict) -> str:
    """The answers to a question with their reasons, as an item of a list."""
    items = "".join(
        f"<li>{'✓ Right' if o['right'] else '✗ Wrong'}: <strong>{o['text']}</strong><br>"
        f"{o['why']}</li>"
        for o in question["options"]
    )
    return f"<li><ul>{items}</ul></li>"


def _as_text(number: int, question: Question) -> str:
    options = [] if question.kind == "number" else [f"   - {o.text}" for o in question.options]
    return "\n".join([f"{number}. {question.ask} ({_state(question)['task']})", *options])
