"""What is a student's own: parameters, drawn from the course's key and the student's id.

Two keys come from an instructor's secret. The course key stands in every released notebook, so a
student's notebook draws the same parameters as the grader. The seeds of the hidden inputs are
drawn from the secret itself, which stays with the instructor.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

PLAIN = (bool, int, float, str)
LONGEST_ID = 100


class Parameters:
    """What one student works with: plain numbers and texts, by name. It cannot be changed.

    Args:
        **values: numbers, texts, and tuples of them.

    Raises:
        ValueError: if a value is anything else.
    """

    def __init__(self, **values: Any):
        for name, value in values.items():
            parts = value if isinstance(value, tuple) else (value,)
            if any(type(part) not in PLAIN for part in parts):
                raise ValueError(
                    f"{name} must be a number, a text, or a tuple of them; got {value!r}"
                )
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any):
        raise AttributeError(f"{name} is drawn from your id and cannot be set")

    def __delattr__(self, name: str):
        raise AttributeError(f"{name} is drawn from your id and cannot be deleted")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.__dict__.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return "\n".join(f"mine.{name} = {value!r}" for name, value in self)


def parameters(name: str, student: str, course: str) -> Parameters:
    """Return what a student works with in a problem set.

    The same three texts give the same parameters everywhere.

    Args:
        name: the set, for example "pruning".
        student: the student's id, the name of the folder that the work is handed in under.
        course: the key that `make course` wrote into the notebook.

    Raises:
        ValueError: if there is no such set, or an id or a key that cannot be one.
    """
    if name not in DRAWS:
        raise ValueError(f"there is no problem set {name!r}; there are {list(DRAWS)}")
    if not isinstance(course, str) or not course:
        raise ValueError(
            f"course is the key that stands in the notebook, a text; got {course!r}. Take it from "
            "the notebook as it was handed out."
        )
    student = checked_id(student)
    seed = int.from_bytes(_digest(course.encode(), f"{name}/{student}"))
    return Parameters(**DRAWS[name](np.random.default_rng(seed)))


def course_key(secret: bytes) -> str:
    """Return the key of a course, which is public, from the instructor's secret."""
    return _digest(secret, "course").hex()[:32]


def hidden_seed(secret: bytes, name: str, question: str, student: str) -> int:
    """Return the seed of the hidden inputs of one question for one student, below 2³¹."""
    digest = _digest(secret, f"{name}/{question}/{checked_id(student)}")
    return int.from_bytes(digest[:4]) >> 1


def checked_id(student: str) -> str:
    """Return a student's id in one spelling of its letters.

    Raises:
        ValueError: if it cannot be the name of a folder.
    """
    what = "STUDENT is your id in this course, the name of the folder that you hand in"
    if not isinstance(student, str):
        raise ValueError(f'{what}, as a text: STUDENT = "..."; got {student!r}')
    if not student.strip(" ."):
        raise ValueError(f"{what}; got {student!r}. Ask your instructor if you do not know it.")
    bad = sorted({c for c in student if c.isspace() or c in '/\\:*?"<>|[]' or ord(c) < 32})
    if bad or len(student) > LONGEST_ID:
        raise ValueError(
            f"{what}: at most {LONGEST_ID} characters, no blank and none of "
            f'/ \\ : * ? " < > | [ ]; got {student[:LONGEST_ID]!r}'
        )
    return unicodedata.normalize("NFC", student)


def _digest(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


# --- What each set draws --------------------------------------------------------------------------


def _pruning(rng: np.random.Generator) -> dict[str, Any]:
    """Numbers of the set "pruning": networks, rates, formats and criteria."""
    start = int(rng.integers(20, 60))
    every = int(rng.integers(7, 14))
    return {
        # the student's network and data
        "fold": int(rng.integers(10)),
        "seed": int(rng.integers(1_000)),
        "hidden": (int(rng.integers(40, 64)), int(rng.integers(20, 36))),
        # masks
        "sparsity": int(rng.integers(780, 930)) / 1_000,
        "score": str(rng.choice(["absolute", "movement", "squared"])),
        # storage
        "value_bytes": int(rng.choice([2, 4, 8])),
        "index_bytes": int(rng.choice([2, 4])),
        # the schedule
        "start": start,
        "every": every,
        "end": start + every * int(rng.integers(9, 16)),
        "initial": int(rng.integers(5, 25)) / 100,
        "final": int(rng.integers(85, 97)) / 100,
        "exponent": int(rng.integers(2, 5)),
        # tickets
        "rates": tuple(int(rate) / 100 for rate in rng.permutation([31, 22, 13]) + rng.integers(4)),
        "density": int(rng.integers(8, 16)) / 100,
        "share": int(rng.integers(35, 47) + 18 * rng.integers(2)) / 100,  # never near a half
        # evidence
        "margin": int(rng.integers(6, 16)) / 10,
        "arms": int(rng.integers(2, 6)),
    }


def _features(rng: np.random.Generator) -> dict[str, Any]:
    """Numbers of the set "features": toy models, autoencoders, dictionaries and criteria."""
    return {
        # toy models
        "seed": int(rng.integers(1_000)),
        "features": int(rng.integers(16, 25)),
        "dims": int(rng.integers(4, 8)),
        "p_zero": int(rng.integers(88, 96)) / 100,
        "stored_above": int(rng.integers(36, 47) + 17 * rng.integers(2)) / 100,  # not near ½
        "sides": int(rng.integers(9, 14)),
        "bias": int(rng.integers(4, 11)) / 100,
        # at 0.2 and 0.25 the bound that it is compared with comes out even too often
        "coherence": int(rng.choice([13, 14, 15, 16, 17, 18, 19, 21, 22, 23])) / 100,
        # autoencoders
        "width": int(rng.integers(12, 17)),
        "latents": int(rng.integers(24, 33)),
        "dead_after": int(rng.integers(4, 9)),
        "aux_k": int(rng.integers(3, 6)),
        "bandwidth": int(rng.integers(16, 41)) / 100,
        "price": int(rng.integers(20, 61)) / 100,
        "least": int(rng.integers(3, 10)) / 100,
        # dictionaries
        "same": int(rng.integers(60, 76)) / 100,
        # evidence
        "share": int(rng.integers(68, 83)) / 100,
        "arms": int(rng.integers(2, 6)),
    }


def _probes(rng: np.random.Generator) -> dict[str, Any]:
    """Numbers of the set "probes": a metric, a null, a dial, and how results are summed up."""
    return {
        # the student's network and data
        "fold": int(rng.integers(10)),
        "seed": int(rng.integers(1_000)),
        "hidden": (int(rng.integers(60, 90)), int(rng.integers(40, 60))),
        # the metric
        "p": int(rng.integers(4, 10)) / 10,
        "q": int(rng.integers(2, 5)),
        # the activation function and its null
        "slope": int(rng.integers(5, 30)) / 100,
        # the dial
        "grey": int(rng.choice([15, 20, 25, 75, 80, 85])) / 100,
        "strength": int(rng.integers(40, 75)) / 100,
        # scores
        "weighting": str(rng.choice(["equal", "pairs"])),
        "bins": int(rng.integers(6, 12)),
        "cells": int(rng.choice([6, 7, 8, 12, 13, 14])),
        # evidence
        "least": int(rng.integers(54, 62)) / 100,
        "noise": int(rng.integers(20, 50)) / 100,
    }


DRAWS: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "pruning": _pruning,
    "features": _features,
    "probes": _probes,
}
