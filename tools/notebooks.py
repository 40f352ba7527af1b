"""Keep the notebooks as they are committed: without outputs, in one stable form.

    python tools/notebooks.py clean [PATH ...]   take out what running left (all notebooks)
    python tools/notebooks.py run PATH ...       run notebooks in place, then clean them
    python tools/notebooks.py check [PATH ...]   say which notebooks `clean` would change

A cell whose first line is `# NBVAL_CHECK_OUTPUT` prints settled facts: it keeps its text output
and its execution count, because nbval compares nothing else. `run` makes these outputs anew.
"""

import argparse
import json
import sys
from pathlib import Path

import nbformat

from course_lib import files

ROOT = Path(__file__).resolve().parents[1]
MARKER = "# NBVAL_CHECK_OUTPUT"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python"}
# What a person sets on purpose. Everything else in a cell's metadata is left by some editor.
CELL_METADATA = ("cellView", "jupyter", "mystnb", "nbgrader", "slideshow", "tags")
CELL_SECONDS = 600


class KeptOutputError(ValueError):
    """A marked cell has an output that nbval could never find again."""


def all_notebooks(root=ROOT):
    found = sorted((root / "notebooks").rglob("*.ipynb"))
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def is_kept(cell):
    """Whether a cell keeps its output."""
    return cell["cell_type"] == "code" and cell["source"].split("\n", 1)[0] == MARKER


def kept_output(output, where):
    """An output of a marked cell as it is committed: text only.

    nbval wants the same kinds of data from the new run as the notebook has. If a cell shows an
    HTML table, its text alone would never compare equal: such a cell has to print instead.
    """
    if output["output_type"] == "stream":
        return {"output_type": "stream", "name": output["name"], "text": output["text"]}
    if output["output_type"] not in ("execute_result", "display_data"):
        raise KeptOutputError(f"{where}: the cell failed ({output.get('ename', 'error')})")
    rich = sorted(set(output["data"]) - {"text/plain"})
    if rich:
        raise KeptOutputError(f"{where}: shows {', '.join(rich)}; print() text instead")
    return {**output, "metadata": {}}


def clean(notebook, name="notebook"):
    """The notebook as it is committed; the one given stays as it is."""
    cells = []
    for number, old in enumerate(notebook["cells"]):
        cell = {
            "cell_type": old["cell_type"],
            "id": old.get("id") or f"cell-{number}",
            "metadata": {k: v for k, v in old["metadata"].items() if k in CELL_METADATA},
            "source": old["source"].rstrip("\n"),
        }
        if old.get("attachments"):
            cell["attachments"] = old["attachments"]
        if cell["cell_type"] == "code":
            kept = is_kept(old)
            where = f"{name}, cell {number}"
            cell["execution_count"] = old["execution_count"] if kept else None
            cell["outputs"] = [kept_output(o, where) for o in old["outputs"]] if kept else []
        cells.append(cell)
    metadata = {k: v for k, v in notebook["metadata"].items() if k == "mystnb"}
    metadata |= {"kernelspec": KERNEL, "language_info": LANGUAGE}
    return nbformat.from_dict(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    )


def as_text(notebook):
    """The text of the file, in the layout that Jupyter itself writes."""
    notebook = nbformat.from_dict(notebook)
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def load(path):
    """The notebook in a file, each source as one text. Ids that are missing stay missing, where
    `nbformat.read` would make up random ones."""
    text = path.read_text(encoding="utf-8")
    if json.loads(text).get("nbformat") != 4:
        raise ValueError(f"{path}: not a notebook of format 4")
    return nbformat.v4.reads(text)


def cleaned_text(path):
    return as_text(clean(load(path), path.name))


def is_clean(path):
    return path.read_bytes() == cleaned_text(path).encode("utf-8")


def clean_file(path):
    """Rewrite a notebook as it is committed; whether anything changed."""
    if is_clean(path):
        return False
    files.write_text(path, cleaned_text(path))
    return True


def run_file(path):
    """Run a notebook from its own folder, in this Python's kernel, and keep the marked outputs."""
    from nbclient import NotebookClient

    notebook = load(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    files.write_text(path, as_text(clean(notebook, path.name)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("clean", "run", "check"))
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    if options.action == "run" and not options.paths:
        parser.error("run needs the notebooks to run")
    code = 0
    for path in options.paths or all_notebooks():
        try:
            if options.action == "check":
                if not is_clean(path):
                    print(f"not clean: {path}")
                    code = 1
                continue
            if options.action == "run":
                run_file(path)
                print(f"ran {path}")
            elif clean_file(path):
                print(f"cleaned {path}")
        except KeptOutputError as error:
            print(f"left as it is: {error}", file=sys.stderr)
            code = 1
    if code and options.action == "check":
        print("make clean-notebooks cleans them.")
    return code


if __name__ == "__main__":
    sys.exit(main())
