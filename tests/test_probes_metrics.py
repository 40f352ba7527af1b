"""Metrics of sparsity: by hand, against formulas, at the edges; their nulls and their axioms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from course_lib import probes
from course_lib.probes import METRICS, Case, axioms

vectors = hnp.arrays(
    np.float64,
    st.integers(2, 12),
    elements=st.one_of(st.just(0.0), st.floats(0.01, 50), st.floats(-50, -0.01)),
).filter(lambda h: np.ptp(h) > 0.01)


def value(metric, h):
    return float(metric(torch.as_tensor(h, dtype=torch.float64)))


# --- Values ---------------------------------------------------------------------------------------


def test_by_hand():
    h = [3.0, -4.0, 0.0, 0.0]  # ‖h‖₁ = 7, ‖h‖₂ = 5, energies 9/25 and 16/25
    assert value(probes.hoyer, h) == pytest.approx((2 - 7 / 5) / (2 - 1))
    # Sorted 0, 0, 3/7, 4/7, with weights 3.5, 2.5, 1.5, 0.5 over 4.
    assert value(probes.gini, h) == pytest.approx(1 - 2 * (3 / 7 * 1.5 + 4 / 7 * 0.5) / 4)
    assert value(probes.top_energy, h) == pytest.approx(16 / 25)
    assert value(lambda x: probes.top_energy(x, 0.5), h) == pytest.approx(1.0)
    entropy = -(9 / 25 * math.log(9 / 25) + 16 / 25 * math.log(16 / 25))
    assert value(probes.effective_rank, h) == pytest.approx(math.exp(entropy))
    assert value(probes.participation_ratio, h) == pytest.approx(625 / (81 + 256))
    assert value(probes.normalised_l1, h) == pytest.approx(7 / (2 * 5))
    # Mean −1/4, deviations 13/4, −15/4, 1/4, 1/4.
    second, fourth = (13**2 + 15**2 + 2) / 4, (13**4 + 15**4 + 2) / 4
    assert value(probes.kurtosis, h) == pytest.approx(fourth / second**2)
    assert value(probes.l0, h) == 2
    assert value(lambda x: probes.l0(x, 3.0), h) == 1  # larger than the threshold, not equal


@given(h=vectors)
def test_against_reference_formulas(h):
    d, size = len(h), np.abs(h)
    l1, l2 = size.sum(), np.sqrt((h**2).sum())
    assert value(probes.hoyer, h) == pytest.approx(
        (math.sqrt(d) - l1 / l2) / (math.sqrt(d) - 1), abs=1e-12
    )
    differences = np.abs(size[:, None] - size[None, :]).sum()
    assert value(probes.gini, h) == pytest.approx(differences / (2 * d * l1), abs=1e-12)
    for share in (0.05, 0.1, 0.34, 1.0):
        k = max(1, math.floor(share * d))
        top = np.sort(h**2)[-k:].sum() / (h**2).sum()
        assert value(lambda x, s=share: probes.top_energy(x, s), h) == pytest.approx(top)
    p = h**2 / (h**2).sum()
    assert value(probes.effective_rank, h) == pytest.approx(math.exp(stats.entropy(p)))
    assert value(probes.participation_ratio, h) == pytest.approx(1 / (p**2).sum())
    assert value(probes.normalised_l1, h) == pytest.approx(l1 / (math.sqrt(d) * l2))
    assert value(probes.kurtosis, h) == pytest.approx(stats.kurtosis(h, fisher=False))
    assert value(probes.l0, h) == (size > 0.01).sum()


@given(h=vectors)
def test_normalised_l1_and_hoyer_are_one_metric_at_one_width(h):
    root = math.sqrt(len(h))
    hoyer = root * (1 - value(probes.normalised_l1, h)) / (root - 1)
    assert value(probes.hoyer, h) == pytest.approx(hoyer, abs=1e-12)


EDGES = {  # of zero, one-hot and constant vectors of d = 20, and of one entry
    "Hoyer": (0, 1, 0, 0),
    "Gini": (0, 1 - 1 / 20, 0, 0),
    "top 5% energy": (1 / 20, 1, 1 / 20, 1),
    "top 10% energy": (2 / 20, 1, 2 / 20, 1),
    "−effective rank": (-20, -1, -20, -1),
    "−participation ratio": (-20, -1, -20, -1),
    "−normalised ℓ1": (-1, -1 / math.sqrt(20), -1, -1),
    "kurtosis": (1, 18 + 1 / 19, 1, 1),
    "−L0": (0, -1, -20, -1),
}


@pytest.mark.parametrize("name", METRICS)
def test_the_documented_values_at_the_edges(name):
    one_hot = torch.zeros(20)
    one_hot[3] = -2.5
    found = [METRICS[name](h) for h in (torch.zeros(20), one_hot, torch.full((20,), 0.37))]
    found.append(METRICS[name](torch.tensor([-1.7])))
    assert [float(f) for f in found] == pytest.approx(EDGES[name], abs=1e-9)
    assert float(METRICS[name](torch.zeros(1))) == pytest.approx(
        0 if name == "−L0" else EDGES[name][3]
    )


scales = [1e-300, 1e-160, 1e-38, 1.0, 1e38, 1e160, 1e300]


@pytest.mark.parametrize("name", METRICS)
@given(h=hnp.arrays(np.float64, st.integers(1, 6), elements=st.floats(-1, 1)), data=st.data())
def test_never_nan_and_within_range_at_any_scale(name, h, data):
    h = h * data.draw(st.sampled_from(scales))
    found, d = value(METRICS[name], h), len(h)
    low, high = {
        "Hoyer": (0, 1), "Gini": (0, 1 - 1 / d), "−normalised ℓ1": (-1, -(d**-0.5)),
        "kurtosis": (1, max(1.0, d - 2 + 1 / max(1, d - 1))), "−L0": (-d, 0),
        "top 5% energy": (1 / d, 1), "top 10% energy": (1 / d, 1),
    }.get(name, (-d, -1))  # fmt: skip
    assert low - 1e-9 <= found <= high + 1e-9


@pytest.mark.parametrize("name", METRICS)
def test_leading_dimensions_dtypes_and_scale(name):
    h = torch.randn(2, 3, 31, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = METRICS[name](h)
    assert (found.shape, found.dtype) == ((2, 3), torch.float64)
    one_by_one = [[float(METRICS[name](v)) for v in row] for row in h]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-12)
    h32 = h.float()
    torch.testing.assert_close(METRICS[name](h32), METRICS[name](h32.double()))
    h16 = torch.full((8,), 300.0, dtype=torch.float16)  # its square is no float16
    h16[0] = 600
    torch.testing.assert_close(METRICS[name](h16), METRICS[name](h16.double()))
    if name != "−L0":
        torch.testing.assert_close(METRICS[name](-h * 7e200), found)  # the same but for scale
    flipped = METRICS[name](h.abs())
    assert (name == "kurtosis") != torch.allclose(flipped, found)  # it alone sees signs


def test_a_share_is_counted_without_the_rounding_of_floats():
    h = torch.zeros(100)
    h[:7] = 1
    assert 0.07 * 100 != 7
    assert value(lambda x: probes.top_energy(x, 0.07), h) == pytest.approx(1.0)
    assert value(lambda x: probes.top_energy(x, 0.06999), h) == pytest.approx(6 / 7)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (torch.tensor([1.0, math.nan]), "NaN"),
        (torch.tensor([1.0, math.inf]), "infinite"),
        (torch.tensor([math.inf, -math.inf]), "2 values"),
        (torch.empty(3, 0), "empty"),
        (torch.tensor(1.0), "dimension"),
        (torch.tensor([1, 2]), "floats"),
        ([1.0, 2.0], "list"),
    ],
)
def test_bad_vectors_are_refused(name, bad, said):
    with pytest.raises(ValueError, match="h ") as error:
        METRICS[name](bad)
    assert said in str(error.value)


def test_bad_settings_are_refused():
    h = torch.rand(2, 5)
    for share in (0, 1.2, math.nan):
        with pytest.raises(ValueError, match="share"):
            probes.top_energy(h, share)
    with pytest.raises(ValueError, match="threshold"):
        probes.l0(h, -1)


# --- Nulls ----------------------------------------------------------------------------------------


def expectation(f, activation=None):
    """E f(a(z)) of a standard normal z, by quadrature on both sides of 0."""
    a = activation or (lambda z: z)
    return sum(
        integrate.quad(lambda z: f(a(z)) * stats.norm.pdf(z), *ends, limit=200)[0]
        for ends in ((-12, 0), (0, 12))
    )


def relu(z):
    return max(z, 0.0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(None, None), (torch.relu, relu), (torch.tanh, np.tanh)]
)
def test_nulls_of_wide_layers_agree_with_integrals(ours, theirs):
    """For d → ∞ each metric tends to a function of moments; at d = 20,000 it is nearly there."""
    d = 20_000
    m1, m2, m4 = (expectation(lambda h, k=k: abs(h) ** k, theirs) for k in (1, 2, 4))
    mean = expectation(lambda h: h, theirs)
    central = {k: expectation(lambda h, k=k: (h - mean) ** k, theirs) for k in (2, 4)}
    # The entropy of p = h²/Σh² is log d − E u log u, u = h²/E h².
    entropy = expectation(lambda h: h**2 / m2 * math.log(h**2 / m2) if h else 0.0, theirs)
    limits = {
        "Hoyer": (math.sqrt(d) - math.sqrt(d) * m1 / math.sqrt(m2)) / (math.sqrt(d) - 1),
        "−normalised ℓ1": -m1 / math.sqrt(m2),
        "−participation ratio": -d * m2**2 / m4,
        "−effective rank": -d * math.exp(-entropy),
        "kurtosis": central[4] / central[2] ** 2,
    }
    for name, limit in limits.items():
        null = probes.null(METRICS[name], d, activation=ours, n=40, seed=3)
        assert null.mean == pytest.approx(limit, rel=0.01), name
        assert 0 < null.std < 0.05 * abs(limit)


def test_the_gini_index_of_noise_is_known_in_closed_form():
    # Of |z| it is √2 − 1; a ReLU makes half of the entries zero: 1/2 + (√2 − 1)/2.
    plain = probes.null(probes.gini, 5000, n=50)
    rectified = probes.null(probes.gini, 5000, n=50, activation=torch.relu)
    assert plain.mean == pytest.approx(math.sqrt(2) - 1, abs=0.003)
    assert rectified.mean == pytest.approx(math.sqrt(2) / 2, abs=0.003)


def test_a_null_is_that_of_its_layers_mean_and_spread():
    mean, std = torch.linspace(-2, 3, 50), torch.linspace(0.5, 4, 50)
    noise = probes.gaussian(50, 40_000, mean=mean, std=std, seed=5)
    assert (noise.shape, noise.dtype) == ((40_000, 50), torch.float64)
    torch.testing.assert_close(noise.mean(0), mean.double(), atol=0.1, rtol=0)
    torch.testing.assert_close(noise.std(0), std.double(), atol=0.1, rtol=0)
    correlations = np.corrcoef(noise[:, :8].T) - np.eye(8)
    assert np.abs(correlations).max() < 0.03  # units are independent
    # A ReLU far above zero changes nothing; far below, it leaves nothing.
    above = probes.null(probes.l0, 20, mean=50.0, activation=torch.relu, n=10)
    below = probes.null(probes.l0, 20, mean=-50.0, activation=torch.relu, n=10)
    assert (above.mean, below.mean) == (20, 0)


def test_a_null_depends_on_its_seed_alone(global_generators):
    first = probes.null(probes.hoyer, 64, seed=1)
    assert first == probes.null(probes.hoyer, 64, seed=1)
    assert first != probes.null(probes.hoyer, 64, seed=2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"d": 0}, "d must"),
        ({"n": 1}, "n must"),
        ({"mean": torch.zeros(3)}, "mean"),
        ({"std": -1.0}, "std"),
        ({"std": math.inf}, "std"),
    ],
)
def test_bad_nulls_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        probes.null(probes.hoyer, **({"d": 10} | settings))


# --- Axioms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("axiom", probes.AXIOMS)
def test_stored_counterexamples_stand_and_there_are_no_others(name, axiom):
    """A tenth of the cases that the chapter tries; each case found must break the axiom again."""
    found = probes.search(METRICS[name], axiom, cases=10_000, seed=1)
    stored = probes.COUNTEREXAMPLES.get(name, {}).get(axiom)
    assert (found is None) == (stored is None)
    for case in filter(None, (found, stored)):
        assert case.axiom == axiom
        assert probes.breaks(METRICS[name], case)


def test_what_the_table_says():
    kept = {
        name: [a for a in probes.AXIOMS if a not in probes.COUNTEREXAMPLES.get(name, {})]
        for name in METRICS
    }
    assert kept["Gini"] == kept["−normalised ℓ1"] == list(probes.AXIOMS)
    assert kept["Hoyer"] == [a for a in probes.AXIOMS if a != "Cloning"]
    assert kept["−L0"] == []
    few = probes.table({"Hoyer": probes.hoyer}, cases=600)
    assert [axiom for axiom, case in few["Hoyer"].items() if case is not None] == ["Cloning"]


def test_the_counterexamples_by_hand():
    hoyer = probes.COUNTEREXAMPLES["Hoyer"]["Cloning"]
    before, after = probes.changed(hoyer)
    assert before.tolist() == [[1, 2, 3, 4]]
    assert after.tolist() == [[1, 2, 3, 4, 1, 2, 3, 4]]
    ratio = 10 / math.sqrt(30)  # ‖h‖₁ / ‖h‖₂; of two copies √2 times as much
    assert value(probes.hoyer, before[0]) == pytest.approx(2 - ratio)
    root = math.sqrt(8)
    assert value(probes.hoyer, after[0]) == pytest.approx(
        (root - math.sqrt(2) * ratio) / (root - 1)
    )
    robbed = probes.changed(probes.COUNTEREXAMPLES["−participation ratio"]["Robin Hood"])[1]
    assert robbed.tolist() == [[9, 3, 2, 1]]
    assert 95**2 / 6659 < 99**2 / 6819  # fewer entries count, after giving to a poor one


wealth = hnp.arrays(np.float64, st.integers(3, 9), elements=st.floats(0.1, 10)).filter(
    lambda h: np.ptp(h) > 0.5
)


@given(h=wealth, factor=st.floats(0.1, 10), more=st.floats(0.2, 5), share=st.floats(0.1, 0.9))
def test_the_gini_index_keeps_all_six(h, factor, more, share):
    """The axioms in other words than the module's, on a metric that is known to keep them."""
    gini = value(probes.gini, h)
    assert value(probes.gini, factor * h) == pytest.approx(gini, abs=1e-9)
    assert value(probes.gini, h + more) < gini
    assert value(probes.gini, np.concatenate([h, h])) == pytest.approx(gini, abs=1e-9)
    assert value(probes.gini, np.append(h, 0.0)) > gini
    rich, poor = h.argmax(), h.argmin()
    robbed = h.copy()
    robbed[[rich, poor]] += share * np.ptp(h) / 2 * np.array([-1, 1])
    assert value(probes.gini, robbed) < gini
    h[poor] += 2 * h.sum()
    richer = h.copy()
    richer[poor] += more
    assert value(probes.gini, richer) > value(probes.gini, h)


def test_a_metric_that_breaks_an_axiom_a_little_is_caught():
    """Wrong metrics, each found out by the one axiom it breaks."""
    small = {
        "Scaling": lambda h: probes.gini(h) + 1e-4 * h.abs().sum(-1).clamp(max=1),
        "Cloning": lambda h: probes.gini(h) + 1e-4 / h.shape[-1],
        "Robin Hood": lambda h: -h.abs().amax(-1),
        "Rising Tide": lambda h: h.abs().amin(-1) / h.abs().amax(-1),
        "Bill Gates": lambda h: -probes.gini(h),
        "Babies": lambda h: -probes.gini(h),
    }
    for axiom, metric in small.items():
        case = probes.search(metric, axiom, cases=6000)
        assert case is not None
        assert probes.breaks(metric, case)
        assert probes.search(probes.gini, axiom, cases=6000) is None


def test_a_search_depends_on_its_seed_alone(global_generators):
    cases = [probes.search(probes.hoyer, "Cloning", cases=600, seed=s) for s in (1, 1, 2)]
    assert cases[0] == cases[1] != cases[2]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case("Robin", (1, 2, 3)), "axiom is one of"),
        (Case("Babies", (0, 2, 0)), "two or more of them above"),
        (Case("Babies", (1, -2, 3)), "at least 0"),
        (Case("Babies", (1, math.nan, 3)), "NaN"),
        (Case("Robin Hood", (3, 1, 1), 1.0), "less than half"),
        (Case("Robin Hood", (1, 3, 1), 0.5), "less than half"),
        (Case("Robin Hood", (3, 1, 1), 0.5, (0, 3)), "entries are two"),
        (Case("Rising Tide", (2, 2, 2)), "all equal"),
        (Case("Scaling", (1, 2, 3), 0.0), "amount must"),
    ],
)
def test_cases_that_no_axiom_speaks_of_are_refused(case, said):
    with pytest.raises(ValueError, match=said):
        probes.breaks(probes.gini, case)


def test_bad_searches_are_refused():
    with pytest.raises(ValueError, match="axiom is one of"):
        probes.search(probes.gini, "Robin")
    with pytest.raises(ValueError, match="cases"):
        probes.search(probes.gini, "Babies", cases=0)


def test_no_drawn_case_is_outside_what_its_axiom_speaks_of():
    for axiom in probes.AXIOMS:
        for kind in ("whole", "zeros", "heavy"):
            draw = torch.Generator().manual_seed(2)
            drawn = axioms._draw(axiom, kind, 300, 5, draw)
            assert len(drawn[0]) > 20
            for vector, amount, entries in zip(*drawn, strict=True):
                i, j = entries.tolist()
                probes.changed(Case(axiom, tuple(vector.tolist()), float(amount), (i, j)))
