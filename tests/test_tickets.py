"""Lottery tickets: against a textbook's loop; exact counts, starts, orders of data and controls."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn import functional as F

from course_lib import data, networks, pruning, tickets, training
from course_lib.data import Split
from course_lib.tickets import Plan, Ticket

SIZES = (64, 12, 9, 10)
PLAN = Plan(steps=12, batch_size=50, learning_rate=5e-3)
seeds_of = [3, 8]


def small(seed, n_train=220, **kwargs):
    splits = data.digits(seed % 10, **kwargs)
    return splits._replace(train=Split(*(t[:n_train] for t in splits.train)))


def mlp(seed, sizes=SIZES):
    return networks.mlp(sizes, seed=seed)


def a_ticket(seed=1, share=0.3, step=0, build=mlp):
    """A ticket whose mask owes nothing to the weights, with biases that are not zero."""
    model, generator = build(seed), torch.Generator().manual_seed(seed + 50)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    shapes = {name: weight.shape for name, weight in pruning.weights(model).items()}
    masks = {n: torch.rand(shape, generator=generator) < share for n, shape in shapes.items()}
    return Ticket(masks, model, step, "by chance")


def conv(seed):
    return networks.convnet((3, 4), seed=seed)


def batch_norm_net(seed):
    model = nn.Sequential(
        nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10, bias=False)
    )
    return networks.initialise(model, seed=seed)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_close(a, b, rtol=1e-3, atol=1e-4):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=rtol, atol=atol), (
            f"{name} differs by up to {(a[name] - b[name]).abs().max():.2e}"
        )


# --- A ticket -------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [mlp, conv, batch_norm_net])
def test_a_network_is_the_start_bit_for_bit_where_kept_and_zero_elsewhere(build):
    ticket = a_ticket(build=build)
    before, model = state(ticket.start), ticket.network()
    for name, weight in pruning.weights(model).items():
        mask, original = ticket.masks[name], before[name]
        assert torch.equal(weight[mask], original[mask])
        assert (weight[~mask] == 0).all()
        assert (original[~mask] != 0).all(), "else the zeros prove nothing"
    rest = {n: t for n, t in state(pruning.remove(model)).items() if n not in ticket.masks}
    assert_equal(rest, {n: t for n, t in before.items() if n not in ticket.masks})
    run = ticket.train(small(2), PLAN, seed=4)
    for name, weight in pruning.weights(run.model).items():
        assert (weight[~ticket.masks[name]] == 0).all()
        assert (weight != ticket.start.state_dict()[name]).any(), "it was trained"
    assert_equal(state(ticket.start), before)
    kept = sum(int(mask.sum()) for mask in ticket.masks.values())
    assert ticket.density == pytest.approx(kept / sum(m.numel() for m in ticket.masks.values()))
    assert ticket.counts == {name: int(mask.sum()) for name, mask in ticket.masks.items()}


def test_a_ticket_keeps_its_own_masks():
    masks = {name: torch.ones_like(w).bool() for name, w in pruning.weights(mlp(1)).items()}
    ticket = Ticket(masks, mlp(1))
    masks["0.weight"].zero_()
    assert ticket.density == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"start": t.network()}, "start is a plain network"),
        (lambda t: {"start": networks.stack([t.start] * 2)}, "start is one network"),
        (
            lambda t: {"step": -1},
            "at least 0 (the steps before the start); got -1",
        ),
        (lambda t: {"step": 1.0}, "step must be a whole number"),
        (lambda t: {"masks": {"0.weight": t.masks["0.weight"]}}, "none for ['2.weight'"),
        (lambda t: {"masks": t.masks | {"9.weight": t.masks["0.weight"]}}, "got ['9.weight']"),
        (lambda t: {"masks": {n: m.float() for n, m in t.masks.items()}}, "must be boolean"),
        (lambda t: {"masks": {n: m[:, :-1] for n, m in t.masks.items()}}, "must be boolean of sha"),
    ],
)
def test_a_ticket_checks_itself(change, message):
    ticket = a_ticket()
    arguments = {"masks": ticket.masks, "start": ticket.start} | change(ticket)
    with pytest.raises(ValueError) as error:
        Ticket(**arguments)
    assert message in str(error.value)


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [mlp, conv, batch_norm_net])
def test_a_ticket_comes_back_from_its_file(build, tmp_path):
    ticket, like = a_ticket(step=7, build=build), build(99)
    before = state(like)
    ticket.save(tmp_path / "one.safetensors")
    back = Ticket.load(tmp_path / "one.safetensors", like)
    assert (back.step, back.found) == (7, "by chance")
    assert_equal(back.masks, ticket.masks)
    assert_equal(state(back.start), state(ticket.start))
    assert_equal(state(like), before)
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]


def test_what_is_no_ticket_of_this_network_is_refused(tmp_path):
    path = tmp_path / "one.safetensors"
    a_ticket().save(path)
    with pytest.raises(ValueError, match="holds another network: 2.weight is"):
        Ticket.load(path, mlp(0, (64, 12, 8, 10)))
    pruning.save(mlp(0), path)
    with pytest.raises(ValueError, match="not a file of Ticket.save: its kind"):
        Ticket.load(path, mlp(0))
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(ValueError, match="not a file of Ticket.save"):
        Ticket.load(path, mlp(0))
    with pytest.raises(FileNotFoundError):
        Ticket.load(tmp_path / "none", mlp(0))


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    a_ticket(1).save(path)
    before = path.read_bytes()

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:100])
        raise OSError("no space left on the device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        a_ticket(2).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one.safetensors"]


# --- Controls -------------------------------------------------------------------------------------


def test_reinitialising_draws_what_a_fresh_network_draws():
    ticket = a_ticket(step=5)
    other = ticket.reinitialised(seed=77)
    assert_equal(state(other.start), state(mlp(77)))
    assert_equal(other.masks, ticket.masks)
    assert (other.step, ticket.step) == (0, 5)
    assert other.found == "by chance; re-initialised with seed 77"


def test_reinitialised_weights_have_the_distribution_of_the_first_ones():
    """Kolmogorov–Smirnov, against a fresh network's weights and against N(0, 2 / fan_in)."""
    ticket = a_ticket(build=lambda seed: mlp(seed, (64, 300, 100, 10)), share=0.2)
    first, again = ticket.network(), ticket.reinitialised(seed=78).network()
    pairs = zip(pruning.weights(first).items(), pruning.weights(again).values(), strict=True)
    for (name, w), v in pairs:
        mask = ticket.masks[name]
        w, v = w[mask].double().numpy(), v[mask].double().numpy()
        assert stats.ks_2samp(w, v).pvalue > 0.01
        scale = (2 / mask.shape[1]) ** 0.5
        assert stats.kstest(v, stats.norm(scale=scale).cdf).pvalue > 0.01
        assert stats.kstest(v, stats.norm(scale=1.5 * scale).cdf).pvalue < 0.01, "a wrong one"
        assert abs(np.corrcoef(w, v)[0, 1]) < 0.15


def test_reinitialising_leaves_nothing_of_the_training_in_batch_norm():
    ticket = Ticket.dense(batch_norm_net(3))
    late = ticket.train(small(1), PLAN, seed=0).model
    other = Ticket(ticket.masks, late, 12).reinitialised(seed=4)
    assert (late[1].running_mean != 0).any()
    assert_equal(state(other.start), state(batch_norm_net(4)))


def test_parameters_that_cannot_be_drawn_are_refused():
    model = nn.Sequential(nn.Linear(64, 8), nn.LayerNorm(8), nn.Linear(8, 10))
    with pytest.raises(ValueError, match="can be drawn anew; got 1 LayerNorm"):
        Ticket.dense(model).reinitialised(seed=1)


@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_random_masks_keep_as_many_weights_in_each_layer(share, seed):
    ticket = a_ticket(seed=seed, share=share)
    other = ticket.random_masks(seed)
    assert other.counts == ticket.counts
    assert other.start is ticket.start
    assert other.step == ticket.step


def test_random_masks_know_nothing_of_the_ticket_s_and_are_nested():
    ticket = a_ticket(build=lambda seed: mlp(seed, (64, 300, 100, 10)), share=0.3)
    mask, other = ticket.masks["0.weight"], ticket.random_masks(6).masks["0.weight"]
    overlap = (mask & other).sum() / mask.sum()
    assert overlap.item() == pytest.approx(0.3, abs=0.03)
    fewer = Ticket({n: m & (m.cumsum(-1) % 2 == 0) for n, m in ticket.masks.items()}, ticket.start)
    for name, small_mask in fewer.random_masks(6).masks.items():
        assert (ticket.random_masks(6).masks[name] | ~small_mask).all()
    assert not torch.equal(other, ticket.random_masks(7).masks["0.weight"])


def test_a_mask_by_chance_does_not_prefer_weights_of_its_own_seed():
    big = Ticket.dense(mlp(7, (64, 300, 100, 10)))
    some = Ticket({name: m & (m.cumsum(-1) % 5 == 0) for name, m in big.masks.items()}, big.start)
    for other in (some.random_masks(7), some.with_head(1000, seed=7)):
        for name, weight in list(pruning.weights(other.start).items()):
            mask = other.masks[name]
            for feature in (weight, weight.abs()):
                t = stats.ttest_ind(feature[mask].numpy(), feature[~mask].numpy())
                assert t.pvalue > 0.001, name


@pytest.mark.parametrize("build", [mlp, conv, batch_norm_net])
def test_a_new_head_changes_the_last_layer_only(build):
    ticket = a_ticket(build=build, share=0.4)
    other = ticket.with_head(5, seed=6)
    *hidden, last = ticket.masks
    for name in hidden:
        assert torch.equal(other.masks[name], ticket.masks[name])
    old, new = state(ticket.start), state(other.start)
    place = last.removesuffix("weight")
    assert_equal(*({n: t for n, t in s.items() if not n.startswith(place)} for s in (old, new)))
    assert new[last].shape == (5, old[last].shape[1])
    assert abs(other.counts[last] - ticket.counts[last] / 2) <= 0.5, "half as many classes"
    if f"{place}bias" in new:
        assert (new[f"{place}bias"] == 0).all()
    splits = small(1, held_out=(5, 6, 7, 8, 9))
    run = other.train(splits, PLAN, seed=3)
    assert run.model(splits.test.x).shape[1] == 5
    assert old.keys() == new.keys()


def test_a_ticket_that_does_not_fit_the_task_is_refused_with_a_way_out():
    few = a_ticket().with_head(5, seed=0)
    with pytest.raises(ValueError, match="labels up to 9 and the ticket's network puts out 5: ca"):
        few.train(small(1), PLAN, seed=0)
    narrow = a_ticket(build=lambda seed: mlp(seed, (49, 8, 10)))
    with pytest.raises(ValueError, match=r"takes no inputs of \(64,\)"):
        narrow.train(small(1), PLAN, seed=0)
    with pytest.raises(ValueError, match="n_classes must be a whole number"):
        a_ticket().with_head(0, seed=0)
    last_conv = nn.Sequential(networks.Image(8), nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ValueError, match="the output layer 1.weight is not a linear layer"):
        Ticket.dense(last_conv).with_head(5, seed=0)


# --- Training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [mlp, conv])
def test_together_is_as_alone(build):
    plan = Plan(steps=12, batch_size=50, learning_rate=5e-3, schedule=training.cosine)
    some = [a_ticket(seed, share, build=build) for seed, share in ((1, 0.5), (2, 0.2), (3, 1.0))]
    splits, seeds = [small(1), small(2, 180), small(1)], [4, 5, 4]
    together = tickets.train(some, splits, plan, seeds=seeds, snapshots=(0, 5, 12))
    for ticket, part, seed, run in zip(some, splits, seeds, together, strict=True):
        alone = ticket.train(part, plan, seed=seed, snapshots=(0, 5, 12))
        assert_close(state(run.model), state(alone.model))
        assert list(run.snapshots) == [0, 5, 12]
        assert_equal(state(run.snapshots[0]), state(pruning.remove(ticket.network())))
        assert_close(state(run.snapshots[5]), state(alone.snapshots[5]))
        assert_equal(state(run.snapshots[12]), state(run.model))
        np.testing.assert_allclose(run.history, alone.history, rtol=1e-3, atol=1e-3)
        reference = ticket.network()
        training.fit(
            reference,
            part,
            steps=12,
            batch_size=50,
            learning_rate=5e-3,
            schedule=training.cosine,
            seed=seed,
        )
        assert_equal(state(alone.model), state(pruning.remove(reference)))


class Watch(nn.Identity):
    """Stands before a network and writes down the batches that it trains on."""

    seen: list[torch.Tensor] = []

    def forward(self, x):
        if self.training:
            Watch.seen.append(x.clone())
        return x


def watched(seed):
    return nn.Sequential(Watch(), *mlp(seed))


def batches_of(call):
    Watch.seen.clear()
    call()
    return [batch for batch in Watch.seen if batch.shape[-2] == PLAN.batch_size]


@pytest.mark.parametrize("stacked", [False, True])
def test_paired_arms_see_the_same_batches_at_the_same_steps(stacked):
    ticket, splits = a_ticket(build=watched), small(1)
    arms = [
        ticket,
        ticket.reinitialised(9),
        ticket.random_masks(9),
        Ticket.dense(watched(5)),
        Ticket(ticket.masks, ticket.start, step=4),
        Ticket(ticket.masks, ticket.start, step=12),
    ]

    def batches(arm, seed):
        if not stacked:
            return batches_of(lambda: arm.train(splits, PLAN, seed=seed))
        both = batches_of(
            lambda: tickets.train([a_ticket(2, step=arm.step, build=watched), arm],
                                  [small(2), splits], PLAN, seeds=[7, seed])
        )  # fmt: skip
        return [batch[1] for batch in both]

    first, *others = [batches(arm, 3) for arm in arms]
    assert len(first) == 12
    assert not torch.equal(first[0], first[1])
    for arm, found in zip(arms[1:], others, strict=True):
        start = arm.step % 12  # late weights start over
        assert len(found) == 12 - start
        for one, other in zip(first[start:], found, strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(first[0], batches(ticket, 4)[0])


def test_train_says_what_does_not_agree():
    ticket = a_ticket()
    with pytest.raises(ValueError, match="at least one; got 2, 1 and 1"):
        tickets.train([ticket, ticket], [small(1)], PLAN, seeds=[1])
    with pytest.raises(ValueError, match=r"start at one step; got \[0, 3\]"):
        tickets.train([ticket, a_ticket(step=3)], [small(1)] * 2, PLAN, seeds=[1, 2])


def test_evaluations_at_steps_that_lie_behind_a_ticket_are_passed_over():
    plan = Plan(steps=12, batch_size=50, evaluate_at=(2, 3, 7))
    run = a_ticket(step=3).train(small(1), plan, seed=1)
    assert run.history["step"].tolist() == list(range(4, 13))
    plan = Plan(steps=40, batch_size=50, evaluate_at=(2, 3, 7))
    run = a_ticket(step=2).train(small(1), plan, seed=1)
    assert run.history["step"].tolist() == [3, 4, 7, *range(8, 41, 4)]


def test_the_last_rate():
    plan = Plan(steps=10, learning_rate=0.2, schedule=lambda done: 1 - done)
    last = plan.at_its_last_rate()
    assert last.learning_rate == pytest.approx(0.2 * 0.1)
    assert last.schedule is None
    assert Plan(steps=10, learning_rate=0.2).at_its_last_rate().learning_rate == 0.2


def test_no_global_generator_is_touched(global_generators):
    rounds = list(tickets.find([mlp(1)], [small(1)], PLAN, seeds=[1], rounds=1, rewind=3))
    ticket = rounds[1].tickets[0]
    for other in (ticket.reinitialised(4), ticket.random_masks(4), ticket.with_head(10, seed=4)):
        other.train(small(1), PLAN, seed=0)
    tickets.synflow_masks(mlp(1), 0.5, small(1).train.x, iterations=3)


# --- Finding --------------------------------------------------------------------------------------


def kept(n, rate, round):
    return n - round_half_even(n * (1 - (1 - rate) ** round))


round_half_even = round  # a parameter of the same name hides it above


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    rate=st.floats(0, 1),
    output_rate=st.one_of(st.none(), st.floats(0, 1)),
    scope=st.sampled_from(["layerwise", "global"]),
    seed=st.integers(0, 99),
)
def test_masks_keep_exactly_what_is_asked_and_are_nested(sizes, rate, output_rate, scope, seed):
    options = {"rate": rate, "output_rate": output_rate, "scope": scope}
    before = None
    for number in range(1, 6):
        model = mlp(seed + number, sizes)  # other weights each round: nesting is not by chance
        masks = tickets.magnitude_masks(model, number, within=before, **options)
        n = {name: mask.numel() for name, mask in masks.items()}
        *hidden, last = n
        found = {name: int(mask.sum()) for name, mask in masks.items()}
        groups = [hidden, [last]] if output_rate is not None else [list(n)]
        rates = [rate, rate if output_rate is None else output_rate]
        for names, p in zip(groups, rates, strict=False):
            if scope == "layerwise":
                assert all(found[name] == kept(n[name], p, number) for name in names)
            else:
                whole, left = (sum(of[name] for name in names) for of in (n, found))
                assert left == kept(whole, p, number)
        if before is not None:
            assert all((before[name] | ~mask).all() for name, mask in masks.items())
        one_shot = tickets.magnitude_masks(model, number, **options)
        if scope == "layerwise":
            assert {name: int(mask.sum()) for name, mask in one_shot.items()} == found
        before = masks


def test_the_counts_of_frankle_and_carbin():
    """20% a round, 10% in the output layer: 300·64, 100·300 and 10·100 weights after round 10."""
    masks = tickets.magnitude_masks(mlp(1, (64, 300, 100, 10)), 10)
    assert [int(mask.sum()) for mask in masks.values()] == [2062, 3221, 349]


def plain_search(model, splits, rounds, rewind_step, seed):
    """Iterative magnitude pruning as a textbook would write it; yields masks and final weights."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    masks = [torch.ones_like(layer.weight) for layer in layers]
    start = None
    for number in range(rounds + 1):
        first = 0
        if number:
            for i, layer in enumerate(layers):
                rate = 0.1 if i == len(layers) - 1 else 0.2
                n_kept = kept(layer.weight.numel(), rate, number)
                size = (layer.weight.detach().abs() * masks[i] - (masks[i] == 0).float()).flatten()
                masks[i] = torch.zeros_like(size)
                masks[i][size.argsort(descending=True)[:n_kept]] = 1
                masks[i] = masks[i].view_as(layer.weight)
            model.load_state_dict(start)
            first = rewind_step
        opt = torch.optim.AdamW(model.parameters(), lr=PLAN.learning_rate, weight_decay=0.0)
        x, y = splits.train
        generator, order = torch.Generator().manual_seed(seed), []
        while len(order) < PLAN.steps:
            epoch = torch.randperm(len(y), generator=generator)
            order += epoch.split(PLAN.batch_size)[: len(y) // PLAN.batch_size]
        for step in range(first, PLAN.steps):
            if number == 0 and step == rewind_step:
                start = state(model)
            for layer, mask in zip(layers, masks, strict=True):
                layer.weight.data *= mask
            loss = F.cross_entropy(model(x[order[step]]), y[order[step]])
            opt.zero_grad()
            loss.backward()
            opt.step()
        for layer, mask in zip(layers, masks, strict=True):
            layer.weight.data *= mask
        yield [mask.bool() for mask in masks], state(model)


@pytest.mark.parametrize("rewind", [0, 4])
def test_find_agrees_with_a_textbook_s_loop(rewind):
    splits = small(2)
    search = tickets.find([mlp(1)], [splits], PLAN, seeds=[6], rounds=3, rewind=rewind)
    textbook = plain_search(mlp(1), splits, 3, rewind, seed=6)
    for round, (masks, weights) in zip(search, textbook, strict=True):
        pairs = zip(round.tickets[0].masks.values(), masks, strict=True)
        same = min((ours == theirs).float().mean() for ours, theirs in pairs)
        assert same > 0.995, "a weight at the cut may fall on either side, by rounding"
        assert_close(state(round.runs[0].model), weights, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("rewind", [0, 5])
def test_rewound_tickets_start_bit_for_bit_from_the_dense_network_s_step(rewind):
    models, splits = [mlp(s) for s in seeds_of], [small(s) for s in seeds_of]
    then = {}
    stacked = networks.stack(models)
    training.fit(
        stacked,
        splits,
        steps=12,
        batch_size=50,
        learning_rate=5e-3,
        seed=seeds_of,
        on_step=lambda step, m: then.update({step: networks.unstack(m)}),
    )
    rounds = list(tickets.find(models, splits, PLAN, seeds=seeds_of, rounds=3, rewind=rewind))
    assert [round.number for round in rounds] == [0, 1, 2, 3]
    for round in rounds[1:]:
        for i, ticket in enumerate(round.tickets):
            assert ticket.step == rewind
            assert_equal(state(ticket.start), state(then[rewind][i]))
            assert ticket.found == f"layerwise magnitude, round {round.number}"
    for before, after in itertools.pairwise(rounds):
        for old, new, run in zip(before.tickets, after.tickets, before.runs, strict=True):
            for name, mask in new.masks.items():
                assert (old.masks[name] | ~mask).all(), "nested"
                size = run.model.state_dict()[name].abs()
                gone = old.masks[name] & ~mask
                assert size[mask].min() >= size[gone].max(), "the smallest of those left went"


def test_find_finds_for_several_networks_what_it_finds_for_each():
    models, splits = [mlp(s) for s in seeds_of], [small(s) for s in seeds_of]
    options = {"rounds": 2, "scope": "global", "rate": 0.4, "rewind": 2}
    together = list(tickets.find(models, splits, PLAN, seeds=seeds_of, **options))
    for i, seed in enumerate(seeds_of):
        alone = list(tickets.find([models[i]], [splits[i]], PLAN, seeds=[seed], **options))
        for one, many in zip(alone, together, strict=True):
            for name, mask in one.tickets[0].masks.items():
                assert (mask == many.tickets[i].masks[name]).float().mean() > 0.995
            assert_close(state(one.runs[0].model), state(many.runs[i].model), 1e-2, 2e-3)


def test_late_restarts_keep_the_weights_and_differ_in_the_rate(monkeypatch):
    calls, fit = [], training.fit

    def recorded(model, *args, **kwargs):
        factors = [(kwargs["schedule"] or (lambda done: 1.0))(t / 12) for t in range(12)]
        calls.append((kwargs["start"], [kwargs["learning_rate"] * f for f in factors]))
        return fit(model, *args, **kwargs)

    monkeypatch.setattr(training, "fit", recorded)
    plan = Plan(steps=12, batch_size=50, learning_rate=0.01, schedule=lambda done: 1 - done**2)
    for rewind in ("rate", "none"):
        calls.clear()
        rounds = list(tickets.find([mlp(1)], [small(1)], plan, seeds=[2], rounds=2, rewind=rewind))
        whole = [0.01 * (1 - (t / 12) ** 2) for t in range(12)]
        again = whole if rewind == "rate" else [whole[-1]] * 12
        for (start, rates), expected in zip(calls, [whole, again, again], strict=True):
            assert start == 0
            assert rates == pytest.approx(expected)
        for before, after in itertools.pairwise(rounds):
            assert_equal(state(after.tickets[0].start), state(before.runs[0].model))
            assert after.tickets[0].step == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rewind": 12}, "rewind is a step, 0 ≤ step < 12"),
        ({"rewind": "late"}, "or one of ('rate', 'none'); got 'late'"),
        ({"rate": 1.2}, "rate is a share"),
        ({"rounds": 1.5}, "rounds must be a whole number, at least 0; got 1.5"),
        ({"scope": "local"}, "scope is one of ['layerwise', 'global']; got 'local'"),
    ],
)
def test_find_refuses_bad_arguments(options, message):
    with pytest.raises(ValueError) as error:
        list(tickets.find([mlp(1)], [small(1)], PLAN, **{"seeds": [1], "rounds": 1} | options))
    assert message in str(error.value)


# --- SynFlow in small steps -----------------------------------------------------------------------


def test_synflow_masks_follow_a_plain_loop():
    model, x = mlp(4, (9, 8, 7, 3)), torch.rand(5, 9)
    weights = {name: w.double().abs() for name, w in pruning.weights(model).items()}
    masks = {name: torch.ones_like(w) for name, w in weights.items()}
    n = sum(w.numel() for w in weights.values())
    for k in range(1, 21):
        a, b, c = (weights[name] * masks[name] for name in weights)
        ones = torch.ones(9, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        flows = [
            a * ((ones[1] @ c @ b)[:, None]),
            b * (ones[1] @ c)[:, None] * (a @ ones[0]),
            c * (b @ a @ ones[0]),
        ]
        flat = torch.cat([flow.flatten() for flow in flows])
        flat[torch.cat([m.flatten() for m in masks.values()]) == 0] = -1
        keep = torch.zeros(n)
        keep[flat.argsort(descending=True)[: n - round(n * (1 - 0.1 ** (k / 20)))]] = 1
        parts = keep.split([m.numel() for m in masks.values()])
        masks = {
            name: part.view_as(m) for (name, m), part in zip(masks.items(), parts, strict=True)
        }
    before = state(model)
    found = tickets.synflow_masks(model, 0.9, x, iterations=20)
    assert_equal(found, {name: m.bool() for name, m in masks.items()})
    assert_equal(state(model), before)


def test_synflow_masks_leave_no_layer_empty_where_one_step_of_snip_does():
    model, splits = mlp(2, (64, 200, 200, 200, 10)), small(1)
    sparsity, x = 0.999, splits.train.x
    found = tickets.synflow_masks(model, sparsity, x)
    n = sum(mask.numel() for mask in found.values())
    assert sum(int(mask.sum()) for mask in found.values()) == n - round(sparsity * n)
    assert min(int(mask.sum()) for mask in found.values()) > 0
    one_step = pruning.global_mask(pruning.magnitude(model), sparsity)
    assert min(int(mask.sum()) for mask in one_step.values()) == 0
    with pytest.raises(ValueError, match="iterations must be a whole number"):
        tickets.synflow_masks(model, 0.5, x, iterations=0)
    with pytest.raises(ValueError, match="sparsity is a share"):
        tickets.synflow_masks(model, 1.5, x)


# --- Barriers -------------------------------------------------------------------------------------


def permuted(model, seed):
    """The same function with hidden units in another order, far away in weight space."""
    other = copy.deepcopy(model)
    order = torch.randperm(len(other[0].weight), generator=torch.Generator().manual_seed(seed))
    other[0].weight.data, other[0].bias.data = other[0].weight[order], other[0].bias[order]
    other[2].weight.data = other[2].weight[:, order]
    return other


def trained(seed, order, build=mlp):
    return Ticket.dense(build(seed)).train(small(1, 1000), Plan(steps=150), seed=order).model


def test_a_barrier_is_measured_on_every_point_of_the_line():
    a, b, split = trained(1, 2), trained(5, 3), small(1).test
    found = tickets.barrier(a, b, split, points=5)
    errors = []
    for alpha in (0, 0.25, 0.5, 0.75, 1):
        between = copy.deepcopy(a)
        ends = zip(a.parameters(), b.parameters(), strict=True)
        for p, (v, w) in zip(between.parameters(), ends, strict=True):
            p.data = (1 - alpha) * v.data + alpha * w.data
        errors.append(100 - training.accuracy(between, split))
    assert found.error.tolist() == pytest.approx(errors, abs=1e-4)
    assert found.alpha.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.height == pytest.approx(max(errors) - (errors[0] + errors[-1]) / 2, abs=1e-4)
    assert errors[0] != errors[-1], "else max − mean and max − an end are the same"


def test_the_same_function_elsewhere_is_behind_a_barrier():
    a, split = trained(1, 2), small(1).test
    assert tickets.barrier(a, a, split).height == 0
    far = tickets.barrier(a, permuted(a, 3), split)
    assert far.error[0] == far.error[-1]
    assert far.height > 5
    back = tickets.barrier(permuted(a, 3), a, split)
    assert back.error.tolist() == pytest.approx(far.error.flip(0).tolist(), abs=0.6)


@pytest.mark.parametrize("build", [mlp, conv])
def test_masked_networks_have_the_barrier_of_what_they_compute(build):
    ticket, split = a_ticket(share=0.5, build=build), small(1).test
    ends = []
    for order in (1, 2):
        model = ticket.network()
        training.fit(model, small(1, 1000), steps=60, seed=order)
        for module in model.modules():  # as momentum could have moved it
            if hasattr(module, "parametrizations"):
                module.parametrizations.weight.original.data += 0.3 * (
                    1 - module.parametrizations.weight[0].mask
                )
        ends.append(model)
    found = tickets.barrier(*ends, split)
    plain = [pruning.remove(copy.deepcopy(model)) for model in ends]
    assert found.error.tolist() == tickets.barrier(*plain, split).error.tolist()
    assert pruning.density(ends[0]) < 1, "the networks themselves stay masked"


def test_no_barrier_is_measured_where_it_means_nothing():
    a, b = batch_norm_net(1), batch_norm_net(2)
    with pytest.raises(ValueError, match="have batch norm"):
        tickets.barrier(a, b, small(1).test)
    with pytest.raises(ValueError, match="two networks of one shape"):
        tickets.barrier(mlp(1), mlp(1, (64, 9, 10)), small(1).test)
    with pytest.raises(ValueError, match="points must be a whole number, at least 3; got 2"):
        tickets.barrier(mlp(1), mlp(2), small(1).test, points=2)
    with pytest.raises(ValueError, match="the split is empty"):
        tickets.barrier(mlp(1), mlp(2), small(1).held_out)


def test_a_stack_of_tickets_trains_as_masks_on_the_stack_do_bit_for_bit():
    """`train` holds pruned weights by their gradients; `pruning.apply` by a product."""
    some, parts = [a_ticket(seed) for seed in seeds_of], [small(seed) for seed in seeds_of]
    plan = dataclasses.replace(PLAN, weight_decay=0.1)
    runs = tickets.train(some, parts, plan, seeds=seeds_of)
    stacked = networks.stack([ticket.start for ticket in some])
    names = some[0].masks
    pruning.apply(stacked, {n: torch.stack([t.masks[n] for t in some]) for n in names})
    settings = {"steps": plan.steps, "batch_size": plan.batch_size, "weight_decay": 0.1}
    training.fit(stacked, parts, seed=seeds_of, learning_rate=plan.learning_rate, **settings)
    for ticket, run, expected in zip(some, runs, networks.unstack(stacked), strict=True):
        for name, value in expected.state_dict().items():
            assert torch.equal(run.model.state_dict()[name], value)
            if name in ticket.masks:
                assert (run.model.get_parameter(name)[~ticket.masks[name]] == 0).all()
