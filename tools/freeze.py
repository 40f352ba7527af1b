"""Write constraints.txt anew: what pip takes today beside the pinned PyTorch.

python tools/freeze.py                          with the oldest Python that is supported
python tools/freeze.py --python /path/to/python3.11
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import bootstrap
from bootstrap import ROOT, dotted
from install import EXTRAS, LOG, PIP, Problem, explain, pinned_torch, run_logged, run_quietly, say

HEADER = """\
# The exact versions that are tested: what pip took on Linux with Python {}. Made by
#     python tools/freeze.py
# PyTorch stands first because its version is a choice: edit it, then run that command. Use the
# oldest Python you have: some packages' newest releases want a later 3.11.x, and are no use here.
# What only Windows or macOS need besides is not listed and comes in its newest version.
"""
# A CUDA build of PyTorch brings parts of its own, whose versions it fixes itself.
LEFT_OUT = re.compile(r"(pip|torch|triton|(nvidia|cuda)-[\w-]+)==")


def freeze(root, asked=""):
    """The oldest Python decides, down to the third number: what it takes, newer ones can too."""
    torch = pinned_torch(root)
    about = bootstrap.find_python(asked or "python" + dotted(bootstrap.SUPPORTED[0]))
    with tempfile.TemporaryDirectory(prefix="course-freeze-") as folder:
        venv, log = Path(folder, "venv"), Path(folder, LOG)
        bootstrap.create(venv, about)
        python = bootstrap.venv_python(venv)
        say(f"Installing today's releases. This takes minutes. Log: {log}")
        command = [python, *PIP, "install", f"torch=={torch}", f".[{EXTRAS}]"]
        if run_logged(command, log, root) != 0:
            raise Problem(explain(log))
        output = run_quietly([python, *PIP, "freeze", "--all"])[1]
    lines = [line for line in output.splitlines() if "==" in line and not LEFT_OUT.match(line)]
    text = HEADER.format(dotted(about["version"])) + "\n".join([f"torch=={torch}", *lines])
    (root / "constraints.txt").write_text(text + "\n", encoding="utf-8")
    say(f"constraints.txt: {len(lines) + 1} versions.")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="", help="the Python to do it with")
    try:
        freeze(ROOT, parser.parse_args(arguments).python)
    except Problem as problem:
        return str(problem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
