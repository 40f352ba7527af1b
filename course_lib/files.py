"""Files that are there whole or not at all, and tensors in them with what there is to say of them.

Everything the library writes goes through here. A writer fills an unfinished file beside the place,
named NAME.XXXXXXXX.part, and moves it there when it is done. If it fails or is killed, what was
there before stays. A killed writer leaves the unfinished file; nothing reads it, and the next
writer of the same file deletes it once it is an hour old.

Tensors are stored as safetensors, which other tools read too: a header of names, shapes and dtypes,
then plain numbers, and no code that would run on loading. What JSON can say about them, their
*facts*, stands in the header as one text.
"""

import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors

if TYPE_CHECKING:  # torch takes a second to import, and who writes a text need not wait for it
    import torch

FACTS = "about"  # where the header has the facts
SHOWN = 5  # differences that an error names
UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part$")
NAME = 60  # characters of a file's name in that of the unfinished one: names have 255 bytes
ABANDONED = 3600.0  # seconds in which nobody wrote to an unfinished file


# --- Any file -------------------------------------------------------------------------------------


@contextlib.contextmanager
def whole(path: str | Path, *, new: bool = False, private: bool = False) -> Iterator[Path]:
    """Give an empty file to fill, and move it to `path` when the block ends without an error.

    What is replaced hands its permissions on; a new file has the usual ones. If `path` is a link,
    what it points to is replaced.

    Args:
        path: where the file is to be. Its folder must exist.
        new: whether to refuse to replace anything.
        private: whether only the owner may read a file that was not there before.

    Yields:
        The place of the unfinished file, in the same folder.

    Raises:
        ValueError: if `path` is a folder, a device, or something else that is no plain file.
        FileNotFoundError: if there is no such folder.
        FileExistsError: if something is there, and `new`.
        PermissionError: if the file there is read-only or, on Windows, open.
    """
    if new and os.path.lexists(path):
        raise FileExistsError(f"{path} is there already and stays as it is")
    given, path = path, Path(os.path.realpath(path))
    mode = _mode_there(given, path)
    usual = 0o600 if private else 0o666  # less what the user's umask takes away
    beside = path.with_name(f"{path.name[:NAME]}.{secrets.token_hex(4)}.part")
    try:
        # Not `tempfile`: its files can be read by their owner only, and this one becomes the file.
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, usual)):
            pass
        if mode is not None:
            os.chmod(beside, mode)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())  # or after a power cut the name may be there and its bytes not
        _clear(path, beside)
        _move(beside, path, new)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(
    path: str | Path, content: bytes, *, new: bool = False, private: bool = False
) -> None:
    """Write a file in one step; arguments and errors are those of `whole`."""
    with whole(path, new=new, private=private) as beside:
        beside.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in one step, as UTF-8 with the line ends that it has; errors as `whole`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write what JSON can hold in one step; errors as `as_json` and `whole`."""
    write_text(path, as_json(value) + "\n")


def as_json(value: Any) -> str:
    """Return a text for people and programs; numbers of NumPy are numbers.

    Raises:
        ValueError: if a value is neither a number, a text, nor a collection of them.
    """

    def plain(one: object) -> Any:
        if isinstance(one, np.generic):
            return one.item()
        raise ValueError(f"{one!r} is neither a number, a text, nor a collection of them")

    return json.dumps(value, indent=1, default=plain)


def is_unfinished(path: str | Path) -> bool:
    """Whether a file is one that a writer fills, or left when it was killed, by its name."""
    return UNFINISHED.search(Path(path).name) is not None


# --- Tensors --------------------------------------------------------------------------------------


def write_tensors(
    path: str | Path, tensors: Mapping[str, "torch.Tensor"], facts: Mapping[str, Any] | None = None
) -> None:
    """Write tensors by name, and their facts if there are any, to a safetensors file in one step.

    Equal contents make equal files. A tensor on another device is copied to the CPU, and two that
    share their memory are stored twice.

    Args:
        path: as `whole` takes it.
        tensors: of any shape and dtype, but dense.
        facts: what JSON can hold; tuples come back as lists, and all keys as texts.

    Raises:
        ValueError: if a fact is none for JSON, or a tensor is not dense; else as `whole`.
    """
    from safetensors.torch import save

    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    # One text, because the header keeps several in no order, and the files would differ.
    metadata = None if facts is None else {FACTS: as_json(facts)}
    write_bytes(path, save(plain, metadata))


def read_tensors(
    path: str | Path, *, of: str, prefix: str = ""
) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Return the tensors of a safetensors file by name, on the CPU, and its facts.

    Args:
        path: a file of `write_tensors` or of another tool.
        of: what writes such files, for the error: `"pruning.save"`.
        prefix: read only tensors whose names begin with it, and leave it out of the names.

    Raises:
        ValueError: if it is not a safetensors file, or not all of one.
        FileNotFoundError: if there is no such file.
    """
    with _opened(path, of) as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        # Copies: what the file itself backs keeps it open, and Windows replaces no open file.
        tensors = {name.removeprefix(prefix): file.get_tensor(name).clone() for name in names}
        return tensors, _facts(file.metadata())


def read_facts(path: str | Path, *, of: str) -> dict[str, Any]:
    """Return the facts of a safetensors file, nothing if it has none; as `read_tensors`."""
    with _opened(path, of) as file:
        return _facts(file.metadata())


def check_tensors(
    what: str, found: Mapping[str, "torch.Tensor"], expected: Mapping[str, "torch.Tensor"]
) -> None:
    """Compare names, shapes and dtypes.

    Args:
        what: begins the error, for example `f"{path} holds another network"`.
        found: tensors by name.
        expected: the same with any values, also on the device `"meta"`.

    Raises:
        ValueError: if they differ. It names the tensors, what each is, and what it should be.
    """
    faults = []
    for name in [*expected, *(name for name in found if name not in expected)]:
        is_now = _kind(found[name]) if name in found else "missing"
        wanted = _kind(expected[name]) if name in expected else "no tensor of this name"
        if is_now != wanted:
            faults.append(f"{name} is {is_now}, expected {wanted}")
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(f"{what}: {'; '.join(faults[:SHOWN])}{more}")


# --- Private --------------------------------------------------------------------------------------


def _mode_there(given: str | Path, path: Path) -> int | None:
    """Return the permissions of a file, None if there is none; complain if it cannot be written."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no plain file"
        raise ValueError(f"path names a file to write; got {given}, which is {kind}")
    # Moving another file there would not ask: who may write in a folder may replace what it has.
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError(f"{given} is read-only and stays as it is")
    return stat.S_IMODE(mode)


def _clear(path: Path, beside: Path) -> None:
    """Delete what killed writers of this file left, by the clock of the folder."""
    now = beside.stat().st_mtime
    with contextlib.suppress(OSError):  # another writer deleted it, or it may not be deleted
        for other in path.parent.iterdir():
            mine = is_unfinished(other) and UNFINISHED.sub("", other.name) == path.name[:NAME]
            if mine and now - other.stat().st_mtime > ABANDONED:
                other.unlink()


def _move(beside: Path, path: Path, new: bool) -> None:
    if new:
        try:
            os.link(beside, path)  # which, other than a move, never goes over another file
            return
        except FileExistsError:
            raise FileExistsError(f"{path} is there already and stays as it is") from None
        except OSError:  # a file system without links: look, then move
            if path.exists():
                raise FileExistsError(f"{path} is there already and stays as it is") from None
    try:
        os.replace(beside, path)
    except PermissionError as error:
        raise PermissionError(
            f"{path} cannot be replaced and stays as it is ({error.strerror}). On Windows a file "
            "that is open in any program cannot be: close it there and write again"
        ) from error


@contextlib.contextmanager
def _opened(path: str | Path, of: str) -> Iterator[Any]:
    if Path(path).is_dir():
        raise ValueError(f"{path} is not a file of {of}: it is a folder")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a file of {of}: {error}") from error


def _facts(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the facts in a header, also if each is a text of its own, as it once was."""
    found: dict[str, Any] = {}
    for name, text in (metadata or {}).items():
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            found[name] = text  # of another tool, which says `format: pt`
    return found[FACTS] if isinstance(found.get(FACTS), dict) else found


def _kind(tensor: "torch.Tensor") -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
