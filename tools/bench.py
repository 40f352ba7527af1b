"""Run the benchmarks beside other libraries, one after the other.

    python tools/bench.py                   all
    python tools/bench.py tickets           those that are named

Close other programs first. A benchmark that needs another library is left out where that is not
there. The results go to benchmarks/results/ and from there into the book.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ROOT / "_build"
REPOSITORIES = {  # by benchmark: the option that names a copy, and where it comes from
    "tickets": {"--open-lth": "https://github.com/facebookresearch/open_lth"},
    "autoencoders": {
        "--sparsify": "https://github.com/EleutherAI/sparsify",
        "--dictionary-learning": "https://github.com/saprmarks/dictionary_learning",
    },
}
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


def arguments_of(name):
    """What a benchmark is called with, or a sentence that says what it lacks."""
    arguments, lacks = [], []
    for option, address in REPOSITORIES.get(name, {}).items():
        place = BESIDE / address.rpartition("/")[2]
        arguments += [option, place.relative_to(ROOT).as_posix()]
        if not place.is_dir():
            lacks.append(f"git clone {address} {arguments[-1]}")
    if name == "autoencoders" and importlib.util.find_spec("einops") is None:
        lacks.append("pip install einops")
    if lacks or arguments:
        return " and ".join(lacks) or arguments
    if name == "structured" and importlib.util.find_spec("torch_pruning") is None:
        return "pip install torch-pruning"
    return []


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(NAMES)}")
    names = parser.parse_args(arguments).names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"benchmarks are {', '.join(NAMES)}; got {', '.join(sorted(unknown))}")
    failed = []
    for name in names:
        found = arguments_of(name)
        if isinstance(found, str):
            print(f"{name} is left out; it needs: {found}")
            continue
        print(f"{name} …", flush=True)
        command = [sys.executable, f"benchmarks/{name}.py", *found]
        if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
