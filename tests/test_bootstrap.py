"""The environment that tools/bootstrap.py makes: at first, half made, moved, and without CUDA."""

import ast
import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest

import bootstrap
import install

ROOT = Path(__file__).resolve().parents[1]

# A build backend that needs nothing but Python, so that the tests install without an index.
BACKEND = """
import os
from make_wheel import make_wheel

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return make_wheel(wheel_directory, "course_lib", "0.1.0", {"course_lib.pth": os.getcwd()})
"""
# The backend finds it as a file; the tests make their wheels of PyTorch with it.
MAKE_WHEEL = r"""
import os, zipfile

METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
EXTRAS = "Provides-Extra: book\nProvides-Extra: lab\nProvides-Extra: test\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

def make_wheel(folder, name, version, files):
    wheel_name = f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, wheel_name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(info + "METADATA", METADATA.format(name, version) + EXTRAS)
        wheel.writestr(info + "WHEEL", WHEEL)
        wheel.writestr(info + "RECORD", "")
    return wheel_name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def torch_wheel(folder, version):
    """A wheel that is called torch and has nothing in it but its version."""
    names = {}
    exec(MAKE_WHEEL, names)
    files = {"torch/__init__.py": f"__version__ = '{version}'\n"}
    return folder / names["make_wheel"](folder, "torch", version, files)


@pytest.fixture
def tree(tmp_path):
    """A small course in a folder with a space in its name, which installs in a few seconds."""
    root = tmp_path / "a course"
    (root / "tools").mkdir(parents=True)
    for name in ("bootstrap.py", "install.py"):
        shutil.copy(ROOT / "tools" / name, root / "tools")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    (root / "make_wheel.py").write_text(MAKE_WHEEL, encoding="utf-8")
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "constraints.txt").write_text("torch==1.0\n", encoding="utf-8")
    (tmp_path / "wheels").mkdir()
    torch_wheel(tmp_path / "wheels", "1.0")
    return root


def bootstrap_in(root, wheels=True, **options):
    """Run bootstrap in a tree; without `wheels` as if there were no network.

    With `None` pip has no settings, and needs none as long as all that is wanted is there.
    """
    environment = {
        **os.environ,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_INDEX_URL": "",
        "PIP_NO_INDEX": "" if wheels is None else "1",
    }
    if wheels:
        environment["PIP_FIND_LINKS"] = (root.parent / "wheels").as_uri()
    return subprocess.run(
        [sys.executable, str(root / "tools" / "bootstrap.py")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        **options,
    )


def python_of(root):
    return bootstrap.venv_python(root / ".venv")


def torch_of(root):
    code = "import torch; print(torch.__version__)"
    return subprocess.check_output([python_of(root), "-c", code], text=True).strip()


@pytest.mark.slow
def test_bootstrap_installs_then_does_nothing_then_brings_up_to_date(tree):
    first = bootstrap_in(tree)
    assert first.returncode == 0, first.stdout
    assert torch_of(tree) == "1.0"

    start = time.perf_counter()
    second = bootstrap_in(tree, wheels=False)
    assert second.returncode == 0
    assert second.stdout == ""
    assert time.perf_counter() - start < 5  # a fraction of a second on an idle machine

    # A new pin is installed into the same environment: a file of ours in it survives.
    torch_wheel(tree.parent / "wheels", "2.0")
    (tree / "constraints.txt").write_text("torch==2.0\n", encoding="utf-8")
    (tree / ".venv" / "witness").touch()
    third = bootstrap_in(tree)
    assert third.returncode == 0, third.stdout
    assert "up to date" in third.stdout
    assert torch_of(tree) == "2.0"
    assert (tree / ".venv" / "witness").exists()


@pytest.mark.slow
def test_bootstrap_repairs_what_it_made(tree):
    offline = bootstrap_in(tree, wheels=False)
    assert offline.returncode == 1
    assert "The install failed" in offline.stdout
    assert "  | ERROR: " in offline.stdout  # the end of pip's log
    assert "Traceback" not in offline.stdout

    # No stamp: the install did not end, whatever lies there.
    after_failure = bootstrap_in(tree)
    assert after_failure.returncode == 0, after_failure.stdout
    assert "half made" in after_failure.stdout

    python_of(tree).unlink()
    without_python = bootstrap_in(tree)
    assert without_python.returncode == 0, without_python.stdout
    assert "Python does not run" in without_python.stdout
    assert torch_of(tree) == "1.0"

    # An environment names its own folder in many files, so a moved one is of no use.
    moved = tree.rename(tree.parent / "moved course")
    after_move = bootstrap_in(moved)
    assert after_move.returncode == 0, after_move.stdout
    assert "made for another folder" in after_move.stdout
    assert torch_of(moved) == "1.0"
    assert not list(moved.glob(".venv-old-*"))  # ours: thrown away, not kept


@pytest.mark.slow
def test_bootstrap_uses_a_working_environment_of_somebody_else(tree):
    # As `uv venv` leaves it: without pip. Its owner put another PyTorch into it.
    venv.create(tree / ".venv", with_pip=False)
    packages = next((tree / ".venv").rglob("site-packages"))
    with zipfile.ZipFile(torch_wheel(tree.parent, "9.9+cpu")) as wheel:
        wheel.extractall(packages)

    done = bootstrap_in(tree)
    assert done.returncode == 0, done.stdout
    assert "Installing into the .venv that you made" in done.stdout
    assert "PyTorch 9.9+cpu is in it and stays" in done.stdout
    assert torch_of(tree) == "9.9+cpu"
    assert bootstrap_in(tree, wheels=False).stdout == ""
    assert not bootstrap.is_ours(tree / ".venv")


@pytest.mark.slow
def test_bootstrap_moves_a_broken_environment_of_somebody_else_aside(tree):
    (tree / ".venv").mkdir()
    (tree / ".venv" / "thesis.txt").write_text("the only copy", encoding="utf-8")
    (tree / ".venv-old-1").mkdir()  # the name is taken
    done = bootstrap_in(tree)
    assert done.returncode == 0, done.stdout
    assert ".venv-old-2" in done.stdout
    assert (tree / ".venv-old-2" / "thesis.txt").read_text(encoding="utf-8") == "the only copy"
    assert torch_of(tree) == "1.0"


@pytest.mark.slow
def test_bootstrap_waits_for_another_run_and_takes_over_an_empty_folder(tree):
    (tree / ".venv").mkdir()
    with bootstrap.lock(tree):
        process = subprocess.Popen(
            [sys.executable, str(tree / "tools" / "bootstrap.py")],
            env={
                **os.environ,
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": (tree.parent / "wheels").as_uri(),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "Another run is at work" in process.stdout.readline()
        assert process.poll() is None
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert "cannot be used" not in output  # an empty folder has no fault, and nothing to keep
    assert bootstrap.is_ours(tree / ".venv")


def about(version, fits=True):
    return {"version": version, "fits": fits, "base": "/a/python"}


def test_find_python_takes_the_first_that_fits(monkeypatch):
    found = {
        "old": about([3, 10, 4]),
        "narrow": about([3, 12, 0], fits=False),
        "good": about([3, 12, 1]),
        "newer": about([3, 13, 1]),
    }
    monkeypatch.setattr(bootstrap, "probe", lambda command: found.get(command[0]))
    monkeypatch.setattr(bootstrap, "candidates", lambda: [["missing"]] + [[name] for name in found])
    assert bootstrap.find_python() is found["good"]
    assert bootstrap.find_python("newer") is found["newer"]

    del found["good"], found["newer"]
    with pytest.raises(bootstrap.Problem) as caught:
        bootstrap.find_python()
    message = str(caught.value)
    for part in ("3.11 to 3.13", "old: Python 3.10.4", "narrow: no 64-bit CPython", "PYTHON="):
        assert part in message
    with pytest.raises(bootstrap.Problem, match="missing: its Python does not run"):
        bootstrap.find_python("missing")


@pytest.mark.parametrize("name", ["bootstrap.py", "install.py"])
def test_bootstrap_starts_under_an_old_python(name):
    """Its own syntax must not stop an old Python before the message about old Pythons."""
    source = (ROOT / "tools" / name).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    with pytest.raises(SyntaxError):  # the check can fail
        ast.parse(source + "\nif (n := 1):\n    pass\n", feature_version=(3, 6))


# ---------------------------------------------------------------- PyTorch without CUDA

# What stands in for uv: it writes down how it was called, then does what its kind does.
UV = """#!{python}
import os, subprocess, sys, time
with open({calls!r}, "a") as file:
    told = [os.environ.get(name) for name in ("UV_HTTP_RETRIES", "UV_CACHE_DIR")]
    print(*told, *sys.argv[1:], file=file)
dry = "--dry-run" in sys.argv
if {kind!r} == "silent":
    time.sleep(60)
if {kind!r} == "empty" or ({kind!r} == "stops" and not dry):
    sys.exit("error: no such build")
if not dry:
    python = sys.argv[sys.argv.index("--python") + 1]
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", {wheel!r}]
    sys.exit(subprocess.call(install))
"""


def stand_in(path, kind, calls, wheel=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = UV.format(python=sys.executable, kind=kind, calls=str(calls), wheel=str(wheel))
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def plain_linux(tmp_path, monkeypatch):
    """Linux without an NVIDIA driver, without uv, and with a pip that nobody has set up."""
    if os.name == "nt":
        pytest.skip("the stand-in for uv is a script with a first line that names its Python")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install, "NVIDIA", ())
    monkeypatch.setattr(install, "present_torch", lambda python: "")
    monkeypatch.setattr(install, "venv_python", lambda venv: Path(sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / ".venv").mkdir()
    (tmp_path / "constraints.txt").write_text("torch==1.0\n", encoding="utf-8")
    return tmp_path


def install_in(root, monkeypatch, pip):
    """Run the install with `pip(command)` in place of pip; the commands that it was given."""
    commands = []
    really = install.run_logged

    def run_logged(command, log, cwd, **variables):
        if "--torch-backend=cpu" in command:
            return really(command, log, cwd, **variables)
        commands.append([str(word) for word in command])
        return pip(commands[-1])

    monkeypatch.setattr(install, "run_logged", run_logged)
    install.install(root)
    return commands


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pip's PyTorch has no CUDA")
def test_uv_brings_the_pytorch_without_cuda(tree, monkeypatch):
    calls = tree.parent / "calls"
    stand_in(tree.parent / "bin" / "uv", "good", calls, torch_wheel(tree.parent, "1.0+cpu"))
    monkeypatch.setenv("PATH", f"{tree.parent / 'bin'}{os.pathsep}{os.environ['PATH']}")
    program = tree / "tools" / "install.py"
    text = program.read_text(encoding="utf-8").replace('"nvidia-smi"', '"no such program"')
    program.write_text(text.replace("NVIDIA = (", "NVIDIA = () and ("), encoding="utf-8")

    done = bootstrap_in(tree, wheels=None)
    assert done.returncode == 0, done.stdout
    assert torch_of(tree) == "1.0+cpu"
    assert "taking PyTorch without CUDA" in done.stdout
    asked = (
        f"0 None pip install --python {python_of(tree)} --torch-backend=cpu --no-deps torch==1.0"
    )
    assert calls.read_text(encoding="utf-8").splitlines() == [f"{asked} --dry-run", asked]
    assert bootstrap_in(tree, wheels=None).stdout == ""
    # Another course version, the same PyTorch: uv is not asked again.
    (tree / "pyproject.toml").write_text(PYPROJECT + "# new\n", encoding="utf-8")
    assert bootstrap_in(tree, wheels=None).returncode == 0
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("kind", ["empty", "silent", "stops", "missing"])
def test_without_uv_pip_does_what_it_always_did(plain_linux, monkeypatch, capsys, kind):
    root, usual = plain_linux, ["-c", "torch==1.0", "-e", f".[{install.EXTRAS}]"]
    if kind != "missing":
        stand_in(root / "bin" / "uv", kind, root / "calls")
    monkeypatch.setattr(install, "PATIENCE", 1)
    start = time.perf_counter()
    commands = install_in(root, monkeypatch, lambda command: int("--target" in command))
    assert time.perf_counter() - start < 20
    assert [word for word in commands[-1] if word in usual] == usual
    assert len(commands) == (2 if kind == "missing" else 1)
    output = capsys.readouterr().out
    (line,) = (line for line in output.splitlines() if "could not be had" in line)
    assert install.SIZES in line
    assert [path.name for path in (root / ".venv").iterdir()] == [install.LOG]

    # The same command, word for word, as where nobody thinks of uv.
    monkeypatch.setattr(install, "wants_no_cuda", lambda python, torch: False)
    assert install_in(root, monkeypatch, lambda command: 0) == commands[-1:]
    assert "CUDA" not in capsys.readouterr().out


def test_uv_is_brought_for_the_moment(plain_linux, monkeypatch, capsys):
    """It and its cache leave no trace in the environment."""
    root = plain_linux
    wheel, calls = torch_wheel(root, "1.0+cpu"), root / "calls"

    def pip(command):
        if "--target" in command:
            assert command[-1] == "uv"
            assert command[command.index("--retries") + 1] == "0"
            target = Path(command[command.index("--target") + 1])
            assert target.parent == root / ".venv"
            stand_in(target / "bin" / "uv", "good", calls, wheel)
        return 0

    # pip into this very environment would be no good test: the stand-in only says what it did.
    monkeypatch.setattr(sys.modules[__name__], "UV", UV.replace("if not dry:", "if False:"))
    assert len(install_in(root, monkeypatch, pip)) == 2
    assert "could not be had" not in capsys.readouterr().out
    dry, real = calls.read_text(encoding="utf-8").splitlines()
    assert dry == f"{real} --dry-run"
    assert str(root / ".venv" / "course-uv" / "cache") in real
    assert [path.name for path in (root / ".venv").iterdir()] == [install.LOG]


def test_uv_is_asked_only_where_pip_would_bring_cuda_in_vain(plain_linux, monkeypatch):
    def wanted():
        return install.wants_no_cuda(Path(sys.executable), "2.0")

    assert wanted()
    for name, value in {
        "PIP_INDEX_URL": "https://a.mirror/simple",
        "PIP_EXTRA_INDEX_URL": "https://a.mirror/cpu",
        "PIP_FIND_LINKS": "/a/folder",
        "PIP_NO_INDEX": "1",
    }.items():
        monkeypatch.setenv(name, value)
        assert not wanted(), name
        monkeypatch.setenv(name, "")  # as a workflow leaves a variable that it does not set
        assert wanted(), name
        monkeypatch.delenv(name)
    config = plain_linux / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    config.write_text("[global]\ntimeout = 60\n", encoding="utf-8")
    assert wanted()
    config.write_text("[install]\nextra-index-url = https://a.mirror/cpu\n", encoding="utf-8")
    assert not wanted()
    config.write_text("", encoding="utf-8")

    monkeypatch.setattr(install, "present_torch", lambda python: "2.0+cpu")
    assert not wanted()
    monkeypatch.setattr(install, "present_torch", lambda python: "1.9+cpu")  # an older pin
    assert wanted()
    stand_in(plain_linux / "bin" / "nvidia-smi", "good", plain_linux / "calls")
    assert not wanted()
    (plain_linux / "bin" / "nvidia-smi").unlink()
    monkeypatch.setattr(install, "NVIDIA", (str(plain_linux),))
    assert not wanted()
    monkeypatch.setattr(install, "NVIDIA", ())
    for system in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", system)
        assert not wanted()


# ---------------------------------------------------------------- what is said meanwhile


def test_a_long_install_says_a_few_lines(tmp_path, monkeypatch, capsys):
    clock = iter(range(0, 100000, 25))
    monkeypatch.setattr(install.time, "time", lambda: next(clock))
    monkeypatch.setattr(install.time, "sleep", lambda seconds: None)
    states = iter([None] * 24)

    class Process:
        returncode = 0

        def __init__(self, *arguments, **options):
            pass

        def poll(self):
            return next(states, 0)

    monkeypatch.setattr(install.subprocess, "Popen", Process)
    log = tmp_path / "log"
    log.write_text("Collecting numpy==2.4.6 (from x)\n  Downloading numpy-2.4.6-cp.whl (16 MB)\n")
    assert install.run_logged(["pip"], log, tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "    30 s: Downloading numpy"
    assert 3 <= len(lines) <= 6  # ten minutes have passed
