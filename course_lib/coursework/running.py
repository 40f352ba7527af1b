"""Run one submission: its cells in a sandboxed kernel, its answers before the judge.

Of what the kernel says, only outputs are kept, to be read by people. Marks come from the judge.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.kernelspec import KernelSpec
from nbformat import NotebookNode

from course_lib.coursework import inside, sandbox
from course_lib.coursework.judge import JUDGE, Judge, SandboxedRunner
from course_lib.coursework.questions import load

TESTS = "-tests"  # the end of a grade_id of a cell that the judge decides
LOOK_EVERY = 0.25  # seconds
SECONDS_TO_START = 90.0
SECONDS_TO_STOP = 10.0  # that an interrupted cell gets
MOST_IMAGES = 5_000_000  # characters in one notebook
GRADER_MEGABYTES = 4_096
SHOWN = ("text/plain", "text/markdown", "text/latex", "image/png")


BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


class Stopped(Exception):
    """A kernel cannot go on; the text says why."""


@dataclass
class Outcome:
    """What came of one submission: plain data, which travels between processes.

    Args:
        outputs: of each cell, by its place.
        verdicts: `(outcome, text)` by question. A question that never reached the judge is missing.
        notes: sentences about what went wrong, for the student and the instructor.
        seconds: that it took.
    """

    outputs: dict[int, list[dict]] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(
    notebook: NotebookNode,
    name: str,
    student: str,
    course: str | Path,
    secret: bytes,
    limits: sandbox.Limits,
    files: str | Path | None = None,
) -> dict[str, Any]:
    """Run a notebook and judge its answers; return an `Outcome` as a dictionary.

    It is meant for a process of its own.

    Args:
        notebook: with the tests as the instructor wrote them.
        name: of the set.
        student: whose it is.
        course: the course's folder, with `questions/`.
        secret: the instructor's.
        limits: what it may take.
        files: a folder with the files that were handed in beside the notebook.
    """
    inside.take_limits(f"DATA={GRADER_MEGABYTES * sandbox.MEGABYTE}")
    start = time.monotonic()
    made = Outcome()
    questions = load(name, Path(course) / "questions")
    # Sockets have short names only: a folder below the course's own could be too deep.
    place = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
    watch = sandbox.Watch(limits, place)
    address = None if os.name == "nt" else str(place / "judge")
    runner = SandboxedRunner(limits, watch, [course])
    judge = Judge(name, student, questions, secret, address, runner)
    try:
        runner.start()  # PyTorch loads there and in the kernel at the same time
        with _kernel(place, limits, watch, judge.address, course, files) as kernel:
            _cells(kernel, notebook, judge, made, start + limits.seconds)
    except Stopped as stop:
        made.notes.append(str(stop))
    finally:
        judge.close()
        watch.close()
        shutil.rmtree(place, ignore_errors=True)
    made.verdicts = {q: (r.outcome, writable(r)) for q, r in judge.reports.items()}
    made.seconds = time.monotonic() - start
    return asdict(made)


@dataclass
class _Kernel:
    manager: KernelManager
    client: BlockingKernelClient
    limits: sandbox.Limits
    watch: sandbox.Watch
    images_left: int = MOST_IMAGES

    def execute(self, source: str, outputs: list[dict], deadline: float) -> str:
        """Run a cell; put what it shows into `outputs` and return what went wrong, or nothing.

        Raises:
            Stopped: if the kernel ended or cannot be interrupted.
        """
        limit = min(deadline, time.monotonic() + self.limits.cell_seconds)
        sent = self.client.execute(source, allow_stdin=False, stop_on_error=False)
        kept = [self.limits.output_bytes]
        if self._until_idle(sent, outputs, kept, limit):
            return ""
        if time.monotonic() >= deadline:
            raise Stopped(f"The notebook was stopped after {self.limits.seconds:g} seconds in all.")
        self.manager.interrupt_kernel()
        if not self._until_idle(sent, outputs, kept, time.monotonic() + SECONDS_TO_STOP):
            raise Stopped(
                f"A cell ran for more than {self.limits.cell_seconds:g} seconds and could not be "
                "interrupted. Nothing after it ran."
            )
        return f"A cell was stopped after {self.limits.cell_seconds:g} seconds."

    def _until_idle(self, sent: str, outputs: list, kept: list[int], deadline: float) -> bool:
        replied = False
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=LOOK_EVERY)
                ours = message["parent_header"].get("msg_id") == sent
                kind, content = message["msg_type"], message["content"]
                if ours and kind == "status" and content["execution_state"] == "idle":
                    return True
                if ours:
                    self._keep(kind, content, outputs, kept)
            except Empty:
                if replied or not self.manager.is_alive():
                    # A flood of output can drop the message that says "idle".
                    return replied or self._ended()
                replied = self._has_replied(sent)
            except Exception as error:
                if isinstance(error, Stopped):
                    raise
                raise Stopped(
                    "The kernel sent what nobody can read. Nothing after that ran."
                ) from error
            if time.monotonic() > deadline:
                return False

    def _has_replied(self, sent: str) -> bool:
        with contextlib.suppress(Empty):
            while True:
                reply = self.client.get_shell_msg(timeout=0)
                if reply["parent_header"].get("msg_id") == sent:
                    return True
        return False

    def _ended(self) -> bool:
        reason = self.watch.reasons.get(self.manager.provisioner.pid)
        raise Stopped(
            f"The notebook was stopped: {reason}. Nothing after that ran."
            if reason
            else "The kernel ended by itself (does a cell call os._exit, or crash?). Nothing after "
            "that ran."
        )

    def _keep(self, kind: str, content: dict, outputs: list[dict], kept: list[int]) -> None:
        if kind == "stream":
            text = _cut(content["text"], kept)
            name = "stderr" if content["name"] == "stderr" else "stdout"
            last = outputs[-1] if outputs else {}
            if last.get("output_type") == "stream" and last["name"] == name:
                last["text"] += text
            elif text:
                outputs.append({"output_type": "stream", "name": name, "text": text})
        elif kind == "error":
            lines = [_cut(line, kept) for line in content["traceback"][:200]]
            outputs.append(error_output(content["ename"], content["evalue"], lines))
        elif kind in ("display_data", "execute_result"):
            data = {}
            for form in SHOWN:
                value = content["data"].get(form)
                if not isinstance(value, str):
                    continue
                if form == "image/png":
                    self.images_left -= len(value)
                    if self.images_left > 0 and is_picture(value):
                        data[form] = value
                else:
                    data[form] = _cut(value, kept)
            # HTML and scripts of a student would run in the browser of who reads the feedback.
            if data and len(outputs) < 200:
                outputs.append({"output_type": "display_data", "data": data, "metadata": {}})


def _cells(
    kernel: _Kernel, notebook: NotebookNode, judge: Judge, made: Outcome, deadline: float
) -> None:
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        question = grade_id.removesuffix(TESTS)
        is_test = grade_id.endswith(TESTS) and question in judge.questions
        judge.current = question if is_test else None
        made.outputs[number] = outputs = []
        note = kernel.execute(cell.source, outputs, deadline)
        judge.current = None
        if note and note not in made.notes:
            made.notes.append(note)


@contextlib.contextmanager
def _kernel(
    place: Path,
    limits: sandbox.Limits,
    watch: sandbox.Watch,
    address: str,
    course: str | Path,
    files: str | Path | None,
) -> Iterator[_Kernel]:
    connection = str(place / "kernel.json")
    transport = {} if os.name == "nt" else {"transport": "ipc", "ip": str(place / "k")}
    manager = KernelManager(connection_file=connection, **transport)
    arguments = ["kernel", "-f", connection, "--HistoryManager.hist_file=:memory:"]
    environment = {JUDGE: address}
    manager._kernel_spec = KernelSpec(
        argv=sandbox.command(arguments, limits, place, files, [course], environment),
        display_name="a student's",
        language="python",
        interrupt_mode="message",
    )
    work = place / "work"  # used where there is no sandbox with a folder of its own
    work.mkdir()
    environment |= {inside.FILES: str(files)} if files else {}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COURSE_")}
    manager.start_kernel(
        env=kept | environment | {"OMP_NUM_THREADS": "1"},
        cwd=str(work),
        stdin=-3,
        stdout=-3,
        stderr=-3,
    )
    watch.add(manager.provisioner.pid)
    client = manager.blocking_client()
    client.start_channels()
    kernel = _Kernel(manager, client, limits, watch)
    try:
        try:
            client.wait_for_ready(timeout=SECONDS_TO_START)
        except RuntimeError as error:
            raise Stopped("The kernel did not start.") from error
        yield kernel
    finally:
        root = manager.provisioner.pid
        if root:
            watch.remove(root)
            sandbox.end(root)
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def error_output(name: str, text: str, lines: list[str] | None = None) -> dict:
    """Return the output of a cell that failed."""
    name, text = writable(name)[:200], writable(text)[:5_000]
    lines = [f"{name}: {text}"] if lines is None else lines
    return {"output_type": "error", "ename": name, "evalue": text, "traceback": lines}


def writable(text: object) -> str:
    """Return a text without the halves of characters that no file can hold."""
    return str(text).encode(errors="replace").decode()


def is_picture(value: object) -> bool:
    """Whether a value is base64, as pictures are in a notebook, and so no HTML."""
    return isinstance(value, str) and BASE64.fullmatch(value) is not None


def _cut(text: str, left: list[int]) -> str:
    """Return what of a text is kept; the first time that something is left out, say so."""
    if left[0] <= 0:
        return ""
    kept = writable(str(text)[: left[0]])
    left[0] -= len(kept)
    return kept if left[0] > 0 else f"{kept}\n… (the rest of this output is left out)\n"
