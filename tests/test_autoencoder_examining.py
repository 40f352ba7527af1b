"""Latents one by one: directions against finite differences, removals against removal by hand."""

import pytest
import torch
from torch import nn

from course_lib import autoencoders as ae
from course_lib import networks
from course_lib.data import Split
from course_lib.seeds import generator

CASES = {"TopK": lambda: ae.TopK(3), "ReLU": nn.ReLU, "JumpReLU": lambda: ae.JumpReLU(9)}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def case(kind="TopK"):
    """A network whose second layer is read, an autoencoder of it, with a dead latent, and inputs.

    All in float64, so that finite differences can be trusted; what follows the layer works in
    place, and one part of the network stays in training mode.
    """
    network = networks.mlp((6, 8, 5, 4), activation=nn.Tanh, seed=3).double()
    network[3] = nn.ReLU(inplace=True)
    network.append(nn.Dropout(0.5)).train()
    network[1].eval()
    model = ae.SparseAutoencoder(5, 9, CASES[kind](), seed=2, tied=False).double()
    split = Split(normal(40, 6, seed=1), torch.arange(40) % 4)
    model.set_normalisation(network[:3](split.x).detach())
    with torch.no_grad():
        model.b_enc.copy_(0.1 * normal(9, seed=4))
        model.b_enc[6] = -100.0
        model.b_dec.copy_(0.3 * normal(5, seed=5))
    return network, model, split


def by_hand(network, model, split):
    """Latents and the layer's output, from its definition."""
    output = network[:3](split.x).detach()
    return model.encode(output).detach(), output


@pytest.mark.parametrize("kind", CASES)
def test_directions_are_those_of_finite_differences(kind):
    network, model, split = case(kind)
    found = ae.examine(network, "2", model, split)
    latents, _ = by_hand(network, model, split)
    step, slopes = 1e-6, torch.empty(40, 9, 6, dtype=torch.float64)
    for p in range(6):
        moved = torch.zeros(6, dtype=torch.float64)
        moved[p] = step
        ends = [network[:3](split.x + sign * moved).detach() for sign in (1, -1)]
        slopes[:, :, p] = (ends[0] - ends[1]) / (2 * step) @ model.W_dec.detach().T
    for i in range(9):
        active = latents[:, i] != 0
        wanted = slopes[active, i].mean(0) if active.any() else torch.zeros(6)
        torch.testing.assert_close(
            found.directions[i].double(), wanted.double(), atol=1e-6, rtol=1e-4
        )
    everywhere = slopes.mean(0)
    assert not torch.allclose(found.directions.double(), everywhere, atol=1e-3), "only the active"


@pytest.mark.parametrize("kind", CASES)
def test_effects_are_those_of_removal_by_hand(kind):
    network, model, split = case(kind)
    found = ae.examine(network, "2", model, split)
    latents, output = by_hand(network, model, split)
    last = network[4]

    def logits(a):
        return last(a.relu()).detach()

    right = logits(output).argmax(1) == split.y
    assert torch.equal(found.activations, latents)
    for i in range(9):
        active = latents[:, i] != 0
        assert found.firing_rates[i] == pytest.approx(active.double().mean().item())
        part = latents[:, i : i + 1] * model.W_dec[i] * model.input_scale
        change = logits((output - part).detach()) - logits(output)
        wanted = change[active].mean(0) if active.any() else torch.zeros(4)
        torch.testing.assert_close(found.effects[i].double(), wanted.double(), atol=1e-6, rtol=1e-5)
        now = logits((output - part).detach()).argmax(1) == split.y
        points = 100 * (now.double().mean() - right.double().mean()).item()
        assert found.accuracy[i].item() == pytest.approx(points, abs=1e-9)
    assert (found.accuracy != 0).any(), "the case is one in which the accuracy changes"


def test_dead_latents_have_rows_of_zeros():
    network, model, split = case()
    found = ae.examine(network, "2", model, split)
    alive = found.firing_rates > 0
    assert (~alive).nonzero().flatten().tolist() == [6]
    for rows in (found.directions, found.effects, found.accuracy):
        assert torch.equal(rows[6], torch.zeros_like(rows[6]))
    assert (found.directions[alive].abs().sum(1) > 0).all()
    assert (found.effects[alive].abs().sum(1) > 0).all()


def test_nothing_stays_behind(global_generators):
    network, model, split = case()
    before = [part.training for part in (*network.modules(), *model.modules())]
    weights = [p.clone() for p in (*network.parameters(), *model.parameters())]
    with torch.no_grad():  # as a notebook may have it
        by_name = ae.examine(network, "2", model, split)
    by_part = ae.examine(network, network[2], model, split)
    for one, other in zip(by_name, by_part, strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad
    assert [part.training for part in (*network.modules(), *model.modules())] == before
    assert not any(part._forward_hooks for part in network.modules())
    for old, new in zip(weights, (*network.parameters(), *model.parameters()), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None
    assert not split.x.requires_grad


@pytest.mark.parametrize(
    ("layer", "changed", "said"),
    [
        ("9", {}, "no layer '9'"),
        ("1", {}, r"must have shape \(…, 5\)"),
        ("2", {"x": normal(40)}, r"a split has inputs \(n, d\)"),
        ("2", {"x": normal(0, 6), "y": torch.zeros(0, dtype=torch.int64)}, "split.x is empty"),
        ("2", {"x": normal(40, 6) / 0}, "NaN or infinite"),
        ("2", {"y": torch.zeros(39, dtype=torch.int64)}, "n whole numbers as labels"),
        ("2", {"y": torch.zeros(40)}, "n whole numbers as labels"),
    ],
)
def test_bad_input_is_named(layer, changed, said):
    network, model, split = case()
    with pytest.raises(ValueError, match=said):
        ae.examine(network, layer, model, split._replace(**changed))


def test_a_layer_that_is_not_rows_or_not_reached_is_named():
    network, model, split = case()
    images = nn.Sequential(nn.Unflatten(1, (3, 2)), nn.Flatten(), network)
    with pytest.raises(ValueError, match=r"the layer must put out 40 rows.*got \(40, 3, 2\)"):
        ae.examine(images, "0", model, split)
    network.register_module("aside", nn.Linear(2, 2))
    network.forward = lambda x: nn.Sequential.forward(network[:5], x)
    with pytest.raises(ValueError, match="the layer must put out 40 rows.*got nothing"):
        ae.examine(network, "aside", model, split)
