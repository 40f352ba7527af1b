"""Comparing answers: what an answer is not, in a sentence, and which mistake would give it.

Most exercises are checked the same way: draw inputs, ask the learner's function and the reference,
compare. If the answers differ, the known mistakes are tried on the same inputs. The one that gives
the learner's answers is the likely one.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.exercises.report import Report
from course_lib.exercises.runner import Fault
from course_lib.exercises.values import Other

TOLERANCE = 1e-6  # of numbers below one; above, relative
NUMBERS = (int, float)


@dataclass(frozen=True)
class Case:
    """One call: a text that says what is tried, and the arguments."""

    tried: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Wrong:
    """A mistake that people make, and what to tell them.

    `code` is a function that makes the mistake, or, under tests/, the source of one.
    """

    code: Callable | str
    message: str


def compare(
    reference: Callable,
    cases: Callable[[np.random.Generator], Iterable[Case]],
    wrong: Sequence[Wrong] = (),
) -> Callable[[Callable, int], Report]:
    """Return a check: `check(function, seed)` tries a function on the cases of a seed.

    The check depends on the function and the seed alone. It passes if the function gives the
    reference's answer in every case. If not, a mistake is named only if it gives the function's
    answer in every case that failed.

    Args:
        reference: the right function.
        cases: draws the inputs from a generator.
        wrong: mistakes, as functions of the same arguments.
    """

    def check(function: Callable, seed: int) -> Report:
        tried, failed = [], []
        for case in cases(np.random.default_rng(seed)):
            tried.append(case.tried)
            expected = reference(*copy.deepcopy(case.arguments))
            try:
                got = function(*copy.deepcopy(case.arguments))
            except Fault as fault:
                return fault.report(case.tried, case.arguments)
            if fault := difference(got, expected):
                failed.append((case, got, expected, fault))
        if not failed:
            return Report("passed", tried="\n".join(tried))
        case, got, expected, fault = failed[0]
        for mistake in wrong:
            if all(_gives(mistake.code, c.arguments, answer) for c, answer, _, _ in failed):
                fault = mistake.message
                break
        return Report(
            "failed", case.tried, describe(got), describe(expected), fault, case.arguments
        )

    return check


def _gives(mistake: Callable, arguments: tuple, answer: Any) -> bool:
    try:
        return not difference(answer, mistake(*copy.deepcopy(arguments)))
    except Exception:  # this mistake cannot be made on these inputs
        return False


# --- What an answer is not ------------------------------------------------------------------------


def difference(got: Any, expected: Any, what: str = "The answer") -> str:
    """Say in a sentence how an answer differs from the expected one; nothing if it does not.

    Kinds and shapes come first, then NaN, then values. Numbers may differ by rounding; a tensor
    of one entry counts as a number, a tuple as a list, and floats of double precision as single.
    """
    if got is None:
        return f"{what} is None. Is a `return` missing?"
    if isinstance(expected, dict):
        return _dictionaries(got, expected, what)
    if isinstance(expected, list | tuple):
        return _lists(got, expected, what)
    if isinstance(expected, Tensor):
        return _tensors(got, expected, what)
    return _numbers(got, expected, what)


def _dictionaries(got: Any, expected: dict, what: str) -> str:
    if not isinstance(got, dict):
        return f"{what} is {kind(got)}; asked for is a dictionary."
    if set(got) != set(expected):
        return f"{what} has the keys {sorted(map(str, got))}; asked for are {sorted(expected)}."
    faults = (difference(got[k], expected[k], f"The entry {k!r}") for k in expected)
    return next(filter(None, faults), "")


def _lists(got: Any, expected: list | tuple, what: str) -> str:
    if not isinstance(got, list | tuple):
        return f"{what} is {kind(got)}; asked for are {len(expected)} values."
    if len(got) != len(expected):
        return f"{what} has {len(got)} entries; asked for are {len(expected)}."
    pairs = enumerate(zip(got, expected, strict=True), start=1)
    faults = (difference(one, other, f"Entry {n} of the answer") for n, (one, other) in pairs)
    return next(filter(None, faults), "")


def _tensors(got: Any, expected: Tensor, what: str) -> str:
    if not isinstance(got, Tensor):
        return f"{what} is {kind(got)}; asked for is a tensor."
    if {got.dtype, expected.dtype} == {torch.float32, torch.float64}:
        got, expected = got.double(), expected.double()
    if got.dtype != expected.dtype:
        return (
            f"{what} has the dtype {_dtype(got)}; asked for is {_dtype(expected)}. "
            "A mask of booleans can choose entries; a mask of numbers cannot."
            if expected.dtype == torch.bool
            else f"{what} has the dtype {_dtype(got)}; asked for is {_dtype(expected)}."
        )
    if got.shape != expected.shape:
        return (
            f"{what} has the shape {tuple(got.shape)}; asked for is the shape "
            f"{tuple(expected.shape)}."
        )
    if expected.dtype == torch.bool:
        if torch.equal(got, expected):
            return ""
        kept, due, n = int(got.sum()), int(expected.sum()), expected.numel()
        if kept != due:
            return f"{what} keeps {kept} of {n}; {due} should stay."
        return f"{what} keeps as many as it should, {due} of {n}, but not the right ones."
    if got.isnan().any():
        return f"{what} holds NaN."
    if torch.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE):
        return ""
    return f"{what} has other values than expected."


def _numbers(got: Any, expected: int | float, what: str) -> str:
    if isinstance(got, Tensor | np.ndarray | np.generic) and got.ndim == 0:
        got = got.item()
    if type(got) not in NUMBERS:
        return f"{what} is {kind(got)}; asked for is a number."
    if math.isnan(got):
        return f"{what} is NaN, which is no number. Is something divided by zero?"
    if abs(got - expected) <= TOLERANCE * max(1.0, abs(expected)):
        return ""
    return f"{what} is {got:.6g}, not {expected:.6g}."


# --- Texts ----------------------------------------------------------------------------------------


def kind(value: Any) -> str:
    """Name the kind of a value, with its text if that says more: "the text 'abc'", "a list"."""
    if isinstance(value, Other):
        return f"an object of type {value.type_name}"
    if isinstance(value, str):
        return f"the text {value[:50]!r}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    names = {dict: "a dictionary", bool: "a truth value", int: "a whole number"}
    return names.get(type(value), f"a {type(value).__name__}")


def describe(value: Any) -> str:
    """Describe an answer in a few lines: numbers, shapes, and small tensors in full."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {describe(one)}" for key, one in list(value.items())[:10])
    if isinstance(value, list | tuple):
        if any(isinstance(one, Tensor) for one in value):
            return "\n".join(describe(one) for one in value[:10])
        return ", ".join(describe(one) for one in value[:10]) + (", …" if len(value) > 10 else "")
    if isinstance(value, Tensor | np.ndarray):
        return _array(torch.as_tensor(value))
    if isinstance(value, Other):
        return f"{value.type_name}: {value.text}"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _array(value: Tensor) -> str:
    text = f"{_dtype(value)}, shape {tuple(value.shape)}"
    if value.dtype == torch.bool:
        text += f", keeps {int(value.sum())} of {value.numel()}"
    if value.numel() <= 40:
        shown = value.int() if value.dtype == torch.bool else value
        text += ": " + str(
            np.round(shown.double().numpy(), 4).tolist()
            if shown.is_floating_point()
            else shown.tolist()
        )
    return text


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
