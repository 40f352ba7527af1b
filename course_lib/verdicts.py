"""Verdicts: the words, the rules from an interval to an outcome and from outcomes to a verdict.

The rules stand here once, as functions of plain numbers and words. `evidence` applies them to what
a chapter measured, and the site's ledger takes its words and marks from here. Nothing is imported
but Python's own library, so that a build of the site need not wait for PyTorch.

`SCHEMA` is the file that describes a claim of the ledger as JSON (a JSON Schema, 2020-12). The site
publishes it beside `claims.json`. The page "How to read this book" explains the rules.
"""

import math
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "MARKS", "MAX_PRIMARY", "MEANINGS", "OUTCOMES", "RULES", "SCHEMA", "SIDES", "VERDICTS",
    "check_side", "counts", "each", "ends", "every", "in_words", "margin", "no_way_out", "outcome",
    "outcome_of_all", "room", "same_side", "some", "verdict",
]  # fmt: skip

OUTCOMES = ("holds", "fails", "undecided")
VERDICTS = ("supported", "not supported", "conditional", "vacuous", "inconclusive")
MARKS = {  # a mark stands beside each word, so that colour is never needed
    "supported": "✓", "not supported": "✗", "conditional": "◐", "vacuous": "∅", "inconclusive": "?",
    "holds": "✓", "fails": "✗", "undecided": "?",
}  # fmt: skip
SIDES = {">": "> {}", ">=": "≥ {}", "<": "< {}", "<=": "≤ {}", "inside": "inside {}"}
MEANINGS = {  # a half-line each, for who meets the words for the first time
    "supported": "The numbers bear the claim out.",
    "not supported": "The numbers speak clearly against it.",
    "conditional": "It holds in some settings and clearly fails in others.",
    "vacuous": "What the claim presupposes did not occur.",
    "inconclusive": "The numbers are too uncertain to say.",
}
MAX_PRIMARY = 6
SCHEMA = Path(__file__).with_name("claims.schema.json")

Threshold = float | tuple[float, float]


# --- From an interval to an outcome ---------------------------------------------------------------


def check_side(side: str, holds: Threshold, fails: Threshold) -> None:
    """Raise a ValueError unless a side and its two thresholds fit together.

    `side` is one of `SIDES`. A threshold is a finite number, and for "inside" a pair of them, the
    lower one first.
    """
    for name, limit in (("holds", holds), ("fails", fails)):
        is_pair = isinstance(limit, tuple)
        if side not in SIDES or is_pair != (side == "inside"):
            raise ValueError(
                f"side is one of {list(SIDES)}, and only 'inside' takes two thresholds; "
                f"got {side!r} with {name}={limit!r}"
            )
        ends = limit if is_pair else (limit,)
        if len(ends) != 1 + is_pair or not all(map(math.isfinite, ends)) or ends[0] > ends[-1]:
            raise ValueError(
                f"a threshold is a finite number, or two of them, the lower one first; "
                f"got {name}={limit!r}"
            )


def outcome(low: float, high: float, side: str, holds: Threshold, fails: Threshold) -> str:
    """Return the outcome of a condition: where its interval lies.

    With one threshold for both (`holds` equal to `fails`), the condition "holds" if every point of
    the interval is on the side of it, "fails" if none is, and else is "undecided". With two, as for
    a smallest difference that matters, it fails if the whole interval falls short of `fails`;
    where both would be true, it fails.

    Args:
        low: lower end of the interval.
        high: upper end.
        side: one of `SIDES`.
        holds: what the interval must lie beyond to hold; a pair for "inside".
        fails: what it must fall short of to fail; a pair for "inside".
    """
    if side == "inside":
        does_hold = holds[0] <= low and high <= holds[1]
        does_fail = high < fails[0] or low > fails[1]
    else:
        if side in ("<", "<="):  # the same, seen in a mirror
            low, high, holds, fails = -high, -low, -holds, -fails
        strict = side in ("<", ">")
        does_hold = low > holds if strict else low >= holds
        # On a single strict threshold no point is beyond it.
        does_fail = high <= fails if strict and fails == holds else high < fails
    return "fails" if does_fail else "holds" if does_hold else "undecided"


def outcome_of_all(outcomes: Iterable[str]) -> str:
    """Return the outcome of an arm: it holds if all its conditions do, and fails if one does."""
    seen = _seen(outcomes)
    return "fails" if "fails" in seen else "holds" if seen == {"holds"} else "undecided"


def ends(holds: Threshold, fails: Threshold) -> list[float]:
    """Return the numbers at which the outcome can change, each once, the lowest first."""
    limits = (limit if isinstance(limit, tuple | list) else [limit] for limit in (holds, fails))
    return sorted({end for limit in limits for end in limit})


def room(estimate: float, side: str, holds: Threshold, fails: Threshold) -> float:
    """Return how far an interval may reach from its estimate, either way, and still be decided.

    In the unit of the estimate. Zero or less if no interval around it is decided.
    """
    if side == "inside":
        to_hold = min(estimate - holds[0], holds[1] - estimate)
        to_fail = max(fails[0] - estimate, estimate - fails[1])
    else:
        sign = 1 if side in (">", ">=") else -1
        to_hold, to_fail = sign * (estimate - holds), sign * (fails - estimate)
    return max(to_hold, to_fail)


def margin(low: float, high: float, side: str, holds: Threshold, fails: Threshold) -> float:
    """Return by how much an interval is decided: how far its nearest end is from the threshold.

    In the unit of the interval, and zero on the threshold. Negative if it is undecided: the
    shortest way to a decision.
    """
    if side == "inside":
        to_hold = min(low - holds[0], holds[1] - high)
        to_fail = max(fails[0] - high, low - fails[1])
    else:
        if side in ("<", "<="):
            low, high, holds, fails = -high, -low, -holds, -fails
        to_hold, to_fail = low - holds, fails - high
    return max(to_hold, to_fail)


def in_words(side: str, holds: Threshold, fails: Threshold, unit: str = "") -> str:
    """Say what is asked of a condition: "≥ −1 pp", "inside [0.95, 1.05]".

    A threshold of its own to fail is added: "> 0 pp (fails below 0.5 pp)".
    """

    def number(limit):
        text = f"[{limit[0]:g}, {limit[1]:g}]" if side == "inside" else f"{limit:g}"
        return text.replace("-", "−") + (f" {unit}" if unit else "")

    text = SIDES[side].format(number(holds))
    if fails == holds:
        return text
    beyond = {">": "below", ">=": "below", "<": "above", "<=": "above", "inside": "outside"}[side]
    return f"{text} (fails {beyond} {number(fails)})"


def counts(outcomes: Iterable[str]) -> str:
    """Say how many arms hold, fail and are undecided: "3 of 4 fail, 1 undecided", "all 4 fail"."""
    outcomes = list(outcomes)
    _seen(outcomes)
    if len(outcomes) == 1:
        return "the only arm " + {"undecided": "is undecided"}.get(outcomes[0], outcomes[0])
    if len(set(outcomes)) == 1:
        return f"all {len(outcomes)} " + {"holds": "hold", "fails": "fail"}.get(
            outcomes[0], "are undecided"
        )
    parts = []
    for name, several in (("holds", "hold"), ("fails", "fail"), ("undecided", "undecided")):
        n = outcomes.count(name)
        if n:
            of = "" if parts else f" of {len(outcomes)}"
            parts.append(f"{n}{of} {name if n == 1 else several}")
    return ", ".join(parts)


# --- From outcomes to a verdict -------------------------------------------------------------------


def each(outcomes: Iterable[str]) -> str:
    """Apply the rule of a sentence about each arm by itself.

    "supported" if all hold, "not supported" if all fail, "conditional" if at least one holds and
    at least one fails, else "inconclusive".
    """
    seen = _seen(outcomes)
    if {"holds", "fails"} <= seen:
        return "conditional"
    if "undecided" in seen:
        return "inconclusive"
    return "supported" if "holds" in seen else "not supported"


def some(outcomes: Iterable[str]) -> str:
    """Apply the rule of "there is …", "it can …".

    "supported" as soon as one holds, "not supported" if all fail, else "inconclusive".
    """
    seen = _seen(outcomes)
    if "holds" in seen:
        return "supported"
    return "not supported" if seen == {"fails"} else "inconclusive"


def every(outcomes: Iterable[str]) -> str:
    """Apply the rule of "any …", "the farther, the sparser".

    "supported" if all hold, "not supported" as soon as one fails, else "inconclusive".
    """
    seen = _seen(outcomes)
    if "fails" in seen:
        return "not supported"
    return "supported" if seen == {"holds"} else "inconclusive"


def same_side(outcomes: Iterable[str]) -> str:
    """Apply the rule of a claim that arms agree: all lie on one side of the same threshold.

    "supported" if all hold or all fail, "not supported" if one holds and one fails, else
    "inconclusive".
    """
    seen = _seen(outcomes)
    if {"holds", "fails"} <= seen:
        return "not supported"
    return "inconclusive" if "undecided" in seen else "supported"


def no_way_out(outcomes: Iterable[str]) -> str:
    """Apply the rule of a claim of a limit, of which each arm is a way that could lead out.

    "not supported" if some arm holds, that is leads out; "supported" if all fail; else
    "inconclusive".
    """
    seen = _seen(outcomes)
    if "holds" in seen:
        return "not supported"
    return "supported" if seen == {"fails"} else "inconclusive"


RULES = {
    "each": each, "some": some, "every": every, "same side": same_side, "no way out": no_way_out,
}  # fmt: skip


def verdict(outcomes: Iterable[str], rule: str = "each", *, precondition: bool = True) -> str:
    """Return the verdict on a claim.

    Args:
        outcomes: of the primary arms, one for each.
        rule: one of `RULES`.
        precondition: False if what the claim presupposes was absent: it is "vacuous" then.

    Raises:
        ValueError: if `rule` is not one of `RULES`, or, with the precondition there, if there is no
            outcome or more than six, or one is not of `OUTCOMES`.
    """
    if rule not in RULES:
        raise ValueError(f"rule is one of {list(RULES)}; got {rule!r}")
    if not precondition:
        return "vacuous"
    outcomes = list(outcomes)
    if not 1 <= len(outcomes) <= MAX_PRIMARY:
        raise ValueError(f"a verdict needs 1 to {MAX_PRIMARY} primary arms; got {outcomes}")
    return RULES[rule](outcomes)


def _seen(outcomes: Iterable[str]) -> set[str]:
    """Return the different outcomes; a ValueError if there is none, or an unknown one."""
    seen = set(outcomes)
    if not seen or not seen <= set(OUTCOMES):
        raise ValueError(f"outcomes are of {list(OUTCOMES)}, at least one; got {sorted(seen)}")
    return seen
