"""When a stored execution of a notebook may be used again.

Two caches stand between a notebook and its page. jupyter-cache keeps executed notebooks by a hash
of their code cells; Sphinx keeps parsed pages by the age of their file. Neither knows that a
notebook's results also depend on `course_lib`, on the pinned versions and on stored tables. So each
notebook gets a key made of all these.

* The key is put into the notebook's `kernelspec` metadata as it is read, which is the one piece of
  metadata that jupyter-cache hashes: another key is another notebook to it. The file on disk, and
  the copy that readers download, stay as they are.
* Sphinx is told to read again each notebook whose key differs from the one of the last build.
* `stored` finds the execution of a notebook by the same key; tools/built_notebooks.py compares it
  with what the notebook keeps, in place of another run.

Besides, a build that ended with warnings leaves nothing behind for the next one to skip: Sphinx
reports a warning only while it reads or writes the page, so a second run of a failed build would
look like a success.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from sphinx.util import logging

logger = logging.getLogger(__name__)

LIBRARY = "course_lib"


def library_folder(source):
    """The library that the notebooks will import: the installed one, or the one beside the book."""
    spec = importlib.util.find_spec(LIBRARY)
    if spec is not None and spec.origin:
        return Path(spec.origin).parent
    return Path(source) / LIBRARY


def library_modules(folder):
    """Files of the library by module name: {"course_lib.pruning": Path(...)}."""
    modules = {}
    for path in sorted(Path(folder).rglob("*.py")):
        parts = [LIBRARY, *path.relative_to(folder).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        modules[".".join(parts)] = path
    return modules


@functools.cache  # several notebooks import the same modules
def names_in(code, package):
    """The names that a piece of code imports, and its strings that look like a module's name.

    Relative imports start at `package`. Imports inside functions count.
    """
    names, strings, library = set(), set(), {LIBRARY}
    nodes = list(ast.walk(ast.parse(code)))
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.add(alias.name)
                if alias.name == LIBRARY and alias.asname:
                    library.add(alias.asname)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level and package:
                above = ".".join(package.split(".")[: package.count(".") + 2 - node.level])
                base = f"{above}.{base}" if base else above
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith(LIBRARY):
            strings.add(node.value)
    # `import course_lib` alone brings the package; its modules are then reached as attributes.
    for node in nodes:
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in library:
            names.add(f"{LIBRARY}.{node.attr}")
    return names, strings


def imported(code, modules, inside=None):
    """Modules of the library that a piece of code imports by itself.

    `inside` is the module that holds the code. A module's full name in a string counts too
    (`importlib.import_module`).
    """
    package = inside
    if inside and modules[inside].name != "__init__.py":
        package = inside.rpartition(".")[0]
    names, strings = names_in(code, package)
    found = set()
    for name in names | (strings & set(modules)):
        # Importing a module runs the packages above it as well.
        parts = name.split(".")
        found.update(".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return found & set(modules)


def closure(start, modules):
    """Those modules and all that they import, directly or through one another."""
    seen, todo = set(), list(start)
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            source = modules[module].read_text(encoding="utf-8")
            todo.extend(imported(source, modules, inside=module))
    return seen


@functools.cache
def installed(constraints):
    """What is installed of the packages that a text of constraints names, by name."""
    found = {}
    for name in re.findall(r"^([\w.-]+)==", constraints, re.MULTILINE):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def machine(constraints):
    """What this machine is, as far as outputs depend on it."""
    processors = [path.name for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    return {
        "python": sys.version,
        "system": [platform.system(), platform.machine()],
        "graphics": [processors, os.environ.get("CUDA_VISIBLE_DEVICES")],
        "installed": installed(constraints),
    }


def notebook_key(notebook, source):
    """A hash of all that the outputs of a notebook depend on, besides its code."""
    root = library_folder(source)
    modules = library_modules(root)
    to_python = TransformerManager().transform_cell  # magics and shell lines are not Python
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(to_python("".join(cell["source"])) for cell in cells)
    try:
        used = closure(imported(code, modules), modules)
    except SyntaxError:
        used = set(modules)  # a cell or module that cannot be read may import anything
    constraints = Path(source, "constraints.txt")
    pinned = constraints.read_text(encoding="utf-8") if constraints.is_file() else ""
    parts = [("machine", machine(pinned)), ("constraints", pinned)]
    parts += [("notebook", notebook.get("metadata", {}))]
    # jupyter-cache hands back the stored cells whole: without this, a changed tag has no effect.
    parts += [("cell", cell.get("metadata", {})) for cell in cells]
    files = {modules[module] for module in used}
    # Scripts, styles and data of a package count with any module in its folder.
    folders = {file.parent for file in files}
    files |= {
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        and next((f for f in path.parents if (f / "__init__.py").is_file()), None) in folders
    }
    text = code + "".join(f.read_text(encoding="utf-8") for f in files if f.suffix == ".py")
    # A stored table counts where it is named.
    files |= {p for p in Path(source, "results").glob("*") if p.is_file() and p.stem in text}
    for path in sorted(files):
        name = path.relative_to(root if path.is_relative_to(root) else source).as_posix()
        parts.append((name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def keys(env):
    """The key of each notebook when it was last read, by page."""
    if not hasattr(env, "course_cache_keys"):
        env.course_cache_keys = {}
    return env.course_cache_keys


def is_notebook(env, page):
    return str(env.doc2path(page)).endswith(".ipynb")


def keyed(notebook, source):
    """The same notebook with its key where jupyter-cache looks; and the key."""
    key = notebook_key(notebook, source)
    default = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = notebook.get("metadata", {})
    kernel = {**metadata.get("kernelspec", default), "course_key": key}
    return {**notebook, "metadata": {**metadata, "kernelspec": kernel}}, key


def stored(notebook, source, folder):
    """The execution of a notebook that the next build would use again, or None.

    Args:
        notebook: what its file holds, as plain data.
        source: the folder of the book.
        folder: that of jupyter-cache.

    Returns:
        The executed notebook, which has code cells only, and the seconds that it took.
    """
    from jupyter_cache import get_cache

    cache = get_cache(str(folder))
    try:
        wanted, _ = keyed(notebook, source)
        record = cache.match_cache_notebook(nbformat.reads(json.dumps(wanted), as_version=4))
        return cache.get_cache_bundle(record.pk).nb, record.data["execution_seconds"]
    except (ValueError, KeyError):
        return None  # there is none, or its file is broken


def put_key(app, page, content):
    if not is_notebook(app.env, page):
        return
    try:
        notebook, key = keyed(json.loads(content[0]), app.srcdir)
    except (ValueError, KeyError):
        return  # not a notebook: the parser says so better
    keys(app.env)[page] = key
    content[0] = json.dumps(notebook)


def outdated(app, env, added, changed, removed):
    """Notebooks to read again although their own file did not change."""
    stale = []
    for page, key in keys(env).items():
        if page in added | changed | removed or page not in env.found_docs:
            continue
        notebook = json.loads(Path(env.doc2path(page)).read_text(encoding="utf-8"))
        if notebook_key(notebook, app.srcdir) != key:
            logger.info("[cache] %s: the library or the pinned versions changed", page)
            stale.append(page)
    return stale


def purge(app, env, page):
    keys(env).pop(page, None)


def merge(app, env, pages, other):
    keys(env).update({page: key for page, key in keys(other).items() if page in pages})


def forget_after_warnings(app, exception):
    if app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


def setup(app):
    app.connect("source-read", put_key)
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("build-finished", forget_after_warnings)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
