"""Move the goalposts: a verdict card whose criterion, level, seeds and arms can be moved.

The page computes the verdict anew by the rules of `course_lib.verdicts` and names each move for
what it is. How few moves lead to a word is found by search, here.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib import figures, verdicts
from course_lib.arms import Arm, level_of, verdict_of
from course_lib.evidence import Claim
from course_lib.intervals import t_interval
from course_lib.verdicts import MARKS, OUTCOMES, VERDICTS
from course_lib.widgets import MovingFigure, joined, script

LEVELS = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # of all intervals of a claim together
FIXED = LEVELS.index(0.95)  # as `level_of` has it
FEWEST = 5  # seeds, below which `evidence.record` prints no verdict
DRAWS = 9
POSITIONS = 90  # of a margin's slider, about
PATIENCE = 20  # moves, after which the search gives up
COLOURS = dict(zip(VERDICTS, (figures.PALETTE[i] for i in (2, 1, 3, 4, 5)), strict=True))


class Goalposts(MovingFigure):
    """The primary arms of a claim, and all that can be moved until another word is printed.

    A margin moves all conditions that ask for the same: same side, thresholds and unit. A *move* is
    one step of a margin, one notch of the level, one seed left out, one draw of other seeds, or one
    arm left out. Moves are counted from the protocol, so taking one back costs nothing.

    Args:
        claim: on trial; its rule decides.
        arms: as `evidence.record` takes them. The exploratory ones are left out.
        seeds: of the run, in the order of each condition's values; at least 5.
        goal: the word to reach, one of `verdicts.VERDICTS` but not the verdict itself.
        caption: what is drawn, with the seeds and what the bars are.
        alt: what the picture shows and what can be moved.

    Attributes:
        least: the fewest moves that lead to the goal, as `{"moves", "shifts", "level", "seeds",
            "draw", "arms"}`, or None if more than 20 are needed.

    Raises:
        ValueError: if an arm has no values (a share or a bootstrap), or not one for each seed; if
            there are fewer than 5 seeds, a level is not `level_of(m)`, or the goal is no word that
            could be reached; and as `verdict_of` and `MovingFigure`.
    """

    _esm = script("judging.js", "goalposts.js")
    _css = joined("page.css", "figure.css", "games.css")

    def __init__(
        self,
        claim: Claim,
        arms: Iterable[Arm],
        *,
        seeds: Sequence[int],
        goal: str = "supported",
        caption: str,
        alt: str,
    ):
        arms = [arm for arm in arms if arm.primary]
        verdict = verdict_of(arms, claim.rule)
        _check(arms, seeds)
        words = {  # the verdict hangs on which outcomes there are, not on how many
            " ".join(some): verdicts.verdict(some, claim.rule)
            for size in (1, 2, 3)
            for some in itertools.combinations(OUTCOMES, size)
        }
        if goal == verdict or goal not in words.values():
            raise ValueError(
                f"goal is a word that the rule {claim.rule!r} can give, other than the verdict, "
                f"{verdict!r}; got {goal!r}"
            )
        asked = [(c.side, c.holds, c.fails, c.unit) for arm in arms for c in arm.conditions]
        asked = list(dict.fromkeys(asked))
        draw = np.random.default_rng(0)
        orders = [list(range(len(seeds)))]
        orders += [draw.permutation(len(seeds)).tolist() for _ in range(DRAWS)]
        state = {
            "id": claim.id,
            "claim": claim.claim,
            "verdict": verdict,
            "goal": goal,
            "marks": MARKS,
            "colours": COLOURS,
            "words": words,
            "levels": LEVELS,
            "level": FIXED,
            "fewest": FEWEST,
            "seeds": [int(seed) for seed in seeds],
            "orders": orders,
            "criteria": [_criterion(arms, *one) for one in asked],
            "arms": [
                {
                    "name": arm.name,
                    "conditions": [
                        {
                            "what": c.what,
                            "criterion": asked.index((c.side, c.holds, c.fails, c.unit)),
                            "values": list(c.interval.values),
                        }
                        for c in arm.conditions
                    ],
                }
                for arm in arms
            ],
        }
        self.least = _least(state)
        super().__init__({**state, "least": self.least}, caption=caption, alt=alt)

    def numbers(self) -> pd.DataFrame:
        """Return which word would be printed where, a row for each stretch of a margin."""
        rows = []
        for number, criterion in enumerate(self.state["criteria"]):
            for first, last, word in _ribbon(self.state, number):
                ends = [_asked(criterion, shift) for shift in dict.fromkeys((first, last))]
                rows.append({"what an arm must show": " to ".join(ends), "verdict": word})
        return pd.DataFrame(rows)

    def still(self) -> Figure:
        """Draw the arms as the protocol has them, below the words along each margin."""
        state = self.state
        fig, axes = figures.panels(len(state["criteria"]), columns=1, height=3.6)
        for number, (ax, criterion) in enumerate(zip(axes, state["criteria"], strict=True)):
            for first, last, word in _ribbon(state, number):
                ends = [_place(criterion, shift) for shift in (first - 0.5, last + 0.5)]
                look = {"color": COLOURS[word], "lw": 8, "solid_capstyle": "butt"}
                ax.plot(ends, [-1.1, -1.1], **look)
                share = abs(ends[1] - ends[0]) / _width(criterion)
                if share > 0.02:
                    said = f"{MARKS[word]} {word}" if share > 0.2 else MARKS[word]
                    ax.text(sum(ends) / 2, -1.4, said, ha="center", fontsize=9)
            names = []
            for arm, conditions in zip(state["arms"], _at_protocol(state), strict=True):
                for c, (_, interval) in zip(arm["conditions"], conditions, strict=True):
                    if c["criterion"] == number:
                        y, name = len(names), arm["name"]
                        ax.plot([interval.low, interval.high], [y, y], color=figures.PALETTE[0])
                        ax.plot(interval.estimate, y, "o", color=figures.PALETTE[0])
                        several = len(arm["conditions"]) > 1
                        names.append(f"{name}: {c['what']}" if several else name)
            for end in verdicts.ends(criterion["holds"], criterion["fails"]):
                ax.axvline(end, color=figures.INK, lw=1.5)
            ax.set_yticks(range(len(names)), names)
            ax.set_ylim(len(names) - 0.4, -2)
            ax.set_xlabel(f"{criterion['unit'] or 'value'}, to be {_asked(criterion, 0)}")
            ax.grid(axis="y", visible=False)
        axes[0].set_title(f"{state['id']}: {state['verdict']}")
        return fig


def _check(arms: Sequence[Arm], seeds: Sequence[int]) -> None:
    if len(set(seeds)) < FEWEST or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {FEWEST} or more, each once; got {list(seeds)}")
    for arm in arms:
        for interval in (c.interval for c in arm.conditions):
            if interval.values is None:
                raise ValueError(
                    f"{arm.name}: its interval has no values, one for each seed, so its verdict "
                    "cannot be computed anew (a share or a bootstrap)"
                )
            if interval.n != len(seeds):
                raise ValueError(f"{arm.name}: {interval.n} values for {len(seeds)} seeds")
            if not math.isclose(interval.level, level_of(len(arms))):
                raise ValueError(
                    f"{arm.name}: with {len(arms)} primary arms the level is "
                    f"{level_of(len(arms)):.4f}; got {interval.level}"
                )


# --- Margins: a number of steps from where the protocol has them ----------------------------------


def _criterion(arms: Sequence[Arm], side: str, holds, fails, unit: str) -> dict:
    """A margin: where it stands, and how far each way its slider goes, in steps."""
    found = [
        c.interval
        for arm in arms
        for c in arm.conditions
        if (c.side, c.holds, c.fails, c.unit) == (side, holds, fails, unit)
    ]
    low, high = min(i.low for i in found), max(i.high for i in found)
    limits = verdicts.ends(holds, fails)
    if side == "inside":  # moved outward and inward, both ends at once
        middle = sum(holds) / 2
        reach = max(high - middle, middle - low, limits[-1] - middle, middle - limits[0])
        step = _nice(reach / POSITIONS)
        narrow = min(holds[1] - holds[0], fails[1] - fails[0]) / 2
        first = -math.floor(narrow / step + 1e-9)
        last = math.ceil((reach - narrow) / step) + 2
    else:
        low, high = min(low, *limits), max(high, *limits)
        step = _nice(max(high - low, 1e-6) / POSITIONS)
        first, last = -math.ceil((holds - low) / step) - 2, math.ceil((high - holds) / step) + 2
    as_list = [list(x) if isinstance(x, tuple) else x for x in (holds, fails)]
    return {
        "side": side,
        "holds": as_list[0],
        "fails": as_list[1],
        "unit": unit,
        "step": step,
        "first": first,
        "last": last,
    }


def _nice(number: float) -> float:
    """The nearest of 1, 2, 5, 10, … above or not far below a number."""
    power = 10 ** math.floor(math.log10(number))
    step = next(part for part in (1, 2, 5, 10) if part * power >= 0.95 * number)
    return float(f"{step * power:.1g}")


def _moved(limit, criterion: dict, shift: float):
    """A threshold moved by so many steps: up; where it is a pair, outward. As the page does it."""

    def plus(end: float, by: float) -> float:
        return round(end + by, 9) + 0.0  # and no negative zero

    if shift == 0:
        return tuple(limit) if isinstance(limit, list) else limit
    by = shift * criterion["step"]
    if criterion["side"] == "inside":
        return plus(limit[0], -by), plus(limit[1], by)
    return plus(limit, by)


def _asked(criterion: dict, shift: float) -> str:
    limits = (_moved(criterion[name], criterion, shift) for name in ("holds", "fails"))
    return verdicts.in_words(criterion["side"], *limits, criterion["unit"])


def _place(criterion: dict, shift: float) -> float:
    """Where a moved threshold stands on the axis; of a pair, the upper one."""
    limit = _moved(criterion["holds"], criterion, shift)
    return limit[1] if criterion["side"] == "inside" else limit


def _width(criterion: dict) -> float:
    return (criterion["last"] - criterion["first"]) * criterion["step"]


# --- The verdict, and the search ------------------------------------------------------------------


def _intervals(state: dict, k: int, draw: int, level: int, m: int) -> list:
    """For each arm the criterion and the interval of each condition.

    From k seeds of a draw, at a level of all intervals together, when m arms count.
    """
    places, one = state["orders"][draw][:k], 1 - (1 - LEVELS[level]) / m
    return [
        [
            (c["criterion"], t_interval([c["values"][i] for i in places], one))
            for c in arm["conditions"]
        ]
        for arm in state["arms"]
    ]


def _at_protocol(state: dict) -> list:
    return _intervals(state, len(state["seeds"]), 0, FIXED, len(state["arms"]))


def _outcomes(state: dict, intervals: list, shifts: Sequence[int]) -> list[str]:
    """The outcome of each arm, with the margins moved by so many steps each."""
    limits = [
        (one["side"], *(_moved(one[name], one, shift) for name in ("holds", "fails")))
        for one, shift in zip(state["criteria"], shifts, strict=True)
    ]
    return [
        verdicts.outcome_of_all(
            verdicts.outcome(interval.low, interval.high, *limits[number])
            for number, interval in conditions
        )
        for conditions in intervals
    ]


def _word(state: dict, outcomes: Iterable[str]) -> str:
    return state["words"][" ".join(name for name in OUTCOMES if name in set(outcomes))]


def _ribbon(state: dict, number: int) -> list[tuple[int, int, str]]:
    """The stretches of one margin that give the same word: first and last shift, and the word."""
    intervals, criterion, found = _at_protocol(state), state["criteria"][number], []
    for shift in range(criterion["first"], criterion["last"] + 1):
        shifts = [shift * (i == number) for i in range(len(state["criteria"]))]
        word = _word(state, _outcomes(state, intervals, shifts))
        if found and found[-1][2] == word:
            found[-1] = (found[-1][0], shift, word)
        else:
            found.append((shift, shift, word))
    return found


def _least(state: dict) -> dict | None:
    """The fewest moves to the goal: all that cost nothing are tried, then all that cost one, …"""
    n, arms = len(state["seeds"]), len(state["arms"])
    intervals = functools.cache(functools.partial(_intervals, state))
    settings = [  # and what they cost before a margin moves
        (n - k + draw + abs(level - FIXED) + arms - m, k, draw, level, m)
        for k in range(n, FEWEST - 1, -1)
        for draw in range(DRAWS + 1 if k < n else 1)
        for level in range(len(LEVELS))
        for m in range(arms, 0, -1)
    ]
    for moves in range(PATIENCE + 1):
        for cost, *where in settings:
            if cost > moves:
                continue
            for shifts in _steps(state["criteria"], moves - cost):
                chosen = _choose(state, _outcomes(state, intervals(*where), shifts), where[-1])
                if chosen is not None:
                    k, draw, level, _ = where
                    return {
                        "moves": moves,
                        "shifts": list(shifts),
                        "level": level,
                        "seeds": k,
                        "draw": draw,
                        "arms": chosen,
                    }
    return None


def _steps(criteria: Sequence[dict], total: int) -> Iterator[tuple[int, ...]]:
    """All ways to move the margins by so many steps in all."""
    if not criteria:
        if total == 0:
            yield ()
        return
    first, *rest = criteria
    for size in range(total + 1):
        for shift in {size, -size}:
            if first["first"] <= shift <= first["last"]:
                yield from ((shift, *more) for more in _steps(rest, total - size))


def _choose(state: dict, outcomes: list[str], m: int) -> list[bool] | None:
    """Which m arms to count, so that the word is the goal; None if no m of them give it."""
    for kinds, word in state["words"].items():
        of_these = [i for i, outcome in enumerate(outcomes) if outcome in kinds.split(" ")]
        if word != state["goal"] or {outcomes[i] for i in of_these} != set(kinds.split(" ")):
            continue
        one_each = [outcomes.index(kind) for kind in kinds.split(" ")]
        if len(one_each) <= m <= len(of_these):
            counted = [*one_each, *(i for i in of_these if i not in one_each)][:m]
            return [i in counted for i in range(len(outcomes))]
    return None
