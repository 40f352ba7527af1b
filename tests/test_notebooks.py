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

# --- Reading notebooks ----------------------------------------------------------------------------


def cells(notebook, kind):
    return [(n, cell) for n, cell in enumerate(notebook.cells) if cell.cell_type == kind]


def is_kept(cell):
    return cell.source.split("\n", 1)[0] == MARKER


def prose(text):
    """Markdown without code, which may hold anything."""
    text = re.sub(r"^(```+|~~~+).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)[^`].*?\1", "", text)


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


def no_typed_results(notebook):
    """A measured number comes from the run. A percentage with decimals looks measured."""
    for n, cell in cells(notebook, "markdown"):
        for found in re.finditer(r"\d+\.\d+\s*(\\?%|pp\b|percent)", prose(cell.source)):
            yield f"cell {n}: {found.group()!r} is typed; let the code print it"


def hidden_everywhere(notebook):
    """A hidden input is hidden on the site, in JupyterLab and in Colab."""
    for n, cell in cells(notebook, "code"):
        hidden = {
            "the site": "remove-input" in cell.metadata.get("tags", []),
            "JupyterLab": bool(cell.metadata.get("jupyter", {}).get("source_hidden")),
            "Colab": cell.metadata.get("cellView") == "form",
        }
        if any(hidden.values()) and not all(hidden.values()):
            shown = [place for place, is_hidden in hidden.items() if not is_hidden]
            yield f"cell {n}: its input is hidden, but not in {' and '.join(shown)}"


def one_quiz(notebook):
    """A chapter has its own quiz, once, above its verdicts; one that has none yet passes."""
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
        if re.search(r"^## .*Verdicts", "\n".join(above), re.MULTILINE):
            yield f"cell {n}: the quiz stands below the verdicts"


def bets_below_claims(notebook):
    """Where claims are put on trial, the reader bets on the same ones next, in a folded cell."""
    code = notebook.cells
    for n, cell in cells(notebook, "code"):
        if not (claims := re.search(r"^evidence\.on_trial\((.*)\)", cell.source, re.MULTILINE)):
            continue
        words, bets = (code[n + 1], code[n + 2]) if n + 2 < len(code) else (None, None)
        if bets is None or words.cell_type != "markdown" or f"Bets({claims[1]})" not in bets.source:
            yield f"cell {n}: its claims are not bet on below it, after a sentence"
        elif "remove-input" not in bets.metadata.get("tags", []):
            yield f"cell {n + 2}: the code of the bets is not folded"


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
    for heading in ("The claims on trial", "Verdicts", "What this cannot show"):
        if not re.search(rf"^##+ .*{heading}", text, re.MULTILINE):
            yield f"there is no heading {heading!r}"
    protocol = first_cell_with(notebook, r"^class Protocol\b")
    first_run = first_cell_with(notebook, r"replicate\(|figures\.show\(|evidence\.record\(")
    if protocol is None:
        yield "there is no protocol cell (class Protocol)"
    elif first_run is not None and first_run < protocol:
        yield f"cell {first_run} shows results above the protocol, cell {protocol}"


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
    no_typed_results,
    hidden_everywhere,
    one_quiz,
    bets_below_claims,
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


def good_notebook():
    hidden = {"tags": ["remove-input"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    kept = new_code_cell(f"{MARKER}\nprint('3 networks, 12 runs')")
    kept.outputs = [new_output("stream", text="3 networks, 12 runs\n")]
    kept.execution_count = 2
    card = "# 99 An example\n\n| | |\n|---|---|\n| **You will be able to** | see |\n"
    card += "| **You need first** | nothing |\n\n## The claims on trial\n\nHere is one: 90% can go."
    return new_notebook(
        cells=[
            new_markdown_cell(card),
            new_code_cell(SETUP_CELL),
            new_code_cell("class Protocol:\n    seeds = (0, 1, 2, 3, 4)"),
            kept,
            new_code_cell("figures.show(fig, caption='Mean of 5 seeds', alt='A line that falls')"),
            new_code_cell("evidence.say(f'{share:.1f}% went')", metadata=hidden),
            new_markdown_cell("## Verdicts\n\nSee `{cite}` and $m_{{i}}$ and `99.9%`."),
            new_markdown_cell("## What this cannot show\n\n```python\nx = 12.5  # 12.5 %\n```"),
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
    notebook.cells.insert(6, new_code_cell(QUIZ))


def quiz_of_another(notebook):
    notebook.cells.insert(6, new_code_cell(QUIZ))


def quiz_without_file(notebook):
    notebook.cells.insert(6, new_code_cell('Quiz("99_example").show()'))


def two_quizzes(notebook):
    with_quiz(notebook)
    add(6, f"\n{QUIZ}")(notebook)


def late_quiz(notebook):
    with_quiz(notebook)
    notebook.cells.append(notebook.cells.pop(6))


def claims_without_bets(notebook):
    notebook.cells[2].source += "\nevidence.on_trial([W1])"


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
    "split formula": (plain_markdown, add(6, "\n\n$$a = b \\\\ c = d \\tag{1}$$")),
    "figure not shown": (captions, add(2, "\nfig, axes = figures.panels(2)")),
    "no alt": (captions, replace(4, ", alt='A line that falls'", "")),
    "no caption": (captions, replace(4, "caption='Mean of 5 seeds', ", "")),
    "typed result": (no_typed_results, add(6, "\n\nThe loss is 0.37 pp.")),
    "typed share": (no_typed_results, add(0, "\n\nIt reaches 97.31%.")),
    "shown in Colab": (hidden_everywhere, show_in_colab),
    "quiz of another chapter": (one_quiz, quiz_of_another),
    "quiz without a file": (one_quiz, quiz_without_file),
    "two quizzes": (one_quiz, two_quizzes),
    "quiz below the verdicts": (one_quiz, late_quiz),
    "claims without bets": (bets_below_claims, claims_without_bets),
    "verdict on the page": (no_verdict_is_printed, verdict_on_the_page),
    "no title": (bones, replace(0, "# 99 An example", "An example")),
    "second title": (bones, add(6, "\n\n# Another")),
    "no objectives": (bones, replace(0, "You will be able to", "You may")),
    "no claims": (bones, replace(0, "## The claims on trial", "")),
    "no protocol": (bones, set_source(2, "x = 1")),
    "results above the protocol": (bones, results_first),
    "no verdicts": (bones, replace(6, "## Verdicts", "")),
    "no limits": (bones, replace(7, "## What this cannot show", "")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_notebook_is_found(name):
    check, breaks = BROKEN[name]
    notebook = good_notebook()
    breaks(notebook)
    assert list(check(notebook)), f"{check.__name__} overlooked it"


def test_a_chapter_may_have_its_quiz():
    notebook = good_notebook()
    with_quiz(notebook)
    assert [fault for check in (*CHECKS, bones) for fault in check(notebook)] == []


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
