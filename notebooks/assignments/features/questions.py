"""The questions of the set "features": directions, training, magnitudes, dictionaries and evidence.

Instructors only: references, the inputs they are tried on, and the mistakes that are told apart.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from course_lib.coursework import Parameters, Question
from course_lib.exercises import Case, Exercise, Wrong

# --- The nearest rival of a feature ---------------------------------------------------------------


def rivals_exercise(mine: Parameters) -> Exercise:
    def rivals(W):
        """Name, for each stored feature, the stored feature that is most in its way.

        W: (m, n), float64. Column i is the direction of feature i; feature i is stored if the
            squared norm of its column is above mine.stored_above. At least two are stored.
        The rival of a stored feature is the other stored feature whose direction has the largest
        absolute cosine with its own.

        Returns a dictionary by the number of the stored feature: (number of its rival, their
        cosine with its sign).
        """
        norms = W.square().sum(0)
        stored = [i for i, norm in enumerate(norms.tolist()) if norm > mine.stored_above]
        unit = W / norms.sqrt()
        cosines = (unit.T @ unit).tolist()
        found = {}
        for i in stored:
            j = max((j for j in stored if j != i), key=lambda j: abs(cosines[i][j]))
            found[i] = (j, cosines[i][j])
        return found

    def matrices(rng: np.random.Generator) -> Iterator[Case]:
        drawn = 0
        while drawn < 4:
            m, n = int(rng.integers(3, 6)), int(rng.integers(9, 13))
            W = rng.normal(size=(m, n))
            W *= np.sqrt(rng.uniform(0.08, 1.4, n)) / np.linalg.norm(W, axis=0)
            case = Case(f"W of shape ({m}, {n}), the first {W[0, 0]:.4f}", (torch.tensor(W),))
            squared = (W**2).sum(0)
            between = (squared > mine.stored_above**2) & (squared <= mine.stored_above)
            if between.any() and (squared > mine.stored_above).sum() > 2:
                drawn += 1
                yield case

    def judged(
        size=lambda W: W.square().sum(0),
        rank=abs,
        shown=lambda c: c,
        unit=lambda W: W / W.norm(dim=0),
        among="stored",
        pick=max,
    ):
        """Make a wrong answer from one thing that is otherwise."""

        def wrong(W):
            sizes = size(W).tolist()
            stored = [i for i, one in enumerate(sizes) if one > mine.stored_above]
            others = stored if among == "stored" else range(len(sizes))
            cosines = (unit(W).T @ unit(W)).tolist()
            found = {}
            for i in stored if among != "every" else others:
                j = pick((j for j in others if j != i), key=lambda j: rank(cosines[i][j]))
                found[i] = (j, shown(cosines[i][j]))
            return found

        return wrong

    def itself(W):
        return {i: (i, 1.0) for i in rivals(W)}

    def of_rows(W):
        return rivals(W.T)

    return Exercise(
        id="features.rivals",
        chapter="05_superposition",
        title="the nearest rival of a feature",
        difficulty=2,
        minutes=25,
        why="Features that share dimensions are confused with each other, and not all alike.",
        task="""
            A toy model stores more features than it has dimensions. Find, for each feature that
            is stored at your threshold `mine.stored_above`, the other stored feature that is read
            most where it stands, and their cosine.
            """,
        hint="""
            Divide each column by its norm; one product gives all cosines. The diagonal is each
            feature with itself. A cosine of −0.9 is nearer than one of 0.5.
            """,
        reference=rivals,
        cases=matrices,
        wrong=[
            Wrong(itself, "The nearest to each feature is itself. Leave the diagonal out."),
            Wrong(
                judged(rank=lambda c: c),
                "You took the largest cosine. An opposite direction is read too, with a minus: "
                "take the largest absolute value.",
            ),
            Wrong(
                judged(shown=abs),
                "You returned the absolute cosine. The question asks for it with its sign.",
            ),
            Wrong(
                judged(size=lambda W: W.norm(dim=0)),
                "You compared the norm with mine.stored_above. It is for the squared norm.",
            ),
            Wrong(
                judged(unit=lambda W: W),
                "You took products of the columns as they are. A cosine needs columns of norm 1.",
            ),
            Wrong(
                judged(among="all"),
                "Your rivals are among all features. One that is not stored is no rival.",
            ),
            Wrong(
                judged(among="every"),
                "You answered for every feature. The question asks for the stored ones.",
            ),
            Wrong(of_rows, "You compared rows of W. A feature is a column."),
            Wrong(
                judged(pick=min),
                "You named the feature that is least in the way. Asked for is the nearest.",
            ),
        ],
        right=[
            """
            def rivals(W):
                chosen = torch.nonzero((W ** 2).sum(0) > mine.stored_above).flatten()
                C = torch.nn.functional.normalize(W[:, chosen], dim=0)
                C = C.T @ C
                C.fill_diagonal_(0)
                best = C.abs().argmax(1)
                return {
                    int(i): [int(chosen[j]), C[k, j].item()]
                    for k, (i, j) in enumerate(zip(chosen, best))
                }
            """,
            """
            def rivals(W):
                columns = W.numpy().T
                columns = {i: c for i, c in enumerate(columns) if c @ c > mine.stored_above}
                found = {}
                for i, a in columns.items():
                    for j, b in columns.items():
                        cosine = a @ b / np.sqrt((a @ a) * (b @ b))
                        if i != j and abs(cosine) > abs(found.get(i, (0, 0))[1]):
                            found[i] = (j, float(cosine))
                return found
            """,
        ],
    )


RIVALS = Question(
    "rivals",
    7,
    rivals_exercise,
    """
    W = torch.tensor([[1.0, 0.6, -0.9, 0.1], [0.0, 0.8, 0.2, 0.1]], dtype=torch.float64)
    answer = rivals(W)
    assert set(answer) == {0, 1, 2}, "Features 0, 1 and 2 are stored, at any student's threshold."
    assert answer[0][0] == 2, "Feature 2 points away from feature 0: it is nearest, with a minus."
    assert abs(answer[1][1] - 0.6) < 1e-6, f"Features 0 and 1 have cosine 0.6; got {answer[1][1]}."
    """,
)


# --- What a polygon costs -------------------------------------------------------------------------


def polygon_error_exercise(mine: Parameters) -> Exercise:
    def polygon_error(value):
        """Return what a toy model gets wrong when one feature of a regular polygon is present.

        value: of the one feature that is present, between 0 and 1. All others are 0.
        The model has mine.sides features in two dimensions, with directions of norm 1 at equal
        angles. Each bias is -mine.bias, so x̂ = ReLU(WᵀW x − mine.bias).

        Returns two floats: the squared error of the feature that is present, and the sum of the
        squared errors of all the others.
        """
        own = (value - max(0.0, value - mine.bias)) ** 2
        angles = [2 * math.pi * k / mine.sides for k in range(1, mine.sides)]
        others = sum(max(0.0, value * math.cos(a) - mine.bias) ** 2 for a in angles)
        return own, others

    def values(rng: np.random.Generator) -> Iterator[Case]:
        for low, high in ((0.2, 0.9), (0.8, 0.9), (0.9, 1.0), (0.2, 0.9), (0.0, 1.0)):
            value = float(rng.uniform(low, high))
            if (low, high) == (0.0, 1.0):
                value *= mine.bias  # so small that the bias swallows it
            yield Case(f"a feature of {value:.4f}", (value,))

    def costs(
        relu=lambda x: max(0.0, x),
        bias=mine.bias,
        turn=2 * math.pi,
        first=1,
        last=mine.sides,
        power=2,
        own=None,
        each=1.0,
    ):
        """Make wrong costs from one thing that is otherwise."""

        def wrong(value):
            read = relu(value - bias) if own is None else own(value)
            cosines = [math.cos(turn * k / mine.sides) for k in range(first, last)]
            others = [abs(relu(value * cosine - bias)) ** power for cosine in cosines]
            return abs(value - read) ** power, sum(others) * each

        return wrong

    def neighbours(value):
        own, _ = polygon_error(value)
        return own, 2 * max(0.0, value * math.cos(2 * math.pi / mine.sides) - mine.bias) ** 2

    return Exercise(
        id="features.polygon_error",
        chapter="05_superposition",
        title="what a polygon costs",
        difficulty=2,
        minutes=25,
        why="Superposition is paid for in errors on features that are not there. A negative bias "
        "trades them for an error on the one that is.",
        task="""
            A model of yours stores `mine.sides` features in two dimensions, as the corners of a
            regular polygon, with the bias −`mine.bias`. One feature is present. Work out what is
            read for it, and for all the others, and return the two errors.
            """,
        hint="""
            The product of two directions of norm 1 is the cosine of their angle. The angles from
            the present feature to the others are 2πk / sides for k = 1, 2, …, sides − 1. What is
            negative after the bias is cut off.
            """,
        reference=polygon_error,
        cases=values,
        wrong=[
            Wrong(
                costs(own=lambda value: value),
                "You read the present feature without the bias. It loses mine.bias as well.",
            ),
            Wrong(
                costs(relu=lambda x: x),
                "You left out the ReLU. Features at a wide angle are read as 0.",
            ),
            Wrong(costs(bias=-mine.bias), "You added mine.bias. The bias is −mine.bias."),
            Wrong(costs(bias=0.0), "You left out the bias, −mine.bias for each feature."),
            Wrong(
                neighbours,
                "You counted the two neighbours only. With so many sides more are read.",
            ),
            Wrong(
                costs(first=0),
                "Among the others you counted the present feature itself: k starts at 1.",
            ),
            Wrong(
                costs(turn=math.pi),
                "Your corners fill half a turn. A polygon goes all the way round: 2π.",
            ),
            Wrong(
                costs(power=1), "You summed absolute errors. The question asks for squared ones."
            ),
            Wrong(
                costs(each=1 / (mine.sides - 1)),
                "You took the mean over the others. The question asks for the sum.",
            ),
            Wrong(
                costs(last=(mine.sides + 1) // 2),
                "You went round half of the polygon. The other side is read too.",
            ),
        ],
        right=[
            """
            def polygon_error(value):
                angles = torch.arange(mine.sides, dtype=torch.float64) * 2 * torch.pi / mine.sides
                W = torch.stack([angles.sin(), angles.cos()])
                x = torch.zeros(mine.sides, dtype=torch.float64)
                x[1] = value
                errors = (x - (W.T @ (W @ x) - mine.bias).relu()) ** 2
                return errors[1], errors.sum() - errors[1]
            """,
            """
            def polygon_error(value):
                turns = np.exp(2j * np.pi * np.arange(1, mine.sides) / mine.sides)
                read = np.clip(value * turns.real - mine.bias, 0, None)
                return [min(value, mine.bias) ** 2, float(read @ read)]
            """,
        ],
    )


POLYGON_ERROR = Question(
    "polygon_error",
    7,
    polygon_error_exercise,
    """
    own, others = polygon_error(0.95)
    assert abs(own - mine.bias**2) < 1e-9, "The present feature is read as 0.95 - mine.bias."
    assert 0 < others < 0.95**2 * mine.sides, "Others are read too, each as less than 0.95."
    own, others = polygon_error(mine.bias / 2)
    assert others == 0, "A value below mine.bias is cut off wherever it is read."
    assert abs(own - (mine.bias / 2) ** 2) < 1e-9, "A value below mine.bias is read as 0: all lost."
    """,
)


# --- How many directions fit ----------------------------------------------------------------------


def most_features_exercise(mine: Parameters) -> Exercise:
    def most_features(d):
        """Return how many directions in d dimensions the bound of Welch allows.

        d: a whole number from 2 on.
        Of n ≥ d directions in d dimensions, some two have an absolute cosine of at least
            sqrt((n − d) / (d (n − 1))).
        You want no absolute cosine above mine.coherence.

        Returns the largest whole n at which the bound is not above mine.coherence; -1 if there
        is no largest one.
        """
        room = 1 - mine.coherence**2 * d
        if room <= 0:
            return -1
        return int(d * (1 - mine.coherence**2) / room)

    def count(d, c=mine.coherence):
        return d * (1 - c**2) / (1 - c**2 * d)

    def sizes(rng: np.random.Generator) -> Iterator[Case]:
        limit = 1 / mine.coherence**2
        # No d at which an answer hangs on rounding; some at which each mistake makes a difference.
        clear = [d for d in range(2, int(limit)) if 1e-6 < count(d) % 1 < 1 - 1e-6]
        near = [d for d in clear if d > 0.7 * limit]
        up, down = ([d for d in clear if (count(d) % 1 > 0.5) == above] for above in (True, False))
        chosen = [int(rng.choice(some)) for some in (near, near, up, down)]
        beyond = math.ceil(limit) + 1 + int(rng.integers(20))
        for d in (*chosen, beyond):
            yield Case(f"{d} dimensions", (d,))

    def solved(formula, whole=math.floor, none=-1):
        """Make a wrong count from another formula, rounding, or answer without a largest n."""

        def wrong(d):
            if 1 - mine.coherence**2 * d <= 0:
                return none
            return whole(formula(d))

        return wrong

    def without_root(d):
        room = 1 - mine.coherence * d
        return -1 if room <= 0 else math.floor(d * (1 - mine.coherence) / room)

    def without_d(d):
        return math.floor((d - mine.coherence**2) / (1 - mine.coherence**2))

    return Exercise(
        id="features.most_features",
        chapter="05_superposition",
        title="how many directions fit",
        difficulty=3,
        minutes=25,
        why="How many features fit into a layer depends on how much interference may be left.",
        task="""
            At right angles there is room for d directions. You allow absolute cosines of up to
            `mine.coherence`. The bound of Welch (1974, IEEE Transactions on Information Theory
            20, 397) says how many directions that cannot be. Return the largest number that it
            does not rule out.
            """,
        hint="""
            Square the inequality and solve it for n: what multiplies n may be positive, zero or
            negative. If it is not positive, every n will do.
            """,
        reference=most_features,
        cases=sizes,
        wrong=[
            Wrong(solved(count, round), "You rounded to the nearest n. Round down."),
            Wrong(without_root, "You left out the root, or did not square mine.coherence."),
            Wrong(
                solved(lambda d: d / (1 - mine.coherence**2 * d)),
                "Under the root you divided by d · n. It is d · (n − 1).",
            ),
            Wrong(
                without_d,
                "Under the root you divided by n − 1 alone. It is d · (n − 1).",
            ),
            Wrong(
                solved(count, math.ceil),
                "Your n is one too large: at it the bound is above mine.coherence.",
            ),
            Wrong(
                solved(lambda d: math.floor(count(d)) - d),
                "You returned how many more than d fit. The question asks for all of them.",
            ),
            Wrong(
                lambda d: math.floor(count(d)),
                "Where what multiplies n is negative, you solved the inequality all the same. "
                "There every n will do: -1.",
            ),
            Wrong(
                solved(count, none=0),
                "Where every n will do the answer is -1, and not that none will.",
            ),
            Wrong(
                lambda d: d,
                "You counted directions at right angles. Cosines of up to mine.coherence are "
                "allowed.",
            ),
        ],
        right=[
            """
            def most_features(d):
                if mine.coherence >= 1 / d ** 0.5:
                    return -1
                n = d
                while (n + 1 - d) / (d * n) <= mine.coherence ** 2:
                    n += 1
                return n
            """,
            """
            def most_features(d):
                from fractions import Fraction
                c = Fraction(round(100 * mine.coherence), 100) ** 2
                return int(d * (1 - c) // (1 - c * d)) if c * d < 1 else -1
            """,
        ],
    )


MOST_FEATURES = Question(
    "most_features",
    6,
    most_features_exercise,
    """
    assert most_features(100) == -1, "100 dimensions leave room for any number, by the bound."
    answer = most_features(9)
    assert answer >= 9, "Nine directions fit at right angles."
    bounds = [((n - 9) / (9 * (n - 1))) ** 0.5 for n in (answer, answer + 1)]
    assert bounds[0] <= mine.coherence, f"At n = {answer} the bound is {bounds[0]:.4f}: too much."
    assert bounds[1] > mine.coherence, f"One more than {answer} would do too."
    """,
)

# --- Dead for how long ----------------------------------------------------------------------------


def dead_counts_exercise(mine: Parameters) -> Exercise:
    def dead_counts(active):
        """Count the latents that died at some time, and those that are dead at the end.

        active: (steps, d_sae), booleans: whether a latent was active for any input of a step's
            batch.
        A latent is dead after a step if it was silent in this step and in all of the
        mine.dead_after - 1 steps before it. It is alive again as soon as it is active.

        Returns two whole numbers: how many latents were dead after at least one of the steps, and
        how many are dead after the last step.
        """
        silent = torch.zeros(active.shape[1])
        ever = torch.zeros(active.shape[1], dtype=torch.bool)
        for step in active:
            silent = torch.where(step, 0, silent + 1)
            ever |= silent >= mine.dead_after
        return int(ever.sum()), int((silent >= mine.dead_after).sum())

    def histories(rng: np.random.Generator) -> Iterator[Case]:
        n = mine.dead_after

        def busy(steps):
            """Active and silent in turn, never silent for long."""
            return [bool(step % 2) for step in range(steps)]

        for _ in range(4):
            length = 6 * n + int(rng.integers(3, 9))
            kinds = {
                "dead at first": [False] * n + [True],
                "dead once, and no longer": [*busy(n + 1), *[False] * n, True],
                "nearly dead": [*busy(2), *[False] * (n - 1), True],
                "silent for long in all": ([False] * (n - 1) + [True]) * 4,
                "never active": [False] * length,
                "dead at the end": [*busy(length - n - 1), True, *[False] * n],
                "nearly dead at the end": [*busy(length - n), True, *[False] * (n - 1)],
                "silent at the end": [*busy(length - 2), True, False],
            }
            columns = []
            for start in kinds.values():
                column = start + [True] * (length - len(start))
                columns += [column] * int(rng.integers(1, 4))
            order = rng.permutation(len(columns))
            active = torch.tensor(columns)[order].T.contiguous()
            yield Case(f"{length} steps of {len(columns)} latents", (active,))

    def silences(active):
        """The length of the silence that each latent is in, after each step."""
        lengths = torch.zeros(active.shape, dtype=torch.int64)
        for number, step in enumerate(active):
            lengths[number] = torch.where(step, 0, lengths[number - 1] + 1 if number else 1)
        return lengths

    def counted(least=mine.dead_after, ever=None, end=None):
        def wrong(active):
            dead = silences(active) >= least
            first = dead.any(0) if ever is None else ever(active, dead)
            last = dead[-1] if end is None else end(active, dead)
            return int(first.sum()), int(last.sum())

        return wrong

    def blocks(active, dead):
        parts = active.split(mine.dead_after)
        return torch.stack([~p.any(0) for p in parts if len(p) == mine.dead_after]).any(0)

    def after_first(active, dead):
        return (dead & (active.cumsum(0) > 0)).any(0)

    def shares(active):
        return tuple(count / active.shape[1] for count in dead_counts(active))

    return Exercise(
        id="features.dead_counts",
        chapter="06_autoencoders",
        title="dead for how long",
        difficulty=2,
        minutes=25,
        why="How many latents are dead depends on how long one looks. Some come back.",
        task="""
            During training you note which latents were active in each batch. Count those that
            have been silent for `mine.dead_after` steps on end: at some time, and at the end.
            """,
        hint="""
            Keep one counter for each latent. It goes up by one in a silent step and back to 0 in
            an active one. Look at it after each step.
            """,
        reference=dead_counts,
        cases=histories,
        wrong=[
            Wrong(
                counted(least=mine.dead_after + 1),
                "You waited a step too long: a latent is dead as soon as mine.dead_after steps on "
                "end were silent.",
            ),
            Wrong(
                counted(least=mine.dead_after - 1),
                "You called latents dead a step too early.",
            ),
            Wrong(
                counted(ever=lambda active, dead: (~active).sum(0) >= mine.dead_after),
                "You added up all silent steps. They count only on end; being active starts anew.",
            ),
            Wrong(
                counted(ever=lambda active, dead: ~active.any(0)),
                "For the first number you counted latents that were never active. One that was "
                "silent for mine.dead_after steps and came back has been dead too.",
            ),
            Wrong(
                counted(ever=blocks),
                "You cut training into blocks of mine.dead_after steps. A silence may start at any "
                "step.",
            ),
            Wrong(
                counted(ever=after_first),
                "You began to count when a latent was first active. Silence from the start counts.",
            ),
            Wrong(
                counted(end=lambda active, dead: dead.any(0)),
                "In your answer the dead stay dead. A latent that is active again is alive.",
            ),
            Wrong(
                counted(end=lambda active, dead: ~active[-1]),
                "For the second number you counted all that are silent in the last step. Most of "
                "them have not been silent for long.",
            ),
            Wrong(
                counted(end=lambda active, dead: ~active.any(0)),
                "For the second number you counted latents that were never active. One may have "
                "died later.",
            ),
            Wrong(
                lambda active: dead_counts(active)[::-1],
                "Your numbers are in the wrong order: first ever, then at the end.",
            ),
            Wrong(shares, "You returned shares. The question asks for counts."),
        ],
        right=[
            """
            def dead_counts(active):
                windows = active.unfold(0, mine.dead_after, 1).any(-1)
                dead = ~windows
                return dead.any(0).sum(), dead[-1].sum()
            """,
            """
            def dead_counts(active):
                ever = last = 0
                for column in active.T.tolist():
                    text = "".join("x" if on else "." for on in column)
                    ever += "." * mine.dead_after in text
                    last += text.endswith("." * mine.dead_after)
                return [ever, last]
            """,
        ],
    )


DEAD_COUNTS = Question(
    "dead_counts",
    7,
    dead_counts_exercise,
    """
    n = mine.dead_after
    columns = [[False] * n + [True] * n, [True] * n + [False] * n, [True] + [False] * (2 * n - 1)]
    answer = dead_counts(torch.tensor(columns).T)
    assert len(answer) == 2, "Return two counts."
    assert answer[0] == 3, "Each of the three latents was silent for mine.dead_after steps on end."
    assert answer[1] == 2, "The first latent is active again at the end."
    """,
)


# --- Work for dead latents ------------------------------------------------------------------------


def aux_loss_exercise(mine: Parameters) -> Exercise:
    def aux_loss(x, x_hat, pre, silent, W_dec):
        """Return the loss from which dead latents learn.

        x, x_hat: (batch, d_in), float64, inputs and what the autoencoder makes of them.
        pre: (batch, d_sae), float64, pre-activations of all latents.
        silent: (d_sae,), whole numbers, for how many steps each latent has been silent.
        W_dec: (d_sae, d_in), float64, one direction for each latent.
        Dead are latents that have been silent for at least mine.dead_after steps. For each input
        the mine.aux_k largest pre-activations of dead latents are kept, all if there are fewer
        dead ones; negative ones among them become 0. With W_dec they try to make what the
        autoencoder missed, x - x_hat.

        Returns a number: the squared error of that, summed over dimensions and averaged over
        inputs; 0 if no latent is dead.
        """
        dead = silent >= mine.dead_after
        k = min(mine.aux_k, int(dead.sum()))
        if k == 0:
            return 0.0
        values, places = pre[:, dead].topk(k)
        latents = torch.zeros_like(pre[:, dead]).scatter(1, places, values.relu())
        return float((x - x_hat - latents @ W_dec[dead]).square().sum(1).mean())

    def batches(rng: np.random.Generator) -> Iterator[Case]:
        k = mine.aux_k
        # Where many are positive inputs can compete; where few are, negative ones are among k.
        for n_dead, mean in ((k + 4, 0.4), (k + 6, 0.4), (k + 1, -0.4), (k - 1, -0.4), (0, 0.4)):
            n, d_in, d_sae = int(rng.integers(5, 8)), int(rng.integers(3, 5)), 18
            x = rng.normal(size=(n, d_in))
            silent = np.full(d_sae, mine.dead_after - 1)
            silent[: n_dead // 2] = mine.dead_after
            silent[n_dead // 2 : n_dead] = mine.dead_after + 1 + rng.integers(9)
            silent[n_dead + 2 :] = rng.integers(0, mine.dead_after - 1, 16 - n_dead)
            W_dec = rng.normal(size=(d_sae, d_in))
            W_dec /= np.linalg.norm(W_dec, axis=1, keepdims=True)
            arguments = (
                x,
                x + rng.normal(0, 0.5, x.shape),
                rng.normal(mean, 0.7, (n, d_sae)),
                rng.permutation(silent),
                W_dec,
            )
            yield Case(
                f"{n} inputs of width {d_in}, {n_dead} of {d_sae} latents dead",
                tuple(map(torch.tensor, arguments)),
            )

    def lost(
        target=lambda x, x_hat: x - x_hat,
        dead=lambda silent: silent >= mine.dead_after,
        rectify=torch.relu,
        mean=lambda error: error.sum(1).mean(),
        k=mine.aux_k,
        none=0.0,
        sign=1,
    ):
        """Make a wrong loss from one thing that is otherwise."""

        def wrong(x, x_hat, pre, silent, W_dec):
            chosen = dead(silent)
            most = min(k, int(chosen.sum()))
            error = target(x, x_hat)
            if most == 0:
                return float(mean(error.square())) if none is None else none
            values, places = pre[:, chosen].topk(most)
            latents = torch.zeros_like(pre[:, chosen]).scatter(1, places, rectify(values))
            return float(mean((error - sign * latents @ W_dec[chosen]).square()))

        return wrong

    def by_the_batch(x, x_hat, pre, silent, W_dec):
        dead = silent >= mine.dead_after
        k = min(mine.aux_k, int(dead.sum())) * len(x)
        if k == 0:
            return 0.0
        flat = pre[:, dead].flatten()
        values, places = flat.topk(k)
        latents = torch.zeros_like(flat).scatter(0, places, values.relu()).view(len(x), -1)
        return float((x - x_hat - latents @ W_dec[dead]).square().sum(1).mean())

    def of_all(x, x_hat, pre, silent, W_dec):
        """The largest of all latents, and of these the dead ones."""
        dead = silent >= mine.dead_after
        if not dead.any():
            return 0.0
        values, places = pre.topk(mine.aux_k)
        latents = torch.zeros_like(pre).scatter(1, places, values.relu()) * dead
        return float((x - x_hat - latents @ W_dec).square().sum(1).mean())

    return Exercise(
        id="features.aux_loss",
        chapter="06_autoencoders",
        title="work for dead latents",
        difficulty=3,
        minutes=35,
        why="A latent that is never active gets no gradient. This loss gives it one.",
        task="""
            Write the auxiliary loss of Gao et al. ([2024](https://arxiv.org/abs/2406.04093)) for
            your window `mine.dead_after` and your `mine.aux_k`.
            """,
        hint="""
            `pre[:, dead]` has one column for each dead latent; `topk` and `scatter` do the rest.
            `topk` fails if it is asked for more columns than there are.
            """,
        reference=aux_loss,
        cases=batches,
        wrong=[
            Wrong(
                lost(target=lambda x, x_hat: x),
                "Your dead latents reconstruct x. They are to make what is missed, x − x_hat.",
            ),
            Wrong(
                lost(target=lambda x, x_hat: x_hat - x),
                "Your target has the wrong sign: what is missed is x − x_hat.",
            ),
            Wrong(
                lost(dead=lambda silent: silent < mine.dead_after),
                "You gave the work to the latents that are alive.",
            ),
            Wrong(
                lost(dead=lambda silent: silent > mine.dead_after),
                "A latent that was silent for just mine.dead_after steps is dead too: at least.",
            ),
            Wrong(
                lost(dead=lambda silent: silent >= 0),
                "You took the largest pre-activations of all latents, and left out who is dead.",
            ),
            Wrong(
                of_all,
                "You took the largest of all latents, and of these the dead ones. Choose among the "
                "dead ones.",
            ),
            Wrong(
                lost(rectify=lambda values: values),
                "You kept negative pre-activations. They become 0.",
            ),
            Wrong(
                lost(k=10**6),
                "You used all dead latents. Each input uses the mine.aux_k largest.",
            ),
            Wrong(
                by_the_batch,
                "You let the inputs of a batch compete. Each has mine.aux_k latents of its own.",
            ),
            Wrong(
                lost(mean=lambda error: error.mean()),
                "You averaged over dimensions. Sum over them, and average over inputs.",
            ),
            Wrong(
                lost(mean=lambda error: error.sum()),
                "You summed over inputs. Sum over dimensions, and average over inputs.",
            ),
            Wrong(
                lost(none=None),
                "Where no latent is dead there is nobody to do the work: the loss is 0.",
            ),
        ],
        right=[
            """
            def aux_loss(x, x_hat, pre, silent, W_dec):
                dead = silent >= mine.dead_after
                if not dead.any():
                    return torch.tensor(0.0)
                masked = pre.masked_fill(~dead, 0.0).relu()
                order = masked.argsort(dim=1, descending=True).argsort(dim=1)
                masked = masked * (order < mine.aux_k)
                return ((masked @ W_dec + x_hat - x) ** 2).sum() / len(x)
            """,
            """
            def aux_loss(x, x_hat, pre, silent, W_dec):
                dead = [i for i, n in enumerate(silent.tolist()) if n >= mine.dead_after]
                total = 0.0
                for row, made, z in zip(x, x_hat, pre):
                    missed = row - made
                    for i in sorted(dead, key=lambda i: -z[i])[: mine.aux_k]:
                        missed = missed - max(0.0, float(z[i])) * W_dec[i]
                    total += float(missed @ missed)
                return total / len(x) if dead else 0
            """,
        ],
    )


AUX_LOSS = Question(
    "aux_loss",
    8,
    aux_loss_exercise,
    """
    x = torch.tensor([[3.0, -2.0, 1.0]], dtype=torch.float64)
    made, pre = x / 2, torch.tensor([[1.5, 9.0, -1.0]], dtype=torch.float64)
    n, W = mine.dead_after, torch.eye(3, dtype=torch.float64)
    answer = aux_loss(x, made, pre, torch.tensor([n, 0, n]), W)
    told = "Missed is (1.5, -1, 0.5), and made of it (1.5, 0, 0)"
    assert abs(answer - 1.25) < 1e-6, f"{told}: the loss is 1.25; got {answer}."
    assert aux_loss(x, made, pre, torch.tensor([0, 0, 1]), W) == 0, "No latent is dead: 0."
    """,
)


# --- What a threshold learns ----------------------------------------------------------------------


def theta_gradient_exercise(mine: Parameters) -> Exercise:
    def theta_gradient(x, z, theta, W_dec, b_dec):
        """Return the pseudo-gradient of a JumpReLU autoencoder's loss by its thresholds.

        x: (batch, d_in), inputs; z: (batch, d_sae), pre-activations; theta: (d_sae,), thresholds,
            above 0; W_dec: (d_sae, d_in); b_dec: (d_in,). All float64.
        A latent is z where z > theta, else 0; x̂ = latents · W_dec + b_dec. The loss is the mean
        over inputs of ‖x̂ − x‖² + mine.price · L0, where L0 is the number of active latents.
        Near theta, where |z − theta| < mine.bandwidth / 2, two derivatives are replaced:
            of a latent by its theta:    −theta / mine.bandwidth
            of the step by its theta:    −1 / mine.bandwidth
        Elsewhere both are 0.

        Returns the gradient, (d_sae,).
        """
        near = (z - theta).abs() < mine.bandwidth / 2
        error = (z * (z > theta)) @ W_dec + b_dec - x
        by_step = theta * (2 * error @ W_dec.T) + mine.price  # (batch, d_sae)
        return -(near * by_step / mine.bandwidth).mean(0)

    def batches(rng: np.random.Generator) -> Iterator[Case]:
        for _ in range(4):
            n, d_in, d_sae = int(rng.integers(8, 12)), int(rng.integers(3, 5)), 6
            theta = rng.uniform(0.5, 0.9, d_sae)
            z = theta + mine.bandwidth * rng.uniform(-1.2, 1.2, (n, d_sae))
            arrays = (
                rng.normal(size=(n, d_in)),
                z,
                theta,
                rng.normal(size=(d_sae, d_in)),
                rng.normal(size=d_in),
            )
            yield Case(
                f"{n} inputs of width {d_in}, {d_sae} latents; x starts with {arrays[0][0, 0]:.4f}",
                tuple(map(torch.tensor, arrays)),
            )

    def slope(
        window=lambda u: u.abs() < 0.5,
        jump=lambda theta, z: theta,
        latents=lambda z, theta: z * (z > theta),
        double=2.0,
        price=mine.price,
        width=mine.bandwidth,
        mean=lambda parts: parts.mean(0),
        log=False,
    ):
        """Make a wrong gradient from one thing that is otherwise."""

        def wrong(x, z, theta, W_dec, b_dec):
            near = window((z - theta) / mine.bandwidth)
            error = latents(z, theta) @ W_dec + b_dec - x
            by_step = jump(theta, z) * (double * error @ W_dec.T) + price
            parts = near * by_step / width
            return -mean(parts) * (theta if log else 1.0)

        return wrong

    return Exercise(
        id="features.theta_gradient",
        chapter="06_autoencoders",
        title="what a threshold learns",
        difficulty=4,
        minutes=40,
        why="A step has no slope, so a threshold learns from a stand-in. Its width decides how "
        "many inputs have a say.",
        task="""
            Rajamanoharan et al. ([2024](https://arxiv.org/abs/2407.14435)) train thresholds with
            a pseudo-derivative. Work out the gradient of the whole loss for your bandwidth
            `mine.bandwidth` and your price `mine.price`, with the chain rule and without autograd.
            """,
        hint="""
            By latent i of one input, ‖x̂ − x‖² has the derivative 2 (x̂ − x) · W_dec[i]. Multiply
            it by the stand-in for the latent, add `mine.price` times the stand-in for the step,
            and average over inputs.
            """,
        reference=theta_gradient,
        cases=batches,
        wrong=[
            Wrong(
                lambda x, z, theta, W_dec, b_dec: torch.zeros_like(theta),
                "Your gradient is 0, the true one of a step. The stand-in is asked for.",
            ),
            Wrong(slope(price=0.0), "You left out the price: L0 depends on theta as well."),
            Wrong(
                slope(double=0.0),
                "You left out the squared error. A latent that is switched off changes x̂.",
            ),
            Wrong(slope(double=1.0), "The derivative of a square has a factor 2."),
            Wrong(
                slope(window=lambda u: u.abs() < 1),
                "Your window is twice as wide: |z − theta| < mine.bandwidth / 2.",
            ),
            Wrong(
                slope(window=lambda u: (u > 0) & (u < 0.5)),
                "You looked above theta only. Pre-activations just below it count as well.",
            ),
            Wrong(
                slope(window=lambda u: torch.ones_like(u)),
                "You left out the window: pre-activations far from theta have no say.",
            ),
            Wrong(
                slope(jump=lambda theta, z: z),
                "You used z in the stand-in for the latent. It is theta / mine.bandwidth.",
            ),
            Wrong(
                slope(jump=lambda theta, z: 1.0),
                "You left out theta: at the step a latent jumps by theta, and not by 1.",
            ),
            Wrong(
                slope(latents=lambda z, theta: (z - theta).relu()),
                "Your latents are ReLU(z − theta). JumpReLU leaves z as it is above theta.",
            ),
            Wrong(slope(width=1.0), "You left out the division by mine.bandwidth."),
            Wrong(
                slope(mean=lambda parts: parts.sum(0)),
                "You summed over inputs. The loss is a mean over them.",
            ),
            Wrong(
                slope(mean=lambda parts: -parts.mean(0)),
                "Your sign is reversed: a higher theta switches latents off.",
            ),
            Wrong(slope(log=True), "You returned the gradient by log theta."),
        ],
        right=[
            """
            def theta_gradient(x, z, theta, W_dec, b_dec):
                theta = theta.clone().requires_grad_()
                ramp = ((z - theta) / mine.bandwidth).clamp(-0.5, 0.5)
                ramp = ramp - ramp.detach()
                latents = z * (z > theta) + theta.detach() * ramp
                steps = (z > theta) + ramp
                missed = (latents @ W_dec + b_dec - x).square().sum(1)
                (missed + mine.price * steps.sum(1)).mean().backward()
                return theta.grad
            """,
            """
            def theta_gradient(x, z, theta, W_dec, b_dec):
                gradient = torch.zeros_like(theta)
                for n in range(len(x)):
                    kept = torch.where(z[n] > theta, z[n], torch.zeros_like(theta))
                    error = kept @ W_dec + b_dec - x[n]
                    for i in range(len(theta)):
                        if -mine.bandwidth < 2 * (z[n, i] - theta[i]) < mine.bandwidth:
                            gradient[i] -= 2 * theta[i] * (error @ W_dec[i]) + mine.price
                return gradient / (mine.bandwidth * len(x))
            """,
        ],
    )


THETA_GRADIENT = Question(
    "theta_gradient",
    8,
    theta_gradient_exercise,
    """
    one = torch.ones(1, dtype=torch.float64)
    z = torch.stack([one, one + 9 * mine.bandwidth])  # two inputs, one latent; only one is near
    answer = theta_gradient(0 * z, z, one, one.view(1, 1), 0 * one)
    by_hand = -mine.price / (2 * mine.bandwidth)  # nothing is made of the first input
    assert answer.shape == (1,), "There is one number for each latent."
    assert abs(answer - by_hand) < 1e-6, f"By hand it is {by_hand:.4f}; got {float(answer):.4f}."
    answer = theta_gradient(0 * z, z + 1e-6, one, one.view(1, 1), 0 * one)
    assert answer < by_hand, "Just above theta the error 2 theta · 1 has a say besides the price."
    """,
)


# --- Where the error comes from -------------------------------------------------------------------


def causes_exercise(mine: Parameters) -> Exercise:
    def causes(true, found):
        """Split the error of found codes by what went wrong.

        true: (n, k), float64, the planted strengths, 0 where a feature is absent.
        found: (n, k), float64, the latents that were matched to them, none below 0.
        A latent is active where it is above mine.least; a feature is present where true > 0.
        The error is the sum of (true - found)² over all entries.

        Returns a dictionary of shares of this error, each a float:
            "missed": of entries that are present and not active,
            "invented": of entries that are active and not present,
            "misjudged": of entries that are both,
            "after": what "misjudged" becomes if found is multiplied, in these entries, by the one
                number that makes their squared error least. It is a share of the same error.
        """
        active, present = found > mine.least, true > 0
        error = (true - found).square()
        both = present & active
        t, f = true[both], found[both]
        factor = (t * f).sum() / f.square().sum()
        parts = {
            "missed": error[present & ~active],
            "invented": error[active & ~present],
            "misjudged": error[both],
            "after": (t - factor * f).square(),
        }
        return {name: float(part.sum() / error.sum()) for name, part in parts.items()}

    def codes(rng: np.random.Generator) -> Iterator[Case]:
        for shrunk in rng.permutation([0.6, 0.75, 0.85]):
            n, k = int(rng.integers(30, 40)), int(rng.integers(4, 7))
            true = rng.uniform(0.5, 1.5, (n, k)) * (rng.random((n, k)) < 0.4)
            found = np.abs(true * shrunk + rng.normal(0, 0.1, (n, k)))
            found *= rng.random((n, k)) < 0.8
            small = rng.random((n, k)) < 0.3  # active, but not by much
            found = np.where(small, rng.uniform(0, 1.6 * mine.least, (n, k)), found)
            yield Case(
                f"{n} inputs, {k} features, the first code {true[0, 0]:.4f}",
                (torch.tensor(true), torch.tensor(found)),
            )

    def split(
        least=mine.least,
        of=lambda true, found: (true - found).square(),
        total=lambda error, true: error.sum(),
        factor=lambda t, f: (t * f).sum() / f.square().sum(),
        names=("missed", "invented"),
    ):
        """Make a wrong split from one thing that is otherwise."""

        def wrong(true, found):
            active, present = found > least, true > 0
            error = of(true, found)
            both = present & active
            t, f = true[both], found[both]
            parts = [error[present & ~active], error[active & ~present]]
            parts = dict(zip(names, parts, strict=True)) | {
                "misjudged": error[both],
                "after": of(t, factor(t, f) * f),
            }
            return {name: float(part.sum() / total(error, true)) for name, part in parts.items()}

        return wrong

    def over_all(true, found):
        factor = (true * found).sum() / found.square().sum()
        both = (true > 0) & (found > mine.least)
        left = (true - factor * found)[both].square().sum()
        return causes(true, found) | {"after": float(left / (true - found).square().sum())}

    def of_misjudged(true, found):
        answer = causes(true, found)
        return answer | {"after": answer["after"] / answer["misjudged"]}

    return Exercise(
        id="features.causes",
        chapter="06_autoencoders",
        title="where the error comes from",
        difficulty=3,
        minutes=35,
        why="Shrinkage is put right by one factor. A feature that was not found is not.",
        task="""
            With planted features you know the true codes. Split the squared error of what an
            autoencoder found into features that it missed, features that it invented, and
            strengths that it misjudged, and say what one factor could save. What counts as active
            is yours, `mine.least`.
            """,
        hint="""
            Two masks of booleans, and their combinations with `&` and `~`, are all that the first
            three shares need. Least squares: the best c for Σ (t − c f)² is Σ t f / Σ f².
            """,
        reference=causes,
        cases=codes,
        wrong=[
            Wrong(
                split(least=0.0),
                "You took every latent above 0 for active. It is active above mine.least.",
            ),
            Wrong(
                split(names=("invented", "missed")),
                "You exchanged missed and invented. Missed is what is there and was not found.",
            ),
            Wrong(
                split(of=lambda true, found: (true != found).double()),
                "You counted entries. The question asks for shares of the squared error.",
            ),
            Wrong(
                split(of=lambda true, found: (true - found).abs()),
                "You summed absolute errors. The question asks for squared ones.",
            ),
            Wrong(
                split(total=lambda error, true: 1.0),
                "You returned sums. Divide by the error of all entries.",
            ),
            Wrong(
                split(total=lambda error, true: true.square().sum()),
                "You divided by Σ true². The question asks for shares of the error.",
            ),
            Wrong(
                split(factor=lambda t, f: (t * f).sum() / t.square().sum()),
                "Your factor is the slope of found on true, which shrinks once more. Turn it "
                "round: Σ t f / Σ f².",
            ),
            Wrong(
                split(factor=lambda t, f: t.square().sum() / (t * f).sum()),
                "You divided by the slope of found on true. That is too much: least squares takes "
                "Σ t f / Σ f².",
            ),
            Wrong(
                split(factor=lambda t, f: t.mean() / f.mean()),
                "Your factor makes the means equal. Least squares takes Σ t f / Σ f².",
            ),
            Wrong(
                over_all,
                "You fitted the factor to all entries. It is for those present and active.",
            ),
            Wrong(
                of_misjudged,
                "You divided the last error by the misjudged one. All are shares of the whole.",
            ),
        ],
        right=[
            """
            def causes(true, found):
                true, found = true.numpy().ravel(), found.numpy().ravel()
                total = ((true - found) ** 2).sum()
                on, there = found > mine.least, true > 0
                t, f = true[on & there], found[on & there]
                c = np.linalg.lstsq(f[:, None], t, rcond=None)[0][0]
                return {
                    "after": np.sum((t - c * f) ** 2) / total,
                    "misjudged": np.sum((t - f) ** 2) / total,
                    "missed": np.sum((true - found)[there & ~on] ** 2) / total,
                    "invented": np.sum(found[on & ~there] ** 2) / total,
                }
            """,
            """
            def causes(true, found):
                sums = dict(missed=0.0, invented=0.0, misjudged=0.0)
                total = tt = tf = ff = 0.0
                for t, f in zip(true.flatten().tolist(), found.flatten().tolist()):
                    total += (t - f) ** 2
                    if t > 0 and f > mine.least:
                        sums["misjudged"] += (t - f) ** 2
                        tt, tf, ff = tt + t * t, tf + t * f, ff + f * f
                    elif t > 0:
                        sums["missed"] += (t - f) ** 2
                    elif f > mine.least:
                        sums["invented"] += f * f
                sums["after"] = tt - tf * tf / ff
                return {name: part / total for name, part in sums.items()}
            """,
        ],
    )


CAUSES = Question(
    "causes",
    7,
    causes_exercise,
    """
    true = torch.tensor([[2.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    answer = causes(true, torch.tensor([[1.0, 0.5, 0.5, 0.0]], dtype=torch.float64))
    assert set(answer) == {"missed", "invented", "misjudged", "after"}, "These are the four names."
    shares = [round(float(answer[name]), 6) for name in ("missed", "invented", "misjudged")]
    told = "Of 2.5, missed is 1, invented 0.25, misjudged 1.25"
    assert shares == [0.4, 0.1, 0.5], f"{told}: 0.4, 0.1, 0.5; got {shares}."
    assert abs(answer["after"]) < 1e-9, "Twice what was found is right where both are active."
    """,
)


# --- More agreement than chance -------------------------------------------------------------------


def agreement_exercise(mine: Parameters) -> Exercise:
    def agreement(one, other, nulls):
        """Return how many directions of a dictionary another has too, beyond what chance gives.

        one: (a, d), float64, a direction a row, of any length.
        other: (b, d), float64, with b ≥ a.
        nulls: a list of random dictionaries, (b, d) each.
        Rows of two dictionaries are paired one to one, so that the sum of the pairs' cosines is
        largest. A pair agrees if its cosine is above mine.same.

        Returns the share of the rows of `one` that agree with their partners in `other`, minus
        the mean of this share over `nulls` in place of `other`.
        """

        def share(rows):
            units = [r / r.norm(dim=1, keepdim=True) for r in (one, rows)]
            cosines = (units[0] @ units[1].T).numpy()
            pairs = linear_sum_assignment(cosines, maximize=True)
            return float((cosines[pairs] > mine.same).mean())

        return share(other) - sum(share(rows) for rows in nulls) / len(nulls)

    def unit(rows):
        return rows / rows.norm(dim=1, keepdim=True)

    def paired(cosines):
        return cosines[linear_sum_assignment(cosines, maximize=True)]

    def greedy(cosines):
        left, found = cosines.copy(), []
        for _ in range(len(cosines)):
            i, j = np.unravel_index(left.argmax(), left.shape)
            found.append(left[i, j])
            left[i, :] = left[:, j] = -9
        return np.array(found)

    def agreed(
        pairs=paired,
        make=unit,
        over=lambda cosines: len(cosines),
        both=lambda share, nulls: share - sum(nulls) / len(nulls),
        beside="one",
        score=lambda found: (found > mine.same).sum(),
    ):
        """Make a wrong agreement from one thing that is otherwise."""

        def wrong(one, other, nulls):
            def share(left, right):
                cosines = (make(left) @ make(right).T).numpy()
                return float(score(pairs(cosines)) / over(cosines))

            null = [share(one if beside == "one" else other, rows) for rows in nulls]
            return float(both(share(one, other), null))

        return wrong

    by_hand = agreed(pairs=greedy)
    nearest = agreed(pairs=lambda cosines: cosines.max(1))

    def dictionaries(rng: np.random.Generator) -> Iterator[Case]:
        drawn = 0
        while drawn < 3:
            a, b, d = int(rng.integers(6, 8)), int(rng.integers(9, 11)), 4
            one = rng.normal(size=(a, d))
            one[1] = one[0] + rng.normal(0, 0.4, d)  # two that want the same partner
            other = rng.normal(size=(b, d))
            other[: a - 1] = one[: a - 1] + rng.normal(0, 0.35, (a - 1, d))
            other[0] = -other[0]
            other = rng.permutation(other) * rng.uniform(0.3, 3, (b, 1))
            nulls = [torch.tensor(rng.normal(size=(b, d))) for _ in range(5)]
            arguments = (torch.tensor(one), torch.tensor(other), nulls)
            right = agreement(*arguments)
            if all(abs(wrong(*arguments) - right) > 0.01 for wrong in (by_hand, nearest)):
                drawn += 1
                tried = f"{a} rows and {b} rows of width {d}, the first {one[0, 0]:.4f}"
                yield Case(tried, arguments)

    return Exercise(
        id="features.agreement",
        chapter="06_autoencoders",
        title="more agreement than chance",
        difficulty=3,
        minutes=35,
        why="In few dimensions random directions are often near each other. Agreement is worth "
        "what it is above that.",
        task="""
            Two autoencoders of different seeds, or one and the truth: how many directions do they
            share? Pair the rows one to one, count pairs with a cosine above `mine.same`, and take
            away what random dictionaries of the same size reach.
            """,
        hint="""
            `linear_sum_assignment(cosines, maximize=True)` of SciPy returns the rows and the
            columns of the best pairs; with them as indices, `cosines[rows, columns]` are the
            pairs' cosines. It takes NumPy arrays.
            """,
        reference=agreement,
        cases=dictionaries,
        wrong=[
            Wrong(
                agreed(both=lambda share, nulls: share),
                "You did not take away what random dictionaries reach.",
            ),
            Wrong(
                nearest,
                "You let each row have its nearest. Pairs are one to one: no row stands for two.",
            ),
            Wrong(
                by_hand,
                "You paired the nearest first, then the nearest of the rest. The sum over all "
                "pairs is to be largest.",
            ),
            Wrong(
                agreed(pairs=lambda cosines: cosines[linear_sum_assignment(cosines)]),
                "Your pairs have the smallest sum of cosines: maximize=True.",
            ),
            Wrong(
                agreed(pairs=lambda cosines: paired(np.abs(cosines))),
                "You took absolute cosines. An opposite direction does not agree.",
            ),
            Wrong(
                agreed(make=lambda rows: rows),
                "You took products of the rows as they are. A cosine needs rows of norm 1.",
            ),
            Wrong(
                agreed(over=lambda cosines: cosines.shape[1]),
                "You divided by the rows of the larger dictionary. The share is of those of one.",
            ),
            Wrong(
                agreed(beside="other", over=len),
                "You compared the random dictionaries with other. They stand in its place.",
            ),
            Wrong(
                agreed(both=lambda share, nulls: share - max(nulls)),
                "You took away the best of the random dictionaries. Take away their mean.",
            ),
            Wrong(
                agreed(score=lambda found: found.sum()),
                "You averaged cosines. Count the pairs with a cosine above mine.same.",
            ),
            Wrong(
                agreed(both=lambda share, nulls: sum(nulls) / len(nulls) - share),
                "Your sign is reversed: the other dictionary's share comes first.",
            ),
        ],
        right=[
            """
            def agreement(one, other, nulls):
                from scipy.optimize import linear_sum_assignment
                def share(rows):
                    C = torch.nn.functional.cosine_similarity(one[:, None], rows[None], dim=2)
                    _, columns = linear_sum_assignment(-C.numpy())
                    return (C.gather(1, torch.tensor(columns)[:, None]) > mine.same).double().mean()
                null = torch.stack([share(rows) for rows in nulls])
                return share(other) - null.mean()
            """,
            """
            def agreement(one, other, nulls):
                from scipy.optimize import linear_sum_assignment
                shares = []
                for rows in [other, *nulls]:
                    unit = torch.nn.functional.normalize
                    cosines = unit(rows) @ unit(one).T  # the other way round
                    r, c = linear_sum_assignment(1 - cosines)
                    shares.append(sum(float(cosines[i, j]) > mine.same for i, j in zip(r, c)))
                return (shares[0] - np.mean(shares[1:])) / one.shape[0]
            """,
        ],
    )


AGREEMENT = Question(
    "agreement",
    8,
    agreement_exercise,
    """
    one = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    other = torch.tensor([[0.0, -1.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    answer = agreement(one, other, [-other])
    assert answer == 0, f"In both, one row of two has a partner that agrees: 0; got {answer}."
    answer = agreement(one, torch.eye(3, dtype=torch.float64), [other, -other])
    assert abs(answer - 0.5) < 1e-9, f"Both rows agree, one in each random one: 0.5; got {answer}."
    """,
)


# --- A verdict on a share of runs -----------------------------------------------------------------


def share_verdict_exercise(mine: Parameters) -> Exercise:
    def share_verdict(found, runs):
        """Judge the claim that more than mine.share of all runs find every planted feature.

        found: in how many runs every feature was found; runs: how many there were.
        The interval of the share is the exact one of Clopper and Pearson, two-sided. The claim has
        mine.arms arms, so its level is 1 - 0.05 / mine.arms.

        Returns (share, low, high, outcome): 1 if the whole interval lies above mine.share, so the
        claim holds; -1 if the whole interval lies below, so it fails; 0 if neither.
        """
        interval = stats.binomtest(found, runs).proportion_ci(1 - 0.05 / mine.arms, "exact")
        low, high = float(interval.low), float(interval.high)
        outcome = 1 if low > mine.share else -1 if high < mine.share else 0
        return found / runs, low, high, outcome

    level = 1 - 0.05 / mine.arms

    def counts(rng: np.random.Generator) -> Iterator[Case]:
        for near in (0.1, -0.1, 0.0, 1.0, -0.55):
            runs = int(rng.integers(60, 110))
            found = min(runs, max(0, round((mine.share + near) * runs)))
            if near in (0.1, -0.1):  # so close that the interval reaches over mine.share
                found = math.floor(mine.share * runs) + (2 if near > 0 else -1)
            yield Case(f"{found} of {runs} runs", (found, runs))

    def judged(method="exact", level=level, threshold=mine.share, outcome=None):
        """Make a wrong verdict from one thing that is otherwise."""

        def wrong(found, runs):
            share = found / runs
            if method == "normal":
                q = stats.norm.ppf((1 + level) / 2) * math.sqrt(share * (1 - share) / runs)
                low, high = share - q, share + q
            else:
                low, high = stats.binomtest(found, runs).proportion_ci(level, method)
            if outcome is not None:
                return share, float(low), float(high), outcome(share, low, high)
            side = 1 if low > threshold else -1 if high < threshold else 0
            return share, float(low), float(high), side

        return wrong

    def percent(found, runs):
        share, low, high, outcome = share_verdict(found, runs)
        return 100 * share, 100 * low, 100 * high, outcome

    one_sided = []
    if mine.arms != 2:  # with two arms this is the level 95%
        one_sided.append(
            Wrong(
                judged(level=1 - 0.1 / mine.arms),
                "You left the whole of what the level leaves to each side. Two sides share it.",
            )
        )
    return Exercise(
        id="features.share_verdict",
        chapter="05_superposition",
        title="a verdict on a share of runs",
        difficulty=3,
        minutes=25,
        why="A share of 100 runs is no share of all runs. Near 0 and 1 the usual ± is far too "
        "short.",
        task="""
            You claim that training finds all planted features in more than the share `mine.share`
            of runs. The claim has `mine.arms` arms, and all their intervals are to hold together.
            Return share, interval and outcome of one arm.
            """,
        hint="""
            `stats.binomtest(found, runs).proportion_ci(level, "exact")` has the ends `low` and
            `high`. It stays inside 0 and 1, and is no single point where all runs succeed.
            """,
        reference=share_verdict,
        cases=counts,
        wrong=[
            Wrong(
                judged(level=0.95),
                "Your interval has the level 95%. With mine.arms arms it is 1 − 0.05 / mine.arms.",
            ),
            Wrong(
                judged(method="normal"),
                "You used the normal distribution. Near 0 and 1 its interval is too short, and a "
                "single point at the end.",
            ),
            Wrong(
                judged(method="wilson"),
                "Your interval is that of Wilson. The question asks for the exact one.",
            ),
            Wrong(
                judged(threshold=0.5),
                "You compared the interval with a half. The claim is about mine.share.",
            ),
            Wrong(
                judged(outcome=lambda share, low, high: 1 if share > mine.share else -1),
                "Your outcome goes by the share alone. The whole interval has to be on one side.",
            ),
            Wrong(
                judged(outcome=lambda share, low, high: 1 if low > mine.share else -1),
                "What does not hold fails in your answer. An interval across mine.share decides "
                "nothing: 0.",
            ),
            Wrong(
                judged(outcome=lambda share, low, high: int(high > mine.share)),
                "You let the claim hold where only the upper end is above mine.share.",
            ),
            Wrong(percent, "You returned percent. Shares lie between 0 and 1."),
            *one_sided,
        ],
        right=[
            """
            def share_verdict(found, runs):
                tail = 0.05 / mine.arms / 2
                low = stats.beta.ppf(tail, found, runs - found + 1) if found else 0.0
                high = stats.beta.ppf(1 - tail, found + 1, runs - found) if found < runs else 1.0
                return [found / runs, low, high, int(low > mine.share) - int(high < mine.share)]
            """,
            """
            def share_verdict(found, runs):
                from course_lib import evidence
                i = evidence.share_interval(found, runs, evidence.level_of(mine.arms))
                if i.low > mine.share:
                    return i.estimate, i.low, i.high, 1
                return i.estimate, i.low, i.high, -1 if i.high < mine.share else 0
            """,
        ],
    )


SHARE_VERDICT = Question(
    "share_verdict",
    7,
    share_verdict_exercise,
    """
    every, few = share_verdict(300, 300), share_verdict(3, 40)
    assert len(every) == len(few) == 4, "Return share, low, high and outcome."
    assert every[0] == 1.0, "300 of 300 is the share 1."
    assert 0.97 < every[1] < 1, "The lower end is below 1: another run may fail."
    assert abs(few[0] - 0.075) < 1e-9, f"3 of 40 is the share 0.075; got {few[0]}."
    assert every[3] == 1, "The whole interval is above mine.share, so the claim holds."
    assert few[3] == -1, "The whole interval is below mine.share, so the claim fails."
    """,
)

QUESTIONS = (
    RIVALS,
    POLYGON_ERROR,
    MOST_FEATURES,
    DEAD_COUNTS,
    AUX_LOSS,
    THETA_GRADIENT,
    CAUSES,
    AGREEMENT,
    SHARE_VERDICT,
)
