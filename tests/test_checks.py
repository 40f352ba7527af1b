"""The checks of input that every module shares, and the cores that measures share."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import nn

from course_lib import autoencoders, networks, probes, pruning
from course_lib.checks import check_whole, is_whole
from course_lib.moments import Moments
from course_lib.pruning.layers import plain_name


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.int32(3)])
def test_whole_numbers_of_python_and_numpy(value):
    assert is_whole(value)
    assert is_whole(value, 3, 3)
    assert not is_whole(value, 4)
    assert not is_whole(value, high=2)
    check_whole("n", value, low=3, high=3)


@pytest.mark.parametrize("value", [True, False, np.True_, 3.0, np.float64(3), "3", None, (3,)])
def test_what_is_no_whole_number(value):
    assert not is_whole(value)
    with pytest.raises(ValueError) as error:
        check_whole("n", value, low=0)
    assert str(error.value) == f"n must be a whole number, at least 0; got {value!r}"


def test_the_message_names_argument_range_and_value():
    with pytest.raises(ValueError, match=r"^k must be a whole number from 2 to 5 \(rows\); got 6$"):
        check_whole("k", 6, low=2, high=5, hint="rows")
    with pytest.raises(ValueError, match="^k must be a whole number, at least 1; got 0$"):
        check_whole("k", 0)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda bad: networks.mlp((2, 2), seed=bad), "seed"),
        (lambda bad: networks.convnet((4,), n_classes=bad, seed=0), "n_classes"),
        (lambda bad: pruning.n_m_mask({"w": torch.ones(2, 4)}, 1, bad), "m"),
        (lambda bad: pruning.iterative_sparsities(bad, 0.5), "rounds"),
        (lambda bad: probes.without_class(bad), "seed"),
    ],
)
@pytest.mark.parametrize("bad", [True, -1, 1.0])
def test_the_library_takes_no_truth_value_for_a_count(call, name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be a whole number, at least .; got {bad}$"):
        call(bad)


# --- Names ----------------------------------------------------------------------------------------


def test_a_masked_network_has_the_plain_names_of_its_parameters():
    class Parent(nn.Module):
        def __init__(self):
            super().__init__()
            self.original = nn.Linear(3, 3)  # a name that only looks like that of a mask
            self.out = networks.mlp((3, 4, 2), seed=0)

    model = Parent()
    names = [name for name, _ in model.named_parameters()]
    pruning.apply(model, {n: torch.ones_like(w).bool() for n, w in pruning.weights(model).items()})
    masked = [name for name, _ in model.named_parameters()]
    assert masked != names
    assert sorted(map(plain_name, masked)) == sorted(names)


# --- Moments and ranks ----------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_sums_give_the_variance_that_whole_data_have(seed, cuts):
    draw = np.random.default_rng(seed)
    x = draw.normal(draw.normal(0, 30, 5), draw.uniform(0.1, 2, 5), (sum(cuts) + 1, 5))
    noise = draw.normal(0, 0.3, x.shape)
    sums = autoencoders.metrics.Sums()
    for part, error in zip(
        torch.from_numpy(x).split([*cuts, 1]),
        torch.from_numpy(noise).split([*cuts, 1]),
        strict=True,
    ):
        sums.add(part, part + error)
    whole = np.square(noise).sum() / np.square(x - x.mean(0)).sum()
    assert sums.fvu() == pytest.approx(whole, rel=1e-10)


def test_moments_take_any_shape_from_their_first_rows():
    x = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
    moments = Moments()
    moments.add(x[:0])
    assert moments.mean.shape == ()
    moments.add(x[:4])
    moments.add(x[4:])
    torch.testing.assert_close(moments.variance, x.double().var(0), rtol=1e-6, atol=0)


tied = st.lists(st.integers(-2, 3), min_size=2, max_size=25)


@given(a=tied, b=tied, seed=st.integers(0, 99))
def test_both_aurocs_are_bit_for_bit_what_their_rank_formulas_give(a, b, seed):
    """Each formula is the one that the module held before the two shared a core."""
    scale = np.random.default_rng(seed).uniform(0.1, 3)
    a, b = scale * np.array(a), scale * np.array(b)
    both = rankdata(np.concatenate([a, b]))
    of_a = (both[: len(a)] - rankdata(a)) / len(b)
    of_b = 1 - (both[len(a) :] - rankdata(b)) / len(a)
    found = probes.auroc(a, b)
    assert found.estimate == np.clip(of_a.mean(), 0, 1)
    variance = of_a.var(ddof=1) / len(a) + of_b.var(ddof=1) / len(b)
    assert (found.low == found.high) == (variance == 0)

    y = torch.tensor([1] * len(a) + [0] * len(b))
    x = torch.tensor(np.concatenate([a, b]))[:, None]
    n, m = len(a), len(b)
    expected = (both[:n].sum() - n * (n + 1) / 2) / (n * m)
    table = autoencoders.auroc(x, y)
    assert float(table[1, 0]) == expected
    assert float(table[1, 0]) == pytest.approx(found.estimate, abs=1e-14)
