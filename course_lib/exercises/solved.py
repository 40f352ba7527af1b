"""Progress: which exercises were solved, in this session and, if asked, in a file."""

import json
from pathlib import Path

from course_lib import files
from course_lib.exercises.exercise import of_chapter

FILE = "progress.json"

_solved: set[str] = set()
_file: Path | None = None


def keep_progress(path: str | Path = FILE) -> str:
    """Keep what is solved in a small file, by default beside the notebook, and read it from there.

    Returns:
        A sentence that says how many exercises the file held.

    Raises:
        ValueError: if the file is there and is not one of these. It is left as it is.
    """
    global _file
    path = Path(path).resolve()
    before: set[str] = set()
    if path.exists():
        try:
            before = set(json.loads(path.read_text(encoding="utf-8"))["solved"])
            if not all(isinstance(one, str) for one in before):
                raise TypeError("solved holds something else than ids")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not a file of keep_progress ({error!r}); move it away, or name another"
            ) from error
    _file = path
    _solved.update(before)
    _write()
    return f"Progress is kept in {path.name}; {len(before)} exercises were solved before."


def progress(chapter: str) -> str:
    """Return how many exercises of a chapter are solved, for example "3 of 5".

    Raises:
        ValueError: if the chapter has no exercises.
    """
    known = [exercise.id for exercise in of_chapter(chapter)]
    return f"{sum(one in _solved for one in known)} of {len(known)}"


def add(exercise_id: str) -> None:
    """Note that an exercise is solved."""
    _solved.add(exercise_id)
    _write()


def forget() -> None:
    """Start anew and stop using the file, which stays as it is."""
    global _file
    _file = None
    _solved.clear()


def _write() -> None:
    if _file is not None:
        files.write_json(_file, {"solved": sorted(_solved)})
