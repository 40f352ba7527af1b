"""Stored tables: what a run found that is too long for a reader, and where it comes from.

`tools/stored.py` makes them. Each is two files in `results/`: NAME.csv, a row for each run, and
NAME.json, what is to be said about it. A test measures some of their rows anew each time.
"""

import dataclasses
import datetime
import hashlib
import io
import json
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pandas.api.types import is_string_dtype as is_words

from course_lib import files

FOLDER = Path(__file__).resolve().parents[1] / "results"  # of the repository
# `%B` would give them in the language of whoever runs a chapter.
MONTHS = ("January", "February", "March", "April", "May", "June")
MONTHS += ("July", "August", "September", "October", "November", "December")


@dataclasses.dataclass(frozen=True)
class About:
    """Where a stored table comes from.

    `what` is in words, without a full stop. `command` makes the table, `date` is when it was done,
    `seconds` what that took by the clock, `hardware` and `versions` what it ran on. `settings`
    holds what was asked for, in terms of JSON; a chapter compares them with its protocol.
    """

    what: str
    command: str
    date: str
    seconds: float
    hardware: str
    versions: dict[str, str]
    settings: dict[str, Any]

    @property
    def sentence(self) -> str:
        """The sentence that marks a stored table on the page, in Markdown."""
        day = datetime.date.fromisoformat(self.date)
        month = MONTHS[day.month - 1]
        return (
            f"Stored run of {day.day} {month} {day.year}, made by `{self.command}` in "
            f"{_duration(self.seconds)} on {self.hardware}."
        )


class Stored(NamedTuple):
    """A stored table and where it comes from."""

    table: pd.DataFrame
    about: About


def save(name: str, table: pd.DataFrame, about: About, folder: Path | None = None) -> None:
    """Write a table and what is to be said about it, into `results/` by default.

    `load` reads it as it was, up to the last digit. Both files are written before either is put in
    its place.
    """
    folder = FOLDER if folder is None else folder
    text = table.to_csv(index=False, lineterminator="\n")
    content = dataclasses.asdict(about) | {"sha256": _hash(text)}
    folder.mkdir(exist_ok=True)
    with files.whole(folder / f"{name}.csv") as csv:
        csv.write_bytes(text.encode())
        files.write_json(folder / f"{name}.json", content)


def load(name: str, folder: Path | None = None) -> Stored:
    """Return a stored table: `table, about = stored.load("tickets-mnist")`.

    Args:
        name: as `tools/stored.py` names it.
        folder: where it is; by default `results/` of the course, wherever that is installed.

    Raises:
        ValueError: if there is no such table, or somebody changed it after it was made.
    """
    try:
        text = _read(f"{name}.csv", folder)
        content = json.loads(_read(f"{name}.json", folder))
    except FileNotFoundError as error:
        raise ValueError(f"there is no stored table {name!r}: {error}") from error
    if content.pop("sha256") != _hash(text):
        raise ValueError(
            f"the stored table {name!r} is not the one that was made: make it anew by "
            f"`{content['command']}`"
        )
    table = pd.read_csv(io.StringIO(text))
    # A column that holds numbers and words, as `rewind` may, comes as words only.
    for column in table.columns[[is_words(dtype) for dtype in table.dtypes]]:
        table[column] = table[column].astype(object).map(_whole_if_it_is)
    return Stored(table, About(**content))


def _whole_if_it_is(value: Any) -> Any:
    is_whole = isinstance(value, str) and value.removeprefix("-").isdecimal()
    return int(value) if is_whole else value


def _read(file: str, folder: Path | None) -> str:
    """Return the text of a file, in any place where the course may have put it."""
    if folder is None:
        folder = FOLDER
        if not (folder / file).is_file() and (installed := _installed(file)) is not None:
            return installed.read_text(encoding="utf-8")
    return (folder / file).read_text(encoding="utf-8")


def _installed(file: str) -> Path | None:
    """Return where pip has put a file of `results/`, if it did: pyproject.toml tells it to."""
    try:
        listed = metadata.files("course_lib") or []
    except metadata.PackageNotFoundError:
        return None
    found = [f for f in listed if f.name == file and f.parent.name == "results"]
    return Path(found[0].locate()) if found else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _duration(seconds: float) -> str:
    """Return a time in words: seconds up to two minutes, minutes up to two hours, hours."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
