"""The figure of chapter 05: its numbers, its arithmetic against PyTorch, and a hand on it."""

import math
import re

import browser as in_browser  # beside this file
import numpy as np
import pytest
import torch
from moving import Moving, changed_by, fits, reading, slider
from scipy.stats import kstest

from course_lib import figures, superposition
from course_lib.evidence import t_interval
from course_lib.training import cosine
from course_lib.widgets import joined
from course_lib.widgets.superposition import DECAYS, DragSparsity

LEVELS, SEEDS = (0.0, 0.5, 0.92), (3, 4, 7)

# --- The numbers ----------------------------------------------------------------------------------


def polygon(n, count, turn):
    """Of n features the first `count`, evenly spread: W of shape (2, n)."""
    angle = turn + 2 * math.pi * torch.arange(n) / count
    length = 0.05 + 0.95 * (torch.arange(n) < count)
    return length * torch.stack([angle.cos(), angle.sin()])


STORED = ((2, 2, 3), (4, 4, 4), (5, 4, 5))  # of each level and seed


def parts(**changed):
    W = [[polygon(5, k, 0.3 + s) for s, k in enumerate(row)] for row in STORED]
    given = {
        "W": torch.stack([torch.stack(row) for row in W]),
        "b": 0.1 + 0.01 * torch.arange(45.0).view(3, 3, 5),
        "losses": torch.tensor([[55.0, 56.5, 57.0], [48.2, 49.0, 51.0], [17.1, 16.0, 18.5]]),
        "p_zero": LEVELS,
        "seeds": SEEDS,
        "start": 0.5,
        "caption": "Seeds 3, 4 and 7.",
        "alt": "Arrows that follow two sliders.",
    }
    return given | changed


def test_the_state_starts_with_a_model_of_the_run():
    given = parts()
    figure = DragSparsity(**given)
    state = figure.state
    assert state["levels"][figure.level] == 0.5
    assert DECAYS[figure.decay] == 0.9
    W = torch.tensor(state["start"]["W"]).view(2, 5)
    assert torch.allclose(W, given["W"][1, 0], atol=1e-5)
    assert state["start"]["b"] == pytest.approx(given["b"][1, 0].tolist(), abs=1e-5)
    counts = dict(zip(state["levels"], state["counts"], strict=True))
    assert counts[0.0] == [(2, 2), (3, 1)]
    assert counts[0.5] == [(4, 3)]
    assert counts[0.92] == [(5, 2), (4, 1)]
    assert counts[0.9] is None  # not of the run
    assert state["levels"] == sorted(set(state["levels"]))


def test_the_table_says_what_the_models_are():
    given = parts()
    numbers = DragSparsity(**given).numbers()
    assert numbers["P"].tolist() == ["0", "0.5", "0.92"]
    for row, (stored, losses) in enumerate(zip(STORED, given["losses"], strict=True)):
        for column, values in (("features stored", stored), ("loss (%)", losses.tolist())):
            interval = t_interval([float(value) for value in values])
            wanted = [interval.estimate, interval.low, interval.high]
            said = re.findall(r"-?[\d.]+", numbers[column][row])
            assert [float(x) for x in said] == pytest.approx(wanted, abs=0.051)
    assert numbers["D of stored ones"][1] == "0.50"  # two pairs of opposite arrows
    assert numbers["length of 5"].tolist() == ["0.05", "0.05", "1.00"]


def test_the_still_draws_every_level():
    svg = figures.picture(DragSparsity(**parts()).still(), name="a", alt="b")
    for said in ("P = 0", "P = 0.92", "5 stored, as in 2 of 3", "4 stored, as in 3 of 3"):
        assert said in svg


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"W": torch.ones(3, 3, 3, 5)}, r"W has shape \(3, 3, 3, 5\); for 3 values of P"),
        ({"W": torch.ones(3, 3, 2, 7)}, "n from 2 to 6"),
        ({"b": torch.ones(3, 5)}, r"b has shape \(3, 5\); it must be \(3, 3, 5\)"),
        ({"losses": torch.ones(3, 2)}, r"losses has shape \(3, 2\)"),
        ({"losses": torch.full((3, 3), torch.nan)}, "losses has values that are not finite"),
        ({"p_zero": (0.0, 0.9, 0.5)}, "p_zero must rise"),
        ({"p_zero": (0.0, 0.5, 1.0)}, r"lie in \[0, 1\)"),
        ({"start": 0.9}, r"start must be one of p_zero; got 0\.9"),
        ({"decay": 0.33}, r"decay must be one of .*; got 0\.33"),
        ({"steps": 0}, "steps must be above 0"),
        ({"learning_rate": -0.1}, "learning_rate must be above 0"),
        ({"alt": ""}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        DragSparsity(**parts(**changed))


def test_an_interval_needs_two_seeds():
    given = parts()
    one = {name: given[name][:, :1] for name in ("W", "b", "losses")}
    with pytest.raises(ValueError, match="seeds must be at least 2"):
        DragSparsity(**parts(seeds=(3,), **one))


# --- The arithmetic -------------------------------------------------------------------------------

IMPORTANCE = [1.0, 0.9, 0.75, 0.5, 1.3]


def in_javascript(page, code, given=None):
    """What a piece of JavaScript returns that sees toy_model.js, and `given`."""
    return page.evaluate(f"(given) => {{ {joined('toy_model.js')}\n{code} }}", given)


def double_model(W, b):
    model = superposition.ToyModels(W.shape[1], W.shape[0], seeds=[0]).double()
    with torch.no_grad():
        model.W.copy_(W.unsqueeze(0))
        model.b.copy_(b.unsqueeze(0))
    return model


@pytest.mark.browser
@pytest.mark.parametrize("m", [2, 3])
def test_one_step_is_pytorchs(page, m):
    draw = torch.Generator().manual_seed(m)
    W = torch.randn(m, 5, generator=draw, dtype=torch.float64)
    b = 0.3 * torch.randn(5, generator=draw, dtype=torch.float64)
    x = superposition.features(50, 5, p_zero=0.4, draw=draw).double()
    model = double_model(W, b)
    loss = superposition.loss(model, x, torch.tensor(IMPORTANCE, dtype=torch.float64))
    loss.sum().backward()
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    adam.step()
    given = {"m": m, "W": W.flatten().tolist(), "b": b.tolist(), "x": x.flatten().tolist()}
    found = in_javascript(
        page,
        """const model = { m: given.m, n: 5, W: given.W, b: given.b };
        const found = lossAndGradients(model, given.x, given.importance);
        adamStep(model, found, newAdam(model), 0.02);
        return { loss: found.loss, gW: [...found.W], gb: [...found.b], W: model.W, b: model.b };""",
        given | {"importance": IMPORTANCE},
    )
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-12)
    wanted = {"gW": model.W.grad, "gb": model.b.grad, "W": model.W, "b": model.b}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values.detach().flatten(), rtol=1e-9, atol=1e-12)
    assert not np.allclose(found["W"], W.flatten())


@pytest.mark.browser
def test_a_training_is_pytorchs(page):
    found = in_javascript(
        page,
        """const draw = uniforms(5), model = newModel(2, 5, draw);
        const start = [...model.W];
        const settings = { pZero: 0.8, importance: given, steps: 30, batchSize: 40, rate: 0.05 };
        const training = newTraining(model, { ...settings, draw });
        const losses = Array.from({ length: 30 }, training.step);
        const again = uniforms(5);
        newModel(2, 5, again);
        const x = Array.from({ length: 30 }, () => [...drawFeatures(40, 5, 0.8, again)]);
        return { start, x, losses, W: [...model.W], b: [...model.b], done: training.done() };""",
        IMPORTANCE,
    )
    model = double_model(torch.tensor(found["start"]).view(2, 5), torch.zeros(5))
    adam = torch.optim.Adam(model.parameters(), lr=0.05)
    rates = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: cosine(step / 30))
    importance = torch.tensor(IMPORTANCE, dtype=torch.float64)
    losses = []
    for x in found["x"]:
        rows = torch.tensor(x, dtype=torch.float64).view(40, 5)
        loss = superposition.loss(model, rows, importance)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
        rates.step()
        losses.append(loss.item())
    # The start went through float32 here.
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-4)
    np.testing.assert_allclose(found["W"], model.W.detach().flatten(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["b"], model.b.detach().flatten(), rtol=1e-3, atol=1e-4)
    assert found["done"] == 30


@pytest.mark.browser
def test_what_is_measured_is_the_librarys(page):
    W = torch.randn(2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    W[:, 3] = 0
    found = in_javascript(
        page,
        """const products = gram({ m: 2, n: 5, W: given.W });
        const losses = [0, 2, 5].map((k) => lossOfNothing(0.7, given.importance, k));
        return { products, D: dimensionalities(products), losses };""",
        {"W": W.flatten().tolist(), "importance": IMPORTANCE},
    )
    np.testing.assert_allclose(found["products"], W.t() @ W, atol=1e-12)
    np.testing.assert_allclose(found["D"], superposition.dimensionality(W), atol=1e-12)
    importance = torch.tensor(IMPORTANCE)
    assert found["losses"][1] == pytest.approx(superposition.linear_loss(importance, 0.7, 2))
    # Nothing stored: the mean is the answer, and what is lost is the variance.
    x = superposition.features(200_000, 5, p_zero=0.7, draw=torch.Generator().manual_seed(1))
    assert found["losses"][0] == pytest.approx(float(importance @ x.var(0)), rel=0.01)
    assert found["losses"][2] == 0


@pytest.mark.browser
def test_features_are_zero_with_their_probability_and_else_uniform(page):
    x = np.array(in_javascript(page, "return [...drawFeatures(8000, 5, 0.6, uniforms(2))];"))
    assert abs((x == 0).mean() - 0.6) < 4 * math.sqrt(0.24 / 40_000)
    assert kstest(x[x > 0], "uniform").pvalue > 0.001
    rows = x.reshape(8000, 5)
    assert np.abs(np.corrcoef(rows, rowvar=False) - np.eye(5)).max() < 0.06
    starts = in_javascript(
        page, "return [1, 1, 2].map((seed) => [...newModel(40, 50, uniforms(seed)).W]);"
    )
    assert starts[0] == starts[1] != starts[2]
    size = math.sqrt(2 / 90)
    assert kstest(np.array(starts[2]) / size, "norm").pvalue > 0.001


@pytest.mark.browser
def test_sparse_features_end_in_a_pentagon_and_dense_ones_in_two_arrows(page):
    state = DragSparsity(**parts()).state
    settings = {name: state[name] for name in ("steps", "batchSize", "rate")}
    found = in_javascript(
        page,
        """const trained = (pZero, seed) => {
          const draw = uniforms(seed), model = newModel(2, 5, draw);
          const importance = [0, 1, 2, 3, 4].map((i) => 0.9 ** i);
          const training = newTraining(model, { ...given, pZero, importance, draw });
          for (let i = 0; i < given.steps; i += 1) training.step();
          return dimensionalities(gram(model));
        };
        const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        return [0.95, 0].map((pZero) => seeds.map((seed) => trained(pZero, seed)));""",
        settings,
    )
    sparse, dense = np.array(found)
    assert (np.abs(sparse - 0.4) < 0.05).all(1).sum() >= 9
    two = (np.abs(dense - [1, 1, 0, 0, 0]) < 0.15).all(1)
    assert two.sum() >= 6


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: DragSparsity(**parts(steps=600)),
    controls=(
        ("slider", "P, the probability of zero"),
        ("slider", "Importance, from feature to feature"),
    ),
)


def button(page, name):
    return page.locator(".moving-figure").get_by_role("button", name=name)


def now(page):
    return page.locator(".moving-figure p.now").inner_text()


def trained(page):
    """The sentence under the figure, once a training has come to its end and is announced."""
    page.wait_for_function(
        "document.querySelector('.moving-figure p.now').textContent.startsWith('Trained')"
    )
    return reading(page)


def arrows(page):
    lines = page.locator(".moving-figure line.arrow").all()
    return [[float(line.get_attribute(end)) for end in ("x2", "y2")] for line in lines]


def effects(page):
    """All that a training must change, as the reader sees it."""
    panels = page.locator(".moving-figure .panel")
    return {
        "arrows": arrows(page),
        "spoken arrows": panels.nth(0).locator("svg").get_attribute("aria-label"),
        "share": panels.nth(1).locator("rect").nth(4).get_attribute("width"),
        "products": panels.nth(2).locator("svg").get_attribute("aria-label"),
        "loss": panels.nth(3).locator("polyline").get_attribute("points"),
        "linear": panels.nth(3).locator("line[stroke-dasharray='6 3']").get_attribute("y1"),
        "now": now(page),
    }


@pytest.mark.browser
def test_it_rests_on_the_model_of_the_run(figure):
    assert now(figure) == "As the run trained it. 4 of 5 features stored."
    said = figure.locator(".moving-figure p[aria-live]").inner_text()
    assert said.startswith("P = 0.50: 4 of 5 features stored in 2 dimensions.")
    assert "D: 0.50, 0.50, 0.50, 0.50, 0.00." in said
    assert said.endswith("In the run, 3 of 3 models store 4.")
    figure.wait_for_timeout(300)
    assert now(figure).startswith("As the run")
    W = parts()["W"][1, 0]
    side = 280 / 2.9  # of the drawing, for a length of 1
    wanted = torch.stack([140 + side * W[0], 140 - side * W[1]], dim=1)
    np.testing.assert_allclose(arrows(figure), wanted, atol=0.05)


@pytest.mark.browser
def test_a_key_trains_and_changes_everything(figure):
    spoken = figure.locator(".moving-figure p[aria-live]")

    def train():
        slider(figure).press("End")
        assert slider(figure).get_attribute("aria-valuetext") == "0.99"
        slider(figure, 1).press("ArrowLeft")
        assert slider(figure, 1).get_attribute("aria-valuetext") == "× 0.95"
        assert spoken.get_attribute("aria-live") == "off"
        trained(figure)
        assert spoken.get_attribute("aria-live") == "polite"

    _, after = changed_by(lambda: effects(figure), train)
    said = reading(figure)
    bars = figure.locator(".moving-figure .panel").nth(1).locator("text")
    stored = sum(", stored" in text for text in bars.all_text_contents())
    assert after["now"].startswith(f"Trained, step 600 of 600. {stored} of 5 features stored.")
    # The run has neither this P nor this importance.
    assert said.startswith(f"P = 0.99: {stored} of 5")
    assert "In the run" not in said
    importance = 0.95 ** torch.arange(5)
    share = 100 * float(importance[2:].sum() / importance.sum())
    assert f"the best linear model has {share:.0f}%." in said


@pytest.mark.browser
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_what_is_said_is_of_now_while_it_trains(figure, motion):
    figure.emulate_media(reduced_motion=motion)
    # All that stands there between two frames of a training, from the key on.
    figure.evaluate(
        """() => {
        const [now, said] = ["p.now", "p[aria-live]"].map((name) =>
          document.querySelector(`.moving-figure ${name}`));
        window.seen = [];
        new MutationObserver(() => seen.push([now.textContent, said.textContent]))
          .observe(now, { childList: true });
        }"""
    )
    slider(figure).press("End")
    trained(figure)
    seen = [(now, said) for now, said in figure.evaluate("seen") if now.startswith("Training")]
    assert len(seen) > 2
    for now, said in seen:
        stored = re.search(r"(\d) of 5 features stored", now)[1]
        assert said.startswith(f"In training, P = 0.99: {stored} of 5 features stored"), now
        lost = re.search(r"Loss (\d+%)", now)
        assert (f"Loss {lost[1]} of" if lost else "The best linear model") in said
    assert reading(figure).startswith("P = 0.99")


@pytest.mark.browser
def test_it_stops_goes_on_and_takes_steps(figure):
    button(figure, "Train").press("Enter")
    figure.wait_for_function(
        "/step \\d{2,}/.test(document.querySelector('.moving-figure p.now').textContent)"
    )
    button(figure, "Stop").press("Enter")
    assert now(figure).startswith("Stopped")
    stopped = effects(figure)
    figure.wait_for_timeout(300)
    assert effects(figure) == stopped
    at = int(re.search(r"step ([\d,]+)", stopped["now"])[1].replace(",", ""))
    button(figure, "20 steps").press("Enter")
    assert f"step {at + 20:,} of" in now(figure)
    assert arrows(figure) != stopped["arrows"]
    button(figure, "Train").press("Enter")
    trained(figure)
    # From its end, the same start is trained again: the same numbers, so the same arrows.
    first = arrows(figure)
    button(figure, "Train").press("Enter")
    trained(figure)
    assert arrows(figure) == first
    button(figure, "Another start").press("Enter")
    trained(figure)
    assert not np.allclose(arrows(figure), first, atol=1)


@pytest.mark.browser
def test_a_slider_goes_on_from_the_arrows_or_starts_anew(figure):
    button(figure, "20 steps").press("Enter")
    fresh = arrows(figure)  # P = 0.5, 20 steps from the random start
    slider(figure).press("ArrowRight")
    trained(figure)
    figure.get_by_label("Start anew when a slider moves").check()
    slider(figure).press("ArrowLeft")
    button(figure, "Stop").press("Enter")
    button(figure, "Train").press("Enter")
    trained(figure)
    button(figure, "20 steps").press("Enter")
    assert arrows(figure) == fresh


@pytest.mark.browser
def test_it_waits_while_it_cannot_be_seen(figure):
    figure.evaluate("document.body.style.paddingBottom = '4000px'")
    button(figure, "Train").press("Enter")
    figure.wait_for_timeout(100)
    figure.evaluate("scrollTo(0, 1e6)")
    figure.wait_for_timeout(300)
    text = "document.querySelector('.moving-figure p.now').textContent"
    before = figure.evaluate(text)
    assert before.startswith("Training")
    figure.wait_for_timeout(500)
    assert figure.evaluate(text) == before
    figure.evaluate("scrollTo(0, 0)")
    assert trained(figure)


@pytest.mark.browser
def test_who_asked_for_less_motion_sees_where_it_ends_and_not_how(figure):
    figure.emulate_media(reduced_motion="reduce")
    figure.evaluate(
        """() => {
        window.places = [];
        const line = document.querySelector(".moving-figure line.arrow");
        new MutationObserver(() => places.push(line.getAttribute("x2")))
          .observe(line, { attributes: true, attributeFilter: ["x2"] });
        }"""
    )
    slider(figure).press("End")
    trained(figure)
    assert figure.evaluate("places.length") == 1


@pytest.mark.browser
def test_it_trains_under_a_finger(phone):
    button(phone, "Train").tap()
    trained(phone)
    assert fits(phone)


@pytest.mark.browser
def test_it_works_in_jupyterlab(page, lab, figure_notebooks):
    lab(page, figure_notebooks[__name__])
    slider(page).press("End")
    assert trained(page).startswith("P = 0.99")
    assert not page.locator(".course-still svg").is_visible()


@pytest.mark.browser
def test_on_the_site_chapter_05_trains(browser, site, site_url):
    with in_browser.opened(browser, f"{site_url}notebooks/05_superposition.html", site_url) as (
        page,
        log,
    ):
        page.locator(".moving-figure").wait_for()
        assert not page.locator(".course-still svg").is_visible()
        slider(page).press("End")
        assert trained(page).startswith("P = 0.99")
        problems = in_browser.requests_elsewhere(log) + in_browser.failed_requests(log)
        problems += in_browser.console_errors(log)
    assert not problems
