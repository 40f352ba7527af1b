"""The exercise of chapter 00: from an interval to an outcome."""

from collections.abc import Iterator

import numpy as np

from course_lib.exercises.comparing import Case, Wrong
from course_lib.exercises.exercise import Exercise


def outcome(low, high, margin):
    """Say what an interval tells about the sentence "the change is at least `margin`".

    low, high: the ends of the interval, in percentage points.
    margin: what the change must not fall below, in percentage points.

    Returns 1 if the sentence holds, -1 if it fails, and 0 if it is undecided.
    """
    if low >= margin:
        return 1
    if high < margin:
        return -1
    return 0


def _intervals(rng: np.random.Generator) -> Iterator[Case]:
    margin = -round(float(rng.uniform(0.5, 2.0)), 2)
    a, b = (round(float(x), 2) for x in rng.uniform(0.2, 0.4, 2))
    ends = {
        "above the margin, below 0": (margin + a, min(margin + a + b, -0.01)),
        "above 0": (a, a + b),
        "below the margin": (margin - a - b, margin - a),
        "across the margin, below 0": (margin - a, margin + 0.9 * a),
        "across both the margin and 0": (margin - a, b),
        "that begins at the margin": (margin, margin + a),
        "that ends at the margin": (margin - b, margin),
    }
    for where, (low, high) in ends.items():
        low, high = round(low, 4), round(high, 4)
        yield Case(f"the interval [{low}, {high}] {where}, {margin}", (low, high, margin))


OUTCOME = Exercise(
    id="reading.outcome",
    chapter="00_start",
    title="from an interval to an outcome",
    difficulty=1,
    minutes=5,
    why="Every verdict of this book is made of these three words.",
    task="""
        A criterion says: the change is at least a margin, such as −1 pp. A run gives an interval
        for the change. If all of the interval keeps to the criterion, its ends too, the sentence
        holds: return 1. If no part of it does, it fails: return -1. Otherwise it is undecided:
        return 0.
        """,
    hint="""
        Which end of the interval has to be at the margin or above it, so that all of it is? Which
        end has to lie below, so that none of it keeps to the criterion?
        """,
    reference=outcome,
    cases=_intervals,
    wrong=[
        Wrong(
            lambda low, high, margin: 1 if low >= margin else -1 if high <= margin else 0,
            "An interval that ends just at the margin has one point that keeps to the criterion, "
            "so it is undecided.",
        ),
        Wrong(
            lambda low, high, margin: outcome(low, high, 0.0),
            "You compare with 0. The criterion allows a loss as large as the margin.",
        ),
        Wrong(
            lambda low, high, margin: 1 if (low + high) / 2 >= margin else -1,
            "You look at the middle of the interval alone, so nothing is ever undecided. One more "
            "set of seeds could have another middle.",
        ),
        Wrong(
            lambda low, high, margin: 1 if low >= margin else -1,
            "What does not hold need not fail: an interval across the margin says neither.",
        ),
        Wrong(
            lambda low, high, margin: 1 if high >= margin else -1,
            "You call it held as soon as a part of the interval keeps to the criterion. All of it "
            "has to.",
        ),
        Wrong(
            lambda low, high, margin: -1 if low >= margin else 1 if high < margin else 0,
            "Holds and fails are exchanged: at least the margin means at it or above.",
        ),
        Wrong(
            lambda low, high, margin: 1 if low > margin else -1 if high < margin else 0,
            "An interval that begins just at the margin keeps to the criterion: at least the "
            "margin.",
        ),
    ],
)


EXERCISES = (OUTCOME,)
