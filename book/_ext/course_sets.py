"""The questions of a problem set, as instructors read them (directive `problem-set`).

The tables are made from the file that the grader uses, so points and mistakes cannot differ. No
answer of a question is shown.
"""

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

FOLDER = "notebooks/assignments"
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
        except ValueError as error:
            logger.warning("[sets] %s", error, location=self.get_location())
            return []
        return [nodes.raw("", table(name, rows) + "".join(map(details, rows)), format="html")]


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


def details(one):
    mistakes = "".join(f"<li>{escape(text)}</li>" for text in one["mistakes"])
    return f"""
<details class="course-details">
<summary>{escape(one["title"])}: common mistakes, and what the grader says to them</summary>
<ul>{mistakes}</ul></details>"""


def setup(app):
    app.add_directive("problem-set", ProblemSet)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
