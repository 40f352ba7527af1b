"""Recording: what it gathers is what went by, in constant memory and at little cost."""

import gc
import time
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import networks, probes
from course_lib.probes import record
from course_lib.probes.recording import Moments


def batches(sizes, d, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return [shift + torch.randn(n, d, generator=generator) for n in sizes]


def run(model, data):
    with torch.no_grad():
        return [model(x) for x in data]


# --- What is gathered -----------------------------------------------------------------------------


def test_statistics_are_those_of_all_outputs_at_once():
    model, data = networks.mlp((6, 40, 9, 3), seed=2), batches([5, 1, 64, 30], 6)
    with record(model, ["1", "3"], metrics=probes.METRICS) as recording:
        outputs = run(model, data)
    assert list(recording) == ["1", "3"]
    for name in recording:
        h = torch.cat(run(model[: int(name) + 1], data))
        found = recording[name]
        assert found.n == 100
        torch.testing.assert_close(found.mean, h.double().mean(0))
        torch.testing.assert_close(found.variance, h.double().var(0))
        for metric, moments in found.metrics.items():
            values = probes.METRICS[metric](h)
            assert moments.n == 100
            assert float(moments.mean) == pytest.approx(float(values.mean()), rel=1e-12)
            assert float(moments.std) == pytest.approx(float(values.std()), rel=1e-9)
    plain = run(model, data)
    assert all(torch.equal(a, b) for a, b in zip(outputs, plain, strict=True))
    assert not any(m._forward_hooks for m in model.modules())
    assert recording["3"].n == 100  # what ran after the `with` does not count


def test_moments_keep_their_digits_far_from_zero():
    x = torch.cat(batches([700], 3, shift=1e8, seed=4)).double()
    x += torch.randn(700, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moments = Moments()
    for rows in x.split([1, 400, 0, 299]):
        moments.add(rows)
    assert moments.n == 700
    np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.variance, np.var(x.numpy(), 0, ddof=1), rtol=1e-6)
    naive = (x.square().mean(0) - x.mean(0).square()) * 700 / 699
    assert not np.allclose(naive, np.var(x.numpy(), 0, ddof=1), rtol=0.1)


def test_one_row_has_no_variance():
    moments = Moments()
    assert moments.variance.isnan()
    moments.add(torch.tensor([3.0]))
    assert float(moments.mean) == 3
    assert moments.variance.isnan()


def test_gradients_flow_as_without():
    model, x = networks.mlp((4, 8, 2), seed=1), batches([5], 4)[0]
    model(x).sum().backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with record(model, ["1"]) as recording:
        model(x).sum().backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(plain, model.parameters(), strict=True))
    assert not recording["1"].sample.requires_grad


def test_values_are_taken_before_the_next_layer_works_in_place():
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True))
    x = batches([20], 3)[0]
    with record(model, ["0"]) as recording:
        model(x)
    before = model[0](x)
    assert (before < 0).any()
    torch.testing.assert_close(recording["0"].mean, before.detach().double().mean(0))
    assert (recording["0"].sample < 0).any()


def test_hooks_go_also_after_an_error():
    model = networks.mlp((4, 8, 2), seed=1)
    with pytest.raises(RuntimeError), record(model, ["0", "1"]):
        model(torch.rand(3, 5))
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(ValueError, match="no layer 'x'"), record(model, ["0", "x"]):
        pass
    assert not any(m._forward_hooks for m in model.modules())


# --- The sample -----------------------------------------------------------------------------------


def test_every_vector_is_equally_likely_to_stay():
    """Vector i holds its number; of 40 in batches of unequal size 8 stay."""
    counts = np.zeros(40)
    model = nn.Identity()
    data = torch.arange(40.0).unsqueeze(1)
    for seed in range(1500):
        with record(model, [""], metrics={}, sample=8, seed=seed) as recording:
            run(model, data.split([1, 20, 3, 16]))
        kept = recording[""].sample[:, 0].long()
        assert len(set(kept.tolist())) == 8
        counts[kept] += 1
    # 1500 · 8/40 = 300 each, with a standard deviation of about 15.
    assert np.abs(counts - 300).max() < 4.5 * 15.5
    assert counts.std() < 1.3 * 15.5


def test_a_sample_of_all_is_all_and_depends_on_the_seed_alone(global_generators):
    model, data = nn.Identity(), batches([3, 4], 2)

    def sample(size, seed):
        with record(model, [""], sample=size, seed=seed) as recording:
            run(model, data)
        return recording[""].sample

    whole = sample(10, 0)
    assert sorted(whole.tolist()) == sorted(torch.cat(data).tolist())
    assert torch.equal(sample(4, 1), sample(4, 1))
    assert not torch.equal(sample(4, 1), sample(4, 2))


# --- Positions and kinds of output ----------------------------------------------------------------


def sequences(seed=0, n=6, length=5, d=4):
    x = torch.randn(n, length, d, generator=torch.Generator().manual_seed(seed))
    x[:, 1:] *= torch.linspace(1, 3, length - 1).view(-1, 1)
    return x


def test_metrics_by_position_and_masks():
    first, second = sequences(), sequences(1, n=3, length=7)
    mask = torch.rand(6, 5, generator=torch.Generator().manual_seed(2)) < 0.6
    model = nn.Identity()
    with record(model, [""], by_position=True, sample=100) as recording:
        recording.mask = mask
        model(first)
        recording.mask = None
        model(second)
    found = recording[""]
    assert found.n == int(mask.sum()) + 21
    positions = found.by_position["Hoyer"]
    assert len(positions) == 7
    for p, moments in enumerate(positions):
        rows = second[:, p] if p >= 5 else torch.cat([first[mask[:, p], p], second[:, p]])
        assert moments.n == len(rows)
        assert float(moments.mean) == pytest.approx(float(probes.hoyer(rows).mean()))
    for vector, p in zip(found.sample, found.positions.tolist(), strict=True):
        everywhere = [*second[:, p]] + ([*first[mask[:, p], p]] if p < 5 else [])
        assert any(torch.equal(vector, one) for one in everywhere)
    with record(model, [""]) as recording:
        recording.mask = mask.float()
        with pytest.raises(ValueError, match="mask must be booleans of shape"):
            model(first)


def test_what_is_masked_may_be_anything():
    x, mask = sequences(), torch.ones(6, 5, dtype=torch.bool)
    x[2, 3], mask[2, 3] = torch.nan, False
    model = nn.Identity()
    with record(model, [""]) as recording:
        recording.mask = mask
        model(x)
    assert recording[""].n == 29
    with pytest.raises(ValueError, match="4 values that are NaN"), record(model, [""]):
        model(x)


def test_channels_of_images_are_units():
    model = networks.convnet((3, 5), seed=1)
    x = torch.rand(7, 64, generator=torch.Generator().manual_seed(0))
    with record(model, {"2": 1, "7": -1}) as recording:
        model(x)
    maps = model[:3](x)
    channels = maps.movedim(1, -1).reshape(-1, 3)
    assert recording["2"].n == len(channels) == 7 * 64
    torch.testing.assert_close(recording["2"].mean, channels.detach().double().mean(0))
    assert recording["7"].n == 7


class Outputs(OrderedDict):
    """Like the outputs of Hugging Face's models: a dictionary whose first value is what counts."""


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.linear = kind, nn.Linear(4, 4)

    def forward(self, x):
        h = self.linear(x)
        return {
            "tuple": (h, (x, x)),
            "list": [h],
            "nested": (None, (h, x)),
            "dict": Outputs(last_hidden_state=h, past_key_values=(x, x)),
        }[self.kind]


@pytest.mark.parametrize("kind", ["tuple", "list", "nested", "dict"])
def test_the_first_tensor_of_an_output_is_taken(kind):
    model, x = Block(kind), sequences()
    with record(model, ["", "linear"]) as recording:
        model(x)
    assert torch.equal(recording[""].mean, recording["linear"].mean)
    assert recording[""].n == 30


def test_a_layer_that_runs_twice_counts_twice():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 6), relu, nn.Linear(6, 6), relu)
    with record(model, ["1"]) as recording:
        model(batches([5], 4)[0])
    assert recording["1"].n == 10


def test_a_model_of_hugging_face_is_recorded_by_the_same_call():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=20,
        n_positions=16,
        n_embd=12,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    tokens = torch.randint(0, 20, (3, 9), generator=torch.Generator().manual_seed(0))
    layers = ["transformer.h.0", "transformer.h.1", "transformer.h.1.mlp.act", "transformer"]
    with record(model, layers, by_position=True) as recording, torch.no_grad():
        states = model(tokens, output_hidden_states=True).hidden_states
    torch.testing.assert_close(
        recording["transformer"].mean, states[-1].double().mean((0, 1)), rtol=1e-5, atol=1e-6
    )
    assert recording["transformer.h.0"].n == 27
    assert len(recording["transformer.h.1"].by_position["Hoyer"]) == 9
    for p, moments in enumerate(recording["transformer.h.0"].by_position["Hoyer"]):
        assert float(moments.mean) == pytest.approx(float(probes.hoyer(states[1][:, p]).mean()))


def test_padding_of_a_model_of_hugging_face_does_not_count():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    draw = torch.Generator().manual_seed(0)
    tokens, lengths = torch.randint(1, 20, (3, 9), generator=draw), (9, 4, 6)
    attended = torch.tensor([[p < length for p in range(9)] for length in lengths])
    layers = ["encoder.layer.0", "encoder.layer.1.intermediate.intermediate_act_fn", ""]
    with record(model, layers, by_position=True) as recording, torch.no_grad():
        recording.mask = attended
        states = model(tokens, attention_mask=attended, output_hidden_states=True).hidden_states
    assert all(recording[name].n == sum(lengths) for name in layers)
    assert len(recording[layers[1]].mean) == 24
    torch.testing.assert_close(recording[""].mean, states[-1][attended].double().mean(0))
    for p, moments in enumerate(recording["encoder.layer.0"].by_position["Hoyer"]):
        rows = states[1][attended[:, p], p]
        assert moments.n == len(rows) == sum(length > p for length in lengths)
        assert float(moments.mean) == pytest.approx(float(probes.hoyer(rows).mean()))


# --- Bad input ------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    model = networks.mlp((4, 8, 2), seed=1)
    with pytest.raises(ValueError, match="sample"), record(model, ["0"], sample=0):
        pass
    for layers in ("0", []):
        with pytest.raises(ValueError, match="list of at least one name"), record(model, layers):
            pass
    with record(model, ["1"]) as recording:
        pass
    with pytest.raises(ValueError, match="put nothing out"):
        recording["1"]
    with pytest.raises(KeyError):
        recording["0"]
    for bad in (torch.tensor([1, 2]), None, torch.rand(3)):
        module = nn.Module()
        module.forward = lambda x, bad=bad: bad
        with pytest.raises(ValueError, match="must put out floats"), record(module, [""]):
            module(torch.rand(2))
    identity = nn.Identity()
    with record(identity, [""]):
        identity(torch.rand(2, 3))
        with pytest.raises(ValueError, match="had 3 units, and now 4"):
            identity(torch.rand(2, 4))


# --- Cost -----------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A block as in transformers: what is recorded is d wide, what it computes 4 d."""

    def __init__(self, d):
        super().__init__()
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


@pytest.mark.slow
def test_it_costs_little_beside_the_forward_pass():
    """At most 15%, in processor time and side by side, whatever else the machine does."""
    model = nn.Sequential(Residual(1024), Residual(1024))
    x = torch.randn(256, 1024, generator=torch.Generator().manual_seed(0))

    def seconds():
        start = time.process_time()
        model(x)
        return time.process_time() - start

    with torch.no_grad():
        model(x)
        ratios = []
        for _ in range(15):
            plain = seconds()
            with record(model, ["0", "1"]):
                ratios.append(seconds() / plain)
    assert np.median(ratios) < 1.15


def test_memory_does_not_grow_with_the_number_of_batches():
    model = nn.Identity()
    x = torch.randn(64, 3, 16, generator=torch.Generator().manual_seed(0))

    def kept(statistics):
        tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
        own = [
            t.untyped_storage().nbytes() for t in vars(statistics).values() if torch.is_tensor(t)
        ]
        return len(tensors), sum(own)

    with record(model, [""], by_position=True, sample=32) as recording:
        sizes = []
        for number in range(1, 41):
            model(x)
            if number in (5, 40):
                gc.collect()
                sizes.append(kept(recording[""]))
    assert sizes[0] == sizes[1]


def test_the_same_call_serves_any_object_with_a_forward_pass():
    """Chapter 13's networks, whose last hidden layer is the one before the last linear layer."""
    found = SimpleNamespace()
    for build, hidden in ((networks.mlp, "3"), (networks.convnet, "7")):
        model = build(seed=1)
        with record(model, [hidden]) as recording:
            model(torch.rand(5, 64, generator=torch.Generator().manual_seed(3)))
        found.n = recording[hidden].n
        assert found.n == 5
