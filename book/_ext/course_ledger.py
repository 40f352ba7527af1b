"""The ledger: what the notebooks found, collected from their outputs and shown on other pages.

`evidence.record(...)` displays a verdict and puts the claim into the metadata of that output. After
each notebook is read, its executed copy is searched for such outputs. Directives then write the
ledger page and the summary, and `claims.json` and `timings.json` are put beside the pages, with
`claims.schema.json`, which says what a claim must look like. No number of the ledger is typed
anywhere.

Directives, for pages in `book/`:

* `{claims-ledger}`: every claim with its criterion, arms and verdict;
* `{claims-summary}`: a row a claim, with its intervals drawn (`course_forest`);
* `{claims-bets} W1 A5`: these claims, to bet on; without a script, their verdicts;
* `{chapter-figure} notebooks/01_pruning`: the first figure of a chapter, as its run drew it;
* `{moving-figure} notebooks/01_pruning`: the first figure of a chapter that moves, as its run left
  it (`course_moving`).
"""

import hashlib
import json
import math
import re
import shutil
from html import escape
from pathlib import Path

import nbformat
from course_forest import basis, filter_form, summary_table, verdict_badge
from course_links import entry_link, known_papers, parts, title
from course_moving import first_moving
from docutils import nodes
from jsonschema import Draft202012Validator, validators
from jupyter_cache import get_cache
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from course_lib.strips import numbers
from course_lib.verdicts import MARKS, MAX_PRIMARY, SCHEMA

logger = logging.getLogger(__name__)


# --- What a claim must look like ------------------------------------------------------------


def number(checker, value):
    """A number of JSON, which knows no NaN and no infinity."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


LEDGER = json.loads(SCHEMA.read_text(encoding="utf-8"))
ONE_CLAIM = {"$ref": "#/$defs/claim", "$defs": LEDGER["$defs"]}
Strict = validators.extend(
    Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", number)
)


def faults(claim):
    """What does not fit the schema, one sentence a fault; an empty list if all does."""
    errors = sorted(Strict(ONE_CLAIM).iter_errors(claim), key=lambda e: list(map(str, e.path)))
    if errors:
        found = [fault for error in errors for fault in in_sentences(error)]
        return list(dict.fromkeys(found))
    return [  # what no schema can say: which of two numbers is the larger one
        f"field 'arms[{a}].conditions[{c}].{low}' is {first}, above '{high}', which is {second}"
        for a, arm in enumerate(claim["arms"])
        for c, condition in enumerate(arm["conditions"])
        for low, high, first, second in in_order_of_size(condition)
        if first is not None and second is not None and first > second
    ]


def in_order_of_size(condition):
    """Pairs of which the first may not be above the second: their names, their numbers."""
    yield "low", "high", condition["low"], condition["high"]
    if condition["side"] == "inside":
        for name in ("holds", "fails"):
            yield f"{name}[0]", f"{name}[1]", *condition[name]


def in_sentences(error):
    """A fault in words; a missing or unknown field by its name."""
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    where = where.removeprefix(".")
    inside = f"{where}." if where else ""
    value, schema = error.instance, error.schema
    if error.validator == "required":
        return [f"field '{inside}{f}' is missing" for f in schema["required"] if f not in value]
    if error.validator == "additionalProperties":
        unknown = [field for field in value if field not in schema["properties"]]
        return [f"field '{inside}{field}' is not one that the schema knows" for field in unknown]
    name = f"field '{where}'" if where else "the claim"
    if error.validator in ("contains", "maxContains"):
        primary = sum(isinstance(arm, dict) and arm.get("primary") is True for arm in value)
        return [f"{name} has {primary} primary arms; from 1 to {MAX_PRIMARY} are allowed"]
    return [f"{name} is {value!r:.200}; it must be {schema['description']}"]


# --- Collecting -----------------------------------------------------------------------------


def store(env):
    """By notebook: {"claims": [...], "figures": [html, ...], "moving": html}. Sphinx keeps it."""
    if not hasattr(env, "course_claims"):
        env.course_claims = {}
    return env.course_claims


def pages_with_claims(env):
    if not hasattr(env, "course_claim_pages"):
        env.course_claim_pages = set()
    return env.course_claim_pages


def keep_source(app, page, content):
    # What myst-nb is about to parse, and so what the cache knows the notebook by.
    app.env.temp_data["course_source"] = content[0]


def executed(env, page):
    """The notebook with its outputs.

    myst-nb also writes notebooks to `_build/jupyter_execute`, but without outputs whenever they
    came from the cache; hence the cache is asked first.
    """
    settings = env.mystnb_config
    if settings.execution_mode == "cache":
        notebook = nbformat.reads(env.temp_data["course_source"], as_version=4)
        try:
            cache = get_cache(settings.execution_cache_path)
            return cache.merge_match_into_notebook(notebook)[1]
        except KeyError:
            pass  # it failed to run, and myst-nb has said so
    return nbformat.read(Path(settings.output_folder, f"{page}.ipynb"), as_version=4)


def collect(app, doctree):
    env = app.env
    page = env.docname
    if not str(env.doc2path(page)).endswith(".ipynb"):
        return
    claims, figures = [], []
    notebook = executed(env, page)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            html = html if isinstance(html, str) else "".join(html)
            figures += re.findall(r"<figure[^>]*course-figure.*?</figure>", html, re.DOTALL)
            if "claim" not in output.get("metadata", {}):
                continue
            claim = output["metadata"]["claim"]
            wrong = faults(claim)
            name = claim.get("id") if isinstance(claim, dict) else None
            if not wrong and not re.search(rf"""id=["']claim-{name}["']""", html):
                wrong = [f"no element with id 'claim-{name}' in the output: nothing can link to it"]
            for fault in wrong:
                logger.warning(
                    "[ledger] %s: claim %r: %s", page, name, fault, location=page, type="ledger"
                )
            if not wrong:
                claims.append(claim)
    store(env)[page] = {"claims": claims, "figures": figures, "moving": first_moving(notebook)}


def purge(app, env, page):
    store(env).pop(page, None)
    pages_with_claims(env).discard(page)


def merge(app, env, pages, other):
    store(env).update({page: found for page, found in store(other).items() if page in pages})
    pages_with_claims(env).update(pages_with_claims(other) & set(pages))


def in_order(env):
    """(page, claim) for all claims, in the order of the book."""
    order = {page: place for place, page in enumerate(_reading_order(env))}
    pages = sorted(store(env), key=lambda page: (order.get(page, len(order)), page))
    return [(page, claim) for page in pages for claim in store(env)[page]["claims"]]


def _reading_order(env):
    relations = env.collect_relations()
    page = env.config.root_doc
    while page is not None:
        yield page
        page = relations.get(page, [None, None, None])[2]


def short_title(env, page):
    """ "01 · Pruning" of "01 · Pruning: how much of a network can go?"."""
    return env.titles[page].astext().partition(":")[0]


def rewrite(app, env):
    """Write the pages that show claims again whenever a claim or a figure changed."""
    digest = hashlib.sha256(json.dumps(store(env), sort_keys=True).encode()).hexdigest()
    if digest == getattr(env, "course_claims_digest", None):
        return []
    env.course_claims_digest = digest
    return sorted(pages_with_claims(env) & env.found_docs)


def check_duplicates(app, env):
    first = {}
    for page, claim in in_order(env):
        if claim["id"] in first:
            logger.warning(
                "[ledger] %s: claim %r: field 'id' is taken already, in %s",
                page,
                claim["id"],
                first[claim["id"]],
                location=page,
                type="ledger",
            )
        first.setdefault(claim["id"], page)


# --- Showing --------------------------------------------------------------------------------


class placeholder(nodes.General, nodes.Element):
    """Where a directive stood, until all notebooks have been read."""


class ShowClaims(SphinxDirective):
    def run(self):
        pages_with_claims(self.env).add(self.env.docname)
        return [placeholder(show=self.name)]


class ClaimsBets(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        pages_with_claims(self.env).add(self.env.docname)
        return [placeholder(show=self.name, ids=self.arguments[0].split())]


class ChapterFigure(SphinxDirective):
    required_arguments = 1

    def run(self):
        pages_with_claims(self.env).add(self.env.docname)
        return [placeholder(show=self.name, chapter=self.arguments[0])]


def arm_rows(arm):
    """A row for each condition of an arm; its name and outcome stand once, beside all of them."""
    conditions = arm["conditions"]
    note = f'<br><span class="course-note">{escape(arm["note"])}</span>' if arm["note"] else ""
    span = f' rowspan="{len(conditions)}"' if len(conditions) > 1 else ""
    name = f'<th scope="row"{span}>{escape(arm["name"])}{note}</th>'
    outcome = f"{MARKS[arm['outcome']]} {arm['outcome']}" if arm["outcome"] else "left out"
    outcome = f"<td{span}>{outcome}</td>"
    rows = []
    for index, condition in enumerate(conditions):
        cells = "".join(f"<td>{cell}</td>" for cell in numbers(condition))
        measured = f"<td>{escape(condition['what'])}</td>"
        row = measured + cells
        rows.append(f"<tr>{name + row + outcome if index == 0 else row}</tr>")
    return "".join(rows)


def arm_table(arms, label):
    heads = ("Arm", "Measured", "Estimate", "Interval", "To be", "Outcome")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(arm_rows(arm) for arm in arms)
    return f"""
<div class="course-scroll" tabindex="0" role="region" aria-label="{escape(label)}">
<table class="course-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"""


def seeds_in_words(seeds):
    """[0, 1, 2, 3, 4] as "5 seeds, 0 to 4"; others are listed."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"
    return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}: {', '.join(map(str, seeds))}"


def with_papers(app, page, source):
    """Who says so, with each arXiv number led to the bibliography if it is there."""
    known = known_papers(app.env)

    def link(match):
        citation = known.get(f"arxiv:{match.group()}")
        if citation is None:
            return match.group()
        href = entry_link(app, page, citation)
        return f'<a href="{href}" title="{escape(title(citation))}">{match.group()}</a>'

    return re.sub(r"\b\d{4}\.\d{5}\b", link, escape(source))


def follow_ups(claim, found):
    """Which older claim this one tries again, and which newer ones try this one again."""
    newer = [row["claim"]["id"] for row in found if row["claim"]["follows"] == claim["id"]]
    pairs = [("Tries again", [claim["follows"]] if claim["follows"] else [])]
    pairs.append(("Tried again as", newer))
    return "".join(
        f"<dt>{name}</dt><dd>"
        + ", ".join(f'<a href="#ledger-{escape(one)}">{escape(one)}</a>' for one in ids)
        + "</dd>\n"
        for name, ids in pairs
        if ids
    )


def ledger_entry(row, source, found=()):
    """A claim with all its numbers; `found` has the claims that may follow it."""
    claim, href = row["claim"], row["href"]
    safe = {key: escape(claim[key]) for key in ("id", "claim", "criterion", "reason")}
    ran = "run live by the chapter" if claim["run"] == "live" else "from a stored long run"
    kind = claim["verdict"].replace(" ", "-")
    primary = [arm for arm in claim["arms"] if arm["primary"]]
    others = [arm for arm in claim["arms"] if not arm["primary"]]
    explored = ""
    if others:
        explored = f"""
<details><summary>Exploratory: {len(others)} more, reported and never counted</summary>
{arm_table(others, f"Exploratory arms of {claim['id']}")}</details>"""
    return f"""
<section class="ledger-entry verdict-{kind}" aria-labelledby="ledger-{safe["id"]}"
data-bet="{safe["id"]}" data-verdict="{claim["verdict"]}" data-chapter="{escape(row["page"])}"
data-part="part {escape(row["part"])}">
<h2 id="ledger-{safe["id"]}"><a href="{escape(href)}">{safe["id"]}</a> {safe["claim"]}</h2>
<div class="bet-cover-here"></div>
<div class="bet-result"><p>{verdict_badge(claim["verdict"])} {basis(claim)}</p>
<p>{safe["reason"]}</p></div>
<dl class="ledger-facts">
<dt>Who says so</dt><dd>{source}</dd>
<dt>An arm holds if</dt><dd>{safe["criterion"]}</dd>
{follow_ups(claim, found)}<dt>Run</dt>
<dd>{ran}; {seeds_in_words(claim["seeds"])}; {escape(claim["platform"])};
protocol <code>{escape(claim["protocol"]["hash"])}</code></dd>
</dl>
<div class="bet-result">{arm_table(primary, f"Arms of {claim['id']}")}{explored}</div>
<p><a href="{escape(href)}">The cell that made this verdict</a></p>
</section>"""


NO_CLAIM = "<p>No claim has been tried yet: no notebook of this build recorded a verdict.</p>"


def fill(app, doctree, page):
    spots = list(doctree.findall(placeholder))
    if not spots:
        return
    link = app.builder.get_relative_uri
    part = parts(app.env)
    found = [
        {
            "claim": claim,
            "href": f"{link(page, notebook)}#claim-{claim['id']}",
            "page": notebook,
            "chapter": short_title(app.env, notebook),
            "part": part.get(notebook, ""),
        }
        for notebook, claim in in_order(app.env)
    ]
    for spot in spots:
        if spot["show"] in ("chapter-figure", "moving-figure"):
            html = chapter_figure(app, spot["chapter"], spot["show"] == "moving-figure", page)
        elif not found:
            html = NO_CLAIM
        elif spot["show"] == "claims-summary":
            html = summary_table(found)
        elif spot["show"] == "claims-bets":
            html = claims_to_bet_on(found, spot["ids"], page)
        else:
            entries = (
                ledger_entry(row, with_papers(app, page, row["claim"]["source"]), found)
                for row in found
            )
            html = (
                '<div class="claims"><div class="bets-bar" data-calibration></div>'
                f"{filter_form(found)}{''.join(entries)}</div>"
            )
        spot.replace_self(nodes.raw("", html, format="html"))


def chapter_figure(app, chapter, moving, page):
    if chapter not in store(app.env):
        logger.warning("[ledger] there is no chapter %s", chapter, location=page, type="ledger")
        return ""
    found = store(app.env)[chapter]
    figure = found["moving"] if moving else "".join(found["figures"][:1])
    if not figure:  # a chapter is built before it has its figures, too
        logger.info("[ledger] %s: %s has no such figure to show yet", page, chapter)
        return ""
    href = escape(app.builder.get_relative_uri(page, chapter))
    name = escape(app.env.titles[chapter].astext())
    return f'{figure}\n<p class="course-note">From <a href="{href}">{name}</a></p>'


def claims_to_bet_on(found, ids, page):
    """The claims of these ids, each with its verdict, which the script covers until one bets."""
    known = {row["claim"]["id"]: row for row in found}
    for name in sorted(set(ids) - set(known)):
        logger.warning("[ledger] there is no claim %s", name, location=page, type="ledger")
    entries = []
    for row in (known[name] for name in ids if name in known):
        claim, name = row["claim"], escape(row["claim"]["id"])
        entries.append(f"""
<section class="home-claim" data-bet="{name}" data-verdict="{claim["verdict"]}"
data-claim="{escape(claim["claim"])}" aria-label="Claim {name}">
<p><strong>{escape(claim["claim"])}.</strong></p><div class="bet-cover-here"></div>
<div class="bet-result"><p>{verdict_badge(claim["verdict"])} {basis(claim)}
<a href="{escape(row["href"])}">The cell that made this verdict</a></p></div></section>""")
    return f'<div class="home-claims">{"".join(entries)}</div>'


# --- Files for programs ---------------------------------------------------------------------


def write_json(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    env = app.env
    claims = [
        {**claim, "href": f"{app.builder.get_target_uri(page)}#claim-{claim['id']}"}
        for page, claim in in_order(env)
    ]
    seconds = {}
    for page in sorted(env.found_docs):
        # Of the run that made the outputs, also when they came from the cache.
        ran = NbMetadataCollector.get_exec_data(env, page)
        if ran and ran["runtime"] is not None:
            seconds[page] = round(ran["runtime"], 2)
    for name, content in (("claims.json", claims), ("timings.json", seconds)):
        written = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        Path(app.outdir, name).write_text(written, encoding="utf-8")
    shutil.copyfile(SCHEMA, Path(app.outdir, SCHEMA.name))


def setup(app):
    app.add_node(placeholder)
    app.add_directive("claims-ledger", ShowClaims)
    app.add_directive("claims-summary", ShowClaims)
    app.add_directive("claims-bets", ClaimsBets)
    app.add_directive("chapter-figure", ChapterFigure)
    app.add_directive("moving-figure", ChapterFigure)
    app.connect("source-read", keep_source, priority=900)  # after every change to the source
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", rewrite)
    app.connect("env-check-consistency", check_duplicates)
    app.connect("doctree-resolved", fill)
    app.connect("build-finished", write_json)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 3}
