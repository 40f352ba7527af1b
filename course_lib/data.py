"""Data sets with honest splits: choose on `validation`, look at `test` once.

Handwritten digits come with scikit-learn, so nothing is downloaded. MNIST is one call away when
online. Chapter 01 introduces both the folds and the label noise.
"""

import functools
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor

from course_lib import seeds

N_CLASSES = 10


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


def mnist(seed: int, *, n_validation: int = 5000, data_home: str | None = None) -> Splits:
    """Return MNIST with its standard test set; needs the network once, then reads its cache.

    Args:
        seed: draws which training items, stratified by class, become the validation set.
        n_validation: how many of the 60,000 training items those are.
        data_home: the folder of the cache; scikit-learn's own by default.

    Returns:
        `Splits` of images as rows of 784 pixels in [0, 1]. `held_out` is empty.

    Raises:
        ConnectionError: if MNIST is neither in the cache nor can be downloaded.
        ValueError: if the file is not MNIST, its checksum is wrong, or `n_validation` too large.

    Source: OpenML's `mnist_784`, version 1; scikit-learn checks the file against OpenML's MD5.
    """
    try:
        pixels, labels = fetch_openml(
            "mnist_784",
            version=1,
            as_frame=False,
            return_X_y=True,
            data_home=data_home,
            # All columns are small whole numbers. Said so, they take an eighth of the memory, and
            # scikit-learn up to 1.9.1 can read them with pandas 3.1 (scikit-learn issue 34892).
            read_csv_kwargs={"dtype": np.uint8},
        )
    except (URLError, TimeoutError, ConnectionError) as error:
        raise ConnectionError(
            "MNIST is not in the cache and could not be downloaded from OpenML "
            f"({error}). Connect to the network and call again, or pass data_home= a folder "
            "that holds an earlier download. The digits of data.digits() need no network."
        ) from error
    if pixels.ndim != 2 or pixels.shape[1] != 784:
        raise ValueError(f"MNIST has 784 pixels an image; this file has shape {pixels.shape}")
    n_test = len(pixels) // 7  # 10,000 of 70,000, at the end of the file
    n_train = len(pixels) - n_test
    _check_integer("n_validation", n_validation, low=1, high=n_train - 1)
    x = torch.tensor(np.asarray(pixels) / 255.0, dtype=torch.float32)
    y = torch.tensor(np.asarray(labels).astype(np.int64))
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
