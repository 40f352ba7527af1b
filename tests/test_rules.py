"""The rule-composition task: labels follow the rules, depths are right, splits are honest."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import rules


@pytest.fixture(scope="module")
def task():
    return rules.composition(3, symbols=10, rules=8, slots=6, n_train=2000, n_test=30)


def every_part(task):
    return zip(task.splits[:3], task.depths, strict=True)


def test_labels_are_what_the_rules_give_one_by_one(task):
    for split, depths in every_part(task):
        items = rules.tokens(split.x, 10, 8)
        for item, y, depth in zip(items.tolist(), split.y.tolist(), depths.tolist(), strict=True):
            symbol, *slots = item
            applied = [slot - 1 for slot in slots if slot]
            for rule in applied:
                symbol = int(task.tables[rule, symbol])
            assert (symbol, len(applied)) == (y, depth)


def test_answers_by_hand():
    tables = torch.tensor([[1, 2, 0], [2, 0, 1]])  # a step up, a step down, in a circle
    items = torch.tensor([[0, 1, 0, 1], [2, 0, 0, 2], [1, 1, 2, 0], [2, 1, 1, 1]])
    assert rules.answers(items, tables).tolist() == [2, 1, 1, 2]


def test_the_order_of_rules_matters(task):
    a, b = torch.tensor([[4, 1, 2, 0, 0, 0, 0], [4, 2, 1, 0, 0, 0, 0]])
    answers = [
        rules.answers(torch.stack([a, b]).index_fill(1, torch.tensor([0]), s), task.tables)
        for s in range(10)
    ]
    assert any(one[0] != one[1] for one in answers)


def test_rules_are_permutations_that_move_every_symbol(task):
    assert task.tables.shape == (8, 10)
    assert (task.tables.sort(1).values == torch.arange(10)).all()
    assert (task.tables != torch.arange(10)).all()


def test_all_depths_and_no_item_in_two_parts(task):
    items = [{tuple(row) for row in rules.tokens(s.x, 10, 8).tolist()} for s in task.splits[:3]]
    assert not items[0] & items[1]
    assert not items[0] & items[2]
    assert not items[1] & items[2]
    for part, depths in zip(items[1:], task.depths[1:], strict=True):
        assert len(part) == len(depths) == 180
        assert depths.bincount().tolist() == [0, 30, 30, 30, 30, 30, 30]
    counts = task.depths.train.bincount()[1:]
    assert len(counts) == 6
    assert (counts - 2000 / 6).abs().max() < 5 * (2000 / 6) ** 0.5
    assert len(task.splits.train.y) == 2000
    assert len(task.splits.held_out.y) == 0


def test_rules_stand_in_any_slot(task):
    used = rules.tokens(task.splits.train.x, 10, 8)[task.depths.train == 1, 1:] > 0
    shares = used.float().mean(0)
    assert (shares - 1 / 6).abs().max() < 0.08


def test_the_input_does_not_tell_the_depth_by_its_norm(task):
    for split, _ in every_part(task):
        assert (split.x.sum(1) == 7).all()
        assert set(split.x.unique().tolist()) == {0.0, 1.0}
        assert split.x.dtype == torch.float32


@given(seed=st.integers(0, 1000))
def test_tokens_and_one_hot_are_inverse(seed):
    draw = torch.Generator().manual_seed(seed)
    items = torch.cat(
        [torch.randint(7, (9, 1), generator=draw), torch.randint(4, (9, 5), generator=draw)], 1
    )
    x = rules.one_hot(items, 7, 3)
    assert x.shape == (9, 7 + 5 * 4)
    assert torch.equal(rules.tokens(x, 7, 3), items)


def test_it_depends_on_its_seed_alone(global_generators):
    small = {"n_train": 100, "n_test": 5}
    first, again, other = (rules.composition(s, **small) for s in (1, 1, 2))
    assert torch.equal(first.splits.train.x, again.splits.train.x)
    assert torch.equal(first.splits.test.y, again.splits.test.y)
    assert not torch.equal(first.tables, other.tables)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"symbols": 1}, "symbols"),
        ({"rules": 0}, "rules"),
        ({"slots": 0}, "slots"),
        ({"n_train": 0}, "n_train"),
        ({"n_test": 0}, "n_test"),
        ({"n_test": 21}, "at most a quarter of the 80 items of depth 1, 20"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        rules.composition(0, **settings)


def test_bad_items_are_refused(task):
    with pytest.raises(ValueError, match="symbol from 0 to 9"):
        rules.answers(torch.tensor([[10, 1]]), task.tables)
    with pytest.raises(ValueError, match="rule from 1 to 8"):
        rules.answers(torch.tensor([[1, 9]]), task.tables)
    with pytest.raises(ValueError, match="x must be"):
        rules.tokens(torch.zeros(2, 12), 10, 8)
