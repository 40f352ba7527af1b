"""Files: whole or not at all, whatever happens to who writes them; and tensors that come back."""

import ast
import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib import autoencoders as ae
from course_lib import costs, exercises, files, networks, pruning, stored, tickets
from course_lib.tickets.store import Store

ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links as POSIX has them")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


# --- Killed ---------------------------------------------------------------------------------------

OLD, NEW = b"old" * 1000, b"new" * 2000
# What a writer does until it is killed, at a point that it is told.
WRITER = """
    import os, pathlib, signal, sys
    from course_lib import files

    def die(*_, **__):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    def half(path, content):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
        die()

    path, when = pathlib.Path(sys.argv[1]), sys.argv[2]
    if when == "in a plain writer":
        half(path, b"new" * 2000)
    elif when == "half written":
        pathlib.Path.write_bytes = half
    elif when == "before it is on the disk":
        os.fsync = die
    elif when == "before the move":
        os.replace = die
    elif when == "after the move":
        move = os.replace
        os.replace = lambda *places: (move(*places), die())
    files.write_bytes(path, b"new" * 2000)
"""


def killed(path, when):
    code = [sys.executable, "-c", textwrap.dedent(WRITER), path, when]
    process = subprocess.run(code, cwd=ROOT, env=os.environ, capture_output=True, timeout=60)
    assert process.returncode == (1 if os.name == "nt" else -signal.SIGKILL), process.stderr


def leftovers(path):
    return [other for other in path.parent.iterdir() if other != path]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("when", ["half written", "before it is on the disk", "before the move"])
def test_a_writer_killed_before_the_move_leaves_what_was_there(when, there, tmp_path):
    path = tmp_path / "a.bin"
    if there:
        path.write_bytes(OLD)
    killed(path, when)
    assert path.exists() == there
    assert not there or path.read_bytes() == OLD
    (left,) = leftovers(path)
    assert files.is_unfinished(left)
    assert left.name.startswith("a.bin.")
    files.write_bytes(path, NEW)  # it is in nobody's way
    assert path.read_bytes() == NEW


def test_a_writer_killed_after_the_move_has_written(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    killed(path, "after the move")
    assert path.read_bytes() == NEW
    assert leftovers(path) == []


def test_a_plain_writer_would_leave_half_a_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    killed(path, "in a plain writer")
    assert path.read_bytes() not in (OLD, NEW)


FOREVER = """
    import itertools, pathlib, sys
    from course_lib import files

    for i in itertools.count():
        files.write_bytes(sys.argv[1], bytes([i % 256]) * 3_000_000)
        if not i:
            print("started", flush=True)
"""


@pytest.mark.parametrize("wait", [0.0, 0.013, 0.031])
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(wait, tmp_path):
    path = tmp_path / "a.bin"
    code = [sys.executable, "-c", textwrap.dedent(FOREVER), path]
    with subprocess.Popen(code, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"started"
        threading.Event().wait(wait)
        process.kill()
    content = path.read_bytes()
    assert len(content) == 3_000_000
    assert len(set(content)) == 1
    assert all(files.is_unfinished(other) for other in leftovers(path))


def test_what_killed_writers_left_is_deleted_when_it_is_old(tmp_path):
    path = tmp_path / "a.bin"
    old, young = tmp_path / "a.bin.0123abcd.part", tmp_path / "a.bin.0123abce.part"
    others = [
        tmp_path / name
        for name in ("b.bin.0123abcd.part", "a.bin.part", "a.bin.old.part", "a.bin.0123abcd.part.x")
    ]
    for other in (old, young, *others):
        other.write_bytes(b"half")
        if other != young:
            long_ago = other.stat().st_mtime - 2 * files.ABANDONED
            os.utime(other, (long_ago, long_ago))
    files.write_bytes(path, NEW)
    assert names(tmp_path) == sorted(p.name for p in (path, young, *others))


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt(), SystemExit(1)])
def test_a_writer_that_fails_leaves_what_was_there_and_nothing_else(error, tmp_path):
    path = tmp_path / "a.bin"

    def fail():
        with files.whole(path) as beside:
            assert beside.parent == tmp_path
            beside.write_bytes(NEW[:7])
            raise error

    for there in (False, True):
        if there:
            path.write_bytes(OLD)
        with pytest.raises(type(error)):
            fail()
        assert names(tmp_path) == ["a.bin"] * there
    assert path.read_bytes() == OLD


def test_writers_at_the_same_time_do_not_mix(tmp_path):
    path, stop, wrong = tmp_path / "a.bin", threading.Event(), []
    files.write_bytes(path, b"0" * 100_000)

    def look():
        while not stop.is_set():
            content = path.read_bytes()
            if len(content) != 100_000 or len(set(content)) != 1:
                wrong.append(content)

    def write(letter):
        for _ in range(10):
            files.write_bytes(path, letter * 100_000)

    reader = threading.Thread(target=look)
    writers = [threading.Thread(target=write, args=(bytes([65 + i]),)) for i in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert wrong == []
    assert names(tmp_path) == ["a.bin"]


# --- Where a file is to be ------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(
    umask, expected, tmp_path
):
    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    before = os.umask(umask)
    try:
        files.write_bytes(tmp_path / "ours", NEW)
        files.write_bytes(tmp_path / "secret", NEW, private=True)
        for one in (0o640, 0o755):
            (tmp_path / "own").write_bytes(OLD)
            (tmp_path / "own").chmod(one)
            files.write_bytes(tmp_path / "own", NEW)
            assert mode("own") == one
    finally:
        os.umask(before)
    assert mode("ours") == expected
    assert mode("secret") == 0o600


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    link.symlink_to(target)
    for content in (OLD, NEW):  # at first it points to nothing yet
        files.write_bytes(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert names(tmp_path / "far") == ["target"]


def test_a_read_only_file_stays(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"a\.bin is read-only and stays as it is"):
        files.write_bytes(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_or_a_device_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"got .*folder, which is a folder"):
        files.write_bytes(tmp_path / "folder", NEW)
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="which is no plain file"):
            files.write_bytes(tmp_path / "pipe", NEW)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none for a\.bin"):
        files.write_bytes(tmp_path / "none" / "a.bin", NEW)


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_nothing(links, tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "no links on this file system")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.bin"
    files.write_bytes(path, OLD, new=True)
    assert path.read_bytes() == OLD
    with pytest.raises(FileExistsError, match="is there already and stays as it is"):
        files.write_bytes(path, NEW, new=True)
    other = tmp_path / "b.bin"

    def too_late():
        with files.whole(other, new=True) as beside:
            beside.write_bytes(NEW)
            other.write_bytes(OLD)  # somebody else was faster

    with pytest.raises(FileExistsError, match="is there already"):
        too_late()
    assert path.read_bytes() == other.read_bytes() == OLD
    assert names(tmp_path) == ["a.bin", "b.bin"]


def test_what_is_open_on_windows_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    with contextlib.ExitStack() as stack:
        if os.name == "nt":
            stack.enter_context(open(path, "rb"))
        else:

            def refused(*_):
                raise PermissionError(errno.EACCES, "Access is denied")

            monkeypatch.setattr(os, "replace", refused)
        with pytest.raises(PermissionError, match="stays as it is .*close it there and write agai"):
            files.write_bytes(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["a.bin"]


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("é" * 120)  # of 240 bytes, where 255 are allowed
    files.write_text(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()


def test_what_json_cannot_hold_is_said_and_not_written(tmp_path):
    assert json.loads(files.as_json({"a": np.float32(0.5), "b": (np.int64(2), "ü")})) == {
        "a": 0.5,
        "b": [2, "ü"],
    }
    for write in (
        lambda: files.write_json(tmp_path / "a", {"a": {1, 2}}),
        lambda: files.write_tensors(tmp_path / "a", {}, {"a": {1, 2}}),
    ):
        with pytest.raises(ValueError, match=r"\{1, 2\} is neither a number"):
            write()
    assert names(tmp_path) == []


# --- Tensors --------------------------------------------------------------------------------------

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5)
    | st.floats(allow_nan=False),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
    max_leaves=6,
)  # fmt: skip
tensors = st.dictionaries(
    st.text("abc.:/_", min_size=1, max_size=6),
    st.tuples(st.lists(st.integers(0, 3), max_size=3), st.sampled_from((*DTYPES, torch.bool))),
    max_size=4,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(shapes=tensors, facts=st.none() | st.dictionaries(st.text(max_size=5), json_values))
def test_tensors_and_facts_come_back_and_equal_ones_make_equal_files(shapes, facts, tmp_path):
    path = tmp_path / "a.safetensors"
    generator = torch.Generator().manual_seed(0)
    given = {
        name: (9 * torch.rand(shape, generator=generator)).to(dtype)
        for name, (shape, dtype) in shapes.items()
    }
    files.write_tensors(path, given, facts)
    found, about = files.read_tensors(path, of="this test")
    assert_equal(found, given)
    assert about == files.read_facts(path, of="this test") == (facts or {})
    before = path.read_bytes()
    files.write_tensors(path, {name: t.clone() for name, t in given.items()}, facts)
    assert path.read_bytes() == before
    some, _ = files.read_tensors(path, of="this test", prefix="a")
    assert_equal(some, {name[1:]: t for name, t in given.items() if name[0] == "a"})
    files.check_tensors("these are others", found, given)


def test_tensors_that_are_views_or_shared_or_learned(tmp_path):
    path, w = tmp_path / "a", torch.arange(12.0).view(3, 4)
    given = {"w": torch.nn.Parameter(w), "same": w, "t": w.t(), "part": w[1:, ::2]}
    files.write_tensors(path, given)
    found, _ = files.read_tensors(path, of="this test")
    assert_equal(found, {name: tensor.detach() for name, tensor in given.items()})
    assert not any(tensor.requires_grad for tensor in found.values())


def test_another_tool_reads_them_and_we_read_its_files(tmp_path):
    path, given = tmp_path / "a", {"w": torch.rand(3, 4), "n": torch.tensor([2])}
    files.write_tensors(path, given, {"seeds": [1, 2]})
    assert_equal(safetensors.torch.load_file(path), given)
    safetensors.torch.save_file(given, path, metadata={"format": "pt", "about": "a network"})
    found, facts = files.read_tensors(path, of="this test")
    assert_equal(found, given)
    assert facts == {"format": "pt", "about": "a network"}


def test_what_was_read_keeps_no_file_open(tmp_path):
    """Windows replaces no file that is mapped into memory, as safetensors leaves it."""
    path = tmp_path / "a.safetensors"
    files.write_tensors(path, {"w": torch.rand(30, 40)}, {"step": 1})
    found, _ = files.read_tensors(path, of="this test")
    if sys.platform == "linux":
        assert str(path) not in Path("/proc/self/maps").read_text()
    before = found["w"].clone()
    files.write_tensors(path, {"w": torch.zeros(30, 40)})
    assert torch.equal(found["w"], before)


def test_what_is_not_whole_is_refused(tmp_path):
    path = tmp_path / "a"
    files.write_tensors(path, {"w": torch.rand(3, 4)}, {"step": 1})
    whole = path.read_bytes()
    for length in (0, 4, 8, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        for read in (files.read_tensors, files.read_facts):
            with pytest.raises(ValueError, match=r"a is not a file of costs\.save"):
                read(path, of="costs.save")
    with pytest.raises(ValueError, match=r"is not a file of costs\.save: it is a folder"):
        files.read_tensors(tmp_path, of="costs.save")
    with pytest.raises(FileNotFoundError):
        files.read_tensors(tmp_path / "none", of="costs.save")


def test_differing_tensors_are_named_with_what_they_are():
    expected = {"a": torch.zeros(2, 3), "b": torch.zeros(4, device="meta"), "c": torch.zeros(1)}
    found = {"a": torch.zeros(3, 2), "b": torch.zeros(4, dtype=torch.float64), "d": torch.ones(1)}
    with pytest.raises(ValueError) as error:
        files.check_tensors("x holds another network", found, expected)
    assert str(error.value) == (
        "x holds another network: a is (3, 2) float32, expected (2, 3) float32; "
        "b is (4,) float64, expected (4,) float32; c is missing, expected (1,) float32; "
        "d is (1,) float32, expected no tensor of this name"
    )
    many = {str(i): torch.zeros(1) for i in range(9)}
    with pytest.raises(ValueError, match="4 is missing, expected .*; and 4 more"):
        files.check_tensors("x", {}, many)


# --- Files of earlier versions --------------------------------------------------------------------


def test_an_autoencoder_of_an_earlier_version_is_read(tmp_path):
    model, path = ae.SparseAutoencoder(6, 9, ae.TopK(3), seed=1), tmp_path / "a"
    x = 2 * torch.rand(20, 6, generator=torch.Generator().manual_seed(0)) + 1
    model.set_normalisation(x)
    facts = {"autoencoder": json.dumps(model.settings())}
    safetensors.torch.save_file(model.state_dict(), path, metadata=facts)
    again = ae.load(path)
    assert again.settings() == model.settings()
    assert torch.equal(again(x).reconstruction, model.eval()(x).reconstruction)


def test_an_autoencoder_comes_back_in_its_dtype_and_a_damaged_one_does_not(tmp_path):
    model, path = ae.SparseAutoencoder(6, 9, ae.TopK(3), seed=1).double(), tmp_path / "a"
    ae.save(model, path)
    assert_equal(ae.load(path).state_dict(), model.state_dict())
    state, settings = model.state_dict(), model.settings()
    files.write_tensors(path, state | {"b_enc": torch.zeros(8)}, {"autoencoder": settings})
    with pytest.raises(ValueError, match=r"b_enc is \(8,\) float32, expected \(9,\) float64"):
        ae.load(path)
    for damaged in ({"d_in": 6}, settings | {"activation": {"kind": "Sigmoid"}}):
        files.write_tensors(path, state, {"autoencoder": damaged})
        with pytest.raises(ValueError, match="says of no autoencoder here what it is"):
            ae.load(path)


def test_a_checkpoint_of_an_earlier_version_is_taken_up(tmp_path):
    x, path = torch.rand(64, 6, generator=torch.Generator().manual_seed(0)), tmp_path / "a"
    options = {"steps": 12, "seed": 3, "batch_size": 16, "evaluate_every": 4}

    class KilledError(Exception):
        pass

    def until(n):
        for step in range(12):
            if step == n:
                raise KilledError
            yield x[step : step + 16]

    def build():
        return ae.SparseAutoencoder(6, 9, ae.TopK(3), seed=1)

    plain, resumed = build(), build()
    history = ae.fit(plain, until(99), **options)
    with pytest.raises(KilledError):
        ae.fit(build(), until(9), checkpoint=path, **options)
    tensors, facts = files.read_tensors(path, of="fit")
    old = {name: json.dumps(fact) for name, fact in facts.items()}
    safetensors.torch.save_file(tensors, path, metadata=old)
    assert ae.fit(resumed, until(99), checkpoint=path, **options).equals(history)
    assert_equal(resumed.state_dict(), plain.state_dict())
    files.write_tensors(path, tensors | {"model.b_enc": torch.zeros(8)}, facts)
    with pytest.raises(ValueError, match=r"of another training: b_enc is \(8,\)"):
        ae.fit(build(), until(99), checkpoint=path, **options)


def a_pruned_network():
    model = networks.mlp((6, 5, 4), seed=1)
    pruning.prune(model, 0.5)
    return model


def test_networks_of_an_earlier_version_are_read(tmp_path):
    model, path = a_pruned_network(), tmp_path / "a"
    plain = pruning.remove(a_pruned_network()).state_dict()
    masks = {f"mask:{name}": mask for name, mask in pruning.masks(model).items()}
    safetensors.torch.save_file(plain | masks, path)
    found = pruning.load(networks.mlp((6, 5, 4), seed=2), path)
    assert_equal(found.state_dict(), model.state_dict())
    about = {"kind": "lottery ticket, version 1", "step": 3, "found": "by chance"}
    safetensors.torch.save_file(
        plain | masks, path, metadata={"about": json.dumps(about, indent=1)}
    )
    ticket = tickets.Ticket.load(path, networks.mlp((6, 5, 4), seed=2))
    assert (ticket.step, ticket.found) == (3, "by chance")
    assert_equal(ticket.start.state_dict(), plain)
    arrays = {name: tensor.numpy() for name, tensor in plain.items()}
    arrays["0.weight/dense/values"] = arrays.pop("0.weight")
    safetensors.numpy.save_file(arrays, path)
    assert_equal(costs.load(networks.mlp((6, 5, 4), seed=2), path).state_dict(), plain)


def test_progress_of_an_earlier_version_is_read_and_kept(tmp_path):
    path = tmp_path / "progress.json"
    path.write_text(json.dumps({"solved": ["a.b"]}, indent=1) + "\n", encoding="utf-8")
    before = path.read_bytes()
    try:
        assert "1 exercises" in exercises.keep_progress(path)
        assert path.read_bytes() == before
    finally:
        exercises.solved.forget()


# --- Who writes them ------------------------------------------------------------------------------


def test_a_pruned_network_of_another_dtype_or_with_a_damaged_mask_changes_nothing(tmp_path):
    model, path = networks.mlp((6, 5, 4), seed=2), tmp_path / "a"
    pruning.prune(model, 0.2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pruning.save(a_pruned_network().double(), path)
    with pytest.raises(ValueError, match=r"0\.weight is \(5, 6\) float64, expected \(5, 6\) float"):
        pruning.load(model, path)
    pruning.save(a_pruned_network(), path)
    good, _ = files.read_tensors(path, of="pruning.save")
    for name, mask in (
        ("mask:0.weight", torch.ones(5, 6)),
        ("mask:0.weight", torch.ones(6, 5, dtype=torch.bool)),
        ("mask:9.weight", torch.ones(5, 6, dtype=torch.bool)),
    ):
        files.write_tensors(path, good | {name: mask})
        with pytest.raises(ValueError, match=f"holds another network: {name} is"):
            pruning.load(model, path)
    assert_equal(model.state_dict(), before)


@pytest.mark.parametrize("when", ["half written", "before the move"])
def test_a_folder_of_a_grid_that_was_killed_at_its_start_is_taken(when, tmp_path):
    """What the killed call left was once taken for somebody's own files."""
    folder = tmp_path / "grid"
    folder.mkdir()
    killed(folder / "settings.json", when)
    store = Store(folder, networks.mlp, lambda seed: None, tickets.Plan(steps=4))
    assert store.check({}, [0], []) == [0]
    assert "settings.json" in names(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        Store(tmp_path / "other", networks.mlp, lambda seed: None, store.plan).check({}, [0], [])


# Who may write in another way: what is a scratch folder of a process or a simulated student, what
# runs before the library is there or makes an environment, an archive that is moved when it is
# whole, and seconds that may be lost.
ELSEWHERE = {
    "course_lib/files.py", "course_lib/coursework/demo.py", "tools/address.py",
    "tools/bootstrap.py", "tools/install.py", "tools/freeze.py", "tools/newest.py",
    "tools/run_tests.py",
}  # fmt: skip
WRITES = {"write_text", "write_bytes", "save_file", "replace_file", "savez", "copyfile", "copy2"}
SCRATCH = {("course_lib/coursework/grading.py", "_files")}  # of the sandbox, deleted with it


def plain_writers(code):
    """Yield the functions of a module that write a file by other ways than `files`."""
    tree = ast.parse(code)
    unfinished = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        for item in node.items
        if ast.unparse(item.context_expr).startswith("files.whole(") and item.optional_vars
    }
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            *owner, name = ast.unparse(node.func).split(".")
            modes = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
            opens = name == "open" and any(
                isinstance(m, ast.Constant) and set(str(m.value)) & set("wax") for m in modes
            )
            if opens or (
                name in WRITES and owner[:1] not in [["files"], *([u] for u in unfinished)]
            ):
                yield function.name
            if (name, owner) in (("write", ["nbformat"]), ("replace", ["os"]), ("dump", ["json"])):
                yield function.name


def test_everything_that_is_written_goes_through_files():
    modules = [p for top in ("course_lib", "tools") for p in sorted((ROOT / top).rglob("*.py"))]
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in modules
        for name in plain_writers(path.read_text(encoding="utf-8"))
    }
    assert {one for one in found if one[0] not in ELSEWHERE} <= SCRATCH
    assert "course_lib/files.py" in {name for name, _ in found}, "or it would find nothing"
    bad = "def f(p):\n    p.write_text('x')\ndef g(p):\n    with open(p, 'w') as o:\n        pass"
    assert list(plain_writers(bad)) == ["f", "g"]


def test_both_files_of_a_stored_table_change_or_neither(tmp_path, monkeypatch):
    import pandas as pd

    about = stored.About("a test", "none", "2026-01-01", 1.0, "one core", {}, {})
    table = pd.DataFrame({"seed": [1, 2], "accuracy": [0.5, 0.25]})
    stored.save("a", table, about, tmp_path)

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", full)
        with pytest.raises(OSError, match="no space"):
            stored.save("a", table + 1, about, tmp_path)
    assert stored.load("a", tmp_path).table.equals(table)
    assert names(tmp_path) == ["a.csv", "a.json"]
