"""What runs first in a student's process: it takes the limits, then becomes a kernel or a worker.

A script of the standard library alone. It is started by its path and not as a module, so that the
limits stand before anything else is imported.

    python -P inside.py LIMITS kernel -f CONNECTION_FILE
    python -P inside.py LIMITS worker DESCRIPTOR BYTES

`LIMITS` is `name=number,...` with names of `resource` without "RLIMIT_".
"""

import contextlib
import os
import shutil
import sys

FILES = "COURSE_FILES"  # the folder of what was handed in beside the notebook


def take_limits(text):
    """Set limits that the process cannot lift again, as far as the system has them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        kind, value = getattr(resource, f"RLIMIT_{name}", None), int(value)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS takes some of them in name only
            resource.setrlimit(kind, (value, value))


def main(limits, role, *arguments):
    """Take the limits, then become what `role` says."""
    take_limits(limits)
    files = os.environ.get(FILES)
    if files and os.path.isdir(files):  # where students write, their files lie as copies
        shutil.copytree(files, os.getcwd(), dirs_exist_ok=True)
    if role == "kernel":
        from ipykernel.kernelapp import launch_new_instance

        sys.argv = ["kernel", *arguments]
        launch_new_instance()
    else:
        from multiprocessing.connection import Connection

        from course_lib.exercises import worker

        descriptor, most_memory = map(int, arguments)
        worker.main(Connection(descriptor), most_memory)


if __name__ == "__main__":
    main(*sys.argv[1:])
