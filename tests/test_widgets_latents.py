"""The figure of chapter 06: its numbers, and what it does under a hand in a page."""

import base64
import json

import numpy as np
import pytest
import torch
from moving import Moving, at, changed_by, panel, reading, slider

from course_lib import autoencoders as ae
from course_lib import data, figures, networks
from course_lib.data import Split
from course_lib.widgets import MAX_BYTES
from course_lib.widgets.latents import PickLatent

N, LATENTS = 80, 12

# --- The numbers ----------------------------------------------------------------------------------


def images():
    test = data.digits(0, folds=5).test
    return Split(test.x[:N], test.y[:N])


def examination(seed):
    """Of an autoencoder that was not trained; latent 3 is dead, latent 5 active for few images."""
    split, network = images(), networks.mlp((64, 20, 10), seed=seed)
    model = ae.SparseAutoencoder(20, LATENTS, ae.TopK(3), seed=seed)
    model.set_normalisation(ae.collect_activations(network, "1", split))
    with torch.no_grad():
        model.b_enc[3] = -100
    found = ae.examine(network, "1", model, split)
    few = found.activations.clone()
    few[few[:, 5].argsort(descending=True)[4:], 5] = 0
    rates = ae.firing_rates(few)
    return found._replace(activations=few, firing_rates=rates)


def parts(**changed):
    given = {
        "examinations": {"trained": examination(1), "untrained": examination(2)},
        "split": images(),
        "caption": "Seed 0, 80 test images.",
        "alt": "Six panels that follow one slider over latents.",
    }
    return given | changed


def test_latents_are_listed_by_firing_rate_and_the_start_is_the_middle():
    figure, given = PickLatent(**parts()), parts()
    for network, found in zip(
        figure.state["networks"], given["examinations"].values(), strict=True
    ):
        numbers = [one["number"] for one in network["latents"]]
        rates = found.firing_rates[numbers]
        assert sorted(numbers) == found.firing_rates.nonzero().flatten().tolist()
        assert (rates[:-1] >= rates[1:]).all()
        assert [one["active"] / N for one in network["latents"]] == pytest.approx(rates.tolist())
    assert 3 not in numbers
    assert figure.rank == len(figure.state["networks"][0]["latents"]) // 2
    chosen = PickLatent(**parts(start=5))
    assert chosen.state["networks"][0]["latents"][chosen.rank]["number"] == 5


def test_images_are_those_of_the_activations():
    figure, split = PickLatent(**parts()), images()
    found = parts()["examinations"]["trained"]
    pixels = np.frombuffer(base64.b64decode(figure.state["images"]), dtype=np.uint8)
    np.testing.assert_allclose(pixels.reshape(N, 64) / 255, split.x.numpy(), atol=0.5 / 255 + 1e-6)
    assert figure.state["digits"] == split.y.tolist()
    for one in figure.state["networks"][0]["latents"]:
        latent = found.activations[:, one["number"]]
        strong, spread = one["strongest"], one["spread"]
        for row in (strong, spread):
            assert row["value"] == pytest.approx(latent[row["image"]].tolist(), abs=6e-4)
            assert len(set(row["image"])) == len(row["image"]) == min(6, one["active"])
        ordered = latent[latent > 0].sort(descending=True).values
        assert strong["value"] == pytest.approx(ordered[:6].tolist(), abs=6e-4)
        ends = [ordered[0].item(), ordered[-1].item()]
        assert [spread["value"][0], spread["value"][-1]] == pytest.approx(ends, abs=6e-4)
        assert spread["value"] == sorted(spread["value"], reverse=True)
    few = next(one for one in figure.state["networks"][0]["latents"] if one["number"] == 5)
    assert len(few["strongest"]["image"]) == 4


def test_directions_means_and_effects_can_be_read_from_the_state():
    figure, split = PickLatent(**parts()), images()
    for network, found in zip(
        figure.state["networks"], parts()["examinations"].values(), strict=True
    ):
        for one in network["latents"]:
            i = one["number"]
            signed = np.frombuffer(base64.b64decode(one["direction"]), dtype=np.int8)
            wanted = found.directions[i].numpy()
            np.testing.assert_allclose(
                signed / 127 * one["slope"], wanted, atol=0.006 * np.abs(wanted).max()
            )
            assert one["effects"] == pytest.approx(found.effects[i].tolist(), abs=6e-4)
            assert one["accuracy"] == pytest.approx(found.accuracy[i].item(), abs=0.006)
            for digit in range(10):
                mean = found.activations[split.y == digit, i].mean().item()
                assert one["means"][digit] == pytest.approx(mean, abs=6e-4)


def test_the_table_says_what_the_figure_shows():
    figure = PickLatent(**parts())
    numbers, first = figure.numbers(), figure.state["networks"][0]
    assert len(numbers) == sum(len(one["latents"]) for one in figure.state["networks"])
    for row, one in zip(numbers.itertuples(index=False), first["latents"], strict=False):
        assert (row.network, row.latent) == ("trained", one["number"])
        assert row.active == f"{100 * one['active'] / N:.1f}%"
    digits = [str(figure.state["digits"][i]) for i in first["latents"][0]["strongest"]["image"]]
    assert numbers["strongest images"][0] == " ".join(digits)
    most = int(np.abs(first["latents"][0]["effects"]).argmax())
    assert numbers["largest change of a logit"][0].endswith(f"(digit {most})")


def test_the_still_draws_the_start():
    svg = figures.picture(PickLatent(**parts(start=5)).still(), name="a", alt="b")
    for said in ("Latent 5 of", "trained", "untrained", "Strongest images", "hole: minus"):
        assert said in svg


def test_the_state_of_a_chapter_fits_a_page():
    found = examination(1)
    many = ae.Examination(
        *(tensor.repeat_interleave(18, -1 if k == 0 else 0) for k, tensor in enumerate(found))
    )
    split = Split(images().x.repeat(4, 1), images().y.repeat(4))
    many = many._replace(activations=many.activations.repeat(4, 1))
    figure = PickLatent(**parts(examinations={"a": many, "b": many}, split=split))
    assert sum(len(one["latents"]) for one in figure.state["networks"]) > 350
    assert len(json.dumps(figure.state)) < MAX_BYTES


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"examinations": {}}, "examinations are of 1 to 3 networks; got 0"),
        ({"split": Split(images().x[:, :60], images().y)}, r"split needs images \(n, 64\)"),
        ({"split": Split(images().x[:70], images().y[:70])}, "examined on 80 inputs of 64 numbers"),
        ({"split": Split(16 * images().x, images().y)}, r"pixels in \[0, 1\]"),
        ({"split": Split(images().x / 0, images().y)}, r"pixels in \[0, 1\]"),
        ({"split": Split(images().x, images().y.clamp(max=8))}, "images of all 10 classes"),
        ({"start": 3}, "active for some image, of 11 in 'trained'; got 3"),
        (
            {"examinations": {"a": ae.Examination(*(0 * part for part in examination(1)))}},
            "no latent of 'a' is active",
        ),
        ({"caption": " "}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        PickLatent(**parts(**changed))


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: PickLatent(**parts()),
    controls=(("slider", "Latent"), ("radiogroup", "Network"), ("button", "One at random")),
    panels=(0,),
)


@pytest.fixture(scope="module")
def state():
    return PickLatent(**parts()).state


def effects(page):
    """All that must follow the slider, as the reader sees it."""
    panels = page.locator(".moving-figure .panel")
    drawn = {
        "line": panels.nth(0).locator("line.chosen").get_attribute("x1"),
        "direction": panels.nth(1).locator("canvas").evaluate("c => c.toDataURL()"),
        "slope": panels.nth(1).locator("p").inner_text(),
        "spoken": slider(page).get_attribute("aria-valuetext"),
    }
    for number, name in ((2, "strongest"), (3, "spread")):
        canvas = panels.nth(number).locator("canvas")
        drawn[name] = canvas.evaluate("c => c.toDataURL()")
        drawn[f"{name}, said"] = canvas.get_attribute("aria-label")
        drawn[f"{name}, below"] = panels.nth(number).locator(".tile-labels").inner_text()
    for number, name in ((4, "means"), (5, "effects")):
        drawn[name] = panels.nth(number).locator("svg").get_attribute("aria-label")
        drawn[f"{name}, bars"] = [
            bar.get_attribute("width") for bar in panels.nth(number).locator("rect").all()
        ]
    return drawn


@pytest.mark.browser
def test_the_arrow_keys_move_everything(figure, state):
    latents = state["networks"][0]["latents"]
    assert at(figure) == len(latents) // 2
    _, after = changed_by(lambda: effects(figure), lambda: slider(figure).press("ArrowRight"))
    assert at(figure) == len(latents) // 2 + 1
    one = latents[at(figure)]
    assert after["spoken"] == f"number {one['number']}, active on {100 * one['active'] / N:.1f}%"
    shown = [
        f"a {state['digits'][i]} at {value:.2f}"
        for i, value in zip(one["strongest"]["image"], one["strongest"]["value"], strict=True)
    ]
    assert after["strongest, said"].endswith(": " + ", ".join(shown) + ".")


@pytest.mark.browser
def test_what_is_drawn_is_what_the_state_holds(figure, state):
    slider(figure).press("End")  # the latent with four images
    one = state["networks"][0]["latents"][-1]
    assert (one["number"], len(one["strongest"]["image"])) == (5, 4)

    def pixels(number):
        canvas = panel(figure, number).locator("canvas")
        size = [int(canvas.get_attribute(side)) for side in ("height", "width")]
        found = canvas.evaluate(
            "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        )
        return np.array(found).reshape(*size, 4)

    given = np.frombuffer(base64.b64decode(state["images"]), dtype=np.uint8).reshape(-1, 8, 8)
    drawn = pixels(2)[:, :, 3]
    for place in range(6):
        tile = drawn[:, 9 * place : 9 * place + 8]
        images = one["strongest"]["image"]
        wanted = given[images[place]] if place < len(images) else np.zeros((8, 8))
        np.testing.assert_array_equal(tile, wanted)

    signed = np.frombuffer(base64.b64decode(one["direction"]), dtype=np.int8).reshape(8, 8)
    drawn = pixels(1)
    corner, middle = drawn[::3, ::3], drawn[1::3, 1::3]
    np.testing.assert_array_equal(corner[:, :, 3], np.rint(255 * np.abs(signed.astype(int)) / 127))
    np.testing.assert_array_equal(middle[:, :, 3], np.where(signed < 0, 0, corner[:, :, 3]))
    strong = np.abs(signed.astype(int)) > 30  # of faint colours a canvas keeps no exact hue
    assert (corner[strong & (signed > 0), 2] > corner[strong & (signed > 0), 0]).all()
    assert (corner[strong & (signed < 0), 2] < corner[strong & (signed < 0), 0]).all()


@pytest.mark.browser
def test_bars_go_from_zero_to_their_value(figure, state):
    one = state["networks"][0]["latents"][at(figure)]
    for number, name in ((4, "means"), (5, "effects")):
        svg = panel(figure, number).locator("svg")
        zero = float(svg.locator("line").get_attribute("x1"))
        every = [v for n in state["networks"] for o in n["latents"] for v in o[name]]
        unit = (340 - 56 - 24) / (max(0, *every) - min(0, *every))
        for bar, value in zip(svg.locator("rect").all(), one[name], strict=True):
            start, width = (float(bar.get_attribute(side)) for side in ("x", "width"))
            assert width == pytest.approx(abs(value) * unit, abs=1e-6)
            assert (start if value >= 0 else start + width) == pytest.approx(zero, abs=1e-6)


@pytest.mark.browser
def test_another_network_is_one_key_away(figure, state):
    figure.get_by_role("radio", name="trained", exact=True).press("ArrowRight")
    assert figure.get_by_role("radio", name="untrained").is_checked()
    latents = state["networks"][1]["latents"]
    assert slider(figure).get_attribute("max") == str(len(latents) - 1)
    one = latents[at(figure)]
    said = reading(figure)
    assert said.startswith(
        f"Latent {one['number']} of “untrained” is active on {100 * one['active'] / N:.1f}% of"
    )
    slider(figure).press("Home")
    assert reading(figure).startswith(f"Latent {latents[0]['number']} of “untrained”")


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = PickLatent(**parts()).numbers()
    for key, row in (("Home", 0), ("ArrowRight", 1)):
        slider(figure).press(key)
        said = reading(figure).replace("−", "-")
        assert f"Latent {numbers.latent[row]} of “trained”" in said
        assert f"active on {numbers.active[row]} of the images" in said
        digit = numbers["largest mean activation"][row].partition(" (digit ")[2]
        assert f"most for digit {digit[0]}." in said
        digit = numbers["largest change of a logit"][row].partition(" (digit ")[2]
        assert f"the logit of {digit[0]} changes most" in said
        below = panel(figure, 5).locator("p").inner_text().replace("−", "-")
        points = numbers["change of accuracy (points)"][row].replace("+0.0", "0.0")
        assert below == f"Accuracy on all images: {points} points."


@pytest.mark.browser
def test_a_random_one_is_never_the_same_again(figure):
    button = figure.get_by_role("button", name="One at random")
    seen = [at(figure)]
    for _ in range(20):
        button.press("Enter")
        seen.append(at(figure))
    assert all(now != then for now, then in zip(seen[1:], seen, strict=False))
    assert len(set(seen)) > 3
