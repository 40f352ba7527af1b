"""Metrics and dictionaries side by side: against scikit-learn, and known wrong formulas."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score, roc_auc_score

from course_lib import autoencoders as ae
from course_lib.data import Split
from course_lib.data.planted import planted_features
from course_lib.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"))


def sparse(*shape, seed=0):
    return (normal(*shape, seed=seed) - 0.8).relu()


# --- Reconstruction -------------------------------------------------------------------------------


def test_explained_variance_is_scikit_learns():
    x = normal(200, 6) * torch.tensor([1.0, 5, 0.1, 2, 3, 1]) + torch.arange(6)
    found = x + 0.3 * normal(200, 6, seed=1) + 0.1
    theirs = r2_score(x, found, multioutput="variance_weighted")
    assert ae.explained_variance(x, found) == pytest.approx(theirs, rel=1e-6)
    assert ae.fvu(x, found) == pytest.approx(1 - theirs, rel=1e-5)
    assert ae.mse(x, found) == pytest.approx(float((x - found).square().mean()), rel=1e-6)


def test_a_constant_error_counts():
    """By the variance of x − x̂ it would score a perfect 1; the truth is −24."""
    x = normal(100_000, 3)
    assert 1 - float((x - (x + 5)).var() / x.var()) > 0.999
    assert ae.explained_variance(x, x + 5) == pytest.approx(-24, abs=0.5)


def test_the_mean_predictor_scores_nothing():
    """About a mean over all dimensions it scored .988 where dimensions differ in their means."""
    x = 0.1 * normal(500, 8) + torch.linspace(-2, 2, 8)
    mean = x.mean(0).expand_as(x)
    assert 1 - float((x - mean).square().sum() / (x - x.mean()).square().sum()) > 0.98
    assert ae.explained_variance(x, mean) == pytest.approx(0, abs=1e-5)


def test_float32_data_far_from_zero_lose_no_digits():
    x = (1000 + normal(5000, 4).double()).float()
    found = x + 0.5 * normal(5000, 4, seed=1).round()
    exact = 1 - r2_score(x.double(), found.double(), multioutput="variance_weighted")
    assert ae.fvu(x, found) == pytest.approx(exact, rel=1e-9)


def test_magnitude_slope():
    true = sparse(400, 6)
    found = torch.where(normal(400, 6, seed=2) > -1, 0.7 * true, 0.0)
    found = found + (true == 0) * sparse(400, 6, seed=3)  # what is there by mistake does not count
    assert ae.magnitude_slope(true, found) == pytest.approx(0.7, rel=1e-6)
    with pytest.raises(ValueError, match="no entry is active in both"):
        ae.magnitude_slope(true, torch.zeros_like(true))


# --- Sparsity -------------------------------------------------------------------------------------


def test_counts():
    latents = torch.tensor([[0.0, 2, 0, -1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 3, 0, 0]])
    assert ae.l0(latents) == 1
    assert ae.firing_rates(latents).tolist() == [0, 0.75, 0, 0.25]
    assert ae.dead_fraction(latents) == 0.5
    assert ae.dead_fraction(latents, rate=0.25) == 0.75
    assert ae.l0(latents.view(2, 2, 4)) == 1


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_evaluate_is_the_same_in_any_batches(batch_size):
    x = normal(100, 5) + 100
    model = ae.SparseAutoencoder(5, 9, ae.TopK(2), seed=0).train()
    output = model(x)
    found = ae.evaluate(model, x, batch_size=batch_size)
    assert model.training
    assert found.n == 100
    assert found.l0 == pytest.approx(ae.l0(output.latents))
    assert found.mse == pytest.approx(ae.mse(x, output.reconstruction), rel=1e-5)
    assert found.fvu == pytest.approx(ae.fvu(x, output.reconstruction), rel=1e-5)
    assert found.explained_variance == 1 - found.fvu
    assert found.dead_fraction == ae.dead_fraction(output.latents)
    assert torch.equal(found.firing_rates, ae.firing_rates(output.latents))
    assert ae.evaluate(model, x.split(30)).fvu == pytest.approx(found.fvu, rel=1e-9)


def test_evaluate_uses_the_threshold_and_not_the_batch():
    x = normal(200, 5)
    model = ae.SparseAutoencoder(5, 9, ae.BatchTopK(2), seed=0)
    ae.calibrate(model, x)
    threshold = model.activation.threshold.clone()
    assert ae.evaluate(model.train(), x, batch_size=1).l0 == pytest.approx(2)
    assert torch.equal(model.activation.threshold, threshold)


# --- Dictionaries ---------------------------------------------------------------------------------


def test_mmcs_has_a_direction():
    true = torch.eye(4)[:2]
    found = torch.tensor([[2.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 3]])
    assert ae.mmcs(found, true) == 0.5, "one of two true rows was found"
    assert ae.mmcs(true, found) == pytest.approx(1 / 3), "one of three found rows is true"
    assert ae.best_cosines(found, true).tolist() == [1, 0]
    assert ae.recovered(found, true) == 0.5
    assert ae.mmcs(-found, true) == 0
    assert ae.mmcs(-found, true, signed=False) == 0.5
    assert ae.recovered(0 * found, true) == 0, "a row of zeros is like nothing"


def test_one_row_may_stand_for_two_in_mmcs_but_not_in_a_matching():
    true = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1, 0], [1, -0.1, 0]]), dim=1)
    found = torch.tensor([[1.0, 0, 0], [0, 0, 1]])
    assert ae.mmcs(found, true) > 0.99
    matched = ae.match(found, true)
    assert sorted(matched.found.tolist()) == [0, 1]
    assert float(matched.cosine.mean()) == pytest.approx(0.4975, abs=1e-3)


@given(n_found=st.integers(1, 5), n_true=st.integers(1, 5), seed=st.integers(0, 99))
def test_matching_is_the_best_of_all(n_found, n_true, seed):
    found, true = normal(n_found, 3, seed=seed), normal(n_true, 3, seed=seed + 100)
    table = ae.cosines(found, true)
    k = min(n_found, n_true)
    best = max(
        sum(float(table[i, j]) for i, j in zip(rows, columns, strict=True))
        for rows in itertools.permutations(range(n_found), k)
        for columns in itertools.combinations(range(n_true), k)
    )
    matched = ae.match(found, true)
    assert len(matched.cosine) == k
    assert float(matched.cosine.sum()) == pytest.approx(best, abs=1e-9)
    assert torch.equal(matched.cosine, table[matched.found, matched.true])
    assert matched.true.tolist() == sorted(matched.true.tolist())


def test_a_shuffled_dictionary_is_matched_back():
    true = normal(20, 8)
    order = torch.randperm(20, generator=generator(0, "order"))
    matched = ae.match(3 * true[order], true)
    assert torch.equal(order[matched.found], torch.arange(20))
    assert torch.allclose(matched.cosine, torch.ones(20, dtype=torch.float64))


def test_one_seed_for_truth_and_start_gives_nothing_away():
    """Drawn from one stream, the start alone had an MMCS of .99."""
    true = planted_features(1, d=32, n_features=64, seed=7).dictionary
    same, other = (ae.mmcs(ae.SparseAutoencoder(32, 64, seed=seed).W_dec, true) for seed in (7, 8))
    assert abs(same - other) < 0.05
    assert same < 0.6


# --- Probes ---------------------------------------------------------------------------------------


def labelled(n=300, seed=0):
    y = torch.randint(0, 3, (n,), generator=generator(seed, "labels"))
    latents = sparse(n, 5, seed=seed).round(decimals=1)  # with ties
    latents[:, 2] += 2 * (y == 1)
    latents[:, 4] += 2 * (y != 0)  # off for class 0 only
    return Split(latents, y)


def test_auroc_is_scikit_learns():
    latents, y = labelled()
    table = ae.auroc(latents, y)
    assert table.shape == (3, 5)
    for c, i in itertools.product(range(3), range(5)):
        assert float(table[c, i]) == pytest.approx(roc_auc_score(y == c, latents[:, i]))
    assert ae.best_latents(latents, y)[:2].tolist() == [4, 2]


def test_probes_see_what_they_are_given():
    train, test = labelled(), labelled(seed=1)
    assert ae.probe(train, test) > 0.9
    assert ae.probe(train, test, [2, 4]) > 0.9
    assert ae.probe(train, test, [0]) < 0.5
    is_one = [split._replace(y=(split.y == 1).long()) for split in (train, test)]
    assert ae.probe(*is_one, [2], balanced=True) > 0.9
    assert ae.probe(*is_one, [0], balanced=True) == pytest.approx(0.5, abs=0.1)
    scaled = [split._replace(x=1000 * split.x + 7) for split in is_one]
    assert ae.probe(*scaled, [2]) == ae.probe(*is_one, [2]), "inputs are standardised"


# --- Bad input ------------------------------------------------------------------------------------

X = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ae.fvu(torch.ones(4, 3), x), "x is constant"),
        (lambda x: ae.fvu(torch.full((4, 3), 1.1), x), "x is constant"),
        (lambda x: ae.fvu(x[:1], x[:1]), "x is constant"),
        (lambda x: ae.fvu(x, x[:, :2]), "shapes differ"),
        (lambda x: ae.mse(x[:0], x[:0]), "x is empty"),
        (lambda x: ae.mse(x, x / 0), "NaN or infinite"),
        (lambda x: ae.l0(x / 0), "NaN or infinite"),
        (lambda x: ae.dead_fraction(x, rate=2.0), "rate is a share"),
        (lambda x: ae.mmcs(x, x[:, :2]), "all of one width"),
        (lambda x: ae.match(x[0], x), "all of one width"),
        (lambda x: ae.match(x / 0, x), "found holds"),
        (lambda x: ae.recovered(x, x, cosine=90), "cosine must lie in"),
        (lambda x: ae.auroc(x, torch.zeros(3, dtype=torch.int64)), "labels n whole numbers"),
        (lambda x: ae.auroc(x, torch.zeros(4, dtype=torch.int64)), "class 0 has 4 of 4"),
        (lambda x: ae.auroc(x, torch.tensor([0, 2, 0, 2])), "class 1 has 0 of 4"),
        (lambda x: ae.evaluate(ae.SparseAutoencoder(3, 4, seed=0), []), "data is empty"),
        (lambda x: ae.evaluate(ae.SparseAutoencoder(3, 4, seed=0), x[:1]), "x is constant"),
        (lambda x: ae.evaluate(ae.SparseAutoencoder(2, 4, seed=0), x), "x must have shape"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.from_numpy(X).float())


def test_a_model_of_nans_is_not_evaluated_in_silence():
    model = ae.SparseAutoencoder(3, 4, seed=0)
    with torch.no_grad():
        model.W_dec[0, 0] = torch.nan
    with pytest.raises(ValueError, match="reconstructions are not finite"):
        ae.evaluate(model, torch.from_numpy(X).float() + 1)
