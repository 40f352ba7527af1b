"""Files that are there whole or not at all: safetensors, with what there is to say about them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import Tensor


def write(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, and what JSON can say about them, to a safetensors file in one step."""
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    # One text, because the file format keeps several in no order: equal contents, equal files.
    write_bytes(path, safetensors.torch.save(plain, {"about": as_json(about).decode()}))


def read_about(path: str | Path) -> dict[str, Any]:
    """Return what is said about the tensors of a file; nothing if it is not one of `write`."""
    with safetensors.safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get("about", "{}"))


def read(path: str | Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a file whose names begin with a prefix, without it."""
    with safetensors.safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write beside the path and move it there, so that nobody ever reads half a file."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def as_json(value: Any) -> bytes:
    """Return a text for people and programs; numbers of NumPy are numbers."""

    def plain(value: object) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{value!r} is neither a number, a text, nor a collection of them")

    return json.dumps(value, indent=1, default=plain).encode()
