"""Data sets with honest splits: choose on `validation`, look at `test` once.

Handwritten digits come with scikit-learn, so nothing is downloaded. MNIST is one call away when
online. Chapter 01 introduces both the folds and the label noise.
"""

import functools
import gzip
import hashlib
import os
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import numpy as np
import torch
from sklearn.datasets import get_data_home, load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor

from course_lib import seeds

N_CLASSES = 10
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


class Split(NamedTuple):
    """Inputs `x`, float32 `(n, d)` in [0, 1], and labels `y`, int64 `(n,)`."""

    x: Tensor
    y: Tensor


class Splits(NamedTuple):
    """A data set cut in three, and what was held out of all three.

    `train` is learned from, every choice is made on `validation`, and `test` is looked at once.
    `held_out` holds the test fold's items of the held-out classes; it is empty without any.
    """

    train: Split
    validation: Split
    test: Split
    held_out: Split


def digits(
    seed: int, folds: int = 10, *, label_noise: float = 0.0, held_out: tuple[int, ...] = ()
) -> Splits:
    """Return the 1,797 handwritten digits of scikit-learn, cut for one seed.

    The data are divided once into stratified folds. Seed s tests on fold s, validates on fold
    s + 1 (counted in a circle) and trains on the rest. So the test folds of different seeds do
    not overlap, while their training sets do.

    Args:
        seed: which fold is the test fold, 0 ≤ seed < folds. It also draws the label noise.
        folds: how many folds; as many as an experiment has seeds. At least 3.
        label_noise: share of *training* labels replaced by another class, drawn uniformly from
            the other nine, or those of them not held out ("symmetric" noise). Validation and test
            labels stay clean.
        held_out: classes that are taken out of train, validation and test.

    Returns:
        `Splits` of images as rows of 64 pixels (8 × 8), divided by 16 so that they lie in [0, 1].

    Raises:
        ValueError: if an argument is outside its range.

    Source: the digits are the test set of Alpaydin and Kaynak's *Optical recognition of
    handwritten digits* (UCI Machine Learning Repository).
    """
    _check_integer("folds", folds, low=3, high=100)
    _check_integer("seed", seed, low=0, high=folds - 1, hint="each seed has a test fold of its own")
    classes = _check_classes(held_out)
    x, y, fold = _digits_in_folds(folds)

    unfamiliar = torch.isin(y, torch.tensor(classes, dtype=torch.int64))
    is_test = fold == seed
    is_validation = fold == (seed + 1) % folds

    def pick(where: Tensor) -> Split:
        return Split(x[where], y[where])

    train = pick(~is_test & ~is_validation & ~unfamiliar)
    # Noise draws from the classes that are learned, so a held-out one stays out as a label too.
    familiar = torch.tensor([c for c in range(N_CLASSES) if c not in classes])
    code = torch.searchsorted(familiar, train.y)
    noisy = noisy_labels(code, label_noise, seed=seed, n_classes=len(familiar))
    return Splits(
        train=train._replace(y=familiar[noisy]),
        validation=pick(is_validation & ~unfamiliar),
        test=pick(is_test & ~unfamiliar),
        held_out=pick(is_test & unfamiliar),
    )


@functools.lru_cache(maxsize=8)  # reading the scans takes longer than evaluating a network
def _digits_in_folds(folds: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (1797, 64), y (1797,) and the fold of every item (1797,)."""
    pixels, labels = load_digits(return_X_y=True)
    # The cut is the same for everybody (random_state=0): only the roles of the folds turn.
    cut = StratifiedKFold(n_splits=folds, shuffle=True, random_state=0).split(pixels, labels)
    fold = torch.empty(len(labels), dtype=torch.int64)
    for number, (_, members) in enumerate(cut):
        fold[torch.from_numpy(members)] = number
    x = torch.tensor(pixels / 16.0, dtype=torch.float32)
    return x, torch.tensor(labels, dtype=torch.int64), fold


def noisy_labels(y: Tensor, share: float, *, seed: int, n_classes: int = N_CLASSES) -> Tensor:
    """Return a copy of labels `y` in which `round(share · n)` are wrong.

    Args:
        y: int64 `(n,)`, labels below `n_classes`.
        share: in [0, 1]. Each changed label becomes one of the other classes, all equally likely.
        seed: draws which labels change and what they become.
        n_classes: number of classes, at least 2.

    Raises:
        ValueError: if `share` is outside [0, 1] or a label is outside its range.

    Source: symmetric noise as in He et al. 2022, "Sparse double descent" (2206.08684).
    """
    _check_integer("n_classes", n_classes, low=2, high=2**31)
    if isinstance(share, bool | str) or not 0 <= share <= 1:
        raise ValueError(f"label noise is a share in [0, 1], for example 0.4; got {share!r}")
    if y.ndim != 1 or y.is_floating_point() or (len(y) and not 0 <= y.min() <= y.max() < n_classes):
        raise ValueError(
            f"labels must be whole numbers from 0 to {n_classes - 1} in one dimension; "
            f"got {y.dtype} of shape {tuple(y.shape)}"
        )
    # Not the stream of the batches: training starts with a permutation of as many examples, and
    # from the same stream it would begin with all the wrong labels.
    generator = seeds.generator(seed, "label noise")
    changed = torch.randperm(len(y), generator=generator)[: round(share * len(y))]
    # Adding 1 … n_classes − 1 in a circle reaches every other class once and never the old one.
    offset = torch.randint(1, n_classes, (len(changed),), generator=generator).to(y.device)
    noisy = y.clone()
    noisy[changed] = (y[changed] + offset) % n_classes
    return noisy


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
    _check_integer("n_validation", n_validation, low=1, high=n_train - 1)
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
        part = folder / f"{name}.{os.getpid()}.part"  # moved when whole: nobody reads half a file
        part.write_bytes(packed)
        os.replace(part, folder / f"{name}.gz")
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


def _check_integer(name: str, value: int, *, low: int, high: int, hint: str = "") -> None:
    if not seeds.is_whole(value) or not low <= value <= high:
        reason = f" ({hint})" if hint else ""
        raise ValueError(
            f"{name} must be a whole number from {low} to {high}{reason}; got {value!r}"
        )


def _check_classes(held_out: tuple[int, ...]) -> list[int]:
    classes = list(held_out) if isinstance(held_out, tuple | list | set | frozenset) else None
    if classes is None or not all(seeds.is_whole(c) and 0 <= c < N_CLASSES for c in classes):
        raise ValueError(
            f"held_out takes a tuple of classes from 0 to {N_CLASSES - 1}, for example (3,); "
            f"got {held_out!r}"
        )
    if len(set(classes)) > N_CLASSES - 2:
        raise ValueError(f"held_out must leave at least two classes to learn; got {held_out!r}")
    return classes
