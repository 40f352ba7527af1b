"""Which latent has learned nothing: rounds, answers, and the score with its interval."""

import base64
import json
import re

import numpy as np
import pytest
from moving import Moving, changed_by

from course_lib import data, figures
from course_lib.evidence import share_interval
from course_lib.widgets.which_latent import ROUNDS, WhichLatent, top_and_weaker

NAMES = ("trained network", "untrained network", "random dictionary")


def parts(**changed):
    split = data.digits(0).test
    x, y = split.x[:90].numpy(), split.y[:90].numpy()
    draw = np.random.default_rng(3)
    sources = {
        name: (draw.integers(0, 90, (22 + i, 4)), draw.integers(0, 90, (22 + i, 4)))
        for i, name in enumerate(NAMES)
    }
    given = {
        "images": x,
        "digits": y,
        "sources": sources,
        "learned": NAMES[0],
        "seed": 1,
        "caption": "Latents of one network of seed 0 on its test fold.",
        "alt": "Rows of images of digits, one for each of three latents, to choose one from.",
    }
    return given | changed


def made(**changed):
    return WhichLatent(**parts(**changed))


# --- The rounds -----------------------------------------------------------------------------------


def test_each_round_has_a_latent_of_each_source_and_none_comes_twice():
    given, state = parts(), made().state
    x = np.frombuffer(base64.b64decode(state["images"]), dtype=np.uint8).reshape(-1, 64)
    came, places = {name: [] for name in NAMES}, []
    assert len(state["rounds"]) == ROUNDS
    for latents in state["rounds"]:
        assert sorted(one["source"] for one in latents) == [0, 1, 2]
        places.append(tuple(one["source"] for one in latents))
        for one in latents:
            name = NAMES[one["source"]]
            strong, weak = given["sources"][name]
            shown = x[one["strong"]]
            match = [
                i for i in range(len(strong))
                if (np.rint(255 * given["images"][strong[i]]) == shown).all()
            ]  # fmt: skip
            assert len(match) == 1
            assert (np.rint(255 * given["images"][weak[match[0]]]) == x[one["weak"]]).all()
            assert [state["digits"][i] for i in one["strong"]] == given["digits"][
                strong[match[0]]
            ].tolist()
            came[name] += match
    assert all(len(set(some)) == ROUNDS for some in came.values())
    assert {places.count(order) for order in set(places)} == {3, 4}  # no letter is a good guess
    assert len(set(places)) == 6
    assert made().state == state
    assert made(seed=2).state["rounds"] != state["rounds"]


def test_the_intervals_are_the_librarys():
    for score, ends in enumerate(made().state["intervals"]):
        wanted = share_interval(score, ROUNDS)
        assert ends == [wanted.low, wanted.high]


def test_the_state_is_small_and_the_table_has_the_answers():
    figure = made()
    assert len(json.dumps(figure.state)) < 20_000
    numbers = figure.numbers()
    assert len(numbers) == ROUNDS
    first = figure.state["rounds"][0]
    for letter, one in zip("ABC", first, strict=True):
        assert numbers[letter][0].endswith(f"({NAMES[one['source']]})")
    svg = figures.picture(figure.still(), name="a", alt="b")
    assert "A: strongest images" in svg
    assert "C: weaker images" in svg


def few(n, images=4, high=90):
    draw = np.random.default_rng(0)
    return tuple(draw.integers(0, high, (n, images)) for _ in range(2))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": parts()["images"][:, :63]}, r"images are \(n, 64\)"),
        ({"images": parts()["images"] + 1}, r"pixels in \[0, 1\]"),
        ({"images": parts()["images"] * np.nan}, r"pixels in \[0, 1\]"),
        ({"digits": [1, 2]}, "with n digits"),
        ({"learned": "other"}, "learned is one of 2 to 6 sources; got 'other'"),
        ({"sources": {NAMES[0]: few(22)}}, "learned is one of 2 to 6 sources"),
        ({"sources": {NAMES[0]: few(22), "b": few(19)}}, "b: 20 rounds take 20 latents or more"),
        ({"sources": {NAMES[0]: few(22), "b": few(22, 5)}}, "all sources show as many images"),
        ({"sources": {NAMES[0]: few(22), "b": few(22, high=99)}}, "b: an image is a row of"),
        ({"sources": {NAMES[0]: few(22), "b": (np.zeros((22, 4)),) * 2}}, "b: .* whole numbers"),
        ({"alt": " "}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        made(**changed)


def test_the_strongest_come_first_and_the_weaker_ones_reach_the_weakest():
    rising = np.arange(8.0) - 0.5  # active for inputs 1 to 7
    too_few = np.where(np.arange(8) < 3, 1.0, 0.0)
    strong, weak = top_and_weaker(np.stack([rising, too_few, rising[::-1]], axis=1), shown=2)
    assert strong.tolist() == [[7, 6], [0, 1]]
    assert weak.tolist() == [[5, 1], [2, 6]]
    strong, weak = top_and_weaker(np.zeros((5, 3)), shown=2)
    assert strong.shape == weak.shape == (0, 2)
    with pytest.raises(ValueError, match="finite"):
        top_and_weaker(rising)
    with pytest.raises(ValueError, match="shown"):
        top_and_weaker(rising[:, None], shown=0)


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=made,
    controls=(
        ("radio", "Latent A"),
        ("radio", "Latent B"),
        ("radio", "Latent C"),
        ("button", "Choose, and see weaker images"),
    ),
)


def play(page, before, after):
    """Play by keyboard; `before(n)` and `after(n)` say whether to choose right in round n."""
    keys, root = page.keyboard, page.locator(".moving-figure")
    root.get_by_role("radio", name="Latent A").focus()
    for number, latents in enumerate(made().state["rounds"]):
        right = [one["source"] for one in latents].index(0)
        first = right if before(number) else (right + 1) % 3
        last = right if after(number) else (right + 1) % 3
        assert f"Round {number + 1} of 20" in root.inner_text()
        keys.press("Space")  # Latent A
        for _ in range(first):
            keys.press("ArrowDown")
        keys.press("Tab")
        keys.press("Enter")
        assert root.locator("canvas").count() == 6
        for _ in range((last - first) % 3):
            keys.press("ArrowDown")
        keys.press("Tab")
        keys.press("Enter")
        told = root.get_by_role("status").inner_text()
        assert told.startswith(f"Round {number + 1}: {'right' if after(number) else 'wrong'}.")
        assert f"{'ABC'[right]}: trained network" in told


@pytest.mark.browser
def test_twenty_rounds_by_keyboard_and_the_score(figure):
    play(figure, lambda n: n < 7, lambda n: 2 <= n < 15)
    text = figure.locator(".moving-figure").inner_text()
    for what, score in (("Strongest images alone", 7), ("With weaker images", 13)):
        i = share_interval(score, 20)
        said = f"{what}: {score} of 20, {100 * i.estimate:.0f}% [{100 * i.low:.0f}%, "
        said += f"{100 * i.high:.0f}%]: "
        assert said + ("better than" if i.low > 1 / 3 else "not told from") + " guessing." in text
    assert "You changed your mind in 10 rounds: 8 for the better, 2 for the worse." in text
    misled = re.search(r"misled you in the end: (.*)\.", text)[1]
    assert sum(map(int, re.findall(r"(\d+) ×", misled))) == 7
    label = figure.locator(".moving-figure svg").get_attribute("aria-label")
    assert label.startswith("strongest images alone: 7 of 20")
    figure.keyboard.press("Tab")
    changed_by(
        lambda: {"text": figure.locator(".moving-figure").inner_text()},
        lambda: figure.keyboard.press("Enter"),
    )
    assert "Round 1 of 20" in figure.locator(".moving-figure").inner_text()


@pytest.mark.browser
def test_without_a_choice_nothing_goes_on(figure):
    root = figure.locator(".moving-figure")
    root.get_by_role("button").press("Enter")
    assert root.get_by_role("status").inner_text() == "Choose a latent first."
    assert "Round 1 of 20" in root.inner_text()
    label = root.locator("canvas").first.get_attribute("aria-label")
    first = made().state["rounds"][0][0]["strong"]
    digits = ", ".join(str(made().state["digits"][i]) for i in first)
    assert label == f"Latent A, strongest images, from strong to weak: digits {digits}."
