"""The figure of chapter 00: its numbers, and a hand on it."""

import base64

import numpy as np
import pandas as pd
import pytest
from moving import Moving, changed_by, reading, slider

from course_lib import figures
from course_lib.evidence import t_interval
from course_lib.widgets.three_sparse import THINGS, ThreeSparse

LEVELS = (0.5, 0.75, 0.9)


def parts(**changed):
    rng = np.random.default_rng(8)
    codes = rng.normal(size=(3, 12))
    codes[:, 6:] = 0.0
    codes[2, 1:] = 0.0
    effects = {
        name: pd.DataFrame(
            [
                {"seed": s, "level": level, "value": 90 + s - 30 * level - 5 * i}
                for level in LEVELS
                for s in range(5)
            ]
        )
        for i, name in enumerate(THINGS)
    }
    given = {
        "levels": LEVELS,
        "weights": rng.normal(size=(4, 2, 3)),
        "activations": np.abs(rng.normal(size=10)),
        "codes": codes,
        "pictures": rng.uniform(size=(4, 2, 3)),
        "effects": effects,
        "told": {"weights": "right", "activations": "right", "code": "rebuilt"},
        "columns": (2, 5, 6),
        "start": 0.75,
        "caption": "Seeds 0 to 4 with 95% t intervals.",
        "alt": "Three grids that follow one slider.",
    }
    return given | changed


def made(**changed):
    given = parts(**changed)
    return ThreeSparse(**given)


def signed(text):
    return np.frombuffer(base64.b64decode(text), dtype=np.int8)


def test_the_least_values_go_first_and_as_many_as_the_level_says():
    given, figure = parts(), made()
    for name, cell in zip(("weights", "activations"), figure.state["cells"], strict=False):
        size = np.abs(given[name]).ravel()
        survived = np.frombuffer(base64.b64decode(cell["survived"]), dtype=np.uint8)
        for level, share in enumerate(LEVELS):
            kept = survived > level
            assert (~kept).sum() == round(share * size.size)
            assert size[kept].min() > size[~kept].max()


def test_signs_and_zeros_stay_as_they_are():
    given = parts()
    given["codes"][0, 2] = -1e-9 * np.abs(given["codes"][0]).max()  # rounds to nothing
    cell = made(codes=given["codes"]).state["cells"][2]
    for code, text in zip(given["codes"], cell["values"], strict=True):
        np.testing.assert_array_equal(np.sign(signed(text)), np.sign(code))
        assert np.abs(signed(text).astype(int)).max() == 127


def test_effects_are_means_over_seeds_with_their_intervals():
    figure, given = made(), parts()
    numbers = figure.numbers()
    for name, one in zip(THINGS, figure.state["effects"], strict=True):
        table = given["effects"][name]
        i = t_interval(table[table.level == 0.9].value.tolist())
        assert [one[p][2] for p in ("estimate", "low", "high")] == pytest.approx(
            [i.estimate, i.low, i.high], abs=0.006
        )
        assert f"{i.estimate:.1f}%" in numbers[f"{name}: {one['told']}"][2]


def test_the_still_draws_the_start():
    svg = figures.picture(made().still(), name="a", alt="b")
    for name in THINGS:
        assert f"{name}, 75% zeros" in svg


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"start": 0.8}, "start is one of them"),
        ({"levels": (0.9, 0.75, 0.5)}, "levels rise"),
        ({"weights": np.ones((4, 6))}, r"weights has the shape \(neurons, height, width\)"),
        ({"codes": np.ones((2, 12))}, r"codes has the shape .* for 3 levels; got \(2, 12\)"),
        ({"pictures": np.ones((3, 2, 3))}, r"pictures has the shape .* got \(3, 2, 3\)"),
        ({"columns": (3, 5, 6)}, "weights: 3 columns do not divide 4"),
        (
            {"effects": {name: pd.DataFrame({"seed": [0]}) for name in THINGS}},
            r"lacks the columns \['level', 'value'\]",
        ),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        made(**changed)


MOVING = Moving(make=made, controls=(("slider", "Share of zeros"),))


def shown(page):
    root = page.locator(".moving-figure")
    canvases = root.locator("canvas")
    return {
        "spoken": root.locator("input").get_attribute("aria-valuetext"),
        "cells": [canvases.nth(i).get_attribute("aria-label") for i in range(3)],
        "rebuilt": canvases.nth(4).evaluate("c => c.toDataURL()"),
        "told": [p.split(":")[0] for p in root.locator(".panel p").all_inner_texts()],
    }


@pytest.mark.browser
def test_all_three_pictures_follow_the_slider(figure):
    before, after = changed_by(lambda: shown(figure), lambda: slider(figure).press("ArrowRight"))
    assert after["spoken"] == "90% zeros"
    assert after["told"] == [
        "2 of 24 are not zero",
        "1 of 10 are not zero",
        "1 of 12 are not zero",
    ]
    assert all(a != b for a, b in zip(before["cells"], after["cells"], strict=True))
    assert before["rebuilt"] != after["rebuilt"]


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = made().numbers()
    slider(figure).press("End")
    said = reading(figure)
    assert said.startswith("90% zeros.")
    for column in numbers.columns[1:]:
        assert numbers[column][2] in said
