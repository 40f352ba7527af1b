"""Measure how long the solved notebook of each problem set runs, start of the kernel included.

    python tools/assignment_times.py

Each runs three times, with one thread, one after the other; close other programs first. It writes
results/problem-sets.json, from which the page for instructors takes its numbers.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from course_lib import files

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks" / "assignments"
RESULT = ROOT / "results" / "problem-sets.json"
TIMES = 3
# What only a course's folder can do; see `course_lib.coursework.kernel`.
HIDDEN = ("from course_lib.coursework import grade", "grade(")


def solved(path):
    """The notebook as a student hands it in who has everything right: no hidden test in it."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        lines = cell.source.splitlines()
        cell.source = "\n".join(line for line in lines if not line.startswith(HIDDEN))
    return notebook


def seconds(path):
    """How long each of the runs took.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    found = []
    for _ in range(TIMES):
        start = time.perf_counter()
        NotebookClient(solved(path), timeout=300, kernel_name="python3").execute()
        found.append(round(time.perf_counter() - start, 1))
    return found


def main():
    os.environ["OMP_NUM_THREADS"] = "1"
    result = {}
    for path in sorted(FOLDER.glob("*/*.ipynb")):
        runs = seconds(path)
        result[path.stem] = {"seconds": statistics.median(runs), "runs": runs}
        print(f"{path.stem}: {runs} s", flush=True)
    files.write_json(RESULT, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
