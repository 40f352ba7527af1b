"""What a student handed in, read as what it may be: written to harm whoever opens it.

No link is followed, no file is read that is too large, and of a notebook only the student's own
text and pictures are taken. What comes out is the notebook that is run.
"""

import ast
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import parse_utc

from course_lib.coursework.running import is_picture, writable
from course_lib.coursework.sandbox import MEGABYTE, Limits

MOST_CELLS = 1_000
MOST_FILES = 200


@dataclass
class Handed:
    """What lies in a submission's folder: regular files only, and none that is too large.

    Args:
        notebook: the parsed notebook, or None if none can be read.
        files: the other files, by their path below the folder.
        timestamp: the text of nbgrader's `timestamp.txt`, or nothing.
        digest: of all of it.
        notes: what is not as it should be.
    """

    notebook: dict | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    timestamp: str = ""
    digest: str = ""
    notes: list[str] = field(default_factory=list)


def read_submission(folder: str | Path, name: str, limits: Limits) -> Handed:
    """Read a submission without following links, whatever lies there.

    Args:
        folder: `submitted/<student>/<set>`.
        name: of the set; the notebook should be called so.
        limits: how large a file may be.
    """
    made, folder = Handed(), Path(folder)
    found: dict[str, bytes] = {}
    left = 4 * limits.notebook_megabytes * MEGABYTE
    if folder.is_symlink() or folder.parent.is_symlink():
        made.notes.append("The folder is a symbolic link. Links are not followed.")
    else:
        for path in _regular_files(folder, made.notes):
            if len(found) >= MOST_FILES:
                made.notes.append(f"Only the first {MOST_FILES} files were read.")
                break
            content = _content(path, min(limits.notebook_megabytes * MEGABYTE, left))
            if content is None:
                made.notes.append(f"{path.name[:100]} is too large or cannot be read; left out.")
            else:
                found[path.relative_to(folder).as_posix()] = content
                left -= len(content)
    parts = [f"{key}\0{hashlib.sha256(found[key]).hexdigest()}" for key in sorted(found)]
    text = "\n".join([*parts, *made.notes]).encode(errors="replace")
    made.digest = hashlib.sha256(text).hexdigest()

    stamp = found.pop("timestamp.txt", b"").decode(errors="replace").strip()
    if stamp:
        try:
            made.timestamp = str(parse_utc(stamp[:100]))
        except (ValueError, OverflowError, TypeError):
            made.notes.append("timestamp.txt holds no time; the submission has none.")
    notebooks = [key for key in found if key.endswith(".ipynb") and "/" not in key]
    chosen = f"{name}.ipynb"
    if chosen not in notebooks and len(notebooks) == 1:
        made.notes.append(f"{notebooks[0][:100]} was graded: there is no {chosen}.")
        chosen = notebooks[0]
    if chosen not in notebooks:
        made.notes.append(f"There is no {chosen} that can be read.")
    else:
        try:
            made.notebook = _parsed(found.pop(chosen))
        except (ValueError, RecursionError, MemoryError) as error:
            made.notes.append(f"{chosen[:100]} is no notebook that can be read: {error}"[:300])
    made.files = {key: one for key, one in found.items() if not key.endswith(".ipynb")}
    return made


def _regular_files(folder: Path, notes: list[str]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            notes.append(f"{entry.name[:100]} is a symbolic link. Links are not followed.")
        elif entry.is_dir(follow_symlinks=False):
            if len(Path(entry.path).parts) < len(folder.parts) + 8:
                yield from _regular_files(Path(entry.path), notes)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _content(path: Path, most: int) -> bytes | None:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > most:
                return None
            content = file.read(most + 1)
    except OSError:
        return None
    return None if len(content) > most else content


def _parsed(content: bytes) -> dict:
    data = json.loads(content)
    if not isinstance(data, dict) or not isinstance(data.get("cells"), list):
        raise ValueError("it has no list of cells (nbformat 4)")
    return data


def restore(handed: dict | None, released: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Build the notebook to run: the student's answers in a notebook that is otherwise ours.

    Of a student's cells only type, text, pictures and the name that nbgrader gave them are taken.
    Locked cells and tests are those of the instructor, missing ones are put back.

    Args:
        handed: the student's notebook, or None, which stands for a blank one.
        released: as it was handed out, with the tests as the instructor wrote them.

    Returns:
        The notebook and notes on what was put back.
    """
    ours = {c.metadata.nbgrader.grade_id: c for c in released.cells if "nbgrader" in c.metadata}
    order, cells, seen, notes = list(ours), [], set(), []
    for cell in (handed or {"cells": []})["cells"][:MOST_CELLS]:
        if not isinstance(cell, dict):
            continue
        kind, source = cell.get("cell_type"), cell.get("source", "")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if kind not in ("code", "markdown", "raw") or not isinstance(source, str):
            continue
        source = writable(source)
        known = grade_id_of(cell)
        if known not in ours or known in seen:
            cells.append(_cell(kind, source))
            continue
        seen.add(known)
        made = nbformat.from_dict(ours[known])
        if made.metadata.nbgrader.solution:
            made = _cell(made.cell_type, source, made.metadata)
            if made.cell_type == "markdown":
                made.attachments = _pictures(cell.get("attachments"))
        elif made.metadata.nbgrader.grade and source != made.metadata.pop("as_released", source):
            notes.append(f"The test cell {known} had been changed; the original was run.")
        made.metadata.pop("as_released", None)
        cells.append(made)
    for place, known in enumerate(order):
        if known in seen:
            continue
        made = nbformat.from_dict(ours[known])
        made.metadata.pop("as_released", None)
        before = [n for n, cell in enumerate(cells) if grade_id_of(cell) in order[:place]]
        cells.insert(before[-1] + 1 if before else 0, made)
        if handed is not None and (made.metadata.nbgrader.grade or made.metadata.nbgrader.solution):
            notes.append(f"The cell {known} was missing; it was put back as it was handed out.")
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    made = nbformat.v4.new_notebook(cells=cells, metadata=released.metadata)
    return made, notes


def _cell(kind: str, source: str, metadata: dict | None = None) -> NotebookNode:
    new = getattr(nbformat.v4, f"new_{kind}_cell")
    return new(source=source, metadata=metadata or {})


def grade_id_of(cell: dict) -> str | None:
    """Return the name that nbgrader gave a cell, or None; the cell may be anything."""
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    known = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return known if isinstance(known, str) else None


def _pictures(attachments: Any) -> dict:
    if not isinstance(attachments, dict):
        return {}
    return {
        writable(key): {"image/png": one["image/png"]}
        for key, one in attachments.items()
        if isinstance(one, dict) and is_picture(one.get("image/png"))
    }


def typed_id(notebook: NotebookNode) -> str:
    """Return what the notebook says in `STUDENT = "..."`, or nothing."""
    for cell in notebook.cells:
        if cell.cell_type != "code" or "STUDENT" not in cell.source:
            continue
        try:
            body = ast.parse(cell.source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                named = any(isinstance(t, ast.Name) and t.id == "STUDENT" for t in node.targets)
                if named and isinstance(node.value.value, str):
                    return node.value.value
    return ""
