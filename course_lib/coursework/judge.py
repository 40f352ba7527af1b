"""The judge: decides outside the sandbox whether an answer is right.

In the student's kernel a hidden test sends the function here, as bytes. The judge hands them to a
worker in a sandbox of its own, without reading them, and compares what comes back with what is
right. So neither the reference nor the hidden inputs' answers are ever in a process of the
student's, and nothing that the student's kernel says is believed.
"""

import inspect
import linecache
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from course_lib.coursework import sandbox
from course_lib.coursework.personal import course_key, hidden_seed, parameters
from course_lib.coursework.questions import Question
from course_lib.exercises import Fault, Remote, Report, Runner, values

JUDGE = "COURSE_JUDGE"  # names the judge's socket in the environment of a kernel
MOST_BYTES = 32 * 2**20
SECONDS_TO_SEND = 5.0
LONGEST_SOURCE = 100_000


def ask(name: str, question: str, function: Callable) -> tuple[str, str]:
    """Send an answer to the judge; return `(outcome, text)`. This runs in the student's kernel.

    Args:
        name: of the set.
        question: its id.
        function: the student's.

    Raises:
        OSError: if there is no judge any more.
    """
    if not callable(function):
        return "failed", f"{question} should be a function; it is {function!r:.100}."
    try:
        code = cloudpickle.dumps(function)
    except Exception as error:
        return "failed", (
            "Your function cannot be sent to the process that runs it. Does it use something from "
            f"outside itself, such as an open file? ({type(error).__name__}: {error})"
        )
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    # The judge has no cells; their lines make its messages readable.
    source = "".join(linecache.getlines(file))[:LONGEST_SOURCE]
    with Client(os.environ[JUDGE]) as connection:
        connection.send_bytes(values.dumps((name, question, code, file, source, names)))
        outcome, text = values.loads(connection.recv_bytes())
    return outcome, text


class SandboxedRunner(Runner):
    """A runner whose worker is in a sandbox.

    Args:
        limits: of the submission.
        watch: looks at the worker from outside.
        hidden: folders that the worker must not see.
    """

    def __init__(
        self,
        limits: sandbox.Limits,
        watch: sandbox.Watch,
        hidden: Sequence[str | Path] = (),
    ):
        super().__init__(limits.answer_seconds)
        self._limits, self._watch, self._hidden = limits, watch, hidden

    def start(self) -> None:
        """Start the worker if there is none, without waiting until it is ready."""
        if self._process is not None and self._process.is_alive():
            return
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = ["worker", str(theirs.fileno()), str(self.most_memory)]
            self._process = _Process(
                sandbox.start(arguments, self._limits, [theirs.fileno()], self._hidden)
            )
        self._connection = Connection(ours.detach())
        self._watch.add(self._process.pid)

    def stop(self) -> None:
        """End the worker and whatever it started."""
        if self._process is not None:
            self._watch.remove(self._process.pid)
        super().stop()

    def _warm(self) -> Connection:
        ready = self._ready
        connection = super()._warm()
        if not ready:  # the process to look at is the innermost, not the one that shuts it in
            family = psutil.Process(self._process.pid).children(recursive=True)
            if family:
                self._watched = family[-1]
                self._idle = self._watched.memory_info().rss
        return connection


class _Process:
    """A started sandbox, with the names and the meaning of `multiprocessing.Process`."""

    def __init__(self, started: subprocess.Popen):
        self._started, self.pid = started, started.pid

    def is_alive(self) -> bool:
        """Say whether it still runs."""
        return self._started.poll() is None

    def kill(self) -> None:
        """End it, with all that it started."""
        sandbox.end(self.pid)

    def join(self, seconds: float) -> None:
        """Wait for its end, at most so many seconds."""
        sandbox.wait(self._started, seconds)

    @property
    def exitcode(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._started.poll()


class Judge:
    """Judges the answers of one submission.

    Only the question whose test runs now can be answered, and only once, so nobody gains by asking
    again.

    Args:
        name: of the set.
        student: whose submission it is, by the folder that it was handed in under.
        questions: of the set, by id.
        secret: the instructor's.
        address: of the socket to listen at, or None for one that the system chooses.
        runner: runs the answers.
    """

    def __init__(
        self,
        name: str,
        student: str,
        questions: dict[str, Question],
        secret: bytes,
        address: str | None,
        runner: Runner,
    ):
        self.name, self.student, self.questions = name, student, questions
        self.reports: dict[str, Report] = {}
        self.current: str | None = None
        self._secret, self._runner = secret, runner
        self._mine = parameters(name, student, course_key(secret))
        self._listener = Listener(address)
        self.address = self._listener.address
        self._lock = threading.Lock()  # the worker answers one at a time
        threading.Thread(target=self._serve, daemon=True).start()

    def examine(self, question: str, code: bytes, file: str, names: tuple[str, ...]) -> Report:
        """Run an answer on the hidden inputs and return the report."""
        exercise = self.questions[question].exercise(self._mine)
        remote = Remote(self._runner, code, file, names)
        try:
            seed = hidden_seed(self._secret, self.name, question, self.student)
            report = exercise.check(remote, seed)
        except Fault as fault:
            report = fault.report()
        # Inputs stay here: they are large, and no student can call the judge a second time.
        return replace(report, title=exercise.title, printed=remote.printed, arguments=())

    def close(self) -> None:
        """Listen no more and end the worker."""
        self.current = None
        self._listener.close()
        with self._lock:
            self._runner.stop()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return  # closed
            with connection:
                try:
                    answer = self._answer(_received(connection))
                    connection.send_bytes(values.dumps(answer))
                except (EOFError, OSError, TypeError, ValueError):
                    pass  # no answer of ours would help who sends this

    def _answer(self, message: tuple) -> tuple[str, str]:
        name, question, code, file, source, names = message
        if name != self.name or question != self.current or type(code) is not bytes:
            return "failed", f"The judge waits for {self.current!r} of {self.name!r} now."
        with self._lock:
            if question not in self.reports:
                file = _remembered(str(file), str(source))
                names = tuple(str(one) for one in names)
                self.reports[question] = self.examine(question, code, file, names)
        report = self.reports[question]
        return report.outcome, str(report)


def _received(connection: Connection) -> Any:
    if not connection.poll(SECONDS_TO_SEND):
        raise EOFError("nothing came")
    return values.loads(connection.recv_bytes(MOST_BYTES))


def _remembered(file: str, source: str) -> str:
    """Keep the lines of a cell under its file's name, so that no such file is ever read.

    Returns:
        The name, or nothing for the name of a file that is on this disk or was read from it.
    """
    if not source or Path(file[:255]).exists() or file in linecache.cache:
        return ""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return file
