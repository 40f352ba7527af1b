"""MNIST, from files that are downloaded once and read only if they are the known ones."""

import gzip
import hashlib
import zlib
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import torch
from sklearn.datasets import get_data_home
from sklearn.model_selection import train_test_split

from course_lib import files
from course_lib.checks import check_whole
from course_lib.data.splits import Split, Splits

MNIST_FILES = {  # SHA-256 of the unpacked files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MNIST_MIRRORS = (  # asked in this order, for files with .gz at the end
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def mnist(
    seed: int,
    *,
    n_validation: int = 5000,
    folder: str | Path | None = None,
    download: bool = True,
) -> Splits:
    """Return MNIST with its standard test set, from files that are downloaded once.

    Args:
        seed: draws which training items, stratified by class, become the validation set.
        n_validation: how many of the 60,000 training items those are.
        folder: where the four files are kept, as MNIST_FILES names them, unpacked or with .gz at
            the end. Files laid there by hand are read too. By default "mnist" in scikit-learn's
            folder for data.
        download: whether to ask the MNIST_MIRRORS for a file that is not there.

    Returns:
        `Splits` of images as rows of 784 pixels in [0, 1]. `held_out` is empty.

    Raises:
        FileNotFoundError: if a file is neither in the folder nor could be downloaded.
        ValueError: if a file in the folder is not MNIST's, or `n_validation` is too large.

    Source: LeCun et al. 1998. A file is read only if its SHA-256 is the known one.
    """
    folder = Path(get_data_home()) / "mnist" if folder is None else Path(folder)
    files = [_mnist_file(name, folder, download) for name in MNIST_FILES]
    pixels, labels = np.concatenate(files[::2]), np.concatenate(files[1::2])
    n_train = len(files[0])
    check_whole("n_validation", n_validation, low=1, high=n_train - 1)
    x = torch.from_numpy(pixels.reshape(len(pixels), -1)).float() / 255  # (n, 28, 28) to (n, 784)
    y = torch.from_numpy(labels.astype(np.int64))
    train, validation = train_test_split(
        np.arange(n_train),
        test_size=n_validation,
        random_state=seed,
        stratify=y[:n_train].numpy(),
    )
    return Splits(
        train=Split(x[train], y[train]),
        validation=Split(x[validation], y[validation]),
        test=Split(x[n_train:], y[n_train:]),
        held_out=Split(x[:0], y[:0]),
    )


def _mnist_file(name: str, folder: Path, download: bool) -> np.ndarray:
    """Return one of MNIST's files as an array, from the folder or else from a mirror."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            try:
                return _checked_idx(path.read_bytes(), MNIST_FILES[name])
            except ValueError as error:
                raise ValueError(
                    f"{path} is not MNIST's file: {error}. Delete it, and it is downloaded anew"
                ) from error
    failures = []
    for mirror in MNIST_MIRRORS if download else ():
        try:
            with urlopen(f"{mirror}{name}.gz", timeout=60) as answer:
                packed = answer.read()
            array = _checked_idx(packed, MNIST_FILES[name])
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"{mirror}{name}.gz: {error}")
            continue
        folder.mkdir(parents=True, exist_ok=True)
        files.write_bytes(folder / f"{name}.gz", packed)
        return array
    tried = f"could not be downloaded ({'; '.join(failures)})" if download else "is not downloaded"
    raise FileNotFoundError(
        f"MNIST's file {name} is not in {folder} and {tried}. Connect to the network and call "
        f"again, or put these files there yourself, unpacked or with .gz at the end: "
        f"{', '.join(MNIST_FILES)}. The digits of data.digits() need no network."
    )


def _checked_idx(content: bytes, sha256: str) -> np.ndarray:
    """Return the array of an IDX file, plain or packed; a ValueError says what is wrong with it.

    IDX is two zero bytes, the type of the items (8: unsigned bytes), the number of dimensions, then
    each dimension in four bytes, the most significant first, then the items.
    """
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"it cannot be unpacked ({error})") from error
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise ValueError(f"its first bytes are {content[:4]!r}, not those of bytes in IDX format")
    header = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:header].ljust(header - 4), dtype=">u4"))
    if len(content) != header + np.prod(shape, dtype=object):
        raise ValueError(f"it has {len(content)} bytes, and a header for items of shape {shape}")
    if (got := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"its SHA-256 is {got}, not {sha256}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
