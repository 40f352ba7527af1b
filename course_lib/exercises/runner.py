"""The runner: sends a learner's function to the worker, waits, and ends the worker if it must.

What is right is decided on this side, where the learner's function never runs.
"""

import contextlib
import inspect
import linecache
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from course_lib.exercises import values, worker
from course_lib.exercises.report import Report

SECONDS = 5.0  # for all calls of one check together
SECONDS_TO_START = 120.0  # importing PyTorch, on a slow or busy machine
MEGABYTES = 512  # above what the idle worker has
LOOK_EVERY = 0.02  # seconds
MOST_LINES = 4  # of a traceback


class Fault(Exception):
    """A learner's function gave no answer that could be compared; `report()` says why."""

    def __init__(self, message: str, got: str = "", outcome: str = "failed"):
        super().__init__(message)
        self.message, self.got, self.outcome = message, got, outcome

    def report(self, tried: str = "", arguments: tuple = ()) -> Report:
        """Return the report of it, with what was tried on which arguments."""
        if self.outcome == "not attempted":
            return Report(self.outcome)
        return Report("failed", tried, self.got, message=self.message, arguments=arguments)


class Runner:
    """Keeps one warm worker process, and starts another where one had to be ended.

    Args:
        seconds: that a learner's function may take in one check, all calls together.
        megabytes: that it may use beyond what the worker has when idle.
    """

    def __init__(self, seconds: float = SECONDS, megabytes: int = MEGABYTES):
        self.seconds, self.most_memory = seconds, megabytes * 2**20
        self._process = self._connection = self._watched = None
        self._ready = False
        self._holds = None  # whose function the worker has

    def start(self) -> None:
        """Start the worker if there is none, without waiting until it is ready."""
        if self._process is not None and self._process.is_alive():
            return
        self.stop()
        # "spawn" is the one way that works alike on Linux, macOS and Windows, and the one that is
        # safe in a notebook's kernel, which has threads.
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=worker.main, args=(other, self.most_memory), daemon=True
        )
        with _deaf_to_interrupts():
            self._process.start()
        other.close()

    def stop(self) -> None:
        """End the worker and whatever it started."""
        if self._process is not None and self._process.is_alive():
            try:
                for child in psutil.Process(self._process.pid).children(recursive=True):
                    child.kill()
            except psutil.Error:
                pass  # it was quicker
            self._process.kill()
            self._process.join(10)
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = self._watched = self._holds = None
        self._ready = False

    def remote(self, function: Callable) -> "Remote":
        """Return a function that looks the same and runs in the worker.

        Raises:
            Fault: if the function cannot be sent there.
        """
        try:
            code = cloudpickle.dumps(function)
        except Exception as error:
            raise Fault(
                "Your function cannot be sent to the process that runs it. Does it use something "
                "from outside itself, such as an open file? Hand it over as an argument, or make "
                f"it inside. ({type(error).__name__}: {error})"
            ) from error
        file = getattr(getattr(function, "__code__", None), "co_filename", "")
        if Path(file).parent == Path(__file__).parent:  # a report never shows a line of ours
            file = ""
        try:
            names = tuple(inspect.signature(function).parameters)
        except (TypeError, ValueError):  # some built-in functions have no signature
            names = ()
        return Remote(self, code, file, names)

    def ask(self, message: bytes, seconds: float) -> tuple:
        """Send a message to the worker; return its answer, plain data.

        Raises:
            Fault: if the worker took too long or too much memory, ended, or sent anything else.
        """
        try:
            connection = self._warm()
            try:
                connection.send_bytes(message)
            except OSError as error:
                raise Fault("The process that runs your function is gone. Try again.") from error
            return self._wait(connection, time.monotonic() + seconds)
        except BaseException:
            self.stop()  # also when the learner presses stop: what it is doing now is unknown
            raise

    def _warm(self) -> Connection:
        self.start()
        if not self._ready:
            if not self._connection.poll(SECONDS_TO_START):
                raise Fault("The process that runs your function did not start. Try again.")
            try:
                self._connection.recv_bytes()
            except (EOFError, OSError) as error:
                raise Fault(
                    "The process that runs your function ended as it started. In a script, put "
                    "the call under `if __name__ == '__main__':`; in a notebook, restart the "
                    "kernel."
                ) from error
            self._watched = psutil.Process(self._process.pid)
            self._idle = _memory(self._watched)
            self._ready = True
        return self._connection

    def _wait(self, connection: Connection, deadline: float) -> tuple:
        while not connection.poll(LOOK_EVERY):
            try:
                too_much = _memory(self._watched) - self._idle > self.most_memory
            except psutil.Error:
                continue  # it has ended: the next look finds the closed connection
            if too_much:
                raise self.out_of_memory()
            if time.monotonic() > deadline:
                raise self.out_of_time()
        try:
            return values.loads(connection.recv_bytes(2 * values.MOST_BYTES))
        except EOFError as error:
            self._process.join(10)
            raise Fault(
                "Your function ended the process that it ran in "
                f"({_how_it_ended(self._process.exitcode)}). Does it call os._exit, or call itself "
                "without an end?"
            ) from error
        except (OSError, ValueError) as error:
            raise Fault("Your function made its process send what nobody can read.") from error

    def out_of_time(self) -> Fault:
        """Return the fault of a function that took longer than it may."""
        return Fault(
            f"Your function was stopped after {self.seconds:g} seconds. Does a loop never end?",
            got="no answer in time",
        )

    def out_of_memory(self) -> Fault:
        """Return the fault of a function that used more memory than it may."""
        return Fault(
            f"Your function was stopped: it asked for more than {self.most_memory >> 20} MB of "
            "memory. The inputs are small; is a shape or a loop wrong?",
            got="no answer within the memory limit",
        )


@dataclass(eq=False)
class Remote:
    """A learner's function, run in the worker. Calling it returns a value or raises `Fault`."""

    runner: Runner
    code: bytes
    file: str
    names: tuple[str, ...]
    printed: str = ""
    _left: float = field(init=False)

    def __post_init__(self):
        self._left = self.runner.seconds

    def __call__(self, *arguments: Any) -> Any:
        if self._left <= 0:
            raise self.runner.out_of_time()
        self.runner._warm()
        code = None if self.runner._holds is self else self.code
        message = cloudpickle.dumps((code, cloudpickle.dumps(arguments)))
        self.runner._holds = self
        start = time.monotonic()
        answer = self.runner.ask(message, self._left)
        self._left -= time.monotonic() - start
        try:
            kind, *rest, printed = answer
            self.printed += str(printed)
            if kind == "returned":
                return self._value(*rest)
            if kind == "raised":
                raise self._raised(*rest)
            if kind == "large":
                raise Fault("Your function returned far more than the exercise asks for.")
            raise ValueError(kind)
        except (TypeError, ValueError) as error:
            raise Fault("Your function made its process send what nobody can read.") from error

    def _value(self, data: tuple, changed: list[int]) -> Any:
        value = values.decode(data)
        if value is ...:
            raise Fault("", outcome="not attempted")
        if changed:
            names = dict(enumerate(self.names))
            places = " and ".join(names.get(place, f"number {place + 1}") for place in changed)
            raise Fault(
                f"Your function changed its input in place: {places}. Whoever called it still "
                "needs that. Work on a copy, or make a new tensor."
            )
        return value

    def _raised(self, kind: str, text: str, frames: list) -> Fault:
        if kind == "NotImplementedError":
            return Fault("", outcome="not attempted")
        if "MemoryError" in kind or "DefaultCPUAllocator" in text:
            return self.runner.out_of_memory()
        if kind == "SystemExit":
            return Fault("Your function called sys.exit. It should return its answer.")
        error = f"{kind}: {text}" if text else str(kind)
        if kind == "RecursionError":
            error += ". A function that calls itself needs a case in which it does not"
        lines = self._own_lines(frames)
        return Fault(f"Your function raised {error}.", got="\n".join(lines))

    def _own_lines(self, frames: list) -> list[str]:
        """Return the learner's own lines of a traceback, the last ones first called.

        The worker names files and lines only; what stands there is looked up here. A line is shown
        if it is of the function's own file or of a cell, which no file on disk holds. So nobody
        gets to see another file by it.
        """
        own = [
            (str(file), int(line), str(name))
            for file, line, name in frames
            if file == self.file or linecache.cache.get(file, (0, 0))[1:2] == (None,)
        ]
        shown = [
            f"line {line}, in {name}: {linecache.getline(file, line).strip()}".rstrip(": ")
            for file, line, name in own[-MOST_LINES:]
        ]
        return (["…"] if len(own) > MOST_LINES else []) + shown


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started within does not hear Ctrl-C, or that a kernel is stopped or ends.

    These reach a whole group of processes. The worker says that they are not for it once it has
    imported what it needs, and would leave a traceback before that. Windows has no such mask.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starts with the first worker, and then lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _memory(process: psutil.Process) -> int:
    """Return the bytes that a process has or was promised, whichever is more."""
    info = process.memory_info()
    return max(info.rss, getattr(info, "data", 0), getattr(info, "private", 0))


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
