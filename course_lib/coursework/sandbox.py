"""The sandbox: a process that sees neither the network nor files, and ends when it takes too much.

On Linux bubblewrap builds it: a process space, a network, a host name and a user of its own; the
system, Python and this package read-only; folders in memory that are gone afterwards; and one
folder on disk for sockets. The limits of `resource` hold inside, and `Watch` looks from outside,
because a limit on processes does not bind root.

What it cannot resist is a hole in the kernel of the operating system, or one in bubblewrap. Where
there is no bubblewrap the limits and the watch remain, and a student's code can read and write
what the grading user can.
"""

import contextlib
import functools
import os
import shutil
import site
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

import course_lib
from course_lib.coursework import inside

MEGABYTE = 2**20
LOOK_EVERY = 0.1  # seconds
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives")
SYSTEM += ("/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/nix/store")
MOST_THREADS = 1_024
# Inside the sandbox. No folder of a real machine has such a name: what lies below it, perhaps an
# environment, would be out of sight.
LIBRARY, WORK, FILES = "/sandbox-library", "/sandbox-work", "/sandbox-files"
NOBODY = "65534"


@dataclass(frozen=True)
class Limits:
    """What one submission may take.

    Args:
        seconds: for the whole submission.
        cell_seconds: for one cell.
        answer_seconds: for all calls of one answer that the judge makes.
        megabytes: of memory, for the kernel with all that it starts.
        processes: at once.
        file_megabytes: of files written.
        output_bytes: of text kept for one cell. What is beyond is left out.
        notebook_megabytes: of a notebook and of each file beside it; a larger one is not read.

    Raises:
        ValueError: if one of them is not above 0.
    """

    seconds: float = 300.0
    cell_seconds: float = 60.0
    answer_seconds: float = 10.0
    megabytes: int = 2_048
    processes: int = 96
    file_megabytes: int = 64
    output_bytes: int = 50_000
    notebook_megabytes: int = 10

    def __post_init__(self):
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0; got {value!r}")

    def as_text(self) -> str:
        """Return the limits as `inside` takes them."""
        found = {
            "DATA": self.megabytes * MEGABYTE,
            "CPU": int(self.seconds) + 1,
            "FSIZE": self.file_megabytes * MEGABYTE,
            "CORE": 0,
            "NOFILE": 512,
        }
        if protection() == "bubblewrap":
            # Threads count too, and on older systems all that the grading user runs: it only
            # slows a flood until the watch sees it.
            found["NPROC"] = MOST_THREADS
        return ",".join(f"{name}={value}" for name, value in found.items())


@functools.cache
def protection() -> str:
    """Return "bubblewrap" if it works here, else "limits", or "none" on Windows."""
    if shutil.which("bwrap"):
        tried = subprocess.run(
            [*_bubblewrap(), sys.executable, "-c", ""],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        if tried.returncode == 0:
            return "bubblewrap"
    return "none" if os.name == "nt" else "limits"


def command(
    arguments: Sequence[str],
    limits: Limits,
    bound: str | Path | None = None,
    files: str | Path | None = None,
    hidden: Sequence[str | Path] = (),
    environment: dict[str, str] | None = None,
) -> list[str]:
    """Return the command that starts `inside` with these arguments in a sandbox.

    Args:
        arguments: of `inside`, after the limits.
        limits: what it may take.
        bound: a folder that it may write to, under its own path.
        files: a folder whose copy it starts with.
        hidden: folders that it must not see, even if they lie below Python or the system.
        environment: variables, besides the few that it always has.
    """
    start = [limits.as_text(), *arguments]
    if protection() != "bubblewrap":
        return [sys.executable, "-P", inside.__file__, *start]
    size = str(limits.file_megabytes * MEGABYTE)
    made = _bubblewrap()
    for place in hidden:
        if any(Path(place).resolve().is_relative_to(seen) for seen in _seen()):
            made += ["--tmpfs", str(Path(place).resolve())]
    made += ["--size", size, "--tmpfs", WORK, "--chdir", WORK]
    if files is not None:
        made += ["--ro-bind", str(files), FILES, "--setenv", inside.FILES, FILES]
    if bound is not None:
        made += ["--bind", str(bound), str(bound)]
    for name, value in (environment or {}).items():
        made += ["--setenv", name, value]
    script = f"{LIBRARY}/course_lib/coursework/{Path(inside.__file__).name}"
    return [*made, sys.executable, "-P", script, *start]


def start(
    arguments: Sequence[str],
    limits: Limits,
    descriptors: Sequence[int] = (),
    hidden: Sequence[str | Path] = (),
) -> subprocess.Popen:
    """Start `inside` in a sandbox, with open descriptors handed on. Its output goes nowhere."""
    return subprocess.Popen(
        command(arguments, limits, hidden=hidden),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
    )


def end(root: int) -> None:
    """Kill a process and all that it started."""
    try:
        process = psutil.Process(root)
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in family:
        with contextlib.suppress(psutil.Error):  # it was quicker
            one.kill()


class Watch:
    """Looks at sandboxes from outside and ends one that takes too much.

    Args:
        limits: of which it watches memory, processes and files.
        folder: the folder on disk that the sandbox can write to.
    """

    def __init__(self, limits: Limits, folder: str | Path | None = None):
        self.limits, self.folder = limits, folder
        self.reasons: dict[int, str] = {}
        self._roots: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def add(self, root: int) -> None:
        """Watch the process with this id and all that it starts."""
        self._roots.add(root)

    def remove(self, root: int) -> None:
        """Watch a process no more."""
        self._roots.discard(root)

    def close(self) -> None:
        """Watch nothing any more."""
        self._stop.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            for root in list(self._roots):
                reason = self._too_much(root)
                if reason:
                    self.reasons[root] = reason
                    self._roots.discard(root)
                    end(root)

    def _too_much(self, root: int) -> str:
        try:
            family = psutil.Process(root).children(recursive=True)
        except psutil.Error:
            return ""
        if len(family) > self.limits.processes:
            return f"it started more than {self.limits.processes} processes"
        total = 0
        for one in family:
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
        # What several processes share is counted for each of them.
        if total > (self.limits.megabytes + 512) * MEGABYTE:
            number = f"its {len(family)} processes" if len(family) > 4 else "it"
            return f"{number} took more than {self.limits.megabytes} MB of memory"
        if self.folder is not None and _size(self.folder) > self.limits.file_megabytes * MEGABYTE:
            return f"it wrote more than {self.limits.file_megabytes} MB of files"
        return ""


def wait(process: subprocess.Popen, seconds: float) -> None:
    """Wait until a process has ended, no longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _size(folder: str | Path) -> int:
    try:
        entries = list(os.scandir(folder))
        # An entry counts for a block at least, so that many empty files end too.
        return sum(max(e.stat(follow_symlinks=False).st_size, 4096) for e in entries)
    except OSError:
        return 0


@functools.cache
def _seen() -> tuple[Path, ...]:
    """Return the folders that a sandbox can read: the system, and Python with its packages."""
    found = [Path(place) for place in SYSTEM if Path(place).exists()]
    found += [Path(sys.prefix), Path(sys.base_prefix)]
    if site.ENABLE_USER_SITE and Path(site.getusersitepackages()).is_dir():
        found.append(Path(site.getusersitepackages()))
    return tuple(dict.fromkeys(place for place in found if place != Path("/")))


@functools.cache
def _fonts() -> list[Path]:
    """Return Matplotlib's files with its list of fonts, which takes a second to make anew."""
    import matplotlib.font_manager  # which writes the list

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def _bubblewrap() -> list[str]:
    memory = ["--size", str(64 * MEGABYTE), "--tmpfs"]
    made = ["bwrap", "--unshare-all", "--unshare-user", "--uid", NOBODY, "--gid", NOBODY]
    made += ["--hostname", "course", "--die-with-parent", "--new-session", "--clearenv"]
    made += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", *memory, "/dev/shm"]
    made += [*memory, "/tmp"]
    for place in _seen():
        made += ["--ro-bind", str(place), str(place)]
    package = str(Path(course_lib.__file__).resolve().parent)
    made += ["--ro-bind", package, f"{LIBRARY}/course_lib"]
    made += ["--dir", "/tmp/matplotlib"]
    for path in _fonts():
        made += ["--ro-bind", str(path), f"/tmp/matplotlib/{path.name}"]
    variables = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin")),
        "PYTHONPATH": LIBRARY,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for name, value in variables.items():
        made += ["--setenv", name, value]
    return made
