"""Values on their way from the worker: plain data out, nothing that could run on arrival.

A learner's object could bring its own `__eq__`, which says yes to everything, or its own way to
unpickle, which runs code. So only numbers, texts, lists, dictionaries and the bytes of tensors
travel back, and whatever else came is described by its type and a short text.
"""

import io
import pickle
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

MOST_BYTES = 64 * 2**20
MOST_PARTS = 100_000
LONGEST_TEXT = 2_000
DEEPEST = 50
DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
PLAIN = (type(None), bool, int, float, complex)


class Other(NamedTuple):
    """Stands for an object that does not travel: the name of its type, and its text."""

    type_name: str
    text: str


class TooLarge(ValueError):
    """A value is too large to be sent."""


def encode(value: Any) -> tuple:
    """Turn a value into nested tuples of plain data, for `decode`.

    Raises:
        TooLarge: above `MOST_BYTES` in all or `MOST_PARTS` entries, or nested too deeply.
    """
    room = [MOST_BYTES, MOST_PARTS]

    def take(n_bytes: int) -> None:
        room[0] -= n_bytes
        room[1] -= 1
        if min(room) < 0:
            raise TooLarge(f"more than {MOST_BYTES >> 20} MB or {MOST_PARTS:,} entries")

    def walk(value: Any, depth: int) -> tuple:
        take(8)
        if depth > DEEPEST:
            raise TooLarge(f"nested more than {DEEPEST} deep")
        if isinstance(value, np.generic) and value.dtype.kind in "biufc":
            value = value.item()
        if type(value) in PLAIN:
            # A whole number of a million digits is of no use, and slow to print.
            if type(value) is int and value.bit_length() > 1024:
                return ("other", "int", "a whole number of more than 300 digits")
            return ("plain", value)
        if value is Ellipsis:
            return ("ellipsis",)
        if isinstance(value, str):
            return ("plain", str(value)[:LONGEST_TEXT])
        if isinstance(value, Tensor) and value.layout == torch.strided:
            take(value.numel() * value.element_size())
            flat = value.detach().cpu().contiguous().reshape(-1)
            content = flat.view(torch.uint8).numpy().tobytes() if value.numel() else b""
            return ("tensor", str(value.dtype), tuple(value.shape), content)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            take(value.nbytes)
            return ("array", value.dtype.str, tuple(value.shape), value.tobytes())
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "tuple"
            return (kind, [walk(item, depth + 1) for item in value])
        if isinstance(value, dict):
            pairs = [(walk(k, depth + 1), walk(v, depth + 1)) for k, v in value.items()]
            return ("dict", pairs)
        return ("other", type(value).__name__, text_of(value))

    return walk(value, 0)


def text_of(value: Any) -> str:
    """Return a short text of any object, also of one whose own text fails."""
    try:
        return repr(value)[:LONGEST_TEXT]
    except Exception:
        return f"a {type(value).__name__} without a text"


def decode(data: Any) -> Any:
    """Make the value anew from what `encode` gave. Raises ValueError if it is anything else."""
    parts = [0]

    def walk(data: Any, depth: int) -> Any:
        parts[0] += 1
        if depth > DEEPEST or parts[0] > 2 * MOST_PARTS:
            raise ValueError("more than encode would send")
        kind, *rest = data
        if kind == "plain" and type(rest[0]) in (*PLAIN, str):
            return rest[0]
        if kind == "ellipsis":
            return ...
        if kind == "tensor":
            dtype, shape, content = DTYPES[rest[0]], tuple(rest[1]), bytearray(rest[2])
            if dtype == torch.bool:  # any byte but 0 and 1 would be neither true nor false
                return torch.frombuffer(content, dtype=torch.uint8).bool().view(shape)
            flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0).to(dtype)
            return flat.view(shape)
        if kind == "array":
            dtype = np.dtype(str(rest[0]))
            if dtype.kind not in "biufc":
                raise ValueError(f"an array of {dtype}")
            return np.frombuffer(bytearray(rest[2]), dtype).reshape(rest[1])
        if kind in ("list", "tuple"):
            items = [walk(item, depth + 1) for item in rest[0]]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {_key(walk(k, depth + 1)): walk(v, depth + 1) for k, v in rest[0]}
        if kind == "other":
            return Other(str(rest[0]), str(rest[1]))
        raise ValueError(f"no value of kind {kind!r:.50}")

    try:
        return walk(data, 0)
    except (TypeError, KeyError, IndexError, RuntimeError) as error:
        raise ValueError(f"not what encode gives: {error}") from error


def _key(key: Any) -> Any:
    """Keys that are tensors, by their text: their hash says nothing about their value."""
    return key if isinstance(key, str | int | float | tuple | None) else text_of(key)


class _Plain(pickle.Unpickler):
    """Reads plain data and refuses everything that would import or call."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name."""
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def dumps(data: Any) -> bytes:
    """Pickle plain data."""
    return pickle.dumps(data, protocol=4)


def loads(content: bytes) -> Any:
    """Read plain data from bytes that a learner's process may have made.

    Raises:
        ValueError: if they hold anything else.
    """
    try:
        return _Plain(io.BytesIO(content)).load()
    except Exception as error:
        raise ValueError(f"not plain data: {error}") from error
