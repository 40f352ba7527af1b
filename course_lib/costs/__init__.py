"""Costs: what a sparse network takes in bytes, multiply–adds and milliseconds.

A zero saves nothing by itself. It saves bytes if a format leaves it out, and the format then has to
say where the others are; it saves time if a kernel skips it, and to skip takes time too. So bytes
are counted on arrays that are really made, and times are measured side by side.
"""

from course_lib.costs.speed import (
    KERNELS,
    break_even_in_time,
    kernel,
    latency,
    latency_by_density,
    multiply_adds,
    ratio,
    summary,
)
from course_lib.costs.storage import (
    FORMATS,
    break_even_in_bytes,
    decode,
    encode,
    load,
    n_bytes,
    save,
    sizes,
)

__all__ = [  # in the order of the API page
    "FORMATS",
    "KERNELS",
    # bytes
    "encode",
    "decode",
    "n_bytes",
    "break_even_in_bytes",
    "sizes",
    "save",
    "load",
    # time
    "multiply_adds",
    "kernel",
    "latency",
    "ratio",
    "summary",
    "latency_by_density",
    "break_even_in_time",
]
