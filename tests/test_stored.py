"""Stored tables: that they say where they come from, and that what they say comes out again."""

import dataclasses
import importlib.util
import json
import signal
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from course_lib import data, networks, stored, tickets, training
from course_lib.data import Split

ROOT = Path(__file__).resolve().parents[1]
# Loaded under a name of its own: tools/stored.py and course_lib/stored.py have one stem.
spec = importlib.util.spec_from_file_location("stored_runs", ROOT / "tools" / "stored.py")
tool = sys.modules["stored_runs"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

NAMES = sorted(path.stem for path in (ROOT / "results").glob("*.csv"))
ROWS = 1  # of each table, in each run of the tests

ABOUT = stored.About(
    what="Tickets of a small network",
    command="python tools/stored.py small",
    date="2026-03-07",
    seconds=1837.0,
    hardware="4 cores of a computer",
    versions={"torch": "2.13.0"},
    settings={"steps": 40, "arms": {"0": {"random mask": [1, 2]}}},
)
TABLE = pd.DataFrame(
    {
        "arm": ["dense", "ticket", "ticket"],
        "rewind": [0, 30, "rate"],
        "seed": [3, 4, 5],
        "test": [100 / 3, 0.1 + 0.2, np.nan],
    }
)


def small(seed, n_train=120):
    splits = data.digits(seed)
    return splits._replace(train=Split(*(t[:n_train] for t in splits.train)))


SMALL = tool.Run(
    what="Tickets of a small network",
    build=lambda seed: networks.mlp((64, 9, 10), seed=seed),
    data=small,
    seeds=(1, 2, 3),
    plan=tickets.Plan(
        steps=40, batch_size=30, learning_rate=5e-3, schedule=training.cosine, evaluate_at=(1, 3)
    ),
    rounds=3,
    arms={0: {"random mask": (1, 2)}, 8: {"other order": (2,)}, "rate": {}},
    rerun=120,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "grid"
    return SMALL.table(folder, workers=1, progress=False)


# --- Every table that is stored -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_each_stored_table_comes_out_again(name):
    """Another row each time, drawn by chance from those that take few steps to measure anew.

    A row of a late round would take minutes, because its ticket has to be found round by round.
    """
    table, about = stored.load(name)
    run = tool.run_of(name, about.settings["steps"])
    try:
        run.needs()
    except FileNotFoundError as missing:
        pytest.skip(f"NOT CHECKED: results/{name}.csv. {missing}")
    cheap = table[run.cost(table) <= run.rerun]
    assert len(cheap) >= ROWS, f"no row of {name} takes fewer than {run.rerun} network-steps"
    for index in np.random.default_rng().choice(cheap.index, ROWS, replace=False):
        row = table.loc[index]
        found = tool.differences(table, row, run.again(row), run.group, run.measured)
        assert not found, f"row {index} of results/{name}.csv, {row.to_dict()}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_each_stored_table_is_what_its_command_makes(name):
    table, about = stored.load(name)
    assert name in tool.RUNS
    run = tool.run_of(name, about.settings["steps"])
    assert about.settings == run.settings()
    assert about.what == run.what
    assert about.command.startswith(f"python tools/stored.py {name}")
    keys = [*run.group, "seed"]
    assert not table.duplicated(keys).any()
    rows = run.rows()
    if isinstance(run, tool.Run):
        assert list(table[keys].itertuples(index=False, name=None)) == rows
        assert table[["validation", "test", "density"]].notna().all(axis=None)
    else:  # factors are fractions
        expected = pd.DataFrame(rows, columns=keys)
        pd.testing.assert_frame_equal(table[keys], expected, check_dtype=False)
        assert table[list(run.measured)].notna().all(axis=None)


# --- The tool -------------------------------------------------------------------------------------


def test_a_row_measured_anew_is_the_row(table):
    for (arm, rewind, _), rows in table.groupby(tool.GROUP, sort=False):
        row = rows.iloc[1]
        again = SMALL.again(row)
        assert tool.differences(table, row, again) == [], (arm, rewind)
        pd.testing.assert_series_equal(again, row, check_names=False)


def test_a_row_of_other_rates_comes_out_again():
    run = dataclasses.replace(
        tool.RUNS["probes-rates"], steps=12, looks=(0, 5, 12), kinds=("tanh MLP", "ReLU conv")
    )
    some = {"seeds": [7, 2], "factors": [3.0], "workers": 1, "progress": False}
    table = run.table(**some)
    assert table.groupby(list(run.group), sort=False).ngroups == 6
    for index in (4, 11):
        row = table.loc[index]
        again = run.again(row)
        assert (again[["network", "step", "seed"]] == row[["network", "step", "seed"]]).all()
        assert tool.differences(table, row, again, run.group, run.measured) == []
        again["held_out"] += 1.0
        assert len(tool.differences(table, row, again, run.group, run.measured)) == 1
    assert run.lasting(8).looks == (0, 5, 8)


def test_early_is_the_first_tenth_and_only_of_what_starts_at_the_beginning(table):
    at_zero = table["rewind"] == 0
    assert table["early"].notna().equals(at_zero)


def test_the_cost_of_a_row_is_what_is_trained_for_it(table, monkeypatch):
    trained = []

    def counting(tickets_, splits, plan, **options):
        trained.append(len(tickets_) * plan.steps)
        return tickets.train(tickets_, splits, plan, **options)

    monkeypatch.setattr(tickets.grids, "train", counting)
    costs = SMALL.cost(table)
    for (arm, rewind, _), rows in table.groupby(tool.GROUP, sort=False):
        trained.clear()
        SMALL.again(rows.iloc[0])
        assert sum(trained) == costs[rows.index[0]], (arm, rewind)


def test_a_row_that_came_out_otherwise_is_found(table):
    row = table[(table["arm"] == "random mask") & (table["round"] == 2)].iloc[0]
    spread = table[(table[tool.GROUP] == row[tool.GROUP]).all(axis=1)]["test"].std()
    assert spread > 0
    assert tool.differences(table, row, row) == []
    for factor, faults in ((2.9, 0), (-2.9, 0), (3.1, 1), (-3.1, 1), (np.nan, 1)):
        again = row.copy()
        again["test"] += factor * spread
        assert len(tool.differences(table, row, again)) == faults, factor
    for name, value in (("barrier", 1.0), ("density", 0.5), ("steps", 41)):
        again = row.copy()
        again[name] = value
        assert len(tool.differences(table, row, again)) == 1, name


def test_settings_are_json_and_change_with_the_run():
    settings = SMALL.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["steps"], settings["schedule"], settings["seeds"]) == (40, "cosine", [1, 2, 3])
    for name, value in (("rounds", 4), ("seeds", (1, 2)), ("arms", {0: {}})):
        changed = dataclasses.replace(SMALL, **{name: value})
        assert changed.settings() != settings
    assert dataclasses.replace(SMALL, build=lambda s: networks.mlp(seed=s)).settings() != settings


def test_other_steps_keep_the_early_evaluations_early(monkeypatch):
    monkeypatch.setitem(tool.RUNS, "small", SMALL)
    assert tool.run_of("small") is SMALL
    assert tool.run_of("small", 40).plan.evaluate_at == (1, 3)
    shorter = tool.run_of("small", 20)
    assert (shorter.plan.steps, shorter.plan.evaluate_at) == (20, (1,))
    assert shorter.plan.learning_rate == SMALL.plan.learning_rate


def test_a_table_is_made_by_one_command_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tool.RUNS, "small", dataclasses.replace(SMALL, arms={0: {}}, rounds=1))
    monkeypatch.setattr(tool, "WORK", tmp_path / "work")
    monkeypatch.setattr(stored, "FOLDER", tmp_path / "results")
    tool.main(["small", "--workers", "1", "--steps", "20"])
    assert "results/small.csv has 6 rows" in capsys.readouterr().out
    first = stored.load("small")
    assert first.about.command == "python tools/stored.py small --steps 20"
    assert set(first.table["steps"]) == {20}
    calls = []
    monkeypatch.setattr(tickets.grids, "train", lambda *a, **o: calls.append(a))
    tool.main(["small", "--workers", "1", "--steps", "20"])
    again = stored.load("small")
    assert calls == []
    pd.testing.assert_frame_equal(again.table, first.table)
    assert again.about.seconds >= first.about.seconds


def test_the_seconds_of_a_run_that_was_stopped_count(tmp_path, monkeypatch):
    now = iter((10.0, 13.0, 100.0, 104.0))
    monkeypatch.setattr(tool.time, "perf_counter", lambda: next(now))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit), tool.clock(tmp_path / "new" / "seconds"):
            signal.raise_signal(signal.SIGTERM)
        with tool.clock(tmp_path / "new" / "seconds"):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "new" / "seconds").read_text() == "7.0"


def test_the_tool_lists_its_runs(capsys):
    tool.main([])
    printed = capsys.readouterr().out
    assert all(name in printed and run.what in printed for name, run in tool.RUNS.items())


# --- Files ----------------------------------------------------------------------------------------


def test_a_table_is_read_as_it_was_written(tmp_path):
    stored.save("small", TABLE, ABOUT, tmp_path)
    table, about = stored.load("small", tmp_path)
    assert about == ABOUT
    pd.testing.assert_frame_equal(table, TABLE, check_dtype=False, rtol=1e-12)
    assert [type(value) for value in table["rewind"]] == [int, int, str]


def test_the_sentence_of_a_table():
    assert ABOUT.sentence == (
        "Stored run of 7 March 2026, made by `python tools/stored.py small` in 31 minutes on "
        "4 cores of a computer."
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.6, "1 seconds"), (119, "119 seconds"), (121, "2 minutes"), (7199, "120 minutes")]
    + [(7201, "2 hours"), (36000, "10 hours")],
)
def test_how_long_it_took_in_words(seconds, words):
    assert f" in {words} on " in dataclasses.replace(ABOUT, seconds=seconds).sentence


def test_a_table_that_was_changed_is_refused(tmp_path):
    stored.save("small", TABLE, ABOUT, tmp_path)
    file = tmp_path / "small.csv"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"\n", b"\r\n"))  # as Git may check it out on Windows
    stored.load("small", tmp_path)
    file.write_bytes(content.replace(b"0.30000000000000004", b"0.31"))
    with pytest.raises(ValueError, match=r"make it anew by `python tools/stored.py small`"):
        stored.load("small", tmp_path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no stored table 'small'"):
        stored.load("small", tmp_path)
    with pytest.raises(ValueError, match="there is no stored table 'nothing'"):
        stored.load("nothing")


def test_an_installed_copy_brings_the_tables(tmp_path, monkeypatch):
    """pip puts them where pyproject.toml says; the loader asks pip where that is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ((place, patterns),) = settings["tool"]["setuptools"]["data-files"].items()
    assert patterns == ["results/*.csv", "results/*.json"]
    (tmp_path / "site").mkdir()
    (tmp_path / place).mkdir(parents=True)
    stored.save("small", TABLE, ABOUT, tmp_path / place)

    class Recorded(type(Path("."))):
        def locate(self):
            return tmp_path / "site" / self

    names = ["course_lib/stored.py", f"../{place}/small.csv", f"../{place}/small.json"]
    monkeypatch.setattr(stored.metadata, "files", lambda name: [Recorded(n) for n in names])
    monkeypatch.setattr(stored, "FOLDER", tmp_path / "nowhere")
    assert stored.load("small").about == ABOUT
    monkeypatch.setattr(stored.metadata, "files", lambda name: None)
    with pytest.raises(ValueError, match="there is no stored table"):
        stored.load("small")
