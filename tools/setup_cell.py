"""The setup cell: the same text in every chapter, but for the repository's address.

A test holds the chapters to it; `tools/address.py` writes the address into them.
"""

SETUP_CELL = """\
# Setup, the same cell in every chapter. In Colab it installs the course's library, once.
import importlib.util
import subprocess
import sys

REPOSITORY = ""
if importlib.util.find_spec("course_lib") is None:
    if "google.colab" not in sys.modules or not REPOSITORY:
        raise ModuleNotFoundError(
            "course_lib is not installed here. Run `pip install -e .` in the folder of the course, "
            "with the Python of this kernel, then restart the kernel."
        )
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, f"git+{REPOSITORY}"], check=True)
    importlib.invalidate_caches()
import course_lib

course_lib.setup()"""


def repository_line(url="", branch=""):
    """The cell's line that carries the address, in the form that pip takes after `git+`."""
    return f'REPOSITORY = "{url}@{branch}"' if url else 'REPOSITORY = ""'


def setup_cell(url="", branch=""):
    """The source of the setup cell for a repository; without an address, for none."""
    return SETUP_CELL.replace(repository_line(), repository_line(url, branch))
