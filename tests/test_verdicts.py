"""The rules from intervals to outcomes and to verdicts, and the schema of the ledger."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from course_lib import verdicts

ROOT = Path(__file__).parents[1]
# Few values, so that ends often lie on a threshold.
numbers = st.integers(-6, 6).map(lambda n: n / 4)


def test_the_rules_need_nothing_but_python():
    code = (
        "import sys; before = set(sys.modules); import course_lib.verdicts; "
        "print({name.split('.')[0] for name in set(sys.modules) - before} - {'course_lib'} "
        "- set(sys.stdlib_module_names))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


# --- From an interval to an outcome ---------------------------------------------------------------


def on_side(x, side, threshold):
    if side == "inside":
        return threshold[0] <= x <= threshold[1]
    return {">": x > threshold, ">=": x >= threshold, "<": x < threshold, "<=": x <= threshold}[
        side
    ]


@st.composite
def sides(draw, sides=tuple(verdicts.SIDES)):
    """A side, and two thresholds that fit it."""
    side = draw(st.sampled_from(sides))
    pair = st.tuples(numbers, numbers).map(sorted).map(tuple)
    return side, *(draw(pair if side == "inside" else numbers) for _ in range(2))


intervals = st.tuples(numbers, numbers).map(sorted)


@given(ends=intervals, asked=sides())
def test_with_one_threshold_an_outcome_is_about_every_point(ends, asked):
    """The rule that decided the first round, stated by points of the interval."""
    (low, high), (side, threshold, _) = ends, asked
    limits = threshold if side == "inside" else (threshold,)
    points = [low, high, *(min(max(limit, low), high) for limit in limits)]
    true = [on_side(x, side, threshold) for x in points]
    expected = "holds" if all(true) else "undecided" if any(true) else "fails"
    assert verdicts.outcome(low, high, side, threshold, threshold) == expected


@given(
    ends=st.tuples(st.floats(-5, 5), st.floats(-5, 5)).map(sorted),
    limits=st.tuples(st.floats(-5, 5), st.floats(-5, 5)).map(sorted),
    side=st.sampled_from(list(verdicts.SIDES)),
)
def test_with_one_threshold_an_outcome_is_what_it_always_was(ends, limits, side):
    """The formula as it stood when the first round was run."""
    (low, high), (t, u) = ends, limits
    holds, fails = {
        ">": (low > t, high <= t),
        ">=": (low >= t, high < t),
        "<": (high < t, low >= t),
        "<=": (high <= t, low > t),
        "inside": (t <= low and high <= u, high < t or low > u),
    }[side]
    expected = "holds" if holds else "fails" if fails else "undecided"
    limit = (t, u) if side == "inside" else t
    assert verdicts.outcome(low, high, side, limit, limit) == expected


@given(ends=intervals, asked=sides())
def test_with_two_thresholds_what_falls_short_fails(ends, asked):
    (low, high), (side, holds, fails) = ends, asked
    found = verdicts.outcome(low, high, side, holds, fails)
    if fails == holds:
        return
    if side == "inside":
        short = high < fails[0] or fails[1] < low
    else:
        short = high < fails if side in (">", ">=") else fails < low
    beyond = on_side(low, side, holds) and on_side(high, side, holds)
    assert found == ("fails" if short else "holds" if beyond else "undecided")


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.1, 0.4, "fails"),  # a difference, and smaller than what matters
        (0.1, 0.5, "holds"),  # it may be as large as what matters
        (0.1, 0.9, "holds"),
        (-0.1, 0.4, "fails"),
        (-0.1, 0.9, "undecided"),
        (0.0, 0.9, "undecided"),
        (-0.2, -0.1, "fails"),
    ],
)
def test_the_smallest_difference_that_matters(low, high, outcome):
    assert verdicts.outcome(low, high, ">", 0.0, 0.5) == outcome
    assert verdicts.outcome(-high, -low, "<", 0.0, -0.5) == outcome, "signs turned"


@given(estimate=numbers, asked=sides(), step=st.floats(0.001, 0.2))
def test_the_room_is_the_widest_interval_that_is_decided(estimate, asked, step):
    side, holds, fails = asked
    room = verdicts.room(estimate, side, holds, fails)
    if room > step:
        inner = room - step
        decided = verdicts.outcome(estimate - inner, estimate + inner, side, holds, fails)
        assert decided != "undecided"
    outer = max(room, 0) + step
    found = verdicts.outcome(estimate - outer, estimate + outer, side, holds, fails)
    assert found == "undecided"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((">=", -1.0, -1.0, "pp"), "≥ −1 pp"),
        (("<", 1.0, 1.0), "< 1"),
        ((">", 0.0, 0.5, "pp"), "> 0 pp (fails below 0.5 pp)"),
        (("<", 0.0, -0.5, ""), "< 0 (fails above −0.5)"),
        (("inside", (0.95, 1.05), (0.95, 1.05)), "inside [0.95, 1.05]"),
        (
            ("inside", [-1.0, 1.0], [-2.0, 2.0], "pp"),
            "inside [−1, 1] pp (fails outside [−2, 2] pp)",
        ),
    ],
)
def test_what_is_asked_in_words(asked, words):
    assert verdicts.in_words(*asked) == words


def test_thresholds_as_numbers():
    assert verdicts.ends(0.0, 0.0) == [0.0]
    assert verdicts.ends(0.5, 0.0) == [0.0, 0.5]
    assert verdicts.ends((0, 1), [-1, 1]) == [-1, 0, 1]


# --- From outcomes to a verdict -------------------------------------------------------------------


def by_hand(rule, holds, fails, m):
    """The rules as CLAIMS words them, from the numbers of arms that hold and that fail."""
    return {
        "each": [
            ("supported", holds == m),
            ("not supported", fails == m),
            ("conditional", holds > 0 and fails > 0),
        ],
        "some": [("supported", holds >= 1), ("not supported", fails == m)],
        "every": [("supported", holds == m), ("not supported", fails >= 1)],
        "same side": [
            ("supported", m in (holds, fails)),
            ("not supported", holds >= 1 and fails >= 1),
        ],
        "no way out": [("not supported", holds >= 1), ("supported", fails == m)],
    }[rule]


@pytest.mark.parametrize("rule", verdicts.RULES)
@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_every_verdict_from_every_mixture_of_outcomes(rule, m):
    for outcomes in itertools.product(verdicts.OUTCOMES, repeat=m):
        holds, fails = outcomes.count("holds"), outcomes.count("fails")
        expected = [word for word, true in by_hand(rule, holds, fails, m) if true]
        assert len(expected) <= 1, "the rule contradicts itself"
        assert verdicts.verdict(outcomes, rule) == (expected or ["inconclusive"])[0]
        assert verdicts.verdict(outcomes, rule, precondition=False) == "vacuous"


def test_the_rule_is_each_unless_another_is_named():
    assert verdicts.verdict(["holds", "fails"]) == "conditional"
    assert verdicts.verdict([], precondition=False) == "vacuous"  # all arms were left out


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["holds"], "holds"),
        (["holds", "holds"], "holds"),
        (["holds", "undecided"], "undecided"),
        (["fails", "holds"], "fails"),
        (["undecided", "fails", "holds"], "fails"),
    ],
)
def test_the_outcome_of_an_arm(outcomes, expected):
    for order in itertools.permutations(outcomes):
        assert verdicts.outcome_of_all(order) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verdicts.verdict([]), "1 to 6 primary arms"),
        (lambda: verdicts.verdict(["holds"] * 7), "1 to 6 primary arms"),
        (lambda: verdicts.verdict(["holds", "maybe"]), "outcomes are of"),
        (lambda: verdicts.verdict(["holds"], "most"), "rule is one of"),
        (lambda: verdicts.outcome_of_all([]), "at least one; got []"),
        (lambda: verdicts.check_side("above", 0, 0), "side is one of"),
        (lambda: verdicts.check_side("inside", (0, 1), 0), "got 'inside' with fails=0"),
        (lambda: verdicts.check_side(">", 0, math.nan), "got fails=nan"),
        (lambda: verdicts.check_side("inside", (1, 0), (0, 1)), "got holds=(1, 0)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


# --- The schema -----------------------------------------------------------------------------------

SCHEMA = json.loads(verdicts.SCHEMA.read_text(encoding="utf-8"))


def test_the_schema_is_one_and_has_the_words_of_the_rules():
    Draft202012Validator.check_schema(SCHEMA)
    claim, arm, condition = (SCHEMA["$defs"][name] for name in ("claim", "arm", "condition"))
    fields = claim["properties"]
    assert fields["verdict"]["enum"] == list(verdicts.VERDICTS)
    assert fields["rule"]["enum"] == list(verdicts.RULES)
    assert fields["arms"]["maxContains"] == verdicts.MAX_PRIMARY
    assert condition["properties"]["outcome"]["enum"] == list(verdicts.OUTCOMES)
    assert arm["properties"]["outcome"]["enum"] == [*verdicts.OUTCOMES, None]
    assert condition["properties"]["side"]["enum"] == list(verdicts.SIDES)
    for part in (claim, arm, condition, fields["protocol"]):
        known = set(part["properties"]) - {"href"}
        assert part["required"] == [name for name in part["properties"] if name in known]
        assert part["additionalProperties"] is False


def test_counts_say_how_many_arms_hold_and_fail():
    assert verdicts.counts(["fails", "undecided", "fails", "fails"]) == "3 of 4 fail, 1 undecided"
    assert verdicts.counts(["fails", "holds"]) == "1 of 2 holds, 1 fails"
    assert verdicts.counts(["undecided"]) == "the only arm is undecided"
    assert verdicts.counts(["fails"] * 6) == "all 6 fail"
    assert verdicts.counts(["undecided"] * 2) == "all 2 are undecided"


def test_a_margin_is_negative_exactly_if_an_interval_is_undecided():
    for side, holds in ((">", 0.0), (">=", 0.0), ("<", 0.0), ("<=", 0.0), ("inside", (-1.0, 1.0))):
        for low, high in ((-3, -2), (-2.5, -0.5), (-0.5, 0.5), (-0.5, 2), (0.25, 0.5), (2, 3)):
            by = verdicts.margin(low, high, side, holds, holds)
            assert (by < 0) == (verdicts.outcome(low, high, side, holds, holds) == "undecided")
    assert verdicts.margin(-4.0, -1.25, ">=", -1.0, -1.0) == 0.25
