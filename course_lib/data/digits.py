"""The handwritten digits of scikit-learn, cut into folds of which each seed tests on its own."""

import functools

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from course_lib.checks import check_whole, is_whole
from course_lib.data.labels import noisy_labels
from course_lib.data.splits import Split, Splits

N_CLASSES = 10


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
    check_whole("folds", folds, low=3, high=100)
    check_whole("seed", seed, low=0, high=folds - 1, hint="each seed has a test fold of its own")
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


def _check_classes(held_out: tuple[int, ...]) -> list[int]:
    classes = list(held_out) if isinstance(held_out, tuple | list | set | frozenset) else None
    if classes is None or not all(is_whole(c, 0, N_CLASSES - 1) for c in classes):
        raise ValueError(
            f"held_out takes a tuple of classes from 0 to {N_CLASSES - 1}, for example (3,); "
            f"got {held_out!r}"
        )
    if len(set(classes)) > N_CLASSES - 2:
        raise ValueError(f"held_out must leave at least two classes to learn; got {held_out!r}")
    return classes
