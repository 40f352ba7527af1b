"""Figures that move: their numbers, and what they do under a hand, in a page and in JupyterLab."""

import base64
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import browser as in_browser  # beside this file
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from course_lib import figures, networks, pruning
from course_lib.evidence import t_interval
from course_lib.widgets import MAX_BYTES, MovingFigure
from course_lib.widgets.pruning import PruneByHand

ROOT = Path(__file__).parents[1]
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

CELLS = """\
from course_lib.widgets.pruning import PruneByHand
from test_widgets import parts
PruneByHand(**parts()).show()"""


def notebook_of(cell, folder):
    """A notebook with a figure, run in a kernel of its own, as JupyterLab would save it."""
    from nbclient import NotebookClient

    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[new_code_cell(f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]!r}")],
    )
    notebook.cells.append(new_code_cell(cell))
    NotebookClient(notebook, kernel_name="python3").execute()
    nbformat.write(notebook, folder / "figure.ipynb")
    return folder / "figure.ipynb"


def still_in_print_and_without_scripts(figure, browser, converted):
    """A moving figure's still picture and its table are there when nothing can move."""
    still = figure.locator(".course-still svg")
    assert not still.is_visible()
    figure.emulate_media(media="print")
    assert still.is_visible()
    assert not figure.locator(".moving-figure").is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(converted.as_uri())
    assert plain.locator(".course-still svg").is_visible()
    assert plain.locator("details summary").inner_text().startswith("The numbers of this figure")
    context.close()


def nothing_serious_is_wrong(figure, axe, scheme):
    """axe finds nothing serious in a moving figure, and each of its pictures has a text."""
    figure.emulate_media(color_scheme=scheme)
    figure.evaluate(axe)
    found = figure.evaluate("axe.run('.moving-figure')")
    serious = [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert not serious
    for picture in figure.locator(".moving-figure [role=img]").all():
        assert len(picture.get_attribute("aria-label")) > 20


def page_of(notebook):
    """A notebook as `jupyter nbconvert --to html` makes it a page."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", notebook.name]
    subprocess.run(command, cwd=notebook.parent, check=True, capture_output=True)
    return notebook.with_suffix(".html")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return notebook_of(CELLS, tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="module")
def converted(executed):
    return page_of(executed)


def serve_from_here(context):
    """Answer nbconvert's requests to CDNs with the files that the site brings along."""
    modules = ROOT / "_build" / "vendor" / "node_modules"
    import anywidget

    answers = {
        "require": modules / "requirejs" / "require.js",
        "html-manager": modules / "@jupyter-widgets" / "html-manager" / "dist" / "embed-amd.js",
        "anywidget": Path(anywidget.__file__).parent / "nbextension" / "index.js",
    }
    missing = [str(path) for path in answers.values() if not path.is_file()]
    if missing:
        raise in_browser.Missing(f"{missing[0]} is not there. Build the site: make book.")

    def answer(route):
        for name, path in answers.items():
            if name in route.request.url:
                return route.fulfill(path=path, content_type="text/javascript")
        return route.abort()

    context.route(re.compile("^https?://"), answer)


@pytest.fixture
def figure(page, converted, needs):
    with needs():
        serve_from_here(page.context)
    page.goto(converted.as_uri())
    page.locator(".moving-figure").wait_for()
    return page


def level(page):
    return int(page.locator(".moving-figure input").input_value())


def reading(page):
    """The sentence under the figure, once it has come to rest."""
    page.wait_for_timeout(600)
    return page.locator(".moving-figure p[aria-live]").inner_text()


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
    before = effects(figure)
    assert level(figure) == 2
    figure.locator(".moving-figure input").focus()
    figure.keyboard.press("ArrowRight")
    assert level(figure) == 3
    after = effects(figure)
    same = [what for what in before if before[what] == after[what]]
    assert not same, f"the key did not move {same}"
    assert after["spoken"] == "90% removed"
    mask = next(iter(pruning.global_mask(parts()["scores"], 0.9).values()))
    assert after["stay"] == f"{int(mask.sum())} of 60 weights stay."
    figure.keyboard.press("Home")
    assert effects(figure)["stay"] == "60 of 60 weights stay."


@pytest.mark.browser
def test_what_is_said_is_what_the_table_says(figure):
    numbers = PruneByHand(**parts()).numbers()
    figure.locator(".moving-figure input").focus()
    for key, row in (("End", 4), ("ArrowLeft", 3)):
        figure.keyboard.press(key)
        said = reading(figure)
        for column in ("accuracy, magnitude", "accuracy, random"):
            assert numbers[column][row] in said
        assert said.startswith(f"{numbers.sparsity[row]} removed.")


@pytest.mark.browser
@pytest.mark.parametrize("panel", [0, 1])
def test_dragging_with_the_mouse(figure, panel):
    plot = figure.locator(".moving-figure .panel").nth(panel).locator("svg")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    across = box["y"] + box["height"] / 2
    figure.mouse.move(box["x"] + 0.4 * box["width"], across)
    figure.mouse.down()
    figure.mouse.move(box["x"] + 0.95 * box["width"], across, steps=4)
    assert level(figure) == 4
    figure.mouse.move(box["x"] + 0.05 * box["width"], across, steps=4)
    assert level(figure) == 0
    figure.mouse.up()
    # Once let go, the pointer moves nothing.
    figure.mouse.move(box["x"] + 0.95 * box["width"], across, steps=4)
    assert level(figure) == 0


@pytest.mark.browser
def test_touch(browser, converted, needs):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 800})
    with needs():
        serve_from_here(context)
    page = context.new_page()
    page.goto(converted.as_uri())
    plot = page.locator(".moving-figure .panel").nth(1).locator("svg")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    assert level(page) in (3, 4)
    context.close()


@pytest.mark.browser
def test_the_still_stands_in_print_and_without_scripts(figure, browser, converted):
    caption = figure.locator(".course-still figcaption")
    assert caption.is_visible()
    still_in_print_and_without_scripts(figure, browser, converted)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_finds_names_and_nothing_serious_is_wrong(figure, axe, scheme):
    nothing_serious_is_wrong(figure, axe, scheme)
    slider = figure.get_by_role("slider", name="Sparsity")
    assert slider.get_attribute("aria-valuetext") == "50% removed"


@contextmanager
def lab(folder, settings):
    """A JupyterLab server over a folder, with settings of its own."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise in_browser.Missing("JupyterLab is not installed: pip install -e .[lab]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--notebook-dir={folder}"]
    command += ["--ServerApp.port_retries=0"]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(settings / name) for name in folders}
    process = subprocess.Popen(
        command, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=1).read()
                break
            except OSError:
                if process.poll() is not None:
                    raise AssertionError("JupyterLab ended at once") from None
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.browser
def test_it_works_in_jupyterlab(page, executed, tmp_path, needs):
    """The saved notebook, opened in JupyterLab, run there by keyboard, and moved."""
    with needs(), lab(executed.parent, tmp_path) as url:
        page.goto(f"{url}/lab/tree/{executed.name}")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        page.get_by_text("| Idle").wait_for(timeout=60_000)  # what is run earlier can get lost
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")
        page.locator(".moving-figure").wait_for(timeout=60_000)
        page.get_by_text("| Idle").wait_for()
        before = effects(page)
        page.locator(".moving-figure input").press("ArrowRight")
        page.wait_for_timeout(300)
        assert effects(page)["spoken"] == "90% removed"
        assert effects(page)["outlined"] > before["outlined"]
        assert not page.locator(".course-still svg").is_visible()


# --- On the site ----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("how", ["http", "file"])
def test_on_the_site_chapter_01_can_be_pruned_by_hand(browser, site, site_url, how):
    home = site_url if how == "http" else site.as_uri() + "/"
    with in_browser.opened(browser, f"{home}notebooks/01_pruning.html", home) as (page, log):
        page.locator(".moving-figure").wait_for()
        assert not page.locator(".course-still svg").is_visible()
        slider = page.locator(".moving-figure input")
        slider.press("Home")
        assert effects(page)["stay"] == "19,200 of 19,200 weights stay."
        slider.press("End")
        spoken = effects(page)["spoken"]
        assert spoken == "99% removed"
        assert reading(page).startswith(spoken)
        plot = page.locator(".moving-figure .panel").nth(1).locator("svg")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        across = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 0.9 * box["width"], across)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.55 * box["width"], across, steps=5)
        page.mouse.up()
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
