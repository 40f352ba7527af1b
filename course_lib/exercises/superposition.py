"""The exercises of chapter 05: a toy model's loss, dimensionality, projected weights, phases."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course_lib.exercises.comparing import Case, Wrong
from course_lib.exercises.exercise import Exercise

# --- The loss of a toy model ----------------------------------------------------------------------


def toy_loss(W, b, x, importance):
    """Return the loss of the toy model x̂ = ReLU(Wᵀ W x + b).

    All are float64.

    W: (m, n). Column i is the direction of feature i.
    b: (n,).
    x: (B, n), one input in each row.
    importance: I, (n,).

    Returns a number: the mean over inputs of Σ_i I_i (x_i − x̂_i)².
    """
    x_hat = (x @ W.T @ W + b).relu()
    return float((importance * (x - x_hat) ** 2).sum(1).mean())


def _models(rng: np.random.Generator) -> Iterator[Case]:
    for m, n, rows in ((2, 5, 7), (3, 7, 12), (4, 3, 9)):
        W, b = rng.normal(size=(m, n)) * 0.7, rng.normal(size=n) * 0.3
        x, importance = rng.uniform(0.2, 1.0, (rows, n)), rng.permuted(np.linspace(0.3, 1.4, n))
        yield Case(
            f"{n} features in {m} dimensions, {rows} inputs, b_1 = {b[0]:.4f}",
            # In float64, so that a sum in another order is the same up to the tolerance.
            tuple(map(torch.from_numpy, (W, b, x, importance))),
        )


def _loss_with(reconstruct):
    def wrong(W, b, x, importance):
        return float((importance * (x - reconstruct(W, b, x)) ** 2).sum(1).mean())

    return wrong


def _loss_of(reduce):
    """Make a wrong loss from right reconstructions: `reduce(error, importance)`."""

    def wrong(W, b, x, importance):
        loss = reduce(x - (x @ W.T @ W + b).relu(), importance)
        return loss.item() if loss.ndim == 0 else loss

    return wrong


TOY_LOSS = Exercise(
    id="superposition.toy_loss",
    chapter="05_superposition",
    title="the loss of a toy model",
    difficulty=1,
    minutes=8,
    why="All of this chapter follows from making this one number small.",
    task="""
        Send inputs through the toy model and back, and return its loss. The inputs stand in rows,
        as in all of PyTorch; the equation has them as columns.
        """,
    hint="""
        With inputs in rows, W x becomes `x @ W.T`, of shape (B, m), and Wᵀ of that becomes
        `... @ W`. The squared errors have the shape (B, n). Weigh them, add up each row, and take
        the mean of the rows.
        """,
    reference=toy_loss,
    cases=_models,
    wrong=[
        Wrong(
            _loss_with(lambda W, b, x: x @ W.T @ W + b),
            "You left out the ReLU at the output: this is the linear model, which can do no "
            "better than PCA.",
        ),
        Wrong(
            _loss_with(lambda W, b, x: (x @ W.T).relu() @ W + b),
            "You put the ReLU on the hidden layer. In this model the bottleneck is linear, and "
            "the ReLU is at the output.",
        ),
        Wrong(
            _loss_with(lambda W, b, x: ((x @ W.T).relu() @ W + b).relu()),
            "You put a ReLU on the hidden layer too. In this model the bottleneck is linear.",
        ),
        Wrong(
            _loss_with(lambda W, b, x: (x @ W.T @ W).relu() + b),
            "You added the bias after the ReLU. It comes before, so that it can hold small "
            "interference below zero.",
        ),
        Wrong(
            _loss_with(lambda W, b, x: (x @ W.T @ W).relu()),
            "You left out the bias b.",
        ),
        Wrong(
            _loss_of(lambda error, importance: (error**2).sum(1).mean()),
            "You left out the importance: all features count alike.",
        ),
        Wrong(
            _loss_of(lambda error, importance: ((importance * error) ** 2).sum(1).mean()),
            "You squared the importance too. It weighs the squared error: I (x − x̂)².",
        ),
        Wrong(
            _loss_of(lambda error, importance: (importance * error**2).mean()),
            "You took the mean over the features too. The loss is a sum over features and a mean "
            "over inputs.",
        ),
        Wrong(
            _loss_of(lambda error, importance: (importance * error**2).sum()),
            "You added up the inputs. The loss is their mean.",
        ),
        Wrong(
            _loss_of(
                lambda error, importance: (importance * error**2).sum(1).mean() / importance.sum()
            ),
            "You divided by the sum of the importances. The loss is not a weighted mean, but a "
            "weighted sum.",
        ),
        Wrong(
            _loss_of(lambda error, importance: (importance * error.abs()).sum(1).mean()),
            "You took the absolute errors. The loss is of their squares.",
        ),
        Wrong(
            _loss_of(lambda error, importance: (importance * error**2).sum(1)),
            "You returned the loss of each input. The question asks for their mean, one number.",
        ),
    ],
)


# --- The dimensionality of a feature --------------------------------------------------------------


def dimensionality(W):
    """Say what share of a dimension each feature has.

    W: (m, n), float. Column i is the direction W_i of feature i; none is zero.

    Returns a tensor of shape (n,): D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², with Ŵ_i = W_i / ‖W_i‖. The
    sum runs over all features j, i included.
    """
    norms = W.norm(dim=0)
    seen = (W.T @ W / norms[:, None]) ** 2  # row i: what stands in direction i
    return norms**2 / seen.sum(1)


def _directions(rng: np.random.Generator) -> Iterator[Case]:
    for m, n in ((2, 5), (4, 3), (3, 11)):
        W = _normal(rng, (m, n))
        yield Case(
            f"{n} features in {m} dimensions, the first entry {W[0, 0]:.4f}",
            (W * torch.from_numpy(rng.permuted(np.linspace(0.5, 1.5, n))).float(),),
        )


def _shares(seen, norms=lambda W: W.norm(dim=0) ** 2):
    """Make a wrong answer: the squared norms over sums of what is seen, n × n."""
    return lambda W: norms(W) / seen(W).sum(1)


def _unit(W, dim=0):
    return W / W.norm(dim=dim, keepdim=True)


DIMENSIONALITY = Exercise(
    id="superposition.dimensionality",
    chapter="05_superposition",
    title="a feature's share of a dimension",
    difficulty=2,
    minutes=10,
    why="One number for each feature tells a line from a triangle from a pentagon.",
    task="""
        A feature alone in its direction has a whole dimension; each of an antipodal pair has half
        of one. Write the dimensionality D of every feature of a toy model.
        """,
    hint="""
        `W.T @ W` holds the product of every pair, W_i · W_j in row i. Dividing *row* i by ‖W_i‖
        makes the first of the two a unit vector. `norms[:, None]` is a column, so it divides rows.
        """,
    reference=dimensionality,
    cases=_directions,
    wrong=[
        Wrong(
            _shares(lambda W: (_unit(W).T @ W) ** 2 * (1 - torch.eye(W.shape[1]))),
            "You left out j = i. The sum runs over all features, the feature itself included: "
            "alone in its direction, it has 1.",
        ),
        Wrong(
            _shares(lambda W: (W.T @ W) ** 2),
            "You did not divide by the norm: Ŵ_i is a unit vector, W_i is not.",
        ),
        Wrong(
            _shares(lambda W: (_unit(W).T @ _unit(W)) ** 2),
            "You made both vectors unit vectors. Only Ŵ_i is one; W_j keeps its length, because a "
            "feature that is hardly stored hardly disturbs.",
        ),
        Wrong(
            _shares(lambda W: (_unit(W).T @ W).T ** 2),
            "You divided by ‖W_j‖, the norm of the other feature. Row i is divided by ‖W_i‖.",
        ),
        Wrong(
            _shares(lambda W: _unit(W).T @ W),
            "You left out the square in the sum, so products of opposite signs cancel.",
        ),
        Wrong(
            _shares(lambda W: (_unit(W).T @ W).abs()),
            "You added up absolute values. The sum is of squares.",
        ),
        Wrong(
            _shares(lambda W: (_unit(W).T @ W) ** 2, lambda W: W.norm(dim=0)),
            "You took ‖W_i‖ above the line. There stands its square.",
        ),
        Wrong(
            lambda W: 1 / _shares(lambda W: (_unit(W).T @ W) ** 2)(W),
            "Your fraction is upside down: a share is at most 1.",
        ),
        Wrong(
            lambda W: dimensionality(W).sum(),
            "You added up the features. The question asks for the share of each.",
        ),
        Wrong(
            lambda W: dimensionality(W.T),
            "You took the rows of W for the features. Feature i is column i; the rows are the "
            "dimensions.",
        ),
    ],
)


# --- Weights projected to the largest -------------------------------------------------------------


def keep_largest(W, nonzeros, least):
    """Keep the largest weights of a matrix, and at least some of each neuron.

    W: (m, n), float; each row holds the weights of one neuron. No two have the same magnitude.
    nonzeros: how many weights stay in all, at least m * least.
    least: how many of each row stay at least; may be 0.

    The `least` largest of each row stay. The others that stay are the largest of what is left,
    compared over all rows. Size is the absolute value.

    Returns a new tensor (m, n): W where a weight stays, 0 elsewhere.
    """
    scores = W.abs()
    first = scores.topk(least).indices  # of each row
    scores = scores.scatter(1, first, torch.inf)  # ahead of all others
    kept = scores.flatten().topk(nonzeros).indices
    mask = torch.zeros(W.numel()).scatter(0, kept, 1.0)
    return W * mask.view(W.shape)


def _matrices(rng: np.random.Generator) -> Iterator[Case]:
    for m, n, least in ((4, 9, 2), (6, 11, 1), (7, 5, 3), (5, 8, 0)):
        # A neuron that is weak in all of its weights would be cut off without a least number. A
        # weak column tells who counts along the wrong side.
        rows, columns = (
            rng.permuted([0.02] * 2 + [1.0] * (m - 2)),
            rng.permuted([0.1] + [1.0] * (n - 1)),
        )
        W = _normal(rng, (m, n)) * torch.from_numpy(np.outer(rows, columns)).float()
        nonzeros = m * (least + 1) + int(rng.integers(1, 4))
        yield Case(
            f"{m} neurons of {n} weights, {nonzeros} stay, at least {least} of each neuron; the "
            f"first weight is {W[0, 0]:.4f}",
            (W, nonzeros, least),
        )


def _top(scores: Tensor, count: int) -> Tensor:
    """True at the `count` largest scores."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[scores.flatten().topk(count).indices] = True
    return mask.view(scores.shape)


def _top_of_rows(scores: Tensor, count: int) -> Tensor:
    return torch.stack([_top(row, count) for row in scores])


def _on_top(W, nonzeros, least):
    rest = W.abs() * ~_top_of_rows(W.abs(), least)
    count = min(nonzeros, W.numel() - least * len(W))
    return W * (_top_of_rows(W.abs(), least) | _top(rest, count))


def _both(W, nonzeros, least):
    return W * (_top(W.abs(), nonzeros) | _top_of_rows(W.abs(), least))


def _by_signed_size(W, nonzeros, least):
    scores = W.masked_fill(_top_of_rows(W, least), torch.inf)
    return W * _top(scores, nonzeros)


def _smallest(W, nonzeros, least):
    scores = (1 / W.abs()).masked_fill(_top_of_rows(1 / W.abs(), least), torch.inf)
    return W * _top(scores, nonzeros)


def _alike(W, nonzeros, least):
    return W * _top_of_rows(W.abs(), nonzeros // len(W))


KEEP_LARGEST = Exercise(
    id="superposition.keep_largest",
    chapter="05_superposition",
    title="project weights to the largest, and cut no neuron off",
    difficulty=3,
    minutes=15,
    why="A network stays sparse in training if its weights are projected like this after each "
    "step. A neuron without weights could never come back.",
    task="""
        Keep so many weights of a matrix and put zero for the others. The largest stay, but each
        row keeps a least number, however small its weights are.
        """,
    hint="""
        `topk` of a matrix finds the places of the largest of each row. Give those a score of ∞,
        and the largest of all scores will hold them. `scatter(1, places, torch.inf)` returns a new
        tensor; with `scatter_` you would change the one you have.
        """,
    reference=keep_largest,
    cases=_matrices,
    wrong=[
        Wrong(
            lambda W, nonzeros, least: W * _top(W.abs(), nonzeros),
            "You left out the least number of each row: a neuron of small weights has lost more "
            "than it may.",
        ),
        Wrong(
            _both,
            "You took the largest weights of all and added what rows lack. So more stay than "
            "`nonzeros`. Begin with the rows.",
        ),
        Wrong(
            _on_top,
            "You kept `nonzeros` weights besides those that each row keeps. They count too.",
        ),
        Wrong(
            _by_signed_size,
            "You ranked the weights with their sign. Size is the absolute value.",
        ),
        Wrong(
            _smallest,
            "You kept the smallest weights.",
        ),
        Wrong(
            lambda W, nonzeros, least: (
                keep_largest(W.T, nonzeros, min(least, nonzeros // len(W.T))).T
            ),
            "You gave each column its least number. A neuron is a row.",
        ),
        Wrong(
            _alike,
            "You gave each row the same number of weights. Beyond the least number, weights of all "
            "rows compete.",
        ),
        Wrong(
            lambda W, nonzeros, least: W * _top_of_rows(W.abs(), least),
            "You kept the least number of each row and no more.",
        ),
        Wrong(
            lambda W, nonzeros, least: keep_largest(W, nonzeros, least).abs(),
            "You returned absolute values. What stays is the weight, with its sign.",
        ),
        Wrong(
            lambda W, nonzeros, least: (keep_largest(W, nonzeros, least) != 0).float(),
            "You returned the mask. The question asks for the weights, with 0 for those that go.",
        ),
        Wrong(
            lambda W, nonzeros, least: keep_largest(W, W.numel() - nonzeros, least),
            "You took `nonzeros` for the number of weights that go. It is the number that stay.",
        ),
    ],
)


# --- Three ways to put two features into one dimension --------------------------------------------


def phase_losses(p_zero, importance):
    """Return the losses of three ways to put two features into one dimension.

    p_zero: the probability that a feature is absent, in (0, 1); the two are independent. If
        present, it is uniform in [0, 1].
    importance: I of feature 2, above 0. That of feature 1 is 1.

    The model is x̂ = ReLU(Wᵀ W x + b) with n = 2, m = 1, and its expected loss is
    E[(x_1 − x̂_1)² + I (x_2 − x̂_2)²].

    Returns three numbers:
    feature 1 alone: W = (1, 0), b = (0, E[x_2]);
    feature 2 alone: W = (0, 1), b = (E[x_1], 0);
    both in superposition: W = (1, −1), b = (0, 0).
    """
    s = 1 - p_zero
    lost = s / 3 - s**2 / 4  # the variance of a feature
    return importance * lost, lost, (1 + importance) * s**2 / 6


def _worlds(rng: np.random.Generator) -> Iterator[Case]:
    for p_low, p_high, i_low, i_high in (
        (0.1, 0.4, 0.4, 0.8),
        (0.5, 0.7, 1.2, 2.0),
        (0.8, 0.9, 0.2, 0.6),
    ):
        p_zero, importance = float(rng.uniform(p_low, p_high)), float(rng.uniform(i_low, i_high))
        yield Case(
            f"p_zero = {p_zero:.4f}, importance {importance:.4f}",
            (p_zero, importance),
        )


def _losses(
    lost=lambda s: s / 3 - s**2 / 4, both=lambda s, importance: (1 + importance) * s**2 / 6
):
    def wrong(p_zero, importance):
        s = 1 - p_zero
        return importance * lost(s), lost(s), both(s, importance)

    return wrong


PHASE_LOSSES = Exercise(
    id="superposition.phase_losses",
    chapter="05_superposition",
    title="predict which features are stored",
    difficulty=4,
    minutes=25,
    why="The least of these three numbers draws the phase diagram without training a model.",
    task="""
        Two features share one dimension. A model can give it to the first, to the second, or to
        both, one in each direction. Work out by hand what each of the three costs on average.
        """,
    hint="""
        A feature that is not stored is guessed by its mean, so it costs its variance:
        E[x²] − E[x]². With probability s = 1 − p_zero it is uniform, and ∫ t² dt = 1/3.

        In superposition, one feature alone comes back as it was. Only where both are present,
        which has the probability s², do they collide. Say x_1 is the larger. Then
        x̂ = (x_1 − x_2, 0), and both errors are x_2, the smaller of the two. Of two uniform
        numbers, the square of the smaller one is 1/6 on average.
        """,
    reference=phase_losses,
    cases=_worlds,
    wrong=[
        Wrong(
            _losses(lost=lambda s: s / 3),
            "You took E[x²] for what an absent feature costs. The bias guesses its mean, which "
            "saves E[x]²: what is lost is the variance.",
        ),
        Wrong(
            _losses(lost=lambda s: s / 12),
            "You took s times the variance of a uniform number, 1/12. That a feature is absent at "
            "times makes it vary too: E[x²] − E[x]² with the zeros counted in, and E[x]² = s²/4.",
        ),
        Wrong(
            _losses(lost=lambda s: s / 3 - s**2 / 2),
            "The mean is s/2, so its square is s²/4.",
        ),
        Wrong(
            _losses(both=lambda s, importance: (1 + importance) * s**2 / 3),
            "Where both are present you took the square of either feature, 1/3 on average. The "
            "error is the *smaller* of the two: 1/6.",
        ),
        Wrong(
            _losses(both=lambda s, importance: (1 + importance) * s / 6),
            "Both are present with the probability s², not s.",
        ),
        Wrong(
            _losses(both=lambda s, importance: (1 + importance) / 6),
            "You took it that both are always present. That has the probability s².",
        ),
        Wrong(
            _losses(both=lambda s, importance: s**2 / 6 * 2),
            "You left the importance out of the third loss: of the two errors, that of feature 2 "
            "is weighed by I.",
        ),
        Wrong(
            _losses(both=lambda s, importance: s**2 / 6),
            "You counted one error where both are present. Both features come back wrong.",
        ),
        Wrong(
            _losses(both=lambda s, importance: importance * s**2 / 6),
            "You counted the error of feature 2 alone where both are present. Feature 1 comes back "
            "wrong too.",
        ),
        Wrong(
            lambda p_zero, importance: (
                (first := phase_losses(p_zero, importance))[1],
                first[0],
                first[2],
            ),
            "Your first two losses are exchanged: storing feature 1 costs what feature 2 loses.",
        ),
        Wrong(
            lambda p_zero, importance: phase_losses(1 - p_zero, importance),
            "You took p_zero for the probability that a feature is present. It is that of zero.",
        ),
        Wrong(
            lambda p_zero, importance: (
                (first := phase_losses(p_zero, importance))[1],
                first[1],
                first[2],
            ),
            "You left the importance out of the first loss: what is lost there is feature 2, "
            "weighed by I.",
        ),
    ],
)


EXERCISES = (TOY_LOSS, DIMENSIONALITY, KEEP_LARGEST, PHASE_LOSSES)


# --- Private --------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()
