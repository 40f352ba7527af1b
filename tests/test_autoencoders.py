"""The autoencoder and its activations: against plain formulas, and gradients worked by hand."""

import math

import pytest
import torch
from torch import nn

from course_lib import autoencoders as ae
from course_lib.autoencoders import activations
from course_lib.seeds import generator

D, N = 5, 8  # inputs and latents


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"))


def build(activation=None, *, seed=3, d_sae=N, **kwargs):
    """An autoencoder whose parameters are all different from zero and from one another."""
    model = ae.SparseAutoencoder(D, d_sae, activation, seed=seed, **kwargs)
    draw = generator(seed, "test parameters")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    model.project()
    return model


def scalar(tensor):
    return float(tensor.detach())


def every_activation():
    return [nn.ReLU(), ae.TopK(2), ae.BatchTopK(2), ae.JumpReLU(N), ae.Gated(N)]


every = pytest.mark.parametrize("activation", every_activation(), ids=lambda a: type(a).__name__)


# --- The model ------------------------------------------------------------------------------------


def test_shapes_names_and_the_tied_start(global_generators):
    model = ae.SparseAutoencoder(D, N, seed=0)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == {"W_enc": (D, N), "b_enc": (N,), "W_dec": (N, D), "b_dec": (D,)}
    assert torch.equal(model.W_enc, model.W_dec.t())
    assert torch.allclose(model.W_dec.norm(dim=1), torch.ones(N))
    untied = ae.SparseAutoencoder(D, N, seed=0, tied=False)
    assert torch.equal(untied.W_dec, model.W_dec)
    assert torch.allclose(untied.W_enc.norm(dim=0), torch.ones(N))
    assert float((untied.W_enc * model.W_enc).detach().sum(0).mean().abs()) < 0.7
    assert not torch.equal(ae.SparseAutoencoder(D, N, seed=1).W_dec, model.W_dec)


def test_forward_is_the_formula():
    model, x = build(), normal(7, D)
    pre = (x - model.b_dec) @ model.W_enc + model.b_enc
    output = model(x)
    assert torch.equal(output.pre_activations, pre)
    assert torch.equal(output.latents, pre.relu())
    assert torch.allclose(output.reconstruction, pre.relu() @ model.W_dec + model.b_dec)
    assert torch.equal(model.encode(x), output.latents)
    assert torch.equal(model.decode(output.latents), output.reconstruction)


@every
def test_leading_dimensions_are_rows(activation):
    model, x = build(activation).train(), normal(3, 4, D)
    flat, deep = model(x.view(12, D)), model(x)
    for one, other in zip(flat, deep, strict=True):
        assert torch.equal(one, other.view(one.shape))
    model.eval()  # BatchTopK has a threshold by now
    assert torch.allclose(model(x[1, 2]).latents, model(x).latents[1, 2], atol=1e-6)


def test_normalisation_stays_with_the_model_and_leaves_the_data_alone():
    x = 3 * normal(200, D) + 40
    before = x.clone()
    plain, model = build(), build()
    model.set_normalisation(x)
    assert torch.equal(x, before)
    inside = model.normalise(x)
    assert torch.allclose(inside.mean(0), torch.zeros(D), atol=1e-4)
    assert float(inside.square().sum(1).mean()) == pytest.approx(D, rel=1e-5)
    # What it puts out is in the units of the input: that of a plain one, scaled and moved.
    scale, mean = model.input_scale, model.input_mean
    assert torch.allclose(model(x).reconstruction, plain(inside).reconstruction * scale + mean)
    only_centred = build()
    only_centred.set_normalisation(x, scale=False)
    assert float(only_centred.input_scale) == 1
    assert torch.allclose(only_centred.normalise(x), x - x.mean(0), atol=1e-4)


def test_decoder_bias_starts_at_the_centre():
    x = normal(400, D) + 2
    x[:20] += 1000
    model = build()
    model.set_decoder_bias(x)
    assert float((model.b_dec.detach() - 2).norm()) < 0.5, "a few far inputs do not move the median"
    # At the median, the unit vectors towards the inputs cancel out.
    directions = nn.functional.normalize(x.double() - model.b_dec.detach().double(), dim=1)
    assert float(directions.mean(0).norm()) < 1e-4
    model.set_decoder_bias(x, by="mean")
    assert torch.allclose(model.b_dec, x.mean(0), rtol=1e-5)
    # The point of a triangle with an angle above 120° is that corner itself.
    corner = torch.tensor([[0.0, 0.0], [5.0, 0.5], [-5.0, 0.5]])
    assert torch.allclose(ae.geometric_median(corner, steps=2000), corner[0], atol=1e-2)
    assert torch.equal(ae.geometric_median(torch.ones(4, 3)), torch.ones(3))


def test_decoder_rows_have_norm_one_after_the_step_not_before_it():
    model, x = build(), normal(64, D)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(3):
        optimiser.zero_grad()
        ae.reconstruction_loss(model, x, model(x)).backward()
        whole = model.W_dec.grad.clone()
        model.remove_parallel_gradient()
        left = model.W_dec.grad
        assert torch.allclose((left * model.W_dec).sum(1), torch.zeros(N), atol=1e-5)
        removed = nn.functional.normalize(whole - left, dim=1)
        assert torch.allclose((removed * model.W_dec).sum(1).abs(), torch.ones(N), atol=1e-4)
        optimiser.step()
        assert (model.W_dec.norm(dim=1) - 1).abs().max() > 1e-4
        model.project()
        assert torch.allclose(model.W_dec.norm(dim=1), torch.ones(N), atol=1e-6)


# --- TopK -----------------------------------------------------------------------------------------


def test_top_k_with_all_latents_is_a_linear_autoencoder():
    model, x = build(ae.TopK(N, rectify=False)), normal(20, D)
    linear = nn.Sequential(nn.Linear(D, N), nn.Linear(N, D))
    with torch.no_grad():
        linear[0].weight.copy_(model.W_enc.t())
        linear[0].bias.copy_(model.b_enc - model.b_dec @ model.W_enc)
        linear[1].weight.copy_(model.W_dec.t())
        linear[1].bias.copy_(model.b_dec)
    assert (linear[0](x) < 0).any()
    assert torch.allclose(model(x).reconstruction, linear(x), atol=1e-5)
    rectified = build(ae.TopK(N))
    assert torch.equal(rectified(x).latents, build()(x).latents), "with ReLU, it is the ReLU one"


@pytest.mark.parametrize("rectify", [True, False])
def test_top_k_keeps_the_largest_with_ties(rectify):
    pre = torch.tensor([[3.0, 1.0, 2.0, -1.0], [1.0, 1.0, 1.0, 1.0], [-4.0, -1.0, -2.0, -3.0]])
    latents = ae.TopK(2, rectify=rectify)(pre)
    assert latents[0].tolist() == [3, 0, 2, 0]
    assert (latents[1] == 1).sum() == 2
    assert latents[2].tolist() == ([0, 0, 0, 0] if rectify else [0, -1, -2, 0])


@pytest.mark.parametrize("kind", [ae.TopK, ae.BatchTopK])
def test_no_gradient_where_a_latent_was_left_out_or_rectified(kind):
    pre = torch.tensor([[-1.0, -0.5, -3.0, 2.0]], requires_grad=True)
    kind(3)(pre).sum().backward()
    assert pre.grad.tolist() == [[0, 0, 0, 1]]


# --- BatchTopK ------------------------------------------------------------------------------------


def test_batch_top_k_keeps_k_an_input_on_average():
    activation = ae.BatchTopK(2)
    pre = torch.tensor([[5.0, 4.0, 3.0, 0.1], [1.0, 0.2, -2.0, -1.0]])
    assert activation(pre).tolist() == [[5, 4, 3, 0], [1, 0, 0, 0]]
    assert float(activation.threshold) == 1, "set by the first batch"
    activation(pre + 2)  # keeps 7, 6, 5 and 3
    assert float(activation.threshold) == 2, "the mean of the smallest kept, 1 and 3"


def test_the_same_input_has_the_same_latents_whatever_its_batch_mates():
    model, x = build(ae.BatchTopK(2)), normal(300, D)
    model.train()
    for batch in x.split(50):
        model(batch)
    alone = x[:1]
    louder, softer = torch.cat([alone, 100 * x[1:]]), torch.cat([alone, 0.01 * x[1:]])
    in_training = {int((model.encode(mates)[0] != 0).sum()) for mates in (louder, softer)}
    assert len(in_training) == 2, "in training they compete"
    model.eval()
    kept = model.encode(alone)[0]
    for mates in (louder, softer):
        assert torch.allclose(model.encode(mates)[0], kept, atol=1e-5)


def test_calibration_gives_k_latents_on_average():
    model, x = build(ae.BatchTopK(3)), normal(1000, D)
    threshold = ae.calibrate(model, x)
    assert threshold == float(model.activation.threshold)
    assert ae.l0(model.eval().encode(x)) == 3
    with torch.no_grad():
        model.b_enc -= 100
    with pytest.raises(ValueError, match="all latents are dead"):
        ae.calibrate(model, x)
    with pytest.raises(ValueError, match="only BatchTopK"):
        ae.calibrate(build(), x)


def test_without_a_threshold_it_refuses_to_guess():
    with pytest.raises(ValueError, match="no threshold yet"):
        build(ae.BatchTopK(2)).eval().encode(normal(3, D))


# --- JumpReLU -------------------------------------------------------------------------------------

# Three inputs, one latent: θ = 0.5, ε = 0.4, so the window is (0.3, 0.7). Inside are 0.4 and 0.6.
Z = [[0.4], [0.6], [0.9]]
G = [[1.0], [2.0], [4.0]]  # the gradient that comes from above


def jump(log, bandwidth=0.4):
    activation = ae.JumpReLU(1, threshold=0.5, bandwidth=bandwidth, log=log)
    return activation, activation.log_threshold if log else activation.threshold


@pytest.mark.parametrize("log", [False, True])
def test_pseudo_gradients_worked_by_hand(log):
    factor = 0.5 if log else 1.0  # dθ/d(log θ) = θ
    activation, parameter = jump(log)
    z = torch.tensor(Z, requires_grad=True)
    latents = activation(z)
    assert latents.flatten().tolist() == pytest.approx([0, 0.6, 0.9])
    latents.backward(torch.tensor(G))
    # −θ/ε · (1 · 1 + 1 · 2) over the two in the window.
    assert float(parameter.grad) == pytest.approx(-0.5 / 0.4 * 3 * factor)
    assert z.grad.tolist() == [[0], [2], [4]], "none through what was zeroed"

    activation, parameter = jump(log)
    z = torch.tensor(Z, requires_grad=True)
    counts = activation.l0(z)
    assert counts.tolist() == [0, 1, 1]
    counts.backward(torch.tensor(G).squeeze(1))
    assert float(parameter.grad) == pytest.approx(-1 / 0.4 * 3 * factor)
    assert z.grad is None or not z.grad.any()


def test_pseudo_gradients_estimate_the_slope_of_the_mean_loss():
    """Over many inputs, they are the finite difference of what has no gradient for one input."""
    z = 1.5 * torch.rand(400_000, 1, generator=generator(0, "test"), dtype=torch.float64)
    activation, theta = jump(log=False, bandwidth=0.02)

    def mean(value):
        active = z > value
        return float((3 * (z * active - 1) ** 2 + 0.7 * active).mean())

    latents = activation(z)
    (3 * (latents - 1) ** 2 + 0.7 * activation.l0(z).unsqueeze(1)).mean().backward()
    slope = (mean(0.52) - mean(0.48)) / 0.04
    assert float(theta.grad) == pytest.approx(slope, rel=0.05)


def test_thresholds_stay_at_least_zero():
    model = build(ae.JumpReLU(N, log=False))
    with torch.no_grad():
        model.activation.threshold[2] = -0.3
    model.project()
    assert float(model.activation.threshold.detach().min()) == 0
    assert (build(ae.JumpReLU(N)).activation.theta > 0).all()


def test_the_kernel_is_a_rectangle():
    u = torch.tensor([-0.6, -0.5, -0.49, 0.0, 0.49, 0.5, 0.6])
    assert activations.rectangle(u).tolist() == [0, 0, 1, 1, 1, 0, 0]


# --- Gated ----------------------------------------------------------------------------------------


def test_gated_is_the_formula():
    model, x = build(ae.Gated(N)), normal(30, D)
    gate = (x - model.b_dec) @ model.W_enc + model.b_enc
    W_mag = model.W_enc * model.activation.r_mag.exp()
    magnitude = ((x - model.b_dec) @ W_mag + model.activation.b_mag).relu()
    assert torch.allclose(model.encode(x), torch.where(gate > 0, magnitude, 0.0), atol=1e-6)
    assert scalar(ae.sparsity_loss(model, model(x))) == pytest.approx(
        scalar(gate.relu().sum(1).mean()), rel=1e-5
    )


def test_the_gates_auxiliary_loss_sends_no_gradient_to_the_decoder():
    model, x = build(ae.Gated(N)), normal(30, D)
    gate = ((x - model.b_dec) @ model.W_enc + model.b_enc).relu()
    expected = (gate @ model.W_dec + model.b_dec - x).square().sum(1).mean()
    loss = ae.gate_loss(model, x)
    assert scalar(loss) == pytest.approx(scalar(expected), rel=1e-5)
    loss.backward()
    assert model.W_dec.grad is None
    assert model.b_dec.grad is None
    assert model.W_enc.grad.abs().min(0).values.max() > 0
    assert model.b_enc.grad.any()


# --- The other losses -----------------------------------------------------------------------------


def test_penalties():
    x = normal(30, D)
    model = build()
    assert scalar(ae.sparsity_loss(model, model(x))) == pytest.approx(
        scalar(model.encode(x).sum() / 30), rel=1e-5
    )
    jumping = build(ae.JumpReLU(N))
    output = jumping(x)
    assert scalar(ae.sparsity_loss(jumping, output)) == pytest.approx(ae.l0(output.latents))
    for activation in (ae.TopK(2), ae.BatchTopK(2)):
        fixed = build(activation)
        with pytest.raises(ValueError, match="fixes L0 by k"):
            ae.sparsity_loss(fixed, fixed(x))


def test_losses_are_in_normalised_units():
    x = 20 * normal(50, D) + 3
    model = build()
    model.set_normalisation(x)
    plain = build()
    inside = model.normalise(x)
    given = ae.reconstruction_loss(model, x, model(x))
    assert scalar(given) == pytest.approx(
        scalar(ae.reconstruction_loss(plain, inside, plain(inside))), rel=1e-4
    )


@every
def test_aux_k_teaches_the_dead_and_only_them(activation):
    """A fused encoder that drops the gradient of pre-activations teaches the encoder nothing."""
    model, x = build(activation), normal(40, D)
    dead = torch.zeros(N, dtype=torch.bool)
    dead[[1, 4, 6]] = True
    output = model(x)
    ae.aux_k_loss(model, x, output, dead, 2).backward()
    for gradient in (model.W_enc.grad.t(), model.W_dec.grad, model.b_enc.grad.unsqueeze(1)):
        assert (gradient[dead].abs().sum(1) > 0).all()
        assert not gradient[~dead].any(), "the error they are to explain is a constant"


def test_aux_k_is_the_formula():
    model, x = build(ae.TopK(2)), normal(40, D)
    dead = torch.arange(N) >= 5
    output = model(x)
    error = x - output.reconstruction
    pre = output.pre_activations[:, 5:]
    kept = torch.where(pre > pre.min(1, keepdim=True).values, pre.relu(), 0.0)  # 2 of 3, rectified
    assert (pre < 0).any()
    expected = (error - kept @ model.W_dec[5:]).square().sum(1).mean()
    assert scalar(ae.aux_k_loss(model, x, output, dead, 2)) == pytest.approx(scalar(expected))
    none = torch.zeros(N, dtype=torch.bool)
    assert scalar(ae.aux_k_loss(model, x, output, none, 2)) == 0
    everything = ae.aux_k_loss(model, x, output, ~none, 100)
    assert torch.isfinite(everything)


# --- Files ----------------------------------------------------------------------------------------


@every
def test_saved_and_loaded_it_is_the_same(activation, tmp_path):
    model, x = build(activation), 5 * normal(60, D) + 1
    model.set_normalisation(x)
    if isinstance(activation, ae.BatchTopK):
        ae.calibrate(model, x)  # the threshold is saved too
    model.eval()
    ae.save(model, tmp_path / "sae.safetensors")
    again = ae.load(tmp_path / "sae.safetensors")
    assert not again.training
    assert again.settings() == model.settings()
    for one, other in zip(model(x), again(x), strict=True):
        assert torch.equal(one, other)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        ae.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("not tensors")
    with pytest.raises(ValueError, match="is not a file of autoencoders.save"):
        ae.load(tmp_path / "text")
    from safetensors.torch import save_file

    save_file({"W_enc": torch.ones(2, 2)}, tmp_path / "other")
    with pytest.raises(ValueError, match="is not a file of autoencoders.save"):
        ae.load(tmp_path / "other")


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(3, D + 1), r"x must have shape \(…, 5\); got \(3, 6\)"),
        (torch.ones(0, D), "x is empty"),
        (torch.tensor([1.0, 2, math.nan, 4, 5]), "1 values that are NaN or infinite"),
        (torch.full((2, D), -math.inf), "10 values that are NaN or infinite"),
        (torch.ones(3, D, dtype=torch.int64), "must be a tensor of floats; got torch.int64"),
        (torch.ones(3, D, dtype=torch.float64), "x must be torch.float32"),
        ([1.0] * D, "must be a tensor of floats; got list"),
    ],
)
@pytest.mark.parametrize("method", ["encode", "forward", "normalise", "set_decoder_bias"])
def test_bad_inputs_are_refused(method, x, message):
    with pytest.raises(ValueError, match=message):
        getattr(build(), method)(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(ae.TopK(N + 1)), "k = 9 is more than the 8 latents"),
        (lambda: build(ae.BatchTopK(N + 1)), "k = 9 is more than the 8 latents"),
        (lambda: ae.TopK(0), "k must be a whole number"),
        (lambda: ae.BatchTopK(2.5), "k must be a whole number"),
        (lambda: ae.JumpReLU(N, bandwidth=0.0), "bandwidth must be above 0"),
        (lambda: ae.JumpReLU(N, threshold=-1.0), "threshold must be above 0"),
        (lambda: build(ae.JumpReLU(N + 1)), "JumpReLU is made for 9 latents"),
        (lambda: build(nn.GELU()), "activation must be one of ReLU, TopK"),
        (lambda: ae.SparseAutoencoder(0, 4, seed=0), "d_in must be a whole number"),
        (lambda: ae.SparseAutoencoder(4, 4, seed=-1), "seed must be a whole number"),
        (lambda: build().set_normalisation(torch.ones(9, D)), "x is constant"),
        (lambda: build().set_normalisation(torch.ones(0, D)), "x is empty"),
        (lambda: build().set_normalisation(torch.full((9, D), math.nan)), "45 values that are NaN"),
        (lambda: build().set_normalisation(torch.zeros(9, D), centre=False), "x is zero"),
        (lambda: build().set_decoder_bias(torch.ones(9, D), by="mode"), "by is"),
        (lambda: build().decode(torch.ones(3, N - 1)), r"latents must have shape \(…, 8\)"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
