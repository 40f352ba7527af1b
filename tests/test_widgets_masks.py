"""The first figure of chapter 03: what it counts, and what it does under a hand in a page."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
import torch
from moving import Moving, at, changed_by, panel, reading, slider

from course_lib import figures
from course_lib.evidence import t_interval
from course_lib.widgets.masks import MaskAlone

SEEDS, ROUNDS, N = (3, 4, 7), 4, 12
WAYS = ("found by training", "found, but new weights", "picked by chance")
LABELS = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2])

# --- The numbers ----------------------------------------------------------------------------------


def answers():
    """The first way is right in 2, 5, 8 and 11 images; the others in 1 and in none."""
    wrong = (LABELS + 1) % 10
    found = torch.stack([torch.where(torch.arange(N) < 2 + 3 * r, LABELS, wrong) for r in range(4)])
    one = torch.stack([torch.where(torch.arange(N) == r, LABELS, wrong) for r in range(4)])
    return dict(zip(WAYS, (found, one, wrong.repeat(4, 1)), strict=True))


def accuracy():
    rows = [
        (way, r, s, 0.8**r, 10 + 20 * r - 4 * place + s**1.1)
        for place, way in enumerate(WAYS)
        for r in range(ROUNDS)
        for s in SEEDS
    ]
    columns = ["way", "round", "seed", "density", "accuracy"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=5)


def images():
    return torch.rand(N, 4, 3, generator=torch.Generator().manual_seed(2))


def parts(**changed):
    given = {
        "images": images(),
        "labels": LABELS,
        "answers": answers(),
        "accuracy": accuracy(),
        "start": 1,
        "caption": "Seeds 3, 4 and 7 with 95% t intervals.",
        "alt": "Digits with answers below, and a curve over rounds, both moved by one slider.",
    }
    return given | changed


def test_the_state_holds_the_images_the_answers_and_the_means():
    state = MaskAlone(**parts()).state
    pixels = np.frombuffer(base64.b64decode(state["images"]), dtype=np.uint8)
    np.testing.assert_allclose(pixels / 255, images().flatten().numpy(), atol=0.5 / 255 + 1e-6)
    assert state["labels"] == LABELS.tolist()
    assert state["densities"] == [1.0, 0.8, 0.64, 0.512]
    rows = accuracy()
    for one, (way, said) in zip(state["ways"], answers().items(), strict=True):
        assert (one["label"], one["answers"]) == (way, said.tolist())
        for r in range(ROUNDS):
            i = t_interval(rows[(rows.way == way) & (rows["round"] == r)].accuracy.tolist())
            for part in ("estimate", "low", "high"):
                assert one[part][r] == pytest.approx(getattr(i, part), abs=0.006)


def test_the_table_counts_the_images_that_are_right():
    numbers = MaskAlone(**parts()).numbers()
    assert list(numbers["weights kept"]) == ["100%", "80%", "64%", "51%"]
    counted = {way: list(numbers[f"of these images, {way}"]) for way in WAYS}
    assert counted[WAYS[0]] == [f"{n} of 12" for n in (2, 5, 8, 11)]
    assert counted[WAYS[1]] == ["1 of 12"] * 4
    assert counted[WAYS[2]] == ["0 of 12"] * 4


def test_the_still_shows_the_answers_of_its_round():
    fig = MaskAlone(**parts()).still()
    digits, chart = fig.axes
    words = [text.get_text() for text in digits.texts]
    assert len(words) == N
    assert sum("✓" in word for word in words) == 5
    assert words[0] == "0 ✓"
    assert [line.get_label() for line in chart.get_lines()[:3]] == list(WAYS)
    assert figures.picture(fig, name="a", alt="b").startswith("<svg")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": images()[:7]}, "n a multiple of 6"),
        ({"images": 2 * images()}, "from 0 to 1"),
        (
            {"labels": LABELS[:6], "answers": {"a": torch.zeros(4, 6).int()}},
            "12 images and 6 label",
        ),
        ({"answers": {}}, "1 to 3 ways"),
        ({"answers": answers() | {"more": LABELS.repeat(4, 1)}}, "1 to 3 ways"),
        ({"answers": answers() | {WAYS[0]: LABELS.repeat(3, 1)}}, "must all be"),
        (
            {"answers": {"other": LABELS.repeat(4, 1)}},
            r"lacks the rounds \[0, 1, 2, 3\] of 'other'",
        ),
        ({"answers": {w: s.repeat(2, 1) for w, s in answers().items()}}, r"rounds \[4, 5, 6, 7\]"),
        ({"accuracy": accuracy().drop(columns="density")}, "density"),
        ({"start": 4}, "a round"),
        ({"caption": " "}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        MaskAlone(**parts(**changed))


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: MaskAlone(**parts()),
    controls=(("slider", "Round"), ("button", "Play"), *(("radio", way) for way in WAYS)),
    panels=(1,),
)


def effects(page):
    """All that must follow the slider, as the reader sees it."""
    digits, chart = panel(page, 0), panel(page, 1)
    return {
        "answers": digits.locator(".tile-labels").all_inner_texts(),
        "told": digits.locator("canvas").first.get_attribute("aria-label"),
        "line": chart.locator("line.chosen").get_attribute("x1"),
        "dot": chart.locator('circle[r="5"]').first.get_attribute("cy"),
        "spoken": slider(page).get_attribute("aria-valuetext"),
    }


@pytest.mark.browser
def test_the_arrow_keys_move_everything(figure):
    _, after = changed_by(lambda: effects(figure), lambda: slider(figure).press("ArrowRight"))
    assert at(figure) == 2
    assert after["spoken"] == "2: 64% of the weights kept"
    words = re.split(r"\n+", "\n".join(after["answers"]))
    assert sum("✓" in word for word in words) == 8
    assert after["told"].endswith("a 0, taken for 0; a 1, taken for 1; a 2, taken for 2; a 3, "
                                  "taken for 3; a 4, taken for 4; a 5, taken for 5.")  # fmt: skip


@pytest.mark.browser
def test_another_way_to_a_mask_has_other_answers(figure):
    figure.locator(".moving-figure").get_by_role("radio", name=WAYS[2]).check()
    said = "\n".join(panel(figure, 0).locator(".tile-labels").all_inner_texts())
    assert said.count("✗") == N
    assert "picked by chance" in reading(figure)


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = MaskAlone(**parts()).numbers()
    for key, row in (("End", 3), ("Home", 0)):
        slider(figure).press(key)
        said = reading(figure)
        assert said.startswith(f"Round {row}, {numbers['weights kept'][row]} of the weights kept")
        right = numbers[f"of these images, {WAYS[0]}"][row].replace("of", "of these")
        assert f"{right} digits are right; {numbers[f'right, {WAYS[0]}'][row]} of all" in said


@pytest.mark.browser
def test_the_digits_that_are_drawn_are_those_that_are_named(figure):
    canvas = panel(figure, 0).locator("canvas").nth(1)
    assert [canvas.get_attribute(side) for side in ("width", "height")] == ["23", "4"]
    data = canvas.evaluate("c => [...c.getContext('2d').getImageData(0, 0, 23, 4).data]")
    ink = np.array(data).reshape(4, 23, 4)[:, :, 3]
    for i in range(6):
        wanted = (255 * images()[6 + i]).round().numpy()
        np.testing.assert_allclose(ink[:, 4 * i : 4 * i + 3], wanted, atol=1)
