"""What a cell shows: HTML with a text beside it, sentences with computed numbers, wide tables."""

import html
import re

from IPython.display import Markdown, display


def say(text: str) -> None:
    """Display a Markdown sentence, so that a number in the prose is one that the code computed.

    A hyphen before a number becomes a minus sign.
    """
    display(Markdown(true_minus(text)))


def takeaway(sentence: str, look: str = "") -> None:
    """Display what a figure says: one computed sentence in bold, then where to look.

    Args:
        sentence: with at most two numbers; the others stand in a table.
        look: at most two sentences.

    Raises:
        ValueError: if `sentence` says nothing or has more than two numbers, or `look` has more than
            four.
    """
    if not sentence.strip():
        raise ValueError("sentence is empty; a takeaway says what the figure shows")
    for name, text, most in (("sentence", sentence, 2), ("look", look, 4)):
        found = numbers(text)
        if len(found) > most:
            raise ValueError(
                f"{name} takes at most {most} numbers; got {found}. Put the others into a table"
            )
    say(f"**{sentence.strip()}** {look.strip()}".strip())


def numbers(text: str) -> list[str]:
    """Return the numbers of a Markdown text; those in code, formulas and links do not count.

    A number is one run of digits with its sign and decimals: 64-300-100-10 is one.
    """
    bare = re.sub(r"`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)", "", text)
    return re.findall(r"(?<![\w.])[-−+]?\d+(?:[.,]\d+)*(?:-\d+)*(?!\w)", bare)


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
