"""Files that are there whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor


def write(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors, and texts about them, to a safetensors file in one step."""
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_bytes(path, safetensors.torch.save(plain, dict(about)))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write beside the path and move it there, so that nobody ever reads half a file."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
