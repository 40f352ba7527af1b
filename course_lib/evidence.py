"""Evidence: what a chapter measured, put under rules that were fixed before any run.

A claim has at most six primary arms. Each arm has an interval at level 1 − 0.05/m and an outcome;
the outcomes together decide the verdict. The rules themselves stand in `course_lib.verdicts`; the
page "How to read this book" explains them.
"""

import dataclasses
import datetime
import hashlib
import json
import math
import platform
from collections.abc import Iterable, Sequence
from html import escape
from importlib.metadata import version

import numpy as np

from course_lib import bets, strips, verdicts
from course_lib.arms import (
    Arm,
    Condition,
    closest,
    condition,
    level_of,
    needed_n,
    share_held,
    signed,
    spread,
    verdict_of,
)
from course_lib.display import say, scrolling, show_html, takeaway, true_minus
from course_lib.intervals import (
    Interval,
    bootstrap_ratio_of_medians,
    share_interval,
    t_interval,
)
from course_lib.verdicts import MARKS, OUTCOMES

__all__ = [
    "Arm", "Claim", "Condition", "Interval", "bootstrap_ratio_of_medians", "condition",
    "fingerprint", "level_of", "needed_n", "on_trial", "record", "say", "share_held",
    "share_interval", "spread", "t_interval", "takeaway", "verdict_of",
]  # fmt: skip


# --- The ledger -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence on trial: who says it, and the criterion that will decide, before any run.

    Args:
        id: a capital and a number, for example "W1" or "A1b".
        claim: the sentence.
        source: who says so.
        criterion: what an arm must show to hold, in words.
        chapter: the name of the chapter's file.
        run: "live", or "stored" if the verdict comes from a stored long run.
        rule: from the arms' outcomes to the verdict, one of `verdicts.RULES`.
        follows: the id of an older claim that this one tries again, if there is one.

    Raises:
        ValueError: if `run` or `rule` is not one of these.
    """

    id: str
    claim: str
    source: str
    criterion: str
    chapter: str
    run: str = "live"
    rule: str = "each"
    follows: str | None = None

    def __post_init__(self):
        if self.run not in ("live", "stored"):
            raise ValueError(f'run is "live" or "stored"; got {self.run!r}')
        if self.rule not in verdicts.RULES:
            raise ValueError(f"rule is one of {list(verdicts.RULES)}; got {self.rule!r}")


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
    heads = ("id", "claim", "who says so", "an arm holds if", "run")
    show_html(
        _table(heads, rows, label="Claims on trial"),
        "\n".join(f"{c.id}: {c.claim} ({c.source}). Holds if {c.criterion}." for c in claims),
    )


def record(
    claim: Claim,
    arms: Sequence[Arm],
    *,
    seeds: Sequence[int],
    protocol: object,
    precondition: bool = True,
    date: str | None = None,
    finding: str | None = None,
    budget: str | None = None,
    meaning: str | None = None,
    ledger: bool = True,
) -> str:
    """Display a claim's verdict, enter it in the ledger, and return it.

    The output carries the claim as JSON in its metadata, under `claim`, in the form that
    `verdicts.SCHEMA` describes; the site's ledger is collected from there.

    Args:
        claim: what is on trial.
        arms: primary and exploratory ones. Only the primary ones decide, by the claim's rule.
        seeds: all seeds of the run.
        protocol: the dataclass that was fixed before the run; its hash is stored.
        precondition: False if what the claim presupposes was absent; the verdict is "vacuous" then.
        date: the day on which the protocol was fixed, as "2026-01-31".
        finding: what was found, in one plain sentence.
        budget: what the training was given, such as "at 300 + 300 steps".
        meaning: what the unit is to a person, such as "1 pp is 1.8 test images".
        ledger: False where a claim is played again beside its own chapter; the card is the same.

    Raises:
        ValueError: as `verdict_of` and `fingerprint`, or if there are fewer than 5 different
            seeds, a primary arm's interval has fewer than 5 values or another level than
            `level_of(m)`, `date` is no day, or `finding`, `budget` or
            `meaning` is empty.
    """
    if len(set(seeds)) < 5:
        raise ValueError(f"a verdict needs at least 5 different seeds; got {list(seeds)}")
    verdict = verdict_of(arms, claim.rule, precondition=precondition)
    _check_primary([arm for arm in arms if arm.primary])
    _check_words(date, finding=finding, budget=budget, meaning=meaning)
    reason = _reason(arms, verdict)
    entry = {
        "id": claim.id,
        "claim": claim.claim,
        "source": claim.source,
        "chapter": claim.chapter,
        "criterion": claim.criterion,
        "run": claim.run,
        "rule": claim.rule,
        "follows": claim.follows,
        "seeds": [int(s) for s in seeds],
        "verdict": verdict,
        "reason": reason,
        "finding": finding,
        "budget": budget,
        "arms": [_arm_entry(arm) for arm in arms],
        "protocol": {"hash": fingerprint(protocol), "date": date},
        "platform": f"{platform.system()} {platform.machine()}, torch {version('torch')}",
    }
    said = f"{verdict}, {budget}" if budget else verdict
    basis = _basis(arms, meaning, precondition)
    bet = bets.PLACED.get(claim.id)
    yours = f"Your bet: {bets.in_words(bet, verdict)}" if bet else ""
    told_bet = f"{yours}\n" if bet else ""
    show_html(
        _card(claim, arms, entry, said, basis, yours),
        f"{claim.id}. {claim.claim}. Verdict: {said}. {reason}\n{told_bet}"
        + "".join(f"{text}\n" for text in (finding, basis) if text)
        + "\n".join(f"  {arm.name}: {c}" for arm in arms for c in arm.conditions),
        metadata={"claim": entry} if ledger else None,
    )
    return verdict


# --- Private --------------------------------------------------------------------------------------


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


def _basis(arms: Sequence[Arm], meaning: str | None, precondition: bool) -> str:
    """Say what a verdict rests on: how many arms say so, and how clearly."""
    tally = verdicts.counts(arm.outcome for arm in arms if arm.primary)
    parts = [f"Arms: {tally}." if precondition else f"Arms, without what is presupposed: {tally}."]
    nearest = closest(arms) if precondition else None
    if nearest is not None:
        arm, by, unit = nearest
        amount = f"{by:.2f}" if by >= 0.005 else f"{by:.1g}"
        amount += f" {unit}" if unit else ""
        parts.append(f"The closest decision, {arm.name}, was by {amount}.")
        if meaning:
            parts.append(f"{meaning}.")
    return " ".join(parts)


def _card(claim: Claim, arms: Sequence[Arm], entry: dict, said: str, basis: str, yours: str) -> str:
    """Return the verdict as HTML: word, finding and intervals; all numbers are folded."""
    verdict, finding = entry["verdict"], entry["finding"]
    follows = f"<p>It tries {escape(claim.follows)} again.</p>" if claim.follows else ""
    heads = ("arm", "condition", "estimate", "interval", "needed", "outcome")
    table = _table(heads, map(_arm_rows, arms), label=f"Arms of {claim.id}")
    primary = [arm for arm in entry["arms"] if arm["primary"]]
    return (
        f"<div class='claim verdict-{verdict.replace(' ', '-')}' id='claim-{escape(claim.id)}' "
        f"data-bet='{escape(claim.id)}' data-verdict='{verdict}'>"
        f"<p><strong>{escape(claim.id)}. {escape(claim.claim)}.</strong> "
        f"<span class='bet-result'>Verdict: <strong>{MARKS[verdict]} {escape(said)}</strong>."
        f"</span></p>{follows}<div class='bet-cover-here'></div>"
        + (f"<p class='bet-yours'>{yours}</p>" if yours else "")
        + "<div class='bet-result'>"
        + (f"<p>{escape(finding)}</p>" if finding else "")
        + f"{strips.forest(primary)}<p>{escape(basis)}</p>"
        f"<details class='course-folded'><summary>Every number of {escape(claim.id)}</summary>"
        f"<p>{escape(entry['reason'])}</p>{table}</details></div></div>"
    )


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


def _check_words(date: str | None, **texts: str | None) -> None:
    if date is not None:
        try:
            is_day = datetime.date.fromisoformat(date).isoformat() == date
        except (TypeError, ValueError):
            is_day = False
        if not is_day:
            raise ValueError(f'date is a day such as "2026-01-31"; got {date!r}')
    for name, text in texts.items():
        if text is not None and not (isinstance(text, str) and text.strip()):
            raise ValueError(f"{name} is a text that says something, or None; got {text!r}")


def _arm_entry(arm: Arm) -> dict:
    return {
        "name": arm.name,
        "primary": arm.primary,
        "outcome": arm.outcome,
        "note": arm.note,
        "conditions": [_condition_entry(c) for c in arm.conditions],
    }


def _condition_entry(c: Condition) -> dict:
    i = c.interval
    return {
        "what": c.what,
        "estimate": float(i.estimate),
        "low": float(i.low),
        "high": float(i.high),
        "n": int(i.n),
        "level": None if math.isnan(i.level) else float(i.level),
        "side": c.side,
        "holds": _plain_threshold(c.holds),
        "fails": _plain_threshold(c.fails),
        "unit": c.unit,
        "outcome": c.outcome,
        "values": None if i.values is None else [float(x) for x in i.values],
    }


def _plain_threshold(limit: verdicts.Threshold) -> float | list[float]:
    return [float(end) for end in limit] if isinstance(limit, tuple) else float(limit)


def _table(heads: Iterable[str], rows: Iterable[str], *, label: str) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    return scrolling(
        f"<table class='course-table'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>",
        label=label,
    )


def _arm_rows(arm: Arm) -> str:
    rows = []
    for number, c in enumerate(arm.conditions):
        name = escape(arm.name) + ("" if arm.primary else " <em>(exploratory)</em>")
        note = f"<br><small>{escape(arm.note)}</small>" if arm.note else ""
        i = c.interval
        estimate, low, high = (true_minus(signed(x, c.unit)) for x in (i.estimate, i.low, i.high))
        rows.append(
            f"<tr><th scope='row'>{name + note if number == 0 else ''}</th>"
            f"<td>{escape(c.what)}</td><td>{estimate}&nbsp;{escape(c.unit)}</td>"
            f"<td>[{low},&nbsp;{high}]</td><td>{escape(c.asked)}</td>"
            f"<td>{MARKS[c.outcome]} {c.outcome}</td></tr>"
        )
    return "".join(rows)


def _as_plain(value: object) -> object:
    """Turn NumPy's numbers and arrays into Python's; refuse what has no lasting text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, range):
        return list(value)
    raise TypeError(f"{value!r:.100} is a {type(value).__name__}")
