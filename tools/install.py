"""Put the course into `.venv` in the pinned versions: the part of tools/bootstrap.py that asks pip.

On Linux, pip alone takes a PyTorch with gigabytes of CUDA. Where no NVIDIA driver is, uv is asked
first, for that one package: it knows where each build lies.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

EXTRAS = "book,test,lab,grade"
OWNER = "course-owner.txt"
LOG = "install.log"
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
NVIDIA = ("/sys/module/nvidia/version", "/proc/driver/nvidia/version")
PATIENCE = 20  # seconds until an index that says nothing is given up
SIZES = "2.7 GB with CUDA in place of 0.2 GB"  # PyTorch 2.13 and what it needs, Linux x86-64


class Problem(Exception):
    """Something that the person at the keyboard has to know or do."""


def say(*lines):
    print(*lines, sep="\n", flush=True)


def run_quietly(command, timeout=None, **variables):
    """The exit code and output; 127 for a command that is not there, 124 for one out of time."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **variables},
        )
    except subprocess.TimeoutExpired:
        return 124, ""
    except OSError:
        return 127, ""
    return done.returncode, done.stdout


def venv_python(venv):
    """The interpreter of an environment."""
    return Path(venv, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


def is_ours(venv):
    """Whether tools/bootstrap.py made an environment, so that it may delete it."""
    return Path(venv, OWNER).exists()


# ---------------------------------------------------------------- PyTorch


def pinned_torch(root):
    """The exact version of PyTorch in constraints.txt."""
    text = Path(root, "constraints.txt").read_text(encoding="utf-8")
    found = re.search(r"^torch==(\S+)", text, re.MULTILINE)
    if not found:
        raise Problem("constraints.txt names no version of torch.")
    return found.group(1)


def present_torch(python):
    """The version of the PyTorch that is in an environment; an empty text if there is none."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    code, output = run_quietly([python, "-c", code])
    return output.strip() if code == 0 else ""


def choose_torch(root):
    """The version of PyTorch to install and the constraints to install under.

    A PyTorch that is already in somebody's own environment stays, whichever it is: to replace
    it could mean to download gigabytes that its owner took care to avoid.
    """
    venv, pinned = root / ".venv", pinned_torch(root)
    present = present_torch(venv_python(venv))
    if is_ours(venv) or not present or present.split("+")[0] == pinned:
        return pinned, root / "constraints.txt"
    say(f"PyTorch {present} is in it and stays. The course is tested with {pinned}; "
        "numbers may differ a little.")  # fmt: skip
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    constraints = venv / "course-constraints.txt"
    constraints.write_text(text.replace(f"torch=={pinned}", f"torch=={present}", 1), "utf-8")
    return present, constraints


def pip_asks_elsewhere(python):
    """Whether pip is told where to look: then its owner has chosen which PyTorch comes."""
    code, output = run_quietly([python, *PIP, "config", "list"])
    told = re.search(r"^\S*\.(extra-index-url|index-url|find-links|no-index)='.+'", output, re.M)
    return code != 0 or told is not None


def wants_no_cuda(python, torch):
    """Whether pip alone would bring CUDA in vain: on Linux, where nothing says otherwise."""
    has_nvidia = shutil.which("nvidia-smi") or any(map(os.path.exists, NVIDIA))
    is_here = present_torch(python).split("+")[0] == torch.split("+")[0]
    return (
        sys.platform == "linux"
        and not has_nvidia
        and not is_here
        and not pip_asks_elsewhere(python)
    )


def install_torch_without_cuda(root, torch):
    """Let uv, which knows the index of each build, put PyTorch for processors into `.venv`.

    Its backend `cpu` and not `auto`, which takes an Intel chip's graphics for a GPU and brings
    gigabytes for that. Whatever fails here, pip's usual way is still open.
    """
    python = venv_python(root / ".venv")
    folder = root / ".venv" / "course-uv"  # in the same file system, so that uv can link files
    uv, variables = shutil.which("uv"), {"UV_HTTP_TIMEOUT": str(PATIENCE), "UV_HTTP_RETRIES": "0"}
    log = root / ".venv" / LOG
    try:
        if uv is None:
            limits = ["--timeout", str(PATIENCE), "--retries", "0"]
            command = [python, *PIP, "install", *limits, "--target", folder, "uv"]
            if run_logged(command, log, root) != 0:
                return "uv, which finds it, could not be installed"
            uv, variables["UV_CACHE_DIR"] = folder / "bin" / "uv", str(folder / "cache")
        command = [uv, "pip", "install", "--python", python, "--torch-backend=cpu", "--no-deps"]
        command.append(f"torch=={torch}")
        # First whether it can be had at all: an index may leave a question open for ever. The
        # download itself may take as long as it takes while bytes come.
        code, output = run_quietly([*command, "--dry-run"], PATIENCE, **variables)
        with log.open("a", encoding="utf-8") as file:
            file.write(output)
        if code != 0:
            return "uv found none" if code != 124 else f"uv found none in {PATIENCE} s"
        say("No NVIDIA driver is here: taking PyTorch without CUDA, about 0.2 GB.")
        return "" if run_logged(command, log, root, **variables) == 0 else "uv could not install it"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------- installing


def doing(log):
    """What a running install is at, by its log: "Collecting scipy", for example."""
    text = log.read_text(encoding="utf-8", errors="replace")
    pattern = r"^\s*((?:Collecting|Downloading|Building) [A-Za-z_]+|Installing [a-z ]+)"
    found = re.findall(pattern, text, re.MULTILINE)
    return found[-1] if found else "starting"


def run_logged(command, log, cwd, **variables):
    """Run a command of minutes with its output in the file `log`; say at times where it is."""
    start, hint = time.time(), 30
    with log.open("ab") as file:
        # The file descriptor of the lock goes along (close_fds=False): if we are killed, pip
        # may live on, and the next run then waits for it.
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=cwd, close_fds=False,
            env={**os.environ, **variables},
        )  # fmt: skip
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if time.time() - start > hint:
                    say(f"  {hint:4d} s: {doing(log)}")
                    hint *= 2
        except BaseException:
            process.terminate()
            process.wait()
            raise
    return process.returncode


def explain(log):
    """What went wrong in an install, as far as its log tells."""
    text = log.read_text(encoding="utf-8", errors="replace")
    causes = {
        "No space left on device": "The disk is full.",
        "Retrying (Retry(total=0": "The package index could not be reached. Is there a network? "
        "A proxy goes into the variable HTTPS_PROXY.",
        "Permission denied": "A file could not be written.",
    }
    lines = [f"The install failed. The end of {log}:"]
    lines += [f"  | {line:.160}" for line in text.strip().splitlines()[-12:]]
    return "\n".join(lines + [meaning for sign, meaning in causes.items() if sign in text][:1])


def install(root):
    """Install the course with its pinned versions into `.venv`."""
    venv = root / ".venv"
    python, log = venv_python(venv), venv / LOG
    log.write_bytes(b"")
    torch, constraints = choose_torch(root)
    start = time.time()
    if wants_no_cuda(python, torch):
        reason = install_torch_without_cuda(root, torch)
        if reason:
            say(f"PyTorch without CUDA could not be had ({reason}): pip takes its own, {SIZES}.")
    say(f"Installing the pinned versions. This takes minutes. Log: .venv/{LOG}")
    # PyTorch is named exactly, in the same command as the rest: an index or a folder of wheels
    # that offers a CPU build of just that version is then taken at its word.
    what = ["-c", constraints, f"torch=={torch}", "-e", f".[{EXTRAS}]"]
    if run_logged([python, *PIP, "install", *what], log, root) != 0:
        raise Problem(f"{explain(log)}\nRun the same command again once that is put right.")
    say(f"Installed in {time.time() - start:.0f} s.")
