"""Strips: the intervals of a claim's arms, drawn as lines beside their names, in HTML and SVG.

A line is the interval, a mark the estimate, an upright stroke the threshold; colour and shape of
the mark tell the outcome. The side of the threshold on which the claim would hold is shaded. Every
picture says in words what it shows.

Positions are percentages, so that a picture is as wide as its column while its text keeps its size.
Colours stand in the attributes, for pages without the site's style sheet. Arms and conditions are
dictionaries, as `claims.json` has them.
"""

import math
from html import escape

from course_lib import verdicts
from course_lib.verdicts import MARKS

# A triangle, a square, a cross.
SHAPES = {
    "holds": '<path class="solid" stroke="none" d="M0-5.5 5 4H-5Z"/>',
    "fails": '<path class="solid" stroke="none" d="M-4-4H4V4H-4Z"/>',
    "undecided": '<path fill="none" d="M-4-4 4 4M-4 4 4-4"/>',
}
COLOURS = {"holds": "#009e73", "fails": "#d55e00", "undecided": "#5a6969"}  # of `figures.PALETTE`
MARGIN = 6  # percent of a picture's width that stays free at either end
GAP = 13  # percent between the labels of an axis
DECADES = [10.0**power for power in range(-3, 7)]


# --- Numbers and words ----------------------------------------------------------------------------


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


def ends(condition):
    """Both ends of a condition's interval, None where there is none."""
    return condition["low"], condition["high"]


def limits(condition):
    """The numbers at which strokes stand: one threshold or more, each once."""
    return verdicts.ends(condition["holds"], condition["fails"])


# --- The drawing ----------------------------------------------------------------------------------


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
        """Return where a number stands, in percent of the width."""
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


def line(x1, x2, y1, y2, kind, colour="currentColor"):
    """A stroke, as SVG; its ends x1 and x2 are percentages."""
    return (
        f'<line class="{kind}" stroke="{colour}" x1="{x1:.2f}%" x2="{x2:.2f}%" '
        f'y1="{y1}" y2="{y2}"/>'
    )


def picture(axis, condition):
    """One interval, as SVG."""
    left, right = wanted(axis, condition)
    colour = COLOURS.get(condition["outcome"], "currentColor")
    parts = [
        f'<rect class="wanted" fill="currentColor" opacity="0.09" x="{left:.2f}%" '
        f'width="{right - left:.2f}%" height="100%"/>'
    ]
    parts += [line(axis.at(n), axis.at(n), 0, "100%", "threshold") for n in limits(condition)]
    if None not in ends(condition):
        low, high = (axis.at(end) for end in ends(condition))
        parts.append(line(low, high, "50%", "50%", "interval", colour))
    if condition["estimate"] is not None:
        x, shape = axis.at(condition["estimate"]), SHAPES[condition["outcome"]]
        look = f'fill="{colour}" stroke="{colour}" stroke-width="2"'
        parts.append(f'<svg x="{x:.2f}%" y="50%" overflow="visible" {look}>{shape}</svg>')
    return (
        f'<svg class="forest-arm" width="100%" height="22" role="img" '
        f'aria-label="{described(condition)}">{"".join(parts)}</svg>'
    )


def scale(axis):
    """The labels below the pictures; hidden from screen readers, which have the numbers."""
    parts = []
    for number in axis.labels():
        x, name = axis.at(number), f"{number:g}".replace("-", "−")
        parts.append(line(x, x, 0, 4, "tick"))
        parts.append(
            f'<text x="{x:.2f}%" y="15" text-anchor="middle" fill="currentColor" '
            f'font-size="11">{name}</text>'
        )
    return (
        '<svg class="forest-axis" width="100%" height="20" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


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
    """The rows (name, condition) of one unit, above their axis."""
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
