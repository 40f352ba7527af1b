"""Networks that never saw one class, and what they put out last."""

import pytest
import torch

from course_lib import networks, probes, training
from course_lib.data import digits

SETTINGS = {"batch_size": 60, "learning_rate": 1.2e-3, "progress": False}


def test_the_class_is_out_of_all_but_held_out():
    for seed in (0, 3, 11):
        splits = probes.without_class(seed, folds=12)
        assert set(splits.held_out.y.tolist()) == {seed % 10}
        assert not any((part.y == seed % 10).any() for part in splits[:3])


@pytest.fixture(scope="module")
def trained():
    kinds = ("ReLU conv", "tanh MLP")
    return probes.train_without_class(
        [4, 1], steps=40, kinds=kinds, states_at=(0, 7, 40), workers=1, **SETTINGS
    )


def test_a_network_trains_as_it_would_alone(trained):
    """The reference is `training.fit` on one plain network."""
    assert list(trained) == ["ReLU conv", "tanh MLP"]
    for kind, some in trained.items():
        assert [(one.network, one.seed) for one in some] == [(kind, 4), (kind, 1)]
        for one in some:
            model = probes.build(kind, one.seed)
            splits = digits(one.seed, folds=10, held_out=(one.seed,))
            training.fit(model, splits, steps=40, seed=one.seed, batch_size=60, device="cpu")
            expected = probes.last_hidden(model, splits.held_out.x)[1]
            got = probes.last_hidden(one.model, splits.held_out.x)[1]
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


def test_states_are_those_of_their_steps(trained):
    for some in trained.values():
        for one in some:
            first = probes.build(one.network, one.seed)
            x = probes.without_class(one.seed).test.x
            assert list(one.states) == [0, 7, 40]
            torch.testing.assert_close(one.states[0](x), first(x))
            torch.testing.assert_close(one.states[40](x), one.model(x))
            away = [(state(x) - first(x)).norm() for state in one.states.values()]
            assert away[0] < 1e-3 < away[1] < away[2]


@pytest.mark.parametrize("kind", probes.NETWORKS)
def test_the_halves_make_the_whole(kind):
    model = probes.build(kind, 3)
    x = torch.rand(5, 64, generator=torch.Generator().manual_seed(0))
    below, above = probes.halves(model)
    hidden, logits = probes.last_hidden(model, x)
    torch.testing.assert_close(above(below(x)), hidden)
    torch.testing.assert_close(logits, model(x))
    assert hidden.shape == (5, 128 if "conv" in kind else 100)
    if "ReLU" in kind:
        assert below(x).min() < 0 <= hidden.min()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: probes.build("GRU", 0), "network is one of"),
        (lambda: probes.without_class(1.5), "seed must be a whole number"),
        (lambda: probes.train_without_class([0], steps=5, kinds=(), **SETTINGS), "kinds are some"),
        (
            lambda: probes.train_without_class([0], steps=5, states_at=(6,), **SETTINGS),
            "states_at takes steps from 0 to 5",
        ),
        (lambda: probes.halves(networks.mlp((4, 2), seed=0)), "no hidden layer"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
