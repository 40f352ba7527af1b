"""Write the questions of a problem set into its notebook, below their marks.

    python tools/assignment_cells.py notebooks/assignments/pruning/pruning.ipynb

A line `<!-- question: NAME -->` in a Markdown cell says where a question of the set goes. Card,
answer and tests are made from questions.py beside the notebook. Cells that were written before are
replaced; a test holds the notebooks to it.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat

import notebooks
from course_lib import files
from course_lib.coursework import questions

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks" / "assignments"
MARK = re.compile(r"^<!-- question: (\w+) -->$", re.MULTILINE)
TAG = "question"
PARTS = ("card", "answer", "tests")


def sets(root=ROOT):
    """The source notebooks of the problem sets."""
    found = sorted((root / "notebooks" / "assignments").glob("*/*.ipynb"))
    return [path for path in found if path.stem == path.parent.name]


def cells(question, name, number):
    """The three cells of a question, with what nbgrader has to know of them."""
    made = []
    for part, (kind, source) in zip(PARTS, question.cells(name, number), strict=True):
        cell = {"cell_type": kind, "id": f"{question.id}-{part}", "source": source}
        cell["metadata"] = {
            "tags": [TAG, f"{TAG}-{part}"],
            "nbgrader": nbgrader(
                f"{question.id}-{part}",
                grade=part == "tests",
                solution=part == "answer",
                points=question.points if part == "tests" else None,
            ),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(nbformat.from_dict(cell))
    return made


def nbgrader(grade_id, *, grade=False, solution=False, points=None):
    """nbgrader's metadata of a cell; one that is no solution is locked."""
    made = {"schema_version": 3, "grade_id": grade_id, "task": False}
    made |= {"grade": grade, "solution": solution, "locked": not solution}
    return made if points is None else made | {"points": points}


def write(notebook, name, folder=FOLDER):
    """Put the questions of a set below their marks, in place of those that are there.

    Raises:
        ValueError: unless each question has one mark and each mark a question.
    """
    known = questions.load(name, folder)
    notebook.cells = [c for c in notebook.cells if TAG not in c.metadata.get("tags", [])]
    marked, made = [], []
    for cell in notebook.cells:
        made.append(cell)
        for question in MARK.findall(cell.source) if cell.cell_type == "markdown" else ():
            marked.append(question)
            if question in known:
                made += cells(known[question], name, len(marked))
    if sorted(marked) != sorted(known):
        raise ValueError(f"{name}: the notebook marks {marked}; its questions are {list(known)}")
    notebook.cells = made
    return notebook


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    for path in parser.parse_args(arguments).paths:
        notebook = notebooks.load(path)
        try:
            write(notebook, path.stem, path.resolve().parents[1])
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        files.write_text(path, notebooks.as_text(notebooks.clean(notebook)))
        total = sum(c.metadata.get("nbgrader", {}).get("points", 0) for c in notebook.cells)
        print(f"{path}: {total} points")
    return 0


if __name__ == "__main__":
    sys.exit(main())
