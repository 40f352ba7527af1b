"""Write the repository's address into all the places that carry it.

    python tools/address.py https://github.com/OWNER/NAME                 set it
    python tools/address.py https://github.com/OWNER/NAME --branch dev    and another branch
    python tools/address.py            after an edit of _config.yml or a new chapter
    python tools/address.py --check    say which copies differ; change nothing
    python tools/address.py --clear    take the address out again

It stands in `_config.yml`; README.md, CITATION.cff and the notebooks carry copies. Someone with
a fork runs the first command once. Any Python from 3.11 will do; nothing has to be installed.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from urllib.parse import quote

from setup_cell import repository_line

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- address:begin -->"
END = "<!-- address:end -->"
# Colab and Binder open notebooks straight from GitHub, so that is where the repository has to be.
ADDRESS = re.compile(r"https://github\.com/(?P<owner>[\w-]+)/(?P<name>[\w.-]+)")
CONFIG_BLOCK = re.compile(r"^repository:[ \t]*\n(?:[ \t]+.*\n|[ \t]*\n)+", re.MULTILINE)


class AddressError(ValueError):
    """An address that cannot be used, or a file without the place for it."""


def valid(url, branch):
    """The address and the branch in the form that is written; raises AddressError."""
    url = url.strip().removesuffix("/").removesuffix(".git")
    if url and not ADDRESS.fullmatch(url):
        raise AddressError(f"not of the form https://github.com/OWNER/NAME: {url}")
    if not re.fullmatch(r"[\w./-]+", branch):
        raise AddressError(f"not the name of a branch: {branch!r}")
    return url, branch


# ---------------------------------------------------------------- _config.yml


def config_field(name):
    return re.compile(rf"^([ \t]+{name}:[ \t]*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s#]*)", re.MULTILINE)


def config_block(text):
    found = CONFIG_BLOCK.search(text)
    fields = [config_field(name).search(found[0]) for name in ("url", "branch")] if found else []
    if not fields or None in fields:
        raise AddressError("_config.yml has no `repository:` with `url:` and `branch:`")
    return found[0], [field[2].strip("\"'") for field in fields]


def read_config(text):
    """The address and the branch that a `_config.yml` holds."""
    url, branch = config_block(text)[1]
    return valid(url, branch or "main")


def write_config(text, url, branch):
    """The text of `_config.yml` with another address; comments and layout stay."""
    block = config_block(text)[0]
    new = config_field("url").sub(lambda match: f'{match[1]}"{url}"', block, count=1)
    new = config_field("branch").sub(lambda match: f"{match[1]}{branch}", new, count=1)
    return text.replace(block, new, 1)


# ---------------------------------------------------------------- the copies


def colab_link(url, branch, path):
    return f"https://colab.research.google.com/github/{url.split('/', 3)[3]}/blob/{branch}/{path}"


def binder_link(url, branch, path):
    repository = f"{url.split('/', 3)[3]}/{quote(branch, safe='')}"
    return f"https://mybinder.org/v2/gh/{repository}?urlpath=lab/tree/{path}"


def site_link(url):
    """Where GitHub Pages puts the site of a repository."""
    owner, name = ADDRESS.fullmatch(url).group("owner", "name")
    home = f"{owner.lower()}.github.io"
    return f"https://{home}/" if name.lower() == home else f"https://{home}/{name}/"


def between_marks(text, lines, where):
    """Put lines between the two marks, which stand on lines of their own."""
    pattern = re.compile(rf"^{re.escape(BEGIN)}\n(.*\n)*?{re.escape(END)}$", re.MULTILINE)
    if len(pattern.findall(text)) != 1:
        raise AddressError(f"{where} must have one pair of lines {BEGIN} and {END}")
    return pattern.sub(lambda match: "\n".join([BEGIN, *lines, END]), text)


def readme(text, url, branch, chapter):
    """README.md: badges, the site and the command that clones."""
    if not url:
        lines = ["```sh", "git clone <this repository's address>", "cd <its folder>", "```"]
        return between_marks(text, lines, "README.md")
    colab, binder = colab_link(url, branch, chapter), binder_link(url, branch, chapter)
    lines = [
        "[![Open chapter 01 in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"({colab})",
        f"[![Open chapter 01 in Binder](https://mybinder.org/badge_logo.svg)]({binder})",
        "",
        f"The built book: <{site_link(url)}>",
        "",
        "```sh",
        f"git clone {url}",
        f"cd {url.rsplit('/', 1)[1]}",
        "```",
    ]
    return between_marks(text, lines, "README.md")


def citation(text, url):
    """CITATION.cff: the line `repository-code`, absent without an address."""
    text = re.sub(r"^repository-code:.*\n", "", text, flags=re.MULTILINE)
    line = f'repository-code: "{url}"\n' if url else ""
    new, count = re.subn(r"^license:.*\n", lambda m: m[0] + line, text, count=1, flags=re.MULTILINE)
    if not count:
        raise AddressError("CITATION.cff has no line `license:`")
    return new


def notebook(text, url, branch, path):
    """A notebook: the setup cell's line, and plain links near the top.

    The source of a problem set holds its answers, so no link leads there.
    """
    content = json.loads(text)
    set_up, linked = 0, path.startswith("notebooks/assignments/")
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and not linked:
            links = f"[Open in Colab]({colab_link(url, branch, path)})" if url else ""
            links += f" · [Open in Binder]({binder_link(url, branch, path)})" if url else ""
            # Blank lines round the links: a comment begins a block of HTML, which has no Markdown.
            source = between_marks(source, ["", links, ""] if url else [], f"{path}, top cell,")
            linked += 1
        elif cell["cell_type"] == "code":
            pattern = re.compile(r"^REPOSITORY = .*$", re.MULTILINE)
            source, count = pattern.subn(lambda m: repository_line(url, branch), source)
            set_up += count
        cell["source"] = source.splitlines(keepends=True)
    if set_up != 1 or not linked:
        raise AddressError(f"{path} must have one line `REPOSITORY = `, in its setup cell")
    # The layout that Jupyter itself and tools/notebooks.py write.
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def copies(root, url, branch):
    """Each file that carries a copy, with the text that it should have."""
    notebooks = [
        path
        for path in sorted((root / "notebooks").rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in path.parts
    ]
    if not notebooks:
        raise AddressError("there is no notebook in notebooks/")
    first = notebooks[0].relative_to(root).as_posix()
    texts = {
        root / "README.md": readme(read(root / "README.md"), url, branch, first),
        root / "CITATION.cff": citation(read(root / "CITATION.cff"), url),
    }
    for path in notebooks:
        texts[path] = notebook(read(path), url, branch, path.relative_to(root).as_posix())
    return texts


# ---------------------------------------------------------------- commands


def read(path):
    return path.read_bytes().decode("utf-8")


def differing(root):
    """The files whose copy is not what `_config.yml` says."""
    url, branch = read_config(read(root / "_config.yml"))
    return [path for path, text in copies(root, url, branch).items() if read(path) != text]


def set_address(root, url, branch):
    """Write the address everywhere, or nowhere if a place for it is missing; the changed files."""
    url, branch = valid(url, branch)
    texts = {root / "_config.yml": write_config(read(root / "_config.yml"), url, branch)}
    texts |= copies(root, url, branch)
    changed = [path for path, text in texts.items() if read(path) != text]
    for path in changed:
        path.write_bytes(texts[path].encode("utf-8"))
    return changed


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", help="https://github.com/OWNER/NAME")
    parser.add_argument("--branch", help="main, unless said otherwise")
    parser.add_argument("--check", action="store_true", help="change nothing; say what differs")
    parser.add_argument("--clear", action="store_true", help="take the address out")
    options = parser.parse_args(arguments)
    if sum([options.url is not None, options.check, options.clear]) > 1:
        parser.error("an address, --check and --clear exclude one another")
    try:
        if options.check:
            wrong = differing(root)
            for path in wrong:
                print(f"differs from _config.yml: {path.relative_to(root)}")
            if wrong:
                print("python tools/address.py rewrites them.")
            return 1 if wrong else 0
        url, branch = options.url, options.branch or "main"
        if options.clear:
            url, branch = "", "main"
        elif url is None:
            url, old_branch = read_config(read(root / "_config.yml"))
            branch = options.branch or old_branch
        for path in set_address(root, url, branch):
            print(f"wrote {path.relative_to(root)}")
    except (AddressError, FileNotFoundError) as error:
        print(f"Nothing was changed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
