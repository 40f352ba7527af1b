"""Buttons that lead to the repository: all of them when its address is known, none when it is not.

`_config.yml` says which buttons the book wants. Without an address the theme would either fail
or draw links to nowhere, so this extension takes those buttons out before the theme sees them.
"""

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


def setup(app):
    # Before the theme's own handlers of the same event (their priority is 500).
    app.connect("config-inited", drop_buttons_without_address, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
