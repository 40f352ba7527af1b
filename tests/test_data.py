"""The data sets: honest folds, exact label noise, classes that are really held out."""

import gzip
import hashlib
import importlib
import io
import struct
from collections import Counter
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits

from course_lib import data, networks, pruning, training


def items(*splits):
    """Return the items of splits as a multiset, each item as its bytes with its label."""
    counted = Counter()
    for x, y in splits:
        counted.update((row.tobytes(), int(label)) for row, label in zip(x.numpy(), y, strict=True))
    return counted


@pytest.fixture(scope="module")
def whole():
    pixels, labels = load_digits(return_X_y=True)
    x = torch.tensor(pixels / 16, dtype=torch.float32)
    return data.Split(x, torch.tensor(labels))


# --- Folds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_every_digit_is_tested_exactly_once_over_the_seeds(folds, whole):
    tested = [data.digits(seed, folds).test for seed in range(folds)]
    assert items(*tested) == items(whole)


@pytest.mark.parametrize("seed", [0, 3, 9])
def test_the_three_parts_of_a_seed_are_disjoint_and_complete(seed, whole):
    splits = data.digits(seed)
    assert sum(len(split.y) for split in splits) == len(whole.y)
    assert items(*splits) == items(whole)


def test_validation_is_the_test_fold_of_the_next_seed():
    for seed in range(5):
        validation, test = data.digits(seed, 5).validation, data.digits((seed + 1) % 5, 5).test
        assert torch.equal(validation.x, test.x)
        assert torch.equal(validation.y, test.y)


def test_folds_are_stratified():
    counts = torch.stack([data.digits(seed).test.y.bincount(minlength=10) for seed in range(10)])
    assert (counts.max(0).values - counts.min(0).values <= 1).all()


def test_pixels_are_scaled_to_the_unit_interval(whole):
    x = data.digits(2).train.x
    assert x.dtype == torch.float32
    assert x.shape[1:] == (64,)
    assert (x.min(), x.max()) == (0, 1)
    # Sixteen grey values, none rounded: the scans hold whole numbers from 0 to 16.
    assert torch.equal(x * 16, (x * 16).round())


def test_changing_what_was_returned_does_not_change_the_next_call():
    first = data.digits(1)
    kept = [split.x.clone() for split in first]
    for split in first:
        split.x.zero_()
        split.y.zero_()
    again = data.digits(1)
    assert all(torch.equal(old, split.x) for old, split in zip(kept, again, strict=True))
    assert len(again.train.y.unique()) == 10


def test_the_same_seed_gives_the_same_data_and_touches_no_global_generator(global_generators):
    for a, b in zip(data.digits(4, label_noise=0.3), data.digits(4, label_noise=0.3), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


# --- Label noise ----------------------------------------------------------------------------------


@given(
    n=st.integers(0, 200),
    share=st.floats(0, 1),
    n_classes=st.integers(2, 12),
    seed=st.integers(0, 1000),
)
def test_exactly_the_share_of_labels_is_wrong_and_never_the_old_class(n, share, n_classes, seed):
    y = torch.arange(n) * 7 % n_classes
    before = y.clone()
    noisy = data.noisy_labels(y, share, seed=seed, n_classes=n_classes)
    assert (noisy != y).sum() == round(share * n)
    assert ((noisy >= 0) & (noisy < n_classes)).all()
    assert torch.equal(y, before)


def test_noise_is_symmetric():
    y = torch.arange(10).repeat(9000)
    noisy = data.noisy_labels(y, 0.5, seed=3)
    changed = noisy != y
    pairs = torch.zeros(10, 10).index_put_(
        (y[changed], noisy[changed]), torch.ones(int(changed.sum())), accumulate=True
    )
    off_diagonal = pairs[~torch.eye(10, dtype=torch.bool)]
    assert off_diagonal.sum() == 45_000
    # 90 pairs (old, new), each expected 500 times. A generator that skips one class, or prefers
    # the next one, is far below this p.
    assert stats.chisquare(off_diagonal.numpy()).pvalue > 0.01


def test_only_training_labels_are_noisy():
    clean, noisy = data.digits(6), data.digits(6, label_noise=0.4)
    assert torch.equal(clean.train.x, noisy.train.x)
    assert (clean.train.y != noisy.train.y).sum() == round(0.4 * len(clean.train.y))
    for part in ("validation", "test"):
        assert torch.equal(getattr(clean, part).y, getattr(noisy, part).y)


def test_different_seeds_draw_different_noise():
    y = torch.arange(1000) % 10
    a, b = (data.noisy_labels(y, 0.4, seed=seed) for seed in (1, 2))
    both = ((a != y) & (b != y)).float().mean()
    assert both == pytest.approx(0.4 * 0.4, abs=0.05)  # independent, not the same items


# --- Held-out classes -----------------------------------------------------------------------------


@pytest.mark.parametrize("label_noise", [0.0, 0.4])
@pytest.mark.parametrize("held_out", [(3,), (0, 9), (1, 2, 4, 5, 6, 7, 8, 9)[:8]])
def test_held_out_classes_are_in_no_part_and_come_from_the_test_fold(held_out, label_noise):
    everything = data.digits(7)
    splits = data.digits(7, held_out=held_out, label_noise=label_noise)
    unfamiliar = torch.tensor(held_out)
    for part in ("train", "validation", "test"):
        assert not torch.isin(getattr(splits, part).y, unfamiliar).any(), part
    is_out = torch.isin(everything.test.y, unfamiliar)
    assert torch.equal(splits.held_out.x, everything.test.x[is_out])
    assert torch.equal(splits.held_out.y, everything.test.y[is_out])
    assert items(splits.test, splits.held_out) == items(everything.test)
    n = len(splits.train.y)
    stays = ~torch.isin(everything.train.y, unfamiliar)
    assert n == stays.sum()
    assert (splits.train.y != everything.train.y[stays]).sum() == round(label_noise * n)


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 10}, "seed must be a whole number from 0 to 9"),
        ({"seed": -1}, "got -1"),
        ({"seed": 1.0}, "got 1.0"),
        ({"seed": True}, "got True"),
        ({"seed": 5, "folds": 5}, "from 0 to 4"),
        ({"seed": 0, "folds": 2}, "folds must be a whole number from 3"),
        ({"seed": 0, "label_noise": 1.1}, "share in [0, 1], for example 0.4; got 1.1"),
        ({"seed": 0, "label_noise": -0.1}, "got -0.1"),
        ({"seed": 0, "label_noise": float("nan")}, "got nan"),
        ({"seed": 0, "label_noise": "0.4"}, "got '0.4'"),
        ({"seed": 0, "held_out": 3}, "held_out takes a tuple of classes"),
        ({"seed": 0, "held_out": (10,)}, "got (10,)"),
        ({"seed": 0, "held_out": ("3",)}, "held_out takes a tuple of classes"),
        ({"seed": 0, "held_out": tuple(range(9))}, "at least two classes"),
    ],
)
def test_bad_arguments_of_digits(arguments, message):
    with pytest.raises(ValueError) as error:
        data.digits(**arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("y", "n_classes", "message"),
    [
        (torch.tensor([0.0, 1.0]), 10, "labels must be whole numbers from 0 to 9"),
        (torch.tensor([[0, 1]]), 10, "shape (1, 2)"),
        (torch.tensor([0, 10]), 10, "labels must be whole numbers"),
        (torch.tensor([-1, 3]), 10, "labels must be whole numbers"),
        (torch.tensor([0, 0]), 1, "n_classes must be a whole number from 2"),
    ],
)
def test_bad_labels(y, n_classes, message):
    with pytest.raises(ValueError) as error:
        data.noisy_labels(y, 0.5, seed=0, n_classes=n_classes)
    assert message in str(error.value)


# --- MNIST: small files of the same format, in a folder or served where mirrors would be asked ----


def idx(array):
    """The bytes of an IDX file, written by another rule than the one that reads it."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


class Mnist:
    """Four small files, and a stand-in for the network: `served` by address, None for none."""

    def __init__(self):
        generator = np.random.default_rng(5)
        self.pixels = generator.integers(0, 256, (70, 28, 28), dtype=np.uint8)
        self.pixels[0, 0, :2] = 0, 255
        self.labels = (np.arange(70) % 10).astype(np.uint8)
        parts = (self.pixels[:60], self.labels[:60], self.pixels[60:], self.labels[60:])
        self.files = {name: idx(p) for name, p in zip(data.MNIST_FILES, parts, strict=True)}
        self.hashes = {name: hashlib.sha256(f).hexdigest() for name, f in self.files.items()}
        self.served = {
            f"{mirror}{name}.gz": gzip.compress(content)
            for mirror in data.MNIST_MIRRORS
            for name, content in self.files.items()
        }
        self.asked = []

    def open(self, address, timeout):
        self.asked.append(address)
        if self.served is None:
            raise URLError("no network in this test")
        if address not in self.served:
            raise HTTPError(address, 404, "not here", None, None)
        return io.BytesIO(self.served[address])

    def lay(self, folder, **changed):
        """Put the files there by hand."""
        folder.mkdir()
        for name, content in (self.files | changed).items():
            (folder / name).write_bytes(content)
        return folder


IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def mnist(monkeypatch):
    small = Mnist()
    module = importlib.import_module("course_lib.data.mnist")  # data.mnist is the function
    monkeypatch.setattr(module, "urlopen", small.open)
    monkeypatch.setattr(module, "MNIST_FILES", small.hashes)
    return small


def test_mnist_is_downloaded_once_and_then_read_from_its_folder(mnist, tmp_path):
    folder = tmp_path / "new" / "folder"
    first = data.mnist(3, n_validation=20, folder=folder)
    assert mnist.asked == [f"{data.MNIST_MIRRORS[0]}{name}.gz" for name in mnist.files]
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{n}.gz" for n in mnist.files)
    mnist.served = None
    again = data.mnist(3, n_validation=20, folder=folder)
    assert len(mnist.asked) == 4
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


def test_mnist_keeps_its_own_test_set_and_cuts_validation_from_the_rest(mnist, tmp_path):
    train, validation, test, held_out = data.mnist(3, n_validation=20, folder=tmp_path)
    x = torch.tensor(mnist.pixels.reshape(70, 784) / 255, dtype=torch.float32)
    y = torch.tensor(mnist.labels, dtype=torch.int64)
    assert torch.equal(test.x, x[60:])
    assert torch.equal(test.y, y[60:])
    assert (len(train.y), len(validation.y), len(held_out.y)) == (40, 20, 0)
    assert items(train, validation) == items(data.Split(x[:60], y[:60]))
    assert validation.y.bincount().tolist() == [2] * 10  # stratified
    assert (train.x.dtype, train.y.dtype) == (torch.float32, torch.int64)
    other = data.mnist(4, n_validation=20, folder=tmp_path)
    assert not torch.equal(other.validation.x, validation.x)
    assert torch.equal(other.test.x, test.x)


def test_mnist_may_be_laid_there_by_hand_plain_or_packed(mnist, tmp_path):
    folder = mnist.lay(tmp_path / "mine")
    (folder / IMAGES).unlink()
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(mnist.files[IMAGES]))
    assert len(data.mnist(0, n_validation=20, folder=folder, download=False).test.y) == 10
    assert mnist.asked == []


@pytest.mark.parametrize("broken", ["missing", "changed", "truncated", "a page of text"])
def test_the_next_mirror_is_asked_when_one_fails(mnist, tmp_path, broken):
    address = f"{data.MNIST_MIRRORS[0]}{IMAGES}.gz"
    packed = mnist.served.pop(address)
    changed = bytearray(mnist.files[IMAGES])
    changed[-1] ^= 1
    answers = {
        "changed": gzip.compress(changed),
        "truncated": packed[:-20],
        "a page of text": b"<html>moved</html>",
    }
    if broken != "missing":
        mnist.served[address] = answers[broken]
    data.mnist(0, n_validation=20, folder=tmp_path)
    assert mnist.asked[:2] == [address, f"{data.MNIST_MIRRORS[1]}{IMAGES}.gz"]
    assert (tmp_path / f"{IMAGES}.gz").read_bytes() == packed


@pytest.mark.parametrize("download", [True, False])
def test_mnist_without_a_network_says_which_files_to_put_where(mnist, tmp_path, download):
    mnist.served = None
    with pytest.raises(FileNotFoundError) as error:
        data.mnist(0, folder=tmp_path / "here", download=download)
    message = str(error.value)
    assert all(name in message for name in mnist.files)
    assert str(tmp_path / "here") in message
    assert "data.digits()" in message
    assert all((mirror in message) == download for mirror in data.MNIST_MIRRORS)
    assert not (tmp_path / "here").exists()
    assert bool(mnist.asked) == download


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: b"\0\0\x0d" + f[3:], "its first bytes are"),
        (lambda f: b"\0\1" + f[2:], "its first bytes are"),
        (lambda f: b"", "its first bytes are b''"),
        (lambda f: f[:3], "its first bytes are"),
        (lambda f: f[:9], "it has 9 bytes"),
        (lambda f: f[:-1], "it has 47055 bytes, and a header for items of shape (60, 28, 28)"),
        (lambda f: f + b"\0", "it has 47057 bytes"),
        (flipped, "its SHA-256 is"),
        (lambda f: gzip.compress(f)[:-20], "it cannot be unpacked"),
        (lambda f: gzip.compress(f)[:40] + b"0" * 40, "it cannot be unpacked"),
        (lambda f: gzip.compress(flipped(f)), "its SHA-256 is"),
    ],
)
def test_a_file_that_is_not_mnists_is_refused(mnist, tmp_path, change, message):
    folder = mnist.lay(tmp_path / "mine", **{IMAGES: change(mnist.files[IMAGES])})
    with pytest.raises(ValueError) as error:
        data.mnist(0, n_validation=20, folder=folder)
    assert f"{folder / IMAGES} is not MNIST's file: {message}" in str(error.value)
    assert mnist.asked == []


@pytest.mark.parametrize("n_validation", [0, 60, 20.0])
def test_a_bad_size_of_the_validation_set(mnist, tmp_path, n_validation):
    with pytest.raises(ValueError, match="n_validation must be a whole number from 1 to 59"):
        data.mnist(0, n_validation=n_validation, folder=tmp_path)


def test_seeds_may_come_out_of_a_table():
    """A seed that was read from a data frame is a NumPy integer."""
    seed = np.int64(3)
    assert data.digits(seed, folds=5, label_noise=0.3).train.y.equal(
        data.digits(3, folds=5, label_noise=0.3).train.y
    )
    model = networks.mlp((4, 3, 2), seed=seed)
    assert model[0].weight.equal(networks.mlp((4, 3, 2), seed=3)[0].weight)
    assert pruning.random(model, seed=seed)["0.weight"].equal(
        pruning.random(model, seed=3)["0.weight"]
    )


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_wrong_labels_do_not_come_first_in_training(seed):
    """The order of the batches and the choice of wrong labels have the same seed, and are drawn
    over the same examples: from one stream they would be the same permutation."""
    clean, noisy = (data.digits(seed, 5, label_noise=share).train for share in (0.0, 0.4))
    seen = []

    class Watching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(64, 10)

        def forward(self, x):
            seen.append(x.detach().clone())
            return self.layer(x)

    splits = data.digits(seed, 5, label_noise=0.4)
    steps = len(noisy.x) // 60 // 4  # a quarter of the first pass
    training.fit(
        Watching(), splits, seed=seed, steps=steps, batch_size=60, learning_rate=1e-3,
        evaluate_every=steps,
    )  # fmt: skip
    first = torch.cat(seen[:steps])
    where = {tuple(row): i for i, row in enumerate(noisy.x.tolist())}
    picked = torch.tensor([where[tuple(row)] for row in first.tolist()])
    wrong = (clean.y != noisy.y)[picked].float().mean()
    assert 0.25 < wrong < 0.55


def test_the_first_names_of_modules_that_moved_stay():
    import course_lib.planted
    import course_lib.rules
    from course_lib.data import planted, rules

    for old, new in ((course_lib.planted, planted), (course_lib.rules, rules)):
        own = [n for n, x in vars(new).items() if getattr(x, "__module__", "") == new.__name__]
        public = [name for name in own if not name.startswith("_")]
        assert sorted(old.__all__) == sorted(public)
        assert all(getattr(old, name) is getattr(new, name) for name in public)
