"""What learners should not see at a glance: more wrong answers, right ones, and equivalent mutants.

`WRONG` holds answers as people write them, each with the message that must come. Most make a
mistake that the exercise knows, in other words than it does. `RIGHT` holds right answers of
another style than the reference. `EQUIVALENT` names mutants that give the right answer, and why.
"""

IN_PLACE = "changed its input in place"

WRONG = {
    "costs.csr_product": [
        (
            """
            def csr_product(values, columns, starts, x):
                y = []
                for a, b in zip(starts, starts[1:]):
                    y.append(sum(values[a + k] * x[k] for k in range(b - a)))
                return torch.tensor([float(v) for v in y])
            """,
            "You took the entries of x in their order",
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                y = torch.zeros(len(starts) - 1)
                for row in range(len(starts) - 1):
                    for place in range(starts[row], starts[row + 1]):
                        y[row] = values[place] * x[columns[place]]
                return y
            """,
            "Only the last value of each row",
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                y = torch.zeros(len(starts) - 1)
                for row in range(len(y)):
                    for place in range(starts[row], min(starts[row + 1] + 1, len(values))):
                        y[row] += values[place] * x[columns[place]]
                return y
            """,
            "one value too many",
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                y = torch.zeros(len(starts) - 2)
                for row in range(len(y)):
                    for place in range(starts[row], starts[row + 1]):
                        y[row] += values[place] * x[columns[place]]
                return y
            """,
            "Your last row is missing",
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                y = torch.zeros(len(starts))
                for row in range(len(starts) - 1):
                    for place in range(starts[row], starts[row + 1]):
                        y[row] += values[place] * x[columns[place]]
                return y
            """,
            "has the shape",
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                values *= x[columns]
                return torch.stack([values[a:b].sum() for a, b in zip(starts, starts[1:])])
            """,
            IN_PLACE,
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                return [float(values[a:b] @ x[columns[a:b]]) for a, b in zip(starts, starts[1:])]
            """,
            "asked for is a tensor",
        ),
        (
            """
            def csr_product(values, columns, starts, x):
                y = torch.zeros(len(starts) - 1)
                for row in range(len(y)):
                    for place in range(starts[row], starts[row + 1]):
                        y[row] += values[place] * x[columns[place]]
            """,
            "Is a `return` missing?",
        ),
    ],
    "costs.format_bytes": [
        (
            """
            def format_bytes(rows, columns, nnz, itemsize):
                n = rows * columns
                return dict(
                    dense=n * itemsize,
                    csr=nnz * (itemsize + 4) + 4 * rows,
                    coo=nnz * (itemsize + 8),
                    bitmask=nnz * itemsize + -(-n // 8),
                )
            """,
            "one start more than there are rows",
        ),
        (
            """
            def format_bytes(rows, columns, nnz, itemsize):
                n = rows * columns
                return dict(
                    dense=n * itemsize,
                    csr=nnz * (itemsize + 4) + 4 * (rows + 1),
                    coo=nnz * (itemsize + 8),
                    bitmask=nnz * itemsize + int(n / 8),
                )
            """,
            "rounds its last byte down",
        ),
        (
            """
            def format_bytes(rows, columns, nnz, itemsize):
                n = rows * columns
                return dict(
                    dense=n * itemsize,
                    csr=nnz * (itemsize + 4) + 4 * (rows + 1),
                    coo=nnz * (itemsize + 8),
                    bitmask=nnz * itemsize + n / 8,
                )
            """,
            "The entry 'bitmask' is",
        ),
        (
            """
            def format_bytes(rows, columns, nnz, itemsize):
                n = rows * columns
                index = itemsize
                return dict(
                    dense=n * itemsize,
                    csr=nnz * (itemsize + index) + index * (rows + 1),
                    coo=nnz * (itemsize + 2 * index),
                    bitmask=nnz * itemsize + -(-n // 8),
                )
            """,
            "Your index numbers take `itemsize` bytes",
        ),
        (
            """
            def format_bytes(rows, columns, nnz, itemsize):
                n = rows * columns
                return dict(
                    dense=n * itemsize,
                    CSR=nnz * (itemsize + 4) + 4 * (rows + 1),
                    COO=nnz * (itemsize + 8),
                    bitmask=nnz * itemsize + -(-n // 8),
                )
            """,
            "has the keys",
        ),
        (
            """
            def format_bytes(rows, columns, nnz, itemsize):
                n = rows * columns
                return (n * itemsize, nnz * (itemsize + 4) + 4 * (rows + 1),
                        nnz * (itemsize + 8), nnz * itemsize + -(-n // 8))
            """,
            "asked for is a dictionary",
        ),
    ],
    "costs.cut_neurons": [
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                return W[keep], b[keep], next_W[:, keep], next_b
            """,
            "You dropped what the neurons that go still put out",
        ),
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                next_b = next_b + sum(b[i] * next_W[:, i] for i in range(len(b)) if not keep[i])
                return W[keep], b[keep], next_W[:, keep], next_b
            """,
            "without the activation function",
        ),
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                next_b += next_W[:, ~keep] @ b[~keep].clamp(min=0)
                return W[keep], b[keep], next_W[:, keep], next_b
            """,
            IN_PLACE,
        ),
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                moved = next_W @ b.relu()
                return W[keep], b[keep], next_W[:, keep], next_b + moved
            """,
            "You moved relu(b) of all neurons",
        ),
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                gone = ~keep
                moved = next_W[:, gone] @ b[gone].relu()
                return W[keep], b[keep], next_W, next_b + moved
            """,
            "The columns of next_W",
        ),
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                moved = next_W[:, ~keep] @ b[~keep].relu()
                return W[:, keep], b[keep], next_W[keep], next_b + moved
            """,
            "raised IndexError",
        ),
        (
            """
            def cut_neurons(W, b, next_W, next_b, keep):
                moved = next_W[:, ~keep] @ b[~keep].relu()
                return W * keep[:, None], b * keep, next_W * keep, next_b + moved
            """,
            "has the shape",
        ),
    ],
}

RIGHT = {
    "costs.csr_product": [
        """
        def csr_product(values, columns, starts, x):
            products = values * x[columns]
            return torch.stack([products[a:b].sum() for a, b in zip(starts, starts[1:])])
        """,
        """
        def csr_product(values, columns, starts, x):
            rows = torch.repeat_interleave(torch.tensor(starts).diff())
            return torch.zeros(len(starts) - 1).index_add(0, rows, values * x[columns])
        """,
        """
        def csr_product(values, columns, starts, x):
            size = len(starts) - 1, len(x)
            return torch.sparse_csr_tensor(starts, columns, values, size) @ x
        """,
    ],
    "costs.format_bytes": [
        """
        def format_bytes(rows, columns, nnz, itemsize):
            places = rows * columns
            values = nnz * itemsize
            csr = values + 4 * (nnz + rows + 1)
            bits = (places + 7) // 8
            return {"bitmask": values + bits, "coo": values + 8 * nnz, "csr": csr,
                    "dense": places * itemsize}
        """,
        """
        def format_bytes(rows, columns, nnz, itemsize):
            value = np.zeros(nnz, dtype=f"V{itemsize}")
            index, starts = np.zeros(nnz, np.int32), np.zeros(rows + 1, np.int32)
            mask = np.packbits(np.zeros((rows, columns), bool))
            return {
                "dense": itemsize * rows * columns,
                "csr": value.nbytes + index.nbytes + starts.nbytes,
                "coo": value.nbytes + 2 * index.nbytes,
                "bitmask": value.nbytes + mask.nbytes,
            }
        """,
    ],
    "costs.cut_neurons": [
        """
        def cut_neurons(W, b, next_W, next_b, keep):
            out = torch.where(keep, 0.0, b.clamp(min=0))
            return W[keep], b[keep], next_W[:, keep], next_b + next_W @ out
        """,
        """
        def cut_neurons(W, b, next_W, next_b, keep):
            stay = [i for i in range(len(b)) if keep[i]]
            new = next_b.clone()
            for i in range(len(b)):
                if i not in stay and b[i] > 0:
                    new += b[i] * next_W[:, i]
            return torch.stack([W[i] for i in stay]), b[stay], next_W.T[stay].T, new
        """,
    ],
}

EQUIVALENT = {}
