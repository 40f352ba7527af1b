"""Shifts, scores and interventions: against definitions, reference formulas and simulation."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from course_lib import data, hooks, networks, probes
from course_lib.probes import Shift

# --- Shifts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return data.digits(0, held_out=(3,))


def dials(digits):
    unfamiliar = digits.held_out.x
    return {
        "noise": (probes.noise, (0.2, 0.6)),
        "rotation": (probes.rotation, (20, 75)),
        "inversion": (probes.inversion, (0.3, 1.0)),
        "contrast": (probes.contrast, (0.4, 1.0)),
        "occlusion": (probes.occlusion, (0.2, 1.0)),
        "held-out classes": (lambda s: probes.held_out(s, unfamiliar), (0.3, 1.0)),
    }


NAMES = ("noise", "rotation", "inversion", "contrast", "occlusion", "held-out classes")


@pytest.mark.parametrize("name", NAMES)
def test_a_dial_moves_inputs_farther_and_leaves_the_original(name, digits, global_generators):
    dial, strengths = dials(digits)[name]
    x = digits.test.x
    before = x.clone()
    shifts = [dial(0), *map(dial, strengths)]
    shifted = [shift(x) for shift in shifts]
    assert torch.equal(x, before)
    assert torch.equal(shifted[0], x)
    assert shifted[0].data_ptr() != x.data_ptr() or name in ("contrast", "inversion")
    far = [(s - x).norm(dim=1).mean() for s in shifted]
    assert 0 == far[0] < far[1] < far[2]
    for shift, s, strength in zip(shifts, shifted, (0, *strengths), strict=True):
        assert (shift.name, shift.strength) == (name, strength)
        assert (s.shape, s.dtype) == (x.shape, x.dtype)
        assert s.min() >= 0
        assert s.max() <= 1
        assert torch.equal(shift(x), s)  # the same again


def test_noise_is_the_same_noise_at_every_strength():
    x = torch.full((400, 50), 0.5)
    small, large = (probes.noise(s, seed=4)(x) - 0.5 for s in (0.01, 0.03))
    torch.testing.assert_close(3 * small, large)
    assert float(large.std()) == pytest.approx(0.03, rel=0.02)
    assert not torch.equal(probes.noise(0.01, seed=5)(x) - 0.5, small)
    assert set(probes.noise(50.0)(x).unique().tolist()) >= {0.0, 1.0}  # clipped


def test_rotation_agrees_with_turning_and_keeps_the_middle():
    x = torch.rand(3, 49, generator=torch.Generator().manual_seed(0))
    image = x.view(3, 7, 7)
    for degrees, turns in ((90, 1), (180, 2), (270, 3)):
        turned = probes.rotation(degrees)(x).view(3, 7, 7)
        torch.testing.assert_close(turned, image.rot90(turns, (1, 2)), atol=1e-5, rtol=0)
    middle = probes.rotation(33)(x).view(3, 7, 7)[:, 3, 3]
    torch.testing.assert_close(middle, image[:, 3, 3], atol=1e-5, rtol=0)


def test_inversion_and_contrast_by_hand():
    x = torch.tensor([[0.2, 0.6, 1.0, 0.2]])
    torch.testing.assert_close(probes.inversion(1)(x), 1 - x)
    torch.testing.assert_close(probes.inversion(0.25)(x), 0.25 + 0.5 * x)
    torch.testing.assert_close(probes.contrast(1)(x), torch.full((1, 4), 0.5))
    torch.testing.assert_close(probes.contrast(0.5)(x), torch.tensor([[0.35, 0.55, 0.75, 0.35]]))


@pytest.mark.parametrize("share", [0.02, 0.25, 0.5, 1.0])
def test_occlusion_covers_one_square_of_its_share(share):
    side = 10
    covered = probes.occlusion(share)(torch.ones(200, side**2)).view(200, side, side) == 0
    size = round(math.sqrt(share) * side)
    assert (covered.sum((1, 2)) == size**2).all()
    for image in covered:
        rows, columns = image.any(1).nonzero(), image.any(0).nonzero()
        assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == size - 1
    if share < 1:
        assert covered.float().mean(0).amin() > 0 or share == 0.02  # every place is reached
        assert len({str(image) for image in covered}) > 5


def test_held_out_replaces_a_share_by_different_unfamiliar_ones():
    x, unfamiliar = torch.zeros(40, 3), torch.arange(1.0, 31).unsqueeze(1).expand(-1, 3)
    some = probes.held_out(0.25, unfamiliar, seed=1)(x)
    replaced = some[:, 0] > 0
    assert int(replaced.sum()) == 10
    assert len(set(some[replaced, 0].tolist())) == 10
    more = probes.held_out(0.5, unfamiliar, seed=1)(x)
    assert (more[replaced, 0] > 0).all()
    everything = probes.held_out(1, unfamiliar)(x)[:, 0]
    assert set(everything.tolist()) == set(range(1, 31))  # all of them, ten of them twice


def test_the_curve_is_tidy_and_says_what_the_metrics_say(digits):
    model = networks.mlp((64, 30, 20, 10), seed=1)
    x = digits.test.x[:25]
    shifts = [probes.noise(0), probes.noise(0.5), probes.rotation(40)]
    table = probes.shift_curve(model[:4], x, shifts)
    assert list(table) == ["shift", "strength", "item", *probes.METRICS]
    assert len(table) == 75
    turned = table[(table["shift"] == "rotation") & (table["item"] == 7)]
    h = model[:4](shifts[2](x))[7].detach()
    for name, metric in probes.METRICS.items():
        assert float(turned[name].iloc[0]) == pytest.approx(float(metric(h)), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: probes.noise(-0.1), "strength"),
        (lambda: probes.rotation(-5), "degrees"),
        (lambda: probes.inversion(1.1), r"share in \[0, 1\]"),
        (lambda: probes.contrast(math.nan), "strength"),
        (lambda: probes.occlusion(2), "share"),
        (lambda: probes.held_out(0.5, torch.empty(0, 3)), "unfamiliar"),
        (lambda: probes.rotation(10)(torch.rand(2, 10)), "square images"),
        (lambda: probes.occlusion(0.1)(torch.rand(2, 3, 9)), "square images"),
        (lambda: probes.shift_curve(lambda x: x, torch.rand(3, 4), []), "at least one Shift"),
        (
            lambda: probes.shift_curve(
                lambda x: x.unsqueeze(1), torch.rand(3, 4), [Shift("same", 0, lambda x: x)]
            ),
            "vectors of shape",
        ),
    ],
)
def test_bad_shifts_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- Signals --------------------------------------------------------------------------------------


def test_signals_by_hand_and_far_from_overflow():
    logits = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    p = np.array([1, 2, 5]) / 8
    assert float(probes.softmax_maximum(logits)) == pytest.approx(5 / 8)
    assert float(probes.negative_entropy(logits)) == pytest.approx((p * np.log(p)).sum())
    assert float(probes.negative_energy(logits)) == pytest.approx(math.log(8))
    assert float(probes.norm(torch.tensor([3.0, -4.0]))) == 5
    extreme = torch.tensor([1e4, 0.0, -1e4])
    assert float(probes.softmax_maximum(extreme)) == 1
    assert float(probes.negative_entropy(extreme)) == 0
    assert float(probes.negative_energy(extreme)) == 1e4
    for signal in (probes.softmax_maximum, probes.negative_entropy, probes.negative_energy):
        assert signal(torch.randn(2, 3, 4)).shape == (2, 3)
        with pytest.raises(ValueError, match="logits"):
            signal(torch.tensor([math.nan, 1.0]))


# --- AUROC ----------------------------------------------------------------------------------------

signals = st.lists(st.integers(0, 8).map(float), min_size=2, max_size=12)


def delong(a, b):
    """Mean and variance from the definition: every pair, and the spread of each side's means."""
    wins = np.array([[(x > y) + (x == y) / 2 for y in b] for x in a], dtype=float)
    variance = wins.mean(1).var(ddof=1) / len(a) + wins.mean(0).var(ddof=1) / len(b)
    return wins.mean(), variance


@given(a=signals, b=signals, level=st.floats(0.5, 0.99))
def test_auroc_agrees_with_all_pairs_and_with_sklearn(a, b, level):
    found = probes.auroc(a, b, level=level)
    mean, variance = delong(a, b)
    half = stats.norm.ppf((1 + level) / 2) * math.sqrt(variance)
    assert found.estimate == pytest.approx(mean)
    assert found.estimate == pytest.approx(
        roc_auc_score([1] * len(a) + [0] * len(b), np.concatenate([a, b]))
    )
    assert found.low == pytest.approx(max(0, mean - half), abs=1e-7)
    assert found.high == pytest.approx(min(1, mean + half), abs=1e-7)
    assert (found.n, found.level) == (len(a) + len(b), level)


@given(seed=st.integers(0, 200))
def test_the_paired_difference_agrees_with_all_pairs(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, (2, 9)) + 1.0, rng.integers(0, 6, (2, 7)).astype(float)
    found = probes.auroc_difference(tuple(a), tuple(b))
    wins = [np.array([[(x > y) + (x == y) / 2 for y in b[s]] for x in a[s]]) for s in (0, 1)]
    d = wins[0] - wins[1]
    variance = d.mean(1).var(ddof=1) / 9 + d.mean(0).var(ddof=1) / 7
    assert found.estimate == pytest.approx(d.mean())
    assert found.high == pytest.approx(min(1, d.mean() + 1.959964 * math.sqrt(variance)), abs=1e-6)
    swapped = probes.auroc_difference(tuple(a[::-1]), tuple(b[::-1]))
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_a_signal_beside_itself_differs_by_nothing():
    a, b = [3.0, 1.0, 2.5], [2.0, 0.5]
    found = probes.auroc_difference((a, a), (b, b))
    assert (found.low, found.estimate, found.high) == (0, 0, 0)


def test_the_intervals_cover_as_often_as_they_say():
    """Normal signals one apart: the AUROC is Φ(1/√2). The second signal has noise added."""
    truth, rng = stats.norm.cdf(1 / math.sqrt(2)), np.random.default_rng(7)
    second = stats.norm.cdf(1 / 2)  # of twice the variance
    covers, paired = [], []
    for _ in range(800):
        a, b = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
        i = probes.auroc(a, b, level=0.9)
        covers.append(i.low <= truth <= i.high)
        noisy = a + rng.normal(size=40), b + rng.normal(size=60)
        i = probes.auroc_difference((a, noisy[0]), (b, noisy[1]), level=0.9)
        paired.append(i.low <= truth - second <= i.high)
    for share in (np.mean(covers), np.mean(paired)):
        assert 0.87 < share < 0.93


# --- Item by item and by bins ---------------------------------------------------------------------


@given(seed=st.integers(0, 200), bins=st.sampled_from([2, 3, 5, None]))
def test_binned_correlation_is_that_of_the_means(seed, bins):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, 30).astype(float), rng.normal(size=30)
    assert probes.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    table = probes.bin_means(x, y, bins=bins)
    if bins is None:
        expected = [(v, y[x == v].mean(), (x == v).sum()) for v in np.unique(x)]
    else:
        parts = np.array_split(np.argsort(x, kind="stable"), bins)
        assert sorted(table["n"]) == sorted(map(len, parts))
        if 30 % bins == 0:
            expected = [(x[p].mean(), y[p].mean(), len(p)) for p in parts]
    np.testing.assert_allclose(table[["x", "y", "n"]], expected)
    by_hand = stats.spearmanr([e[0] for e in expected], [e[1] for e in expected]).statistic
    assert probes.binned_spearman(x, y, bins=bins) == pytest.approx(by_hand)


def test_averaging_makes_a_weak_relation_look_perfect():
    """What the chapter shows: a slope of 0.1 standard deviations a level, 2,000 items a level."""
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(5.0), 2000)
    value = 0.1 * level + rng.normal(size=10_000)
    assert probes.spearman(level, value) < 0.2
    assert probes.binned_spearman(level, value) == pytest.approx(1)


def test_a_constant_tells_nothing():
    assert probes.spearman([1, 2, 3], [5, 5, 5]) == 0


# --- Calibration ----------------------------------------------------------------------------------


def test_reliability_by_hand():
    confidence = [0.0, 0.1, 0.25, 0.5, 0.6, 0.95, 1.0]
    correct = [0, 1, 0, 1, 0, 1, 1]
    table = probes.reliability(confidence, correct, bins=4)
    assert table["n"].tolist() == [3, 1, 1, 2]  # 0.25 and 0.5 belong to the bins they end
    np.testing.assert_allclose(table["confidence"], [0.35 / 3, 0.5, 0.6, 0.975])
    np.testing.assert_allclose(table["accuracy"], [1 / 3, 1, 0, 1])
    np.testing.assert_allclose(table[["low", "high"]].to_numpy()[2], [0.5, 0.75])
    expected = (3 * (1 / 3 - 0.35 / 3) + 0.5 + 0.6 + 2 * 0.025) / 7
    assert probes.expected_calibration_error(confidence, correct, bins=4) == pytest.approx(expected)


@given(seed=st.integers(0, 100), bins=st.integers(1, 20))
def test_the_calibration_error_agrees_with_a_plain_loop(seed, bins):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(60), rng.random(60) < 0.7
    total = 0.0
    for low, high in itertools.pairwise(np.linspace(0, 1, bins + 1)):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    found = probes.expected_calibration_error(torch.from_numpy(confidence), correct, bins=bins)
    assert found == pytest.approx(total / 60)
    assert probes.reliability(confidence, correct, bins=bins)["n"].sum() == 60


# --- What a signal adds ---------------------------------------------------------------------------


def labelled(n=900, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    group = np.array(["blur", "noise", "turn"])[rng.integers(0, 3, n)]
    return rng, y, group


def test_a_signal_that_knows_more_adds_and_noise_does_not():
    rng, y, group = labelled()
    base = 0.5 * y + rng.normal(size=len(y))
    new = y + rng.normal(size=len(y))
    gain = probes.logistic_gain(base, new, y, group)
    assert gain.gain == pytest.approx(gain.both - gain.base)
    # Φ(0.5/√2); both together at the distance √(0.5² + 1²).
    assert gain.base == pytest.approx(stats.norm.cdf(0.5 / math.sqrt(2)), abs=0.04)
    assert gain.both == pytest.approx(stats.norm.cdf(math.sqrt(1.25 / 2)), abs=0.04)
    assert abs(probes.logistic_gain(base, rng.normal(size=len(y)), y, group).gain) < 0.02


def test_no_regression_sees_the_group_it_scores():
    """In one group the signal points the other way: fitted on it, the regression would know."""
    rng, y, group = labelled()
    signal = y * np.where(group == "turn", -2.0, 2.0) + rng.normal(size=len(y))
    scores = probes.held_out_scores(signal, y, group)
    areas = {
        g: probes.auroc(scores[(group == g) & (y == 1)], scores[(group == g) & (y == 0)]).estimate
        for g in np.unique(group)
    }
    assert areas["turn"] < 0.15
    assert min(areas["noise"], areas["blur"]) > 0.5
    changed = np.where(group == "turn", 1 - y, y)  # its labels do not reach its scores
    again = probes.held_out_scores(signal, changed, group)
    np.testing.assert_array_equal(scores[group == "turn"], again[group == "turn"])


def test_the_scale_of_a_signal_does_not_matter():
    rng, y, group = labelled(200)
    signals = np.stack([y + rng.normal(size=200), rng.normal(size=200)], 1)
    scaled = signals * [1e-3, 1e4] + [5, -7]
    np.testing.assert_allclose(
        probes.held_out_scores(signals, y, group),
        probes.held_out_scores(torch.from_numpy(scaled), y, group),
        rtol=1e-6,
    )


A = [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: probes.auroc([1.0], A), "high takes at least 2"),
        (lambda: probes.auroc(A, [1.0, math.nan]), "low .* 1 not finite"),
        (lambda: probes.auroc(A, A, level=1.0), "level"),
        (lambda: probes.auroc_difference((A, A[:2]), (A, A)), "high holds two signals"),
        (lambda: probes.spearman(A, A[:2]), "same items"),
        (lambda: probes.bin_means(A, A, bins=4), "bins is at most"),
        (lambda: probes.bin_means([1, 1, 1], A), "one value only"),
        (lambda: probes.reliability([0.5, 1.2], [0, 1]), r"\[0, 1\]"),
        (lambda: probes.reliability([0.5, 0.2], [0, 2]), "booleans"),
        (lambda: probes.reliability([0.5, 0.2], [0, 1], bins=0), "bins"),
        (lambda: probes.held_out_scores(A, [0, 1, 1], ["a"] * 3), "at least two kinds"),
        (lambda: probes.held_out_scores(A, [0, 1, 2], ["a", "b", "b"]), "0 and 1 only"),
        (lambda: probes.held_out_scores(A, [0, 1, 1], ["a", "b", "b"]), "outside group"),
        (lambda: probes.held_out_scores(A[:2], [0, 1, 1], ["a", "b", "b"]), "same items"),
        (lambda: probes.logistic_gain(A, A[:2], [0, 1, 1], ["a", "b", "b"]), "same items"),
        (lambda: probes.logistic_gain(A * 2, A * 2, [0, 1] * 3, list("aabbcc")), "no group"),
    ],
)
def test_bad_scores_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- Interventions --------------------------------------------------------------------------------


def activations(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(6))


@given(k=st.integers(1, 9), seed=st.integers(0, 50))
def test_keep_top_keeps_the_largest_as_they_are(k, seed):
    h = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(seed))
    new = probes.keep_top(h, k)
    kept = new != 0
    assert (kept.sum(-1) == k).all()
    assert torch.equal(new[kept], h[kept])
    if k < 9:
        least = h.abs().masked_fill(~kept, torch.inf).amin(-1)
        assert (least >= h.abs().masked_fill(kept, 0).amax(-1)).all()
    assert (probes.hoyer(new) >= probes.hoyer(h) - 1e-9).all()


def test_keep_top_of_ties_keeps_k():
    assert probes.keep_top(torch.ones(5), 2).tolist() == [1, 1, 0, 0, 0]


def test_keep_norm_changes_where_and_not_how_much():
    h = activations(4, 12)
    new = probes.keep_norm(probes.keep_top(h, 3), h)
    torch.testing.assert_close(new.norm(dim=-1), h.norm(dim=-1))
    torch.testing.assert_close(probes.gini(new), probes.gini(probes.keep_top(h, 3)))
    assert torch.equal(probes.keep_norm(torch.zeros(2, 3), torch.ones(2, 3)), torch.zeros(2, 3))


def test_clip_and_rescale_by_hand():
    h = torch.tensor([[1.0, 4.0, 0.0, 3.0]])
    assert probes.clip(h, 2.5).tolist() == [[1, 2.5, 0, 2.5]]
    factor = math.exp(8 / 7)  # the two largest hold 7 of 8
    torch.testing.assert_close(probes.rescale(h, 0.5), h * factor)
    torch.testing.assert_close(probes.rescale(h, 0.3), h * factor)  # ⌈1.2⌉ = 2
    expected = torch.tensor([[0.0, 4.0, 0.0, 3.0]]) * factor
    torch.testing.assert_close(probes.prune_and_rescale(h, 0.5), expected)
    zeros = torch.zeros(2, 4)
    assert torch.equal(probes.prune_and_rescale(zeros), zeros)
    torch.testing.assert_close(probes.rescale(h, 1.0), h * math.e)


def test_in_a_network():
    model, x = networks.mlp((6, 20, 10, 3), seed=2), activations(5, 6)
    with hooks.substitute(model, "3", lambda h: probes.keep_top(h, 2)):
        found = model(x)
    h = model[:4](x)
    torch.testing.assert_close(found, model[4](probes.keep_top(h, 2)))
    assert not torch.allclose(found, model(x))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: probes.keep_top(torch.rand(3), 4), "k is at most the width, 3"),
        (lambda: probes.keep_top(torch.rand(3), 0), "k must"),
        (lambda: probes.keep_top(torch.tensor([math.nan]), 1), "NaN"),
        (lambda: probes.keep_norm(torch.rand(3), torch.rand(2)), "same shape"),
        (lambda: probes.clip(torch.rand(3), 0.0), "ceiling"),
        (lambda: probes.rescale(torch.tensor([-1.0, 2.0])), "no negative"),
        (lambda: probes.rescale(torch.rand(3), 1.5), "share"),
        (lambda: probes.prune_and_rescale(torch.rand(3), 0.0), "share"),
    ],
)
def test_bad_interventions_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
