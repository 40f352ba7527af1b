"""The rules of evidence: intervals that cover, outcomes and verdicts, and the ledger's entries."""

import ast
import copy
import dataclasses
import itertools
import json
import math
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from course_lib import display as course_display
from course_lib import evidence, verdicts
from course_lib.evidence import Arm, Claim, Condition, Interval

ROOT = Path(__file__).parents[1]
finite = st.floats(-100, 100).map(lambda x: round(x, 3))


def test_importing_it_does_not_wait_for_torch_or_scipy():
    code = "import sys, course_lib.evidence; print({'torch', 'scipy'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


# --- Intervals ------------------------------------------------------------------------------------


@given(values=st.lists(finite, min_size=2, max_size=30), level=st.floats(0.5, 0.999))
def test_t_interval_agrees_with_scipy(values, level):
    assume(np.std(values) > 1e-6)
    found = evidence.t_interval(values, level)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(level)
    np.testing.assert_allclose(
        [found.low, found.high], [theirs.low, theirs.high], rtol=1e-9, atol=1e-9
    )
    assert found.estimate == pytest.approx(np.mean(values))
    assert (found.n, found.level) == (len(values), level)
    assert found.spread == pytest.approx(np.std(values, ddof=1))


def test_t_interval_by_hand():
    # Mean 3, s² = 2.5, t at 4 degrees of freedom is 2.776 (any table).
    found = evidence.t_interval([1, 2, 3, 4, 5])
    half = 2.7764451 * math.sqrt(2.5 / 5)
    assert (found.low, found.high) == (pytest.approx(3 - half), pytest.approx(3 + half))


def test_equal_values_have_an_interval_without_width():
    found = evidence.t_interval([0.5] * 6)
    assert (found.low, found.estimate, found.high) == (0.5, 0.5, 0.5)


@given(n=st.integers(1, 60), data=st.data(), level=st.floats(0.5, 0.999))
def test_share_interval_is_the_quantile_of_a_beta_distribution(n, data, level):
    k = data.draw(st.integers(0, n))
    found = evidence.share_interval(k, n, level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else stats.beta.ppf(tail, k, n - k + 1)
    high = 1.0 if k == n else stats.beta.ppf(1 - tail, k + 1, n - k)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert (found.estimate, found.n, found.level) == (k / n, n, level)


@pytest.mark.parametrize("n", [5, 20, 100])
@pytest.mark.parametrize("level", [0.95, evidence.level_of(6)])
def test_share_intervals_cover_at_least_as_often_as_they_say(n, level):
    """No simulation: the coverage at p is a sum over the n + 1 possible counts."""
    found = [evidence.share_interval(k, n, level) for k in range(n + 1)]
    for p in np.linspace(0.003, 0.997, 60):
        covers = [i.low <= p <= i.high for i in found]
        assert stats.binom.pmf(np.arange(n + 1), n, p)[covers].sum() >= level - 1e-12


@pytest.mark.parametrize("m", [1, 2, 6])
@pytest.mark.parametrize("shared", [0.0, 0.7])  # of the variance: arms are paired by the same seeds
def test_the_intervals_of_a_claim_cover_together(m, shared):
    repeats, n = 1500, 5
    generator = np.random.default_rng(m)
    truth = np.linspace(-1, 2, m)
    noise = math.sqrt(1 - shared) * generator.standard_normal((repeats, m, n))
    noise += math.sqrt(shared) * generator.standard_normal((repeats, 1, n))
    covered, at_95 = 0, 0
    for values in truth[:, None] + 3 * noise:
        found = [evidence.t_interval(row, evidence.level_of(m)) for row in values]
        covered += all(i.low <= t <= i.high for i, t in zip(found, truth, strict=True))
        found = [evidence.t_interval(row) for row in values] if m == 6 else []
        at_95 += all(i.low <= t <= i.high for i, t in zip(found, truth, strict=False))
    error = math.sqrt(0.95 * 0.05 / repeats)
    assert covered / repeats >= 0.95 - 3 * error
    if shared == 0:  # and are no wider than they need to be
        assert covered / repeats <= (1 - 0.05 / m) ** m + 3 * error
    if m == 6:  # what would be wrong: six intervals at 95% each
        assert at_95 / repeats < 0.93 - 3 * error


def test_level_of_divides_the_error_among_the_arms():
    assert [evidence.level_of(m) for m in (1, 2, 5)] == [0.95, 0.975, 0.99]


def test_bootstrap_of_a_constant_ratio_is_that_ratio():
    """Blocks are resampled as pairs; apart, these would give a wide interval."""
    bottom = np.array([1.0, 3.0, 0.5, 7.0, 2.0, 11.0])
    found = evidence.bootstrap_ratio_of_medians(0.75 * bottom, bottom, seed=1)
    assert (found.low, found.estimate, found.high) == (pytest.approx(0.75),) * 3
    assert math.isnan(found.spread)


def test_bootstrap_is_seeded_and_against_a_plain_one():
    generator = np.random.default_rng(0)
    top, bottom = generator.lognormal(0.2, 0.3, 11), generator.lognormal(0, 0.3, 11)
    found = evidence.bootstrap_ratio_of_medians(top, bottom, 0.9, seed=4)
    assert found == evidence.bootstrap_ratio_of_medians(top, bottom, 0.9, seed=4)
    assert found.estimate == np.median(top) / np.median(bottom)
    plain = []
    for _ in range(4000):
        i = generator.choice(11, 11)
        plain.append(np.median(top[i]) / np.median(bottom[i]))
    np.testing.assert_allclose([found.low, found.high], np.quantile(plain, [0.05, 0.95]), rtol=0.05)


def test_bootstrap_covers_roughly_as_often_as_it_says():
    generator, covered, repeats = np.random.default_rng(3), 0, 300
    for repeat in range(repeats):
        block = generator.lognormal(0, 0.2, 15)  # what both timings of a block share
        top, bottom = (generator.lognormal(mu, 0.1, 15) * block for mu in (math.log(0.8), 0))
        found = evidence.bootstrap_ratio_of_medians(top, bottom, seed=repeat, resamples=400)
        covered += found.low <= 0.8 <= found.high
    assert 0.90 <= covered / repeats <= 0.995


# --- Outcomes -------------------------------------------------------------------------------------


def condition(low, high, side, holds, **kwargs):
    interval = Interval((low + high) / 2, low, high, 5)
    return Condition("difference", interval, side, holds, "pp", **kwargs)


@pytest.mark.parametrize(
    ("low", "high", "side", "threshold", "outcome"),
    [
        (-0.5, 2.0, ">=", -1.0, "holds"),
        (-1.0, 2.0, ">=", -1.0, "holds"),  # the end on the threshold
        (-1.0, 2.0, ">", -1.0, "undecided"),
        (-3.0, -1.0, ">", -1.0, "fails"),
        (-3.0, -1.0, ">=", -1.0, "undecided"),
        (-3.0, -2.0, ">=", -1.0, "fails"),
        (-3.0, 2.0, ">", -1.0, "undecided"),
        (0.1, 0.9, "<", 1.0, "holds"),
        (0.1, 1.0, "<", 1.0, "undecided"),
        (0.1, 1.0, "<=", 1.0, "holds"),
        (1.0, 1.3, "<", 1.0, "fails"),
        (1.0, 1.3, "<=", 1.0, "undecided"),
        (1.1, 1.3, "<=", 1.0, "fails"),
        (0.96, 1.04, "inside", (0.95, 1.05), "holds"),
        (0.95, 1.05, "inside", (0.95, 1.05), "holds"),
        (0.90, 1.00, "inside", (0.95, 1.05), "undecided"),
        (1.00, 1.10, "inside", (0.95, 1.05), "undecided"),
        (0.80, 1.20, "inside", (0.95, 1.05), "undecided"),
        (0.80, 0.94, "inside", (0.95, 1.05), "fails"),
        (1.06, 1.20, "inside", (0.95, 1.05), "fails"),
        (0.80, 0.95, "inside", (0.95, 1.05), "undecided"),
    ],
)
def test_the_outcome_of_a_condition(low, high, side, threshold, outcome):
    found = condition(low, high, side, threshold)
    assert found.outcome == outcome
    assert str(found).endswith(outcome)


# One condition for each outcome, about the same threshold.
CONDITIONS = {
    "holds": condition(0.5, 1.5, ">", 0.0),
    "fails": condition(-1.5, -0.5, ">", 0.0),
    "undecided": condition(-0.5, 1.5, ">", 0.0),
}


def arm(*outcomes, name="arm", **kwargs):
    return Arm(name, tuple(CONDITIONS[outcome] for outcome in outcomes), **kwargs)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["holds"], "holds"),
        (["fails"], "fails"),
        (["undecided"], "undecided"),
        (["holds", "holds"], "holds"),
        (["holds", "undecided"], "undecided"),
        (["holds", "fails"], "fails"),
        (["undecided", "fails"], "fails"),
    ],
)
def test_an_arm_holds_if_all_its_conditions_do_and_fails_if_one_does(outcomes, expected):
    for order in itertools.permutations(outcomes):
        assert arm(*order).outcome == expected


# --- Verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", verdicts.RULES)
def test_the_primary_arms_decide_by_the_rule(rule):
    for outcomes in itertools.product(verdicts.OUTCOMES, repeat=3):
        arms = [arm(outcome, name=str(i)) for i, outcome in enumerate(outcomes)]
        arms.append(arm("fails", name="explored", primary=False))
        assert evidence.verdict_of(arms, rule) == verdicts.verdict(outcomes, rule)
        assert evidence.verdict_of(arms, rule, precondition=False) == "vacuous"
        if rule == "each":
            assert evidence.verdict_of(arms) == evidence.verdict_of(arms, "each")


def test_exploratory_arms_are_never_counted():
    arms = [arm("holds", name="a"), arm("fails", name="b", primary=False)]
    assert evidence.verdict_of(arms) == "supported"
    many = [arm("fails", name=str(i), primary=False) for i in range(20)]
    assert evidence.verdict_of([arm("holds"), *many]) == "supported"


def test_arms_on_one_side_have_one_and_the_same_threshold():
    other = Arm("b", (condition(0.5, 1.5, ">", 0.25),))
    with_delta = Arm("b", (condition(0.5, 1.5, ">", 0.0, fails=0.25),))
    for one in (other, with_delta):
        with pytest.raises(ValueError, match="one condition each"):
            evidence.verdict_of([arm("holds", name="a"), one], "same side")
    with pytest.raises(ValueError, match="one condition each"):
        evidence.verdict_of([arm("holds", "holds")], "same side")
    explored = Arm("b", other.conditions, primary=False)
    assert evidence.verdict_of([arm("holds", name="a"), explored], "same side") == "supported"


@pytest.mark.parametrize("rule", verdicts.RULES)
def test_each_rule_needs_a_primary_arm(rule):
    for precondition in (True, False):
        with pytest.raises(ValueError, match="1 to 6 primary arms"):
            evidence.verdict_of([arm("holds", primary=False)], rule, precondition=precondition)
    with pytest.raises(ValueError, match="rule is one of"):
        evidence.verdict_of([arm("holds")], rule.upper())


# --- How many seeds it would need -----------------------------------------------------------------


@given(
    mean=st.floats(-3, 3),
    spread=st.floats(0.01, 3),
    side=st.sampled_from(list(verdicts.SIDES)),
    threshold=st.tuples(st.floats(-3, 0), st.floats(0, 3)),
    level=st.sampled_from([0.95, 0.975, evidence.level_of(6)]),
)
def test_needed_n_by_brute_force(mean, spread, side, threshold, level):
    ends = threshold if side == "inside" else threshold[:1]
    distance = min(abs(mean - end) for end in ends)
    assume(distance > spread / 10)
    c = Condition(
        "x", Interval(mean, mean - 1, mean + 1, 5, spread), side,
        threshold if side == "inside" else threshold[0], "",
    )  # fmt: skip
    n = np.arange(2, 5000)
    half = stats.t.ppf((1 + level) / 2, n - 1) * spread / np.sqrt(n)
    assert evidence.needed_n(c, level) == n[half <= distance][0]


def test_needed_n_decides():
    """With so many values of the same mean and spread the outcome is no longer undecided."""
    c = Condition("x", evidence.t_interval([0.3, -1.0, 1.4, 0.9, -0.2]), ">", 0.0, "pp")
    assert c.outcome == "undecided"
    n = evidence.needed_n(c, 0.95)
    for k, expected in ((n, "holds"), (n - 1, "undecided")):
        values = np.tile([-1.0, 1.0], k)[:k].astype(float)
        values = (values - values.mean()) / values.std(ddof=1)
        values = values * c.interval.spread + c.interval.estimate
        assert Condition("x", evidence.t_interval(values), ">", 0.0, "pp").outcome == expected


def test_needed_n_at_its_edges():
    t = evidence.t_interval([1.0, 2.0, 3.0])
    assert evidence.needed_n(Condition("x", t, ">", 2.0, ""), 0.95) == math.inf
    share = evidence.share_interval(3, 9)
    assert math.isnan(evidence.needed_n(Condition("x", share, ">", 0.5, ""), 0.95))
    same = evidence.t_interval([1.0, 1.0, 1.0])
    assert evidence.needed_n(Condition("x", same, ">", 0.5, ""), 0.95) == 2


# --- The protocol's fingerprint -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Part:
    rate: float = 0.1


@dataclasses.dataclass(frozen=True)
class Protocol:
    steps: int = 300
    rate: float = 0.1
    name: str = "a"
    on: bool = True
    sizes: tuple = (64, 10)
    nested: dict = dataclasses.field(default_factory=lambda: {"a": [1, 2]})
    part: Part = dataclasses.field(default_factory=Part)
    nothing: float | None = None


def test_any_change_of_any_value_changes_the_fingerprint():
    other = {
        "steps": 301, "rate": 0.1 + 1e-12, "name": "b", "on": False, "sizes": (64, 11),
        "nested": {"a": [2, 1]}, "part": Part(0.2), "nothing": 0.0,
    }  # fmt: skip
    prints = {evidence.fingerprint(Protocol())}
    for field in dataclasses.fields(Protocol):
        prints.add(evidence.fingerprint(Protocol(**{field.name: other[field.name]})))
    assert len(prints) == 1 + len(dataclasses.fields(Protocol))


def test_the_fingerprint_is_the_same_in_every_process():
    assert evidence.fingerprint(Protocol()) == evidence.fingerprint(copy.deepcopy(Protocol()))
    assert evidence.fingerprint(Part(0.25)) == "b0864a021ffa"


# The protocols of the chapters were fixed before their runs. Nothing may change one unseen.
PROTOCOLS = {
    "01_costs": "3d17957cc6cb",
    "01_pruning": "629e281e7ce9",
    "03_tickets": "b93911af4a7f",
    "05_superposition": "e2097446805f",
    "06_autoencoders": "c994c1e5e4af",
    "12_measuring": "1c9a8bf6fa92",
    "13_shifts": "1d463be2b49c",
}


@pytest.mark.parametrize("chapter", PROTOCOLS)
def test_the_protocols_of_the_chapters_are_as_they_were(chapter):
    names = {"dataclass": dataclasses.dataclass}
    for cell in nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and "class " in cell.source and "Protocol" not in names:
            classes = [n for n in ast.parse(cell.source).body if isinstance(n, ast.ClassDef)]
            exec(compile(ast.Module(classes, []), chapter, "exec"), names)
    assert evidence.fingerprint(names["Protocol"]()) == PROTOCOLS[chapter]


def test_numpy_numbers_are_the_numbers_they_are():
    plain = Protocol(steps=5, rate=0.5, sizes=(1, 2), nested={"a": [0, 1, 2]})
    numpy = Protocol(
        steps=np.int64(5), rate=np.float64(0.5), sizes=np.array([1, 2]), nested={"a": range(3)}
    )
    assert evidence.fingerprint(numpy) == evidence.fingerprint(plain)


@pytest.mark.parametrize("value", [lambda x: x, {1, 2}, object(), {(1, 2): 3}])
def test_what_has_no_lasting_text_is_no_part_of_a_protocol(value):
    """A function prints its address, a set its order: the hash would change by itself."""
    with pytest.raises(ValueError, match="a protocol holds numbers, texts and lists"):
        evidence.fingerprint(Protocol(name=value))


@pytest.mark.parametrize("protocol", [{"steps": 3}, Protocol, None, 3])
def test_a_protocol_is_a_dataclass(protocol):
    with pytest.raises(ValueError, match="an instance of a dataclass"):
        evidence.fingerprint(protocol)


# --- The ledger -----------------------------------------------------------------------------------

CLAIM = Claim(
    id="W1",
    claim="Ninety <b>percent</b> & more can go",
    source='accounts "popular"',
    criterion="lower(x) > 0",
    chapter="01_pruning",
)


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed, as (data, metadata) pairs."""
    collected = []

    def display(data, raw=False, metadata=None):
        collected.append((data, metadata))

    monkeypatch.setattr(course_display, "display", display)
    return collected


def trial(outcomes=("holds", "fails"), **kwargs):
    """Return an arm for each outcome, over 8 seeds, at the level that so many arms need."""
    values = np.array([-1.2, 0.8, 0.3, -0.5, 1.1, -0.9, 0.6, 0.2])
    shift = {"holds": 5.0, "fails": -5.0, "undecided": 0.1}
    level = evidence.level_of(len(outcomes))
    found = [
        Condition("a & b", evidence.t_interval(values + shift[outcome], level), ">", 0.0, "pp")
        for outcome in outcomes
    ]
    assert [c.outcome for c in found] == list(outcomes)
    return [Arm(f"arm {i} <{c.outcome}>", (c,), **kwargs) for i, c in enumerate(found)]


class Tags(HTMLParser):
    """Check that every element is closed, and collect the text."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.text, self.attributes = [], "", []
        self.feed(markup)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [("each", "supported"), ("same side", "supported"), ("no way out", "not supported")],
)
def test_record_takes_the_rule_of_the_claim(rule, verdict, shown):
    claim = dataclasses.replace(CLAIM, rule=rule)
    settings = {"seeds": range(8), "protocol": Protocol()}
    arms = trial(["holds", "holds"])
    assert evidence.record(claim, arms, **settings) == verdict
    assert evidence.record(claim, arms, **settings, precondition=False) == "vacuous"
    entries = [metadata["claim"] for _, metadata in shown]
    assert [entry["verdict"] for entry in entries] == [verdict, "vacuous"]
    assert [entry["rule"] for entry in entries] == [rule, rule]


def test_record_returns_and_shows_the_verdict_and_escapes_what_it_shows(shown):
    arms = trial()
    arms.append(
        Arm("explored <i>", trial(["undecided"])[0].conditions, primary=False, note="a < b")
    )
    assert evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol()) == "conditional"
    ((data, _),) = shown
    html = Tags(data["text/html"])
    for text in (
        "Ninety <b>percent</b> & more can go",
        "arm 0 <holds>",
        "a & b",
        "a < b",
        "> 0 pp",
    ):
        assert text in html.text, text
    assert "Verdict: ◐ conditional" in html.text
    assert "(exploratory)" in html.text
    assert ("id", "claim-W1") in html.attributes
    assert ("class", "claim verdict-conditional") in html.attributes
    assert "Verdict: conditional" in data["text/plain"]
    assert "arm 1 <fails>" in data["text/plain"]


def test_a_ratio_has_no_plus_and_a_difference_has(shown):
    interval = evidence.Interval(0.5, 0.25, 0.75, 8, level=evidence.level_of(2))
    arms = [
        Arm(name, (Condition(name, interval, "<", 1.0, unit),))
        for name, unit in (("ratio", ""), ("difference", "pp"))
    ]
    evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol())
    ((data, _),) = shown
    assert "ratio: 0.50 [0.25, 0.75], to be < 1: holds" in data["text/plain"]
    assert "difference: +0.50 pp [+0.25, +0.75], to be < 1 pp: holds" in data["text/plain"]
    html = Tags(data["text/html"]).text
    assert all(text in html for text in ("[0.25,\xa00.75]", "+0.50\xa0pp", "[+0.25,\xa0+0.75]"))


def contract(shown):
    """The entry of the only claim that was recorded, as a program reads it."""
    ((_, metadata),) = shown
    entry = json.loads(json.dumps(metadata, allow_nan=False))["claim"]
    assert entry == metadata["claim"]
    return entry


def test_a_claim_that_is_played_again_shows_its_card_and_enters_no_ledger(shown):
    arms = trial()
    evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol())
    evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol(), ledger=False)
    (first, kept), (again, none) = shown
    assert first == again
    assert "claim" in kept
    assert none is None


def test_the_metadata_of_record_is_the_ledgers_contract(shown):
    arms = trial(["holds", "undecided"])
    level = evidence.level_of(2)
    band = Condition("ratio", evidence.share_interval(5, 9, level), "inside", (0, 1), "")
    arms[0] = dataclasses.replace(arms[0], conditions=(*arms[0].conditions, band), note="a note")
    arms.append(dataclasses.replace(trial(["fails"])[0], name="other", primary=False))
    evidence.record(CLAIM, arms, seeds=np.arange(8), protocol=Protocol())
    entry = contract(shown)
    named = ("id", "claim", "source", "chapter", "criterion", "run", "rule", "follows")
    assert {k: entry[k] for k in named} == {
        "id": "W1",
        "claim": CLAIM.claim,
        "source": CLAIM.source,
        "chapter": "01_pruning",
        "criterion": "lower(x) > 0",
        "run": "live",
        "rule": "each",
        "follows": None,
    }
    assert entry["seeds"] == list(range(8))
    assert entry["verdict"] == "inconclusive"
    assert (entry["finding"], entry["budget"]) == (None, None)
    assert entry["protocol"] == {"hash": evidence.fingerprint(Protocol()), "date": None}
    assert entry["platform"].endswith(f", torch {torch.__version__}")
    assert [a["primary"] for a in entry["arms"]] == [True, True, False]
    assert [a["outcome"] for a in entry["arms"]] == ["holds", "undecided", "fails"]
    assert [a["note"] for a in entry["arms"]] == ["a note", "", ""]
    for a, given_arm in zip(entry["arms"], arms, strict=True):
        assert a["name"] == given_arm.name
        for found, c in zip(a["conditions"], given_arm.conditions, strict=True):
            i = c.interval
            assert (found["what"], found["unit"], found["side"]) == (c.what, c.unit, c.side)
            assert (found["estimate"], found["low"], found["high"]) == (i.estimate, i.low, i.high)
            assert (found["n"], found["level"], found["outcome"]) == (i.n, i.level, c.outcome)
    first, ratio = entry["arms"][0]["conditions"]
    assert (first["holds"], first["fails"], ratio["holds"], ratio["fails"]) == (
        0,
        0,
        [0, 1],
        [0, 1],
    )
    # A page that computes verdicts anew needs the value of each seed.
    again = evidence.t_interval(first["values"], first["level"])
    assert (again.estimate, again.low, again.high) == (
        first["estimate"], first["low"], first["high"],
    )  # fmt: skip
    assert ratio["values"] is None, "a share has no value a seed"


def test_what_a_later_claim_has_is_entered(shown):
    """A smallest difference that matters, an older claim, a date, a finding and a budget."""
    values = np.array([0.2, 0.3, 0.25, 0.22, 0.28])
    c = evidence.condition("gain", values, ">", 0.0, m=1, fails=0.5)
    claim = dataclasses.replace(CLAIM, id="W1b", rule="some", follows="W1")
    extra = {"date": "2026-01-31", "finding": "It gains too little.", "budget": "at 300 steps"}
    arms = [Arm("a", (c,))]
    verdict = evidence.record(claim, arms, seeds=range(5), protocol=Protocol(), **extra)
    assert verdict == "not supported"  # above 0, and below what matters
    entry = contract(shown)
    (condition,) = entry["arms"][0]["conditions"]
    assert (condition["holds"], condition["fails"], condition["outcome"]) == (0.0, 0.5, "fails")
    assert condition["values"] == values.tolist()
    assert (entry["rule"], entry["follows"]) == ("some", "W1")
    assert (entry["finding"], entry["budget"]) == (extra["finding"], extra["budget"])
    assert entry["protocol"]["date"] == "2026-01-31"
    assert ledger_faults(entry) == []
    assert "> 0 pp (fails below 0.5 pp)" in Tags(shown[0][0]["text/html"]).text


def test_an_interval_of_an_unknown_level_has_none_in_the_ledger(shown):
    c = Condition("x", Interval(1.0, 0.5, 1.5, 8), ">", 0.0, "pp")
    evidence.record(CLAIM, [Arm("a", (c,))], seeds=range(8), protocol=Protocol())
    assert contract(shown)["arms"][0]["conditions"][0]["level"] is None
    assert ledger_faults(contract(shown)) == []


def ledger_faults(entry):
    """What the site has against an entry; without what builds the site, the test is left out."""
    sys.path.append(str(ROOT / "book" / "_ext"))
    return pytest.importorskip("course_ledger", exc_type=ImportError).faults(entry)


@pytest.mark.parametrize("outcomes", [["holds"], ["fails", "holds"], ["undecided"] * 6])
def test_the_site_accepts_what_record_writes(outcomes, shown):
    evidence.record(CLAIM, trial(outcomes), seeds=range(8), protocol=Protocol())
    entry = contract(shown)
    assert ledger_faults(entry) == []
    del entry["arms"][0]["conditions"][0]["holds"]
    assert ledger_faults(entry) == ["field 'arms[0].conditions[0].holds' is missing"]


def test_an_inconclusive_claim_prints_the_seeds_that_a_new_run_needs(shown):
    arms = trial(["holds", "undecided", "undecided"])
    assert evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol()) == "inconclusive"
    needed = max(evidence.needed_n(a.conditions[0], evidence.level_of(3)) for a in arms[1:])
    assert needed > 8
    assert f"with {needed} fresh seeds" in shown[0][0]["text/plain"]
    assert f"with {needed} fresh seeds" in shown[0][1]["claim"]["reason"]


def test_a_conditional_claim_says_which_arms_hold_and_which_fail(shown):
    evidence.record(CLAIM, trial(["holds", "fails"]), seeds=range(8), protocol=Protocol())
    assert shown[0][1]["claim"]["reason"] == ("Holds (1): arm 0 <holds>. Fails (1): arm 1 <fails>.")


def test_an_absent_precondition_makes_a_claim_vacuous(shown):
    arms = trial(["holds"])
    found = evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol(), precondition=False)
    assert found == shown[0][1]["claim"]["verdict"] == "vacuous"


def with_level(level, n=8, m=2):
    values = np.random.default_rng(1).normal(0, 1, n)
    return [
        Arm(str(i), (Condition("x", evidence.t_interval(values, level), ">", 0.0, "pp"),))
        for i in range(m)
    ]


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        (trial(), [0, 1, 2, 3], "at least 5 different seeds"),
        (trial(), [0, 1, 2, 3, 3], "at least 5 different seeds"),
        (with_level(0.95), range(8), "level_of(2) = 0.9750; got 0.95"),
        (with_level(0.975, n=4), range(8), "needs 5 values or more"),
        ([], range(8), "1 to 6 primary arms"),
        (trial(primary=False), range(8), "1 to 6 primary arms"),
        ([arm("holds", name=str(i)) for i in range(7)], range(8), "1 to 6 primary arms"),
        ([arm("holds"), arm("fails")], range(8), "of different names"),
    ],
)
def test_record_refuses_what_the_rules_do_not_allow(arms, seeds, message, shown):
    with pytest.raises(ValueError) as error:
        evidence.record(CLAIM, arms, seeds=seeds, protocol=Protocol())
    assert message in str(error.value)
    assert shown == []


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"date": "31 January"}, "date is a day"),
        ({"date": "20260131"}, "date is a day"),
        ({"date": 20260131}, "date is a day"),
        ({"finding": " "}, "finding is a text"),
        ({"budget": 300}, "budget is a text"),
    ],
)
def test_record_refuses_what_the_ledger_could_not_show(extra, message, shown):
    with pytest.raises(ValueError, match=message):
        evidence.record(CLAIM, trial(), seeds=range(8), protocol=Protocol(), **extra)
    assert shown == []


def test_exploratory_intervals_may_have_any_level(shown):
    arms = [*trial(["holds"]), dataclasses.replace(with_level(0.9)[0], primary=False)]
    assert evidence.record(CLAIM, arms, seeds=range(8), protocol=Protocol()) == "supported"


def test_the_claims_on_trial_are_shown_with_their_criterion(shown):
    evidence.on_trial([CLAIM, dataclasses.replace(CLAIM, id="W2")])
    html = Tags(shown[0][0]["text/html"])
    assert "W2" in html.text
    assert html.text.count("lower(x) > 0") == 2
    assert CLAIM.claim in html.text
    assert "Holds if lower(x) > 0" in shown[0][0]["text/plain"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**3.1** pp", "**3.1** pp"),
        ("a change of -1.2 pp [-2.0, -0.4]", "a change of −1.2 pp [−2.0, −0.4]"),
        ("seeds 0-9 of 2206-08684, best-5, x[1]-2", "seeds 0-9 of 2206-08684, best-5, x[1]-2"),
    ],
)
def test_say_displays_markdown_with_true_minus_signs(text, said, monkeypatch):
    seen = []
    monkeypatch.setattr(course_display, "display", seen.append)
    evidence.say(text)
    assert seen[0]._repr_markdown_() == said


def test_no_global_generator_is_touched(global_generators, shown):
    evidence.bootstrap_ratio_of_medians([1, 2, 3], [2, 1, 3], seed=0)
    evidence.record(CLAIM, trial(), seeds=range(8), protocol=Protocol())


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evidence.t_interval([1.0]), "at least 2 finite values"),
        (lambda: evidence.t_interval([[1.0, 2.0]]), "got shape (1, 2)"),
        (lambda: evidence.t_interval([1.0, math.nan, 2.0]), "with 1 not finite"),
        (lambda: evidence.t_interval([1.0, math.inf]), "with 1 not finite"),
        (lambda: evidence.t_interval([1.0, 2.0], 95), "level lies between 0 and 1"),
        (lambda: evidence.t_interval([1.0, 2.0], 1.0), "level lies between 0 and 1"),
        (
            lambda: evidence.share_interval(4, 3),
            "successes must be a whole number from 0 to 3 (n)",
        ),
        (lambda: evidence.share_interval(-1, 3), "whole number from 0 to 3 (n); got -1"),
        (lambda: evidence.share_interval(0, 0), "n must be a whole number, at least 1; got 0"),
        (
            lambda: evidence.share_interval(0.5, 3),
            "from 0 to 3 (n); got 0.5",
        ),
        (lambda: evidence.share_interval(1, 3, 0), "level lies between 0 and 1"),
        (lambda: evidence.bootstrap_ratio_of_medians([1, 2], [1, 2, 3], seed=0), "got 2 and 3"),
        (lambda: evidence.bootstrap_ratio_of_medians([1, 0], [1, 2], seed=0), "smallest 0.0"),
        (lambda: evidence.bootstrap_ratio_of_medians([1, 2], [1, -2], seed=0), "positive"),
        (lambda: evidence.bootstrap_ratio_of_medians([1], [1], seed=0), "at least 2 finite"),
        (
            lambda: evidence.bootstrap_ratio_of_medians([1, 2], [1, 2], seed=0, resamples=0),
            "resamples must be a whole number, at least 1; got 0",
        ),
        (lambda: evidence.level_of(0), "1 to 6 primary arms; got 0"),
        (lambda: evidence.level_of(2.0), "got 2.0"),
        (lambda: evidence.level_of(7), "got 7"),
        (lambda: evidence.level_of(1.5), "got 1.5"),
        (lambda: Interval(math.nan, 0, 1, 5), "finite ends"),
        (lambda: Interval(0, -math.inf, 1, 5), "finite ends"),
        (lambda: Interval(0, 1, -1, 5), "the lower one first"),
        (lambda: condition(0, 1, "above", 0), "side is one of"),
        (lambda: condition(0, 1, "inside", 0), "only 'inside' takes two thresholds"),
        (lambda: condition(0, 1, ">", (0, 1)), "only 'inside' takes two thresholds"),
        (lambda: condition(0, 1, "inside", (1, 0)), "the lower one first"),
        (lambda: condition(0, 1, "inside", (0, 1, 2)), "two of them"),
        (lambda: condition(0, 1, ">", math.nan), "a threshold is a finite number"),
        (lambda: Arm("a", ()), "no condition"),
        (lambda: Claim("W1", "c", "s", "k", "01", run="later"), '"live" or "stored"'),
        (lambda: Claim("W1", "c", "s", "k", "01", rule="most"), "rule is one of ['each', 'some',"),
        (lambda: condition(0, 1, ">", 0, fails=math.inf), "got fails=inf"),
        (lambda: condition(0, 1, "inside", (0, 1), fails=0), "got 'inside' with fails=0"),
        (lambda: Interval(0, 0, 1, 3, values=(1.0, 2.0)), "got 2 with"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


# --- What a verdict rests on ----------------------------------------------------------------------


def interval_arm(name, low, high, side=">=", holds=-1.0, **more):
    i = evidence.Interval((low + high) / 2, low, high, 8, evidence.level_of(1))
    return Arm(name, (evidence.Condition("gain", i, side, holds, "pp"),), **more)


def test_a_spread_names_the_lowest_and_the_highest_primary_arm():
    arms = [
        interval_arm("b", 0.0, 1.0),
        interval_arm("a", -4.0, -2.0),
        interval_arm("lowest, but not primary", -9.0, -8.0, primary=False),
        interval_arm("c", 3.0, 5.0),
    ]
    said = "ranged from −3.00 pp [−4.00, −2.00] (a) to +4.00 pp [+3.00, +5.00] (c)"
    assert evidence.spread(arms) == said
    assert evidence.spread(arms[:1]) == "was +0.50 pp [+0.00, +1.00]"
    assert evidence.share_held(arms) == "2 of 3"
    with pytest.raises(ValueError, match="no primary arm"):
        evidence.spread(arms[2:3])


def test_a_spread_puts_no_two_things_into_one_range():
    same = [interval_arm(name, 1.0, 2.0) for name in "ab"]
    assert evidence.spread(same) == "was +1.50 pp [+1.00, +2.00] in every arm"
    (gain,) = same[0].conditions
    loss = dataclasses.replace(gain, what="loss", interval=evidence.Interval(7.0, 6.0, 8.0, 8))
    assert evidence.spread([same[0], Arm("c", (loss,))]) == (
        "was +1.50 pp [+1.00, +2.00] (gain); was +7.00 pp [+6.00, +8.00] (loss)"
    )


def test_the_card_says_what_was_found_how_many_arms_and_how_close(monkeypatch):
    shown = []
    monkeypatch.setattr(
        evidence, "show_html", lambda html, text, metadata=None: shown.append((html, text))
    )
    arms = [interval_arm("far", -9.0, -8.0), interval_arm("near", -4.0, -1.02)]
    said = {"finding": "Less <than> before.", "budget": "at 3 + 4 steps"}
    said["meaning"] = "1 pp is 2 images"
    for arm in arms:
        single = [arm]
        evidence.record(CLAIM, single, seeds=range(8), protocol=Protocol(), **said)
    html, text = shown[1]
    assert "not supported, at 3 + 4 steps" in html
    assert "Less &lt;than&gt; before." in html
    assert "Arms: the only arm fails." in text
    assert "The closest decision, near, was by 0.02 pp. 1 pp is 2 images." in text


def calls_of_record():
    """The name of each verdict that the chapters record, and the names of the call's arguments."""
    root = Path(__file__).parents[1] / "notebooks"
    for path in sorted(root.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] != "code" or "evidence.record(" not in source:
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "evidence.record":
                    yield ast.unparse(node.args[0]), {word.arg for word in node.keywords}


def test_each_claim_of_a_chapter_says_what_was_found():
    found = dict(calls_of_record())
    assert len(found) == 27
    assert [name for name, words in found.items() if "finding" not in words] == []
    assert {name for name, words in found.items() if "budget" in words} >= {"W1", "T1", "A1"}


# --- Takeaways ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a net of 64-300-100-10 loses −2.8 pp", ["64-300-100-10", "−2.8"]),
        ("W1 and `x = 3` and $y_2$ and [3 nets](a2)", []),
        ("1,797 scans, 90%, x86", ["1,797", "90"]),
    ],
)
def test_numbers_of_a_text(text, found):
    assert course_display.numbers(text) == found


def test_a_takeaway_is_bold_and_takes_two_numbers_at_most(monkeypatch):
    said = []
    monkeypatch.setattr(course_display, "say", said.append)
    evidence.takeaway("At 90% it loses -2.8 pp. ", " Look at the left panel.")
    assert said == ["**At 90% it loses -2.8 pp.** Look at the left panel."]
    with pytest.raises(ValueError, match=r"at most 2 numbers; got \['1', '2', '3'\]"):
        evidence.takeaway("From 1 to 2 in 3 steps.")
    with pytest.raises(ValueError, match="look takes at most 4"):
        evidence.takeaway("It falls.", "1, 2, 3, 4, 5.")
    with pytest.raises(ValueError, match="says nothing|is empty"):
        evidence.takeaway("  ")
