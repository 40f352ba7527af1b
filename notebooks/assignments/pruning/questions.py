"""The questions of the set "pruning": masks, bytes, schedules, tickets and evidence.

Instructors only: references, the inputs they are tried on, and the mistakes that are told apart.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy import stats

from course_lib.coursework import Parameters, Question
from course_lib.exercises import Case, Exercise, Wrong

# --- What one threshold gives each layer ----------------------------------------------------------


def favoured_exercise(mine: Parameters) -> Exercise:
    def favoured(scores):
        """Say how many weights more a layer keeps under one threshold than under its own.

        scores: dictionary of float tensors by layer, larger means "keep". No two are equal.
        The share mine.sparsity of the weights goes, by either rule: round(mine.sparsity * n) of
        the n weights of the network under one threshold, round(mine.sparsity * n) of the n weights
        of each layer under its own.

        Returns a dictionary of whole numbers by layer, negative where one threshold keeps less.
        """
        flat = torch.cat([score.flatten() for score in scores.values()])
        gone = round(mine.sparsity * len(flat))
        threshold = flat.sort(descending=True).values[len(flat) - gone - 1]
        found = {}
        for name, score in scores.items():
            own = score.numel() - round(mine.sparsity * score.numel())
            found[name] = int((score >= threshold).sum()) - own
        return found

    def layers(rng: np.random.Generator) -> Iterator[Case]:
        # Sizes of many kinds: for few of them, rounding down and rounding are the same.
        for _ in range(6):
            scores = {}
            for number in range(3):
                shape = (int(rng.integers(3, 8)), int(rng.integers(9, 14)))
                values = np.abs(rng.normal(size=shape)) * 2.0**number + 0.01
                scores[f"layer{number + 1}"] = torch.tensor(values)
            shapes = ", ".join(str(tuple(score.shape)) for score in scores.values())
            yield Case(f"layers of shapes {shapes}", (scores,))

    def counted(rounding=round, share=mine.sparsity, least=False, over=lambda own, n: own):
        """Make a wrong count from one thing that is otherwise."""

        def wrong(scores):
            flat = torch.cat([score.flatten() for score in scores.values()])
            kept = len(flat) - rounding(share * len(flat))
            chosen = flat.sort(descending=not least).values[:kept]
            low, high = (chosen.min(), chosen.max()) if kept else (1.0, 0.0)
            found = {}
            for name, score in scores.items():
                n = score.numel()
                own = over(n - rounding(share * n), n)
                found[name] = int(((score >= low) & (score <= high)).sum()) - own
            return found

        return wrong

    def negated(scores):
        return {name: -count for name, count in favoured(scores).items()}

    def shares(scores):
        return {name: count / scores[name].numel() for name, count in favoured(scores).items()}

    return Exercise(
        id="pruning.favoured",
        chapter="01_pruning",
        title="what one threshold gives each layer",
        difficulty=2,
        minutes=20,
        why="Global and layerwise pruning remove the same number of weights, not the same weights.",
        task="""
            Prune the same scores twice to `mine.sparsity`: once with one threshold over all
            layers, once with a threshold for each layer. Return, for each layer, how many weights
            more it keeps the first time.
            """,
        hint="""
            You need only counts. Under its own threshold a layer keeps `n - round(s * n)`,
            whatever its scores are. Under one threshold, sort the scores of all layers together,
            find the smallest that stays, and count in each layer.
            """,
        reference=favoured,
        cases=layers,
        wrong=[
            Wrong(negated, "Your signs are reversed: positive is what one threshold keeps more."),
            Wrong(shares, "You returned shares of the layers. The question asks for counts."),
            Wrong(
                counted(share=1 - mine.sparsity),
                "You kept the share mine.sparsity. It is the share that goes.",
            ),
            Wrong(
                counted(least=True),
                "You kept the smallest scores under the one threshold. Larger means: keep.",
            ),
            Wrong(
                counted(rounding=int),
                "Your counts are those of int(), which rounds down. The question asks for round().",
            ),
            Wrong(
                counted(rounding=math.ceil),
                "Your counts are rounded up. The question asks for round().",
            ),
            Wrong(
                counted(over=lambda own, n: n),
                "You took away the whole size of the layer, and not what its own threshold keeps.",
            ),
            Wrong(
                counted(over=lambda own, n: 0),
                "You returned what one threshold keeps, and did not take away what a threshold of "
                "the layer's own would keep.",
            ),
        ],
        right=[
            """
            def favoured(scores):
                n = sum(score.numel() for score in scores.values())
                ranked = sorted(
                    ((value, name) for name, s in scores.items() for value in s.flatten().tolist()),
                    reverse=True,
                )
                stays = [name for _, name in ranked[: n - round(mine.sparsity * n)]]
                return {
                    name: stays.count(name) - s.numel() + round(mine.sparsity * s.numel())
                    for name, s in scores.items()
                }
            """,
            """
            def favoured(scores):
                flat = torch.cat([s.reshape(-1) for s in scores.values()])
                gone = torch.zeros(len(flat))
                n = round(mine.sparsity * len(flat))
                gone[flat.topk(n, largest=False).indices] = 1
                parts = gone.split([s.numel() for s in scores.values()])
                return {
                    name: round(mine.sparsity * len(part)) - int(part.sum())
                    for name, part in zip(scores, parts)
                }
            """,
        ],
    )


FAVOURED = Question(
    "favoured",
    6,
    favoured_exercise,
    """
    tried = {"a": torch.arange(1.0, 41.0), "b": torch.arange(101.0, 141.0)}
    answer = favoured(tried)
    assert set(answer) == {"a", "b"}, "The answer has an entry for each layer, by its name."
    assert all(type(count) is int for count in answer.values()), "Counts are whole numbers: int."
    assert answer["a"] < 0 < answer["b"], "All scores of b are larger, so b keeps more."
    """,
)


# --- When CSR is smaller --------------------------------------------------------------------------


def most_kept_exercise(mine: Parameters) -> Exercise:
    def most_kept(rows, columns):
        """Return how many weights a matrix may keep for CSR to take fewer bytes than dense.

        rows, columns: the matrix's shape.
        Dense, each weight takes mine.value_bytes. CSR keeps each weight that stays, with
        mine.value_bytes; its column, with mine.index_bytes; and where each row starts, rows + 1
        numbers of 4 bytes each.

        Returns a whole number, the largest that will do; -1 if CSR is not even smaller empty.
        """
        left = rows * columns * mine.value_bytes - 4 * (rows + 1)
        return max(-1, (left - 1) // (mine.value_bytes + mine.index_bytes))

    def matrices(rng: np.random.Generator) -> Iterator[Case]:
        shapes = [(int(rng.integers(5, 30)), int(rng.integers(30, 90))) for _ in range(3)]
        each = mine.value_bytes + mine.index_bytes
        # Shapes at which some count takes exactly as many bytes as dense, and others at which a
        # row's start more or less makes a difference.
        wanted = [0, 0, each - 2, each - 2] if 2 in (mine.value_bytes, mine.index_bytes) else [0, 0]
        while wanted:
            rows, columns = int(rng.integers(5, 40)), int(rng.integers(41, 60))
            left = (rows * columns * mine.value_bytes - 4 * (rows + 1)) % each
            if left in wanted:
                wanted.remove(left)
                shapes.append((rows, columns))
        for rows, columns in [*shapes, (1, 1)]:
            yield Case(f"{rows} rows, {columns} columns", (rows, columns))

    def counted(value=mine.value_bytes, index=mine.index_bytes, start=4, starts="rows + 1", tie=1):
        """Make a wrong count from one thing that is otherwise."""

        def wrong(rows, columns):
            n_starts = {"rows + 1": rows + 1, "rows": rows, "columns": columns + 1, "": 0}[starts]
            left = rows * columns * value - start * n_starts
            return max(-1, (left - tie) // (value + index))

        return wrong

    def share(rows, columns):
        return max(0, most_kept(rows, columns)) / (rows * columns)

    def unclamped(rows, columns):
        left = rows * columns * mine.value_bytes - 4 * (rows + 1)
        return (left - 1) // (mine.value_bytes + mine.index_bytes)

    wrong = [
        Wrong(
            counted(tie=0),
            "Where the bytes come out even, you count one weight too many: as many bytes are not "
            "fewer.",
        ),
        Wrong(counted(starts=""), "You left out where each row starts: rows + 1 numbers."),
        Wrong(
            counted(starts="columns"),
            "You counted starts of columns. CSR goes by rows: rows + 1 of them.",
        ),
        Wrong(counted(index=0), "You left out the column of each weight that stays."),
        Wrong(
            lambda rows, columns: rows * columns - most_kept(rows, columns),
            "You returned how many weights must go. The question asks how many may stay.",
        ),
        Wrong(share, "You returned a share of the weights. The question asks for a count."),
    ]
    if 2 in (mine.value_bytes, mine.index_bytes):  # else the answers differ at ties alone
        wrong.append(
            Wrong(
                counted(starts="rows"),
                "You counted one start for each row. CSR keeps one more, the end of the last row.",
            )
        )
    if mine.index_bytes != 4:
        wrong += [
            Wrong(
                counted(index=4),
                "You gave a column 4 bytes. In your format it takes mine.index_bytes.",
            ),
            Wrong(
                counted(start=mine.index_bytes),
                "You gave the start of a row mine.index_bytes. It takes 4 bytes, whatever a column "
                "takes.",
            ),
        ]
    if mine.value_bytes != 4:
        wrong.append(
            Wrong(
                counted(value=4),
                "You gave a weight 4 bytes. In your format it takes mine.value_bytes.",
            )
        )
    if unclamped(1, 1) < -1:
        wrong.append(Wrong(unclamped, "Where CSR is never smaller, the answer is -1 and no less."))
    return Exercise(
        id="pruning.most_kept",
        chapter="01_costs",
        title="when a pruned matrix is smaller",
        difficulty=2,
        minutes=20,
        why="A zero is free only if the format does not store where the others are.",
        task="""
            Your hardware stores a weight in `mine.value_bytes` bytes and a column's number in
            `mine.index_bytes`. Return the largest number of weights that a `rows` × `columns`
            matrix may keep so that CSR takes fewer bytes than the dense matrix.
            """,
        hint="""
            Write down the bytes of CSR with k weights as an inequality and solve it for k. Whole
            numbers and `//` avoid rounding: the largest k with k · a < b is (b − 1) // a.
            """,
        reference=most_kept,
        cases=matrices,
        wrong=wrong,
        right=[
            """
            def most_kept(rows, columns):
                dense = rows * columns * mine.value_bytes
                fitting = [
                    k for k in range(rows * columns + 1)
                    if k * (mine.value_bytes + mine.index_bytes) + 4 * (rows + 1) < dense
                ]
                return max(fitting, default=-1)
            """,
            """
            def most_kept(rows, columns):
                def csr(k):
                    return k * mine.value_bytes + k * mine.index_bytes + 4 * rows + 4
                k = rows * columns
                while k >= 0 and csr(k) >= rows * columns * mine.value_bytes:
                    k -= 1
                return k
            """,
        ],
    )


MOST_KEPT = Question(
    "most_kept",
    7,
    most_kept_exercise,
    """
    answer = most_kept(20, 50)
    assert isinstance(answer, int), "The answer is a count: a whole number."
    each = mine.value_bytes + mine.index_bytes
    csr, dense = answer * each + 4 * 21, 20 * 50 * mine.value_bytes
    assert csr < dense, f"With {answer} weights CSR takes {csr} bytes, and dense takes {dense}."
    assert csr + each >= dense, f"One weight more than {answer} would do too."
    """,
)


# --- A gradual schedule ---------------------------------------------------------------------------


def sparsity_at_exercise(mine: Parameters) -> Exercise:
    def sparsity_at(step):
        """Return the sparsity that a network has after a step of training.

        step: a whole number, 0 or more.
        The network is dense before mine.start. At mine.start, and every mine.every steps after
        it, up to mine.end, it is pruned; between two prunings its sparsity stays. The pruning at
        step t brings it to
            mine.final + (mine.initial - mine.final) * (1 - u) ** mine.exponent
        where u goes from 0 at mine.start to 1 at mine.end.

        Returns a float.
        """
        if step < mine.start:
            return 0.0
        prunings = (min(step, mine.end) - mine.start) // mine.every
        u = prunings * mine.every / (mine.end - mine.start)
        return mine.final + (mine.initial - mine.final) * (1 - u) ** mine.exponent

    def steps(rng: np.random.Generator) -> Iterator[Case]:
        n = (mine.end - mine.start) // mine.every
        third = mine.start + mine.every * int(rng.integers(2, n - 2))
        for step in (
            int(rng.integers(1, mine.start)),
            mine.start,
            third,
            third + int(rng.integers(1, mine.every)),
            mine.end - int(rng.integers(1, mine.every)),
            mine.end,
            mine.end + int(rng.integers(15, 40)),
        ):
            yield Case(f"step {step}", (step,))

    def at(step, u_of=None, power=mine.exponent, early=0.0, late=True):
        if step < mine.start:
            return early
        until = min(step, mine.end) if late else step
        held = mine.start + (until - mine.start) // mine.every * mine.every
        u = (held - mine.start) / (mine.end - mine.start) if u_of is None else u_of(until)
        return mine.final + (mine.initial - mine.final) * (1 - u) ** power

    def smooth(t):
        return (t - mine.start) / (mine.end - mine.start)

    def ahead(t):
        return min(1, -(-(t - mine.start) // mine.every) * mine.every / (mine.end - mine.start))

    def upside_down(step):
        if step < mine.start:
            return 0.0
        u = 1 - ((mine.final - at(step)) / (mine.final - mine.initial)) ** (1 / mine.exponent)
        return mine.initial + (mine.final - mine.initial) * u**mine.exponent

    wrong = [
        Wrong(
            lambda step: at(step, smooth),
            "Your sparsity moves between two prunings. It stays what the last pruning made it.",
        ),
        Wrong(
            lambda step: at(step, ahead),
            "Between two prunings you have the sparsity of the next one. It is that of the last.",
        ),
        Wrong(
            lambda step: at(step, early=mine.initial),
            "Before mine.start the network is dense: its sparsity is 0, and not mine.initial.",
        ),
        Wrong(
            lambda step: at(step, late=False),
            "After mine.end your sparsity goes on changing. It stays at mine.final.",
        ),
        Wrong(
            lambda step: at(step, lambda t: t // mine.every * mine.every / mine.end),
            "You counted from step 0. The schedule begins at mine.start.",
        ),
        Wrong(
            upside_down,
            "Your schedule is slow at first and fast at the end. The power belongs to 1 − u.",
        ),
        Wrong(
            lambda step: 1 - at(step), "You returned the density. The question asks for the rest."
        ),
        Wrong(
            lambda step: at(step, power=1),
            "Your schedule is a straight line. 1 − u has the exponent mine.exponent.",
        ),
    ]
    if mine.exponent != 3:
        wrong.append(
            Wrong(
                lambda step: at(step, power=3),
                "You used the exponent 3. Yours is mine.exponent.",
            )
        )
    return Exercise(
        id="pruning.sparsity_at",
        chapter="01_pruning",
        title="a gradual schedule",
        difficulty=2,
        minutes=20,
        why="Pruning little by little lets the weights that stay make up for those that went.",
        task="""
            Zhu and Gupta ([2017](https://arxiv.org/abs/1710.01878)) prune along a cubic curve, in
            steps. Yours has an exponent, end points and a rhythm of its own. Return the sparsity
            that a network has after a step, also before the first pruning and after the last.
            """,
        hint="""
            Find the last pruning at or before the step first. `//` counts how many there were
            since `mine.start`. `mine.end` is one of the prunings, and nothing happens after it.
            """,
        reference=sparsity_at,
        cases=steps,
        wrong=wrong,
        right=[
            """
            def sparsity_at(step):
                sparsity = 0.0
                for t in range(mine.start, min(step, mine.end) + 1, mine.every):
                    left = (mine.end - t) / (mine.end - mine.start)
                    sparsity = mine.final - (mine.final - mine.initial) * left**mine.exponent
                return sparsity
            """,
            """
            def sparsity_at(step):
                times = torch.arange(mine.start, mine.end + 1, mine.every)
                if not (times <= step).any():
                    return torch.tensor(0.0)
                u = (times[times <= step][-1] - mine.start).double() / (mine.end - mine.start)
                return mine.final + (mine.initial - mine.final) * (1 - u) ** mine.exponent
            """,
        ],
    )


SPARSITY_AT = Question(
    "sparsity_at",
    7,
    sparsity_at_exercise,
    """
    assert sparsity_at(mine.start - 1) == 0, "Before mine.start the network is dense."
    assert abs(sparsity_at(mine.start) - mine.initial) < 1e-9, "The first pruning: mine.initial."
    assert abs(sparsity_at(mine.end) - mine.final) < 1e-9, "The last pruning: mine.final."
    held = sparsity_at(mine.start + mine.every), sparsity_at(mine.start + mine.every + 1)
    assert held[0] == held[1], f"Nothing is pruned between two prunings; yours goes {held}."
    """,
)


# --- Scores from gradients ------------------------------------------------------------------------


def saliency_exercise(mine: Parameters) -> Exercise:
    def saliency(weights, gradients):
        """Score each weight by what gradients of several batches say of it.

        weights: dictionary of float tensors by name.
        gradients: a list with one dictionary for each batch: the gradient g of the loss by each
            weight w, with the names and shapes of the weights.
        mine.score says which number a batch gives: "absolute" is the absolute value of w * g,
        "squared" is the square of w * g, and "movement" is -w * g, which is positive where a step
        of gradient descent takes the weight away from zero.

        Returns a dictionary of tensors by name: the mean of that number over the batches.
        """
        number = {"absolute": torch.abs, "squared": torch.square, "movement": torch.neg}[mine.score]
        batches = [{name: number(w * g[name]) for name, w in weights.items()} for g in gradients]
        return {name: torch.stack([b[name] for b in batches]).mean(0) for name in weights}

    kinds = {"absolute": torch.abs, "squared": torch.square, "movement": torch.neg}

    def batches(rng: np.random.Generator) -> Iterator[Case]:
        for n, shapes in (3, [(4, 6), (3, 4)]), (5, [(2, 3, 2, 1), (7, 5)]), (2, [(9, 2), (4, 9)]):
            weights = {f"fc{i + 1}": torch.tensor(rng.normal(size=s)) for i, s in enumerate(shapes)}
            gradients = [
                {name: torch.tensor(rng.normal(size=w.shape)) for name, w in weights.items()}
                for _ in range(n)
            ]
            yield Case(f"{len(shapes)} layers, {n} batches", (weights, gradients))

    def scored(number=kinds[mine.score], of=torch.mul, over=lambda p: p.mean(0), before=None):
        """Make wrong scores from one thing that is otherwise."""

        def wrong(weights, gradients):
            found = {}
            for name, w in weights.items():
                products = torch.stack([of(w, g[name]) for g in gradients])
                found[name] = number(before(products)) if before else over(number(products))
            return found

        return wrong

    def summing_to_one(weights, gradients):
        scores = saliency(weights, gradients)
        total = sum(score.sum() for score in scores.values())
        return {name: score / total for name, score in scores.items()}

    others = {
        "absolute": "absolute values of w · g",
        "squared": "squares of w · g",
        "movement": "−w · g",
    }
    wrong = [
        Wrong(
            scored(kind),
            f'Your numbers are {others[name]}. Look at mine.score: yours is another, "{mine.score}"'
            ".",
        )
        for name, kind in kinds.items()
        if name != mine.score
    ]
    if mine.score == "movement":
        wrong.append(
            Wrong(
                scored(torch.clone),
                "Your sign is reversed. A step goes against the gradient, so w · g below zero "
                "takes a weight away from zero, and −w · g is positive there.",
            )
        )
    else:
        wrong.append(
            Wrong(
                scored(before=lambda p: p.mean(0)),
                "You took the mean of w · g first. Batches that pull in opposite directions cancel "
                "there; take the number of each batch, then the mean.",
            )
        )
    wrong += [
        Wrong(
            scored(over=lambda p: p.sum(0)),
            "You summed over the batches. The question asks for the mean.",
        ),
        Wrong(
            scored(of=lambda w, g: g),
            "You left the weight out: a large gradient of a weight near zero changes little.",
        ),
        Wrong(
            scored(of=lambda w, g: w),
            "You left the gradient out, so these are scores of magnitude.",
        ),
        Wrong(
            scored(over=lambda p: p[-1]),
            "Your scores are those of the last batch alone. Is a result overwritten in a loop?",
        ),
        Wrong(
            summing_to_one,
            "You divided by the sum of all scores. That changes no order, but the question asks "
            "for the plain mean.",
        ),
    ]
    return Exercise(
        id="pruning.saliency",
        chapter="01_pruning",
        title="scores from gradients",
        difficulty=3,
        minutes=30,
        why="Scores that use gradients differ in two things: the sign, and what may cancel.",
        task="""
            Score weights from the gradients of several batches. Your score is the one that
            `mine.score` names: `"absolute"` is that of SNIP (Lee et al.,
            [2019](https://arxiv.org/abs/1810.02340)), `"squared"` that of a Taylor expansion
            (Molchanov et al., [2019](https://arxiv.org/abs/1906.10771)), `"movement"` that of Sanh
            et al. ([2020](https://arxiv.org/abs/2005.07683)), each up to a constant factor.
            """,
        hint="""
            For each weight tensor, stack the numbers of the batches in a new first dimension and
            take `.mean(0)`. Which comes first, the mean or the absolute value, makes a difference.
            """,
        reference=saliency,
        cases=batches,
        wrong=wrong,
        right=[
            """
            def saliency(weights, gradients):
                found = {name: torch.zeros_like(w) for name, w in weights.items()}
                for batch in gradients:
                    for name, g in batch.items():
                        p = weights[name] * g
                        if mine.score == "absolute":
                            p = p.abs()
                        elif mine.score == "squared":
                            p = p**2
                        else:
                            p = -p
                        found[name] = found[name] + p / len(gradients)
                return found
            """,
            """
            def saliency(weights, gradients):
                power = {"absolute": 0.5, "squared": 1, "movement": None}[mine.score]
                def mean(name, w):
                    g = torch.stack([one[name] for one in gradients])
                    return (-w * g.mean(0)) if power is None else ((w * g) ** 2).pow(power).mean(0)
                return {name: mean(name, w) for name, w in weights.items()}
            """,
        ],
    )


SALIENCY = Question(
    "saliency",
    8,
    saliency_exercise,
    """
    weights = {"fc": torch.tensor([[2.0, -3.0]])}
    gradients = [{"fc": torch.tensor([[1.0, 2.0]])}, {"fc": torch.tensor([[-3.0, 2.0]])}]
    by_hand = {"absolute": [4.0, 6.0], "squared": [20.0, 36.0], "movement": [2.0, 6.0]}[mine.score]
    answer = saliency(weights, gradients)
    assert set(answer) == {"fc"}, "The answer has an entry for each weight, by its name."
    found = answer["fc"].flatten().tolist()
    assert found == by_hand, f"Batches of w * g are (2, -6), (-6, -6): {by_hand}; got {found}."
    """,
)


# --- A ticket's rounds ----------------------------------------------------------------------------


def ticket_rounds_exercise(mine: Parameters) -> Exercise:
    def ticket_rounds(counts):
        """Say after how many rounds of pruning a ticket is small enough, and what it then has.

        counts: dictionary of whole numbers, how many weights each of three layers has.
        Each round takes from the first layer the share mine.rates[0] of the weights that it still
        has, from the second mine.rates[1], from the third mine.rates[2]: round(rate * k) of k.
        Rounds go on until at most the share mine.density of the weights of the whole network is
        left.

        Returns (rounds, left): a whole number, and a dictionary of whole numbers by layer.
        """
        left, rounds = dict(counts), 0
        while sum(left.values()) > mine.density * sum(counts.values()):
            pairs = zip(left.items(), mine.rates, strict=True)
            left = {name: k - round(rate * k) for (name, k), rate in pairs}
            rounds += 1
        return rounds, left

    def networks(rng: np.random.Generator) -> Iterator[Case]:
        for _ in range(10):
            sizes = [int(n) for n in rng.integers(211, 1_900, 3)]
            counts = dict(zip(("fc1", "fc2", "out"), sizes, strict=True))
            yield Case(f"layers of {sizes} weights", (counts,))

    def pruned(rates=mine.rates, gone=lambda rate, k, n: round(rate * k), stop=None):
        """Make wrong rounds from one thing that is otherwise."""

        def enough(left, counts):
            return sum(left.values()) <= mine.density * sum(counts.values())

        def wrong(counts):
            left, rounds = dict(counts), 0
            while not (stop or enough)(left, counts) and rounds < 200:
                pairs = zip(left.items(), rates, strict=True)
                left = {name: k - gone(rate, k, counts[name]) for (name, k), rate in pairs}
                rounds += 1
            return rounds, left

        return wrong

    def each_layer(left, counts):
        return all(k <= mine.density * counts[name] for name, k in left.items())

    def gone_enough(left, counts):
        return sum(left.values()) <= (1 - mine.density) * sum(counts.values())

    def one_less(counts):
        left, rounds = dict(counts), 0
        while True:
            pairs = zip(left.items(), mine.rates, strict=True)
            new = {name: k - round(rate * k) for (name, k), rate in pairs}
            if sum(new.values()) <= mine.density * sum(counts.values()):
                return rounds, left
            left, rounds = new, rounds + 1

    def at_the_end(counts):
        rounds, _ = ticket_rounds(counts)
        pairs = zip(counts.items(), mine.rates, strict=True)
        return rounds, {name: round(n * (1 - rate) ** rounds) for (name, n), rate in pairs}

    mean = sum(mine.rates) / 3
    return Exercise(
        id="pruning.ticket_rounds",
        chapter="03_tickets",
        title="how many rounds a ticket takes",
        difficulty=2,
        minutes=20,
        why="Rates of a layer's own decide how the ticket is shaped, and how long the search is.",
        task="""
            You search a ticket round by round, each layer at a rate of its own, `mine.rates`.
            Return the number of rounds until at most `mine.density` of the network is left, and
            how many weights each layer then has.
            """,
        hint="""
            Counts are whole after every round, so go round by round. The network's density is the
            sum of what is left over the sum of what there was.
            """,
        reference=ticket_rounds,
        cases=networks,
        wrong=[
            Wrong(
                pruned(gone=lambda rate, k, n: min(k, round(rate * n))),
                "You took the rate of the dense layer in each round. It is of what is left.",
            ),
            Wrong(
                pruned(gone=lambda rate, k, n: int(rate * k)),
                "You rounded down with int(). A round takes round(rate * k).",
            ),
            Wrong(
                at_the_end,
                "You rounded once, at the end. Each round takes a whole number of weights.",
            ),
            Wrong(
                pruned(rates=mine.rates[::-1]),
                "Your rates are in the reverse order: mine.rates[0] belongs to the first layer.",
            ),
            Wrong(
                pruned(rates=(mean,) * 3),
                "You used the mean rate in every layer. Each layer has its own.",
            ),
            Wrong(
                pruned(rates=tuple(1 - rate for rate in mine.rates)),
                "You kept the rate of each layer. It is the share that goes.",
            ),
            Wrong(
                pruned(stop=each_layer),
                "You went on until every layer has the density. The whole network has to have it.",
            ),
            Wrong(
                pruned(stop=gone_enough),
                "You stopped when the share mine.density was gone. It is the share that is left.",
            ),
            Wrong(
                one_less,
                "You stopped one round early: what you return is still above mine.density.",
            ),
        ],
        right=[
            """
            def ticket_rounds(counts):
                total, names = sum(counts.values()), list(counts)
                def further(left, rounds):
                    if sum(left) <= mine.density * total:
                        return rounds, dict(zip(names, left))
                    return further([k - round(r * k) for k, r in zip(left, mine.rates)], rounds + 1)
                return further(list(counts.values()), 0)
            """,
            """
            def ticket_rounds(counts):
                history = [list(counts.values())]
                while sum(history[-1]) / sum(history[0]) > mine.density:
                    history.append([])
                    for k, rate in zip(history[-2], mine.rates):
                        history[-1].append(k - round(k * rate))
                return [len(history) - 1, {n: k for n, k in zip(counts, history[-1])}]
            """,
        ],
    )


TICKET_ROUNDS = Question(
    "ticket_rounds",
    7,
    ticket_rounds_exercise,
    """
    tried = {"fc1": 4_000, "fc2": 2_000, "out": 1_000}
    rounds, left = ticket_rounds(tried)
    assert tried == {"fc1": 4_000, "fc2": 2_000, "out": 1_000}, "Your function changed its input."
    assert set(left) == set(tried), "The second answer has an entry for each layer, by its name."
    share = sum(left.values()) / 7_000
    assert share <= mine.density, f"After {rounds} rounds {share:.1%} are left: still too many."
    assert type(rounds) is int, "The first answer is a whole number."
    """,
)


# --- A control that moves the smallest weights ----------------------------------------------------


def shuffle_smallest_exercise(mine: Parameters) -> Exercise:
    def shuffle_smallest(weight, mask, noise):
        """Let the smallest weights of a ticket change places, and leave the others alone.

        weight: float tensor of any shape.
        mask: booleans of its shape, True where a weight is in the ticket.
        noise: floats of its shape, no two equal.
        Of the k weights in the mask, the round(mine.share * k) of smallest absolute value change
        places among themselves. Call their places p_1, p_2, ... in the order of the flattened
        tensor. Place p_i gets the weight that stands at the one of these places whose noise is
        i-th from below.

        Returns a new tensor. Weights outside the mask stay as they are.
        """
        new, kept = weight.flatten().clone(), mask.flatten().nonzero().squeeze(1)
        smallest = new[kept].abs().argsort()[: round(mine.share * len(kept))]
        places = kept[smallest].sort().values
        new[places] = new[places[noise.flatten()[places].argsort()]]
        return new.view(weight.shape)

    def layers(rng: np.random.Generator) -> Iterator[Case]:
        for shape in (5, 7), (3, 11), (4, 2, 3, 1), (6, 9), (2, 13):
            weight, noise = (torch.tensor(rng.normal(size=shape)) for _ in range(2))
            mask = torch.tensor(rng.random(shape) < 0.7)
            while mine.share * int(mask.sum()) % 1 <= 0.5:  # rounding down has to be wrong
                mask = torch.tensor(rng.random(shape) < 0.7)
            yield Case(
                f"a weight of shape {shape}, {mask.sum()} in the mask", (weight, mask, noise)
            )

    def shuffled(choose=None, rounding=round, share=mine.share, back=False, by_size=False):
        """Make a wrong control from one thing that is otherwise."""

        def wrong(weight, mask, noise):
            new, kept = weight.flatten().clone(), mask.flatten().nonzero().squeeze(1)
            n = rounding(share * len(kept))
            sizes = new[kept].abs() if choose is None else choose(new[kept])
            places = kept[sizes.argsort()[:n]]
            places = places if by_size else places.sort().values
            order = noise.flatten()[places].argsort()
            if back:
                new[places[order]] = new[places]
            else:
                new[places] = new[places[order]]
            return new.view(weight.shape)

        return wrong

    def without_mask(weight, mask, noise):
        return shuffle_smallest(weight, torch.ones_like(mask), noise)

    def masked(weight, mask, noise):
        return shuffle_smallest(weight, mask, noise) * mask

    return Exercise(
        id="pruning.shuffle_smallest",
        chapter="03_tickets",
        title="a control that moves the smallest weights",
        difficulty=4,
        minutes=35,
        why="If the places of the smallest weights mattered, this control would do worse.",
        task="""
            A ticket is a mask and the weights it starts from. Write a control that keeps the mask,
            the values of every layer and all large weights, and lets only the share `mine.share`
            of smallest weights change places among themselves.
            """,
        hint="""
            `nonzero` gives the places in the mask, `argsort` of the absolute values the smallest
            of them. Sort these places, then index twice: `new[places] = old[places[order]]`.
            """,
        reference=shuffle_smallest,
        cases=layers,
        wrong=[
            Wrong(
                shuffled(choose=lambda w: -w.abs()),
                "You moved the largest weights. The smallest change places.",
            ),
            Wrong(
                shuffled(choose=lambda w: w),
                "You ranked the weights with their sign, so the negative ones move. What counts is "
                "the absolute value.",
            ),
            Wrong(
                shuffled(share=1.0), "You moved all weights of the mask, not the smallest share."
            ),
            Wrong(
                shuffled(rounding=int),
                "You moved too few where the count is not whole: int() rounds down, and the "
                "question asks for round().",
            ),
            Wrong(
                shuffled(share=1 - mine.share),
                "You moved 1 − mine.share of the weights. mine.share is the share that moves.",
            ),
            Wrong(
                shuffled(back=True),
                "You moved the weights the other way round: you sent p_i's weight away, where the "
                "question says which one p_i gets.",
            ),
            Wrong(
                shuffled(by_size=True),
                "Your places are in the order of their weights' size. They are in the order of the "
                "flattened tensor.",
            ),
            Wrong(
                without_mask,
                "Weights outside the mask moved too, and counted. Only those inside change places.",
            ),
            Wrong(
                masked,
                "Weights outside the mask became zero. They stay as they are.",
            ),
        ],
        right=[
            """
            def shuffle_smallest(weight, mask, noise):
                values, inside = weight.reshape(-1).tolist(), mask.reshape(-1).tolist()
                kept = [i for i, one in enumerate(inside) if one]
                n = round(mine.share * len(kept))
                places = sorted(sorted(kept, key=lambda i: abs(values[i]))[:n])
                draws = noise.reshape(-1).tolist()
                new = list(values)
                for to, source in zip(places, sorted(places, key=lambda i: draws[i])):
                    new[to] = values[source]
                return torch.tensor(new, dtype=weight.dtype).reshape(weight.shape)
            """,
            """
            def shuffle_smallest(weight, mask, noise):
                n = round(mine.share * int(mask.sum()))
                size = weight.abs().masked_fill(~mask, float("inf"))
                chosen = torch.zeros_like(mask).view(-1)
                chosen[size.view(-1).topk(n, largest=False).indices] = True
                chosen = chosen.view(mask.shape)
                new = weight.clone()
                new[chosen] = weight[chosen][noise[chosen].sort().indices]
                return new
            """,
        ],
    )


SHUFFLE_SMALLEST = Question(
    "shuffle_smallest",
    8,
    shuffle_smallest_exercise,
    """
    weight, mask = torch.arange(1.0, 41.0).view(5, 8), torch.ones(5, 8, dtype=torch.bool)
    mask[0, 3] = False
    before, noise = weight.clone(), -weight
    answer, n = shuffle_smallest(weight, mask, noise), round(mine.share * 39)
    assert torch.equal(weight, before), "Your function changed its input. Work on a copy."
    assert answer.shape == weight.shape, f"The shape is {tuple(answer.shape)}, not (5, 8)."
    assert answer[0, 3] == 4, "A weight outside the mask moved."
    assert torch.equal(answer.flatten().sort().values, weight.flatten()), "A value was lost."
    last = answer.flatten()[n + 1 :]
    assert torch.equal(last, weight.flatten()[n + 1 :]), "A large weight moved."
    assert answer[0, 0] == n + 1, "This noise falls, so the first place gets the largest of them."
    """,
)


# --- What two tickets have in common --------------------------------------------------------------


def excess_overlap_exercise(mine: Parameters) -> Exercise:
    def excess_overlap(a, b):
        """Say how much two tickets have in common beyond what chance would give.

        a, b: masks of two tickets, dictionaries of booleans by layer, of the same names and shapes.
        By chance, a layer of n weights in which a keeps k and b keeps l shares k * l / n of them,
        on average over all masks with these counts in each layer.

        Returns a float: (shared - chance) / (most - chance). shared counts the weights of the
        network that both keep, chance is what chance gives all layers together, most is the
        number of weights of the ticket that has fewer. 1 is all, 0 is chance.
        """
        shared = sum(int((a[name] & b[name]).sum()) for name in a)
        chance = sum(int(a[name].sum()) * int(b[name].sum()) / a[name].numel() for name in a)
        most = min(sum(int(mask.sum()) for mask in masks.values()) for masks in (a, b))
        return (shared - chance) / (most - chance)

    def tickets(rng: np.random.Generator) -> Iterator[Case]:
        lists = [(6, 9), (5, 8), (7, 5)], [(4, 2, 3, 2), (7, 5)], [(11, 5), (9, 11)]
        for number, shapes in enumerate(lists):
            base = [rng.random(shape) for shape in shapes]
            dense = rng.permuted(np.linspace(0.35, 0.6, len(shapes)))
            masks = []
            for more in (0.0, 0.1) if number % 2 else (0.1, 0.0):  # either may be the smaller
                noisy = [0.7 * x + 0.3 * rng.random(x.shape) for x in base]
                pairs = enumerate(zip(noisy, dense + more, strict=True))
                masks.append({f"layer{i}": torch.tensor(x < s) for i, (x, s) in pairs})
            counts = " and ".join(str(sum(int(m.sum()) for m in one.values())) for one in masks)
            yield Case(f"{len(shapes)} layers, tickets of {counts} weights", tuple(masks))

    def sums(a, b):
        shared = sum(int((a[name] & b[name]).sum()) for name in a)
        kept = [sum(int(mask.sum()) for mask in masks.values()) for masks in (a, b)]
        return shared, kept, sum(mask.numel() for mask in a.values())

    def chance_of(a, b):
        return sum(int(a[name].sum()) * int(b[name].sum()) / a[name].numel() for name in a)

    def whole(a, b):
        shared, kept, n = sums(a, b)
        chance = kept[0] * kept[1] / n
        return (shared - chance) / (min(kept) - chance)

    def plain(a, b):
        shared, kept, _ = sums(a, b)
        return shared / min(kept)

    def undivided(a, b):
        shared, kept, _ = sums(a, b)
        return (shared - chance_of(a, b)) / min(kept)

    def larger(a, b):
        shared, kept, _ = sums(a, b)
        return (shared - chance_of(a, b)) / (max(kept) - chance_of(a, b))

    def first(a, b):
        shared, kept, _ = sums(a, b)
        return (shared - chance_of(a, b)) / (kept[0] - chance_of(a, b))

    def jaccard(a, b):
        shared, kept, _ = sums(a, b)
        return (shared - chance_of(a, b)) / (sum(kept) - shared - chance_of(a, b))

    def agreeing(a, b):
        _, kept, _ = sums(a, b)
        same = sum(int((a[name] == b[name]).sum()) for name in a)
        return (same - chance_of(a, b)) / (min(kept) - chance_of(a, b))

    def mean_of_layers(a, b):
        each = [excess_overlap({name: a[name]}, {name: b[name]}) for name in a]
        return sum(each) / len(each)

    return Exercise(
        id="pruning.excess_overlap",
        chapter="03_tickets",
        title="what two tickets have in common",
        difficulty=3,
        minutes=25,
        why="Two random tickets share weights too. An overlap says something above chance only.",
        task="""
            Two searches found two tickets of the same network. Return how much they have in common
            beyond chance, on a scale on which 1 is all and 0 is what random masks with the same
            counts in each layer share.
            """,
        hint="""
            Chance is a sum over layers: layers that keep much share much, whoever chose. With
            `&` two masks give a mask, and `.sum()` counts it.
            """,
        reference=excess_overlap,
        cases=tickets,
        wrong=[
            Wrong(
                whole,
                "Your chance is that of the network as a whole. Layers keep different shares, so "
                "it has to be counted in each layer.",
            ),
            Wrong(plain, "You did not take chance away: random tickets share weights too."),
            Wrong(
                undivided,
                "You took chance away above the line, not below it. All in common would not be 1.",
            ),
            Wrong(first, "You divided by the first ticket, which may be the larger one."),
            Wrong(larger, "You divided by the larger ticket. At most, the smaller one is shared."),
            Wrong(jaccard, "You divided by the union of the tickets, less chance."),
            Wrong(
                agreeing,
                "You counted weights that both tickets prune as shared. Shared is what both keep.",
            ),
            Wrong(
                mean_of_layers,
                "You averaged over layers, so a small layer counts as much as a large one. Sum the "
                "counts of all layers, then divide.",
            ),
        ],
        right=[
            """
            def excess_overlap(a, b):
                rows = [(x & y, x, y) for x, y in zip(a.values(), [b[name] for name in a])]
                shared, ka, kb = (sum(r[i].double().sum() for r in rows) for i in range(3))
                chance = sum(x.double().mean() * y.double().sum() for _, x, y in rows)
                return (shared - chance) / (torch.minimum(ka, kb) - chance)
            """,
            """
            def excess_overlap(a, b):
                shared = chance = 0.0
                n_a = n_b = 0
                for name, x in a.items():
                    x, y = x.flatten().tolist(), b[name].flatten().tolist()
                    shared += sum(p and q for p, q in zip(x, y))
                    chance += sum(x) * sum(y) / len(x)
                    n_a, n_b = n_a + sum(x), n_b + sum(y)
                return 1 - (min(n_a, n_b) - shared) / (min(n_a, n_b) - chance)
            """,
        ],
    )


EXCESS_OVERLAP = Question(
    "excess_overlap",
    7,
    excess_overlap_exercise,
    """
    half = {"x": torch.arange(20) < 10, "y": torch.arange(30) % 3 == 0}
    assert abs(excess_overlap(half, half) - 1) < 1e-9, "A ticket has all in common with itself."
    other = {"x": torch.arange(20) % 2 == 0, "y": torch.arange(30) < 9}
    found = excess_overlap(half, other)
    assert abs(found) < 1e-9, f"5 of x and 3 of y are shared, as chance gives; got {found:.3f}."
    """,
)


# --- Chosen on validation, reported on test -------------------------------------------------------


def sparsest_exercise(mine: Parameters) -> Exercise:
    def sparsest(validation, test):
        """Choose the sparsest network that is good enough, and say what it costs.

        validation, test: dictionaries by density of float tensors (n,), the accuracies of n seeds
            in percent. Density 1.0, the dense network, is among them. Good enough is a density
            whose mean accuracy is at most mine.margin points below that of the dense network.

        Returns (density, difference): the smallest density that is good enough, and the mean
        accuracy there minus the mean accuracy of the dense network. What is chosen is chosen on
        validation; what is reported is measured on test.
        """
        least = validation[1.0].mean() - mine.margin
        density = min(d for d, accuracies in validation.items() if accuracies.mean() >= least)
        return density, float(test[density].mean() - test[1.0].mean())

    def tables(rng: np.random.Generator) -> Iterator[Case]:
        # In margins below the dense network, on validation and on test. The seventh is the right
        # choice; the others are those of different mistakes.
        below = [(0, 0), (0.4, 0.2), (-0.5, -0.2), (0.3, 0.1), (1.6, 0.5), (-0.2, 0.2)]
        below += [(0.6, 1.3), (1.4, 0.4), (3.0, 2.5)]
        for _ in range(3):
            densities = [1.0, *(round(float(d), 2) for d in 0.7 ** np.arange(1, 9))]
            level, n = rng.uniform(92, 97, 2), int(rng.integers(5, 8))
            tables = []
            for part in (0, 1):
                spread = [rng.exponential(0.4 * mine.margin, n) for _ in below]
                tables.append(
                    {
                        d: torch.tensor(level[part] - mine.margin * b[part] + s - s.mean())
                        for d, b, s in zip(densities, below, spread, strict=True)
                    }
                )
            yield Case(f"{len(densities)} densities, {n} seeds", tuple(tables))

    def chosen(on=0, report=1, pick=min, least=lambda a: a.mean() - mine.margin):
        """Make a wrong choice from one thing that is otherwise."""

        def wrong(validation, test):
            tables = validation, test
            good = [d for d, a in tables[on].items() if a.mean() >= least(tables[on][1.0])]
            density = pick([d for d in good if d < 1] or good)
            return density, float(tables[report][density].mean() - tables[report][1.0].mean())

        return wrong

    def best(validation, test):
        density = max(validation, key=lambda d: float(validation[d].mean()))
        return density, float(test[density].mean() - test[1.0].mean())

    def until_the_first_failure(validation, test):
        last = 1.0
        for density in sorted(validation, reverse=True):
            if validation[density].mean() < validation[1.0].mean() - mine.margin:
                break
            last = density
        return last, float(test[last].mean() - test[1.0].mean())

    def negated(validation, test):
        density, difference = sparsest(validation, test)
        return density, -difference

    def accuracy(validation, test):
        density, _ = sparsest(validation, test)
        return density, float(test[density].mean())

    return Exercise(
        id="pruning.sparsest",
        chapter="01_pruning",
        title="chosen on validation, reported on test",
        difficulty=2,
        minutes=20,
        why="A density that is chosen on the test set makes pruning look better than it is.",
        task="""
            You have the accuracies of several seeds at several densities. Choose the smallest
            density whose mean is at most `mine.margin` points below the dense network's, and
            return it with its mean difference to the dense network. Keep the choice and the report
            apart.
            """,
        hint="""
            Accuracy need not fall steadily: a density may fail where a smaller one is good enough.
            The test set is looked at once, at the density that validation chose.
            """,
        reference=sparsest,
        cases=tables,
        wrong=[
            Wrong(
                chosen(on=1),
                "You chose on the test set. Its accuracies are then no fair report any more.",
            ),
            Wrong(
                chosen(report=0),
                "You reported the difference on validation, where it was chosen. It is too good.",
            ),
            Wrong(best, "You chose the most accurate density. The question asks for the sparsest."),
            Wrong(chosen(pick=max), "You chose the largest density that is good enough."),
            Wrong(
                until_the_first_failure,
                "You stopped at the first density that fails. A smaller one is good enough again.",
            ),
            Wrong(
                chosen(least=lambda a: a.mean()),
                "You left the margin out: a density may be mine.margin points below.",
            ),
            Wrong(negated, "Your difference has the wrong sign: it is sparse minus dense."),
            Wrong(
                accuracy,
                "You returned the accuracy. The question asks for its difference to dense.",
            ),
        ],
        right=[
            """
            def sparsest(validation, test):
                for density in sorted(validation):
                    loss = (validation[1.0] - validation[density]).mean()
                    if loss <= mine.margin:
                        return density, (test[density] - test[1.0]).mean()
            """,
            """
            def sparsest(validation, test):
                means = {d: sum(a.tolist()) / len(a) for d, a in validation.items()}
                good = [d for d in means if means[1.0] - means[d] <= mine.margin]
                chosen = sorted(good)[0]
                return [chosen, float(np.mean(test[chosen].numpy()) - np.mean(test[1.0].numpy()))]
            """,
        ],
    )


SPARSEST = Question(
    "sparsest",
    7,
    sparsest_exercise,
    """
    tried = {1.0: torch.tensor([96.0, 94.0]), 0.5: torch.tensor([95.0, 94.8]), 0.1: torch.zeros(2)}
    answer = sparsest(tried, {density: a - 1.5 for density, a in tried.items()})
    assert len(answer) == 2, "Return the density and the difference."
    assert answer[0] == 0.5, "0.5 is 0.1 points below the dense network, and 0.1 is far below."
    assert abs(answer[1] + 0.1) < 1e-4, f"On test it is 0.1 points below: -0.1; got {answer[1]}."
    """,
)


# --- A verdict ------------------------------------------------------------------------------------


def verdict_exercise(mine: Parameters) -> Exercise:
    def verdict(pruned, dense):
        """Judge the claim that pruned networks are at most mine.margin points worse than dense.

        pruned, dense: lists of accuracies in percent, paired by seed.
        The interval is that of Student's t around the mean of pruned - dense, two-sided. The claim
        has mine.arms arms, so its level is 1 - 0.05 / mine.arms.

        Returns (mean, low, high, outcome): 1 if the whole interval lies above -mine.margin, so
        the claim holds; -1 if the whole interval lies below, so it fails; 0 if neither.
        """
        differences = np.array(pruned) - np.array(dense)
        mean, n = differences.mean(), len(differences)
        t = stats.t.ppf(1 - 0.05 / mine.arms / 2, n - 1)
        half = t * differences.std(ddof=1) / math.sqrt(n)
        low, high = mean - half, mean + half
        outcome = 1 if low > -mine.margin else -1 if high < -mine.margin else 0
        return float(mean), float(low), float(high), outcome

    def half_width(d, level, quantile="t", ddof=1):
        tail = (1 + level) / 2
        q = stats.norm.ppf(tail) if quantile == "normal" else stats.t.ppf(tail, len(d) - 1)
        return q * d.std(ddof=ddof) / math.sqrt(len(d))

    def judged(mean, half, margin=mine.margin):
        low, high = mean - half, mean + half
        outcome = 1 if low > -margin else -1 if high < -margin else 0
        return float(mean), float(low), float(high), outcome

    level = 1 - 0.05 / mine.arms

    def runs(rng: np.random.Generator) -> Iterator[Case]:
        for far in (2.5, 0.4, -2.5, -0.6, 1.3):  # the mean, in half intervals from the threshold
            n = int(rng.integers(5, 9))
            noise = rng.normal(size=n)
            noise -= noise.mean()
            noise *= 0.4 * mine.margin / half_width(noise, level)
            d = noise - mine.margin + far * 0.4 * mine.margin
            dense = rng.normal(95, 1, n)
            pruned = [float(x) for x in dense + d]
            yield Case(f"{n} seeds", (pruned, [float(x) for x in dense]))

    def changed(level=level, sign=1, **kwargs):
        def wrong(pruned, dense):
            d = sign * (np.array(pruned) - np.array(dense))
            return judged(d.mean(), half_width(d, level, **kwargs))

        return wrong

    def unpaired(pruned, dense):
        a, b = np.array(pruned), np.array(dense)
        n = len(a)
        spread = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)
        return judged(a.mean() - b.mean(), stats.t.ppf((1 + level) / 2, 2 * n - 2) * spread)

    def without_root(pruned, dense):
        d = np.array(pruned) - np.array(dense)
        return judged(d.mean(), half_width(d, level) * math.sqrt(len(d)))

    def over_zero(pruned, dense):
        d = np.array(pruned) - np.array(dense)
        return judged(d.mean(), half_width(d, level), margin=0.0)

    def by_mean(pruned, dense):
        mean, low, high, _ = verdict(pruned, dense)
        return mean, low, high, 1 if mean > -mine.margin else -1

    one_sided = []
    if mine.arms != 2:  # with two arms this is the level 95%
        one_sided.append(
            Wrong(
                changed(level=1 - 0.1 / mine.arms),
                "You left the whole of what the level leaves to each side. Two sides share it.",
            )
        )

    def two_ways(pruned, dense):
        mean, low, high, outcome = verdict(pruned, dense)
        return mean, low, high, 1 if outcome == 1 else -1

    return Exercise(
        id="pruning.verdict",
        chapter="01_pruning",
        title="a verdict with its interval",
        difficulty=3,
        minutes=25,
        why="Without an interval, noise decides. With several arms, one of them is soon lucky.",
        task="""
            A claim of yours says that pruning costs at most `mine.margin` points. It has
            `mine.arms` arms, and all their intervals are to hold together. Return mean, interval
            and outcome of one arm.
            """,
        hint="""
            Pairing is one subtraction. `stats.t.ppf(q, n - 1)` is the quantile of Student's t; two
            sides share what the level leaves. Compare the ends of the interval with −margin.
            """,
        reference=verdict,
        cases=runs,
        wrong=[
            Wrong(
                changed(level=0.95),
                "Your interval has the level 95%. With mine.arms arms it is 1 − 0.05 / mine.arms.",
            ),
            Wrong(
                changed(quantile="normal"),
                "You used the normal distribution. With so few seeds its intervals are too narrow.",
            ),
            Wrong(changed(ddof=0), "You divided by n in the standard deviation. It is n − 1."),
            Wrong(
                unpaired,
                "Your interval is that of two independent groups. Seeds are paired: take the "
                "difference of each.",
            ),
            Wrong(without_root, "You left out √n: it is the interval of the mean."),
            Wrong(changed(sign=-1), "You took dense − pruned. The claim is about pruned − dense."),
            Wrong(
                by_mean,
                "Your outcome goes by the mean alone. The whole interval has to be on one side.",
            ),
            Wrong(
                two_ways,
                "What does not hold fails in your answer. An interval across −mine.margin decides "
                "nothing: 0.",
            ),
            Wrong(
                over_zero,
                "You compared the interval with 0. The claim allows a loss of mine.margin points.",
            ),
            *one_sided,
        ],
        right=[
            """
            def verdict(pruned, dense):
                d = [p - q for p, q in zip(pruned, dense)]
                low, high = stats.t.interval(
                    1 - 0.05 / mine.arms, len(d) - 1, loc=np.mean(d), scale=stats.sem(d)
                )
                return np.mean(d), low, high, int(low > -mine.margin) - int(high < -mine.margin)
            """,
            """
            def verdict(pruned, dense):
                test = stats.ttest_rel(pruned, dense)
                low, high = test.confidence_interval(1 - 0.05 / mine.arms)
                outcome = 0
                if low + mine.margin > 0:
                    outcome = 1
                elif high + mine.margin < 0:
                    outcome = -1
                return [(low + high) / 2, low, high, outcome]
            """,
        ],
    )


VERDICT = Question(
    "verdict",
    8,
    verdict_exercise,
    """
    near, far = verdict([95.0, 96.2, 94.1], [95.1, 96.0, 94.0]), verdict([51.0, 50.8], [95.0, 95.0])
    assert len(near) == len(far) == 4, "Return mean, low, high and outcome."
    assert near[1] < near[0] < near[2], "The mean lies inside the interval."
    assert abs(near[0] - 0.2 / 3) < 1e-6, f"The mean difference is +0.0667; got {near[0]:.4f}."
    assert far[3] == -1, "44 points worse is more than the margin, and the interval is short."
    """,
)

QUESTIONS = (
    FAVOURED,
    MOST_KEPT,
    SPARSITY_AT,
    SALIENCY,
    TICKET_ROUNDS,
    SHUFFLE_SMALLEST,
    EXCESS_OVERLAP,
    SPARSEST,
    VERDICT,
)
