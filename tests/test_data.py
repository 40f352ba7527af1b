"""The data sets: honest folds, exact label noise, classes that are really held out."""

import gzip
import hashlib
import io
import json
import types
from collections import Counter
from urllib.error import URLError
from urllib.parse import urlparse

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


# --- MNIST: a small file of the same format, served where OpenML would be asked -------------------


def mnist_files(n=70, pixels=784):
    """Return what OpenML would send for MNIST, by address, but with n images; and the arrays."""
    generator = np.random.default_rng(5)
    x = generator.integers(0, 256, (n, pixels))
    x[0, :2] = 0, 255
    y = np.arange(n) % 10
    names = [f"pixel{i + 1}" for i in range(pixels)]
    arff = "\n".join(
        ["@RELATION mnist_784"]
        + [f"@ATTRIBUTE {name} real" for name in names]
        + ["@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}", "@DATA"]
        + [",".join(map(str, [*row, label])) for row, label in zip(x, y, strict=True)]
    ).encode()
    common = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    features = [
        {"index": str(i), "name": name, "data_type": "numeric", "is_target": "false", **common}
        for i, name in enumerate(names)
    ]
    label = {"name": "class", "data_type": "nominal", "is_target": "true", **common}
    features.append({"index": str(pixels), "nominal_value": list("0123456789"), **label})
    description = {
        "id": "554",
        "name": "mnist_784",
        "version": "1",
        "status": "active",
        "format": "ARFF",
        "file_id": "52667",
        "url": "https://api.openml.org/data/v1/download/52667/mnist_784.arff",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
    }
    listed = {"did": 554, "name": "mnist_784", "version": 1, "status": "active"}
    qualities = [{"name": "NumberOfInstances", "value": str(n)}]
    answers = {
        "/api/v1/json/data/list/data_name/mnist_784/limit/2/data_version/1": {
            "data": {"dataset": [listed]}
        },
        "/api/v1/json/data/554": {"data_set_description": description},
        "/api/v1/json/data/features/554": {"data_features": {"feature": features}},
        "/api/v1/json/data/qualities/554": {"data_qualities": {"quality": qualities}},
    }
    files = {path: json.dumps(answer).encode() for path, answer in answers.items()}
    return files | {"/data/v1/download/52667/mnist_784.arff": arff}, x, y


class Internet:
    """Stands where scikit-learn opens addresses: serves files, or nothing when they are None."""

    def __init__(self, files):
        self.files, self.asked = files, []

    def __call__(self, request, *args, **kwargs):
        path = urlparse(request.full_url).path
        self.asked.append(path)
        if self.files is None:
            raise URLError("no network in this test")
        answer = io.BytesIO(self.files[path])
        answer.info = lambda: {}
        return answer


@pytest.fixture
def internet(monkeypatch):
    files, x, y = mnist_files()
    net = Internet(files)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", net)
    monkeypatch.setattr("sklearn.datasets._openml.time", types.SimpleNamespace(sleep=lambda s: 0))
    net.x, net.y = torch.tensor(x / 255, dtype=torch.float32), torch.tensor(y)
    return net


def test_mnist_is_downloaded_once_and_then_read_from_its_cache(internet, tmp_path):
    first = data.mnist(3, n_validation=20, data_home=str(tmp_path))
    assert len(internet.asked) == 5
    internet.files = None
    again = data.mnist(3, n_validation=20, data_home=str(tmp_path))
    assert len(internet.asked) == 5
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


def test_mnist_keeps_its_own_test_set_and_cuts_validation_from_the_rest(internet, tmp_path):
    train, validation, test, held_out = data.mnist(3, n_validation=20, data_home=str(tmp_path))
    assert torch.equal(test.x, internet.x[60:])
    assert torch.equal(test.y, internet.y[60:])
    assert (len(train.y), len(validation.y), len(held_out.y)) == (40, 20, 0)
    assert items(train, validation) == items(data.Split(internet.x[:60], internet.y[:60]))
    assert validation.y.bincount().tolist() == [2] * 10  # stratified
    assert (train.x.dtype, train.y.dtype) == (torch.float32, torch.int64)
    other = data.mnist(4, n_validation=20, data_home=str(tmp_path))
    assert not torch.equal(other.validation.x, validation.x)
    assert torch.equal(other.test.x, test.x)


def test_mnist_without_a_network_says_what_it_needs(internet, tmp_path):
    internet.files = None
    with (
        pytest.warns(UserWarning, match="network error"),
        pytest.raises(ConnectionError) as error,
    ):
        data.mnist(0, data_home=str(tmp_path))
    assert "not in the cache" in str(error.value)
    assert "data_home=" in str(error.value)
    assert "data.digits()" in str(error.value)


def test_a_corrupted_download_of_mnist_is_refused(internet, tmp_path):
    path = "/data/v1/download/52667/mnist_784.arff"
    internet.files[path] = internet.files[path].replace(b",7,", b",8,", 1)
    with pytest.warns(RuntimeWarning, match="redownloading"), pytest.raises(ValueError) as error:
        data.mnist(0, n_validation=20, data_home=str(tmp_path))
    assert "md5 checksum" in str(error.value)


def test_a_corrupted_cache_of_mnist_is_not_read(internet, tmp_path):
    data.mnist(0, n_validation=20, data_home=str(tmp_path))
    (cached,) = tmp_path.rglob("mnist_784.arff.gz")
    whole_file = gzip.decompress(cached.read_bytes())
    cached.write_bytes(gzip.compress(whole_file.replace(b",7,", b",8,", 1)))
    internet.files = None
    with pytest.warns((RuntimeWarning, UserWarning)), pytest.raises(ConnectionError):
        data.mnist(0, n_validation=20, data_home=str(tmp_path))


def test_a_file_that_is_not_mnist_is_refused(internet, tmp_path):
    internet.files = mnist_files(pixels=64)[0]
    with pytest.raises(ValueError, match="784 pixels an image"):
        data.mnist(0, n_validation=20, data_home=str(tmp_path))


@pytest.mark.parametrize("n_validation", [0, 60, 20.0])
def test_a_bad_size_of_the_validation_set(internet, tmp_path, n_validation):
    with pytest.raises(ValueError, match="n_validation must be a whole number from 1 to 59"):
        data.mnist(0, n_validation=n_validation, data_home=str(tmp_path))


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
