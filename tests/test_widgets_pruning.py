"""The figure of chapter 01: its numbers, and a hand on it, in a page and in JupyterLab."""

import base64
import re

import browser as in_browser  # beside this file
import numpy as np
import pandas as pd
import pytest
import torch
from moving import Moving, at, changed_by, drag, panel, place, reading, slider

from course_lib import figures, networks, pruning
from course_lib.evidence import t_interval
from course_lib.widgets.pruning import PruneByHand

LEVELS = (0.0, 0.25, 0.5, 0.9, 0.98)

# --- The numbers ----------------------------------------------------------------------------------


def table(seeds=(3, 4, 7)):
    rows = []
    for score, fall in (("magnitude", 40), ("random", 85)):
        for seed in seeds:
            rows += [
                {"seed": seed, "score": score, "sparsity": s, "accuracy": 97 - seed - fall * s**2}
                for s in LEVELS
            ]
    return pd.DataFrame(rows).sample(frac=1, random_state=5).sort_values("score", kind="stable")


def parts(**changed):
    model = networks.mlp((6, 10, 4), seed=11)
    given = {
        "scores": pruning.magnitude(model),
        "accuracy": table(),
        "nbytes": {"dense": [400] * 5, "CSR": [850, 640, 430, 94, 30]},
        "image": (2, 3),
        "columns": 5,
        "start": 0.5,
        "caption": "Seeds 3, 4 and 7 with 95% t intervals.",
        "alt": "Four panels that follow one slider.",
    }
    return given | changed


def test_the_mask_of_each_level_can_be_read_from_the_state():
    given = parts()
    figure = PruneByHand(**given)
    grid = figure.state["mask"]
    survived = np.frombuffer(base64.b64decode(grid["levels"]), dtype=np.uint8)
    for level, sparsity in enumerate(LEVELS):
        mask = next(iter(pruning.global_mask(given["scores"], sparsity).values()))
        np.testing.assert_array_equal(survived > level, mask.flatten().numpy())
    assert (grid["rows"], grid["columns"], grid["height"], grid["width"]) == (2, 5, 2, 3)


def test_the_cut_of_each_level_parts_what_goes_from_what_stays():
    given = parts()
    histogram = PruneByHand(**given).state["histogram"]
    flat = torch.cat([score.flatten() for score in given["scores"].values()]).double()
    for cut, sparsity in zip(histogram["cuts"], LEVELS, strict=True):
        assert (flat < cut - 1e-6).sum() == pytest.approx(round(sparsity * len(flat)), abs=1)
    assert sum(histogram["counts"]) == len(flat)
    assert histogram["edges"][-1] == pytest.approx(flat.max().item(), abs=1e-5)


def test_curves_are_means_over_seeds_with_their_intervals():
    figure = PruneByHand(**parts())
    for one in figure.state["curves"]:
        for level, sparsity in enumerate(LEVELS):
            given = table()
            rows = given[(given.score == one["label"]) & (given.sparsity == sparsity)]
            interval = t_interval(rows.accuracy.tolist())
            for part in ("estimate", "low", "high"):
                assert one[part][level] == pytest.approx(getattr(interval, part), abs=0.006)


def test_the_table_says_what_the_figure_shows():
    figure = PruneByHand(**parts())
    numbers = figure.numbers()
    assert numbers.sparsity.tolist() == ["0%", "25%", "50%", "90%", "98%"]
    assert numbers["bytes, CSR"].tolist() == ["850", "640", "430", "94", "30"]
    first = figure.state["curves"][0]
    said = numbers[f"accuracy, {first['label']}"][3]
    wanted = [first[part][3] for part in ("estimate", "low", "high")]
    assert [float(x) for x in re.findall(r"[\d.]+", said)] == pytest.approx(wanted, abs=0.06)


def test_the_still_draws_the_start():
    figure = PruneByHand(**parts(start=0.9))
    assert figure.state["sparsities"][figure.level] == 0.9
    svg = figures.picture(figure.still(), name="a", alt="b")
    assert "(90%)" in svg
    for said in ("magnitude", "random", "dense", "CSR", "test accuracy (%)"):
        assert said in svg


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"accuracy": table().drop(columns="score")}, r"lacks the columns \['score'\]"),
        ({"start": 0.7}, r"start must be a sparsity of the table; got 0\.7"),
        ({"nbytes": {"CSR": [9, 8]}}, r"nbytes\['CSR'\] has 2 values; the table has 5 levels"),
        ({"image": (3, 3)}, r"first layer has shape \(10, 6\)"),
        ({"columns": 4}, "that 4 columns divide"),
        ({"caption": " "}, "needs a caption"),
        ({"alt": parts()["caption"]}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        PruneByHand(**parts(**changed))


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: PruneByHand(**parts()),
    controls=(("slider", "Sparsity"),),
    panels=(0, 1),
)


def effects(page):
    """All that must follow the slider, as the reader sees it."""
    root = page.locator(".moving-figure")
    return {
        "cut": root.locator(".panel").nth(0).locator("circle").get_attribute("cx"),
        "outlined": root.locator(".panel").nth(0).locator('rect[fill="none"]').count(),
        "line": root.locator(".panel").nth(1).locator("line.chosen").get_attribute("x1"),
        "stay": root.locator(".panel").nth(2).locator("p").inner_text(),
        "mask": root.locator("canvas").get_attribute("aria-label"),
        "bar": root.locator(".panel").nth(3).locator("rect").nth(1).get_attribute("width"),
        "spoken": root.locator("input").get_attribute("aria-valuetext"),
    }


@pytest.mark.browser
def test_the_arrow_keys_move_everything(figure):
    assert at(figure) == 2
    _, after = changed_by(lambda: effects(figure), lambda: slider(figure).press("ArrowRight"))
    assert at(figure) == 3
    assert after["spoken"] == "90% removed"
    mask = next(iter(pruning.global_mask(parts()["scores"], 0.9).values()))
    assert after["stay"] == f"{int(mask.sum())} of 60 weights stay."
    slider(figure).press("Home")
    assert effects(figure)["stay"] == "60 of 60 weights stay."


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = PruneByHand(**parts()).numbers()
    for key, row in (("End", 4), ("ArrowLeft", 3)):
        slider(figure).press(key)
        said = reading(figure)
        for column in ("accuracy, magnitude", "accuracy, random"):
            assert f" {numbers[column][row].split()[0]}" in said
        assert said.startswith(f"{numbers.sparsity[row]} removed.")


@pytest.mark.browser
def test_it_works_in_jupyterlab(page, lab, figure_notebooks):
    """The saved notebook, opened in JupyterLab, run there by keyboard, and moved."""
    lab(page, figure_notebooks[__name__])
    before = effects(page)
    slider(page).press("ArrowRight")
    page.get_by_text("90% removed").first.wait_for()
    assert effects(page)["spoken"] == "90% removed"
    assert effects(page)["outlined"] > before["outlined"]
    assert not page.locator(".course-still svg").is_visible()


def alone(page):
    """Take the game below the verdict out of the page: the first figure is what is tried."""
    page.wait_for_function("document.querySelectorAll('.moving-figure').length === 2")
    page.evaluate("document.querySelectorAll('.moving-figure')[1].remove()")
    assert not page.locator("#try-it-and-bet .course-still svg").is_visible()


# --- On the site ----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("how", ["http", "file"])
def test_on_the_site_chapter_01_can_be_pruned_by_hand(browser, site, site_url, how):
    home = site_url if how == "http" else site.as_uri() + "/"
    with in_browser.opened(browser, f"{home}notebooks/01_pruning.html", home) as (page, log):
        alone(page)
        slider(page).press("Home")
        assert effects(page)["stay"] == "19,200 of 19,200 weights stay."
        slider(page).press("End")
        spoken = effects(page)["spoken"]
        assert spoken == "99% removed"
        assert reading(page).startswith(spoken)
        plot = panel(page, 1).locator("svg")
        for _ in drag(page, place(plot, 0.9), place(plot, 0.55)):
            pass
        assert 30 < float(effects(page)["spoken"].split("%")[0]) < 70
        problems = in_browser.requests_elsewhere(log) + in_browser.failed_requests(log)
        problems += in_browser.console_errors(log)
    assert not problems


@pytest.mark.browser
def test_nothing_glides_for_who_asked_for_less_motion(figure):
    bar = figure.locator(".moving-figure rect.bar").first
    figure.emulate_media(reduced_motion="no-preference")
    assert bar.evaluate("b => getComputedStyle(b).transitionDuration") != "0s"
    figure.emulate_media(reduced_motion="reduce")
    assert bar.evaluate("b => getComputedStyle(b).transitionDuration") == "0s"
