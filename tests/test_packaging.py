"""The files that describe the course to pip, conda, GitHub and readers agree with one another."""

import ast
import datetime
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bootstrap

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What a distribution is called here, where that differs from what it is called to import.
IMPORT_NAMES = {
    "beautifulsoup4": "bs4",
    "ipython": "IPython",
    "pyyaml": "yaml",
    "pyzmq": "zmq",
    "scikit-learn": "sklearn",
}
# What conda-forge calls the build of PyTorch without CUDA.
CONDA_NAMES = {"torch": "pytorch-cpu"}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(*extras):
    """{name: range} of the dependencies, and of the extras that are named."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed}


def pins(name="constraints.txt"):
    lines = [line for line in read(name).splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_conda_environment_has_the_same_ranges():
    environment = yaml.safe_load(read("environment.yml"))
    *conda, by_pip = environment["dependencies"]
    ranges = {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, conda[2:])}
    assert conda[1] == "pip"
    python = re.fullmatch(r"python=(\d+)\.(\d+)", conda[0])
    assert tuple(map(int, python.groups())) in bootstrap.SUPPORTED
    # jupyter-book comes by pip, from the extra.
    expected = requirements("lab")
    assert ranges == {CONDA_NAMES.get(name, name): range_ for name, range_ in expected.items()}
    assert by_pip == {"pip": ["-e .[book,lab]"]}
    # An extra may add to what pip installs, never ask for another range.
    for extra in ("book", "test"):
        both = requirements("lab", extra)
        assert all(both[name] == expected[name] for name in expected)


def test_every_requirement_is_pinned_to_a_version_in_its_range():
    pinned = {canonicalize_name(name): version for name, version in pins().items()}
    for name, range_ in requirements("book", "lab", "test").items():
        assert Requirement(f"x{range_}").specifier.contains(pinned[name]), name
    assert list(pins())[0] == "torch"
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins().values())  # no +cpu


def test_an_install_in_colab_leaves_its_packages_alone():
    for name, range_ in requirements().items():
        assert re.fullmatch(r">=[\d.]+", range_), f"{name}{range_} could replace what is there"
    assert "torchvision" not in requirements("book", "lab", "test") | pins()


def test_what_colab_has_is_in_the_ranges():
    """Else an install there would replace it. The day of the list stands above it."""
    there = {canonicalize_name(name): v for name, v in pins("tools/colab-versions.txt").items()}
    for name, range_ in requirements().items():
        assert Requirement(f"x{range_}").specifier.contains(there[name]), name
    head = read("tools/colab-versions.txt").splitlines()[0]
    day, python = re.search(r"on (\d{4}-\d\d-\d\d), under Python (\d\.\d+)", head).groups()
    assert datetime.date.fromisoformat(day) <= datetime.date.today()
    jobs = yaml.safe_load(read(".github/workflows/weekly.yml"))["jobs"]
    (setup,) = (s for s in jobs["colab"]["steps"] if "setup-python" in s.get("uses", ""))
    assert setup["with"]["python-version"] == python


def test_the_weekly_commands_exist():
    workflow = yaml.safe_load(read(".github/workflows/weekly.yml"))
    assert "schedule" in workflow[True]  # YAML reads the key `on` so
    code = "\n".join(s.get("run", "") for j in workflow["jobs"].values() for s in j["steps"])
    named = set(re.findall(r"\b(?:tools|tests)/[\w-]+\.\w+", code))
    assert "tools/newest.py" in named
    assert all((ROOT / name).is_file() for name in named)


def test_jupyter_book_stays_below_version_2():
    assert Requirement("x" + requirements("book")["jupyter-book"]).specifier.contains("1.0.4.post1")
    assert not Requirement("x" + requirements("book")["jupyter-book"]).specifier.contains("2.0")


def imports(code):
    """Top-level names that a piece of code imports."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def notebook_code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


# Of course_lib.coursework, what a problem set imports where a student works.
STUDENTS = ("__init__.py", "judge.py", "kernel.py", "personal.py", "questions.py", "sandbox.py")


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        # torch comes by way of the package itself; a chapter in Colab has nothing else.
        ("course_lib", []),
        ("course_lib/coursework", ["grade"]),
        ("notebooks", []),
        ("book", ["book"]),
        ("tools", ["book", "test"]),
        ("tests", ["book", "test"]),
    ],
)
def test_what_is_imported_is_declared(folder, extras):
    # tools/make_pdf.py takes the browser from beside the tests.
    here = {path.stem for path in python_files(folder, "tools", "book")} | {"course_lib", "browser"}
    declared = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in requirements(*extras)}
    # These are jupyter-book's own parts, in the versions that it wants.
    if "book" in extras:
        declared |= {"docutils", "jupyter_cache", "myst_nb", "nbformat", "sphinx"}
        declared |= {"sphinx_external_toc"}
    files = python_files(folder)
    if folder == "course_lib":  # the commands of instructors are not for students
        files = [
            path for path in files if path.parent.name != "coursework" or path.name in STUDENTS
        ]
    code = [path.read_text(encoding="utf-8") for path in files]
    code += [c for path in (ROOT / folder).rglob("*.ipynb") for c in notebook_code(path)]
    used = set().union(*map(imports, code)) - set(sys.stdlib_module_names) - here
    assert used <= declared, f"{folder} imports what is not declared: {sorted(used - declared)}"


def test_python_versions_agree_everywhere():
    versions = [f"{major}.{minor}" for major, minor in bootstrap.SUPPORTED]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    jobs = yaml.safe_load(read(".github/workflows/book.yml"))["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    tested = set(matrix["python"]) | {entry["python"] for entry in matrix["include"]}
    assert tested == set(versions)
    assert set(matrix["os"]) == {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert f"Python {versions[0]}, {versions[1]} or {versions[2]}" in read("README.md")


def test_only_a_tested_and_strictly_built_site_is_deployed():
    jobs = yaml.safe_load(read(".github/workflows/book.yml"))["jobs"]
    assert jobs["deploy"]["needs"] == ["test", "site"]
    assert "refs/heads/main" in jobs["deploy"]["if"]
    steps = [step.get("run", "") for step in jobs["site"]["steps"]]
    assert "make book" in steps


def test_version_and_licences_agree():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]["text"]
    assert read("LICENSE").startswith("MIT License")
    assert "Creative Commons Attribution 4.0 International Public License" in read(
        "LICENSE-CONTENT"
    )
    library = read("course_lib/__init__.py")
    assert f'__version__ = "{PROJECT["version"]}"' in library


def test_readme_names_the_targets_that_exist():
    makefile = read("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", read("README.md"))) <= targets
    # `help` is written by hand: it must not forget one.
    told = set(re.findall(r'@echo "make ([a-z-]+) ', makefile))
    assert told == targets - {"help"}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_alone_says_what_there_is():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "make book" in done.stdout


def committed_files():
    """Every file that git has or would take; all files where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_names_the_host_of_a_package_index():
    """Which index pip asks is for each machine to say: many reach another than the usual one."""
    hosts = re.compile(rb"pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs")
    hosts_in = [
        path.relative_to(ROOT).as_posix()
        for path in committed_files()
        if path != Path(__file__).resolve() and hosts.search(path.read_bytes())
    ]
    assert hosts_in == []
