"""Autoencoders in networks: what is collected, what is put in, and that nothing stays behind."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import autoencoders as ae
from course_lib import networks
from course_lib.data import Split
from course_lib.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"))


class Frozen(nn.Module):
    """A network with an in-place ReLU, dropout, and a part that stays in `eval` mode."""

    def __init__(self):
        super().__init__()
        self.body = networks.mlp((6, 5, 4), seed=0)
        self.after = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5), nn.BatchNorm1d(4))
        self.train()
        self.after[2].eval()

    def forward(self, x):
        return self.after(self.body(x))


def identity(d):
    """An autoencoder that gives back what it gets, up to rounding: x = relu(x) − relu(−x)."""
    model = ae.SparseAutoencoder(d, 2 * d, seed=0)
    with torch.no_grad():
        model.W_dec.copy_(torch.cat([torch.eye(d), -torch.eye(d)]))
        model.W_enc.copy_(model.W_dec.t())
    return model


def hooks(model):
    return sum(len(part._forward_hooks) for part in model.modules())


def modes(model):
    return [part.training for part in model.modules()]


# --- Collecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [3, 1024])
def test_activations_are_what_the_layer_puts_out(batch_size):
    model, x = Frozen(), normal(10, 6)
    before, names = modes(model), {"body.0": model.body[0], "body": model.body}
    for name, layer in names.items():
        expected = layer(x).detach().clone()
        for given in (name, layer):
            found = ae.collect_activations(model, given, x, batch_size=batch_size)
            assert torch.allclose(found, expected, atol=1e-6)
            assert not found.requires_grad
    assert (found < 0).any(), "the in-place ReLU that follows did not change them"
    assert modes(model) == before
    assert hooks(model) == 0
    y = torch.zeros(10, dtype=torch.int64)
    again = ae.collect_activations(model, "body", Split(x, y), batch_size=batch_size)
    assert torch.equal(again, found)
    assert torch.allclose(ae.collect_activations(model, "body", x.split(4)), found, atol=1e-6)


def test_channels_become_columns():
    model, x = networks.convnet((3, 2), side=4, seed=0), normal(7, 16)
    images = model[0:2](x)  # (7, 3, 4, 4)
    found = ae.collect_activations(model, "1", x, dim=1, batch_size=4)
    assert found.shape == (7 * 16, 3)
    assert torch.allclose(found, images.permute(0, 2, 3, 1).reshape(-1, 3), atol=1e-6)


def test_tokens_become_rows():
    model = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    networks.initialise(model, seed=0)
    found = ae.collect_activations(model, "linear1", normal(3, 5, 6))
    assert found.shape == (15, 8)


# --- Splicing -------------------------------------------------------------------------------------


def test_a_perfect_autoencoder_changes_nothing():
    mlp, conv = networks.mlp((6, 5, 4), seed=0), networks.convnet((3, 2), side=4, seed=0)
    for model, layer, dim, x in ((mlp, "1", -1, normal(8, 6)), (conv, "1", 1, normal(8, 16))):
        expected = model(x)
        width = 5 if model is mlp else 3
        with ae.splice(model, layer, identity(width), dim=dim) as spliced:
            assert spliced is model
            assert torch.allclose(spliced(x), expected, atol=1e-5)
        with ae.splice(model, layer, identity(width), dim=dim, edit=torch.zeros_like):
            assert not torch.allclose(model(x), expected, atol=1e-2)
        assert hooks(model) == 0
        assert torch.equal(model(x), expected)


def test_what_is_spliced_is_the_reconstruction():
    model, x = networks.mlp((6, 5, 4), seed=0), normal(8, 6)
    autoencoder = ae.SparseAutoencoder(5, 9, ae.TopK(2), seed=1)
    hidden = model[:2](x)
    with ae.splice(model, "1", autoencoder):
        assert torch.allclose(model(x), model[2](autoencoder(hidden).reconstruction), atol=1e-6)


def test_an_edit_with_the_error_kept_moves_along_one_direction():
    model, x = networks.mlp((6, 5, 4), seed=0), normal(40, 6)
    autoencoder = ae.SparseAutoencoder(5, 9, ae.TopK(2), seed=1)
    latents = autoencoder.encode(model[:2](x))
    one = int(ae.firing_rates(latents).argmax())

    def without(f):
        return f * (torch.arange(9) != one)

    expected = model(x)
    with ae.splice(model, "1", autoencoder, keep_error=True):
        assert torch.allclose(model(x), expected, atol=1e-5)
    with ae.splice(model, "1", autoencoder, keep_error=True, edit=without):
        change = model(x) - expected
    direction = model[2].weight @ autoencoder.W_dec[one]
    assert torch.allclose(change, -latents[:, one : one + 1] * direction, atol=1e-5)
    assert change[latents[:, one] == 0].abs().max() < 1e-5


def test_gradients_flow_through_and_modes_come_back():
    model, x = Frozen(), normal(8, 6)
    autoencoder = ae.SparseAutoencoder(5, 9, ae.BatchTopK(2), seed=1).train()
    ae.calibrate(autoencoder, 2 * model.body[:1](x))
    threshold = autoencoder.activation.threshold.clone()
    before = modes(model)
    with ae.splice(model, "body.0", autoencoder):
        assert modes(model) == before, "the network keeps its mode"
        model(x).sum().backward()
    assert model.body[0].weight.grad.any()
    assert autoencoder.W_dec.grad.any()
    assert autoencoder.training
    assert torch.equal(autoencoder.activation.threshold, threshold), "it was in eval mode"


def test_hooks_go_after_an_error():
    model, x = networks.mlp((6, 5, 4), seed=0), normal(8, 6)
    too_narrow = r"x must have shape \(…, 3\); got \(8, 5\)"
    with pytest.raises(ValueError, match=too_narrow), ae.splice(model, "1", identity(3)):
        model(x)
    with pytest.raises(KeyError), ae.substitute(model, "1", lambda h: {}[h]):
        model(x)
    with pytest.raises(RuntimeError):
        ae.collect_activations(model, "1", normal(8, 7))
    assert hooks(model) == 0


# --- Loss recovered -------------------------------------------------------------------------------


def trained():
    x = normal(200, 6)
    y = (x[:, 0] + x[:, 1] ** 2 > 0.8).long()
    model = networks.mlp((6, 16, 2), seed=0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(100):
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model, Split(x, y)


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_loss_recovered(ablation):
    model, split = trained()
    hidden = model[:2](split.x)
    stand_in = hidden.mean(0) if ablation == "mean" else torch.zeros(16)
    with torch.no_grad():
        ablated = float(F.cross_entropy(model[2](stand_in.expand_as(hidden)), split.y))
        original = float(F.cross_entropy(model(split.x), split.y))

    perfect = ae.loss_recovered(model, "1", identity(16), split, ablation=ablation)
    assert perfect.original == pytest.approx(original, rel=1e-5)
    assert perfect.ablated == pytest.approx(ablated, rel=1e-5)
    assert perfect.share == pytest.approx(1, abs=1e-4)

    nothing = identity(16)
    with torch.no_grad():
        nothing.b_enc -= 1000
        nothing.b_dec.copy_(stand_in)
    assert ae.loss_recovered(model, "1", nothing, split, ablation=ablation).share == pytest.approx(
        0, abs=1e-4
    )
    partly = ae.loss_recovered(model, "1", ae.SparseAutoencoder(16, 40, ae.TopK(3), seed=0), split)
    assert partly.share == pytest.approx(
        (partly.ablated - partly.spliced) / (partly.ablated - partly.original)
    )
    assert hooks(model) == 0


# --- Bad input ------------------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.unused = nn.GRU(6, 4), nn.Linear(6, 4)

    def forward(self, x):
        return self.recurrent(x)[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: ae.collect_activations(m, "5", x), r"no layer '5'; it has \['0', '1', '2'\]"),
        (lambda m, x: ae.collect_activations(m, nn.ReLU(), x), "is no part of the model"),
        (lambda m, x: ae.collect_activations(m, "1", x[:0]), "put nothing out"),
        (lambda m, x: ae.collect_activations(m, "1", []), "put nothing out"),
        (lambda m, x: ae.collect_activations(Pair(), "unused", x), "or it is not reached"),
        (lambda m, x: ae.collect_activations(Pair(), "recurrent", x), "puts out tuple"),
        (lambda m, x: ae.collect_activations(m, "1", x, batch_size=0), "batch_size must be"),
        (lambda m, x: recovered(m, x, ablation="none"), "ablation is"),
        (lambda m, x: recovered(m, x), "so there is nothing to recover"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(networks.mlp((6, 5, 4), seed=0), normal(8, 6))


def recovered(model, x, **kwargs):
    """The labels are the least likely ones, so that the network is worse than nothing."""
    split = Split(x, model(x).argmin(1))
    return ae.loss_recovered(model, "1", identity(5), split, **kwargs)
