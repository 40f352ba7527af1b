"""The name under which `course_lib.data.planted` was first found; it stays importable."""

from course_lib.data.planted import Planted, planted_features, zipf

__all__ = ["Planted", "planted_features", "zipf"]
