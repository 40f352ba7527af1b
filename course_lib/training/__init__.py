"""Training: a loop that can be read, and the same experiment over many seeds.

`fit` trains one network or a `networks.stack` of them. `replicate` runs a function over seeds and
settings, side by side, and returns one tidy table.
"""

from course_lib.training.fitting import (
    PADDING,
    Fit,
    accuracy,
    cosine,
    default_device,
    evaluate,
    fit,
)
from course_lib.training.replicates import ReplicateError, replicate

__all__ = [  # in the order of the API page
    "PADDING",
    "default_device",
    "Fit",
    "fit",
    "evaluate",
    "accuracy",
    "cosine",
    "ReplicateError",
    "replicate",
]
