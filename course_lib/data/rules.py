"""A task whose difficulty is known: apply rules one after the other to a symbol.

An item is a symbol and a row of slots. Each slot holds a rule or is empty. The label is the symbol
that comes out when the rules are applied from the first slot to the last. How many slots hold a
rule is the item's depth. All items are equally wide and have the same norm, so a network's input
does not tell the depth by its size. Chapter 13 introduces it.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import seeds
from course_lib.checks import check_whole
from course_lib.data.splits import Split, Splits


class Composition(NamedTuple):
    """Items of the rule-composition task.

    Attributes:
        splits: `x` is float32 `(n, symbols + slots · (rules + 1))`, the start and each slot
            one-hot; `y` is the symbol that comes out. `held_out` is empty.
        depths: for each of train, validation and test the number of rules of each item, int64
            `(n,)`, in a `Depths`.
        tables: int64 `(rules, symbols)`: rule r turns symbol s into `tables[r, s]`.
    """

    splits: Splits
    depths: "Depths"
    tables: Tensor


class Depths(NamedTuple):
    """The depth of every item of the three parts, int64 `(n,)` each."""

    train: Tensor
    validation: Tensor
    test: Tensor


def composition(
    seed: int,
    *,
    symbols: int = 5,
    rules: int = 2,
    slots: int = 8,
    n_train: int = 40_000,
    n_test: int = 20,
) -> Composition:
    """Draw rules and items of every depth from 1 to `slots`.

    Each rule is a permutation that leaves no symbol where it is. Items of validation and test are
    all different, as many at each depth; no training item is one of them. Training items are drawn
    with equal chances for every depth, so they repeat where there are few: at depth 1, and at the
    greatest depth, which has no empty slots.

    The defaults suit a small MLP: after some thousand steps it answers shallow items and misses
    deep ones. With many more symbols or rules it learns its training items by heart, and no depth.

    Args:
        seed: draws rules and items.
        symbols: how many, at least 2; they are the classes.
        rules: how many. `"empty"` is one more value of a slot.
        slots: how many, and the greatest depth.
        n_train: items to learn from.
        n_test: items of each depth in the test set, and as many in the validation set.

    Raises:
        ValueError: if a number is out of range, or there are too few different items of depth 1:
            symbols · slots · rules of them.
    """
    for name, value, low in (
        ("symbols", symbols, 2),
        ("rules", rules, 1),
        ("slots", slots, 1),
        ("n_train", n_train, 1),
        ("n_test", n_test, 1),
    ):
        check_whole(name, value, low=low)
    if 4 * n_test > symbols * slots * rules:
        raise ValueError(
            f"n_test is at most a quarter of the {symbols * slots * rules} items of depth 1, "
            f"{symbols * slots * rules // 4}; got {n_test}"
        )
    tables = _derangements(rules, symbols, seeds.generator(seed, "rules", "tables"))
    draw = seeds.generator(seed, "rules", "items")
    size = {"symbols": symbols, "rules": rules, "slots": slots}

    tested, sought = torch.empty(0, 1 + slots, dtype=torch.int64), []
    for depth in range(1, slots + 1):
        found = _distinct(2 * n_test, depth, size, draw)
        sought.append(found.split(n_test))
        tested = torch.cat([tested, found])
    validation, test = (torch.cat(part) for part in zip(*sought, strict=True))
    train = torch.empty(0, 1 + slots, dtype=torch.int64)
    while len(train) < n_train:
        depths = torch.randint(1, slots + 1, (n_train,), generator=draw)
        items = _items(depths, size, draw)
        new = ~torch.isin(_numbered(items, size), _numbered(tested, size))
        train = torch.cat([train, items[new]])
    parts = train[:n_train], validation, test

    splits = [Split(one_hot(items, symbols, rules), answers(items, tables)) for items in parts]
    empty = Split(splits[0].x[:0], splits[0].y[:0])
    depths = Depths(*((items[:, 1:] > 0).sum(1) for items in parts))
    return Composition(Splits(*splits, empty), depths, tables)


def answers(items: Tensor, tables: Tensor) -> Tensor:
    """Return the symbol that comes out of each item, int64 `(n,)`.

    Args:
        items: int64 `(n, 1 + slots)`: the start, then for each slot 0 if it is empty and else 1
            plus the number of its rule.
        tables: int64 `(rules, symbols)`.

    Raises:
        ValueError: if an item names a symbol or a rule that is not there.
    """
    rules, symbols = tables.shape
    start, slots = items[:, 0], items[:, 1:]
    if not (start >= 0).all() or not (start < symbols).all() or (slots < 0).any():
        raise ValueError(f"items start with a symbol from 0 to {symbols - 1}")
    if (slots > rules).any():
        raise ValueError(f"slots hold 0 or a rule from 1 to {rules}; got {int(slots.max())}")
    steps = torch.cat([torch.arange(symbols).unsqueeze(0), tables])  # row 0: nothing happens
    symbol = start
    for rule in slots.unbind(1):
        symbol = steps[rule, symbol]
    return symbol


def one_hot(items: Tensor, symbols: int, rules: int) -> Tensor:
    """Return items `(n, 1 + slots)` as rows of zeros and ones, float32; all have the same norm."""
    start = F.one_hot(items[:, 0], symbols)
    slots = F.one_hot(items[:, 1:], rules + 1).flatten(1)
    return torch.cat([start, slots], dim=1).float()


def tokens(x: Tensor, symbols: int, rules: int) -> Tensor:
    """Return the items `(n, 1 + slots)` that `one_hot` was given, for models that read sequences.

    Raises:
        ValueError: if the rows are not as wide as items are.
    """
    if x.ndim != 2 or x.shape[1] <= symbols or (x.shape[1] - symbols) % (rules + 1):
        raise ValueError(f"x must be (n, {symbols} + slots · {rules + 1}); got {tuple(x.shape)}")
    slots = x[:, symbols:].unflatten(1, (-1, rules + 1))
    return torch.cat([x[:, :symbols].argmax(1, keepdim=True), slots.argmax(2)], dim=1)


# --- Private --------------------------------------------------------------------------------------


def _derangements(n: int, symbols: int, draw: torch.Generator) -> Tensor:
    """Draw n permutations without a fixed point, (n, symbols)."""
    found = []
    while len(found) < n:
        table = torch.randperm(symbols, generator=draw)
        if (table != torch.arange(symbols)).all():
            found.append(table)
    return torch.stack(found)


def _items(depths: Tensor, size: dict[str, int], draw: torch.Generator) -> Tensor:
    """Draw an item of each depth (n,): (n, 1 + slots)."""
    n, slots = len(depths), size["slots"]
    start = torch.randint(size["symbols"], (n, 1), generator=draw)
    rule = torch.randint(1, size["rules"] + 1, (n, slots), generator=draw)
    rank = torch.rand(n, slots, generator=draw).argsort(1).argsort(1)
    return torch.cat([start, torch.where(rank < depths.unsqueeze(1), rule, 0)], dim=1)


def _distinct(n: int, depth: int, size: dict[str, int], draw: torch.Generator) -> Tensor:
    """Draw n different items of a depth, (n, 1 + slots)."""
    found = torch.empty(0, 1 + size["slots"], dtype=torch.int64)
    while len(found) < n:
        found = torch.cat([found, _items(torch.full((n,), depth), size, draw)])
        numbers = _numbered(found, size)
        first = [int((numbers == number).nonzero()[0]) for number in numbers.unique()]
        found = found[sorted(first)]  # in the order in which they were drawn
    return found[:n]


def _numbered(items: Tensor, size: dict[str, int]) -> Tensor:
    """Return a number for each item (n,), different for different ones."""
    place = (size["rules"] + 1) ** torch.arange(size["slots"])
    return items[:, 0] * (size["rules"] + 1) ** size["slots"] + items[:, 1:] @ place
