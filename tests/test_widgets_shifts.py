"""The figure of chapter 13: its arithmetic against PyTorch, its numbers, and a hand on it."""

import functools
import json
import re

import numpy as np
import pytest
import torch
from moving import Moving, drag, place, reading, slider
from torch import nn

from course_lib import data, figures, networks, probes, pruning
from course_lib.data import Split
from course_lib.probes import METRICS, Null
from course_lib.widgets import MAX_BYTES, joined
from course_lib.widgets.shifts import NORM, SOFTMAX, DrawDigit, _halves

N, HELD_OUT = 30, 3
ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "GELU (tanh)": functools.partial(nn.GELU, approximate="tanh"),
    "tanh": nn.Tanh,
}

# --- The numbers ----------------------------------------------------------------------------------


def network(activation=nn.ReLU, sizes=(64, 40, 24, 10)):
    """With biases of all sizes and signs, as after a training."""
    model = networks.mlp(sizes, activation=activation, seed=5)
    draw = torch.Generator().manual_seed(6)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.bias.data = 0.3 * torch.randn(layer.bias.shape, generator=draw)
    return model


def images():
    splits = data.digits(0, folds=5, held_out=(HELD_OUT,))
    (x, y), unfamiliar = splits.test, splits.held_out
    return Split(torch.cat([x[:N], unfamiliar.x[:4]]), torch.cat([y[:N], unfamiliar.y[:4]])), x


def nulls(d=24, activation=torch.relu):
    return {
        name: probes.null(metric, d, mean=0.2, std=1.5, activation=activation, n=200)
        for name, metric in METRICS.items()
    }


def parts(**changed):
    split, familiar = images()
    given = {"model": network(), "split": split, "familiar": familiar, "nulls": nulls()}
    given |= {"held_out": (HELD_OUT,), "start": 2, "noise_seed": 7}
    return given | {"caption": "Seed 5, test images.", "alt": "A grid and dials."} | changed


def rounded(model):
    """The network with the weights that the page has, in float64."""
    copied = network(lambda: model[1], (64, 40, 24, 10))
    copied.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    return copied.double()


def test_the_ranges_and_values_are_those_of_the_rounded_network():
    given = parts()
    figure, model = DrawDigit(**given), rounded(given["model"])
    hidden = model[:-1](given["familiar"].double()).detach()
    wanted = {name: metric(hidden) for name, metric in METRICS.items()}
    wanted |= {NORM: hidden.norm(dim=1)}
    wanted |= {SOFTMAX: model(given["familiar"].double()).detach().softmax(1).amax(1)}
    lines = {line["name"]: line for line in figure.state["lines"]}
    assert list(lines) == list(wanted)
    for name, values in wanted.items():
        line = lines[name]
        bounds = np.quantile(values, [0.05, 0.95])
        np.testing.assert_allclose([line["low"], line["high"]], bounds, rtol=1e-4)
        assert line["reach"][0] <= line["low"] <= line["high"] <= line["reach"][1]
        assert line["null"] == (list(given["nulls"][name]) if name in METRICS else None)
    numbers = figure.numbers().set_index("metric")
    turned = probes.rotation(90)(given["split"].x[[2]]).double()
    said = float(numbers["rotated by 90°"]["Hoyer"])
    assert said == pytest.approx(float(probes.hoyer(model[:-1](turned))), abs=6e-4)
    assert numbers["null, ± 2 sd"][NORM] == ""


def test_the_error_of_the_rounding_is_stated():
    given = parts()
    figure = DrawDigit(**given)
    x = torch.cat([given["split"].x, given["familiar"]]).double()
    exact = network().double()
    error = float((exact(x) - rounded(given["model"])(x)).detach().abs().max())
    assert figure.rounding == pytest.approx(error, rel=0.05)
    assert 0 < figure.rounding <= figure.state["rounding"] < 0.02
    assert len(f"{figure.state['rounding']:g}".strip("0.")) == 1


def test_lenet_fits_into_a_page():
    model, (_, familiar) = networks.mlp(seed=1), images()
    test = Split(familiar[:100], torch.zeros(100, dtype=torch.int64))
    figure = DrawDigit(**parts(model=model, split=test, nulls=nulls(100)))
    assert len(json.dumps(figure.state)) < 0.6 * MAX_BYTES


def test_a_mask_is_multiplied_in():
    model = network()
    masked = pruning.apply(network(), pruning.global_mask(pruning.magnitude(model), 0.5))
    figure = DrawDigit(**parts(model=masked))
    x = images()[1]
    wanted = masked(x)
    np.testing.assert_allclose(figure._network(x).detach(), wanted.detach(), atol=0.02)


def test_the_still_draws_the_start():
    svg = figures.picture(DrawDigit(**parts()).still(), name="a", alt="b")
    for said in ("The image: a", "Last hidden layer", "−L0", SOFTMAX):
        assert said in svg


def mixed():
    return nn.Sequential(nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 10))


def infinite():
    model = network()
    model[0].weight.data[1, 2] = 7e4
    return model


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": mixed()}, "the same everywhere; got"),
        ({"model": networks.convnet(seed=0)}, "model takes linear layers"),
        ({"model": networks.mlp((64, 10), seed=0)}, "model takes linear layers"),
        ({"model": networks.mlp((16, 9, 10), seed=0)}, "from 64 inputs on"),
        ({"model": networks.mlp((64, 9, 10), activation=nn.SiLU, seed=0)}, "model takes"),
        ({"model": infinite()}, "too large for halves"),
        ({"split": Split(torch.ones(3, 16), torch.ones(3))}, r"images \(n, 64\).*got \(3, 16\)"),
        ({"split": Split(2 * torch.ones(3, 64), torch.ones(3))}, r"split needs pixels in \[0, 1\]"),
        ({"familiar": torch.zeros(19, 64)}, "familiar has at least 20 images"),
        ({"familiar": -torch.ones(30, 64)}, r"familiar needs pixels in \[0, 1\]"),
        ({"nulls": {}}, "nulls are of metrics of"),
        ({"nulls": {"hoyer": Null(0.5, 0.1)}}, r"got \['hoyer'\]"),
        ({"start": 34}, "start is a row of split, 0 to 33; got 34"),
        ({"caption": ""}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        DrawDigit(**parts(**changed))


# --- The arithmetic -------------------------------------------------------------------------------


def in_javascript(page, code, given=None):
    """What a piece of JavaScript returns that sees the arithmetic of the figure, and `given`."""
    files = joined("page.js", "figure.js", "sparsity.js", "network.js")
    return page.evaluate(f"(given) => {{ {files}\n{code} }}", given)


@pytest.mark.browser
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_page_has_pytorchs_network(page, name):
    model = network(ACTIVATIONS[name])
    state = DrawDigit(**parts(model=model)).state
    assert state["activation"] == name
    x = torch.cat([images()[0].x, torch.rand(5, 64, generator=torch.Generator().manual_seed(1))])
    code = """const network = newNetwork(given.state);
        return given.x.map((pixels) => {
            const { hidden, logits } = forward(network, pixels);
            return { hidden, logits, shares: softmax(logits) };
        });"""
    given = {"state": state, "x": x.tolist()}
    found = in_javascript(page, code, given)
    same = rounded(model)
    with torch.no_grad():
        wanted = {"hidden": same[:-1](x.double()), "logits": same(x.double())}
    wanted["shares"] = wanted["logits"].softmax(1)
    for what, values in wanted.items():
        np.testing.assert_allclose([one[what] for one in found], values, atol=1e-6, err_msg=what)
    with torch.no_grad():  # and PyTorch's own, in float32
        logits = same.float()(x)
    np.testing.assert_allclose([one["logits"] for one in found], logits, atol=1e-4)


@pytest.mark.browser
def test_halves_and_the_error_function(page):
    draw = torch.Generator().manual_seed(2)
    values = torch.randn(400, generator=draw) * 10 ** torch.linspace(-8, 4, 400)
    values = torch.cat([values, torch.tensor([0.0, -0.0, 65504.0, -1.0, 6e-8])]).half()
    found = in_javascript(page, "return [...numbersFromHalves(given)];", _halves(values))
    np.testing.assert_array_equal(found, values.double())
    x = torch.linspace(-7, 7, 141, dtype=torch.float64)
    found = in_javascript(page, "return given.map(erf);", x.tolist())
    np.testing.assert_allclose(found, torch.erf(x), atol=1e-14)


@pytest.mark.browser
def test_the_dials_are_the_librarys(page):
    state, x = DrawDigit(**parts()).state, images()[0].x[:6]
    dials = [(0, 0, 0), (5, 0, 0), (35, 0, 0), (90, 0.3, 0), (180, 1, 0.2), (125, 0.05, 1.0)]
    code = """return given.dials.map(([degrees, inversion, strength]) =>
        given.x.map((one) => shifted(one, { degrees, inversion, strength }, given.noise)));"""
    found = in_javascript(page, code, {"dials": dials, "x": x.tolist(), "noise": state["noise"]})
    for (degrees, inversion, strength), images_found in zip(dials, found, strict=True):
        for one, pixels in zip(x, images_found, strict=True):
            noise = probes.noise(strength, seed=7)
            turned = probes.inversion(inversion)(probes.rotation(degrees)(one[None]))
            np.testing.assert_allclose(pixels, noise(turned)[0], atol=2e-6)


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: DrawDigit(**parts()),
    controls=(
        ("grid", "The image to draw on"),
        *(("slider", dial) for dial in ("Image", "Rotate", "Invert", "Noise")),
    ),
)


def values(page):
    """What is said of each metric: its value and where it lies."""
    label = page.locator(".moving-figure svg").last.get_attribute("aria-label")
    found = re.findall(r"[.;] ([^.:;]+): (−?[\d.]+), (\w+) the range", label)
    return {name: (number, place) for name, number, place in found}


def effects(page):
    """All that must follow a dial, as the reader sees it."""
    panels = page.locator(".moving-figure .panel")
    return {
        "seen": panels.nth(1).locator("canvas").evaluate("c => c.toDataURL()"),
        "seen, said": panels.nth(1).locator("canvas").get_attribute("aria-label"),
        "layer": [bar.get_attribute("y") for bar in panels.nth(2).locator("rect").all()],
        "disc": panels.nth(3).locator("circle.now").get_attribute("cx"),
        "softmax": panels.nth(4).locator("svg").get_attribute("aria-label"),
        "discs": panels.nth(5).locator("circle.now").first.get_attribute("cx"),
        "values": values(page),
        "reading": reading(page),
    }


@pytest.mark.browser
def test_every_dial_moves_everything_and_the_ring_stays(figure):
    ring = figure.locator(".moving-figure circle.before").first
    place, seen = ring.get_attribute("cx"), [effects(figure)]
    for name, said in (("Rotate", "5°"), ("Invert", "5%"), ("Noise", "0.05")):
        slider(figure, name).press("ArrowRight")
        assert slider(figure, name).get_attribute("aria-valuetext") == said
        seen.append(effects(figure))
        same = [what for what in seen[-1] if seen[-1][what] == seen[-2][what]]
        assert not same, f"{name} did not move {same}"
    assert "rotated by 5°, inverted by 5%, with noise of 0.05" in seen[-1]["reading"]
    assert ring.get_attribute("cx") == place
    figure.get_by_role("button", name="Dials to zero").press("Enter")
    assert effects(figure) == seen[0]


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = DrawDigit(**parts()).numbers().set_index("metric")
    lines = {line["name"]: line for line in DrawDigit(**parts()).state["lines"]}
    for column in ("as it is", "rotated by 90°", "inverted", "noise 0.5"):
        for name, to in (("Rotate", 18), ("Invert", 20), ("Noise", 10)):
            slider(figure, name).fill(str(to if column.startswith(name[:4].lower()) else 0))
        found = values(figure)
        assert list(found) == list(numbers.index)
        for name, (value, lies) in found.items():
            assert value == numbers[column][name], (column, name)
            number, (low, high) = (
                float(value.replace("−", "-")),
                (lines[name][k] for k in ("low", "high")),
            )
            if min(abs(number - low), abs(number - high)) > 0.05:
                wanted = "above" if number > high else "below" if number < low else "in"
                assert lies == wanted, (column, name)


@pytest.mark.browser
def test_drawing_with_keys_and_choosing(figure):
    assert "image number 3, a" in reading(figure)
    figure.get_by_role("button", name="Clear the image").click()
    grid = figure.get_by_role("grid", name="The image to draw on")
    assert grid.get_by_role("gridcell").count() == 64
    figure.get_by_role("radio", name="none").focus()
    figure.keyboard.press("Tab")  # the grid is one stop
    for key in ("ArrowDown", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowRight"):
        figure.keyboard.press(key)
    figure.keyboard.press("Space")
    figure.get_by_role("radio", name="half").check()
    figure.locator(".ink [tabindex='0']").focus()
    figure.keyboard.press("ArrowDown")
    figure.keyboard.press("Enter")
    inked = grid.locator("[role=gridcell]:not([aria-label$=' 0% ink'])")
    labels = [cell.get_attribute("aria-label") for cell in inked.all()]
    assert labels == ["row 3, column 2: 100% ink", "row 4, column 2: 50% ink"]
    assert "Shown: your drawing." in reading(figure)
    ink = torch.zeros(64)
    ink[2 * 8 + 1], ink[3 * 8 + 1] = 1.0, 0.5
    hidden = rounded(network())[:-1](ink.double())
    assert float(values(figure)["Hoyer"][0]) == pytest.approx(float(probes.hoyer(hidden)), abs=6e-4)
    slider(figure, "Image").press("End")
    assert "image number 34, a 3, a class never learned" in reading(figure)


def middle(page, row, column):
    """Where on the screen a pixel of the image to draw on lies."""
    return place(page.locator(".ink"), (column + 0.5) / 8, (row + 0.5) / 8)


def inked(page):
    cells = page.locator(".ink [aria-label$='100% ink']").all()
    return [cell.get_attribute("aria-label").split(":")[0] for cell in cells]


@pytest.mark.browser
def test_drawing_with_a_mouse(figure):
    figure.get_by_role("button", name="Clear the image").click()
    strokes = drag(figure, middle(figure, 0, 1), middle(figure, 0, 2), middle(figure, 0, 3))
    assert [len(inked(figure)) for _ in strokes] == [1, 2, 3]
    figure.mouse.move(*middle(figure, 5, 3), steps=6)
    assert inked(figure) == [f"row 1, column {k}" for k in (2, 3, 4)]


@pytest.mark.browser
def test_drawing_with_a_finger(phone):
    phone.get_by_role("button", name="Clear the image").tap()
    phone.touchscreen.tap(*middle(phone, 6, 2))
    assert inked(phone) == ["row 7, column 3"]


@pytest.mark.browser
def test_keys_draw_in_jupyterlab(page, lab, figure_notebooks):
    lab(page, figure_notebooks[__name__])
    page.get_by_role("button", name="Clear the image").click()
    page.locator(".ink [tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "Space"):
        page.keyboard.press(key)
    assert page.locator(".ink [aria-label='row 2, column 2: 100% ink']").count() == 1
    slider(page, "Rotate").press("ArrowRight")
    assert "your drawing, rotated by 5°" in reading(page)
