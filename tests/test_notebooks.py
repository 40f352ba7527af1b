"""The notebooks as source: what stands in them, and what must not.

Each check is a function that takes a notebook and yields one sentence for each fault. It runs on
every notebook of the course, and on a notebook that was broken on purpose, where it must find the
fault.
"""

import ast
import copy
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.verdicts import VERDICTS
from course_lib.widgets.quiz import QUIZZES
from setup_cell import SETUP_CELL

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
MARKER = "# NBVAL_CHECK_OUTPUT"
LONGEST_CELL = 40
WIDEST_LINE = 76  # characters of shown code; more are cut on a laptop
HIDDEN = {"remove-input", "hide-input", "hide-cell"}
# What is folded in a chapter: pictures, tables, verdicts, and the cells that the rest stands on.
BOOKS = (
    r"figures\.(panels|schematic|show|table|means)\(|evidence\.(record|on_trial|say|takeaway|Claim)\("
    r"|^class Protocol\b|^course_lib\.setup\("
)

# --- Reading notebooks ----------------------------------------------------------------------------


def cells(notebook, kind):
    return [(n, cell) for n, cell in enumerate(notebook.cells) if cell.cell_type == kind]


def is_kept(cell):
    return cell.source.split("\n", 1)[0] == MARKER


def prose(text):
    """Markdown without code, which may hold anything."""
    text = re.sub(r"^(```+|~~~+).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)[^`].*?\1", "", text)


def is_chapter(notebook):
    """Its title begins with its number; that of a problem set does not."""
    return re.search(r"^# \d\d", notebook.cells[0].source, re.MULTILINE) is not None


def python(cell):
    return ast.parse(TransformerManager().transform_cell(cell.source))


def output_text(output):
    if output.output_type == "stream":
        return output.text
    return output.get("data", {}).get("text/plain", "")


# --- The checks -----------------------------------------------------------------------------------

MYST = {
    "a directive": r"^\s*(`{3,}|~{3,}|:{3,})\s*\{",
    "a colon fence": r"^\s*:{3,}",
    "a role": r"(?<!`)\{[A-Za-z][\w:+.-]*\}`[^`]+`",
    "a label": r"^\([^()\s]+\)=\s*$",
}


def plain_markdown(notebook):
    """Colab, JupyterLab and GitHub show MyST as raw text."""
    for n, cell in cells(notebook, "markdown"):
        for what, pattern in MYST.items():
            found = re.search(pattern, cell.source, re.MULTILINE)
            if found:
                yield f"cell {n}: {what} of MyST: {found.group()!r}"
        for formula in re.findall(r"\$\$(.*?)\$\$", cell.source, re.DOTALL):
            if r"\tag" in formula and "\\\\" in formula:  # MathJax: no tag in a split formula
                yield f"cell {n}: a formula of several lines with a tag; write one for each line"


def no_outputs(notebook):
    """Outputs are made by running; only marked cells keep theirs, as text."""
    for n, cell in cells(notebook, "code"):
        if any("NBVAL_CHECK_OUTPUT" in line for line in cell.source.split("\n")[is_kept(cell) :]):
            yield f"cell {n}: the marker counts only as the whole first line"
        if not is_kept(cell):
            if cell.outputs or cell.execution_count is not None:
                yield f"cell {n}: outputs or an execution count; run make clean-notebooks"
            continue
        if cell.execution_count is None:
            yield f"cell {n}: a kept output needs its execution count"
        if not any(output_text(output).strip() for output in cell.outputs):
            yield f"cell {n}: nothing is kept, so nothing would be compared"
        for output in cell.outputs:
            if output.output_type != "stream" and set(output.get("data", {})) != {"text/plain"}:
                yield f"cell {n}: a kept output is text and nothing else"


def no_timings_kept(notebook):
    """A time differs with every run."""
    timing = r"\b\d+(\.\d+)?\s*(s|ms|µs|us|min|sec|seconds?|minutes?)\b"
    for n, cell in cells(notebook, "code"):
        if is_kept(cell):
            if re.search(r"\btime\.|perf_counter|%%?time", cell.source):
                yield f"cell {n}: measures time and keeps its output"
            for output in cell.outputs:
                if found := re.search(timing, output_text(output)):
                    yield f"cell {n}: keeps a time: {found.group()!r}"


def one_setup_cell(notebook):
    """The same in every chapter, but for the repository's address."""

    def without_address(source):
        return re.sub(r'^REPOSITORY = ".*"$', 'REPOSITORY = ""', source, flags=re.MULTILINE)

    found = [n for n, cell in cells(notebook, "code") if "REPOSITORY = " in cell.source]
    if len(found) != 1:
        yield f"{len(found)} setup cells, in {found}; there must be one"
    elif without_address(notebook.cells[found[0]].source) != SETUP_CELL:
        yield f"cell {found[0]}: differs from the setup cell of tools/setup_cell.py"
    elif found[0] != cells(notebook, "code")[0][0]:
        yield f"cell {found[0]}: the setup cell is not the first code cell"


def short_cells(notebook):
    for n, cell in cells(notebook, "code"):
        lines = cell.source.count("\n") + 1
        if lines > LONGEST_CELL:
            yield f"cell {n}: {lines} lines; at most {LONGEST_CELL}"


def captions(notebook):
    """Each figure has a caption and a text for those who cannot see it."""
    for n, cell in cells(notebook, "code"):
        if "figures.panels(" in cell.source and "figures.show(" not in cell.source:
            yield f"cell {n}: its figure is not shown there, so Jupyter adds a bare picture of it"
        for node in ast.walk(python(cell)):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "figures.show":
                continue
            missing = {"caption", "alt"} - {keyword.arg for keyword in node.keywords}
            if missing:
                yield f"cell {n}: figures.show without {' and '.join(sorted(missing))}"
            if re.search(r"\bred\b", ast.unparse(node)):
                yield f"cell {n}: its words name red, which the palette has not; it has orange"


def readable_labels(notebook):
    """On a phone a figure is half as wide: what is small on a laptop cannot be read there."""
    for n, cell in cells(notebook, "code"):
        small = r"(?:font|label)?size=(?:[1-8](?:\.\d+)?\b|[\"'](?:xx-|x-)?small[\"'])"
        for found in re.finditer(rf"\b{small}", cell.source):
            if not re.search(r"markersize|linesize", found.group()):
                yield f"cell {n}: {found.group()!r} is below 9 points"


def no_typed_results(notebook):
    """A measured number comes from the run. A percentage with decimals looks measured."""
    for n, cell in cells(notebook, "markdown"):
        for found in re.finditer(r"\d+\.\d+\s*(\\?%|pp\b|percent)", prose(cell.source)):
            yield f"cell {n}: {found.group()!r} is typed; let the code print it"


def hidden_everywhere(notebook):
    """A hidden input is hidden on the site, in JupyterLab and in Colab."""
    for n, cell in cells(notebook, "code"):
        hidden = {
            "the site": bool(HIDDEN & set(cell.metadata.get("tags", []))),
            "JupyterLab": bool(cell.metadata.get("jupyter", {}).get("source_hidden")),
            "Colab": cell.metadata.get("cellView") == "form",
        }
        if any(hidden.values()) and not all(hidden.values()):
            shown = [place for place, is_hidden in hidden.items() if not is_hidden]
            yield f"cell {n}: its input is hidden, but not in {' and '.join(shown)}"


def folds_say_what_is_in_them(notebook):
    """ "Show code cell source" says nothing of what a reader would find."""
    for n, cell in cells(notebook, "code"):
        if {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", [])):
            prompts = cell.metadata.get("mystnb", {})
            if not all(prompts.get(f"code_prompt_{which}") for which in ("show", "hide")):
                yield f"cell {n}: it is folded under a line that does not say what is in it"


def shown_code_is_the_idea(notebook):
    """In a chapter, what draws, tabulates and keeps the books is folded; what is shown fits."""
    if not is_chapter(notebook):
        return
    for n, cell in cells(notebook, "code"):
        if (HIDDEN | {"remove-cell", "exercise"}) & set(cell.metadata.get("tags", [])):
            continue
        if found := re.search(BOOKS, cell.source, re.MULTILINE):
            yield f"cell {n}: {found.group()!r} is shown; fold the cell"
        if found := re.search(r"# ?noqa|NBVAL_CHECK_OUTPUT", cell.source):
            yield f"cell {n}: {found.group()!r} stands in code that teaches"
        for line in cell.source.split("\n"):
            if len(line) > WIDEST_LINE:
                yield f"cell {n}: a line of {len(line)} characters, at most {WIDEST_LINE}: {line}"


def one_quiz(notebook):
    """A chapter has its own quiz, once, below its verdicts; a problem set has none."""
    calls = [
        (n, node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None)
        for n, cell in cells(notebook, "code")
        for node in ast.walk(python(cell))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Quiz", "quiz.Quiz")
    ]
    if len(calls) > 1:
        yield f"{len(calls)} quizzes, in {[n for n, _ in calls]}; there must be one"
    title = re.search(r"^# (\d\d)\b", notebook.cells[0].source, re.MULTILINE)
    for n, name in calls:
        if not (QUIZZES / f"{name}.toml").is_file():
            yield f"cell {n}: there is no {name}.toml in {QUIZZES.relative_to(ROOT).as_posix()}"
        if title and str(name)[:2] != title[1]:
            yield f"cell {n}: the quiz {name!r} is not that of chapter {title[1]}"
        above = [cell.source for m, cell in cells(notebook, "markdown") if m < n]
        if not re.search(r"^## .*Verdicts", "\n".join(above), re.MULTILINE):
            yield f"cell {n}: the quiz stands above the verdicts, which it would give away"


def bets_come_first(notebook):
    """The reader bets, in a folded cell, on each claim that gets a verdict, before all results."""
    if not is_chapter(notebook):
        return
    found = {"Bets": [], "on_trial": [], "record": []}
    for n, cell in cells(notebook, "code"):
        for node in ast.walk(python(cell)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            called = called.removeprefix("evidence.")  # `probes.record` is another thing
            if called in found and node.args:
                claims = getattr(node.args[0], "elts", [node.args[0]])
                found[called] += [(n, ast.unparse(claim)) for claim in claims]
    bets, trials, verdicts = ({name for _, name in found[what]} for what in found)
    if bets != verdicts:
        yield f"the claims bet on, {sorted(bets)}, are not those with a verdict, {sorted(verdicts)}"
    if verdicts - trials:
        yield f"the record has no criterion of {sorted(verdicts - trials)}"
    results = [n for what in ("on_trial", "record") for n, _ in found[what]]
    for n in {n for n, _ in found["Bets"]}:
        if results and n > min(results):
            yield f"cell {n}: the bets come after cell {min(results)}, which tells the result"
        if "remove-input" not in notebook.cells[n].metadata.get("tags", []):
            yield f"cell {n}: the code of the bets is not folded"


def no_verdict_is_printed(notebook):
    """A printed verdict would spoil the bet: nbval compares it, and the page is without it."""
    for n, cell in cells(notebook, "code"):
        printed = "\n".join(map(output_text, cell.outputs))
        words = "|".join(VERDICTS)
        spoils = re.search(rf"^[A-Z]\d+[a-z]?: ({words})$", printed, re.MULTILINE)
        if spoils and "remove-cell" not in cell.metadata.get("tags", []):
            yield f"cell {n}: prints {spoils.group()!r} on the page; give it the tag remove-cell"


def parses(notebook):
    for n, cell in cells(notebook, "code"):
        try:
            python(cell)
        except SyntaxError as error:
            yield f"cell {n}: {error}"


def bones(notebook):
    """What every chapter has, so that nobody has to learn a chapter's layout."""
    markdown = [cell.source for _, cell in cells(notebook, "markdown")]
    text = "\n\n".join(prose(source) for source in markdown)
    titles = re.findall(r"^# (.+)$", text, re.MULTILINE)
    if len(titles) != 1 or not re.search(r"^# ", markdown[0] if markdown else "", re.MULTILINE):
        yield f"titles: {titles}; there must be one, in the first cell"
    for part in ("You will be able to", "You need first"):
        if part not in (markdown[0] if markdown else ""):
            yield f"the card in the first cell lacks {part!r}"
    yield from order_of_headings(text)
    protocol = first_cell_with(notebook, r"^class Protocol\b")
    first_run = first_cell_with(notebook, r"replicate\(|figures\.show\(|evidence\.record\(")
    if protocol is None:
        yield "there is no protocol cell (class Protocol)"
    elif first_run is not None and first_run < protocol:
        yield f"cell {first_run} shows results above the protocol, cell {protocol}"


# A heading of a chapter, and how many there are: play, the idea, experiments, the record.
BONES = (
    ("Try it, and bet", 1, 1),
    ("The idea", 1, 1),
    (r"\d+ · .+", 3, 5),
    ("What it costs", 1, 1),
    ("Verdicts", 1, 1),
    ("What this cannot show", 1, 1),
    ("What you learned", 1, 1),
    ("Quiz", 1, 1),
    ("Exercises", 1, 1),
    ("The record", 1, 1),
    ("Larger, on a GPU", 0, 1),
)
# The chapter that says how to read the others is a short one.
SHORT = {"Try it, and bet", "The idea", r"\d+ · .+", "Verdicts", "What you learned", "Quiz"}
SHORT |= {"Exercises", "The record"}
SHORT_BONES = tuple(bone for bone in BONES if bone[0] in SHORT)


def order_of_headings(text):
    short = re.search(r"^# 00\b", text, re.MULTILINE)
    left = re.findall(r"^## (.+)$", text, re.MULTILINE)
    for heading, least, most in SHORT_BONES if short else BONES:
        least = 1 if short and least > 1 else least
        found = 0
        while left and re.fullmatch(heading, left[0]):
            left.pop(0)
            found += 1
        if not least <= found <= most:
            here = f"; next comes {left[0]!r}" if left else ""
            yield f"{found} headings {heading!r} in their place, {least} to {most} wanted{here}"
    if left:
        yield f"headings that have no place there: {left}"


def first_cell_with(notebook, pattern):
    for n, cell in cells(notebook, "code"):
        if re.search(pattern, cell.source, re.MULTILINE):
            return n
    return None


CHECKS = (
    parses,
    plain_markdown,
    no_outputs,
    no_timings_kept,
    one_setup_cell,
    short_cells,
    captions,
    readable_labels,
    no_typed_results,
    hidden_everywhere,
    folds_say_what_is_in_them,
    shown_code_is_the_idea,
    one_quiz,
    bets_come_first,
    no_verdict_is_printed,
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_notebook(path, check):
    faults = list(check(nbformat.read(path, as_version=4)))
    assert not faults, "\n".join([f"{path.name}:", *faults])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_has_its_bones(path):
    faults = list(bones(nbformat.read(path, as_version=4)))
    assert not faults, "\n".join([f"{path.name}:", *faults])


# --- Each check on a notebook that is broken on purpose -------------------------------------------


def hidden(*tags, **prompts):
    """The metadata of a cell whose code is hidden everywhere."""
    folded = {f"code_prompt_{which}": text for which, text in prompts.items()}
    more = {"mystnb": folded} if folded else {}
    return {"tags": [*tags], "jupyter": {"source_hidden": True}, "cellView": "form", **more}


FOLDED = hidden("hide-input", show="Show the code of this figure", hide="Hide it")


def good_notebook():
    kept = new_code_cell(f"{MARKER}\nprint('3 networks, 12 runs')")
    kept.metadata = FOLDED
    kept.outputs = [new_output("stream", text="3 networks, 12 runs\n")]
    kept.execution_count = 2
    card = "# 99 An example\n\n| | |\n|---|---|\n| **You will be able to** | see |\n"
    card += "| **You need first** | nothing |"
    experiments = "\n\n".join(f"## {n} · An experiment" for n in (1, 2, 3))
    ending = ("What this cannot show", "What you learned", "Quiz", "Exercises", "The record")
    return new_notebook(
        cells=[
            new_markdown_cell(card),
            new_code_cell(SETUP_CELL, metadata=FOLDED),
            new_code_cell("class Protocol:\n    seeds = (0, 1, 2, 3, 4)", metadata=FOLDED),
            kept,
            new_code_cell(
                "figures.show(fig, caption='Mean of 5 seeds', alt='A line that falls')",
                metadata=FOLDED,
            ),
            new_code_cell("evidence.say(f'{share:.1f}% went')", metadata=hidden("remove-input")),
            new_markdown_cell("## Try it, and bet\n\n## The idea\n\nSee `{cite}` and $m_{{i}}$."),
            new_code_cell("x = 1"),
            new_markdown_cell(f"{experiments}\n\n## What it costs\n\n## Verdicts\n\n`99.9%`"),
            *(new_markdown_cell(f"## {heading}") for heading in ending),
            new_markdown_cell("## Larger, on a GPU\n\n```python\nx = 12.5  # 12.5 %\n```"),
        ]
    )


def test_a_good_notebook_passes_every_check():
    faults = [fault for check in (*CHECKS, bones) for fault in check(good_notebook())]
    assert faults == []


def set_source(n, source):
    def breaks(notebook):
        notebook.cells[n].source = source

    return breaks


def add(n, text):
    def breaks(notebook):
        notebook.cells[n].source += text

    return breaks


def replace(n, old, new):
    def breaks(notebook):
        assert old in notebook.cells[n].source
        notebook.cells[n].source = notebook.cells[n].source.replace(old, new)

    return breaks


def keep_html(notebook):
    notebook.cells[3].outputs = [
        new_output("display_data", data={"text/plain": "x", "text/html": "<b>x</b>"})
    ]


def leave_output(notebook):
    notebook.cells[2].outputs = [new_output("stream", text="x")]


def leave_count(notebook):
    notebook.cells[2].execution_count = 1


def drop_kept_output(notebook):
    notebook.cells[3].outputs = []


def drop_kept_count(notebook):
    notebook.cells[3].execution_count = None


def keep_time(notebook):
    notebook.cells[3].outputs = [new_output("stream", text="3 networks in 12.5 s\n")]


def show_in_colab(notebook):
    del notebook.cells[5].metadata["cellView"]


def second_setup(notebook):
    notebook.cells.append(copy.deepcopy(notebook.cells[1]))


def late_setup(notebook):
    notebook.cells.insert(1, new_code_cell("x = 1"))


QUIZ = 'Quiz("01_pruning").show()'


def with_quiz(notebook):
    notebook.cells[0].source = notebook.cells[0].source.replace("# 99", "# 01")
    notebook.cells.insert(12, new_code_cell(QUIZ))


def quiz_of_another(notebook):
    notebook.cells.insert(12, new_code_cell(QUIZ))


def quiz_without_file(notebook):
    notebook.cells.insert(12, new_code_cell('Quiz("99_example").show()'))


def two_quizzes(notebook):
    with_quiz(notebook)
    add(12, f"\n{QUIZ}")(notebook)


def early_quiz(notebook):
    with_quiz(notebook)
    notebook.cells.insert(6, notebook.cells.pop(12))


def with_bets(notebook):
    """Bets on W1 and W2 above the idea; their record and criteria below, and that of M2."""
    bets = new_code_cell("Bets([W1, W2]).show()", metadata=hidden("remove-input"))
    notebook.cells.insert(6, bets)
    for claim in ("W1", "W2"):
        notebook.cells.append(new_code_cell(f"evidence.record({claim}, arms)", metadata=FOLDED))
    notebook.cells.append(new_code_cell("evidence.on_trial([W1, M2, W2])", metadata=FOLDED))


def no_criterion(notebook):
    with_bets(notebook)
    notebook.cells.pop()


def bets_on_fewer(notebook):
    with_bets(notebook)
    replace(6, "[W1, W2]", "[W1]")(notebook)


def late_bets(notebook):
    with_bets(notebook)
    notebook.cells.append(notebook.cells.pop(6))


def bare_bets(notebook):
    with_bets(notebook)
    notebook.cells[6].metadata = {}


def claims_without_bets(notebook):
    with_bets(notebook)
    notebook.cells.pop(6)


def mute_fold(notebook):
    notebook.cells[4].metadata = hidden("hide-input")


def shown(source):
    """A chapter in which this code is shown."""

    def breaks(notebook):
        notebook.cells[7].source = source

    return breaks


def swapped(notebook):
    """What was learned before what cannot be shown."""
    notebook.cells.insert(9, notebook.cells.pop(10))


def verdict_on_the_page(notebook):
    notebook.cells.append(
        new_code_cell(
            f"{MARKER}\nprint('W1: supported')",
            execution_count=9,
            outputs=[new_output("stream", name="stdout", text="W1: supported\n")],
        )
    )


def results_first(notebook):
    notebook.cells.insert(2, new_code_cell("figures.show(fig, caption='a', alt='b')"))


BROKEN = {
    "syntax": (parses, add(2, "\n)")),
    "role": (plain_markdown, add(6, "\n\n{cite}`frankle2019`")),
    "glue": (plain_markdown, add(6, "\n\nIt is {glue:text}`share`.")),
    "directive": (plain_markdown, add(6, "\n\n```{note}\nx\n```")),
    "colon fence": (plain_markdown, add(6, "\n\n:::{tip}\nx\n:::")),
    "label": (plain_markdown, add(6, "\n\n(there)=\n")),
    "output": (no_outputs, leave_output),
    "execution count": (no_outputs, leave_count),
    "nothing kept": (no_outputs, drop_kept_output),
    "kept without count": (no_outputs, drop_kept_count),
    "kept HTML": (no_outputs, keep_html),
    "marker below": (no_outputs, add(2, f"\n{MARKER}")),
    "marker with more on its line": (no_outputs, replace(3, MARKER, f"{MARKER} please")),
    "marker in a line of code": (no_outputs, set_source(2, f"x = 1  {MARKER}")),
    "kept time": (no_timings_kept, keep_time),
    "kept stopwatch": (no_timings_kept, add(3, "\nprint(time.perf_counter())")),
    "two setup cells": (one_setup_cell, second_setup),
    "no setup cell": (one_setup_cell, set_source(1, "import course_lib")),
    "another setup cell": (one_setup_cell, add(1, "\nx = 1")),
    "late setup cell": (one_setup_cell, late_setup),
    "long cell": (short_cells, set_source(2, "\n".join(["x = 1"] * (LONGEST_CELL + 1)))),
    "split formula": (plain_markdown, add(8, "\n\n$$a = b \\\\ c = d \\tag{1}$$")),
    "figure not shown": (captions, add(2, "\nfig, axes = figures.panels(2)")),
    "a colour that is not there": (captions, replace(4, "A line", "A red line")),
    "small words": (readable_labels, add(4, "\nax.text(1, 2, 'x', fontsize=8)")),
    "small ticks": (readable_labels, add(4, "\nax.tick_params(labelsize='x-small')")),
    "no alt": (captions, replace(4, ", alt='A line that falls'", "")),
    "no caption": (captions, replace(4, "caption='Mean of 5 seeds', ", "")),
    "typed result": (no_typed_results, add(6, "\n\nThe loss is 0.37 pp.")),
    "typed share": (no_typed_results, add(0, "\n\nIt reaches 97.31%.")),
    "shown in Colab": (hidden_everywhere, show_in_colab),
    "quiz of another chapter": (one_quiz, quiz_of_another),
    "quiz without a file": (one_quiz, quiz_without_file),
    "two quizzes": (one_quiz, two_quizzes),
    "quiz above the verdicts": (one_quiz, early_quiz),
    "claims without bets": (bets_come_first, claims_without_bets),
    "a verdict without its criterion": (bets_come_first, no_criterion),
    "bets on fewer claims": (bets_come_first, bets_on_fewer),
    "bets below a result": (bets_come_first, late_bets),
    "bets with their code": (bets_come_first, bare_bets),
    "fold without a word": (folds_say_what_is_in_them, mute_fold),
    "a picture's code": (shown_code_is_the_idea, shown("fig, axes = figures.panels(2)")),
    "a table's code": (shown_code_is_the_idea, shown("figures.means(rows, by='x')")),
    "a verdict's code": (shown_code_is_the_idea, shown("word = evidence.record(W1, arms)")),
    "a protocol's code": (shown_code_is_the_idea, shown("class Protocol:\n    x = 1")),
    "a word to a linter": (shown_code_is_the_idea, shown("l = 1  # noqa: E741")),
    "a wide line": (shown_code_is_the_idea, shown("x = " + "1 + " * 20 + "1")),
    "verdict on the page": (no_verdict_is_printed, verdict_on_the_page),
    "no title": (bones, replace(0, "# 99 An example", "An example")),
    "second title": (bones, add(6, "\n\n# Another")),
    "no objectives": (bones, replace(0, "You will be able to", "You may")),
    "no protocol": (bones, set_source(2, "x = 1")),
    "results above the protocol": (bones, results_first),
    "no verdicts": (bones, replace(8, "## Verdicts", "")),
    "no limits": (bones, replace(9, "## What this cannot show", "")),
    "no bets": (bones, replace(6, "## Try it, and bet", "")),
    "two experiments": (bones, replace(8, "## 2 · An experiment", "")),
    "six experiments": (
        bones,
        replace(8, "## 3 · An", "## 3 · A\n\n## 4 · B\n\n## 5 · C\n\n## 6 · An"),
    ),
    "swapped": (bones, swapped),
    "a heading of its own": (bones, add(9, "\n\n## And this")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_notebook_is_found(name):
    check, breaks = BROKEN[name]
    notebook = good_notebook()
    breaks(notebook)
    assert list(check(notebook)), f"{check.__name__} overlooked it"


def test_a_chapter_may_have_its_quiz_and_bets():
    notebook = good_notebook()
    with_quiz(notebook)
    with_bets(notebook)
    assert [fault for check in (*CHECKS, bones) for fault in check(notebook)] == []


def assigned(name, notebook):
    """The call that a notebook assigns to a name, and the values of its protocol's fields."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    found, fields = None, {}
    for _, cell in cells(nbformat.read(path, as_version=4), "code"):
        for node in ast.walk(python(cell)):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                found = ast.unparse(node.value)
            if isinstance(node, ast.ClassDef) and node.name == "Protocol":
                lines = [n for n in node.body if isinstance(n, ast.AnnAssign)]
                fields = {n.target.id: eval(ast.unparse(n.value)) for n in lines}
    return found, fields


def test_chapter_00_plays_the_claim_of_chapter_01_as_it_stands_there():
    played, here = assigned("W2", "00_start")
    claim, there = assigned("W2", "01_pruning")
    assert played == claim is not None
    assert here.pop("steps") == there["dense_steps"] + there["retrain_steps"]
    assert here == {name: there[name] for name in here}


def test_an_address_may_stand_in_the_setup_cell():
    notebook = good_notebook()
    address = 'REPOSITORY = "https://github.com/OWNER/NAME@main"'
    notebook.cells[1].source = SETUP_CELL.replace('REPOSITORY = ""', address)
    assert list(one_setup_cell(notebook)) == []


# --- nbval compares what is kept ------------------------------------------------------------------


def kept_cells():
    """Every kept cell of the course, and those of the example, so that there is always one."""
    for name, notebook in [
        ("example", good_notebook()),
        *((path.stem, nbformat.read(path, as_version=4)) for path in NOTEBOOKS),
    ]:
        for n, cell in cells(notebook, "code"):
            if is_kept(cell):
                yield f"{name}, cell {n}", cell


def replay(outputs):
    """Code that puts out exactly these outputs again."""
    lines = [MARKER, "import sys", "from IPython.display import display"]
    for output in outputs:
        if output.output_type == "stream":
            lines.append(f"sys.{output.name}.write({output.text!r}); sys.{output.name}.flush()")
        else:
            lines.append(f"display({dict(output.data)!r}, raw=True)")
    return "\n".join([*lines, "None"])


def corrupted(outputs):
    """The same with one character changed."""
    outputs = copy.deepcopy(outputs)
    for output in outputs:
        text = output_text(output)
        place = re.search(r"\w", text)
        if place is None:
            continue
        at = place.start()
        text = text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]
        if output.output_type == "stream":
            output.text = text
        else:
            output.data["text/plain"] = text
        return outputs
    raise AssertionError("a kept output without a letter or digit")


def nbval(folder, name, kept):
    """Run nbval, as `make test` does, on cells that put out again what is kept.

    Running the chapters once for each kept cell would take hours. What nbval compares is the output
    of a cell with the kept one, and that is the same comparison here.

    Returns:
        Whether each cell passed, in order.
    """
    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_code_cell(source, outputs=outputs, execution_count=n)
            for n, (source, outputs) in enumerate(kept, start=1)
        ],
    )
    nbformat.write(notebook, folder / f"{name}.ipynb")
    report = folder / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", f"{name}.ipynb", "--nbval-lax"]
    command += ["--nbval-current-env", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert report.exists(), done.stdout + done.stderr
    return [case.find("failure") is None for case in ElementTree.parse(report).iter("testcase")]


def test_nbval_sees_each_kept_output_change(tmp_path):
    names, kept = zip(*kept_cells(), strict=True)
    intact = [(replay(cell.outputs), cell.outputs) for cell in kept]
    changed = [(replay(cell.outputs), corrupted(cell.outputs)) for cell in kept]
    assert nbval(tmp_path, "intact", intact) == [True] * len(kept)
    passed = nbval(tmp_path, "corrupted", changed)
    overlooked = [name for name, good in zip(names, passed, strict=True) if good]
    assert not overlooked, f"nbval accepts a changed output of {overlooked}"
