"""The exercises of chapter 01b: what a sparse product does, what a format takes, what is cut."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course_lib.exercises.comparing import Case, Wrong
from course_lib.exercises.exercise import Exercise

# --- Multiply without the zeros -------------------------------------------------------------------


def csr_product(values, columns, starts, x):
    """Multiply a matrix in CSR by a vector, without the zeros.

    values: float tensor (nnz,), the values that are not zero, row by row.
    columns: list of nnz whole numbers, the column of each value.
    starts: list of rows + 1 whole numbers. Row i holds the values from
        place starts[i] up to, but without, place starts[i + 1].
    x: float tensor (n_in,).

    Returns a float tensor (rows,).
    """
    y = torch.zeros(len(starts) - 1)
    for row in range(len(y)):
        for place in range(starts[row], starts[row + 1]):
            y[row] += values[place] * x[columns[place]]
    return y


def _sparse_matrices(rng: np.random.Generator) -> Iterator[Case]:
    for rows, n_in, empty in ((4, 7, None), (3, 8, 1), (5, 9, 0), (4, 6, 3)):
        counts = rng.integers(2, n_in - 1, rows)
        if empty is not None:
            counts[empty] = 0
        columns = [sorted(rng.permutation(n_in)[:count].tolist()) for count in counts]
        for some in columns:  # else the first columns are the first entries of x
            some[:] = sorted({*some, n_in - 1} - {0}) if some else []
        starts = np.cumsum([0, *map(len, columns)]).tolist()
        said = f", row {empty} is empty" if empty is not None else ""
        yield Case(
            f"{rows} rows, {n_in} columns, {starts[-1]} values{said}",
            (_whole(rng, starts[-1]), sum(columns, []), starts, _whole(rng, n_in)),
        )


def _rows(values, columns, starts):
    """The values and the columns of each row."""
    return [(values[a:b], columns[a:b]) for a, b in zip(starts[:-1], starts[1:], strict=True)]


def _transposed(values, columns, starts, x):
    y = torch.zeros(len(x))
    for row, (some, places) in enumerate(_rows(values, columns, starts)):
        for value, column in zip(some, places, strict=True):
            y[column] += value * x[row]
    return y


CSR_PRODUCT = Exercise(
    id="costs.csr_product",
    chapter="01_costs",
    title="multiply without the zeros",
    difficulty=2,
    minutes=10,
    why="This is what a sparse kernel does. Look at how it reads x: that is why each step costs "
    "more than a dense one.",
    task="""
        Multiply a matrix by a vector. The matrix comes as the three arrays of CSR, and is never
        made whole: go through its rows, and in each row through the values that it holds.
        """,
    hint="""
        The values of row i stand at the places `range(starts[i], starts[i + 1])`. Each is
        multiplied by the entry of `x` that its column names. A row without values gives 0.
        """,
    reference=csr_product,
    cases=_sparse_matrices,
    wrong=[
        Wrong(
            lambda values, columns, starts, x: torch.stack(
                [some @ x[: len(some)] for some, _ in _rows(values, columns, starts)]
            ),
            "You took the entries of x in their order. A value is multiplied by the entry that its "
            "column names.",
        ),
        Wrong(
            lambda values, columns, starts, x: torch.stack(
                [x[places].sum() for _, places in _rows(values, columns, starts)]
            ),
            "You added entries of x without their values.",
        ),
        Wrong(
            lambda values, columns, starts, x: torch.stack(
                [
                    some[-1] * x[places[-1]] if places else torch.tensor(0.0)
                    for some, places in _rows(values, columns, starts)
                ]
            ),
            "Only the last value of each row is left in your answer: add the products up.",
        ),
        Wrong(
            lambda values, columns, starts, x: torch.stack(
                [some @ x[places] for some, places in _rows(values, columns, starts) if places]
            ),
            "A row without values is missing in your answer. It gives 0.",
        ),
        Wrong(
            lambda values, columns, starts, x: torch.stack(
                [
                    some.sum() * x[row]
                    for row, (some, _) in enumerate(_rows(values, columns, starts))
                ]
            ),
            "You multiplied by the entry of x with the row's number. It is the column that names "
            "the entry.",
        ),
        Wrong(
            lambda values, columns, starts, x: torch.stack(
                [
                    values[a : b + 1] @ x[columns[a : b + 1]]
                    for a, b in zip(starts[:-1], starts[1:], strict=True)
                ]
            ),
            "Your rows hold one value too many: the place starts[i + 1] belongs to the next row.",
        ),
        Wrong(
            lambda values, columns, starts, x: csr_product(values, columns, starts[:-1], x),
            "Your last row is missing: there is one start more than there are rows.",
        ),
        Wrong(
            _transposed,
            "You multiplied by the transposed matrix: rows and columns are exchanged.",
        ),
    ],
)


# --- Bytes of four formats ------------------------------------------------------------------------


def format_bytes(rows, columns, nnz, itemsize):
    """Count the bytes of a matrix in four formats, index included.

    rows, columns: the matrix's shape.
    nnz: how many of its values are not zero.
    itemsize: bytes of one value. A number of an index takes 4 bytes.

    "dense": all values.
    "csr": the values that are not zero, their columns, and rows + 1 starts.
    "coo": the values that are not zero, their rows and their columns.
    "bitmask": the values that are not zero, and one bit for each place of
        the matrix, in as many whole bytes as it needs.

    Returns a dictionary with these four keys: bytes, as whole numbers.
    """
    size = rows * columns
    return {
        "dense": itemsize * size,
        "csr": itemsize * nnz + 4 * nnz + 4 * (rows + 1),
        "coo": itemsize * nnz + 8 * nnz,
        "bitmask": itemsize * nnz + math.ceil(size / 8),
    }


def _counts(rng: np.random.Generator) -> Iterator[Case]:
    for itemsize in (4, 2, 8, 1):
        rows, columns = (int(2 * n + 1) for n in rng.permutation(np.arange(4, 25))[:2])
        nnz = int(rng.integers(rows, rows * columns // 2))
        yield Case(
            f"{rows} rows, {columns} columns, {nnz} not zero, itemsize {itemsize}",
            (rows, columns, nnz, itemsize),
        )


def _bytes_with(format: str, count):
    """Make a wrong count of one format."""

    def wrong(rows, columns, nnz, itemsize):
        found = format_bytes(rows, columns, nnz, itemsize)
        return found | {format: count(rows, columns, nnz, itemsize)}

    return wrong


FORMAT_BYTES = Exercise(
    id="costs.format_bytes",
    chapter="01_costs",
    title="count the bytes of four formats",
    difficulty=2,
    minutes=10,
    why="Which format is smallest changes with the density and with the bits of a value. One "
    "function answers it for any layer.",
    task="""
        Write equation (1) as a function, and COO beside it. Then try it: from which density on is
        CSR larger than dense, at 4 bytes a value and at 2?
        """,
    hint="""
        Count each array: how many numbers it has, times the bytes of one. Eight bits make a byte,
        and a part of a byte takes a whole one: `math.ceil`.
        """,
    reference=format_bytes,
    cases=_counts,
    wrong=[
        Wrong(
            _bytes_with("bitmask", lambda r, c, nnz, v: v * nnz + r * c // 8),
            "Your bitmask rounds its last byte down. The bits that are left over need a byte too.",
        ),
        Wrong(
            _bytes_with("bitmask", lambda r, c, nnz, v: v * nnz + r * c),
            "You took a byte for each place of the bitmask. It is a bit; eight make a byte.",
        ),
        Wrong(
            _bytes_with("bitmask", lambda r, c, nnz, v: v * nnz + math.ceil(nnz / 8)),
            "Your bitmask has bits for the values that are left. It needs one for every place.",
        ),
        Wrong(
            _bytes_with("csr", lambda r, c, nnz, v: (v + 4) * nnz + 4 * r),
            "CSR has one start more than there are rows: the last one says where the last row "
            "ends.",
        ),
        Wrong(
            _bytes_with("csr", lambda r, c, nnz, v: (v + 4) * nnz + 4 * (c + 1)),
            "CSR has a start for each row, not for each column.",
        ),
        Wrong(
            _bytes_with("csr", lambda r, c, nnz, v: (v + 4) * nnz),
            "You left out where the rows of CSR start.",
        ),
        Wrong(
            _bytes_with("coo", lambda r, c, nnz, v: (v + 4) * nnz),
            "COO keeps two numbers for each value: its row and its column.",
        ),
        Wrong(
            _bytes_with("dense", lambda r, c, nnz, v: v * nnz),
            "Dense stores every value, zeros and all.",
        ),
        Wrong(
            lambda r, c, nnz, v: {
                "dense": v * r * c,
                "csr": 2 * v * nnz + v * (r + 1),
                "coo": 3 * v * nnz,
                "bitmask": v * nnz + math.ceil(r * c / 8),
            },
            "Your index numbers take `itemsize` bytes. They take 4, whatever the values take.",
        ),
    ],
)


# --- Cut neurons out ------------------------------------------------------------------------------


def cut_neurons(W, b, next_W, next_b, keep):
    """Cut neurons out of two layers; the outputs stay the same.

    The layers compute next_W @ relu(W @ x + b) + next_b. Take all weights
    in W of a neuron that goes for zero, whatever stands there. It still has
    its bias, and puts out relu(bias) for every x.

    W: float tensor (n_hidden, n_in). b: (n_hidden,).
    next_W: (n_out, n_hidden). next_b: (n_out,).
    keep: booleans (n_hidden,), True where a neuron stays.

    Returns the smaller W, b, next_W and next_b, in this order.
    """
    constant = torch.relu(b[~keep])
    moved = next_W[:, ~keep] @ constant
    return [W[keep], b[keep], next_W[:, keep], next_b + moved]


def _two_layers(rng: np.random.Generator) -> Iterator[Case]:
    for _ in range(3):
        n_in, n_out, n_hidden = (int(rng.integers(*ends)) for ends in ((3, 6), (2, 7), (7, 12)))
        n_kept = int(rng.integers(2, n_hidden - 1))
        keep = torch.from_numpy(rng.permutation(n_hidden) < n_kept)
        b, next_W = _whole(rng, n_hidden), _whole(rng, n_out, n_hidden)
        for neurons in (keep, ~keep):  # biases of both signs, whatever the draw
            first, second, *_ = neurons.nonzero().flatten().tolist()
            b[first], b[second] = b[first].abs(), -b[second].abs()
        yield Case(
            f"{n_in} inputs, {n_hidden} hidden neurons of which {n_kept} stay, {n_out} outputs",
            (_whole(rng, n_hidden, n_in), b, next_W, _whole(rng, n_out), keep),
        )


def _cut_with(moved):
    """Make a wrong cut: what is added to the next bias."""

    def wrong(W, b, next_W, next_b, keep):
        new_b = next_b + moved(b, next_W, keep)
        return [W[keep], b[keep], next_W[:, keep], new_b]

    return wrong


CUT_NEURONS = Exercise(
    id="costs.cut_neurons",
    chapter="01_costs",
    title="cut neurons out, and keep the answers",
    difficulty=3,
    minutes=15,
    why="A smaller dense network needs no index, no mask and no special kernel.",
    task="""
        Write section 4 for two layers: say which rows and which columns go, and what equation (3)
        adds to the next layer's biases.
        """,
    hint="""
        `W[keep]` are the rows that stay and `next_W[:, keep]` the columns. The neurons that go are
        `~keep`: each puts out one number, and the next layer gets it times a column of `next_W`.
        """,
    reference=cut_neurons,
    cases=_two_layers,
    wrong=[
        Wrong(
            _cut_with(lambda b, next_W, keep: 0.0),
            "You dropped what the neurons that go still put out: relu(b), because they have a "
            "bias. It moves into the next bias.",
        ),
        Wrong(
            _cut_with(lambda b, next_W, keep: next_W[:, ~keep] @ b[~keep]),
            "You moved the biases without the activation function: a neuron puts out relu(b).",
        ),
        Wrong(
            _cut_with(lambda b, next_W, keep: next_W @ torch.relu(b)),
            "You moved relu(b) of all neurons. Those that stay still put theirs out themselves.",
        ),
        Wrong(
            _cut_with(lambda b, next_W, keep: next_W[:, keep] @ torch.relu(b[keep])),
            "You moved relu(b) of the neurons that stay. It is those that go that leave something.",
        ),
        Wrong(
            _cut_with(lambda b, next_W, keep: -(next_W[:, ~keep] @ torch.relu(b[~keep]))),
            "You took the constant away from the next bias. It has to be added.",
        ),
        Wrong(
            _cut_with(lambda b, next_W, keep: next_W[:, ~keep].sum(1)),
            "You added the columns that go as they are. Each counts as often as its neuron puts "
            "out.",
        ),
        Wrong(
            lambda W, b, next_W, next_b, keep: cut_neurons(W, b, next_W, next_b, ~keep),
            "You kept the neurons that should go. True means: stays.",
        ),
        Wrong(
            lambda W, b, next_W, next_b, keep: [
                W[keep],
                b[keep],
                next_W,
                cut_neurons(W, b, next_W, next_b, keep)[3],
            ],
            "The columns of next_W that read the neurons are still there. They go too.",
        ),
        Wrong(
            lambda W, b, next_W, next_b, keep: [
                W[keep],
                b,
                *cut_neurons(W, b, next_W, next_b, keep)[2:],
            ],
            "The biases of the neurons that go are still in b. They go too.",
        ),
    ],
)


EXERCISES = (CSR_PRODUCT, FORMAT_BYTES, CUT_NEURONS)


# --- Private --------------------------------------------------------------------------------------


def _whole(rng: np.random.Generator, *shape: int) -> Tensor:
    """Whole numbers from −9 to 9 without 0, as floats: sums of them are exact."""
    sizes = rng.integers(1, 10, shape)
    return torch.from_numpy(sizes * rng.choice([-1, 1], shape)).float()
