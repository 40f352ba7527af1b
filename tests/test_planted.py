"""Planted features: the stated probabilities and strengths, and streams that share nothing."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, multivariate_normal, norm

from course_lib import seeds
from course_lib.data.planted import planted_features, zipf


def test_streams_are_the_same_again_and_differ_by_seed_and_by_use():
    def numbers(*stream):
        return tuple(torch.rand(4, generator=seeds.generator(*stream)).tolist())

    assert numbers(3, "a", 1) == numbers(3, "a", 1)
    streams = [(3, "a", 1), (3, "a", 2), (3, "b", 1), (4, "a", 1), (3, "a"), (3,)]
    assert len({numbers(*stream) for stream in streams}) == len(streams)
    for wrong in (-1, 1.0, True, "1"):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            seeds.generator(wrong)


def test_data_are_codes_times_dictionary(global_generators):
    x, codes, dictionary = planted_features(500, d=8, n_features=20, seed=3, probability=0.2)
    assert (x.shape, codes.shape, dictionary.shape) == ((500, 8), (500, 20), (20, 8))
    assert torch.equal(x, codes @ dictionary)
    assert torch.allclose(dictionary.norm(dim=1), torch.ones(20))
    assert all(t.dtype == torch.float32 for t in (x, codes, dictionary))


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_presence_has_the_stated_probability(correlation):
    p = zipf(6, 0.2)
    data = planted_features(
        40_000, d=3, n_features=6, seed=1, probability=p, group=2, correlation=correlation
    )
    present = (data.codes > 0).double()
    sd = (p * (1 - p) / 40_000).sqrt()
    assert ((present.mean(0) - p).abs() < 4 * sd).all()
    # Together, from the bivariate normal; in other groups independent.
    cover = [[1, correlation], [correlation, 1]]
    for i, j, expected in [
        (0, 1, multivariate_normal([0, 0], cover).cdf(norm.ppf([p[0], p[1]]))),
        (1, 2, float(p[1] * p[2])),
    ]:
        both = float((present[:, i] * present[:, j]).mean())
        assert abs(both - expected) < 4 * np.sqrt(expected / 40_000)


def test_strengths_are_uniform_and_noise_is_normal():
    common = {"d": 5, "n_features": 4, "seed": 2, "probability": 0.5, "magnitude": (0.5, 2.0)}
    clean = planted_features(5000, **common)
    noisy = planted_features(5000, noise=0.3, **common)
    strengths = clean.codes[clean.codes > 0].numpy()
    assert kstest(strengths, "uniform", (0.5, 1.5)).pvalue > 0.01
    assert torch.equal(noisy.codes, clean.codes), "noise has a stream of its own"
    difference = (noisy.x - clean.x).flatten().numpy()
    assert kstest(difference, "norm", (0, 0.3)).pvalue > 0.01


def test_more_data_of_the_same_features():
    first = planted_features(50, d=4, n_features=6, seed=0)
    more = planted_features(50, d=4, n_features=6, seed=1, dictionary=first.dictionary)
    assert torch.equal(more.dictionary, first.dictionary)
    assert not torch.equal(more.x, first.x)
    always = planted_features(9, d=4, n_features=2, seed=1, probability=torch.tensor([1.0, 0.0]))
    assert (always.codes[:, 0] > 0).all()
    assert (always.codes[:, 1] == 0).all()


def test_zipf():
    p = zipf(128, 0.02)
    assert float(p.mean()) == pytest.approx(0.02)
    assert float(p[0] / p[9]) == pytest.approx(10)
    with pytest.raises(ValueError, match="the first of 128 probabilities would be"):
        zipf(128, 0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number"),
        ({"probability": 1.5}, "probability must lie in"),
        ({"probability": torch.ones(3)}, "one number or 6 of them"),
        ({"magnitude": (1.0, 0.5)}, "magnitude is"),
        ({"group": 4}, "groups of 4 do not divide 6"),
        ({"correlation": 0.5}, "groups of at least 2"),
        ({"noise": -1.0}, "noise is a standard deviation"),
        ({"dictionary": torch.ones(6, 5)}, r"shape \(6, 4\)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        planted_features(**{"n": 5, "d": 4, "n_features": 6, "seed": 0} | arguments)
