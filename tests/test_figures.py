"""The figures: readable on light and dark, with any colour vision, and without seeing at all."""

import itertools
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from course_lib import display as course_display
from course_lib import figures
from course_lib.evidence import t_interval

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def close_figures():
    with mpl.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """Collect the HTML that is displayed."""
    collected = []
    monkeypatch.setattr(course_display, "display", lambda data, **more: collected.append(data))
    return collected


# --- Colours --------------------------------------------------------------------------------------


def linear(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """Return the contrast of WCAG 2.2: (L₁ + 0.05) / (L₂ + 0.05) with relative luminances L."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(rgb):
    """Return CIE L*a*b* (white D65) of linear RGB."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    t = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def smallest_difference(palette, vision):
    """Return the smallest ΔE of 1976 between two colours of a palette; about 2.3 is just seen."""
    seen = [lab(np.array(VISION[vision]) @ linear(colour)) for colour in palette]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


def test_the_measures_are_the_published_ones():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WebAIM's example
    np.testing.assert_allclose(lab(linear("#ff0000")), [53.24, 80.09, 67.20], atol=0.02)


@pytest.mark.parametrize("page", ["#ffffff", "#121212", "#14181e"])
@pytest.mark.parametrize("colour", figures.PALETTE)
def test_every_colour_is_seen_on_a_light_page_and_on_a_dark_one(colour, page):
    assert contrast(colour, page) >= 3


@pytest.mark.parametrize("vision", VISION)
def test_the_palette_is_told_apart_with_any_colour_vision(vision):
    assert smallest_difference(figures.PALETTE, vision) > 15
    # A vermilion and an ochre that look fine with all cones: the measure must see the trouble.
    trap = ("#D55E00", "#A6761D")
    assert (smallest_difference(trap, vision) < 5) == (vision == "protanopia")


def test_lines_differ_by_dash_and_marker_too():
    n = len(figures.PALETTE)
    assert len(set(figures.DASHES)) == len(set(figures.MARKERS)) == n


# --- Drawing --------------------------------------------------------------------------------------


def results():
    generator = np.random.default_rng(0)
    rows = [
        {"sparsity": s, "seed": k, "accuracy": 95 - 8 * s + generator.normal(0, 1)}
        for s in (0.9, 0.0, 0.5)  # out of order
        for k in range(5)
    ]
    return pd.DataFrame(rows)


def test_mean_band_draws_the_mean_and_its_t_interval():
    _, (ax,) = figures.panels()
    table = results()
    figures.mean_band(ax, table, x="sparsity", y="accuracy", label="pruned", style=1, level=0.9)
    (line,) = ax.lines
    at = [0.0, 0.5, 0.9]
    expected = [t_interval(table["accuracy"][table["sparsity"] == s].tolist(), 0.9) for s in at]
    np.testing.assert_allclose(line.get_xdata(), at)
    np.testing.assert_allclose(line.get_ydata(), [i.estimate for i in expected])
    assert line.get_label() == "pruned"
    assert to_hex(line.get_color()) == figures.PALETTE[1].lower()
    assert line.get_marker() == figures.MARKERS[1]
    (band,) = ax.collections
    corners = {(round(x, 9), round(y, 9)) for x, y in band.get_paths()[0].vertices}
    for s, i in zip(at, expected, strict=True):
        assert (s, round(i.low, 9)) in corners
        assert (s, round(i.high, 9)) in corners
    assert len(corners) == 6


def test_styles_repeat_after_the_last_colour():
    _, (ax,) = figures.panels()
    figures.mean_band(ax, results(), x="sparsity", y="accuracy", label="a", style=7)
    assert to_hex(ax.lines[0].get_color()) == figures.PALETTE[1].lower()


@pytest.mark.parametrize(
    ("n", "columns", "shape"), [(1, 2, (1, 1)), (3, 2, (2, 2)), (4, 3, (2, 3))]
)
def test_panels(n, columns, shape):
    fig, axes = figures.panels(n, columns=columns, width=6.0, height=2.0, sharey=True)
    assert len(axes) == len(fig.axes) == n
    assert fig.get_size_inches() == pytest.approx([6.0, 2.0 * shape[0]])
    assert axes[-1].get_gridspec().get_geometry() == shape


# --- SVG that stands inside a page ----------------------------------------------------------------


def busy_figure():
    fig, (*axes, last) = figures.panels(3, columns=3, width=14)
    figures.dots(last, by_seed()[0], x="at", y="y", by="group")
    for ax in axes:
        figures.mean_band(ax, results(), x="sparsity", y="accuracy", label="a < b & c")
        ax.set_title("loss in pp")
        ax.set_xlabel("sparsity")
        ax.axhline(90, color="black")
        ax.text(0.2, 93, "a word")
        ax.annotate("here", (0.5, 91), (0.6, 94), arrowprops={"arrowstyle": "->"})
        ax.legend(title="method")
    axes[0].imshow(np.eye(3), extent=(0, 1, 88, 89), aspect="auto")
    return fig


def test_the_svg_is_well_formed_and_without_style_elements_or_fixed_size():
    svg = figures.to_svg(busy_figure(), name="a")
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    tags = {element.tag for element in root.iter()}
    assert f"{SVG}style" not in tags
    assert not any("metadata" in tag for tag in tags)
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    width = float(root.attrib["viewBox"].split()[2])
    assert f"max-width:{width * 4 / 3:.0f}px" in root.attrib["style"]


def test_text_and_axes_take_the_pages_own_colour():
    svg = figures.to_svg(busy_figure(), name="a")
    assert figures.INK not in svg
    texts = list(ET.fromstring(svg).iter(f"{SVG}text"))
    assert len(texts) > 20
    for text in texts:
        look = text.attrib.get("style", "") + text.attrib.get("fill", "")
        assert "currentColor" in look, f"{text.text!r} would be black on a dark page"
    assert svg.count("stroke: currentColor") > 10
    root = ET.fromstring(svg)
    assert "fill:currentColor" in root.attrib["style"], "what has no fill is black"
    assert not re.search(r"(stroke|fill): ?(#000|#000000|black)\b", svg)
    # No box hides the page: neither the figure, nor the axes, nor the legend are filled.
    assert not re.search(r"fill: #fff(fff)?\b", svg)


def ids_and_references(svg):
    ids = re.findall(r'\bid="([^"]+)"', svg)
    references = re.findall(r'(?:href="#|url\(#)([^")]+)', svg)
    return ids, references


def test_two_figures_on_a_page_share_no_identifier():
    first, second = (figures.to_svg(busy_figure(), name=name) for name in ("a", "b"))
    ids, references = ids_and_references(first)
    others, _ = ids_and_references(second)
    assert len(ids) == len(set(ids))
    assert set(references) <= set(ids)
    assert references
    assert not set(ids) & set(others)


def test_the_same_figure_gives_the_same_svg():
    first, second = (figures.to_svg(busy_figure(), name="a") for _ in range(2))
    assert first == second


# --- Captions, alt texts, tables ------------------------------------------------------------------


class Page(HTMLParser):
    """Collect tags with their attributes, and the text of a tag."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.texts, self.cells, self.stack = [], {}, [], []
        self.feed(markup)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.stack.append(tag)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if self.stack:
            self.cells += [data] if self.stack[-1] == "td" else []
            self.texts[self.stack[-1]] = self.texts.get(self.stack[-1], "") + data


TRICKY = 'Seeds 0–4, "95%" <b>band</b> & more'


def test_show_carries_caption_and_alt_text_and_closes_the_figure(shown):
    fig = busy_figure()
    figures.show(fig, caption=TRICKY, alt="It falls from <95> to 'half'.")
    assert not plt.fignum_exists(fig.number)
    (data,) = shown
    page = Page(data["text/html"])
    assert page.tags[0][0] == "figure"
    (svg,) = (attributes for tag, attributes in page.tags if tag == "svg")
    assert (svg["role"], svg["aria-label"]) == ("img", "It falls from <95> to 'half'.")
    assert page.texts["figcaption"] == TRICKY
    assert "b" not in page.texts
    assert "It falls from <95>" in data["text/plain"]
    assert TRICKY in data["text/plain"]
    ET.fromstring(re.search(r"<svg.*</svg>", data["text/html"], re.DOTALL)[0])


@pytest.mark.parametrize(
    ("caption", "alt"), [("", "alt"), ("caption", " "), ("the same", "the same"), ("a ", " a")]
)
def test_show_refuses_a_figure_without_a_caption_or_an_alt_text(caption, alt, shown):
    with pytest.raises(ValueError, match="a figure needs a caption"):
        figures.show(busy_figure(), caption=caption, alt=alt)
    assert shown == []


def test_table_rounds_escapes_and_carries_its_caption(shown):
    rows = pd.DataFrame({"arm": ["a < b", "c"], "change": [-1.2345, 20.0], "n": [5, 10]})
    figures.table(rows, caption=TRICKY, decimals=1)
    page = Page(shown[0]["text/html"])
    assert page.texts["caption"] == TRICKY
    assert page.cells == ["a < b", "−1.2", "5", "c", "20.0", "10"]
    assert [tag for tag, _ in page.tags].count("th") == 3
    assert "-1.2" in shown[0]["text/plain"]


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: figures.panels(0), "n must be a whole number, at least 1; got 0"),
        (lambda ax: figures.panels(2, columns=0), "columns must be a whole number"),
        (
            lambda ax: figures.mean_band(ax, results(), x="sparsity", y="loss", label=""),
            "the table lacks ['loss']",
        ),
        (
            lambda ax: figures.mean_band(ax, results()[:0], x="sparsity", y="accuracy", label=""),
            "no rows",
        ),
        (
            lambda ax: figures.mean_band(ax, results()[:1], x="sparsity", y="accuracy", label=""),
            "at least 2 finite values",
        ),
        (
            lambda ax: figures.mean_band(
                ax, results().replace(0.9, np.nan).assign(accuracy=np.nan), x="sparsity",
                y="accuracy", label="",
            ),
            "not finite",
        ),
        (lambda ax: figures.table(results(), caption=" "), "a table needs a caption"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    _, (ax,) = figures.panels()
    with pytest.raises(ValueError) as error:
        call(ax)
    assert message in str(error.value)


def test_no_global_generator_is_touched(global_generators, shown):
    figures.show(busy_figure(), caption="a", alt="b")


# --- What chapters draw again and again -----------------------------------------------------------


def by_seed():
    """Two groups with means 2 and 5 at "b", which comes before "a"; five seeds."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=5)
    rows = [
        {"seed": s, "at": at, "x": x, "group": g, "y": shift + 3 * x + noise[s] - noise.mean()}
        for s in range(5)
        for at, x in (("b", 0.0), ("a", 1.0))
        for g, shift in (("low", 2.0), ("high", 5.0))
    ]
    return pd.DataFrame(rows), noise


def test_dots_stand_on_the_means_with_their_intervals_in_the_order_of_the_table():
    table, noise = by_seed()
    fig, (ax,) = figures.panels(1)
    figures.dots(ax, table, x="at", y="y", by="group")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "a"]
    marks = {line.get_label(): line for line in ax.lines if line.get_linestyle() == "None"}
    np.testing.assert_allclose(marks["low"].get_ydata(), [2.0, 5.0])
    np.testing.assert_allclose(marks["high"].get_ydata(), [5.0, 8.0])
    half = t_interval(noise.tolist()).high - noise.mean()
    whisker = next(line for line in ax.lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(whisker.get_ydata(), [2.0 - half, 2.0 + half])
    places = [marks[name].get_xdata()[0] for name in ("low", "high")]
    assert places[0] < 0 < places[1]
    assert marks["low"].get_marker() != marks["high"].get_marker()
    plt.close(fig)


def test_curves_are_one_band_for_each_group():
    table, _ = by_seed()
    fig, (ax,) = figures.panels(1)
    figures.curves(ax, table, x="x", y="y", by="group")
    low, high = ax.lines
    assert (low.get_label(), high.get_label()) == ("low", "high")
    np.testing.assert_allclose(high.get_ydata(), [5.0, 8.0])
    assert len(ax.collections) == 2
    assert low.get_linestyle() != high.get_linestyle()
    plt.close(fig)


def test_means_are_shown_with_their_intervals(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "course_lib.figures.showing.show_html", lambda html, text: shown.append((html, text))
    )
    table, noise = by_seed()
    half = t_interval(noise.tolist()).high - noise.mean()
    said = {"by": ["at", "group"], "values": {"y": "score"}, "caption": "Means, 5 seeds"}
    figures.means(table, **said, decimals=1, folded=True)
    html, text = shown[0]
    assert f"2.0 [{2 - half:.1f}, {2 + half:.1f}]" in text
    assert html.startswith('<details class="course-folded"><summary>Means, 5 seeds</summary>')
    with pytest.raises(ValueError, match="lacks .'mass'"):
        figures.means(table, **{**said, "values": ["mass"]})
    with pytest.raises(ValueError, match="no rows"):
        figures.dots(None, table[:0], x="at", y="y")


def test_a_grid_fills_what_is_not_zero_with_the_first_row_on_top():
    fig, ax = figures.schematic()
    figures.grid(ax, np.array([[0, 2, 0], [-1.5, 0, 0]]), at=(1, 5), size=2, values=True)
    filled = [patch.get_xy() for patch in ax.patches if patch.get_fill()]
    assert filled == [(3, 3), (1, 1)]
    assert [text.get_text() for text in ax.texts] == ["0", "2", "0", "−1.5", "0", "0"]
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        figures.grid(ax, np.zeros(3))
    plt.close(fig)


def test_an_arrow_is_inside_the_limits_of_its_drawing():
    fig, ax = figures.schematic()
    figures.arrow(ax, (0, 0), (3, -4), label="w")
    assert ax.dataLim.bounds == (0, -4, 3, 4)
    assert ax.texts[0].get_text() == "w"
    plt.close(fig)


@pytest.mark.parametrize(
    "rows", [{"": ["a", "b"], "x": [1, 2]}, {"what": ["", " "], "x": [1, 2]}, {"x": [1], " ": [2]}]
)
def test_a_table_has_no_column_that_says_nothing(rows):
    with pytest.raises(ValueError, match="columns have headings"):
        figures.table(pd.DataFrame(rows), caption="What the numbers are")
