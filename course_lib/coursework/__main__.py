"""What instructors run.

python -m course_lib.coursework course --folder course     make a course and release its sets
python -m course_lib.coursework grade pruning              grade what was handed in
python -m course_lib.coursework grade-demo                 grade a simulated class of 30
"""

import argparse
import sys

try:
    from course_lib.coursework import demo, grading, release
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed: pip install -e '.[grade]'")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code is 0 only if it succeeded."""
    parser = argparse.ArgumentParser(prog="python -m course_lib.coursework")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for module in (release, grading, demo):
        module.add_to(subparsers)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
