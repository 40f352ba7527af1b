"""Write the exercises of a chapter into its notebook, below its heading "Exercises".

    python tools/exercise_cells.py notebooks/01_pruning.ipynb

Card, stub, check, hint and solution are made from the one place where an exercise stands. Cells
that were written before are replaced; a test holds the notebooks to it.
"""

import argparse
import copy
import re
import sys
import textwrap
from pathlib import Path

import nbformat

import notebooks
from course_lib import exercises, files
from course_lib.exercises import Exercise

ROOT = Path(__file__).resolve().parents[1]
TAG = "exercise"


def chapters(root=ROOT):
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def cells(one: Exercise):
    """The four cells of an exercise: card, stub, check, and hint with solution."""
    slug = re.sub(r"[^\w-]", "-", one.id)
    stub = f"{one.imports()}\n\n\n{one.stub()}".strip()
    check = f"from course_lib import exercises\n\n{one.call()}"
    return [
        _cell("markdown", f"{slug}-card", one.card()),
        _cell("code", f"{slug}-stub", stub),
        _cell("code", f"{slug}-check", check),
        _cell("markdown", f"{slug}-help", _help(one)),
    ]


def _help(one: Exercise):
    # Without blank lines round it, Markdown inside <details> is shown as it is typed.
    hint = textwrap.dedent(one.hint).strip()
    solution = f"```python\n{one.solution()}\n```"
    return "\n\n".join(
        f"<details>\n<summary>{what}: {one.title}</summary>\n\n{text}\n\n</details>"
        for what, text in (("Hint", hint), ("Solution", solution))
    )


def _cell(kind, name, source):
    part = name.rpartition("-")[2]
    made = {"cell_type": kind, "id": name[-64:], "source": source}
    made["metadata"] = {"tags": [TAG, f"{TAG}-{part}"]}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return nbformat.from_dict(made)


def exercise_cells_of(notebook):
    """The cells of a notebook that this tool wrote."""
    return [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", [])]


def write(notebook, chapter):
    """Put the exercises of a chapter below its heading, in place of those that are there.

    Raises:
        ValueError: if no Markdown cell has the heading "Exercises".
    """
    notebook.cells = [c for c in notebook.cells if TAG not in c.metadata.get("tags", [])]
    for place, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown" and re.search(r"^## .*Exercises", cell.source, re.M):
            notebook.cells[place:place] = [
                new for one in exercises.of_chapter(chapter) for new in cells(one)
            ]
            return notebook
    raise ValueError(f"{chapter} has no cell with the heading 'Exercises' to write below")


def fill(notebook):
    """The notebook with every stub filled by its reference."""
    filled = copy.deepcopy(notebook)
    for cell in exercise_cells_of(filled):
        if f"{TAG}-stub" in cell.metadata["tags"]:
            name = re.search(r"^def (\w+)", cell.source, re.M).group(1)
            one = next(e for e in _all(filled) if e.name == name)
            cell.source = cell.source.replace(one.stub(), one.solution())
    return filled


def _all(notebook):
    checks = "\n".join(cell.source for cell in exercise_cells_of(notebook))
    return [exercises.find(one) for one in re.findall(r'exercises\.check\("([^"]+)"', checks)]


def what_exercises_need(notebook):
    """The setup cell and the exercises' own code cells: the experiments are not needed."""
    part = copy.deepcopy(notebook)
    code = [cell for cell in part.cells if cell.cell_type == "code"]
    part.cells = [code[0], *(c for c in code[1:] if TAG in c.metadata.get("tags", []))]
    return part


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    for path in parser.parse_args(arguments).paths:
        notebook = notebooks.load(path)
        try:
            write(notebook, path.stem)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        files.write_text(path, notebooks.as_text(notebooks.clean(notebook)))
        print(f"{path}: {len(exercise_cells_of(notebook))} cells of exercises")
    return 0


if __name__ == "__main__":
    sys.exit(main())
