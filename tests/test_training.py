"""The training loop: against a plain loop, alone against stacked, and honest about the test set."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import data, networks, pruning, training
from course_lib.data import Split, Splits

SIZES = (64, 20, 12, 10)


class Poison:
    """Stands where the test set is; any look at it fails."""

    def __getattribute__(self, name):
        raise AssertionError(f"fit looked at the test set: {name}")


def small(seed, n_train=200, n_validation=90, **kwargs):
    """Return a part of the digits whose test set must not be looked at."""
    splits = data.digits(seed, **kwargs)
    return Splits(
        Split(*(t[:n_train] for t in splits.train)),
        Split(*(t[:n_validation] for t in splits.validation)),
        test=Poison(),
        held_out=Poison(),
    )


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_close(a, b, rtol=1e-4, atol=1e-5):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=rtol, atol=atol), (
            f"{name} differs by up to {(a[name] - b[name]).abs().max():.2e}"
        )


def plain_loop(model, splits, *, steps, seed, batch_size, learning_rate, weight_decay, rows):
    """Train as a textbook would, with nothing of ours, and return the history's rows."""
    x, y = splits.train
    opt = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(seed)
    step, losses, history = 0, [], []
    while step < steps:
        order = torch.randperm(len(y), generator=generator)
        for start in range(0, len(y) - batch_size + 1, batch_size):
            batch = order[start : start + batch_size]
            loss = F.cross_entropy(model(x[batch]), y[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()
            step += 1
            losses.append(loss.item())
            if step in rows:
                with torch.no_grad():
                    logits = model(splits.validation.x)
                history.append(
                    (
                        step,
                        np.mean(losses),
                        F.cross_entropy(logits, splits.validation.y).item(),
                        (logits.argmax(1) == splits.validation.y).float().mean().item(),
                    )
                )
                losses = []
            if step == steps:
                break
    return history


@pytest.mark.parametrize("network", ["mlp", "convnet"])
def test_fit_agrees_with_a_plain_loop(network):
    build, sizes = {"mlp": (networks.mlp, SIZES), "convnet": (networks.convnet, (4, 6))}[network]
    ours, plain, splits = build(sizes, seed=4), build(sizes, seed=4), small(3)
    options = {"steps": 23, "seed": 5, "batch_size": 30, "learning_rate": 3e-3, "weight_decay": 0.3}
    found = training.fit(ours, splits, evaluate_every=5, **options)
    expected = plain_loop(plain, splits, rows=(5, 10, 15, 20, 23), **options)
    assert_close(state(ours), state(plain), atol=1e-5)
    columns = ["step", "train_loss", "validation_loss", "validation_accuracy"]
    np.testing.assert_allclose(found.history[columns].to_numpy(), expected, rtol=1e-4, atol=1e-5)
    assert (found.history["network"] == 0).all()
    accuracy = found.history["validation_accuracy"]
    assert found.best_step == [int(found.history["step"][accuracy.argmax()])]


def test_each_epoch_is_a_fresh_permutation_and_drops_the_incomplete_batch():
    seen = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, x):
            if self.training:
                seen.append(x.flatten().int().tolist())
            return self.layer(x)

    x, y = torch.arange(10.0).unsqueeze(1), torch.arange(10) % 2
    splits = Splits(Split(x, y), Split(x, y), Poison(), Poison())
    training.fit(Watch(), splits, steps=8, seed=1, batch_size=3)
    epochs = [sum(seen[0:3], []), sum(seen[3:6], [])]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len(seen) == 8


# --- A stack is its networks ----------------------------------------------------------------------


def unequal_splits():
    sizes = [(200, 90), (170, 61), (130, 75)]
    return [small(s, *n, label_noise=0.3) for s, n in enumerate(sizes)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_stack_trains_each_network_as_it_would_be_trained_alone(masked, keep):
    splits, seeds = unequal_splits(), [11, 5, 8]
    alone = [networks.mlp(SIZES, seed=s) for s in seeds]
    stacked = networks.stack(alone)
    if masked:
        pruning.prune(stacked, 0.7, rule=pruning.each(pruning.global_mask))
        for model in alone:
            pruning.prune(model, 0.7)
    options = {"steps": 60, "learning_rate": 2e-2, "weight_decay": 0.1, "batch_size": 40}
    options |= {"keep": keep, "evaluate_every": 7, "schedule": training.cosine}
    together = training.fit(stacked, splits, seed=seeds, **options)
    assert sorted(together.history["network"].unique()) == [0, 1, 2]
    for i, (model, back) in enumerate(zip(alone, networks.unstack(stacked), strict=True)):
        single = training.fit(model, splits[i], seed=seeds[i], **options)
        if masked:
            assert pruning.sparsity(back) == pruning.sparsity(model)
            pruning.remove(model)
        assert_close(state(back), state(model), rtol=1e-3, atol=1e-4)
        rows = together.history[together.history["network"] == i].drop(columns="network")
        pd.testing.assert_frame_equal(
            rows.reset_index(drop=True),
            single.history.drop(columns="network"),
            rtol=1e-3,
            atol=1e-4,
        )
        assert together.best_step[i] == single.best_step[0]


def test_keep_best_leaves_the_weights_of_the_best_row():
    splits, seeds = unequal_splits(), [11, 5, 8]
    options = {"learning_rate": 3e-2, "batch_size": 40, "evaluate_every": 4}
    stacked = networks.stack([networks.mlp(SIZES, seed=s) for s in seeds])
    found = training.fit(stacked, splits, steps=80, seed=seeds, keep="best", **options)
    assert len(set(found.best_step)) > 1, "the networks must differ, or the test proves little"
    assert min(found.best_step) < 80
    for i, model in enumerate(networks.unstack(stacked)):
        rows = found.history[found.history["network"] == i]
        best = rows["validation_accuracy"].max()
        assert found.best_step[i] == rows["step"][rows["validation_accuracy"] == best].min()
        assert training.accuracy(model, splits[i].validation) == pytest.approx(100 * best)
        # Stopped at its best step, a network alone has the weights that were kept.
        other = networks.mlp(SIZES, seed=seeds[i])
        training.fit(other, splits[i], steps=found.best_step[i], seed=seeds[i], **options)
        assert_close(state(model), state(other), rtol=1e-3, atol=1e-4)


def test_keep_last_leaves_the_last_weights_and_returns_the_best_ones():
    splits, seeds = unequal_splits(), [11, 5, 8]
    options = {"steps": 80, "learning_rate": 3e-2, "batch_size": 40, "evaluate_every": 4}
    kept = {}
    for keep in ("last", "best"):
        model = networks.stack([networks.mlp(SIZES, seed=s) for s in seeds])
        kept[keep] = training.fit(model, splits, seed=seeds, keep=keep, **options), state(model)
    found, last = kept["last"]
    assert_close(found.best_state, kept["best"][1], rtol=0, atol=0)
    assert not torch.equal(last["0.weight"], found.best_state["0.weight"])
    accuracies = found.history.groupby("network")["validation_accuracy"].last()
    model.load_state_dict(last)
    validation = [part.validation for part in splits]
    assert training.accuracy(model, validation) == pytest.approx(100 * accuracies.to_numpy())


# --- Seeds ----------------------------------------------------------------------------------------


def test_the_seed_alone_decides():
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        np.random.seed(noise)  # noqa: NPY002
        random.seed(noise)
        model = networks.mlp(SIZES, seed=6)
        training.fit(model, small(0), steps=20, seed=3)
        results.append(state(model))
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name])
    other = networks.mlp(SIZES, seed=6)
    training.fit(other, small(0), steps=20, seed=4)
    assert not torch.equal(other[0].weight, results[0]["0.weight"])


def test_no_global_generator_is_touched(global_generators):
    seeds, splits = [3, 4], [small(0), small(1)]
    model = networks.stack([networks.mlp(SIZES, seed=s) for s in seeds])
    training.fit(model, splits, steps=12, seed=seeds, keep="best")
    training.accuracy(model, [part.validation for part in splits])
    training.replicate(lambda seed: {"a": seed}, [1, 2], workers=1, progress=False)


# --- Schedule, callback, optimiser ----------------------------------------------------------------


def test_the_schedule_multiplies_the_learning_rate_of_every_step():
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append((self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]))
            return super().step(closure)

    options = {"steps": 8, "seed": 0, "learning_rate": 0.05, "weight_decay": 0.02}
    training.fit(
        networks.mlp(SIZES, seed=0),
        small(0),
        optimiser=Watched,
        schedule=lambda done: 1 - done**2,
        **options,
    )
    expected = [(0.05 * (1 - (t / 8) ** 2), 0.02) for t in range(8)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_cosine():
    assert training.cosine(0.0) == 1
    assert training.cosine(1 / 3) == pytest.approx(0.75)
    assert training.cosine(0.5) == pytest.approx(0.5)
    assert training.cosine(1.0) == 0


def test_on_step_is_called_before_each_step_and_once_after_the_last():
    model, before = networks.mlp(SIZES, seed=0), []
    training.fit(
        model,
        small(0),
        steps=4,
        seed=0,
        on_step=lambda step, m: before.append((step, m[0].weight.detach().clone())),
    )
    assert [step for step, _ in before] == [0, 1, 2, 3, 4]
    assert torch.equal(before[0][1], networks.mlp(SIZES, seed=0)[0].weight)
    assert torch.equal(before[4][1], model[0].weight)
    assert not torch.equal(before[3][1], before[4][1])


def test_the_last_row_of_the_history_sees_the_last_pruning():
    model, splits = networks.mlp(SIZES, seed=0), small(0)
    on_step = pruning.gradual(0.97, start=5, end=20)
    found = training.fit(model, splits, steps=20, seed=0, on_step=on_step)
    assert pruning.sparsity(model) == pytest.approx(0.97, abs=1e-3)
    last = found.history["validation_accuracy"].iloc[-1]
    assert training.accuracy(model, splits.validation) == pytest.approx(100 * last)


def test_gradual_pruning_of_a_stack_is_that_of_its_networks():
    splits, seeds = [small(0), small(1)], [4, 5]
    alone = [networks.mlp(SIZES, seed=s) for s in seeds]
    stacked = networks.stack(alone)
    options = {"steps": 20, "batch_size": 40}
    rule = pruning.each(pruning.global_mask)
    on_step = pruning.gradual(0.8, start=3, end=17, every=4, rule=rule)
    found = training.fit(stacked, splits, seed=seeds, on_step=on_step, **options)
    assert found.best_state is None, "the best state may be one from before the last pruning"
    for i, (model, back) in enumerate(zip(alone, networks.unstack(stacked), strict=True)):
        on_step = pruning.gradual(0.8, start=3, end=17, every=4)
        training.fit(model, splits[i], seed=seeds[i], on_step=on_step, **options)
        assert_close(state(back), state(pruning.remove(model)), rtol=1e-3, atol=1e-4)


def test_keep_best_is_refused_where_on_step_may_change_the_network():
    on_step = pruning.gradual(0.9, start=1, end=4)
    with pytest.raises(ValueError, match='first prune with keep="last"'):
        training.fit(
            networks.mlp(SIZES, seed=0), small(0), steps=5, seed=0, on_step=on_step, keep="best"
        )


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(FloatingPointError) as error:
        training.fit(
            networks.mlp(SIZES, seed=0),
            small(0),
            steps=50,
            seed=0,
            optimiser=torch.optim.SGD,
            learning_rate=1e12,
        )
    assert "not finite by step 5; a smaller learning rate than 1000000000000.0" in str(error.value)


def test_a_diverging_last_step_is_noticed_on_the_validation_set():
    with pytest.raises(FloatingPointError, match="by step 1;"):
        training.fit(
            networks.mlp(SIZES, seed=0),
            small(0),
            steps=1,
            seed=0,
            optimiser=torch.optim.SGD,
            learning_rate=1e38,
        )


# --- From a later step, and rows where they are wanted --------------------------------------------


def test_a_training_in_two_parts_is_the_whole_training():
    """Without a memory in the optimiser, the second part takes up where the first one ended."""
    options = {"seed": 5, "batch_size": 60, "learning_rate": 0.1, "optimiser": torch.optim.SGD}
    splits, snapshots = small(3), {}
    whole, parts = networks.mlp(SIZES, seed=4), networks.mlp(SIZES, seed=4)
    training.fit(
        whole,
        splits,
        steps=11,
        schedule=training.cosine,
        on_step=lambda step, model: snapshots.update({step: state(model)}),
        **options,
    )
    parts.load_state_dict(snapshots[4])  # in the middle of the second epoch of three batches
    seen = []
    found = training.fit(
        parts,
        splits,
        steps=11,
        start=4,
        schedule=training.cosine,
        on_step=lambda step, model: seen.append(step),
        **options,
    )
    assert seen == list(range(4, 12))
    assert_close(state(parts), state(whole), rtol=0, atol=0)
    assert found.history["step"].tolist() == list(range(5, 12))


def test_evaluate_at_adds_rows_and_changes_nothing_else():
    models = [networks.mlp(SIZES, seed=4) for _ in range(2)]
    options = {"steps": 20, "seed": 5, "evaluate_every": 10}
    plain = training.fit(models[0], small(3), **options)
    more = training.fit(models[1], small(3), evaluate_at=(1, 4, 20), **options)
    assert more.history["step"].tolist() == [1, 4, 10, 20]
    both = more.history[more.history["step"].isin([10, 20])].reset_index(drop=True)
    columns = ["validation_loss", "validation_accuracy"]
    pd.testing.assert_frame_equal(both[columns], plain.history[columns])
    assert_close(state(models[0]), state(models[1]), rtol=0, atol=0)


# --- Evaluation -----------------------------------------------------------------------------------


def test_evaluate_and_accuracy_against_their_definitions():
    model, split = networks.mlp(SIZES, seed=2), data.digits(0).validation
    loss, right = training.evaluate(model, split)
    p = model(split.x).detach().double().softmax(1)
    n = len(split.y)
    assert loss.item() == pytest.approx(-p[range(n), split.y].log().mean().item(), rel=1e-5)
    share = sum(p.argmax(1) == split.y).item() / n
    assert right.item() == pytest.approx(share, rel=1e-6)
    assert training.accuracy(model, split) == pytest.approx(100 * share, rel=1e-6)


def test_a_stack_is_evaluated_on_splits_of_different_sizes_as_its_networks_are():
    splits = [part.validation for part in unequal_splits()]
    models = [networks.mlp(SIZES, seed=s) for s in (4, 5, 6)]
    found = training.accuracy(networks.stack(models), splits)
    alone = [training.accuracy(model, part) for model, part in zip(models, splits, strict=True)]
    assert found == pytest.approx(alone, rel=1e-6)
    assert len(set(alone)) == 3


def test_evaluate_uses_the_running_statistics_of_batch_norm_and_leaves_them():
    model = nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10))
    networks.initialise(model, seed=3)
    splits = small(0)
    training.fit(model, splits, steps=20, seed=0)
    before = state(model)
    assert model.training
    loss, _ = training.evaluate(model, splits.validation)
    assert model.training, "the mode is as it was"
    assert_close(state(model), before, rtol=0, atol=0)
    model.eval()
    expected = F.cross_entropy(model(splits.validation.x), splits.validation.y)
    assert torch.equal(loss, expected.detach()) or torch.allclose(loss, expected, rtol=1e-6)
    training.evaluate(model, splits.validation)
    assert not model.training


def test_fit_trains_with_the_statistics_of_the_batch():
    """A network left in evaluation mode is set to training again."""
    model = nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, 10)).eval()
    networks.initialise(model, seed=3)
    training.fit(model, small(0), steps=5, seed=0)
    assert (model[1].running_mean != 0).all()
    assert model[1].num_batches_tracked == 5


def test_an_empty_split_is_refused():
    model = networks.mlp(SIZES, seed=0)
    with pytest.raises(ValueError, match="the split is empty"):
        training.accuracy(model, data.digits(0).held_out)
    stacked = networks.stack([model, model])
    with pytest.raises(ValueError, match="the split is empty"):
        training.accuracy(stacked, [data.digits(0).validation, data.digits(0).held_out])


# --- Bad input ------------------------------------------------------------------------------------


def with_labels(y):
    splits = small(0)
    return splits._replace(train=splits.train._replace(y=splits.train.y * 0 + y))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, at least 1; got 0"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1"),
        ({"batch_size": 201}, "between 1 and the 200 training items; got 201"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"evaluate_every": -1}, "evaluate_every must be a whole number"),
        ({"keep": "first"}, 'keep is "last" or "best"; got \'first\''),
        ({"start": 3}, "start must be a whole number from 0 to 2 (the first step); got 3"),
        ({"start": -1}, "start must be a whole number from 0 to 2"),
        ({"start": 1, "evaluate_at": (1, 2)}, "evaluate_at takes steps from 2 to 3; got [1, 2]"),
        ({"evaluate_at": (4,)}, "evaluate_at takes steps from 1 to 3"),
        ({"seed": None}, "one Splits and one seed"),
        ({"seed": 1.5}, "one Splits and one seed"),
        ({"seed": [1]}, "got one network"),
        ({"splits": [small(0)], "seed": [1]}, "got one network"),
        ({"splits": small(0).train}, "one Splits and one seed"),
        ({"model": nn.Sequential(nn.ReLU())}, "no parameters to train"),
        ({"learning_rate": -1.0}, "learning rate"),
        ({"learning_rate": float("nan")}, "learning rate"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"splits": small(0, n_validation=0)}, "the validation set is empty"),
        ({"splits": with_labels(-1)}, "labels must be whole numbers from 0"),
    ],
)
def test_bad_arguments_of_fit(changes, message):
    arguments = {"model": networks.mlp(SIZES, seed=0), "splits": small(0), "steps": 3, "seed": 0}
    arguments |= changes
    with pytest.raises(ValueError) as error:
        training.fit(arguments.pop("model"), arguments.pop("splits"), **arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("n_splits", "seeds"), [(2, [1, 2, 3]), (3, [1, 2]), (2, [1, 2]), (1, 7), (3, [1, 2, 2.5])]
)
def test_a_stack_needs_as_many_splits_and_seeds_as_it_has_networks(n_splits, seeds):
    stacked = networks.stack([networks.mlp(SIZES, seed=s) for s in range(3)])
    splits = small(0) if n_splits == 1 else [small(s) for s in range(n_splits)]
    with pytest.raises(ValueError, match=r"a stack of S networks a list of S .*a stack of \{3\}"):
        training.fit(stacked, splits, steps=2, seed=seeds)


def test_parameters_that_do_not_lie_in_order_take_the_steps_of_adamw():
    """The default optimiser works on them as they lie; also after a mask gave them other memory."""
    part = data.digits(0, folds=10)
    models = [
        networks.stack([networks.mlp((64, 12, 10), seed=s) for s in (1, 2)]) for _ in range(2)
    ]
    assert not models[0][0].weight.is_contiguous()

    def mask_late(step, model):
        if step == 4:
            pruning.prune(model, 0.5)

    settings = {"steps": 9, "seed": [3, 4], "on_step": mask_late, "weight_decay": 0.1}
    training.fit(models[0], [part] * 2, **settings)
    training.fit(models[1], [part] * 2, optimiser=torch.optim.AdamW, **settings)
    for ours, expected in zip(*(m.state_dict().values() for m in models), strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)
    assert pruning.sparsity(models[0]) == pytest.approx(0.5, abs=0.01)
