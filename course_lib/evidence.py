"""Evidence: intervals, outcomes and verdicts, by rules that were fixed before any run.

A claim has at most six primary arms. Each arm has an interval at level 1 − 0.05/m and an outcome;
the outcomes together decide the verdict. The page "How to read this book" explains the rules.
"""

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np
import torch
from scipy import optimize, stats

from course_lib.display import say, scrolling, show_html, true_minus
from course_lib.intervals import (
    Interval,
    bootstrap_ratio_of_medians,
    share_interval,
    t_interval,
)

__all__ = [
    "Arm", "Claim", "Condition", "Interval", "bootstrap_ratio_of_medians", "condition",
    "fingerprint", "level_of", "needed_n", "no_way_out", "on_trial", "record", "same_side", "say",
    "share_interval", "t_interval", "verdict_of",
]  # fmt: skip

OUTCOMES = ("holds", "fails", "undecided")
VERDICTS = ("supported", "not supported", "conditional", "vacuous", "inconclusive")
MARKS = {
    "supported": "✓", "not supported": "✗", "conditional": "◐", "vacuous": "∅", "inconclusive": "?",
    "holds": "✓", "fails": "✗", "undecided": "?",
}  # fmt: skip
SIDES = {">": "> {}", ">=": "≥ {}", "<": "< {}", "<=": "≤ {}", "inside": "inside {}"}
MAX_PRIMARY = 6


# --- Arms and verdicts ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Condition:
    """An interval on one side of a threshold: the sentence "`what` is `side` `threshold`"."""

    what: str
    interval: Interval
    side: str
    threshold: float | tuple[float, float]
    unit: str

    def __post_init__(self):
        is_pair = isinstance(self.threshold, tuple)
        if self.side not in SIDES or is_pair != (self.side == "inside"):
            raise ValueError(
                f"side is one of {list(SIDES)}, and only 'inside' takes two thresholds; "
                f"got {self.side!r} with {self.threshold!r}"
            )
        ends = self.threshold if is_pair else (self.threshold,)
        if len(ends) != 1 + is_pair or not all(map(math.isfinite, ends)) or ends[0] > ends[-1]:
            raise ValueError(
                f"a threshold is a finite number, or two of them, the lower one first; "
                f"got {self.threshold!r}"
            )

    @property
    def outcome(self) -> str:
        """Say "holds", "fails" (the whole interval lies on the other side) or "undecided"."""
        low, high, t = self.interval.low, self.interval.high, self.threshold
        holds, fails = {
            ">": lambda: (low > t, high <= t),
            ">=": lambda: (low >= t, high < t),
            "<": lambda: (high < t, low >= t),
            "<=": lambda: (high <= t, low > t),
            "inside": lambda: (t[0] <= low and high <= t[1], high < t[0] or low > t[1]),
        }[self.side]()
        return "holds" if holds else "fails" if fails else "undecided"

    def __str__(self) -> str:
        i, unit = self.interval, f" {self.unit}" if self.unit else ""
        estimate, low, high = (_signed(x, self.unit) for x in (i.estimate, i.low, i.high))
        return (
            f"{self.what}: {estimate}{unit} [{low}, {high}], "
            f"to be {SIDES[self.side].format(self.threshold)}: {self.outcome}"
        )


def condition(
    what: str,
    values: Sequence[float],
    side: str,
    threshold: float | tuple[float, float],
    *,
    m: int,
    unit: str = "pp",
) -> Condition:
    """Return the condition that the mean of `values` is on a side of a threshold.

    Args:
        what: names the values, for example "pruned − dense".
        values: one for each seed, differences paired by seed.
        side: ">", ">=", "<", "<=" or "inside".
        threshold: in the unit of the values; two of them for "inside".
        m: number of primary arms of the claim, which sets the interval's level, 1 − 0.05/m.
        unit: "pp" is percentage points.

    Raises:
        ValueError: as `t_interval`, `level_of`, or if `side` and `threshold` do not fit.
    """
    return Condition(what, t_interval(values, level_of(m)), side, threshold, unit)


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
        """One of `OUTCOMES`, from the outcomes of all conditions."""
        outcomes = [c.outcome for c in self.conditions]
        if "fails" in outcomes:
            return "fails"
        return "holds" if all(o == "holds" for o in outcomes) else "undecided"


def level_of(m: int) -> float:
    """Return 1 − 0.05/m, the level of each interval when m primary arms share a claim.

    With it, all m intervals cover their true values together in at least 95% of repetitions
    (Bonferroni).

    Raises:
        ValueError: if m is not a whole number from 1 to 6.
    """
    if m not in range(1, MAX_PRIMARY + 1):
        raise ValueError(f"a claim has 1 to {MAX_PRIMARY} primary arms; got {m!r}")
    return 1 - 0.05 / m


def verdict_of(arms: Iterable[Arm], *, precondition: bool = True) -> str:
    """Return the verdict that the outcomes of the primary arms give.

    "supported" if all hold, "not supported" if all fail, "conditional" if at least one holds and
    at least one fails, "vacuous" if the claim's stated precondition was absent, else
    "inconclusive".

    Raises:
        ValueError: if no arm is primary, there are more than six, or two have the same name.
    """
    outcomes = _outcomes(arms)
    if not precondition:
        return "vacuous"
    if outcomes == {"holds"}:
        return "supported"
    if outcomes == {"fails"}:
        return "not supported"
    return "conditional" if {"holds", "fails"} <= outcomes else "inconclusive"


def same_side(arms: Iterable[Arm]) -> str:
    """Return the verdict on a claim that arms agree: that all lie on one side of the threshold.

    A rule for `record`. "supported" if all primary arms hold or all fail, "not supported" if one
    holds and one fails, else "inconclusive". Each arm has one condition, its side and threshold the
    same in all.

    Raises:
        ValueError: as `verdict_of`, or if the arms' conditions are not alike.
    """
    arms = list(arms)
    alike = {tuple((c.side, c.threshold) for c in arm.conditions) for arm in arms if arm.primary}
    if len(alike) > 1 or any(len(conditions) != 1 for conditions in alike):
        raise ValueError(
            "arms on one side have one condition each, with the same side and threshold; got "
            f"{sorted(map(str, alike))}"
        )
    outcomes = _outcomes(arms)
    if len(outcomes) == 1 and outcomes <= {"holds", "fails"}:
        return "supported"
    return "not supported" if {"holds", "fails"} <= outcomes else "inconclusive"


def no_way_out(arms: Iterable[Arm]) -> str:
    """Return the verdict on a claim of a limit, of which each arm is a way that could lead out.

    A rule for `record`. "not supported" if some primary arm holds, that is leads out; "supported"
    if all fail; else "inconclusive".

    Raises:
        ValueError: as `verdict_of`.
    """
    outcomes = _outcomes(arms)
    if "holds" in outcomes:
        return "not supported"
    return "supported" if outcomes == {"fails"} else "inconclusive"


def needed_n(condition: Condition, level: float) -> float:
    """Return how many seeds a new run would need for this condition to be decided.

    The smallest n whose t interval, around the same mean with the same spread, lies on one side
    of the threshold. Infinite if the mean is on the threshold, NaN if the interval is not of t.
    """
    i = condition.interval
    ends = condition.threshold if condition.side == "inside" else (condition.threshold,)
    distance = min(abs(i.estimate - end) for end in ends)
    if math.isnan(i.spread) or distance == 0:
        return math.nan if math.isnan(i.spread) else math.inf

    def excess(n: float) -> float:  # half the interval's width, less the distance to go
        return stats.t.ppf((1 + level) / 2, n - 1) * i.spread / math.sqrt(n) - distance

    if excess(2) <= 0:
        return 2
    upper = 4.0
    while excess(upper) > 0:
        upper *= 2
    return math.ceil(optimize.brentq(excess, 2, upper))


# --- The ledger -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence on trial: who says it, and the criterion that will decide, before any run."""

    id: str
    claim: str
    source: str
    criterion: str
    chapter: str
    run: str = "live"

    def __post_init__(self):
        if self.run not in ("live", "stored"):
            raise ValueError(f'run is "live" or "stored"; got {self.run!r}')


def fingerprint(protocol: object) -> str:
    """Return a short hash of a protocol, a dataclass: any change of a value changes it.

    Raises:
        ValueError: if `protocol` is not an instance of a dataclass.
    """
    if not dataclasses.is_dataclass(protocol) or isinstance(protocol, type):
        raise ValueError(f"a protocol is an instance of a dataclass; got {protocol!r:.100}")
    try:
        text = json.dumps(dataclasses.asdict(protocol), sort_keys=True, default=_as_plain)
    except TypeError as error:
        raise ValueError(f"a protocol holds numbers, texts and lists of them: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def on_trial(claims: Iterable[Claim]) -> None:
    """Display the claims that a chapter tries, with the criterion of each."""
    rows = [
        f"<tr><th scope='row'>{escape(c.id)}</th><td>{escape(c.claim)}</td>"
        f"<td>{escape(c.source)}</td><td>{escape(c.criterion)}</td><td>{escape(c.run)}</td></tr>"
        for c in claims
    ]
    head = "".join(
        f"<th scope='col'>{h}</th>"
        for h in ("id", "claim", "who says so", "an arm holds if", "run")
    )
    show_html(
        scrolling(
            f"<table class='course-table'><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>",
            label="Claims on trial",
        ),
        "\n".join(f"{c.id}: {c.claim} ({c.source}). Holds if {c.criterion}." for c in claims),
    )


def record(
    claim: Claim,
    arms: Sequence[Arm],
    *,
    seeds: Sequence[int],
    protocol: object,
    precondition: bool = True,
    rule: Callable[[Sequence[Arm]], str] = verdict_of,
) -> str:
    """Display a claim's verdict, enter it in the ledger, and return it.

    The output carries the claim as JSON in its metadata, under `claim`; the site's ledger is
    collected from there.

    Args:
        claim: what is on trial.
        arms: primary and exploratory ones. Only the primary ones decide.
        seeds: all seeds of the run.
        protocol: the dataclass that was fixed before the run; its hash is stored.
        precondition: False if what the claim presupposes was absent; the verdict is "vacuous" then.
        rule: from the arms to the verdict, for a claim whose criterion is about the arms together:
            `same_side` or `no_way_out`.

    Raises:
        ValueError: as `rule` and `fingerprint`, or if there are fewer than 5 different
            seeds, or a primary arm's interval has fewer than 5 values or another level than
            `level_of(m)`.
    """
    if len(set(seeds)) < 5:
        raise ValueError(f"a verdict needs at least 5 different seeds; got {list(seeds)}")
    verdict = rule(arms) if precondition else verdict_of(arms, precondition=False)
    _check_primary([arm for arm in arms if arm.primary])
    reason = _reason(arms, verdict)
    entry = dataclasses.asdict(claim) | {
        "seeds": [int(s) for s in seeds],
        "verdict": verdict,
        "reason": reason,
        "arms": [_arm_entry(arm) for arm in arms],
        "protocol": fingerprint(protocol),
        "platform": f"{platform.system()} {platform.machine()}, torch {torch.__version__}",
    }
    rows = "".join(_arm_row(arm) for arm in arms)
    names = ("arm", "condition", "estimate", "interval", "needed", "outcome")
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    slug = verdict.replace(" ", "-")
    show_html(
        f"<div class='claim verdict-{slug}' id='claim-{escape(claim.id)}'>"
        f"<p><strong>{escape(claim.id)}. {escape(claim.claim)}.</strong> "
        f"Verdict: <strong>{MARKS[verdict]} {verdict}</strong>. {escape(reason)}</p>"
        + scrolling(
            f"<table class='course-table'><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>",
            label=f"Arms of {claim.id}",
        )
        + "</div>",
        f"{claim.id}. {claim.claim}. Verdict: {verdict}. {reason}\n"
        + "\n".join(f"  {arm.name}: {c}" for arm in arms for c in arm.conditions),
        metadata={"claim": entry},
    )
    return verdict


# --- Private --------------------------------------------------------------------------------------


def _outcomes(arms: Iterable[Arm]) -> set[str]:
    """Return the different outcomes of the primary arms."""
    primary = [arm for arm in arms if arm.primary]
    names = [arm.name for arm in primary]
    if not 1 <= len(primary) <= MAX_PRIMARY or len(set(names)) < len(names):
        raise ValueError(
            f"a verdict needs 1 to {MAX_PRIMARY} primary arms of different names; got {names}"
        )
    return {arm.outcome for arm in primary}


def _reason(arms: Sequence[Arm], verdict: str) -> str:
    """Say which primary arms hold and fail, and how many seeds the undecided ones would need."""
    primary = [arm for arm in arms if arm.primary]
    level = level_of(len(primary))
    parts = []
    for outcome in OUTCOMES:
        names = [arm.name for arm in primary if arm.outcome == outcome]
        if names:
            parts.append(f"{outcome.capitalize()} ({len(names)}): {'; '.join(names)}.")
    needs = [
        needed_n(c, level)
        for arm in primary
        for c in arm.conditions
        if arm.outcome == "undecided" and c.outcome == "undecided"
    ]
    finite = [n for n in needs if math.isfinite(n)]
    if verdict == "inconclusive" and finite:
        parts.append(
            f"A new run with {max(finite)} fresh seeds would decide the undecided arms if the "
            "means and spreads stayed as they are."
        )
    return " ".join(parts)


def _check_primary(primary: Sequence[Arm]) -> None:
    level = level_of(len(primary))
    for arm in primary:
        for interval in (c.interval for c in arm.conditions):
            if interval.n < 5:
                raise ValueError(f"{arm.name}: an interval needs 5 values or more; got {interval}")
            if not math.isnan(interval.level) and not math.isclose(interval.level, level):
                raise ValueError(
                    f"{arm.name}: with {len(primary)} primary arms each interval has the level "
                    f"level_of({len(primary)}) = {level:.4f}; got {interval.level}"
                )


def _arm_entry(arm: Arm) -> dict:
    first = arm.conditions[0]
    entry = {"name": arm.name, "primary": arm.primary, **_condition_entry(first)}
    entry |= {"outcome": arm.outcome, "note": arm.note}
    entry["also"] = [_condition_entry(c) | {"outcome": c.outcome} for c in arm.conditions[1:]]
    return entry


def _condition_entry(c: Condition) -> dict:
    ends = c.threshold if isinstance(c.threshold, tuple) else (c.threshold,)
    return {
        "what": c.what,
        "estimate": float(c.interval.estimate),
        "low": float(c.interval.low),
        "high": float(c.interval.high),
        "n": int(c.interval.n),
        "unit": c.unit,
        "side": c.side,
        "threshold": [float(end) for end in ends] if len(ends) == 2 else float(ends[0]),
    }


def _arm_row(arm: Arm) -> str:
    rows = []
    for number, c in enumerate(arm.conditions):
        name = escape(arm.name) + ("" if arm.primary else " <em>(exploratory)</em>")
        note = f"<br><small>{escape(arm.note)}</small>" if arm.note else ""
        i = c.interval
        estimate, low, high = (true_minus(_signed(x, c.unit)) for x in (i.estimate, i.low, i.high))
        rows.append(
            f"<tr><th scope='row'>{name + note if number == 0 else ''}</th>"
            f"<td>{escape(c.what)}</td><td>{estimate}&nbsp;{escape(c.unit)}</td>"
            f"<td>[{low},&nbsp;{high}]</td>"
            f"<td>{escape(true_minus(SIDES[c.side].format(c.threshold)))}</td>"
            f"<td>{MARKS[c.outcome]} {c.outcome}</td></tr>"
        )
    return "".join(rows)


def _signed(value: float, unit: str) -> str:
    """Return a difference with its sign; a ratio or a share, which has no unit, without a plus."""
    return f"{value:+.2f}" if unit else f"{value:.2f}"


def _as_plain(value: object) -> object:
    """Turn NumPy's numbers and arrays into Python's; refuse what has no lasting text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, range):
        return list(value)
    raise TypeError(f"{value!r:.100} is a {type(value).__name__}")
