"""The name under which `course_lib.data.rules` was first found; it stays importable."""

from course_lib.data.rules import Composition, Depths, answers, composition, one_hot, tokens

__all__ = ["Composition", "Depths", "answers", "composition", "one_hot", "tokens"]
