"""All that `make test` runs, the cheap stages first; each goes on where an earlier one failed.

    python tools/run_tests.py             everything
    python tools/run_tests.py lint tests  only these stages

A table of the seconds of each stage stands at the end. They are kept in `_build/stages.json`, so
that the next run can say how long it will take.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
KEPT = ROOT / "_build" / "stages.json"

STAGES = {
    "lint": [PYTHON, "-m", "ruff", "check", "."],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "tests": [PYTHON, "-m", "pytest", "tests", "-m", "not browser and not alone"]
    + ["-n", "2", "--dist", "loadfile"],
    "alone": [PYTHON, "-m", "pytest", "tests", "-m", "alone and not browser"],
    "book": [PYTHON, str(ROOT / "tools" / "build_book.py")],
    # nbval compares the cells marked # NBVAL_CHECK_OUTPUT with what the build put out, and runs the
    # notebooks that did not run there (tools/built_notebooks.py). The time limit goes by the cell,
    # so pytest's own is switched off. The problem sets need a course; the
    # tests before make one and run them in it.
    "notebooks": [PYTHON, "-m", "pytest", "notebooks", "--nbval-lax", "--nbval-current-env"]
    + ["--nbval-cell-timeout=600", "--timeout=0", "--ignore=notebooks/assignments"],
    # Looks at what the stage before has built, in two browsers at once.
    "browser": [PYTHON, "-m", "pytest", "tests", "-m", "browser", "-n", "2", "--dist", "worksteal"],
}


def outlook(names, last):
    """How long the first of these stages took last time, and all of them; nothing if unknown."""
    if not all(name in last for name in names):
        return ""
    minutes = sum(last[name] for name in names) / 60
    return f", last time {last[names[0]]:.0f} s; all from here {minutes:.0f} min"


def run(names, stages=None, kept=KEPT):
    """Run the named stages in turn; the exit code is 0 only if all of them passed."""
    stages = stages or STAGES
    try:
        last = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or stopped while it was written
        last = {}
    rows = []
    for i, name in enumerate(names):
        print(f"\n===== stage {i + 1} of {len(names)}: {name}{outlook(names[i:], last)}")
        print(subprocess.list2cmdline(stages[name]), flush=True)
        start = time.perf_counter()
        code = subprocess.run(stages[name], cwd=ROOT).returncode
        rows.append((name, time.perf_counter() - start, code))
    kept.parent.mkdir(exist_ok=True)
    passed = {name: round(seconds, 1) for name, seconds, code in rows if code == 0}
    kept.write_text(json.dumps(last | passed, indent=2) + "\n", encoding="utf-8")

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
