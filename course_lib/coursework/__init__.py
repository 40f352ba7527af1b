"""Coursework: problem sets with parameters of each student's own, and how they are graded.

A student's notebook calls `parameters`. `grade` stands in the hidden tests, which nbgrader puts
back when it grades. `python -m course_lib.coursework` is for instructors.
"""

from course_lib.coursework.kernel import grade
from course_lib.coursework.personal import Parameters, parameters
from course_lib.coursework.questions import Question

__all__ = ["Parameters", "Question", "grade", "parameters"]
