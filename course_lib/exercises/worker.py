"""The worker: a process of its own that runs learners' functions and does nothing else.

It may hang, crash or eat memory, and `runner` then ends it. It never learns what the right answer
is: it gets a function and arguments, and sends back what the function returned.
"""

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection, wait

import psutil
import torch

from course_lib.exercises import values

MOST_PRINTED = 2_000
MOST_FRAMES = 2_000


def main(connection: Connection, most_memory: int) -> None:
    """Answer until the other side is gone.

    Each message is `(function or None, arguments)`, two pickles; without a function, the last one
    is called again, so that what it remembers between calls is seen.

    Each answer is plain data: `("returned", value, changed, printed)`, where `changed` lists the
    places of the arguments that are no longer what they were, or `("raised", type, text, frames,
    printed)`, or `("large", printed)`.
    """
    _settle(most_memory)
    connection.send_bytes(values.dumps("ready"))
    function = None
    while True:
        try:
            code, arguments = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        printed = _Printed()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                function = function if code is None else pickle.loads(code)
                answer = _call(function, pickle.loads(arguments))
            except values.TooLarge:
                answer = ("large",)
            except BaseException as error:
                answer = ("raised", type(error).__name__, _text(error), _frames(error))
        connection.send_bytes(values.dumps((*answer, printed.text)))


def _call(function, arguments: tuple) -> tuple:
    before = [values.dumps(values.encode(one)) for one in arguments]
    result = values.encode(function(*arguments))
    after = [values.dumps(values.encode(one)) for one in arguments]
    pairs = enumerate(zip(before, after, strict=True))
    return ("returned", result, [place for place, (old, new) in pairs if old != new])


def _settle(most_memory: int) -> None:
    """Make the process one that can be left alone with a learner's function."""
    torch.set_num_threads(1)
    # The first optimiser of a process imports for seconds, which are not the learner's.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    # The stop button of a notebook, or Ctrl-C, is for the process that waits for this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Output that does not pass through sys.stdout, such as that of C code, has no place to go.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):
        os.dup2(nowhere, standard)
    # If the notebook's kernel dies, an endless loop here must not outlive it.
    parent = multiprocessing.parent_process()
    if parent is not None:  # a sandbox sees no parent and ends with it by itself
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    if sys.platform == "linux":
        import resource

        # Then a large allocation fails at once, even before it is filled. Elsewhere, and against
        # whoever lifts this limit again, `runner` watches from outside.
        most = psutil.Process().memory_info().data + most_memory
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _text(error: BaseException) -> str:
    try:
        return str(error)[: values.LONGEST_TEXT]
    except Exception:
        return ""


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    """Return (file, line, function) for each call that led to the error, without any source."""
    frames = traceback.walk_tb(error.__traceback__)
    found = [(f.f_code.co_filename, line, f.f_code.co_name) for f, line in frames]
    return found[-MOST_FRAMES:]


class _Printed(io.TextIOBase):
    """Takes what is printed and keeps its beginning."""

    def __init__(self):
        super().__init__()
        self.text = ""

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Keep the text as far as there is room, and return its length."""
        if len(self.text) <= MOST_PRINTED:  # one character more tells that something was cut
            self.text += text[: MOST_PRINTED + 1 - len(self.text)]
        return len(text)
