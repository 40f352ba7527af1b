"""Arms: the ways to try a claim, what each must show, and what came of it.

A condition is an interval and where it must lie. An arm has one condition or more; the outcomes of
at most six primary arms decide a claim. The rules stand in `course_lib.verdicts`.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from course_lib import verdicts
from course_lib.checks import is_whole
from course_lib.intervals import Interval, needed_values, t_interval
from course_lib.verdicts import MAX_PRIMARY, Threshold


@dataclasses.dataclass(frozen=True)
class Condition:
    """An interval, and where it must lie: the sentence "`what` is `side` `holds`".

    Args:
        what: names what was measured, for example "pruned − dense".
        interval: in the unit of the thresholds.
        side: ">", ">=", "<", "<=" or "inside".
        holds: the threshold; two of them, the lower one first, for "inside".
        unit: "pp" is percentage points; empty if there is none.
        fails: the threshold that the interval must fall short of to fail, where a smallest
            difference matters; if it is not given, `holds`.

    Raises:
        ValueError: if `side` and the thresholds do not fit (`verdicts.check_side`).
    """

    what: str
    interval: Interval
    side: str
    holds: Threshold
    unit: str
    fails: Threshold | None = None

    def __post_init__(self):
        if self.fails is None:
            object.__setattr__(self, "fails", self.holds)
        verdicts.check_side(self.side, self.holds, self.fails)

    @property
    def outcome(self) -> str:
        """Say "holds", "fails" or "undecided", by `verdicts.outcome`."""
        i = self.interval
        return verdicts.outcome(i.low, i.high, self.side, self.holds, self.fails)

    @property
    def asked(self) -> str:
        """Say in words where the interval must lie, such as "≥ −1 pp"."""
        return verdicts.in_words(self.side, self.holds, self.fails, self.unit)

    def __str__(self) -> str:
        i, unit = self.interval, f" {self.unit}" if self.unit else ""
        estimate, low, high = (signed(x, self.unit) for x in (i.estimate, i.low, i.high))
        return f"{self.what}: {estimate}{unit} [{low}, {high}], to be {self.asked}: {self.outcome}"


def condition(
    what: str,
    values: Sequence[float],
    side: str,
    holds: Threshold,
    *,
    m: int,
    unit: str = "pp",
    fails: Threshold | None = None,
) -> Condition:
    """Return the condition that the mean of `values` is on a side of a threshold.

    Args:
        what: as in `Condition`; so are `side`, `holds`, `unit` and `fails`.
        values: one for each seed, differences paired by seed.
        m: number of primary arms of the claim, which sets the interval's level, 1 − 0.05/m.

    Raises:
        ValueError: as `t_interval`, `level_of` and `Condition`.
    """
    return Condition(what, t_interval(values, level_of(m)), side, holds, unit, fails)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to try a claim. It holds if all its conditions hold, and fails if one fails."""

    name: str
    conditions: tuple[Condition, ...]
    primary: bool = True
    note: str = ""

    def __post_init__(self):
        if not self.conditions:
            raise ValueError(f"the arm {self.name!r} has no condition, so nothing could decide it")

    @property
    def outcome(self) -> str:
        """Say "holds", "fails" or "undecided", from the outcomes of all conditions."""
        return verdicts.outcome_of_all(c.outcome for c in self.conditions)


def level_of(m: int) -> float:
    """Return 1 − 0.05/m, the level of each interval when m primary arms share a claim.

    With it, all m intervals cover their true values together in at least 95% of repetitions
    (Bonferroni).

    Raises:
        ValueError: if m is not a whole number from 1 to 6.
    """
    if not is_whole(m, 1, MAX_PRIMARY):
        raise ValueError(f"a claim has 1 to {MAX_PRIMARY} primary arms; got {m!r}")
    return 1 - 0.05 / m


def verdict_of(arms: Iterable[Arm], rule: str = "each", *, precondition: bool = True) -> str:
    """Return the verdict that the outcomes of the primary arms give.

    Args:
        arms: primary and exploratory ones. Only the primary ones decide.
        rule: one of `verdicts.RULES`. Arms on the "same side" have one condition each, its side and
            thresholds the same in all.
        precondition: False if what the claim presupposes was absent; the verdict is "vacuous" then.

    Raises:
        ValueError: if no arm is primary, there are more than six, two have the same name, `rule` is
            not one of the rules, or arms on the "same side" are not alike.
    """
    primary = [arm for arm in arms if arm.primary]
    names = [arm.name for arm in primary]
    if not 1 <= len(primary) <= MAX_PRIMARY or len(set(names)) < len(names):
        raise ValueError(
            f"a verdict needs 1 to {MAX_PRIMARY} primary arms of different names; got {names}"
        )
    if rule == "same side" and precondition:
        alike = {tuple((c.side, c.holds, c.fails) for c in arm.conditions) for arm in primary}
        if len(alike) > 1 or any(len(conditions) != 1 for conditions in alike):
            raise ValueError(
                "arms on one side have one condition each, with the same side and threshold; got "
                f"{sorted(map(str, alike))}"
            )
    return verdicts.verdict([arm.outcome for arm in primary], rule, precondition=precondition)


def needed_n(condition: Condition, level: float) -> float:
    """Return how many seeds a new run would need for this condition to be decided.

    The smallest n whose t interval, around the same mean with the same spread, holds or fails.
    Infinite if none would, as on the threshold; NaN if the interval is not of t.
    """
    i = condition.interval
    room = verdicts.room(i.estimate, condition.side, condition.holds, condition.fails)
    return needed_values(i, room, level)


def signed(value: float, unit: str) -> str:
    """Return a difference with its sign; a ratio or a share, which has no unit, without a plus."""
    return f"{value:+.2f}" if unit else f"{value:.2f}"


def spread(arms: Iterable[Arm], which: int = 0) -> str:
    """Say the lowest and the highest estimate of the primary arms, with intervals, for a finding.

    "ranged from −2.80 pp [−4.60, −1.00] (MLP) to +0.20 pp [−0.10, +0.50] (conv)"; of a single arm,
    "was" with its estimate and interval. Arms that measure different things are not put into one
    range: each thing has its own, with its name.

    Args:
        arms: primary and exploratory ones; the exploratory ones are left out.
        which: the place of the condition within each arm.

    Raises:
        ValueError: if no arm is primary.
    """
    found = [(arm.name, arm.conditions[which]) for arm in arms if arm.primary]
    if not found:
        raise ValueError("arms has no primary arm, so there is no estimate to name")
    measured = list(dict.fromkeys(c.what for _, c in found))
    if len(measured) == 1:
        return _range(found)
    groups = [[(name, c) for name, c in found if c.what == what] for what in measured]
    return "; ".join(
        f"{_range(some)} ({what})" for what, some in zip(measured, groups, strict=True)
    )


def _range(found: list[tuple[str, Condition]]) -> str:
    """Say the lowest and the highest estimate of arms that measure the same."""
    found = sorted(found, key=lambda pair: pair[1].interval.estimate)
    (low_name, low), (high_name, high) = found[0], found[-1]
    if len(found) == 1:
        return f"was {_estimate(low)}"
    if _estimate(low) == _estimate(high):
        return f"was {_estimate(low)} in every arm"
    return f"ranged from {_estimate(low)} ({low_name}) to {_estimate(high)} ({high_name})"


def share_held(arms: Iterable[Arm], which: int = 0) -> str:
    """Say in how many primary arms a condition holds, such as "3 of 4", for a finding."""
    outcomes = [arm.conditions[which].outcome for arm in arms if arm.primary]
    return f"{outcomes.count('holds')} of {len(outcomes)}"


def closest(arms: Iterable[Arm]) -> tuple[Arm, float, str] | None:
    """Return the primary arm decided by least, by how much, and the unit.

    An arm holds by the least margin of its conditions, and fails by the largest of those that fail.
    None if no arm is decided, the units differ or a margin is no number.
    """
    found, units = [], set()
    for arm in arms:
        if not arm.primary or arm.outcome == "undecided":
            continue
        decisive = [c for c in arm.conditions if c.outcome == arm.outcome]
        margins = [
            verdicts.margin(c.interval.low, c.interval.high, c.side, c.holds, c.fails)
            for c in decisive
        ]
        units |= {c.unit for c in decisive}
        found.append((min(margins) if arm.outcome == "holds" else max(margins), arm))
    if len(units) != 1 or not all(math.isfinite(by) for by, _ in found):
        return None
    by, arm = min(found, key=lambda pair: pair[0])
    return arm, by, units.pop()


def _estimate(c: Condition) -> str:
    i = c.interval
    estimate, low, high = (signed(x, c.unit).replace("-", "−") for x in (i.estimate, i.low, i.high))
    return f"{estimate}{f' {c.unit}' if c.unit else ''} [{low}, {high}]"
