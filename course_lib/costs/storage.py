"""Bytes: formats that leave zeros out, as arrays and as files, indices included."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from course_lib import files, pruning

FORMATS = ("dense", "bitmask", "csr", "coo")
INDEX = np.int32


# --- One weight -----------------------------------------------------------------------------------


def encode(weight: Tensor, format: str, dtype: type = np.float32) -> dict[str, np.ndarray]:
    """Write a weight in a format, as the arrays that a file would hold.

    A weight `(n_out, n_in, …)` counts as a matrix of n_out rows; a convolution's input channels
    come last in a row. Indices are 32-bit integers, as SciPy chooses them for matrices of this
    size; PyTorch's own sparse tensors take 64 bits unless they are given others. The formats:

    * `"dense"`: all values.
    * `"csr"`: the non-zero values row by row, the column of each, and where each row starts.
    * `"coo"`: the non-zero values, and the row and the column of each.
    * `"bitmask"`: the non-zero values, and one bit for each place.
    * `"2:4"` or other n:m: n values of every m neighbours in a row (`pruning.n_m_mask`), and the
      place of each among them, in the bits that m − 1 needs. Missing values are stored as zeros.

    Args:
        weight: any floating point tensor of at least two dimensions.
        format: see above.
        dtype: of the values, `np.float32` or `np.float16`.

    Raises:
        ValueError: if the format or dtype is unknown or, for n:m, the input dimension is no
            multiple of m or m neighbours hold more than n non-zeros.
    """
    if np.dtype(dtype) not in (np.float32, np.float16):
        raise ValueError(f"dtype is np.float32 or np.float16; got {dtype!r}")
    rows_first = weight.detach().cpu().float().movedim(1, -1)  # (n_out, …, n_in)
    matrix = rows_first.reshape(len(weight), -1).numpy()
    if format == "dense":
        return {"values": matrix.astype(dtype)}
    rows, columns = matrix.nonzero()
    values = matrix[rows, columns].astype(dtype)
    if format == "csr":
        starts = np.cumsum([0, *np.bincount(rows, minlength=len(matrix))])
        return {"values": values, "columns": columns.astype(INDEX), "starts": starts.astype(INDEX)}
    if format == "coo":
        return {"values": values, "rows": rows.astype(INDEX), "columns": columns.astype(INDEX)}
    if format == "bitmask":
        return {"values": values, "bits": np.packbits(matrix != 0)}
    n, m = _n_m(format)
    groups = matrix.reshape(-1, m) if weight.shape[1] % m == 0 else None  # (n_groups, m)
    if groups is None or (groups != 0).sum(1).max(initial=0) > n:
        raise ValueError(
            f"{format} takes an input dimension that is a multiple of {m}, and at most {n} "
            f"non-zeros in every {m} neighbours; a weight of shape {tuple(weight.shape)} has not"
        )
    places = np.sort(np.argsort(groups == 0, axis=1, kind="stable")[:, :n], axis=1)
    bits = places[..., None] >> np.arange(_bits(m)) & 1  # (n_groups, n, bits of a place)
    values = np.take_along_axis(groups, places, axis=1).astype(dtype)
    return {"values": values, "places": np.packbits(bits.astype(bool))}


def decode(parts: Mapping[str, np.ndarray], format: str, shape: Sequence[int]) -> Tensor:
    """Read the arrays of `encode` back into a weight of a given shape, in the values' dtype.

    Raises:
        ValueError: if the format is unknown.
    """
    values = parts["values"]
    matrix = np.zeros((shape[0], int(np.prod(shape[1:]))), values.dtype)
    if format == "dense":
        matrix[:] = values
    elif format == "csr":
        matrix[np.repeat(np.arange(shape[0]), np.diff(parts["starts"])), parts["columns"]] = values
    elif format == "coo":
        matrix[parts["rows"], parts["columns"]] = values
    elif format == "bitmask":
        matrix[np.unpackbits(parts["bits"], count=matrix.size).reshape(matrix.shape) == 1] = values
    else:
        n, m = _n_m(format)
        bits = np.unpackbits(parts["places"], count=values.size * _bits(m))
        places = bits.reshape(*values.shape, _bits(m)) @ (1 << np.arange(_bits(m)))
        groups = matrix.reshape(-1, m)  # a view: what is put here stands in the matrix
        np.put_along_axis(groups, places, values, axis=1)
    rows_first = torch.from_numpy(matrix).view(shape[0], *shape[2:], shape[1])
    return rows_first.movedim(-1, 1).contiguous()


def n_bytes(weight: Tensor, format: str, dtype: type = np.float32) -> int:
    """Return the bytes of a weight in a format of `encode`, indices included."""
    return sum(part.nbytes for part in encode(weight, format, dtype).values())


def break_even_in_bytes(format: str, shape: Sequence[int], dtype: type = np.float32) -> float:
    """Return the largest density at which a format takes fewer bytes than the dense weight.

    It follows from the bytes of a value v, of an index i = 4 and of all places: with r rows, nnz
    non-zeros take nnz(v + i) + (r + 1)i as CSR, nnz(v + 2i) as COO, and nnz·v and a bit for each
    place as bitmask. It is 0 where not even one non-zero pays.

    Raises:
        ValueError: if the format is not `"csr"`, `"coo"` or `"bitmask"`.
    """
    v, i, size = np.dtype(dtype).itemsize, np.dtype(INDEX).itemsize, int(np.prod(shape))
    each_and_fixed = {
        "csr": (v + i, (shape[0] + 1) * i),
        "coo": (v + 2 * i, 0),
        "bitmask": (v, -(-size // 8)),
    }
    if format not in each_and_fixed:
        raise ValueError(
            f"a format breaks even if its bytes depend on the density, as in "
            f"{list(each_and_fixed)}; got {format!r}"
        )
    each, fixed = each_and_fixed[format]
    return max(0, (size * v - fixed - 1) // each) / size


# --- A network ------------------------------------------------------------------------------------


def sizes(
    model: nn.Module, formats: Sequence[str] = FORMATS, dtype: type = np.float32
) -> pd.DataFrame:
    """Return the bytes of each tensor of a model (rows) in each format (columns).

    Only the weights that can be pruned have formats; biases and batch norm cost the same in each.
    NaN says that a weight does not fit, as most do not fit n:m. `sizes(model).sum()` is the
    network in one format, `sizes(model).min(axis=1).sum()` with the best one for each layer. For
    structured pruning, take the sizes of `pruning.shrink(model)`.

    Raises:
        ValueError: if a format or the dtype is unknown, or the model has no such weights.
    """

    def of(weight: Tensor, format: str) -> float:
        if format in FORMATS:
            return n_bytes(weight, format, dtype)
        _n_m(format)  # complains of an unknown format
        try:
            return n_bytes(weight, format, dtype)
        except ValueError:
            return np.nan

    found = pruning.weights(model)
    table = {name: {format: of(w, format) for format in formats} for name, w in found.items()}
    others = _others(model, dtype)
    table |= {name: dict.fromkeys(formats, array.nbytes) for name, array in others.items()}
    return pd.DataFrame.from_dict(table, orient="index")


def save(
    model: nn.Module, path: str | Path, *, format: str = "best", dtype: type = np.float32
) -> None:
    """Write a network to a safetensors file, its weights in a format of `encode`.

    `"best"` takes for each weight the format of fewest bytes. Masks are not stored, only which
    weights are zero; `pruning.save` keeps masks.

    Raises:
        ValueError: as `encode`; or as `files.whole`, with its other errors, if nothing can be
            written there.
    """
    arrays = _others(model, dtype)
    for name, weight in pruning.weights(model).items():
        bytes_in = {f: n_bytes(weight, f, dtype) for f in FORMATS}
        chosen = min(bytes_in, key=bytes_in.get) if format == "best" else format
        parts = encode(weight, chosen, dtype)
        arrays |= {f"{name}/{chosen}/{part}": array for part, array in parts.items()}
    files.write_tensors(path, {name: torch.from_numpy(a) for name, a in arrays.items()})


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill an unmasked network of the same shape from a file of `save`, and return it.

    Raises:
        ValueError: if the file is not one of `save`, or holds another network.
        FileNotFoundError: if there is no such file.
    """
    tensors, _ = files.read_tensors(path, of="costs.save")
    state: dict[str, Tensor] = {}
    parts: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        name, *rest = key.split("/")
        if rest:
            parts.setdefault((name, rest[0]), {})[rest[1]] = tensor.numpy()
        else:
            state[name] = tensor
    try:
        shapes = {name: weight.shape for name, weight in pruning.weights(model).items()}
        for (name, format), some in parts.items():
            state[name] = decode(some, format, shapes[name])
        model.load_state_dict(state)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} holds another network than this one: {error}") from error
    return model


# --- Private --------------------------------------------------------------------------------------


def _n_m(format: str) -> tuple[int, int]:
    n, colon, m = str(format).partition(":")
    if not colon or not n.isdigit() or not m.isdigit() or not 1 <= int(n) <= int(m):
        raise ValueError(f"format is one of {list(FORMATS)}, or n:m such as '2:4'; got {format!r}")
    return int(n), int(m)


def _bits(m: int) -> int:
    """Return the bits that a place from 0 to m − 1 needs."""
    return (m - 1).bit_length()


def _others(model: nn.Module, dtype: type) -> dict[str, np.ndarray]:
    """Return all that a model stores besides its prunable weights: floats in a dtype."""
    state = pruning.remove(copy.deepcopy(model)).state_dict()
    arrays = {n: t.cpu().numpy() for n, t in state.items() if n not in pruning.weights(model)}
    return {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in arrays.items()}
