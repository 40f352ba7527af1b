#!/usr/bin/env python3
"""Make or repair the environment `.venv` in the root of the repository.

    python tools/bootstrap.py                     make it, or see that nothing is to be done
    python tools/bootstrap.py --python python3.12 make it with this Python
    python tools/bootstrap.py --freeze            write constraints.txt anew from today's releases

It needs nothing but Python itself. Any Python 3 can run it: it looks for one of the supported
versions, and says so if there is none. For that reason this file keeps to old syntax: no
f-strings, no annotations.

How it knows what state `.venv` is in:

* `.venv/course-owner.txt` is written before anything else. With it, the environment is ours:
  it may be thrown away and made again. Without it, somebody else made the environment, and
  it is never deleted: it is used as it is if it works, and moved aside if it does not.
* `.venv/course-stamp.json` is written last. With it, the install came to its end. It names
  all that the install depends on; if that has changed, the install is done again.
"""

from __future__ import print_function

import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SUPPORTED = ((3, 11), (3, 12), (3, 13))
EXTRAS = "book,test,lab,grade"

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OWNER_NAME = "course-owner.txt"
OWNER_TEXT = "tools/bootstrap.py made this environment and may delete it.\n"
STAMP_NAME = "course-stamp.json"
LOG_NAME = "install.log"
PIP_INSTALL = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]

FREEZE_HEADER = """\
# The exact versions that are tested: what pip took on Linux with Python %s. Made by
#     python tools/bootstrap.py --freeze
# PyTorch stands first because its version is a choice: edit it, then run that command. Use the
# oldest Python you have: some packages' newest releases want a later 3.11.x, and are no use here.
# What only Windows or macOS need besides is not listed and comes in its newest version.
"""

# What a Python must say of itself. `base` is the real interpreter behind a virtual environment
# or a version manager's shim. Debian and Ubuntu leave out `ensurepip` until python3-venv is
# installed. PyTorch has no 32-bit builds.
PROBE = """
import sys, json
try:
    import ensurepip, venv
    can_make_venv = True
except ImportError:
    can_make_venv = False
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "name": sys.implementation.name if hasattr(sys, "implementation") else "cpython",
    "bits": 64 if sys.maxsize > 2 ** 32 else 32,
    "base": getattr(sys, "_base_executable", None) or sys.executable,
    "can_make_venv": can_make_venv,
}))
"""


class Problem(Exception):
    """Something that the person at the keyboard has to know or do."""


def say(*lines):
    for line in lines:
        print(line)
    sys.stdout.flush()


def read(*parts):
    with io.open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def write(text, *parts):
    if isinstance(text, bytes):  # an ordinary string of Python 2
        text = text.decode("utf-8")
    with io.open(os.path.join(*parts), "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def run_quietly(command):
    """The exit code and output of a command; a command that is not there has code 127."""
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
    except OSError:
        return 127, ""
    output = process.communicate()[0]
    return process.returncode, output


# ---------------------------------------------------------------- which Python


def supported_versions():
    return "%d.%d to %d.%d" % (SUPPORTED[0] + SUPPORTED[-1])


def probe(command):
    """What the Python behind `command` (a list) says of itself; None if it does not run."""
    code, output = run_quietly(command + ["-c", PROBE])
    try:
        return json.loads(output.strip().splitlines()[-1]) if code == 0 else None
    except (ValueError, IndexError):
        return None


def minor_version(about):
    return "%d.%d" % tuple(about["version"][:2])


def full_version(about):
    return ".".join(str(number) for number in about["version"])


def unfit(about):
    """Why a Python cannot run the course; an empty text if it can."""
    if about is None:
        return "its Python does not run"
    if tuple(about["version"][:2]) not in SUPPORTED:
        return "Python " + full_version(about)
    if about["name"] != "cpython":
        return "%s, not CPython" % about["name"]
    if about["bits"] != 64:
        return "a 32-bit Python, and PyTorch needs a 64-bit one"
    return ""


def candidates():
    """Commands that may be a Python, best first."""
    yield [sys.executable]
    newest_first = ["%d.%d" % version for version in reversed(SUPPORTED)]
    for version in newest_first:
        yield ["python" + version]
    if os.name == "nt":
        for version in newest_first:
            yield ["py", "-" + version]
    yield ["python3"]
    yield ["python"]


def find_python(asked=""):
    """What the Python to use says of itself: the one asked for, else the first that fits."""
    tried = []
    for command in [[asked]] if asked else candidates():
        about = probe(command)
        if about is None and not asked:
            continue
        reason = unfit(about)
        if not reason and not about["can_make_venv"]:
            reason = "Python %s without venv; on Debian and Ubuntu: apt install python%s-venv" % (
                (minor_version(about),) * 2
            )
        if not reason:
            return about
        line = "  %s: %s" % (" ".join(command), reason)
        if line not in tried:
            tried.append(line)
    raise Problem(
        "\n".join(
            ["The course needs Python %s. Found:" % supported_versions()]
            + (tried or ["  none"])
            + [
                "Install one of these versions, or name one that you have:",
                "  make book PYTHON=/path/to/python3.12",
                "  python tools/bootstrap.py --python /path/to/python3.12",
                "With conda, `conda env create -f environment.yml` brings its own Python.",
            ]
        )
    )


# ---------------------------------------------------------------- the state of .venv


def venv_python(venv):
    """The interpreter of an environment; on Windows conda puts it elsewhere than venv does."""
    if os.name != "nt":
        return os.path.join(venv, "bin", "python")
    in_scripts = os.path.join(venv, "Scripts", "python.exe")
    at_top = os.path.join(venv, "python.exe")
    return at_top if os.path.exists(at_top) and not os.path.exists(in_scripts) else in_scripts


def is_ours(venv):
    return os.path.exists(os.path.join(venv, OWNER_NAME))


def read_stamp(venv):
    """The stamp as a dict; None where no install came to its end."""
    try:
        stamp = json.loads(read(venv, STAMP_NAME))
    except (IOError, OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def wanted_stamp(root, about):
    """All that an install depends on. The folder is among it: an environment cannot be moved."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update(read(root, name).encode("utf-8"))
    return {
        "extras": EXTRAS,
        "files": digest.hexdigest(),
        "python": minor_version(about),
        "root": root,
    }


def is_other_version(about, asked):
    return bool(asked) and minor_version(find_python(asked)) != minor_version(about)


def is_ready(root, asked=""):
    """Whether there is nothing to do. Takes a fraction of a second."""
    venv = os.path.join(root, ".venv")
    if read_stamp(venv) is None:
        return False
    about = probe([venv_python(venv)])
    return (
        about is not None
        and read_stamp(venv) == wanted_stamp(root, about)
        and not is_other_version(about, asked)
    )


def fault(root, asked):
    """Why nothing can be installed into the `.venv` that is there; an empty text if it can."""
    venv = os.path.join(root, ".venv")
    python = venv_python(venv)
    about = probe([python])
    reason = unfit(about)
    if reason:
        return reason
    if is_other_version(about, asked):
        return "Python %s, not the one asked for" % minor_version(about)
    if is_ours(venv):
        stamp = read_stamp(venv)
        if stamp is None:
            return "half made, the last install did not come to its end"
        if stamp.get("root") != root:
            return "made for another folder, %s" % stamp.get("root")
    elif not has_pip(python):
        run_quietly([python, "-m", "ensurepip"])
    return "" if has_pip(python) else "pip is missing in it"


def has_pip(python):
    return run_quietly([python, "-m", "pip", "--version"])[0] == 0


# ---------------------------------------------------------------- making it


def empty(venv):
    """Delete all that is in the environment but the owner's mark, so that a stop half-way
    leaves an environment that is still known as ours."""
    for name in os.listdir(venv):
        path = os.path.join(venv, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif name != OWNER_NAME:
                os.remove(path)
        except (IOError, OSError) as error:
            raise Problem(
                "Cannot delete %s\n(%s).\nClose what uses it, then try again." % (path, error)
            )


def move_aside(venv):
    number = 1
    while os.path.lexists("%s-old-%d" % (venv, number)):
        number += 1
    aside = "%s-old-%d" % (venv, number)
    os.rename(venv, aside)
    return os.path.basename(aside)


def create(venv, about):
    """A new environment in `venv`, which is missing or has nothing but the owner's mark."""
    name = os.path.basename(venv)
    say("Making %s with Python %s (%s)." % (name, full_version(about), about["base"]))
    if not os.path.isdir(venv):
        os.makedirs(venv)
    write(OWNER_TEXT, venv, OWNER_NAME)
    code, output = run_quietly([about["base"], "-m", "venv", venv])
    if code != 0:
        raise Problem("%s -m venv failed:\n%s" % (about["base"], output.strip()))


def prepare(root, asked=""):
    """Bring `.venv` to where the install can start. A Python is found before anything goes."""
    venv = os.path.join(root, ".venv")
    if not os.path.lexists(venv) or (os.path.isdir(venv) and not os.listdir(venv)):
        return create(venv, find_python(asked))

    reason = fault(root, asked)
    if is_ours(venv):
        if not reason:
            return say("The course has changed since .venv was made. Bringing it up to date.")
        say("The .venv here cannot be used (%s). Making it anew." % reason)
        about = find_python(asked)
        empty(venv)
        return create(venv, about)

    if not reason:
        return say("Installing into the .venv that you made.")
    say("The .venv here cannot be used (%s)." % reason)
    about = find_python(asked)
    say("It was not made by this program, so it is kept, as %s." % move_aside(venv))
    return create(venv, about)


# ---------------------------------------------------------------- installing


def pinned_torch(root):
    """The exact version of PyTorch in constraints.txt."""
    found = re.search(r"^torch==(\S+)", read(root, "constraints.txt"), re.MULTILINE)
    if not found:
        raise Problem("constraints.txt names no version of torch.")
    return found.group(1)


def choose_torch(root):
    """The version of PyTorch to install and the constraints to install under.

    A PyTorch that is already in somebody's own environment stays, whichever it is: to replace
    it could mean to download gigabytes that its owner took care to avoid.
    """
    venv = os.path.join(root, ".venv")
    pinned = pinned_torch(root)
    code, output = run_quietly(
        [venv_python(venv), "-c", "import importlib.metadata as m; print(m.version('torch'))"]
    )
    present = output.strip() if code == 0 else pinned
    if is_ours(venv) or present.split("+")[0] == pinned:
        return pinned, "constraints.txt"
    say(
        "PyTorch %s is in it and stays. The course is tested with %s; numbers may differ a little."
        % (present, pinned)
    )
    constraints = os.path.join(".venv", "course-constraints.txt")
    text = read(root, "constraints.txt").replace("torch==" + pinned, "torch==" + present, 1)
    write(text, root, constraints)
    return present, constraints


def last_line(path):
    """The last line that a running install wrote to its log."""
    with io.open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else ""


def run_logged(command, log, cwd):
    """Run a command of minutes with its output in the file `log`; now and then say where it is."""
    start = time.time()
    hint = 30
    with io.open(log, "ab") as file:
        # The file descriptor of the lock goes along (close_fds=False): if we are killed, pip
        # may live on, and the next run then waits for it.
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=cwd, close_fds=False
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.time() - start > hint:
                    say("  %3d s  %.90s" % (time.time() - start, last_line(log)))
                    hint += 30
        except BaseException:
            process.terminate()
            process.wait()
            raise
    return process.returncode


def explain(log):
    """What went wrong in an install, as far as its log tells."""
    text = read_log(log)
    tail = "\n".join("  | %.160s" % line for line in text.strip().splitlines()[-12:])
    causes = [
        ("No space left on device", "The disk is full."),
        (
            "Retrying (Retry(total=0",
            "The package index could not be reached. Is there a network? "
            "A proxy goes into the variable HTTPS_PROXY.",
        ),
        ("Permission denied", "A file could not be written."),
    ]
    cause = [meaning for sign, meaning in causes if sign in text][:1]
    return "\n".join(["The install failed. The end of %s:" % log, tail] + cause)


def read_log(log):
    with io.open(log, encoding="utf-8", errors="replace") as file:
        return file.read()


def install(root):
    """Install the course with its pinned versions into `.venv`, then stamp it."""
    venv = os.path.join(root, ".venv")
    python = venv_python(venv)
    log = os.path.join(venv, LOG_NAME)
    stamp = os.path.join(venv, STAMP_NAME)
    for path in (stamp, log):
        if os.path.exists(path):
            os.remove(path)

    torch, constraints = choose_torch(root)
    say("Installing the pinned versions. This takes minutes. Log: .venv/%s" % LOG_NAME)
    start = time.time()
    # PyTorch is named exactly, in the same command as the rest: an index or a folder of wheels
    # that offers a CPU build of just that version is then taken at its word.
    what = ["-c", constraints, "torch==" + torch, "-e", ".[%s]" % EXTRAS]
    if run_logged([python] + PIP_INSTALL + what, log, root) != 0:
        raise Problem(explain(log) + "\nRun the same command again once that is put right.")
    write(json.dumps(wanted_stamp(root, probe([python])), indent=1) + "\n", stamp)
    say("Installed in %d s." % (time.time() - start))


def lock(root):
    """Wait until no other run is at work on `.venv`. The lock goes when the file is closed."""
    file = io.open(os.path.join(root, ".venv.lock"), "a")  # noqa: SIM115 - held by the caller
    waited = False
    while True:
        try:
            if os.name == "nt":
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if hasattr(os, "set_inheritable"):
                os.set_inheritable(file.fileno(), True)
            return file
        except (IOError, OSError) as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return file  # a file system without locks
        if not waited:
            say("Another run is at work on .venv. Waiting for it.")
            waited = True
        time.sleep(0.5)


def freeze(root, asked=""):
    """Write constraints.txt anew: what pip takes today beside the pinned PyTorch.

    The oldest Python decides, down to the third number: what it can install, newer ones can too.
    """
    torch = pinned_torch(root)
    about = find_python(asked or "python%d.%d" % SUPPORTED[0])
    folder = tempfile.mkdtemp(prefix="course-freeze-")
    try:
        venv = os.path.join(folder, "venv")
        log = os.path.join(folder, LOG_NAME)
        create(venv, about)
        python = venv_python(venv)
        say("Installing today's releases. This takes minutes. Log: %s" % log)
        what = ["torch==" + torch, ".[%s]" % EXTRAS]
        if run_logged([python] + PIP_INSTALL + what, log, root) != 0:
            raise Problem(explain(log))
        code, output = run_quietly([python, "-m", "pip", "freeze", "--all"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # A CUDA build of PyTorch brings parts of its own, whose versions it fixes itself.
    left_out = re.compile(r"(pip|torch|triton|(nvidia|cuda)-[\w-]+)==")
    lines = [line for line in output.splitlines() if "==" in line and not left_out.match(line)]
    header = FREEZE_HEADER % full_version(about)
    write("\n".join([header + "torch==" + torch] + lines) + "\n", root, "constraints.txt")
    say("constraints.txt: %d versions." % (len(lines) + 1))


def main(arguments):
    """Returns the exit code."""
    asked = ""
    if "--python" in arguments[:-1]:
        asked = arguments[arguments.index("--python") + 1]
    try:
        if "--freeze" in arguments:
            freeze(ROOT, asked)
        elif not is_ready(ROOT, asked):
            with lock(ROOT):
                # Another run may have done it while this one waited.
                if not is_ready(ROOT, asked):
                    prepare(ROOT, asked)
                    install(ROOT)
    except Problem as problem:
        sys.stdout.flush()
        sys.stderr.write("\n%s\n" % problem)
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. The next run starts the install again.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
