"""The figure of chapter 03: its numbers, and what it does under a hand in a page."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
import torch
from moving import Moving, at, changed_by, panel, reading, slider

from course_lib import figures, networks, pruning, tickets
from course_lib.evidence import t_interval
from course_lib.widgets.tickets import TicketRounds

SEEDS, ROUNDS, STEPS = (3, 4, 7), 4, (5, 10, 60)
CONTROLS = {"re-initialised": (2, 4), "random mask": (2,)}

# --- The numbers ----------------------------------------------------------------------------------


def units():
    """Every arm, rewind and round of the tables, one of them started again elsewhere."""
    yield "dense", 0, 0
    for rewind in (0, 30):
        yield from (("ticket", rewind, number) for number in range(1, ROUNDS + 1))
    for arm, rounds in CONTROLS.items():
        yield from ((arm, 0, number) for number in rounds)


def frames():
    """What a grid's table and curves look like; every number tells where it comes from."""
    table, curves = [], []
    for place, (arm, rewind, number) in enumerate(units()):
        for seed in SEEDS:
            named = {"arm": arm, "rewind": rewind, "round": number, "seed": seed}
            test = 97 - 2.5 * number - seed**1.1 - place
            table.append(named | {"density": 0.8**number, "steps": 60 - rewind, "test": test})
            for step in STEPS:
                share = 0.2 + 0.01 * step + 0.011 * seed - 0.01 * place
                curves.append(named | {"step": step, "validation_accuracy": share})
    frames = (pd.DataFrame(rows).astype({"rewind": object}) for rows in (table, curves))
    return tuple(frame.sample(frac=1, random_state=5) for frame in frames)


def nested_masks():
    model = networks.mlp((12, 10, 5, 4), seed=11)
    whole = {name: torch.ones_like(w, dtype=bool) for name, w in pruning.weights(model).items()}
    masks = [whole]
    for number in range(1, ROUNDS + 1):
        masks.append(tickets.magnitude_masks(model, number, within=masks[-1]))
    return masks


def parts(**changed):
    table, curves = frames()
    given = {
        "masks": nested_masks(),
        "table": table,
        "curves": curves,
        "seed": 4,
        "image": (4, 3),
        "columns": 5,
        "start": 2,
        "caption": "Seeds 3, 4 and 7 with 95% t intervals.",
        "alt": "Six panels that follow one slider over rounds.",
    }
    return given | changed


def test_the_mask_of_each_round_can_be_read_from_the_state():
    grid, masks = TicketRounds(**parts()).state["mask"], nested_masks()
    survived = np.frombuffer(base64.b64decode(grid["rounds"]), dtype=np.uint8)
    for number, mask in enumerate(masks):
        first = next(iter(mask.values()))
        np.testing.assert_array_equal(survived > number, first.flatten().numpy())
        pixels = first.sum(0).view(4, 3).double()
        inner = pixels[1:3, 1].mean().item()
        assert grid["inner"][number] == pytest.approx(inner, abs=0.006)
        outer = (pixels.sum().item() - 2 * inner) / 10
        assert grid["outer"][number] == pytest.approx(outer, abs=0.006)
    assert (grid["rows"], grid["columns"], grid["height"], grid["width"]) == (2, 5, 4, 3)


def test_layers_densities_and_steps_are_counted():
    state, masks = TicketRounds(**parts()).state, nested_masks()
    for layer, name in zip(state["layers"], masks[0], strict=True):
        assert layer["kept"] == [int(mask[name].sum()) for mask in masks]
        assert layer["total"] == masks[0][name].numel()
    assert state["densities"] == [pytest.approx(pruning.density(m), abs=1e-6) for m in masks]
    assert state["steps"] == {"search": [0, 60, 120, 180, 240], "train": [60] * 5}
    later = TicketRounds(**parts(rewind=30, arms=("ticket",))).state["steps"]
    assert later == {"search": [0, 60, 90, 120, 150], "train": [60, 30, 30, 30, 30]}


@pytest.mark.parametrize("rewind", [0, 30])
def test_curves_are_means_over_seeds_with_their_intervals(rewind):
    arms = ("ticket", "re-initialised", "random mask") if rewind == 0 else ("ticket",)
    given = parts(rewind=rewind, arms=arms)
    figure, table, curves = TicketRounds(**given), given["table"], given["curves"]
    at = {"ticket": range(ROUNDS + 1), **CONTROLS}
    for one in figure.state["arms"]:
        assert one["rounds"] == list(at[one["label"]])
        for place, number in enumerate(one["rounds"]):
            unit = ("dense", 0, 0) if number == 0 else (one["label"], rewind, number)

            def of(rows, unit=unit):
                return rows[(rows[["arm", "rewind", "round"]] == list(unit)).all(axis=1)]

            for part in ("estimate", "low", "high"):
                wanted = getattr(t_interval(of(table).test.tolist()), part)
                assert one[part][place] == pytest.approx(wanted, abs=0.006)
                points = one["curves"][str(number)]
                assert points["step"] == list(STEPS)
                for step, value in zip(STEPS, points[part], strict=True):
                    rows = of(curves)
                    shares = rows[rows.step == step].validation_accuracy
                    wanted = getattr(t_interval((100 * shares).tolist()), part)
                    assert value == pytest.approx(wanted, abs=0.006)


def test_the_table_says_what_the_figure_shows():
    figure = TicketRounds(**parts())
    numbers, masks = figure.numbers(), nested_masks()
    assert numbers["round"].tolist() == [0, 1, 2, 3, 4]
    assert numbers["density"][3] == f"{100 * pruning.density(masks[3]):.1f}%"
    assert (numbers["accuracy, random mask"] == "–").tolist() == [True, True, False, True, True]
    one = figure.state["arms"][1]
    said = re.findall(r"[\d.]+", numbers["accuracy, re-initialised"][4])
    wanted = [one[part][1] for part in ("estimate", "low", "high")]
    assert [float(x) for x in said] == pytest.approx(wanted, abs=0.06)
    assert numbers["weights kept, layer 2"][4] == str(int(masks[4]["2.weight"].sum()))
    assert numbers["steps to find it"].tolist() == ["0", "60", "120", "180", "240"]


def test_the_still_draws_the_start():
    svg = figures.picture(TicketRounds(**parts(start=4)).still(), name="a", alt="b")
    assert "round 4" in svg
    for said in ("ticket", "re-initialised", "random mask", "dense", "layer 3", "to find it"):
        assert said in svg
    # At a round where a control was not trained, there is no curve of it, and no empty legend.
    assert svg.count("random mask") < svg.count("re-initialised")


def later_steps(curves):
    """One seed evaluated at other steps than the others."""
    other = curves["step"] + (curves["seed"] == 7)
    return curves.assign(step=other)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": frames()[0].drop(columns="steps")}, r"table lacks the columns \['steps'\]"),
        ({"curves": frames()[1].drop(columns="arm")}, r"curves lacks the columns \['arm'\]"),
        ({"start": 5}, r"start must be a whole number from 0 to 4 \(a round\); got 5"),
        ({"arms": ()}, "arms are 1 to 3 names"),
        ({"arms": ("ticket", "SNIP")}, "no rows of the arm 'SNIP'"),
        ({"arms": ("random mask", "ticket")}, "'random mask' needs all rounds"),
        ({"rewind": 12, "arms": ("ticket",)}, "'ticket' needs all rounds"),
        ({"seed": 5}, "lacks rounds of 'ticket' of seed 5"),
        ({"image": (3, 3)}, r"first layer has shape \(10, 12\)"),
        ({"columns": 4}, "that 4 columns divide"),
        ({"masks": nested_masks()[:2] + nested_masks()[3:1:-1] + nested_masks()[4:]}, "nested"),
        ({"curves": later_steps(frames()[1])}, "evaluated at different steps"),
        ({"caption": " "}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        TicketRounds(**parts(**changed))


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: TicketRounds(**parts()),
    controls=(("slider", "Round"), ("button", "Play")),
    panels=(0,),
)


def effects(page):
    """All that must follow the slider, as the reader sees it."""
    panels = page.locator(".moving-figure .panel")
    return {
        "line": panels.nth(0).locator("line.chosen").get_attribute("x1"),
        "curves": panels.nth(1).locator("svg").get_attribute("aria-label"),
        "pixels": panels.nth(2).locator("p").inner_text(),
        "picture": panels.nth(2).locator("canvas").evaluate("c => c.toDataURL()"),
        "stay": panels.nth(3).locator("p").inner_text(),
        "mask": panels.nth(3).locator("canvas").evaluate("c => c.toDataURL()"),
        "layers": panels.nth(4).locator("rect").nth(1).get_attribute("width"),
        "steps": panels.nth(5).locator("rect").nth(0).get_attribute("width"),
        "spoken": slider(page).get_attribute("aria-valuetext"),
    }


@pytest.mark.browser
def test_the_arrow_keys_move_everything(figure):
    masks = nested_masks()
    assert at(figure) == 2
    _, after = changed_by(lambda: effects(figure), lambda: slider(figure).press("ArrowRight"))
    assert at(figure) == 3
    assert after["spoken"] == f"3: {100 * pruning.density(masks[3]):.1f}% kept"
    assert after["stay"] == f"{int(masks[3]['0.weight'].sum())} of 120 weights stay."
    most = int(masks[3]["0.weight"].sum(0).max())
    assert after["pixels"].startswith(f"The fullest pixel keeps {most} of 10 weights.")


@pytest.mark.browser
def test_the_mask_that_is_drawn_is_the_mask_of_the_round(figure):
    slider(figure).press("End")
    canvas = panel(figure, 3).locator("canvas")
    data = canvas.evaluate("c => [...c.getContext('2d').getImageData(0, 0, 19, 9).data]")
    assert [canvas.get_attribute(side) for side in ("width", "height")] == ["19", "9"]
    blue = np.array(data).reshape(9, 19, 4)[:, :, 3] == 255
    first = nested_masks()[4]["0.weight"].view(2, 5, 4, 3).numpy()
    for row in range(2):
        for column in range(5):
            tile = blue[row * 5 : row * 5 + 4, column * 4 : column * 4 + 3]
            np.testing.assert_array_equal(tile, first[row, column])


@pytest.mark.browser
def test_only_what_was_trained_at_a_round_is_drawn(figure):
    panels = figure.locator(".moving-figure .panel")
    drawn = {"Home": 1, "ArrowRight": 2, "ArrowRight ": 4, "ArrowRight  ": 2, "End": 3}
    for key, curves in drawn.items():  # dense; ticket and dense; all; and so on
        slider(figure).press(key.strip())
        assert panels.nth(1).locator("polyline").count() == curves, key
    assert "random mask not trained here" in reading(figure)
    assert panels.nth(0).locator('circle[r="5"][visibility="hidden"]').count() == 1


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = TicketRounds(**parts()).numbers()
    for key, row in (("End", 4), ("Home", 0)):
        slider(figure).press(key)
        said = reading(figure)
        assert said.startswith(f"Round {row}, {numbers.density[row]} of the weights kept.")
        assert numbers["accuracy, ticket"][row] in said
        assert said.endswith(f"Steps spent to find it: {numbers['steps to find it'][row]}.")


@pytest.mark.browser
def test_it_plays_to_the_end_and_stops_when_told(figure):
    button = figure.locator(".moving-figure button")
    spoken = figure.locator(".moving-figure p.reading[aria-live]")
    button.press("Enter")
    assert button.inner_text() == "Pause"
    assert spoken.get_attribute("aria-live") == "off"
    figure.wait_for_function("document.querySelector('.moving-figure input').value == 4")
    figure.wait_for_function(
        "document.querySelector('.moving-figure button').textContent == 'Play'"
    )
    assert spoken.get_attribute("aria-live") == "polite"
    button.press("Enter")  # from the end it starts over
    assert at(figure) == 0
    button.press("Enter")
    figure.wait_for_timeout(1200)
    assert (at(figure), button.inner_text()) == (0, "Play")
    button.press("Enter")
    slider(figure).press("ArrowRight")  # a hand on the slider stops it
    assert button.inner_text() == "Play"
