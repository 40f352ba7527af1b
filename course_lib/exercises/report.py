"""What a check says: passed or failed, what was tried, what came, what was expected, and why."""

import html
from dataclasses import dataclass
from typing import Any

MARKS = {"passed": "✓", "failed": "✗", "not attempted": "○"}
HEADS = {"passed": "passed", "failed": "not yet right", "not attempted": "not attempted yet"}
LONGEST = 1_500


@dataclass(frozen=True)
class Report:
    """The result of one check. It shows itself in a notebook, and prints as text.

    `outcome` is "passed", "failed" or "not attempted". `tried`, `got` and `expected` are texts
    (numbers and shapes, never code), `message` says what is likely wrong. `arguments` are those of
    the call that failed, to try it by hand. The rest says which exercise it was, with which seed,
    what the function printed, and how many exercises of the chapter are solved.
    """

    outcome: str
    tried: str = ""
    got: str = ""
    expected: str = ""
    message: str = ""
    arguments: tuple[Any, ...] = ()
    exercise: str = ""
    title: str = ""
    seed: int | None = None
    printed: str = ""
    progress: str = ""

    def __post_init__(self):
        if self.outcome not in MARKS:
            raise ValueError(f"outcome is one of {list(MARKS)}; got {self.outcome!r}")

    @property
    def passed(self) -> bool:
        """Whether all answers were right."""
        return self.outcome == "passed"

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("tried", self.tried), ("came", self.got), ("expected", self.expected)]
        if self.outcome == "passed":
            rows = [("tried", self.tried)]
        rows.append(("your function printed", self.printed))
        return [(name, shortened(text)) for name, text in rows if text]

    def _notes(self) -> list[str]:
        notes = []
        if self.outcome == "failed" and self.seed is not None:
            notes.append(
                f"The inputs were drawn with seed {self.seed}: add seed={self.seed} to the call to "
                "meet them again."
            )
        if self.outcome == "failed" and self.arguments:
            notes.append("The report's .arguments holds the inputs of this call.")
        return notes + ([self.progress] if self.progress else [])

    def __repr__(self) -> str:
        name = self.title or self.exercise or "Exercise"
        lines = [f"{MARKS[self.outcome]} {name}: {HEADS[self.outcome]}."]
        lines += [shortened(self.message)] if self.message else []
        for row, text in self._rows():
            lines.append(f"  {row}: " + text.replace("\n", "\n    "))
        return "\n".join(lines + self._notes())

    def _repr_html_(self) -> str:
        # What a learner's function returned, raised or printed could be HTML: all is escaped.
        name = html.escape(self.title or self.exercise or "Exercise")
        message = f"<p>{html.escape(shortened(self.message))}</p>" if self.message else ""
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left;vertical-align:top'>{row}</th>"
            f"<td style='text-align:left'><pre style='margin:0;white-space:pre-wrap;"
            f"overflow-wrap:anywhere'>{html.escape(text)}</pre></td></tr>"
            for row, text in self._rows()
        )
        table = f"<table class='course-table'><tbody>{rows}</tbody></table>" if rows else ""
        notes = "".join(f"<p><small>{html.escape(note)}</small></p>" for note in self._notes())
        return (
            f"<div class='course-card course-report' role='status' style='border-left:0.3rem solid "
            f"currentColor;padding:0.25rem 0 0.25rem 0.75rem'>"
            f"<p><strong><span aria-hidden='true'>{MARKS[self.outcome]}</span> {name}: "
            f"{HEADS[self.outcome]}.</strong></p>{message}{table}{notes}</div>"
        )


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return the text, or its beginning with a note of what was left out."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]} … (the rest is left out)"
