"""Two directives for instructors: `problem-set` and `grade-demo`.

The tables of a problem set's questions are made from the file that the grader uses, so points and
mistakes cannot differ. No answer of a question is shown. The table of the simulated class is made
from what `make grade-demo` wrote.
"""

import json
import statistics
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

FOLDER = "notebooks/assignments"
DEMO = "results/grade-demo.json"
TIMES = "results/problem-sets.json"  # by tools/assignment_times.py
HEADS = ("Question", "Points", "Difficulty", "Minutes", "Why it matters")
STUDENTS = 20  # whose variants of a question are looked through for mistakes


class ProblemSet(SphinxDirective):
    required_arguments = 1

    def run(self):
        from course_lib.coursework.questions import load  # it imports torch: not for every build

        name, folder = self.arguments[0], Path(self.env.srcdir, FOLDER)
        self.env.note_dependency(str(folder / name / "questions.py"))
        try:
            rows = [row(name, question) for question in load(name, folder).values()]
            times = Path(self.env.srcdir, TIMES)
            self.env.note_dependency(str(times))
            seconds = json.loads(times.read_text(encoding="utf-8"))[name]["seconds"]
        except (OSError, ValueError, KeyError) as error:
            logger.warning("[sets] %s: %r", name, error, location=self.get_location())
            return []
        shown = table(name, rows) + time_of(rows, seconds) + "".join(map(details, rows))
        return [nodes.raw("", shown, format="html")]


class GradeDemo(SphinxDirective):
    def run(self):
        path = Path(self.env.srcdir, DEMO)
        self.env.note_dependency(str(path))
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return [nodes.raw("", demo(found), format="html")]
        except (OSError, ValueError, KeyError) as error:
            logger.warning("[sets] %s: %r", DEMO, error, location=self.get_location())
            return []


def row(name, question):
    """What the tables show of a question."""
    from course_lib.coursework import parameters

    variants = [
        question.exercise(parameters(name, f"student-{n}", "of the book")) for n in range(STUDENTS)
    ]
    messages = dict.fromkeys(wrong.message for one in variants for wrong in one.wrong)
    one = variants[0]
    return {
        "id": question.id,
        "title": one.title,
        "points": question.points,
        "difficulty": one.difficulty,
        "minutes": one.minutes,
        "why": one.why,
        "mistakes": list(messages),
    }


def table(name, rows):
    head = "".join(f'<th scope="col">{text}</th>' for text in HEADS)
    body = "".join(
        f'<tr><th scope="row">{escape(one["title"])}<br><code>{escape(one["id"])}</code></th>'
        f"<td>{one['points']}</td><td>{one['difficulty']} of 5</td><td>{one['minutes']}</td>"
        f"<td>{escape(one['why'])}</td></tr>"
        for one in rows
    )
    return f"""
<div class="course-scroll" tabindex="0" role="region" aria-label="Questions of {escape(name)}">
<table class="course-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def time_of(rows, seconds):
    minutes = sum(one["minutes"] for one in rows)
    return f"""
<p>By their cards the functions take {minutes / 60:.1f} hours; texts and experiment come on top.
The solved notebook ran in {seconds:.0f} seconds here, with one thread.</p>"""


def details(one):
    mistakes = "".join(f"<li>{escape(text)}</li>" for text in one["mistakes"])
    return f"""
<details class="course-details">
<summary>{escape(one["title"])}: common mistakes, and what the grader says to them</summary>
<ul>{mistakes}</ul></details>"""


def demo(found):
    """The table of the simulated class, and what its times say of a class of 200."""
    students = found["students"]
    each = found["seconds_per_submission"]
    whole = each * len(students)
    # Those with all marks; who hangs or floods on purpose waits for the limits.
    best = max(one["expected"] for one in students)
    usual = statistics.median(one["seconds"] for one in students if one["expected"] == best)
    at_once = sum(one["seconds"] for one in students) / whole
    as_expected = sum(one["expected"] == one["given"] for one in students)
    body = "".join(
        f'<tr><th scope="row">{escape(one["student"])}</th><td>{escape(one["why"])}</td>'
        f"<td>{one['expected']:g}</td><td>{one['given']:g}</td><td>{one['seconds']:.0f}</td></tr>"
        for one in students
    )
    heads = ("Student", "What was handed in", "Expected", "Given", "Seconds")
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    return f"""
<p>{as_expected} of {len(students)} got the marks that were expected, under the protection
"{escape(found["protection"])}". The class took {whole / 60:.1f} minutes, {each:.1f} seconds a
submission. A submission with all answers right takes {usual:.0f} seconds (median) with
{at_once:.1f} running at once on average: 200 of them would take about
{200 * usual / at_once / 60:.0f} minutes. Each one that runs into a limit adds up to
{max(one["seconds"] for one in students) / at_once:.0f} seconds.</p>
<div class="course-scroll" tabindex="0" role="region" aria-label="The simulated class">
<table class="course-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def setup(app):
    app.add_directive("problem-set", ProblemSet)
    app.add_directive("grade-demo", GradeDemo)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
