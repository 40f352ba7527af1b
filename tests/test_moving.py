"""Every moving figure of the course, taken through the steps that all of them must stand.

What a figure shows, and that it shows what its library computes, is in its own test_widgets_*.py.
"""

import importlib
import pkgutil

import moving  # beside this file
import numpy as np
import pytest

from course_lib import widgets
from course_lib.widgets import MAX_BYTES, MovingFigure

FIGURES = moving.figures()


def subclasses(cls):
    return {cls, *(deep for sub in cls.__subclasses__() for deep in subclasses(sub))}


def test_no_figure_is_left_out():
    for module in pkgutil.iter_modules(widgets.__path__):
        importlib.import_module(f"course_lib.widgets.{module.name}")
    known = {cls for cls in subclasses(MovingFigure) if cls.__module__.startswith("course_lib.")}
    # By name: a widget that was made has a class of its own.
    names = {cls.__name__ for cls in known - {MovingFigure}}
    assert names == {type(one.make()).__name__ for one in FIGURES.values()}


class Bare(MovingFigure):
    _esm = "export default { render() {} }"


def test_a_state_that_a_page_cannot_take_is_refused():
    words = {"caption": "Seeds 0–4.", "alt": "A line."}
    with pytest.raises(ValueError, match=f"less than {MAX_BYTES:,}"):
        Bare({"points": "x" * MAX_BYTES}, **words)
    with pytest.raises(ValueError, match="what JSON can hold"):
        Bare({"points": [1.0, float("nan")]}, **words)
    with pytest.raises(ValueError, match="what JSON can hold"):
        Bare({"points": np.zeros(3)}, **words)
    with pytest.raises(NotImplementedError, match="Bare does not draw a still"):
        Bare({"points": [1]}, **words).show()


# --- In a page ------------------------------------------------------------------------------------

each_figure = pytest.mark.parametrize("figure_name", FIGURES)


@pytest.mark.browser
@each_figure
def test_a_screen_reader_finds_names_and_nothing_serious_is_wrong(figure, axe, figure_name):
    for role, called in FIGURES[figure_name].controls:
        control = figure.locator(".moving-figure").get_by_role(role, name=called, exact=True)
        assert control.count() == 1, (role, called)
        if role == "slider":
            assert control.get_attribute("aria-valuetext")
    for picture in figure.locator(".moving-figure [role=img]").all():
        assert len(picture.get_attribute("aria-label")) > 20
    figure.evaluate(axe)
    for scheme in ("light", "dark"):
        figure.emulate_media(color_scheme=scheme)
        found = figure.evaluate("axe.run('.moving-figure')")
        impacts = {v["id"]: v["impact"] for v in found["violations"]}
        assert not [id for id, impact in impacts.items() if impact in ("serious", "critical")]


@pytest.mark.browser
@each_figure
def test_the_still_stands_in_print_and_without_scripts(figure, browser, figure_pages, figure_name):
    still = figure.locator(".course-still svg")
    assert not still.is_visible()
    assert figure.locator(".course-still figcaption").is_visible()
    figure.emulate_media(media="print")
    assert still.is_visible()
    assert not figure.locator(".moving-figure").is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(figure_pages[figure_name].as_uri())
    assert plain.locator(".course-still svg").is_visible()
    told = moving.figures()[figure_name].make().numbers_are
    assert plain.locator("details summary").inner_text() == f"{told}, as a table"
    context.close()


@pytest.mark.browser
@each_figure
def test_it_fits_a_small_phone(phone, figure_name):
    assert moving.fits(phone)


dragged = [(name, panel) for name, one in FIGURES.items() for panel in one.panels]


@pytest.mark.browser
@pytest.mark.parametrize(("figure_name", "panel"), dragged)
def test_a_drawing_drags_the_slider_along(figure, figure_name, panel):
    least, most = (int(moving.slider(figure).get_attribute(end)) for end in ("min", "max"))
    plot = moving.panel(figure, panel).locator("svg")
    middle, right, left = (moving.place(plot, share) for share in (0.5, 0.97, 0.02))
    _, *reached = [moving.at(figure) for _ in moving.drag(figure, middle, right, left)]
    assert reached == [most, least]
    figure.mouse.move(*right, steps=4)  # once let go, the pointer moves nothing
    assert moving.at(figure) == least


@pytest.mark.browser
@pytest.mark.parametrize(("figure_name", "panel"), dragged)
def test_a_finger_moves_the_slider(phone, figure_name, panel):
    plot = moving.panel(phone, panel).locator("svg")
    phone.touchscreen.tap(*moving.place(plot, 0.97))
    assert moving.at(phone) == int(moving.slider(phone).get_attribute("max"))
