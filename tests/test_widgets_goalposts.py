"""Move the goalposts: the page judges as `evidence` does, and a hand on what can be moved."""

import itertools
import json
import random

import moving  # beside this file
import pytest
from moving import Moving, at, changed_by, reading, slider
from scipy import stats
from test_bets import CARD, course_bets

from course_lib import evidence, figures, verdicts
from course_lib.arms import Arm, Condition
from course_lib.intervals import share_interval, t_interval
from course_lib.widgets import joined
from course_lib.widgets.goalposts import DRAWS, FEWEST, LEVELS, Goalposts

SEEDS = (3, 4, 7, 8, 9, 11)


def claim(rule="each"):
    return evidence.Claim(
        "W1", "Zeros are <b>free</b>", source="some", criterion="x", chapter="01_x", rule=rule
    )


def arms(m=3):
    """Three arms that ask for no more than a loss of 1 pp: far, near, and on the way."""
    draw = random.Random(5)
    losses = {"one-shot": -7.0, "gradual": -2.5, "no training": -30.0}
    made = []
    for name, loss in list(losses.items())[:m]:
        values = [loss + draw.gauss(0, 0.8) for _ in SEEDS]
        made.append(Arm(name, (evidence.condition("change", values, ">=", -1.0, m=m),)))
    far = evidence.condition("change", [-60.0 + s for s in SEEDS], ">=", -1.0, m=m)
    return [*made, Arm("beside", (far,), primary=False)]


def made(**changed):
    given = {
        "claim": claim(),
        "arms": arms(),
        "seeds": SEEDS,
        "caption": "Three arms of six seeds with their intervals.",
        "alt": "Three intervals under a ribbon of words, and a threshold that can be moved.",
    }
    return Goalposts(**(given | changed))


# --- The numbers ----------------------------------------------------------------------------------


def moved(criterion, shift):
    """Both thresholds, so many steps from where they were."""
    by = shift * criterion["step"]
    return [
        tuple(round(end, 9) + 0.0 for end in (limit[0] - by, limit[1] + by))
        if criterion["side"] == "inside"
        else round(limit + by, 9) + 0.0
        for limit in (criterion["holds"], criterion["fails"])
    ]


def word(state, where):
    """The verdict with everything at `where`, by the library's own arms."""
    counted = [arm for arm, counts in zip(state["arms"], where["arms"], strict=True) if counts]
    level = 1 - (1 - state["levels"][where["level"]]) / len(counted)
    places = state["orders"][where["draw"]][: where["seeds"]]
    judged = []
    for arm in counted:
        conditions = []
        for c in arm["conditions"]:
            one = state["criteria"][c["criterion"]]
            holds, fails = moved(one, where["shifts"][c["criterion"]])
            interval = t_interval([c["values"][i] for i in places], level)
            conditions.append(Condition("x", interval, one["side"], holds, "pp", fails))
        judged.append(Arm(arm["name"], tuple(conditions)))
    outcomes = [arm.outcome for arm in judged]
    return verdicts.verdict(outcomes, state["rule"]), outcomes


def test_where_the_protocol_stands_it_is_the_verdict():
    figure = made()
    assert figure.state["verdict"] == evidence.verdict_of(arms()) == "not supported"
    assert [arm["name"] for arm in figure.state["arms"]] == ["one-shot", "gradual", "no training"]
    assert figure.state["arms"][1]["conditions"][0]["values"] == list(
        arms()[1].conditions[0].interval.values
    )
    assert len(json.dumps(figure.state)) < 5000


def cost(figure, where):
    state = figure.state
    return (
        sum(map(abs, where["shifts"]))
        + abs(where["level"] - state["level"])
        + len(SEEDS) - where["seeds"]
        + where["draw"]
        + where["arms"].count(False)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "goal"), [("each", "supported"), ("each", "conditional"), ("some", "supported")]
)
def test_no_fewer_moves_lead_there(rule, goal):
    """All ways, one by one, against the search."""
    figure = made(claim=claim(rule), goal=goal)
    state, best = {**figure.state, "rule": rule}, figure.least["moves"]
    assert word(state, figure.least)[0] == goal
    assert cost(figure, figure.least) == best
    for k, draw, level, shift in itertools.product(
        range(FEWEST, len(SEEDS) + 1), range(DRAWS + 1), range(len(LEVELS)), range(-best, 1)
    ):
        if draw and k == len(SEEDS):
            continue
        for counted in itertools.product([True, False], repeat=3):
            where = {"seeds": k, "draw": draw, "level": level, "shifts": [shift]}
            where["arms"] = list(counted)
            if any(counted) and cost(figure, where) < best:
                assert word(state, where)[0] != goal, where


def test_where_too_many_moves_are_needed_it_says_so():
    far = [
        Arm(name, (evidence.condition("x", [-9.0 - i for i in range(6)], ">", 0.0, m=2),))
        for name in ("a", "b")
    ]
    near = evidence.condition("x", [0.1 * i for i in range(6)], "<", 9.0, m=2)
    both = [Arm(arm.name, (*arm.conditions, near)) for arm in far]
    assert made(arms=both).least is None


def test_the_table_and_the_still_say_where_each_word_stands():
    figure = made()
    table = figure.numbers()
    assert table.verdict.tolist()[0] == "supported"
    assert table.verdict.tolist()[-1] == "not supported"
    svg = figures.picture(figure.still(), name="a", alt="b")
    for said in ("W1: not supported", "one-shot", "conditional", "to be ≥ −1 pp"):
        assert said in svg


def share():
    interval = share_interval(8, 10, evidence.level_of(1))
    return [Arm("share", (Condition("runs", interval, ">", 0.5, ""),))]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arms": share()}, "share: its interval has no values"),
        ({"arms": []}, "1 to 6 primary arms"),
        ({"arms": arms(2)[:1]}, r"with 1 primary arms the level is 0\.9500"),
        ({"seeds": range(7)}, "one-shot: 6 values for 7 seeds"),
        ({"seeds": (1, 1, 2, 3, 4, 5)}, "each once"),
        ({"seeds": range(4)}, "5 or more"),
        ({"goal": "not supported"}, "other than the verdict"),
        ({"goal": "vacuous"}, "goal is a word"),
        ({"caption": ""}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        made(**changed)


# --- The same rules in the page -------------------------------------------------------------------


def some_case(draw):
    """Arms and criteria as they come, and everything moved somewhere."""
    n, m = draw.randint(5, 12), draw.randint(1, 6)
    criteria = []
    for _ in range(draw.randint(1, 3)):
        side = draw.choice(list(verdicts.SIDES))
        if side == "inside":
            holds, fails = [-1.0, 1.0], draw.choice([[-1.0, 1.0], [-1.5, 2.0]])
        else:
            holds = draw.choice([0.0, -1.0, 0.3])
            fails = draw.choice([holds, holds, round(holds + draw.uniform(-1, 1), 3)])
        step = draw.choice([0.1, 0.25])
        criteria.append({"side": side, "holds": holds, "fails": fails, "step": step, "unit": "pp"})

    def values():
        middle, spread = draw.uniform(-2, 2), draw.choice([0.0, 0.1, 0.5, 2.0])
        if spread == 0:  # ties, where every rounding would show
            return [float(round(middle))] * n
        return [middle + draw.gauss(0, spread) for _ in range(n)]

    rule = draw.choice(list(verdicts.RULES))
    words = {
        " ".join(kinds): verdicts.verdict(kinds, rule)
        for size in (1, 2, 3)
        for kinds in itertools.combinations(verdicts.OUTCOMES, size)
    }
    state = {"criteria": criteria, "rule": rule, "words": words, "levels": LEVELS, "level": 1}
    state["seeds"] = list(range(n))
    state["orders"] = [list(range(n)), draw.sample(range(n), n)]
    state["arms"] = [
        {
            "name": f"arm {i}",
            "conditions": [
                {"criterion": draw.randrange(len(criteria)), "values": values()}
                for _ in range(draw.randint(1, 3))
            ],
        }
        for i in range(m)
    ]
    counted = [draw.random() < 0.7 for _ in range(m)]
    counted[draw.randrange(m)] = True
    where = {
        "shifts": [draw.randint(-3, 3) for _ in criteria],
        "level": draw.randrange(len(LEVELS)),
        "seeds": draw.randint(2, n),
        "draw": draw.randrange(2),
        "arms": counted,
    }
    return state, where


@pytest.fixture
def judging(page):
    page.add_script_tag(content=joined("judging.js"))
    return page


@pytest.mark.browser
def test_the_page_judges_as_python_does(judging):
    draw = random.Random(17)
    cases = [some_case(draw) for _ in range(600)]
    found = judging.evaluate("cases => cases.map(([state, at]) => judge(state, at))", cases)
    seen = set()
    for (state, where), in_page in zip(cases, found, strict=True):
        verdict, outcomes = word(state, where)
        assert (in_page["verdict"], in_page["counted"]) == (verdict, outcomes), (state, where)
        seen |= {verdict, *outcomes}
    assert seen == {*verdicts.VERDICTS, *verdicts.OUTCOMES} - {"vacuous"}


@pytest.mark.browser
def test_students_quantile_is_scipys(judging):
    asked = [(level, df) for df in range(1, 101) for level in (0.1, 0.5, 0.95, 0.99, 0.999)]
    found = judging.evaluate("asked => asked.map(([level, df]) => quantile(level, df))", asked)
    wanted = [float(stats.t.ppf((1 + level) / 2, df)) for level, df in asked]
    assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.browser
def test_a_threshold_reads_as_python_says_it(judging):
    draw = random.Random(3)
    asked, wanted = [], []
    for _ in range(100):
        state, where = some_case(draw)
        one, shift = state["criteria"][0], where["shifts"][0]
        asked.append([one, shift])
        wanted.append(verdicts.in_words(one["side"], *moved(one, shift), "pp"))
    assert judging.evaluate("asked => asked.map(([c, s]) => inWords(c, s))", asked) == wanted


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=made,
    controls=(
        ("slider", "Margin"),
        ("slider", "Level of all intervals together"),
        ("slider", "Seeds"),
        ("slider", "Which seeds"),
        ("checkbox", "one-shot"),
        ("button", "Back to the protocol"),
        ("button", "I give up: show the fewest"),
    ),
    panels=(0,),
)


def effects(page):
    root = page.locator(".moving-figure")
    return {
        "word": root.locator(".verdict-now").inner_text(),
        "moves": root.locator("ul").inner_text(),
        "told": reading(page),
    }


@pytest.mark.browser
def test_every_move_is_named_for_what_it_is(figure):
    root, keys = figure.locator(".moving-figure"), figure.keyboard
    assert effects(figure)["word"] == "✗ not supported · 0 moves"
    slider(figure, "Margin").press("ArrowLeft")
    slider(figure, "Margin").press("ArrowLeft")
    slider(figure, "Level of all").press("ArrowRight")
    assert slider(figure, "Which seeds").is_disabled()
    slider(figure, "Seeds").first.press("ArrowLeft")
    slider(figure, "Which seeds").press("ArrowRight")
    root.get_by_role("checkbox", name="no training").focus()
    keys.press("Space")
    said = effects(figure)
    assert "6 moves" in said["word"]
    step = made().state["criteria"][0]["step"]
    for name in (
        f"Moved criterion: ≥ −1 pp became ≥ −{1 + 2 * step:g} pp (2 moves)",
        "Dropped arm: no training (1 move)",
        "Stopped early: 5 of 6 seeds (1 move)",
        "Picked seeds: draw 1 (1 move)",
        "Loosened level: 95% became 90% (1 move)",
    ):
        assert name in said["moves"]
    assert said["told"].startswith("Verdict: ")
    assert "each by an interval of level 95%" in said["told"]
    slider(figure, "Seeds").first.press("ArrowRight")  # all of them: nothing is left to pick
    assert "Picked" not in effects(figure)["moves"]
    root.get_by_role("button", name="Back to the protocol").press("Enter")
    assert effects(figure)["word"] == "✗ not supported · 0 moves"
    for box in root.get_by_role("checkbox").all():
        box.uncheck()
    assert effects(figure)["told"] == "No arm counts, so there is nothing to judge."


@pytest.mark.browser
def test_the_fewest_is_told_after_it_is_won_or_given_up(figure):
    root = figure.locator(".moving-figure")
    least = made().least
    told = root.get_by_role("status")
    assert told.inner_text() == ""
    root.get_by_role("checkbox", name="one-shot").uncheck()
    root.get_by_role("checkbox", name="no training").uncheck()
    for _ in range(60):
        if "supported" in told.inner_text():
            break
        slider(figure, "Margin").press("ArrowLeft")
    moves = 2 - at(figure, "Margin") - made().state["criteria"][0]["first"]
    assert told.inner_text().startswith(f"It reads “supported”, in {moves} moves.")
    assert f"The fewest is {least['moves']}." in told.inner_text() or moves == least["moves"]
    _, after = changed_by(
        lambda: {"told": told.inner_text()},
        lambda: root.get_by_role("button", name="I give up: show the fewest").click(),
    )
    assert after["told"].startswith(f"The fewest is {least['moves']} moves. ")
    assert effects(figure)["word"] == f"✓ supported · {least['moves']} moves"


@pytest.mark.browser
def test_the_ribbon_says_what_the_table_says(figure):
    label = moving.panel(figure, 0).locator("svg").get_attribute("aria-label")
    for asked, verdict in made().numbers().itertuples(index=False):
        assert f"{asked}: {verdict}" in label


@pytest.mark.browser
def test_it_is_covered_as_long_as_the_verdict_is(figure):
    """Below a card of the site: nothing tells the verdict, but in print."""
    root = figure.locator(".moving-figure")
    figure.evaluate("card => document.body.insertAdjacentHTML('afterbegin', card)", CARD)
    figure.add_style_tag(content=course_bets.style())
    figure.add_script_tag(content=course_bets.script("covers.js"))
    assert figure.get_by_text("Bet on W1 above").is_visible()
    for hidden in (root.locator(".verdict-now"), figure.locator(".course-still figcaption")):
        assert not hidden.is_visible()
    assert not figure.get_by_text("The numbers of this figure").first.is_visible()
    figure.get_by_role("button", name="Show the verdict on W1").click()
    assert root.locator(".verdict-now").is_visible()
    assert figure.locator(".course-still figcaption").is_visible()
    assert not figure.get_by_text("Bet on W1 above").is_visible()


@pytest.mark.browser
def test_it_works_in_jupyterlab(page, lab, figure_notebooks):
    lab(page, figure_notebooks[__name__])
    slider(page, "Margin").press("ArrowLeft")
    page.locator(".moving-figure").get_by_text("1 move", exact=False).first.wait_for()
