"""Bets on a chapter's claims: what will the verdict be, and how sure are you?

The reader's browser keeps the bets; nothing is sent anywhere. In a kernel, `evidence.record` shows
each bet beside its verdict.
"""

import contextlib
import html
from collections.abc import Sequence

import traitlets
from IPython.display import display

from course_lib import bets
from course_lib.display import show_html
from course_lib.evidence import Claim
from course_lib.verdicts import MEANINGS
from course_lib.widgets import PageWidget, joined


class Bets(PageWidget):
    """A form for each claim: a verdict's word, and the probability that it comes.

    `bets` is `{id: {"verdict": ..., "confidence": percent}}`, as the page sent it.

    Args:
        claims: of the chapter, in its order.

    Raises:
        ValueError: if there is no claim, or one twice.
    """

    _esm = joined("page.js", "betting.js", "bets.js")
    _css = joined("page.css", "bets.css")
    bets = traitlets.Dict().tag(sync=True)

    def __init__(self, claims: Sequence[Claim]):
        ids = [claim.id for claim in claims]
        if not ids or len(set(ids)) < len(ids):
            raise ValueError(f"claims are one or more, each once; got {ids}")
        asked = [{"id": claim.id, "claim": claim.claim} for claim in claims]
        # As pairs: a saved notebook sorts the keys of a dictionary.
        super().__init__({"claims": asked, "words": [*map(list, MEANINGS.items())]})
        self.ids = ids
        self.observe(self._place, "bets")

    def _place(self, change: dict) -> None:
        """Hand the bets to `evidence.record`; what is no bet is left out."""
        for name in self.ids:
            bets.PLACED.pop(name, None)
            with contextlib.suppress(KeyError, TypeError, ValueError):
                bets.PLACED[name] = bets.Bet(**change["new"][name])

    def show(self) -> None:
        """Display the forms; where no script runs and in print, how to bet on paper."""
        display(self)
        words = "".join(
            f"<dt>{word}</dt><dd>{html.escape(meaning)}</dd>" for word, meaning in MEANINGS.items()
        )
        names = ", ".join(self.ids)
        task = f"Write down for {names} which word the verdict will be, and how sure you are."
        show_html(
            f'<div class="course-bets-plain" id="{self.still_id}"><div>'
            f"<p>{html.escape(task)}</p><dl>{words}</dl></div></div>",
            "\n".join([task, *(f"  {word}: {what}" for word, what in MEANINGS.items())]),
        )
