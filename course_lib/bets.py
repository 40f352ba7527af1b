"""Bets on verdicts: what a reader thinks will come, and how sure, before the result is there.

A bet is a verdict's word and a probability that this word comes. Its Brier score is (1 − p)² if the
word comes and p² if not (Brier 1950, for the event "my word comes"): 0 is best, 1 is worst, and
p = 0.5 scores 0.25 either way. `widgets.bets` takes the bets, `evidence.record` shows them.
"""

import dataclasses

from course_lib.verdicts import VERDICTS

STEP = 5  # percent


@dataclasses.dataclass(frozen=True)
class Bet:
    """A verdict's word, and how sure the reader is that it comes.

    Args:
        verdict: one of `verdicts.VERDICTS`.
        confidence: in percent, 5 to 100 in steps of 5.

    Raises:
        ValueError: if `verdict` is no such word or `confidence` no such number.
    """

    verdict: str
    confidence: int

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is one of {list(VERDICTS)}; got {self.verdict!r}")
        if type(self.confidence) is not int or self.confidence not in range(STEP, 101, STEP):
            raise ValueError(
                f"confidence is a whole number of percent, 5 to 100 in steps of {STEP}; "
                f"got {self.confidence!r}"
            )


PLACED: dict[str, Bet] = {}  # by the claim's id, in this kernel


def brier(bet: Bet, verdict: str) -> float:
    """Return the Brier score of a bet once the verdict is known, from 0 (best) to 1 (worst)."""
    p = bet.confidence / 100
    return (1 - p) ** 2 if bet.verdict == verdict else p**2


def in_words(bet: Bet, verdict: str) -> str:
    """Say what was bet and how good it was: "inconclusive, 60% sure · Brier 0.16"."""
    return f"{bet.verdict}, {bet.confidence}% sure · Brier {brier(bet, verdict):.2f}"
