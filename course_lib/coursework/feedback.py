"""Feedback that is read without a network.

nbgrader's pages load MathJax from elsewhere. The course's `nbgrader_config.py` names `offline` as
what follows `nbgrader generate_feedback`, so pages made by nbgrader alone are readable too.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import course_lib
from course_lib import files

ELSEWHERE = '<script src="https://'
VENDORED = Path(course_lib.__file__).resolve().parents[1] / "_build/vendor/site/vendor/mathjax"


def offline(assignment: str, student: str, notebooks: Sequence[str]) -> None:
    """Take what asks for a network out of feedback that nbgrader has just made.

    Args:
        assignment: the set.
        student: nbgrader's pattern of students; the notebooks say whose they are.
        notebooks: the paths `autograded/<student>/<set>/<set>.ipynb` that it was made from.
    """
    for notebook in map(Path, notebooks):
        owner, course = notebook.parts[-3], notebook.absolute().parents[3]
        page = course / "feedback" / owner / notebook.parent.name / f"{notebook.stem}.html"
        text = readable(page.read_text(encoding="utf-8"), _mathjax(course / "feedback"))
        files.write_text(page, text)


def readable(page: str, mathjax: str | None) -> str:
    """Return a page that loads no script from elsewhere.

    Args:
        page: the HTML that nbgrader made.
        mathjax: the address of a MathJax 3 beside it; without one, formulas stand as TeX.
    """
    head, found, rest = page.partition(ELSEWHERE)
    while found:
        page = head + rest.partition("</script>")[2]
        head, found, rest = page.partition(ELSEWHERE)
    if mathjax:
        settings = '{tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]]}}'
        scripts = f'<script>MathJax = {settings};</script>\n<script defer src="{mathjax}"></script>'
        page = page.replace("</head>", f"{scripts}\n</head>", 1)
    return page


def _mathjax(folder: Path) -> str | None:
    """Copy the site's MathJax beside the pages, once; return its address from a page."""
    here = folder / "mathjax"
    if not here.is_dir() and VENDORED.is_dir():
        shutil.copytree(VENDORED, here)
    return "../../mathjax/tex-mml-chtml.js" if here.is_dir() else None
