"""The table of verdicts: each claim as a row, the intervals of its primary arms drawn beside it.

The drawing is that of a verdict's card, `course_lib.strips`.
The filter is the ledger's, which is complete without JavaScript; `claims.js` shows it.
"""

from html import escape

from course_lib import verdicts
from course_lib.strips import SHAPES, forest
from course_lib.verdicts import MARKS, VERDICTS


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
{tally(found)}<div class="bets-bar"></div>
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
