"""The one-seed journal: each paper says what its draw says, and all seeds stand below the shelf."""

import re

import pandas as pd
import pytest
from moving import Moving, panel

from course_lib import figures
from course_lib.evidence import t_interval
from course_lib.widgets.journal import COLUMNS, Journal, word_of

SEEDS = (0, 1, 2, 5, 7)
MIDDLES = {("noise", "ReLU MLP"): 0.5, ("noise", "tanh MLP"): -3.0, ("turning", "ReLU MLP"): 0.0,
           ("turning", "tanh MLP"): 4.0}  # fmt: skip


def table():
    rows = []
    for (dial, network), middle in MIDDLES.items():
        for place, seed in enumerate(SEEDS):
            change = middle + (place - 2) * 1.5
            rows.append((seed, dial, network, change, change - 0.7, change + 0.7, 100 + seed))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def made(**changed):
    given = {
        "table": table(),
        "unit": "points",
        "caption": "Bars: 95% t intervals over five seeds. Points: one seed each.",
        "alt": "A button, a shelf of headlines, and below it four bars with points.",
    }
    return Journal(**(given | changed))


# --- The numbers ----------------------------------------------------------------------------------


def test_all_seeds_stand_beside_each_other():
    for one in made().state["honest"]:
        rows = table()[(table().dial == one["dial"]) & (table().network == one["network"])]
        wanted = t_interval(rows.change.tolist())
        found = [one[name] for name in ("estimate", "low", "high")]
        assert found == pytest.approx([wanted.estimate, wanted.low, wanted.high], abs=1e-4)
        assert one["seeds"] == 5


def test_the_table_counts_what_single_seeds_say():
    numbers = made().numbers()
    first = numbers.iloc[0]
    assert (first.dial, first.network) == ("noise", "ReLU MLP")
    # changes -2.5, -1, 0.5, 2, 3.5, each ± 0.7
    alone = [first[f"seeds alone: {word}"] for word in ("sparser", "denser", "no difference")]
    assert alone == [2, 2, 1]
    assert first["all seeds (points)"].startswith("+0.5 [")


def test_the_still_draws_each_pair():
    svg = figures.picture(made().still(), name="a", alt="b")
    for said in ("ReLU MLP, noise", "tanh MLP, turning", "one seed", "all seeds, 95% interval"):
        assert said in svg


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": table().drop(columns="low")}, r"lacks the columns \['low'\]"),
        ({"table": table()[:19]}, "has 19 rows; a shelf takes 20"),
        ({"table": table().assign(low=table().high + 1)}, "low ≤ change ≤ high"),
        ({"table": table().assign(change=float("nan"))}, "low ≤ change ≤ high"),
        ({"table": table().assign(seed=1)}, r"seeds \[1, 1, 1, 1, 1\] for 'noise' and 'ReLU MLP'"),
        ({"table": table().assign(high=float("inf"))}, "what JSON can hold"),
        ({"alt": ""}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        made(**changed)


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=made, controls=(("button", "Publish"), ("button", "Fill the shelf")), panels=()
)
NUMBER = r"([+−]?[\d.]+)"


def number(text):
    return float(text.replace("−", "-"))


def check_paper(paper):
    """The abstract's numbers are those of its draw, and the headline says what they say."""
    text = paper.inner_text()
    found = re.search(rf"by {NUMBER} points \[{NUMBER}, {NUMBER}\]", text)
    change, low, high = map(number, found.groups())
    network, dial = re.search(r"trained a (.+?) and .*dial “(.+?)”", text).groups()
    seed = int(re.search(r"seed (\d+)\.", text)[1])
    rows = table()
    row = rows[(rows.seed == seed) & (rows.dial == dial) & (rows.network == network)]
    assert f"showed it {100 + seed} images" in text
    assert [change, low, high] == pytest.approx(
        row[["change", "low", "high"]].to_numpy()[0], abs=0.051
    )
    closing = {"more sparsely": low > 0, "more densely": high < 0}
    for words, is_so in closing.items():
        assert (words in text) == is_so
    return network, dial, seed


@pytest.mark.browser
def test_twenty_presses_make_a_shelf_by_keyboard(figure):
    root = figure.locator(".moving-figure")
    publish, paper = root.get_by_role("button", name="Publish"), root.locator(".paper")
    assert "Press publish" in paper.inner_text()
    assert not root.get_by_text("bars are 95% intervals").is_visible()
    publish.focus()
    seen = set()
    for _ in range(20):
        figure.keyboard.press("Enter")
        seen.add(check_paper(paper))
    assert len(seen) == 20  # no draw twice
    assert root.locator(".shelf li").count() == 20
    heads = root.locator(".shelf h4").all_inner_texts()
    wanted = table().assign(
        word=["sparser" if a > 0 else "denser" if b < 0 else "no difference"
              for a, b in zip(table().low, table().high, strict=True)]
    ).word.value_counts()  # fmt: skip
    assert heads == [
        f"{word.capitalize()}: {wanted[word]}" for word in ("sparser", "denser", "no difference")
    ]
    assert root.get_by_text("bars are 95% intervals over 5 seeds").is_visible()
    assert root.locator(".panel circle").count() == 20
    agree, says = 0, []
    for (dial, network), rows in table().groupby(["dial", "network"]):
        i = t_interval(rows.change.tolist())
        says.append(word_of(i.low, i.high))
        for row in rows.itertuples():
            assert (row.dial, row.network) == (dial, network)
            agree += (row.low > 0, row.high < 0) == (i.low > 0, i.high < 0)
    assert f"Of your 20 papers, {agree} say what all seeds say of their" in root.inner_text()
    counts = f"{says.count('sparser')} sparser, {says.count('denser')} denser"
    assert f"of 4 pairs of network and dial, {counts}" in root.inner_text()
    assert figure.evaluate("document.activeElement.textContent") == "Start again"
    figure.keyboard.press("Enter")
    assert root.locator(".shelf li").count() == 0
    assert "Press publish" in paper.inner_text()


@pytest.mark.browser
def test_the_shelf_can_be_filled_at_once(figure):
    root = figure.locator(".moving-figure")
    root.get_by_role("button", name="Fill the shelf").press("Enter")
    assert root.locator(".shelf li").count() == 20
    assert figure.evaluate("document.activeElement.textContent") == "Start again"
    assert not root.get_by_role("button", name="Fill the shelf").is_visible()
    label = panel(figure, 1).locator("svg").get_attribute("aria-label")
    assert label.startswith("tanh MLP, all seeds: ")
    assert "turning sparser" in label
