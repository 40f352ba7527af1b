"""The figure of chapter 01b: its numbers, and a hand on it, in a page."""

import itertools

import browser as in_browser  # beside this file
import numpy as np
import pandas as pd
import pytest
import torch
from moving import Moving, at, changed_by, drag, panel, place, reading, slider

from course_lib import costs, figures
from course_lib.widgets.costs import FORMATS, WeighAndTime

DENSITIES = (0.05, 0.1, 0.5)
SHAPE = (30, 8)

# --- The numbers ----------------------------------------------------------------------------------


def times(slow=1.0):
    """Three blocks, dense at 2, 4 and 3 µs; torch CSR is `slow` times dense at 10%."""
    factors = {"torch CSR": (0.5, 1.0, 3.0), "SciPy CSR": (1.2, 1.3, 4.0), "structured": (0.2,) * 3}
    rows = []
    for block, dense in enumerate((2e-6, 4e-6, 3e-6)):
        rows.append((block, "dense", dense, 1, 1.0))
        for name, some in factors.items():
            for density, factor in zip(DENSITIES, some, strict=True):
                wobble = slow * factor * (1 + 0.02 * (block - 1))
                rows.append((block, name, dense * wobble, 1, density))
    columns = ["block", "name", "seconds", "threads", "density"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=3)


def parts(**changed):
    given = {
        "products": {"one": (SHAPE, times()), "many": (SHAPE, times(0.4))},
        "start": ("one", "CSR, PyTorch", 0.1),
        "caption": "Made up. Medians and quartiles of 3 blocks.",
        "alt": "Two panels that follow one slider.",
    }
    return given | changed


def test_bytes_are_those_of_real_arrays():
    product = WeighAndTime(**parts()).state["products"][0]
    generator = torch.Generator().manual_seed(2)
    for level, density in enumerate(DENSITIES):
        weight = torch.zeros(SHAPE)
        order = torch.randperm(weight.numel(), generator=generator)
        weight.view(-1)[order[: round(density * weight.numel())]] = 1.5
        rows = torch.randn(max(1, round(density * SHAPE[0])), SHAPE[1], generator=generator)
        wanted = {
            "CSR": costs.n_bytes(weight, "csr"),
            "bitmask": costs.n_bytes(weight, "bitmask"),
            "whole rows": costs.n_bytes(rows, "dense"),
        }
        for (stored, _), one in zip(FORMATS.values(), product["formats"], strict=True):
            assert one["bytes"][level] == wanted[stored]
            assert one["share"][level] == pytest.approx(wanted[stored] / 960, abs=1e-5)
    assert product["bytes"] == costs.n_bytes(torch.ones(SHAPE), "dense") == 960


def test_times_are_quartiles_of_the_ratio_in_a_block():
    product = WeighAndTime(**parts()).state["products"][1]
    first, *_, last = product["formats"]
    assert first["estimate"] == pytest.approx([0.2, 0.4, 1.2])
    assert first["low"] == pytest.approx([0.99 * x for x in first["estimate"]])
    assert first["high"] == pytest.approx([1.01 * x for x in first["estimate"]])
    assert last["estimate"] is last["low"] is last["high"] is None  # nothing reads a bitmask
    assert product["seconds"] == pytest.approx(3e-6)


def test_the_words_follow_both_quartiles():
    one, many = WeighAndTime(**parts()).state["products"]
    said = dict(zip(FORMATS, (form["said"] for form in one["formats"]), strict=True))
    assert said["CSR, PyTorch"] == [
        "smaller and faster",
        "smaller, and about as fast",
        "larger and slower",
    ]
    assert said["CSR, SciPy"] == ["smaller, but slower"] * 2 + ["larger and slower"]
    assert said["bitmask"] == ["smaller; no product reads it, so it is unpacked first"] * 3
    tall = {"one": ((300, 2), times(0.1))}
    (shown,) = WeighAndTime(**parts(products=tall)).state["products"]
    assert shown["formats"][0]["said"][2] == "larger, but faster"


def test_the_table_says_what_the_figure_shows():
    figure = WeighAndTime(**parts())
    numbers = figure.numbers()
    assert len(numbers) == 2 * len(FORMATS) * len(DENSITIES)
    row = numbers[(numbers["product"] == "many") & (numbers.format == "CSR, SciPy")].iloc[1]
    assert row["weights that stay"] == "10%"
    assert row.bytes == f"{figure.state['products'][1]['formats'][1]['bytes'][1]:,}"
    assert row["time, dense = 1"] == "0.52 [0.51, 0.53]"
    assert row["in words"] == "smaller and faster"
    assert set(numbers[numbers.format == "bitmask"]["time, dense = 1"]) == {""}


def test_the_still_draws_the_start():
    figure = WeighAndTime(**parts(start=("many", "whole rows", 0.5)))
    assert (figure.product, figure.format, figure.level) == (1, 2, 2)
    svg = figures.picture(figure.still(), name="a", alt="b")
    assert "many, 50% stay, whole rows: smaller and faster" in svg
    for said in ("CSR, PyTorch", "CSR, SciPy", "bitmask", "density (share that stays)"):
        assert said in svg


def without(name):
    some = times()
    return {"one": (SHAPE, some[some.name != name])}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"products": {}}, "at least one product"),
        ({"products": without("dense")}, r"one: the times lack \['dense'\]"),
        ({"products": without("structured")}, r"lack \['structured'\]"),
        (
            {"products": parts()["products"] | {"b": (SHAPE, times().query("density != 0.1"))}},
            "the same densities",
        ),
        ({"start": ("one", "CSR", 0.1)}, "start is one of .*; got 'CSR'"),
        ({"start": ("two", "bitmask", 0.1)}, "got 'two'"),
        ({"start": ("one", "bitmask", 0.2)}, r"got 0\.2"),
        ({"caption": " "}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        WeighAndTime(**parts(**changed))


def test_it_takes_what_the_library_measures():
    measured = costs.latency_by_density(SHAPE, batch=2, densities=DENSITIES, blocks=2, seconds=1e-4)
    figure = WeighAndTime(**parts(products={"one": (SHAPE, measured)}))
    ratios = measured.pivot_table(index="block", columns=["name", "density"], values="seconds")
    wanted = np.median(ratios["SciPy CSR", 0.1] / ratios["dense", 1.0])
    found = figure.state["products"][0]["formats"][1]["estimate"][1]
    assert found == pytest.approx(wanted, abs=1e-4)


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: WeighAndTime(**parts()),
    controls=(
        ("slider", "Weights"),
        ("radiogroup", "Stored as"),
        ("radiogroup", "Product"),
        *(("radio", name) for name in (*FORMATS, "one", "many")),
    ),
    panels=(0, 1),
)


def radio(page, name):
    return page.locator(".moving-figure").get_by_role("radio", name=name, exact=True)


def effects(page):
    """All that must follow the slider, as the reader sees it."""
    found = {"spoken": slider(page).get_attribute("aria-valuetext")}
    for number in (0, 1):
        one = panel(page, number)
        found[f"line {number}"] = one.locator("line.chosen").get_attribute("x1")
        found[f"dot {number}"] = one.locator("circle").first.get_attribute("cy")
        found[f"ring {number}"] = one.locator("circle").last.get_attribute("cy")
    return found


@pytest.mark.browser
def test_the_arrow_keys_move_everything(figure):
    assert at(figure) == 1
    _, after = changed_by(lambda: effects(figure), lambda: slider(figure).press("ArrowRight"))
    assert after["spoken"] == "50% stay"
    assert figure.locator(".moving-figure .now").inner_text() == "Larger and slower."


@pytest.mark.browser
def test_formats_and_products_are_chosen_by_keyboard(figure):
    radio(figure, "CSR, PyTorch").focus()
    figure.keyboard.press("ArrowRight")
    assert radio(figure, "CSR, SciPy").is_checked()
    assert figure.locator(".moving-figure .now").inner_text() == "Smaller, but slower."
    radio(figure, "one").focus()
    figure.keyboard.press("ArrowRight")
    assert radio(figure, "many").is_checked()
    assert figure.locator(".moving-figure .now").inner_text() == "Smaller and faster."
    shown = panel(figure, 1).locator("svg > g")
    seen = [group.get_attribute("visibility") for group in shown.all()]
    assert seen == ["hidden", "visible"] * 3


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = WeighAndTime(**parts()).numbers().to_dict("records")
    every = itertools.product(("one", "many"), FORMATS)
    for number, (product, stored) in enumerate(every):
        radio(figure, product).check()
        radio(figure, stored).check()
        slider(figure).press("Home" if number % 2 else "End")
        row = numbers[len(DENSITIES) * number + (0 if number % 2 else 2)]
        said = reading(figure)
        assert said.startswith(f"{row['weights that stay']} stay, {stored}, {product}: ")
        assert row["time, dense = 1"].replace(" ", " times the dense time ", 1) in said
        assert said.lower().endswith(f"{row['in words']}.".lower())
        assert f"{int(row['bytes'].replace(',', '')) / 1000:.1f} kB instead of 1.0 kB" in said


# --- On the site ----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("how", ["http", "file"])
def test_on_the_site_chapter_01b_weighs_and_times(browser, site, site_url, how):
    home = site_url if how == "http" else site.as_uri() + "/"
    with in_browser.opened(browser, f"{home}notebooks/01_costs.html", home) as (page, log):
        page.locator(".moving-figure").wait_for()
        assert not page.locator(".course-still svg").is_visible()
        radio(page, "whole rows").check()
        slider(page).press("Home")
        assert effects(page)["spoken"] == "1% stay"
        assert reading(page).startswith("1% stay, whole rows, ")
        plot = panel(page, 0).locator("svg")
        for _ in drag(page, place(plot, 0.2), place(plot, 0.97)):
            pass
        assert effects(page)["spoken"] == "50% stay"
        problems = in_browser.requests_elsewhere(log) + in_browser.failed_requests(log)
        problems += in_browser.console_errors(log)
    assert not problems
