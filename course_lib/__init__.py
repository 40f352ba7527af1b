"""The library of *Sparse by Experiment*: each module is one subject, each function one idea.

The ground floor (`data`, `networks`, `hooks`, `training`, `seeds`, `checks`, `files`, `moments`,
`ranks`, `intervals`, `verdicts`, `arms`, `evidence`, `stored`, `display`, `figures`, `widgets`,
`exercises`) is used by every chapter, `coursework` by the problem sets; `pruning`, `tickets` and
`costs` belong to part I of the book, `superposition` and `autoencoders` to part II, `probes` to
part IV.
"""

import os
import platform
import sys
import time

__version__ = "0.1.0"


def _use_the_same_kernels_everywhere() -> None:
    """Ask for AVX2 kernels on Linux PCs, so that the same seed gives the same numbers on each.

    Left alone, PyTorch picks the widest kernels that a processor has, and these round
    differently. Networks as small as ours lose no time by it. It must happen before torch is
    imported, which is why it stands here; a setting of the user's own wins.
    """
    try:
        with open("/proc/cpuinfo") as file:
            has_avx2 = "avx2" in file.read()
    except OSError:
        return
    if has_avx2 and platform.machine() == "x86_64":
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
        os.environ.setdefault("MKL_CBWR", "AVX2")


_use_the_same_kernels_everywhere()
_started = time.perf_counter()


def setup() -> None:
    """Print the versions and the device that a notebook runs with; use one torch thread.

    Every chapter calls it in its first code cell. Networks as small as ours lose time with more
    threads, and one thread adds up in the same order everywhere. The seeds of an experiment stand
    in the chapter's protocol; no global random generator is touched.
    """
    global _started
    _started = time.perf_counter()

    import numpy
    import sklearn
    import torch

    from course_lib.training import default_device

    torch.set_num_threads(1)
    print(
        f"course_lib {__version__} · Python {platform.python_version()} · torch {torch.__version__}"
        f" · numpy {numpy.__version__} · scikit-learn {sklearn.__version__}"
    )
    print(
        f"device {default_device()} · {os.cpu_count()} CPU cores · {sys.platform} "
        f"{platform.machine()} · seeds: in the protocol below"
    )


def elapsed() -> float:
    """Return the seconds since `setup`, with which a chapter says what its run took."""
    return time.perf_counter() - _started
