"""All that `make test` runs, the cheap stages first; each goes on where an earlier one failed.

    python tools/run_tests.py             everything
    python tools/run_tests.py lint tests  only these stages

A table of the seconds of each stage stands at the end.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable

STAGES = {
    "lint": [PYTHON, "-m", "ruff", "check", "."],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "tests": [PYTHON, "-m", "pytest", "tests", "-m", "not browser"],
    # nbval runs each cell once and compares only the cells marked # NBVAL_CHECK_OUTPUT. The time
    # limit goes by the cell, so pytest's own is switched off. The problem sets need a course; the
    # tests before make one and run them in it.
    "notebooks": [PYTHON, "-m", "pytest", "notebooks", "--nbval-lax", "--nbval-current-env"]
    + ["--nbval-cell-timeout=600", "--timeout=0", "--ignore=notebooks/assignments"],
    "book": [PYTHON, str(ROOT / "tools" / "build_book.py")],
    # Looks at what the stage before has built, in two browsers at once.
    "browser": [PYTHON, "-m", "pytest", "tests", "-m", "browser", "-n", "2", "--dist", "loadfile"],
}


def run(names, stages=None):
    """Run the named stages in turn; the exit code is 0 only if all of them passed."""
    stages = stages or STAGES
    rows = []
    for name in names:
        print(f"\n===== {name}: {subprocess.list2cmdline(stages[name])}", flush=True)
        start = time.perf_counter()
        code = subprocess.run(stages[name], cwd=ROOT).returncode
        rows.append((name, time.perf_counter() - start, code))

    print(f"\n{'stage':<12}{'seconds':>9}")
    for name, seconds, code in rows:
        print(f"{name:<12}{seconds:>9.1f}  {'passed' if code == 0 else f'FAILED (code {code})'}")
    print(f"{'all':<12}{sum(seconds for _, seconds, _ in rows):>9.1f}", flush=True)
    return int(any(code != 0 for _, _, code in rows))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="stage", help=", ".join(STAGES))
    names = parser.parse_args(arguments).stages or list(STAGES)
    unknown = sorted(set(names) - set(STAGES))
    if unknown:
        parser.error(f"no such stage: {', '.join(unknown)}; there are {', '.join(STAGES)}")
    return run(names)


if __name__ == "__main__":
    sys.exit(main())
