"""What a cell shows: HTML with a text beside it, sentences with computed numbers, wide tables."""

import html
import re

from IPython.display import Markdown, display


def say(text: str) -> None:
    """Display a Markdown sentence, so that a number in the prose is one that the code computed.

    A hyphen before a number becomes a minus sign.
    """
    display(Markdown(true_minus(text)))


def show_html(markup: str, text: str, metadata: dict | None = None) -> None:
    """Display HTML, and a plain text where HTML cannot be shown; `metadata` is the output's."""
    display({"text/html": markup, "text/plain": text}, raw=True, metadata=metadata)


def true_minus(text: str) -> str:
    """Return the text with a minus sign in place of each hyphen that stands before a number."""
    return re.sub(r"(?<![\w.)\]-])-(?=\d)", "−", text)


def scrolling(table: str, *, label: str) -> str:
    """Return an HTML table in a box that scrolls sideways on a narrow page, by keyboard too."""
    return (
        f"<div class='course-scroll' tabindex='0' role='region' aria-label='{html.escape(label)}'>"
        f"{table}</div>"
    )
