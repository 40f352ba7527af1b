"""Training autoencoders: what is found, what stays exact, and a run that is killed and goes on."""

import math
import warnings

import pytest
import torch
from torch import nn

from course_lib import autoencoders as ae
from course_lib import files
from course_lib.autoencoders import fitting
from course_lib.data.planted import planted_features
from course_lib.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"))


def orthogonal(d):
    return torch.linalg.qr(normal(d, d)).Q


@pytest.fixture(scope="module")
def planted():
    return planted_features(2000, d=12, n_features=24, seed=0, probability=0.08)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal_states(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def build(activation=None, d_sae=24, seed=0, **kwargs):
    return ae.SparseAutoencoder(12, d_sae, activation, seed=seed, **kwargs)


# --- What is found --------------------------------------------------------------------------------


def test_the_truth_as_a_start_stays_at_the_noise_floor():
    d, noise = 16, 0.05
    data = planted_features(
        4000, d=d, n_features=d, seed=0, probability=0.1, noise=noise, dictionary=orthogonal(d)
    )
    model = ae.SparseAutoencoder(d, d, ae.BatchTopK(2), seed=0)
    with torch.no_grad():
        model.W_dec.copy_(data.dictionary)
        model.W_enc.copy_(data.dictionary.t())
    ae.calibrate(model, data.x)
    floor = noise**2
    assert ae.evaluate(model, data.x).mse < 1.01 * floor
    ae.fit(model, data.x, steps=300, seed=0, schedule=ae.trapezoid())
    assert ae.evaluate(model, data.x).mse < 1.01 * floor
    assert ae.mmcs(model.W_dec, data.dictionary) > 0.99


@pytest.mark.parametrize("seed", [0, 1])
def test_top_k_recovers_all_orthogonal_features(seed):
    d = 12
    data = planted_features(
        4000, d=d, n_features=d, seed=seed, probability=0.1, dictionary=orthogonal(d)
    )
    # k = 4 is enough for nearly all inputs. Too small a k leaves minima in which one feature is
    # always on and a latent of the opposite direction takes it away.
    model = ae.SparseAutoencoder(d, d, ae.TopK(4), seed=seed)
    assert ae.recovered(model.W_dec, data.dictionary) == 0
    history = ae.fit(
        model, data.x, steps=800, seed=seed, learning_rate=1e-2, schedule=ae.trapezoid()
    )
    assert ae.recovered(model.W_dec, data.dictionary) == 1
    assert float(ae.match(model.W_dec, data.dictionary).cosine.min()) > 0.95
    assert history["fvu"].iloc[-1] < 0.01


def test_the_history_says_what_happened(planted, global_generators):
    model = build(ae.TopK(2))
    before = planted.x.clone()
    history = ae.fit(model, planted.x, steps=45, seed=0, evaluate_every=20)
    assert torch.equal(planted.x, before)
    assert history.columns.tolist() == ["step", "loss", "l0", "fvu", "dead"]
    assert history["step"].tolist() == [20, 40, 45]
    assert (history["l0"] <= 2).all()
    assert history["loss"].is_monotonic_decreasing
    # The loss of a batch is FVU times its variance, when there is no penalty.
    variance = float((planted.x - planted.x.mean(0)).square().sum(1).mean())
    assert history["loss"].iloc[0] == pytest.approx(history["fvu"].iloc[0] * variance, rel=0.02)
    assert not model.training
    assert torch.allclose(model.W_dec.norm(dim=1), torch.ones(24), atol=1e-6)


ACTIVATIONS = {
    "ReLU": (nn.ReLU, {"penalty": 0.1}),
    "TopK": (lambda: ae.TopK(2), {"aux_k": 6, "dead_after": 20}),
    "BatchTopK": (lambda: ae.BatchTopK(2), {"aux_k": 6, "dead_after": 20}),
    "JumpReLU": (lambda: ae.JumpReLU(24), {"penalty": 0.05}),
    "Gated": (lambda: ae.Gated(24), {"penalty": 0.2}),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_trains_and_the_same_seed_gives_the_same(name, planted):
    activation, settings = ACTIVATIONS[name]
    first, second, third = build(activation()), build(activation()), build(activation())
    settings = {"steps": 150, "learning_rate": 5e-3} | settings
    history = ae.fit(first, planted.x, seed=4, **settings)
    ae.fit(second, planted.x, seed=4, **settings)
    ae.fit(third, planted.x, seed=5, **settings)
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]
    assert_equal_states(state(first), state(second))
    assert not torch.equal(first.W_dec, third.W_dec)
    assert all(torch.isfinite(value).all() for value in first.state_dict().values())


def test_penalties_make_latents_sparse(planted):
    for name in ("ReLU", "JumpReLU", "Gated"):
        activation, _ = ACTIVATIONS[name]
        l0 = []
        for penalty in (0.02, 0.5):
            model = build(activation())
            ae.fit(model, planted.x, steps=200, seed=0, learning_rate=5e-3, penalty=penalty)
            l0.append(ae.evaluate(model, planted.x).l0)
        assert l0[1] < 0.7 * l0[0], name


@pytest.mark.parametrize("k", [1, 3])
def test_the_threshold_gives_the_l0_of_training(k, planted):
    model = build(ae.BatchTopK(k))
    history = ae.fit(model, planted.x, steps=300, seed=0, learning_rate=5e-3)
    found = ae.evaluate(model, planted.x)
    assert found.l0 == pytest.approx(history["l0"].iloc[-1], rel=0.02)
    assert found.l0 == pytest.approx(k, rel=0.02)
    assert ae.evaluate(model, planted.x, batch_size=1).l0 == pytest.approx(found.l0, rel=1e-3)
    fresh = planted_features(
        2000, d=12, n_features=24, seed=1, probability=0.08, dictionary=planted.dictionary
    )
    assert ae.evaluate(model, fresh.x).l0 == pytest.approx(k, rel=0.06)


def test_the_threshold_of_a_stream_of_batches(planted):
    model = build(ae.BatchTopK(2))
    ae.fit(model, iter(planted.x.repeat(10, 1).split(100)), steps=200, seed=0)
    assert ae.evaluate(model, planted.x).l0 == pytest.approx(2, rel=0.02)


# --- Schedules ------------------------------------------------------------------------------------


def test_schedules():
    k = ae.linear(500, 50, until=0.8)
    assert [k(t) for t in (0, 0.4, 0.8, 1)] == pytest.approx([500, 275, 50, 50])
    factor = ae.trapezoid(warm_up=0.1, decay=0.5)
    assert [factor(t) for t in (0, 0.05, 0.1, 0.5, 0.75, 1)] == pytest.approx(
        [0, 0.5, 1, 1, 0.5, 0]
    )
    assert ae.trapezoid(warm_up=0, decay=0)(0) == 1
    with pytest.raises(ValueError, match="together|at most 1"):
        ae.trapezoid(warm_up=0.6, decay=0.6)
    with pytest.raises(ValueError, match="until must be above 0"):
        ae.linear(0, 1, until=0)


def test_k_follows_its_schedule(planted):
    model = build(ae.TopK(12, rectify=False))
    schedule = ae.linear(12, 2, until=0.5)
    x = planted.x + 0.1 * normal(*planted.x.shape)  # no input is zero
    history = ae.fit(model, x, steps=40, seed=0, evaluate_every=1, k_schedule=schedule)
    assert history["l0"].tolist() == [round(schedule(step / 40)) for step in range(40)]
    assert model.activation.k == 2


def test_a_penalty_that_is_brought_in(planted):
    """With a factor of zero throughout, a penalty is none."""
    models = build(), build()
    common = {"steps": 30, "seed": 0}
    ae.fit(models[0], planted.x, penalty=0.3, penalty_schedule=ae.linear(0, 0), **common)
    ae.fit(models[1], planted.x, **common)
    assert torch.allclose(models[0].W_dec, models[1].W_dec, atol=1e-6)


# --- Dead latents ---------------------------------------------------------------------------------


def with_dead(activation, n=10):
    """An autoencoder whose last n latents are out of reach of any input."""
    model = build(activation)
    with torch.no_grad():
        model.b_enc[-n:] = -3
    return model


def test_resampling_brings_dead_latents_back(planted):
    dead = []
    for at in ([], [100, 200]):
        model = with_dead(ae.TopK(3))
        ae.fit(model, planted.x, steps=400, seed=0, dead_after=50, resample_at=at)
        dead.append(ae.evaluate(model, planted.x).dead_fraction)
    assert dead[0] >= 10 / 24
    assert dead[1] < 0.15


def test_a_latent_that_was_just_started_anew_is_given_time(planted):
    models = []
    for at in ([100], [100, 101, 120]):
        models.append(with_dead(ae.TopK(3)))
        ae.fit(models[-1], planted.x, steps=130, seed=0, dead_after=50, resample_at=at)
    assert_equal_states(state(models[0]), state(models[1]))


def test_adam_remembers_no_gradient_along_the_rows(planted, tmp_path):
    model = build()
    rows = model.W_dec.detach().clone()
    ae.fit(model, planted.x, steps=1, seed=0, checkpoint=tmp_path / "run")
    tensors, _ = files.read_tensors(tmp_path / "run", of="fit")
    i = [name for name, _ in model.named_parameters()].index("W_dec")
    mean = tensors[f"optimiser.{i}.exp_avg"]
    assert (mean * rows).sum(1).abs().max() < 1e-6 < mean.norm(dim=1).max()


def test_aux_k_brings_latents_back_that_lose_the_competition(planted):
    x, dead = planted.x + 1, []  # uncentred: a few latents win for every input
    for cure in ({}, {"aux_k": 6}):
        model = build(ae.TopK(4), d_sae=40)
        ae.fit(model, x, steps=400, seed=0, learning_rate=3e-3, dead_after=20, **cure)
        dead.append(ae.evaluate(model, x).dead_fraction)
    assert dead[0] > 0.2
    assert dead[1] < dead[0] - 0.1


def test_resampling_points_dead_latents_at_what_is_missed(planted):
    model = with_dead(nn.ReLU())
    model.set_normalisation(planted.x)
    optimiser = torch.optim.Adam(model.parameters())
    ae.reconstruction_loss(model, planted.x, model(planted.x)).backward()
    optimiser.step()
    dead = torch.arange(24) >= 14
    before = state(model)
    n = ae.resample(model, planted.x, dead, draw=generator(0, "test"), optimiser=optimiser)
    assert n == 10
    after = model.state_dict()
    wanted = nn.functional.normalize(model.normalise(planted.x) - model.b_dec, dim=1).detach()
    assert ((after["W_dec"][dead] @ wanted.t()).amax(1) > 1 - 1e-5).all(), "they are inputs"
    mean = before["W_enc"][:, ~dead].norm(dim=0).mean()
    assert torch.allclose(after["W_enc"][:, dead], 0.2 * mean * after["W_dec"][dead].t())
    assert not after["b_enc"][dead].any()
    for name in ("W_enc", "b_enc", "W_dec"):
        columns = (slice(None), ~dead) if name == "W_enc" else ~dead
        assert torch.equal(after[name][columns], before[name][columns]), "the living are left alone"
    for parameter, rows in ((model.W_enc, (slice(None), dead)), (model.W_dec, dead)):
        for moment in ("exp_avg", "exp_avg_sq"):
            values = optimiser.state[parameter][moment]
            assert not values[rows].any()
            assert values.any()
    assert ae.dead_fraction(model.encode(planted.x)) == 0


def test_inputs_are_drawn_by_their_squared_loss():
    x = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])  # losses 9, 4 and 0
    counts = torch.zeros(2)
    for i in range(400):
        model = ae.SparseAutoencoder(2, 3, ae.TopK(1), seed=0)
        with torch.no_grad():
            model.b_enc -= 50
        dead = torch.tensor([True, False, False])
        ae.resample(model, x, dead, draw=generator(i, "test"))
        counts += (model.W_dec[0].detach() > 0.99).float()
    assert float(counts.sum()) == 400
    assert float(counts[0]) / 400 == pytest.approx(81 / 97, abs=0.06)


def test_resampling_at_its_limits(planted):
    model = build(ae.Gated(24))
    nobody = torch.zeros(24, dtype=torch.bool)
    draw = generator(0, "test")
    assert ae.resample(model, planted.x, nobody, draw=draw) == 0
    assert ae.resample(model, planted.x, ~nobody, draw=draw) == 24, "all of them dead"
    assert ae.resample(model, planted.x[:3], ~nobody, draw=draw) == 24, "fewer inputs than dead"
    jumping = build(ae.JumpReLU(24, threshold=0.3))
    with torch.no_grad():
        jumping.activation.log_threshold += 2
    ae.resample(jumping, planted.x, ~nobody, draw=draw)
    assert torch.allclose(jumping.activation.theta, torch.full((24,), 0.3))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    with pytest.raises(ValueError, match="dead must be boolean"):
        ae.resample(model, planted.x, torch.zeros(24), draw=draw)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_all_latents_dead_is_said_and_nothing_is_nan(name, planted):
    activation, settings = ACTIVATIONS[name]
    model = build(activation())
    with torch.no_grad():
        model.b_enc -= 100
    with pytest.warns(RuntimeWarning, match="all latents are dead"):
        history = ae.fit(model, planted.x, steps=20, seed=0, evaluate_every=20, **settings)
    assert history["dead"].tolist() == [1]
    assert history["l0"].tolist() == [0]
    finite = [v for n, v in model.state_dict().items() if n != "activation.threshold"]
    assert all(torch.isfinite(value).all() for value in finite)


# --- Killed and resumed ---------------------------------------------------------------------------

RESUMED = {
    "relu": (nn.ReLU, {"penalty": 0.1, "penalty_schedule": ae.linear(0, 1, until=0.5)}),
    "topk": (
        lambda: ae.TopK(6),
        {"k_schedule": ae.linear(6, 2, until=0.6), "aux_k": 6, "dead_after": 15},
    ),
    "batchtopk": (lambda: ae.BatchTopK(2), {"schedule": ae.trapezoid(), "aux_k": 6}),
    "jumprelu": (lambda: ae.JumpReLU(24, log=False), {"penalty": 0.1}),
    "gated": (lambda: ae.Gated(24), {"penalty": 0.2, "resample_at": [45], "dead_after": 20}),
}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("as_batches", [False, True])
@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_run_resumes_to_the_same_weights(name, as_batches, planted, tmp_path):
    activation, settings = RESUMED[name]
    settings = {"steps": 60, "seed": 1, "batch_size": 150, "evaluate_every": 10} | settings
    batches = planted.x.repeat(5, 1).split(150)

    def data(until=None):
        if not as_batches and until is None:
            return planted.x
        return dying(until)

    def dying(until):
        for step, batch in enumerate(batches):
            if step == until:
                raise KilledError
            yield batch

    whole = with_dead(activation())
    history = ae.fit(whole, data(), **settings)

    path = tmp_path / "run.safetensors"
    killed = with_dead(activation())
    if as_batches:
        with pytest.raises(KilledError):
            ae.fit(killed, data(until=37), checkpoint=path, **settings)
    else:
        kill_at_row(killed, planted.x, path, settings, row=3)
    resumed = build(activation(), seed=9)  # its weights come from the file
    again = ae.fit(resumed, data(), checkpoint=path, **settings)
    assert_equal_states(state(resumed), state(whole))
    assert again.equals(history)
    assert resumed.settings() == whole.settings()
    # Once it is done, it is only read.
    done = build(activation())
    assert ae.fit(done, data(), checkpoint=path, **settings).equals(history)
    assert_equal_states(state(done), state(whole))


def kill_at_row(model, x, path, settings, row):
    """Stop a training on a tensor in the middle of the steps after a row."""
    calls = []
    original = fitting.losses.reconstruction_loss

    def count(*args):
        calls.append(1)
        if len(calls) == row * settings["evaluate_every"] + 5:
            raise KilledError
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting.losses, "reconstruction_loss", count)
        with pytest.raises(KilledError):
            ae.fit(model, x, checkpoint=path, **settings)


def test_a_checkpoint_of_another_training_is_refused(planted, tmp_path):
    path = tmp_path / "run.safetensors"
    settings = {"steps": 10, "seed": 0, "checkpoint": path}
    ae.fit(build(), planted.x, **settings)
    for changed, message in (
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"schedule": ae.trapezoid()}, "schedule: None then"),
    ):
        with pytest.raises(ValueError, match=f"of another training .*{message}"):
            ae.fit(build(), planted.x, **settings | changed)
    with pytest.raises(ValueError, match="of another training .*data"):
        ae.fit(build(), planted.x + 1, **settings)
    with pytest.raises(ValueError, match="of another training .*autoencoder"):
        ae.fit(build(d_sae=25), planted.x, **settings)
    ae.save(build(), path)
    with pytest.raises(ValueError, match="is not a checkpoint of fit"):
        ae.fit(build(), planted.x, **settings)
    path.unlink()
    ae.fit(build(), planted.x, **settings)
    with pytest.raises(ValueError, match="autoencoders.save"):
        ae.load(path)


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": torch.ones(300, 13)}, r"data must have shape \(…, 12\)"),
        ({"data": torch.ones(0, 12)}, "data is empty"),
        ({"data": torch.ones(300, 12)}, "data is constant"),
        ({"data": torch.full((300, 12), math.inf)}, "NaN or infinite"),
        ({"data": normal(100, 12)}, "n at least batch_size=256"),
        ({"data": iter([normal(50, 12)] * 2)}, "data gave 2 batches, and steps=5 needs one each"),
        ({"data": iter([normal(50, 12) / 0])}, "a batch holds"),
        ({"data": []}, "data gave 0 batches"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0"),
        ({"penalty": -1.0}, "penalty must be at least 0"),
        ({"penalty": 0.1}, "TopK fixes L0 by k"),
        ({"aux_k": -1}, "aux_k must be a whole number"),
        ({"k_schedule": ae.linear(2, 99)}, "k_schedule must stay between 1 and 24"),
        ({"model": build(), "k_schedule": ae.linear(2, 1)}, "ReLU has no k"),
        ({"resample_at": [0]}, "resample_at must be a whole number"),
        ({"seed": None}, "seed must be a whole number"),
    ],
)
def test_bad_input(arguments, message, planted):
    given = {"model": build(ae.TopK(2)), "data": planted.x, "steps": 5, "seed": 0} | arguments
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match=message):
        ae.fit(given.pop("model"), given.pop("data"), **given)


def test_a_loss_that_is_not_finite_stops_the_training(planted):
    with pytest.raises(FloatingPointError, match="by step 2; a smaller learning rate"):
        ae.fit(build(), planted.x, steps=20, seed=0, learning_rate=1e30)
