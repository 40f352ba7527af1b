"""Grids of tickets: what they train, that nothing is trained twice, stopping and going on."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib import data, networks, pruning, tickets, training
from course_lib.data import Split
from course_lib.tickets import Plan, Ticket, grids

SIZES = (64, 12, 9, 10)
PLAN = Plan(steps=12, batch_size=50, learning_rate=5e-3, evaluate_at=(7, 8, 9))
ARMS = {
    0: dict.fromkeys(tickets.CONTROLS, (2,)),
    5: {"other order": (1, 2)},
    "rate": {},
    "none": {},
}


def build(seed):
    return networks.mlp(SIZES, seed=seed)


def conv(seed):
    return networks.convnet((3, 4), seed=seed)


def small(seed, n_train=220):
    splits = data.digits(seed)
    return splits._replace(train=Split(*(t[:n_train] for t in splits.train)))


def run(folder=None, seeds=(1, 2, 3), plan=PLAN, **options):
    """A grid in this process, unless told otherwise."""
    options = {"rounds": 2, "arms": ARMS, "workers": 1, "progress": False, "together": 2} | options
    network = options.pop("build", build)
    items = options.pop("data", small)
    return tickets.grid(network, items, seeds, plan, folder=folder, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole grid, in a folder of its own that no test changes."""
    return run(tmp_path_factory.mktemp("grid") / "whole")


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_close(a, b, rtol=1e-2, atol=2e-3):
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=rtol, atol=atol), name


def assert_same_table(a, b, atol=1.0):
    """Equal up to rounding: one test item more or less is half a percentage point."""
    pd.testing.assert_frame_equal(a, b, check_exact=False, rtol=0, atol=atol)


# --- What it trains -------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_training(whole):
    table = whole.table
    names = ["arm", "rewind", "round", "seed", "density", "steps", "validation", "test", "barrier"]
    assert sorted(table.columns) == sorted(names)
    expected = [("dense", 0, 0)]
    for number in (1, 2):
        expected.append(("ticket", 0, number))
        expected += [(name, 0, 2) for name in tickets.CONTROLS if number == 2]
    for number in (1, 2):
        expected += [("ticket", 5, number), ("other order", 5, number)]
    expected += [("ticket", late, number) for late in ("rate", "none") for number in (1, 2)]
    found = list(zip(table.arm, table.rewind, table["round"], strict=True))
    assert found == [unit for unit in expected for _ in range(3)]
    assert table.seed.tolist() == [1, 2, 3] * len(expected)
    assert (table.steps == np.where(table.rewind == 5, 7, 12)).all()
    assert table.barrier.notna().equals(table.arm == "other order")
    assert (table.barrier.dropna() >= 0).all()
    n = [64 * 12, 12 * 9, 9 * 10]
    kept = [k - round(k * (1 - (1 - p) ** 2)) for k, p in zip(n, (0.2, 0.2, 0.1), strict=True)]
    second = table[table["round"] == 2]
    np.testing.assert_allclose(second.density, sum(kept) / sum(n))
    stored = pd.read_csv(whole.folder / "table.csv")
    pd.testing.assert_frame_equal(stored[["seed", "test"]], table[["seed", "test"]])


@pytest.mark.parametrize("rewind", [0, 5, "rate", "none"])
def test_its_tickets_are_those_of_find(whole, rewind):
    for number, (_, found, runs) in enumerate(
        tickets.find([build(2)], [small(2)], PLAN, seeds=[2], rounds=2, rewind=rewind)
    ):
        assert_close(whole.model(2, number, rewind), runs[0].model)
        if number:
            ticket = whole.ticket(2, number, rewind)
            assert (ticket.step, ticket.found) == (found[0].step, found[0].found)
            assert_close(ticket.start, found[0].start)
            for name, mask in ticket.masks.items():
                assert (mask == found[0].masks[name]).float().mean() > 0.99
        row = whole.table.query("seed == 2 and arm in ('ticket', 'dense')")
        row = row[(row.rewind == (rewind if number else 0)) & (row["round"] == number)].iloc[0]
        assert row.test == pytest.approx(training.accuracy(runs[0].model, small(2).test), abs=1.2)
        model = whole.model(2, number, rewind)
        assert row.test == pytest.approx(training.accuracy(model, small(2).test), abs=1e-4)
        assert row.validation == pytest.approx(
            training.accuracy(model, small(2).validation), abs=1e-4
        )


def controls_by_hand(grid, seed):
    """Each control of round 2 as its definition says, made from the library's simple parts."""
    ticket, fresh = grid.ticket(seed, 2), Ticket.dense(build(seed))
    shares = {name: 1 - int(mask.sum()) / mask.numel() for name, mask in ticket.masks.items()}
    large = pruning.layerwise_mask(pruning.magnitude(grid.model(seed, 0)), shares)
    longer = fresh.train(
        small(seed), dataclasses.replace(PLAN, steps=24, evaluate_at=()), seed=seed
    )
    larger = pruning.layerwise_mask(pruning.magnitude(longer.model), shares)
    sparsity, train = 1 - ticket.density, small(seed).train
    snip = pruning.global_mask(pruning.snip(build(seed), train), sparsity)
    return {
        "re-initialised": Ticket(ticket.masks, build(seed + 100_000)),
        "random mask": ticket.random_masks(seed + 100_000),
        "one-shot": Ticket(large, build(seed)),
        "one-shot, equal budget": Ticket(larger, build(seed)),
        "SNIP": Ticket(snip, build(seed)),
        "SynFlow": Ticket(tickets.synflow_masks(build(seed), sparsity, train.x), build(seed)),
        "other order": ticket,
    }


def test_the_controls_are_what_their_names_say(whole, monkeypatch):
    given = {}

    def noted(some, splits, plan, *, seeds, **more):
        given.setdefault(plan.steps, []).append((some[0], seeds[0]))
        return tickets.train(some, splits, plan, seeds=seeds, **more)

    monkeypatch.setattr(grids, "train", noted)
    grid = run(seeds=[2], arms={0: ARMS[0]})
    trained = iter(given[12][3:])  # after dense and two rounds, in the order of ARMS
    expected = controls_by_hand(grid, 2)
    assert list(expected) == list(tickets.CONTROLS)
    for name, control in expected.items():
        ticket, order = next(trained)
        assert order == (2 + 100_000 if name == "other order" else 2), name
        assert ticket.step == 0
        for weight, mask in ticket.masks.items():
            assert torch.equal(mask, control.masks[weight]), name
        for weight, value in ticket.start.state_dict().items():
            assert torch.equal(value, control.start.state_dict()[weight]), name
        if name not in ("SNIP", "SynFlow"):
            assert ticket.counts == grid.ticket(2, 2).counts
        assert ticket.density == pytest.approx(grid.ticket(2, 2).density)
        row = whole.table.query("seed == 2 and round == 2 and rewind == 0")
        row = row[row.arm == name].iloc[0]
        alone = control.train(small(2), PLAN, seed=order)
        assert row.test == pytest.approx(training.accuracy(alone.model, small(2).test), abs=1.2)
    assert len(given[24]) == 1, "the longer dense training, for one control"


def test_the_barrier_is_that_of_two_orders_of_one_ticket(whole):
    ticket, row = whole.ticket(3, 2, 5), whole.table.query("arm == 'other order' and seed == 3")
    row = row[(row.rewind == 5) & (row["round"] == 2)].iloc[0]
    a = whole.model(3, 2, 5)
    b = ticket.train(small(3), PLAN, seed=3 + 100_000).model
    assert row.barrier == pytest.approx(tickets.barrier(a, b, small(3).test).height, abs=1.2)


def test_networks_that_cannot_be_stacked_train_one_by_one():
    grid = run(build=conv, rounds=1, arms={3: {"random mask": (1,)}}, seeds=[4])
    assert grid.table.arm.tolist() == ["dense", "ticket", "random mask"]
    found = list(tickets.find([conv(4)], [small(4)], PLAN, seeds=[4], rounds=1, rewind=3))
    assert_close(grid.model(4, 1, 3), found[1].runs[0].model, rtol=0, atol=0)


# --- Never twice ----------------------------------------------------------------------------------


def counting(monkeypatch, stop_after=None):
    """Count the networks that are trained, by what they are; stop after some of the calls."""
    seen = []

    def counted(some, splits, plan, *, seeds, **more):
        if stop_after is not None and len(seen) >= stop_after:
            raise KeyboardInterrupt
        names = [(t.found, t.step, plan.steps, seed) for t, seed in zip(some, seeds, strict=True)]
        seen.append(names)
        return tickets.train(some, splits, plan, seeds=seeds, **more)

    monkeypatch.setattr(grids, "train", counted)
    return seen


def test_each_dense_network_is_trained_once(monkeypatch, tmp_path):
    seen = counting(monkeypatch)
    arms = {0: {"random mask": (1,)}, 5: {}, 3: {}, "rate": {}}
    run(tmp_path / "grid", arms=arms)
    every = [name for call in seen for name in call]
    dense = [name for name in every if name[0] == "dense"]
    assert dense == [("dense", 0, 12, seed) for seed in (1, 2, 3)]
    n = len(every)
    again = run(tmp_path / "grid", arms=arms | {"none": {}}, seeds=(1, 2, 3, 4))
    every = [name for call in seen for name in call][n:]
    assert [name for name in every if name[0] == "dense"] == [("dense", 0, 12, 4)]
    assert len(every) == 3 * 2 + (1 + 4 * 2 + 1 + 2), "the new arm, and all of the new seed"
    assert len(again.table) == n + len(every)
    seen.clear()
    run(tmp_path / "grid", arms={5: {}})
    assert seen == []


@pytest.mark.parametrize("stop_after", [1, 4, 11])
def test_a_grid_that_was_stopped_goes_on(whole, monkeypatch, tmp_path, stop_after):
    folder = tmp_path / "grid"
    with monkeypatch.context() as patch:
        counting(patch, stop_after)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    before = files(folder)
    assert len([path for path in before if path.suffix == ".safetensors"]) >= 2 * stop_after - 2
    times = {path: (folder / path).stat().st_mtime_ns for path in before}
    grid = run(folder)
    pd.testing.assert_frame_equal(grid.table, whole.table)
    assert {path: (folder / path).stat().st_mtime_ns for path in before} == times
    assert files(folder) == files(whole.folder), "as if it had never been stopped"


def test_a_half_written_file_is_no_training(whole, tmp_path):
    folder = tmp_path / "grid"
    run(folder, seeds=[1], rounds=1, arms={0: {}})
    done = folder / "ticket" / "rewind-0" / "round-01" / "seed-1.safetensors"
    done.with_name(done.name + ".123.part").write_bytes(done.read_bytes()[:200])
    done.unlink()
    grid = run(folder, seeds=[1], rounds=1, arms={0: {}})
    expected = whole.table.query("seed == 1 and round <= 1 and arm in ('dense', 'ticket')")
    expected = expected[expected.rewind == 0].reset_index(drop=True)
    assert_same_table(grid.table, expected)


# --- Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan": dataclasses.replace(PLAN, learning_rate=0.1)}, "(learning_rate differ)"),
        ({"plan": dataclasses.replace(PLAN, steps=13)}, "(schedule, steps differ)"),
        ({"plan": dataclasses.replace(PLAN, schedule=training.cosine)}, "(schedule differ)"),
        ({"plan": dataclasses.replace(PLAN, evaluate_at=(3,))}, "(evaluate_at differ)"),
        ({"rate": 0.3}, "(rate differ)"),
        ({"output_rate": None}, "(output_rate differ)"),
        ({"scope": "global"}, "(scope differ)"),
        ({"build": lambda seed: build(seed + 1)}, "(network of seed 1, network of seed 2, netw"),
        ({"data": lambda seed: small(seed, 219)}, "(data of seed 1, data of seed 2, data of seed"),
        ({"arms": {0: {}, 7: {}}}, "are not stored at the steps [7]"),
    ],
)
def test_a_changed_setting_is_refused_and_changes_nothing(whole, change, message):
    before = files(whole.folder)
    with pytest.raises(ValueError) as error:
        run(whole.folder, **change)
    assert message in str(error.value)
    assert "take another folder" in str(error.value)
    assert files(whole.folder) == before


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("do not lose me")
    with pytest.raises(ValueError, match="holds other files: a grid takes a folder of its own"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_settings_can_be_read_by_people(whole):
    settings = json.loads((whole.folder / "settings.json").read_text())
    assert settings["learning_rate"] == 5e-3
    assert settings["rewind_steps"] == [0, 5]
    assert settings["rate"] == 0.2


def test_a_temporary_folder_goes_with_the_grid():
    grid = run(seeds=[1], rounds=1, arms={0: {}})
    folder = grid.folder
    assert grid.ticket(1, 1).density < 1
    del grid
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, "seeds must be different whole numbers from 0 to 99999"),
        ({"seeds": [1, 1]}, "seeds must be different"),
        ({"seeds": [100_000]}, "seeds must be different whole numbers from 0 to 99999"),
        ({"rounds": 0}, "rounds must be a whole number, at least 1; got 0"),
        ({"rate": 1.5}, "rate is a share in [0, 1]"),
        ({"output_rate": -0.1}, "rate is a share in [0, 1]"),
        ({"scope": "local"}, "scope is one of"),
        ({"arms": {}}, "arms names where training starts again"),
        ({"arms": (0, 5)}, "arms names where training starts again"),
        ({"arms": {12: {}}}, "rewind is a step, 0 ≤ step < 12"),
        ({"arms": {0: {"shuffled": (1,)}}}, "got ['shuffled']"),
        ({"arms": {0: {"random mask": (3,)}}}, "random mask stands beside rounds from 1 to 2"),
        ({"arms": {"rate": {"random mask": (1,)}}}, "the arm 'rate' has none"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(options, message, tmp_path):
    with pytest.raises(ValueError) as error:
        run(tmp_path / "grid", **options)
    assert message in str(error.value)
    assert not (tmp_path / "grid").exists()


@pytest.mark.parametrize("wrong", [{"seed": 9}, {"round": 3}, {"round": -1}, {"rewind": 7}])
def test_a_network_that_a_grid_does_not_have_is_refused(whole, wrong):
    key = {"seed": 1, "round": 2, "rewind": 5} | wrong
    for take in (whole.ticket, whole.model):
        with pytest.raises(ValueError, match=r"seeds \[1, 2, 3\], rounds from 0 to 2 and st"):
            take(**key)


def test_numbers_of_numpy_are_numbers(tmp_path):
    plan = Plan(steps=np.int64(12), batch_size=np.int32(50), learning_rate=np.float32(0.005))
    arms = {np.int64(0): {"random mask": np.array([1])}}
    grid = run(tmp_path / "grid", seeds=np.arange(2), plan=plan, arms=arms, rounds=np.int64(1))
    again = run(tmp_path / "grid", seeds=[0, 1], plan=plan, arms=arms, rounds=1)
    pd.testing.assert_frame_equal(grid.table, again.table)


# --- Workers, progress, curves --------------------------------------------------------------------


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing_and_the_bar_counts(tmp_path, capfd):
    options = {"arms": {0: {"random mask": (2,)}}, "seeds": (1, 2, 3, 4)}
    one = run(tmp_path / "one", **options)
    two = run(tmp_path / "two", workers=2, progress=True, **options)
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.curves, two.curves)
    assert "/16 [" in capfd.readouterr().err


def test_no_global_generator_is_touched(global_generators):
    run(seeds=[1], arms={0: dict.fromkeys(tickets.CONTROLS, (1,))}, rounds=1)


def test_early_accuracy_is_the_area_under_the_curve():
    curves = pd.DataFrame(
        {
            "step": [10, 2, 4, 2, 6, 10],
            "validation_accuracy": [0.9, 0.1, 0.5, 0.2, 0.4, 0.7],
            "arm": ["a", "a", "a", "b", "b", "b"],
            "rewind": 0,
            "round": 1,
            "seed": 3,
        }
    )
    found = tickets.early_accuracy(curves, until=10)
    area = [(2 * (0.1 + 0.5) / 2 + 6 * (0.5 + 0.9) / 2) / 8, (4 * 0.3 + 4 * 0.55) / 8]
    assert found.tolist() == pytest.approx([100 * a for a in area])
    assert found.index.tolist() == [("a", 0, 1, 3), ("b", 0, 1, 3)]
    assert tickets.early_accuracy(curves, until=9)["a", 0, 1, 3] == pytest.approx(30)
    with pytest.raises(ValueError, match="two evaluations or more up to step 5; got 1"):
        tickets.early_accuracy(curves, until=5)


def test_curves_hold_the_steps_that_were_asked_for(whole):
    curves = whole.curves
    dense = curves[(curves.arm == "dense") & (curves.seed == 1)]
    assert dense.step.tolist() == list(range(1, 13))
    late = curves[(curves.rewind == 5) & (curves.seed == 1) & (curves["round"] == 2)]
    assert late[late.arm == "ticket"].step.tolist() == list(range(6, 13))
    alone = Ticket.dense(build(1)).train(small(1), PLAN, seed=1).history
    np.testing.assert_allclose(dense.train_loss, alone.train_loss, rtol=1e-3)
    area = tickets.early_accuracy(curves[curves.rewind == 0], until=9)
    assert len(area) == 3 * len(whole.table.query("rewind == 0")) / 3
