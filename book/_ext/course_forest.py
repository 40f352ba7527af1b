"""The table of verdicts: each claim as a row, the intervals of its primary arms drawn beside it.

The drawing is the one of `course_lib.figures.forest`: a line for the interval, a mark for the
estimate, an upright stroke for the threshold; colour and shape of the mark tell the outcome. The
side of the threshold on which the claim would hold is shaded. Every picture says in words what it
shows.

Positions are percentages, so that a picture is as wide as its column while its text keeps its size.
The table is complete without JavaScript; `claims.js` adds the filter, on pages that show the table.
"""

import math
from html import escape

from course_lib import verdicts
from course_lib.verdicts import MARKS, VERDICTS

# The marks of `figures.forest`: a triangle, a square, a cross.
SHAPES = {
    "holds": '<path class="solid" d="M0-5.5 5 4H-5Z"/>',
    "fails": '<path class="solid" d="M-4-4H4V4H-4Z"/>',
    "undecided": '<path d="M-4-4 4 4M-4 4 4-4"/>',
}
MARGIN = 6  # percent of a picture's width that stays free at either end
GAP = 13  # percent between the labels of an axis
DECADES = [10.0**power for power in range(-3, 7)]


# --- Numbers and words ----------------------------------------------------------------------


def shown(*values):
    """Numbers as a reader wants them: one number of decimals for all, a true minus sign."""
    size = max((abs(value) for value in values if value is not None), default=0)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.01 or size == 0 else 4
    # Adding 0 after rounding turns −0 into 0.
    rounded = [value if value is None else round(value, places) + 0 for value in values]
    return ["–" if value is None else f"{value:,.{places}f}".replace("-", "−") for value in rounded]


def numbers(condition):
    """Estimate with its unit, interval and what is asked of a condition."""
    unit = f" {escape(condition['unit'])}" if condition["unit"] else ""
    estimate, low, high = shown(condition["estimate"], *ends(condition))
    return [estimate + unit, f"[{low}, {high}]", asked(condition)]


def asked(condition):
    """Where the interval must lie: "≥ −1 pp", as HTML."""
    return escape(verdicts.in_words(*(condition[f] for f in ("side", "holds", "fails", "unit"))))


def described(condition):
    """What a picture shows: "−2.8 pp, interval from −4.6 to −1.0, to be ≥ −1 pp: fails"."""
    estimate, _, limit = numbers(condition)
    _, low, high = shown(condition["estimate"], *ends(condition))
    return "".join(
        [
            f"{escape(condition['what'])}: ",
            estimate if condition["estimate"] is not None else "no number",
            f", interval from {low} to {high}" if None not in ends(condition) else "",
            f", to be {limit}: {condition['outcome']}",
        ]
    )


def verdict_badge(verdict):
    kind = verdict.replace(" ", "-")
    return (
        f'<span class="course-verdict verdict-{kind}">'
        f'<span aria-hidden="true">{MARKS[verdict]}</span> {verdict}</span>'
    )


def basis(claim):
    """What stands beside the word: the budget, what was found, how many arms say so; as HTML."""
    outcomes = [arm["outcome"] for arm in claim["arms"] if arm["primary"]]
    arms = "Arms, without what is presupposed" if claim["verdict"] == "vacuous" else "Arms"
    tally = f"{arms}: {verdicts.counts(outcomes)}." if all(outcomes) else ""
    budget = f"{escape(claim['budget'])}. " if claim["budget"] else ""
    return f"{budget}{escape(claim['finding'] or '')} {tally}".strip()


def ends(condition):
    return condition["low"], condition["high"]


def limits(condition):
    """The numbers at which strokes stand: one threshold or more, each once."""
    return verdicts.ends(condition["holds"], condition["fails"])


# --- The drawing ----------------------------------------------------------------------------


class Axis:
    """Where a number stands, in percent of the width: even near zero, by powers beyond one."""

    def __init__(self, conditions):
        given = [n for c in conditions for n in (c["estimate"], *ends(c), *limits(c))]
        given = [n for n in given if n is not None] or [0.0]
        self.thresholds = sorted({limit for c in conditions for limit in limits(c)})
        self.low, self.high = math.asinh(min(given)), math.asinh(max(given))
        if self.high - self.low < 1e-9:
            self.low, self.high = self.low - 1, self.high + 1

    def at(self, number):
        share = (math.asinh(number) - self.low) / (self.high - self.low)
        return MARGIN + (100 - 2 * MARGIN) * share

    def labels(self):
        """The numbers that are written below: thresholds first, then round ones, as room allows."""
        wide = [0.0, *DECADES[3:], *(-n for n in DECADES[3:])]
        fine = [n * step for n in DECADES for step in (1, 3) if n * step not in wide]
        chosen = []
        for number in [*self.thresholds, *wide, *fine, *(-n for n in fine)]:
            here = self.at(number)
            if MARGIN / 2 <= here <= 100 - MARGIN / 2 and all(
                abs(here - self.at(other)) >= GAP for other in chosen
            ):
                chosen.append(number)
        return sorted(chosen)


def wanted(axis, condition):
    """The part of the axis, from and to, where the claim would hold."""
    side, holds = condition["side"], condition["holds"]
    if side == "inside":
        return axis.at(holds[0]), axis.at(holds[1])
    return (axis.at(holds), 100) if ">" in side else (0, axis.at(holds))


def line(x1, x2, y1, y2, kind):
    return f'<line class="{kind}" x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{y1}" y2="{y2}"/>'


def picture(axis, condition):
    """One interval, as SVG."""
    left, right = wanted(axis, condition)
    parts = [f'<rect class="wanted" x="{left:.2f}%" width="{right - left:.2f}%" height="100%"/>']
    parts += [line(axis.at(n), axis.at(n), 0, "100%", "threshold") for n in limits(condition)]
    if None not in ends(condition):
        low, high = (axis.at(end) for end in ends(condition))
        parts.append(line(low, high, "50%", "50%", "interval"))
    if condition["estimate"] is not None:
        x, shape = axis.at(condition["estimate"]), SHAPES[condition["outcome"]]
        parts.append(f'<svg x="{x:.2f}%" y="50%" overflow="visible">{shape}</svg>')
    label = described(condition)
    return f'<svg class="forest-arm" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def scale(axis):
    """The labels below the pictures; hidden from screen readers, which have the numbers."""
    parts = []
    for number in axis.labels():
        x, name = axis.at(number), f"{number:g}".replace("-", "−")
        parts.append(line(x, x, 0, 4, "tick"))
        parts.append(f'<text x="{x:.2f}%" y="15" text-anchor="middle">{name}</text>')
    return f'<svg class="forest-axis" aria-hidden="true">{"".join(parts)}</svg>'


def forest(arms):
    """The primary arms of a claim, each condition on a line; an axis of its own for each unit."""
    rows = {}
    for arm in arms:
        for condition in arm["conditions"]:
            several = len(arm["conditions"]) > 1
            name = f"{arm['name']}: {condition['what']}" if several else arm["name"]
            rows.setdefault(condition["unit"], []).append((name, condition))
    return "".join(forest_of_unit(unit, found) for unit, found in rows.items())


def forest_of_unit(unit, rows):
    axis = Axis([condition for _, condition in rows])
    items = "".join(
        f'<li class="forest-{condition["outcome"]}"><span class="forest-name">'
        f'<span class="forest-sign" aria-hidden="true">{MARKS[condition["outcome"]]}</span>'
        f"{escape(name)}</span>{picture(axis, condition)}</li>"
        for name, condition in rows
    )
    measured = {condition["what"] for _, condition in rows}
    what = measured.pop() if len(measured) == 1 else ""
    label = f"{what} ({unit})" if what and unit else what or unit
    return (
        f'<div class="forest"><ul>{items}</ul><div class="forest-scale">'
        f'<span class="forest-name">{escape(label)}</span>{scale(axis)}</div></div>'
    )


# --- The table ------------------------------------------------------------------------------


def options(found):
    """The choices of a filter by part and chapter; a part without a name has none of its own."""
    parts = {}
    for row in found:
        parts.setdefault(row["part"], {})[row["page"]] = row["chapter"]
    written = []
    for part, chapters in parts.items():
        single = "".join(
            f'<option value="{escape(page)}">{escape(name)}</option>'
            for page, name in chapters.items()
        )
        whole = f'<option value="part {escape(part)}">Part {escape(part)}</option>' if part else ""
        written.append(whole + single)
    return "".join(written)


def filter_form(found):
    # All of them: which words occur is for the reader to bet on.
    verdicts = "".join(f"<option>{verdict}</option>" for verdict in VERDICTS)
    return f"""
<form class="claims-filter" aria-label="Filter the verdicts" hidden>
<label>Verdict <select name="verdict"><option value="">all</option>{verdicts}</select></label>
<label>Chapter <select name="chapter"><option value="">all</option>{options(found)}</select></label>
<label>Words <input type="search" name="words" autocomplete="off" size="12"></label>
<button type="reset">Show all</button>
<p class="claims-count" role="status"></p>
</form>"""


def tally(found):
    """ "3 claims tried: 2 not supported, 1 inconclusive", as badges."""
    verdicts = [row["claim"]["verdict"] for row in found]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict_badge(verdict)}"
        for verdict in VERDICTS
        if verdict in verdicts
    )
    return (
        f'<p class="claims-tally">{len(found)} claim{"s" * (len(found) > 1)} tried'
        f"<span data-bet-all>: {counts}</span>.</p>"
    )


def summary_row(row):
    claim = row["claim"]
    primary = [arm for arm in claim["arms"] if arm["primary"]]
    return f"""
<tr role="row" data-verdict="{claim["verdict"]}" data-chapter="{escape(row["page"])}"
data-part="part {escape(row["part"])}" data-bet="{escape(claim["id"])}">
<th role="rowheader" scope="row"><a href="{escape(row["href"])}">{escape(claim["id"])} ·
{escape(claim["claim"])}</a> <span class="course-note">{escape(row["chapter"])}</span></th>
<td role="cell"><span class="bet-result"
data-note="covered">{verdict_badge(claim["verdict"])}
<span class="course-note">{basis(claim)}</span></span></td>
<td role="cell"><div class="bet-cover-here"></div>
<div class="bet-result">{forest(primary)}</div></td></tr>"""


def summary_table(found):
    """The filter and the table.

    Args:
        found: a dictionary for each claim: `claim`, `href` of the cell that made its verdict,
            `page`, and the names of its `chapter` and `part`.
    """
    heads = "".join(
        f'<th role="columnheader" scope="col">{name}</th>'
        for name in ("Claim", "Verdict", "Intervals of the primary arms")
    )
    legend = ", ".join(
        f'<span class="forest-{outcome}"><svg class="forest-key" aria-hidden="true">'
        f'<svg x="50%" y="50%" overflow="visible">{mark}</svg></svg> {outcome}</span>'
        for outcome, mark in SHAPES.items()
    )
    # Roles are spelled out: on a narrow screen the rows are no table to the style sheet.
    return f"""
<div class="claims">
{tally(found)}<div class="bets-bar"></div>{filter_form(found)}
<table class="course-table claims-summary" role="table"><caption>A mark is the estimate of a primary
arm: {legend}. The line is its interval, the upright stroke the threshold, and the shaded side the
one where the claim would hold. Each claim has an axis of its own: even near zero, and by powers of
ten farther out. A link leads to the cell that made the verdict.</caption>
<thead role="rowgroup"><tr role="row">{heads}</tr></thead>
<tbody role="rowgroup">{"".join(map(summary_row, found))}</tbody></table></div>"""


def add_filter(app, page, template, context, doctree):
    if 'class="claims-filter"' in context.get("body", ""):
        app.add_js_file("claims.js", loading_method="defer")


def setup(app):
    app.connect("html-page-context", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
