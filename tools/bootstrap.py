#!/usr/bin/env python3
"""Make or repair the environment `.venv` in the root of the repository.

    python tools/bootstrap.py                     make it, or see that nothing is to be done
    python tools/bootstrap.py --python python3.12 make it with this Python

Any Python from 3.6 on can run it and tools/install.py: it looks for a supported one itself.

How it knows what state `.venv` is in:

* `.venv/course-owner.txt` is written before anything else. With it, the environment is ours:
  it may be thrown away and made again. Without it, somebody else made the environment, and
  it is never deleted: it is used as it is if it works, and moved aside if it does not.
* `.venv/course-stamp.json` is written last. With it, the install came to its end. It names
  all that the install depends on; if that has changed, the install is done again.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from install import EXTRAS, OWNER, PIP, Problem, install, is_ours, run_quietly, say, venv_python
from install import pinned_torch as pinned_torch  # for conftest.py

SUPPORTED = ((3, 11), (3, 12), (3, 13))

ROOT = Path(__file__).resolve().parents[1]
STAMP = "course-stamp.json"
# What a Python must say of itself. `base` is the real interpreter behind a virtual environment
# or a version manager's shim.
PROBE = """
import sys, json
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "fits": sys.maxsize > 2 ** 32 and "PyPy" not in sys.version,
    "base": getattr(sys, "_base_executable", None) or sys.executable,
}))
"""
NO_PYTHON = """\
The course needs Python {} to {}. Found:
{}
Install one of these versions, or name one that you have:
  make book PYTHON=/path/to/python3.12
  python tools/bootstrap.py --python /path/to/python3.12
With conda, `conda env create -f environment.yml` brings its own Python."""


# ---------------------------------------------------------------- which Python


def probe(command):
    """What the Python behind `command` (a list) says of itself; None if it does not run."""
    code, output = run_quietly([*command, "-c", PROBE])
    try:
        return json.loads(output.strip().splitlines()[-1]) if code == 0 else None
    except (ValueError, IndexError):
        return None


def dotted(version):
    return ".".join(map(str, version))


def unfit(about):
    """Why a Python cannot run the course; an empty text if it can."""
    if about is None:
        return "its Python does not run"
    if tuple(about["version"][:2]) not in SUPPORTED:
        return f"Python {dotted(about['version'])}"
    return "" if about["fits"] else "no 64-bit CPython, which PyTorch needs"


def candidates():
    """Commands that may be a Python, best first."""
    newest_first = [dotted(version) for version in reversed(SUPPORTED)]
    yield [sys.executable]
    yield from (["python" + version] for version in newest_first)
    if os.name == "nt":
        yield from (["py", "-" + version] for version in newest_first)
    yield from (["python3"], ["python"])


def find_python(asked=""):
    """What the Python to use says of itself: the one asked for, else the first that fits."""
    tried = []
    for command in [[asked]] if asked else candidates():
        about = probe(command)
        if about is None and not asked:
            continue
        if not unfit(about):
            return about
        tried.append(f"  {' '.join(command)}: {unfit(about)}")
    found = "\n".join(dict.fromkeys(tried)) or "  none"
    raise Problem(NO_PYTHON.format(dotted(SUPPORTED[0]), dotted(SUPPORTED[-1]), found))


# ---------------------------------------------------------------- the state of .venv


def read_stamp(venv):
    """The stamp as a dict; None where no install came to its end."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def wanted_stamp(root, about):
    """All that an install depends on. The folder is among it: an environment cannot be moved."""
    files = b"".join((root / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return {
        "extras": EXTRAS,
        "files": hashlib.sha256(files.replace(b"\r\n", b"\n")).hexdigest(),
        "python": dotted(about["version"][:2]),
        "root": str(root),
    }


def is_other_version(about, asked):
    return bool(asked) and find_python(asked)["version"][:2] != about["version"][:2]


def is_ready(root, asked=""):
    """Whether there is nothing to do. Takes a fraction of a second."""
    stamp = read_stamp(root / ".venv")
    about = stamp and probe([venv_python(root / ".venv")])
    return bool(about) and stamp == wanted_stamp(root, about) and not is_other_version(about, asked)


def fault(root, asked):
    """Why nothing can be installed into the `.venv` that is there; an empty text if it can."""
    venv = root / ".venv"
    python = venv_python(venv)
    about = probe([python])
    if unfit(about):
        return unfit(about)
    if is_other_version(about, asked):
        return f"Python {dotted(about['version'][:2])}, not the one asked for"
    stamp = read_stamp(venv)
    if is_ours(venv) and stamp is None:
        return "half made, the last install did not come to its end"
    if is_ours(venv) and stamp.get("root") != str(root):
        return f"made for another folder, {stamp.get('root')}"
    has_pip = [python, *PIP, "--version"]
    if run_quietly(has_pip)[0] != 0 and not is_ours(venv):
        run_quietly([python, "-m", "ensurepip"])  # `uv venv` leaves pip out
    return "" if run_quietly(has_pip)[0] == 0 else "pip is missing in it"


# ---------------------------------------------------------------- making it


def empty(venv):
    """Delete all that is in the environment but the owner's mark, so that a stop half-way
    leaves an environment that is still known as ours."""
    for path in venv.iterdir():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != OWNER:
                path.unlink()
        except OSError as error:
            raise Problem(
                f"Cannot delete {path}\n({error}).\nClose what uses it, then try again."
            ) from None


def move_aside(venv):
    number = 1
    while os.path.lexists(f"{venv}-old-{number}"):
        number += 1
    venv.rename(f"{venv}-old-{number}")
    return f"{venv.name}-old-{number}"


def create(venv, about):
    """A new environment in `venv`, which is missing or has nothing but the owner's mark."""
    say(f"Making {venv.name} with Python {dotted(about['version'])} ({about['base']}).")
    venv.mkdir(parents=True, exist_ok=True)
    (venv / OWNER).write_text("tools/bootstrap.py made this environment and may delete it.\n")
    code, output = run_quietly([about["base"], "-m", "venv", venv])
    if code != 0:
        raise Problem(f"{about['base']} -m venv failed:\n{output.strip()}")


def prepare(root, asked=""):
    """Bring `.venv` to where the install can start. A Python is found before anything goes."""
    venv = root / ".venv"
    if not os.path.lexists(venv) or (venv.is_dir() and not any(venv.iterdir())):
        return create(venv, find_python(asked))
    reason = fault(root, asked)
    if not reason and is_ours(venv):
        return say("The course has changed since .venv was made. Bringing it up to date.")
    if not reason:
        return say("Installing into the .venv that you made.")
    about = find_python(asked)
    if is_ours(venv):
        say(f"The .venv here cannot be used ({reason}). Making it anew.")
        empty(venv)
    else:
        say(f"The .venv here cannot be used ({reason}).")
        say(f"It was not made by this program, so it is kept, as {move_aside(venv)}.")
    return create(venv, about)


def bring(root, asked=""):
    """Make or repair `.venv`, install into it, and stamp it at the end."""
    prepare(root, asked)
    stamp = root / ".venv" / STAMP
    with contextlib.suppress(FileNotFoundError):
        stamp.unlink()
    install(root)
    about = probe([venv_python(root / ".venv")])
    stamp.write_text(json.dumps(wanted_stamp(root, about), indent=1) + "\n", "utf-8")


@contextlib.contextmanager
def lock(root):
    """Wait until no other run is at work on `.venv`, and keep others waiting meanwhile."""
    if os.name == "nt":
        import msvcrt

        def take(file):
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        def take(file):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with (root / ".venv.lock").open("a") as file:
        waited = False
        while True:
            try:
                take(file)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    if not waited:
                        say("Another run is at work on .venv. Waiting for it.")
                    waited = True
                    time.sleep(0.5)
                    continue  # otherwise a file system without locks
            break
        os.set_inheritable(file.fileno(), True)
        yield


def main(arguments):
    """Returns the exit code."""
    asked = ""
    if "--python" in arguments[:-1]:
        asked = arguments[arguments.index("--python") + 1]
    try:
        if not is_ready(ROOT, asked):
            with lock(ROOT):
                # Another run may have done it while this one waited.
                if not is_ready(ROOT, asked):
                    bring(ROOT, asked)
    except Problem as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next run starts the install again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
