"""The figure of chapter 12: its arithmetic against the library, its numbers, and a hand on it."""

import re

import numpy as np
import pytest
import torch
from moving import Moving, changed_by, drag, panel, place, reading, slider

from course_lib import figures, probes
from course_lib.probes import AXIOMS, COUNTEREXAMPLES, METRICS, Case
from course_lib.widgets import joined
from course_lib.widgets.axioms import DragVector


def parts(**changed):
    given = {"caption": "A vector of two entries.", "alt": "A plane and bars that follow sliders."}
    return given | changed


def in_javascript(page, code, given=None):
    """What a piece of JavaScript returns that sees sparsity.js, and `given`."""
    return page.evaluate(f"(given) => {{ {joined('sparsity.js')}\n{code} }}", given)


# --- The arithmetic -------------------------------------------------------------------------------


def vectors():
    """Of all kinds: with signs, zeros and very different sizes; and those at the edges."""
    draw = torch.Generator().manual_seed(3)
    found = []
    for d in (1, 2, 3, 4, 7, 20, 40, 100):
        h = torch.randn(6, d, generator=draw, dtype=torch.float64)
        keep = torch.rand(6, d, generator=draw) < torch.rand(6, 1, generator=draw)
        found += [*h, *(h * keep), *h.exp(), *(1e-3 * h), *(h * 10 ** (40 * h))]
        one_hot = torch.zeros(d, dtype=torch.float64)
        one_hot[d // 2] = -2.5
        found += [torch.zeros(d, dtype=torch.float64), one_hot, torch.full_like(one_hot, 0.37)]
    return found


@pytest.mark.browser
def test_every_metric_is_the_librarys(page):
    given = vectors()
    code = """return Object.fromEntries(Object.entries(METRICS).map(
        ([name, metric]) => [name, given.map((h) => metric(h))]));"""
    found = in_javascript(page, code, [h.tolist() for h in given])
    assert list(found) == list(METRICS)
    for name, metric in METRICS.items():
        wanted = [float(metric(h)) for h in given]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-9, atol=1e-9, err_msg=name)


def cases():
    """The stored counterexamples, and plane vectors under all axioms."""
    found = [case for broken in COUNTEREXAMPLES.values() for case in broken.values()]
    draw = np.random.default_rng(4)
    for axiom in AXIOMS:
        for a, b in draw.uniform(0.1, 5, (20, 2)):
            amount = 0.4 * (a - b) if axiom == "Robin Hood" else draw.uniform(0.2, 3)
            if amount > 0:
                found.append(Case(axiom, (a, b), amount))
    return found


@pytest.mark.browser
def test_every_axiom_is_changed_and_judged_as_by_the_library(page):
    given = cases()
    code = """return given.map((one) => {
        const pairs = changes(one);
        return [pairs, Object.values(METRICS).map((metric) => breaks(metric, one.axiom, pairs))];
    });"""
    found = in_javascript(page, code, [case._asdict() for case in given])
    broken = set()
    for case, (pairs, judged) in zip(given, found, strict=True):
        before, after = probes.changed(case)
        np.testing.assert_allclose([a for a, _ in pairs], before, rtol=1e-12)
        np.testing.assert_allclose([b for _, b in pairs], after, rtol=1e-12)
        assert judged == [probes.breaks(metric, case) for metric in METRICS.values()], case
        broken |= {(name, case.axiom) for name, b in zip(METRICS, judged, strict=True) if b}
    assert broken >= {(name, axiom) for name, found in COUNTEREXAMPLES.items() for axiom in found}


# --- The numbers ----------------------------------------------------------------------------------


def test_the_table_says_what_the_axioms_do():
    numbers = DragVector(**parts(vector=(1.5, 4.0))).numbers().set_index("metric")
    # Hoyer of (4, 1.5) is (√2 − 5.5/√18.25)/(√2 − 1); Robin Hood moves 0.5 · 2.5/2 = 0.625.
    root = 2**0.5
    before = (root - 5.5 / 18.25**0.5) / (root - 1)
    after = (root - 5.5 / (3.375**2 + 2.125**2) ** 0.5) / (root - 1)
    assert numbers["Robin Hood"]["Hoyer"] == f"kept, {before:.3f} → {after:.3f}"
    assert numbers["Cloning"]["Hoyer"].startswith("broken")
    assert numbers["Robin Hood"]["kurtosis"] == "broken, 1.000 → 1.000"
    assert numbers["Babies"]["−L0"] == "broken, −2.000 → −2.000"
    assert numbers["Cloning"]["−participation ratio"].startswith("broken, −1")
    assert (numbers.loc["Gini"].str.startswith("kept")).all()
    on_an_axis = DragVector(**parts(vector=(3.0, 0.0))).numbers()
    assert (on_an_axis[list(AXIOMS)] == "not asked").all(axis=None)
    on_the_diagonal = DragVector(**parts(vector=(3.0, 3.0))).numbers()
    asked = (on_the_diagonal[list(AXIOMS)] != "not asked").all()
    assert asked.to_dict() == {
        axiom: axiom not in ("Robin Hood", "Rising Tide") for axiom in AXIOMS
    }


@pytest.mark.parametrize("metric", ["Gini", "kurtosis", "−L0"])
@pytest.mark.parametrize("axiom", AXIOMS)
def test_the_still_draws_the_start(axiom, metric):
    still = DragVector(**parts(axiom=axiom, metric=metric)).still()
    svg = figures.picture(still, name="a", alt="b")
    assert f"Level curves of {metric}" in svg
    assert f"{axiom}: before" in svg


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"vector": (1.0, 2.0, 3.0)}, "vector has two entries"),
        ({"vector": (1.0, 5.1)}, "tenths from 0 to 5; got"),
        ({"vector": (1.0, 0.25)}, "whole tenths"),
        ({"axiom": "Robin"}, "axiom is one of"),
        ({"metric": "L0"}, "metric is one of .* got 'L0'"),
        ({"cases": {"Gini": {"Cloning": Case("Cloning", (1, 2))}}}, "does not break 'Cloning'"),
        ({"alt": ""}, "needs a caption"),
    ],
)
def test_bad_input_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        DragVector(**parts(**changed))


# --- In a page ------------------------------------------------------------------------------------

MOVING = Moving(
    make=lambda: DragVector(**parts()),
    controls=(("slider", "First entry"), ("slider", "Second entry"), ("radiogroup", "Axiom")),
)


def marks(page):
    """By metric the mark and the two values."""
    label = page.locator(".moving-figure .panel svg").last.get_attribute("aria-label")
    found = re.findall(r"[.;] ([^.:;]+): ([a-z ]+), (−?\d\.\d+) to (−?\d\.\d+)", label)
    return {name: (mark.split()[0], a, b) for name, mark, a, b in found}


@pytest.mark.browser
def test_every_axiom_does_in_the_page_what_the_table_says(figure):
    for vector in ((4.0, 1.5), (3.9, 1.5), (3.9, 0.0)):
        for name, value in zip(("First entry", "Second entry"), vector, strict=True):
            slider(figure, name).fill(str(round(10 * value)))
        numbers = DragVector(**parts(vector=vector)).numbers().set_index("metric")
        for axiom in AXIOMS:
            figure.get_by_role("radio", name=axiom).check()
            found = marks(figure)
            assert list(found) == list(METRICS)
            for name, (mark, before, after) in found.items():
                wanted = numbers[axiom][name]
                said = f"{mark}, {before} → {after}" if mark != "not" else "not asked"
                assert said == wanted, (vector, axiom, name)
    assert "asks nothing of (3.9, 0)" in reading(figure)


@pytest.mark.browser
def test_a_key_moves_everything_and_what_is_broken_elsewhere_is_said(figure):
    def effects():
        panels = figure.locator(".moving-figure .panel")
        plane = panels.nth(0).locator("svg")
        return {
            "disc": plane.locator("circle").get_attribute("cx"),
            "square": plane.locator("rect").get_attribute("x"),
            "arc": plane.locator("path").last.get_attribute("d"),
            "plane, said": plane.get_attribute("aria-label"),
            "entries, said": panels.nth(1).locator("svg").get_attribute("aria-label"),
            "bar": panels.nth(2).locator("rect").nth(1).get_attribute("width"),
            "spoken": slider(figure, "First entry").get_attribute("aria-valuetext"),
            "marks": marks(figure),
        }

    _, after = changed_by(effects, lambda: slider(figure, "First entry").press("ArrowRight"))
    assert after["spoken"] == "4.1"
    texts = panel(figure, 2).locator("text").all_text_contents()
    assert texts.count("✓ kept here, ✗ by (9, 4, 1, 1)") == 4
    assert texts.count("✗ broken") == 2
    figure.get_by_role("radio", name="Robin Hood").press("ArrowRight")
    assert figure.get_by_role("radio", name="Scaling").is_checked()
    assert "(4.1, 1.5) → (6.15, 2.25). Sparsity is to stay" in reading(figure)
    slider(figure, "How strong").press("Home")
    assert "→ (4.51, 1.65)" in reading(figure)


@pytest.mark.browser
def test_level_curves_hold_vectors_of_one_value(figure):
    svg = panel(figure, 0).locator("svg")
    choose = figure.get_by_role("combobox", name="Level curves of")
    ticks = [float(t.get_attribute("x")) for t in svg.locator("text[y='281']").all()]
    pixel = (ticks[-1] - ticks[0]) / 8  # of a unit; the second axis starts at the bottom, 264
    for name in ("Hoyer", "−effective rank"):
        choose.select_option(name)
        curves = svg.locator("g path").all()
        assert len(curves) == 5
        for part, curve in enumerate(curves, start=1):
            ends = re.findall(r"[ML]([\d.e-]+) ([\d.e-]+)", curve.get_attribute("d"))
            at = torch.tensor([[float(x) - 46, 264 - float(y)] for x, y in ends]) / pixel
            values = METRICS[name](at[at.norm(dim=1) > 1])
            low, high = METRICS[name](torch.tensor([[1.0, 1.0], [1.0, 0.0]])).tolist()
            assert len(values) > 50
            np.testing.assert_allclose(values, low + part / 6 * (high - low), atol=2e-3)
    choose.select_option("kurtosis")
    assert svg.locator("g path").count() == 0
    assert "1 whatever they are" in panel(figure, 0).inner_text()


def vector(page):
    return [slider(page, f"{n} entry").get_attribute("aria-valuetext") for n in ("First", "Second")]


def in_the_plane(page, x, y):
    """Where on the screen a vector lies."""
    return place(panel(page, 0).locator("svg"), (46 + 32 * x) / 320, (264 - 32 * y) / 304)


@pytest.mark.browser
def test_dragging_goes_in_both_directions(figure):
    to = [in_the_plane(figure, *point) for point in ((1, 3), (2.5, 0.5), (7.5, -0.5))]
    seen = [vector(figure) for _ in drag(figure, *to)]
    assert seen == [["1.0", "3.0"], ["2.5", "0.5"], ["5.0", "0.0"]]


@pytest.mark.browser
def test_a_finger_puts_the_vector_where_it_touches(phone):
    phone.touchscreen.tap(*in_the_plane(phone, 2, 4))
    assert vector(phone) == ["2.0", "4.0"]
