"""What depends on where the repository and the site stand.

* `_config.yml` says which buttons the book wants. Without the repository's address the theme would
  either fail or draw links to nowhere, so those buttons are taken out before the theme sees them.
* With it, the site has an address too, unless `html.baseurl` names another: the one that GitHub
  Pages gives it. Each page then names it as the canonical one, and `sitemap.xml` lists all pages.
* `404.html` is shown for an address that is not there, whatever that address is. It brings its own
  style and finds the top of the site by itself, so that its links work from any depth.
"""

import re
from html import escape
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)

REPOSITORY_BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def drop_buttons_without_address(app, config):
    options = config.html_theme_options
    if (options.get("repository_url") or "").strip():
        return
    # The theme reads an empty address in places as if it were one: take the key away.
    options.pop("repository_url", None)
    for button in REPOSITORY_BUTTONS:
        options[button] = False
    launch = options.get("launch_buttons", {})
    for place in ("binderhub_url", "colab_url"):
        launch[place] = ""
    logger.info(
        "[address] repository.url in _config.yml is empty: "
        "the Colab, Binder, repository, issue and edit buttons are left out"
    )


def pages_address(repository):
    """Where GitHub Pages puts the site of a repository; "" if it is not on GitHub.

    `site_link` in tools/address.py writes the same into README.md.
    """
    found = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+?)(\.git)?/?", repository.strip())
    if found is None:
        return ""
    owner, name = found[1].lower(), found[2]
    home = f"https://{owner}.github.io/"
    return home if name.lower() == f"{owner}.github.io" else f"{home}{name}/"


def set_address_of_site(app, config):
    address = config.html_baseurl or pages_address(
        config.html_theme_options.get("repository_url") or ""
    )
    config.html_baseurl = address and address.rstrip("/") + "/"


def write_sitemap(app, exception):
    path = Path(app.outdir, "sitemap.xml")
    path.unlink(missing_ok=True)  # of a build when there was an address
    if exception is not None or app.builder.format != "html" or not app.config.html_baseurl:
        return
    pages = sorted(app.env.found_docs)
    urls = [app.config.html_baseurl + app.builder.get_target_uri(page) for page in pages]
    lines = "".join(f"  <url><loc>{escape(url)}</loc></url>\n" for url in urls)
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{lines}</urlset>\n',
        encoding="utf-8",
    )


def page_for_missing_pages(app):
    home = app.builder.get_target_uri(app.config.root_doc)
    context = {"title": "Page not found", "home": home, "top": app.config.html_baseurl}
    yield "404", context, "404.html"


def setup(app):
    # Before the theme's own handlers of the same event (their priority is 500).
    app.connect("config-inited", drop_buttons_without_address, priority=100)
    app.connect("config-inited", set_address_of_site, priority=100)
    app.config.templates_path.append(str(Path(__file__).parent / "templates"))
    app.connect("html-collect-pages", page_for_missing_pages)
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
