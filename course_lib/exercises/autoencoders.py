"""The exercises of chapter 06: activations, measures, steps, and a training that reaches its L0."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from course_lib.exercises.comparing import Case, Wrong, describe, difference
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.report import Report
from course_lib.exercises.runner import Fault

# --- The TopK activation --------------------------------------------------------------------------


def top_k(pre, k):
    """Keep the k largest pre-activations of each input.

    pre: (n, d_sae), float. In a row, no two are equal.
    k: a whole number, at most d_sae.

    Returns a tensor (n, d_sae): the k largest of each row, through a
    ReLU, and 0 elsewhere.
    """
    values, indices = pre.topk(k, dim=1)  # (n, k)
    return torch.zeros_like(pre).scatter(1, indices, values.relu())


def _pre_activations(rng: np.random.Generator) -> Iterator[Case]:
    for n, d_sae, k, centre in ((4, 9, 3, 0.3), (11, 6, 2, 0.0), (3, 8, 5, -0.8), (5, 7, 6, -0.4)):
        pre = _normal(rng, (n, d_sae)) + centre
        # One input is below zero nearly everywhere, one above, so that a batch is not a row.
        pre = pre + _float(rng.permuted([-1.5] + [1.5] + [0.0] * (n - 2)))[:, None]
        yield Case(
            f"{n} inputs, {d_sae} latents, k = {k}, the first pre-activation is {pre[0, 0]:.4f}",
            (pre, k),
        )


def _kept(scores: Tensor, k: int) -> Tensor:
    """1 at the k largest scores of each row, else 0."""
    return torch.zeros_like(scores).scatter(1, scores.topk(k).indices, 1.0)


def _over_the_batch(pre, k):
    flat = pre.flatten()
    kept = torch.zeros_like(flat).scatter(0, flat.topk(k * len(pre)).indices, 1.0)
    return (flat * kept).relu().view(pre.shape)


TOP_K = Exercise(
    id="autoencoders.top_k",
    chapter="06_autoencoders",
    title="write the TopK activation",
    difficulty=1,
    minutes=5,
    why="With TopK you choose L0 and need no penalty, so nothing shrinks.",
    task="""
        Write the activation of a TopK autoencoder. What is kept passes a ReLU too, so no latent is
        negative, and an input with fewer than k positive pre-activations has fewer than k latents.
        """,
    hint="""
        `pre.topk(k, dim=1)` returns the k largest values of each row and their places. Start with
        zeros and put the values there: `zeros.scatter(1, places, values)`.
        """,
    reference=top_k,
    cases=_pre_activations,
    wrong=[
        Wrong(
            lambda pre, k: pre * _kept(pre, k),
            "You left out the ReLU: where fewer than k pre-activations are positive, negative ones "
            "are kept.",
        ),
        Wrong(
            lambda pre, k: pre.relu(),
            "This is ReLU alone. At most k latents of an input may be active.",
        ),
        Wrong(
            lambda pre, k: pre * _kept(pre.abs(), k),
            "You ranked absolute values, and kept negative ones.",
        ),
        Wrong(
            lambda pre, k: (pre * _kept(pre.abs(), k)).relu(),
            "You ranked absolute values, so a strongly negative latent takes the place of a "
            "positive one.",
        ),
        Wrong(
            _over_the_batch,
            "You kept the largest of the whole batch. That is BatchTopK; here each input keeps k.",
        ),
        Wrong(
            lambda pre, k: top_k(pre.T, min(k, len(pre))).T,
            "You kept the k largest of each latent, over the inputs. Each *input*, a row, keeps k.",
        ),
        Wrong(
            lambda pre, k: (pre * _kept(-pre, k)).relu(),
            "You kept the k smallest.",
        ),
        Wrong(
            lambda pre, k: (pre * (pre > pre.topk(k).values[:, -1:])).relu(),
            "One latent too few stays: the smallest of the k largest is kept too, so ≥ and not >.",
        ),
        Wrong(
            lambda pre, k: pre.topk(k).values.relu(),
            "You returned the k values alone. Their places say which latents they are: return all "
            "d_sae, with zeros.",
        ),
        Wrong(
            lambda pre, k: _kept(pre, k),
            "You returned where latents are kept. The question asks for their values there.",
        ),
        Wrong(
            lambda pre, k: (pre.relu() - pre.relu().topk(k).values[:, -1:]).relu(),
            "You took the smallest kept value off the others. TopK leaves values as they are; that "
            "is why it does not shrink.",
        ),
    ],
)


# --- Fraction of variance unexplained -------------------------------------------------------------


def fvu(x, x_hat):
    """Return the share of variance that a reconstruction misses.

    x: (n, d), float64, activations. Each dimension has a mean of its own.
    x_hat: (n, d), float64, the reconstructions.

    Returns a number: Σ ‖x − x̂‖² / Σ ‖x − x̄‖², both sums over the n inputs,
    where x̄ is the mean of each dimension.
    """
    return float(((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


def _reconstructions(rng: np.random.Generator) -> Iterator[Case]:
    for n, d, bias in ((30, 4, 0.0), (7, 12, 0.4), (50, 3, 3.0)):
        means, sizes = rng.normal(2, 2, d), rng.uniform(0.3, 2.0, d)
        x = means + sizes * rng.normal(size=(n, d))
        x_hat = means + 0.8 * (x - means) + bias + 0.3 * rng.normal(size=(n, d))
        yield Case(
            f"{n} inputs of width {d}, of which the first is {x[0, 0]:.4f} and comes back as "
            f"{x_hat[0, 0]:.4f}",
            (torch.from_numpy(x), torch.from_numpy(x_hat)),
        )


def _fraction(error, of):
    return lambda x, x_hat: float(error(x, x_hat) / of(x, x_hat))


def _error(x, x_hat):
    return ((x - x_hat) ** 2).sum()


def _about(mean):
    return _fraction(_error, lambda x, x_hat: ((x - mean(x, x_hat)) ** 2).sum())


FVU = Exercise(
    id="autoencoders.fvu",
    chapter="06_autoencoders",
    title="the variance unexplained",
    difficulty=2,
    minutes=8,
    why="Two popular ways to write this number call a reconstruction perfect that is off by 5 "
    "everywhere, or good that is only the mean.",
    task="""
        How much of the activations does a reconstruction miss? 0 is perfect; 1 is no better than
        always answering with the mean.
        """,
    hint="""
        `x.mean(0)` has the shape (d,): one mean for each dimension. Subtract it from `x`, and
        square and add up everything. The error has no mean to take off: a constant error is one.
        """,
    reference=fvu,
    cases=_reconstructions,
    wrong=[
        Wrong(
            _fraction(lambda x, x_hat: (x - x_hat).var(0).sum(), lambda x, x_hat: x.var(0).sum()),
            "You took the variance of x − x̂. A variance does not see a constant: x̂ = x + 5 would "
            "be perfect.",
        ),
        Wrong(
            _fraction(lambda x, x_hat: (x - x_hat).var(), lambda x, x_hat: x.var()),
            "You took variances over all entries at once: that of x − x̂ hides a constant error, "
            "and that of x counts that dimensions have other means.",
        ),
        Wrong(
            _about(lambda x, x_hat: x.mean()),
            "You took one mean over all dimensions. Then it counts as variance that dimensions "
            "have different means, and a reconstruction by the means alone looks good.",
        ),
        Wrong(
            _about(lambda x, x_hat: 0.0),
            "You left out the mean: Σ ‖x‖² is not a variance.",
        ),
        Wrong(
            _about(lambda x, x_hat: x.mean(1, keepdim=True)),
            "You took the mean of each input over its dimensions. It is the mean of each dimension "
            "over the inputs.",
        ),
        Wrong(
            _about(lambda x, x_hat: x_hat.mean(0)),
            "You took the mean of the reconstruction. The variance is that of x.",
        ),
        Wrong(
            lambda x, x_hat: 1 - fvu(x, x_hat),
            "You returned the variance explained. The question asks for what is unexplained.",
        ),
        Wrong(
            lambda x, x_hat: float(
                (((x - x_hat) ** 2).sum(0) / ((x - x.mean(0)) ** 2).sum(0)).mean()
            ),
            "You took the mean of each dimension's fraction. One fraction of two sums is asked "
            "for: dimensions of large variance count for more.",
        ),
        Wrong(
            _fraction(_error, lambda x, x_hat: ((x_hat - x_hat.mean(0)) ** 2).sum()),
            "You divided by the variance of the reconstruction. It is that of x.",
        ),
        Wrong(
            lambda x, x_hat: float(((x - x_hat) ** 2).mean()),
            "You returned the mean squared error. It depends on the units; divide by the variance.",
        ),
        Wrong(
            lambda x, x_hat: 1 / fvu(x, x_hat),
            "Your fraction is upside down.",
        ),
        Wrong(
            lambda x, x_hat: fvu(x, x_hat) ** 0.5,
            "You returned a ratio of norms. The question asks for squares.",
        ),
        Wrong(
            _fraction(_error, lambda x, x_hat: x.var(0).sum()),
            "You divided a sum over inputs by a variance, which is a mean over inputs.",
        ),
    ],
)


# --- A step of the decoder ------------------------------------------------------------------------


def update_decoder(W_dec, gradient, learning_rate):
    """Take a gradient step with a decoder whose rows have norm 1.

    W_dec: (d_sae, d_in), float. Row i is latent i's direction, of norm 1.
    gradient: (d_sae, d_in), of the loss.
    learning_rate: above 0.

    From each row of the gradient, its part parallel to that row of W_dec
    is taken off. Then comes the step, and then each row is divided by its
    norm.

    Returns the new W_dec, (d_sae, d_in).
    """
    along = (gradient * W_dec).sum(1, keepdim=True)  # (d_sae, 1)
    W_dec = W_dec - learning_rate * (gradient - along * W_dec)
    return W_dec / W_dec.norm(dim=1, keepdim=True)


def _decoders(rng: np.random.Generator) -> Iterator[Case]:
    for d_sae, d_in in ((7, 4), (3, 5), (12, 6)):
        W = rng.normal(size=(d_sae, d_in))
        W /= np.linalg.norm(W, axis=1, keepdims=True)
        rate = float(rng.uniform(0.2, 0.6))
        yield Case(
            f"{d_sae} latents, inputs of width {d_in}, learning rate {rate:.4f}",
            (_float(W), _normal(rng, (d_sae, d_in)), rate),
        )


def _decoder_step(remove=lambda W, g: g - (g * W).sum(1, keepdim=True) * W, norm=None, sign=-1):
    def wrong(W_dec, gradient, learning_rate):
        W = W_dec + sign * learning_rate * remove(W_dec, gradient)
        return W / (norm(W) if norm else W.norm(dim=1, keepdim=True))

    return wrong


UPDATE_DECODER = Exercise(
    id="autoencoders.update_decoder",
    chapter="06_autoencoders",
    title="decoder rows of norm 1",
    difficulty=3,
    minutes=12,
    why="With free norms, a penalty on latents is escaped by longer rows. Normalised at the wrong "
    "moment, rows are off after every step.",
    task="""
        Take one step of plain gradient descent with the decoder of a sparse autoencoder, so that
        its rows have norm 1 again afterwards. The part of the gradient along a row would only
        change the row's norm, so it goes first.
        """,
    hint="""
        The part of a vector g along a unit vector w is (g · w) w. For all rows at once, g · w is
        `(gradient * W_dec).sum(1, keepdim=True)`, a column of d_sae numbers.
        """,
    reference=update_decoder,
    cases=_decoders,
    wrong=[
        Wrong(
            _decoder_step(remove=lambda W, g: g),
            "You did not take off the gradient's part along each row. Dividing by the norm "
            "afterwards is not the same: that part has then changed the length of the step.",
        ),
        Wrong(
            _decoder_step(norm=lambda W: 1.0),
            "The rows do not have norm 1 afterwards. A step at a right angle makes them longer, so "
            "divide after it.",
        ),
        Wrong(
            _decoder_step(remove=lambda W, g: g, norm=lambda W: 1.0),
            "This is plain gradient descent. Take off the part along each row before the step, and "
            "divide by the norms after it.",
        ),
        Wrong(
            _decoder_step(remove=lambda W, g: (g * W).sum(1, keepdim=True) * W),
            "You kept the part along each row and took off the rest.",
        ),
        Wrong(
            _decoder_step(remove=lambda W, g: g - (g * W).sum(1, keepdim=True)),
            "You subtracted the number g · w. The part along the row is a vector: (g · w) w.",
        ),
        Wrong(
            _decoder_step(remove=lambda W, g: g - (g * W).sum(0) * W),
            "You added up over the latents. The product of a row with its gradient is a sum over "
            "d_in.",
        ),
        Wrong(
            _decoder_step(remove=lambda W, g: g - (g * W).sum() * W),
            "You added up all entries. Each row has a product of its own.",
        ),
        Wrong(
            _decoder_step(norm=lambda W: W.norm(dim=0)),
            "You divided columns. A latent's direction is a row of W_dec.",
        ),
        Wrong(
            _decoder_step(norm=lambda W: W.norm()),
            "You divided by the norm of the whole matrix. Each row has norm 1.",
        ),
        Wrong(
            _decoder_step(norm=lambda W: W.norm(dim=1, keepdim=True).clamp_min(1) ** 2),
            "You divided by the squared norm.",
        ),
        Wrong(
            _decoder_step(sign=1),
            "You went up the gradient. Descent subtracts it.",
        ),
        Wrong(
            _decoder_step(remove=lambda W, g: g + (g * W).sum(1, keepdim=True) * W),
            "You added the part along each row where it should be subtracted.",
        ),
    ],
)


# --- BatchTopK, one input at a time ---------------------------------------------------------------


def batch_top_k_latents(train, pre, k):
    """Return the latents that BatchTopK gives to inputs, each on its own.

    train: (n, d_sae), float, pre-activations of n training inputs; no two
        are equal.
    pre: (B, d_sae), pre-activations of new inputs.
    k: how many latents an input has on average, less than d_sae.

    In training, the k · n largest positive pre-activations of a batch are
    kept, or all positive ones if there are fewer. The threshold is the
    smallest that is kept of `train`.

    Returns a tensor (B, d_sae): `pre` where it is at least the threshold,
    0 elsewhere.
    """
    kept = train.flatten().topk(k * len(train)).values
    threshold = kept[kept > 0].min()
    return pre * (pre >= threshold)


def _batches(rng: np.random.Generator) -> Iterator[Case]:
    for n, d_sae, k, size, centre in (
        (13, 9, 2, 5, 0.2),
        (8, 11, 3, 4, 0.0),
        (10, 7, 3, 6, -1.2),  # fewer than k · n are positive
    ):
        train = _normal(rng, (n, d_sae)) + centre
        pre = _normal(rng, (size, d_sae)) + centre + _float(np.linspace(0.6, -0.2, size))[:, None]
        reached = train.flatten().sort(descending=True).values[: k * n]
        # Some just reach the threshold, some lie between it and other values that one could take.
        pre[1, 2] = pre[3, 0] = reached[reached > 0][-1]
        pre[2, 1], pre[0, 3] = train.max() + 0.5, reached[reached > 0][-1] / 2
        pre[0, 4] = reached[-1] + 0.001
        yield Case(
            f"{n} training inputs, {size} new ones, {d_sae} latents, k = {k}; the first "
            f"pre-activation is {train[0, 0]:.4f}",
            (train, pre, k),
        )


def _threshold(train: Tensor, k: int) -> Tensor:
    kept = train.flatten().topk(k * len(train)).values
    return kept[kept > 0].min()


def _cut_at(threshold):
    def wrong(train, pre, k):
        return pre * (pre >= threshold(train, pre, k))

    return wrong


BATCH_TOP_K_LATENTS = Exercise(
    id="autoencoders.batch_top_k_latents",
    chapter="06_autoencoders",
    title="BatchTopK without a batch",
    difficulty=3,
    minutes=12,
    why="Without a threshold, what an input means would depend on which inputs are looked at "
    "beside it.",
    task="""
        In training, BatchTopK lets the inputs of a batch compete for k · n places. After training
        each input is on its own. Find the threshold in a batch of training inputs, and use it for
        new ones.
        """,
    hint="""
        `train.flatten().topk(k * len(train)).values` are the values that are kept, largest first,
        but some may be negative: leave these out. Comparing `pre` with the threshold makes a mask.
        """,
    reference=batch_top_k_latents,
    cases=_batches,
    wrong=[
        Wrong(
            _cut_at(lambda train, pre, k: train.flatten().topk(k * len(train)).values.min().relu()),
            "Where fewer than k · n are positive, your threshold is 0. It is the smallest value "
            "that was kept in training.",
        ),
        Wrong(
            lambda train, pre, k: _over_the_batch(pre, k),
            "You let the new inputs compete with each other, or took the threshold from them. The "
            "same input would have other latents in another batch; the training inputs give the "
            "threshold.",
        ),
        Wrong(
            lambda train, pre, k: top_k(pre, k),
            "You kept k latents of each input. That is TopK; here an input may have more than "
            "another.",
        ),
        Wrong(
            lambda train, pre, k: pre * (pre > _threshold(train, k)),
            "What just reaches the threshold is kept too: at least means ≥.",
        ),
        Wrong(
            _cut_at(lambda train, pre, k: train.flatten().topk(k * len(train)).values.min()),
            "Your threshold can be negative. Only positive pre-activations are kept in training, "
            "so it is the smallest *positive* one of those.",
        ),
        Wrong(
            _cut_at(lambda train, pre, k: train.topk(k).values[:, -1].mean()),
            "You took the mean of the k-th largest of each training input. The inputs of a batch "
            "compete: look for the (k · n)-th largest of all.",
        ),
        Wrong(
            _cut_at(lambda train, pre, k: train.flatten().topk(k).values.min()),
            "You kept k pre-activations of the whole batch. It keeps k for each input: k · n.",
        ),
        Wrong(
            lambda train, pre, k: (pre - _threshold(train, k)).relu(),
            "You took the threshold off what is kept. It only decides; the values stay as they "
            "are.",
        ),
        Wrong(
            _cut_at(lambda train, pre, k: train.abs().flatten().topk(k * len(train)).values.min()),
            "You ranked absolute values. A negative pre-activation is never kept.",
        ),
        Wrong(
            lambda train, pre, k: (pre >= _threshold(train, k)).float(),
            "You returned where latents are active. The question asks for their values there.",
        ),
        Wrong(
            lambda train, pre, k: (
                train.flatten() * (train.flatten() >= _threshold(train, k))
            ).view(train.shape),
            "You returned the latents of the training inputs. The question asks for those of the "
            "new ones.",
        ),
    ],
)


# --- A JumpReLU autoencoder of a given L0 ---------------------------------------------------------

OFF = 0.15  # by which share L0 may miss its target, on fresh data


def train_to_l0(x, start, target, epsilon, steps):
    """Train a JumpReLU autoencoder to have `target` latents on average.

    x: (n, d_in), float, activations; their variance, summed over
        dimensions, is 1.
    start: where to start, a dictionary of tensors: W_enc (d_in, d_sae),
        b_enc (d_sae,), W_dec (d_sae, d_in) with rows of norm 1,
        b_dec (d_in,), and theta (d_sae,), above 0.
    target: the mean number of active latents, L0.
    epsilon: the width of the window round a threshold in which
        pre-activations count for its gradient.
    steps: a number of steps that is enough, with all of x in each.

    z = (x − b_dec) W_enc + b_enc; a latent is z where z > θ, else 0;
    x̂ = latents · W_dec + b_dec.

    Returns a dictionary like `start`. θ is above 0, and the rows of W_dec
    have norm 1.
    """
    p = {name: value.log() if name == "theta" else value.clone() for name, value in start.items()}
    optimiser = torch.optim.Adam([value.requires_grad_() for value in p.values()], lr=0.03)
    for _ in range(steps):
        z = (x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
        theta = p["theta"].exp()
        # A step has no slope. A ramp of width ε has one: its slope is used, and the step's value.
        ramp = ((z.detach() - theta) / epsilon).clamp(-0.5, 0.5)
        active = (z > theta) + ramp - ramp.detach()
        error = (z * active) @ p["W_dec"] + p["b_dec"] - x
        too_many = active.sum(1).mean() / target - 1
        loss = error.square().sum(1).mean() + 30 * too_many.square()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            p["W_dec"] /= p["W_dec"].norm(dim=1, keepdim=True)
    return {name: (p[name].exp() if name == "theta" else p[name]).detach() for name in p}


def _trainings(rng: np.random.Generator) -> Iterator[tuple[Case, Tensor]]:
    """Draw cases, each with fresh data of the same planted features to judge by."""
    for d_in, d_sae, target in ((8, 12, 2.0), (9, 13, 2.5), (8, 14, 1.8)):
        truth, W = _unit(rng, (d_sae, d_in)), _unit(rng, (d_sae, d_in))
        strengths = rng.uniform(0.5, 1.5, (4600, d_sae)) * (
            rng.random((4600, d_sae)) < target / d_sae
        )
        x = strengths @ truth + rng.normal(0, 0.02, (4600, d_in))
        x = _float(x / np.sqrt(x.var(0).sum()) + 0.8 * _unit(rng, (1, d_in)))
        start = {
            "W_enc": _float(W.T.copy()),
            "b_enc": _normal(rng, (d_sae,)) * 0.01,
            "W_dec": _float(W),
            "b_dec": x[:600].mean(0),
            "theta": _float(rng.uniform(0.15, 0.2, d_sae)),
        }
        case = Case(
            f"{d_sae} latents for activations of width {d_in}, the first {x[0, 0]:.4f}; an L0 of "
            f"{target}",
            (x[:600], start, target, 0.15, 120),
        )
        yield case, x[600:]


def _jump(z, theta):
    return z * (z > theta)


def _measured(x: Tensor, p: dict, activation=_jump, centred: bool = True) -> tuple[float, float]:
    """Return L0 and FVU of an autoencoder on data."""
    z = (x - p["b_dec"] * centred) @ p["W_enc"] + p["b_enc"]
    latents = activation(z, p["theta"])
    x_hat = latents @ p["W_dec"] + p["b_dec"]
    return float((latents != 0).float().sum(1).mean()), fvu(x, x_hat)


def _fvu_of_pca(x: Tensor, n_directions: int) -> float:
    variances = torch.linalg.svdvals(x - x.mean(0)) ** 2
    return float(variances[n_directions:].sum() / variances.sum())


def _malformed(got, like: dict) -> str:
    if not isinstance(got, dict) or set(got) != set(like):
        return difference(got, like)
    faults = (difference(got[name], like[name], f"The entry {name!r}") for name in like)
    return next((fault for fault in faults if fault and "other values" not in fault), "")


SAME_THETA = (
    "θ is where it started: it had no gradient. A step function has none; give its slope near θ "
    "a stand-in, and let the loss depend on L0 through it."
)
LOG_THETA = "θ is not above 0. Did you return its logarithm?"
NORMS = "The rows of W_dec do not have norm 1. Divide them by their norms after each step."
NOT_TRAINED = "W_enc or W_dec is where it started: train all that `start` holds."
SHIFTED = (
    "You trained another autoencoder: it works with ReLU(z − θ). JumpReLU leaves z as it is above "
    "θ, z · [z > θ]; taking θ off would shrink."
)
UNCENTRED = "You trained another autoencoder: b_dec is to be taken off x before the encoder."
TOO_MANY = (
    "Too many latents are active on fresh data. A fixed price of a latent suits one target by "
    "luck; let the loss say how far L0 is from its target."
)
TOO_FEW = (
    "Too few latents are active on fresh data. A fixed price of a latent suits one target by "
    "luck; let the loss say how far L0 is from its target."
)
POOR = (
    "L0 is right, but the reconstruction is poor. Do encoder and decoder learn together with θ, "
    "from the squared error of the latents that are active?"
)


def _judge(got: dict, case: Case, fresh: Tensor) -> tuple[str, str, str]:
    """Return what is wrong, if anything, what came, and what was expected."""
    _, start, target, _, _ = case.arguments
    if fault := _malformed(got, start):
        return fault, describe(got), describe(start)
    n_directions = math.ceil(target)
    worst = _fvu_of_pca(fresh, n_directions) * 2 / 3
    expected = (
        f"L0 within {OFF:.0%} of {target}, FVU below {worst:.3f}, two thirds of what PCA "
        f"leaves with {n_directions} directions"
    )

    def fits(**other) -> bool:
        l0, missed = _measured(fresh, got, **other)
        return abs(l0 / target - 1) <= OFF and missed < worst

    l0, missed = _measured(fresh, got)
    came = f"L0 {l0:.3f}, FVU {missed:.3f} on {len(fresh)} fresh inputs"
    _, shifted = _measured(fresh, got, lambda z, theta: (z - theta).relu())
    norms = got["W_dec"].norm(dim=1)
    faults = {
        SAME_THETA: torch.allclose(got["theta"], start["theta"], rtol=1e-4),
        LOG_THETA: bool((got["theta"] <= 0).any()),
        NOT_TRAINED: any(torch.equal(got[name], start[name]) for name in ("W_enc", "W_dec")),
        NORMS: not torch.allclose(norms, torch.ones_like(norms), atol=1e-4),
        "": fits(),
        SHIFTED: shifted < missed / 3,
        UNCENTRED: fits(centred=False),
        TOO_MANY: l0 > target * (1 + OFF),
        TOO_FEW: l0 < target * (1 - OFF),
        POOR: True,
    }
    return next(fault for fault, there in faults.items() if there), came, expected


def _check(function: Callable, seed: int) -> Report:
    tried = []
    for case, fresh in _trainings(np.random.default_rng(seed)):
        tried.append(case.tried)
        try:
            got = function(*case.arguments)
        except Fault as fault:
            return fault.report(case.tried, case.arguments)
        fault, came, expected = _judge(got, case, fresh)
        if fault:
            return Report("failed", case.tried, came, expected, fault, case.arguments)
    return Report("passed", tried="\n".join(tried))


def _trained(
    activation=None, price=None, through=True, only=None, norm=True, log=False, centred=True
):
    """Make a wrong training."""

    def wrong(x, start, target, epsilon, steps):
        p = {n: v.log() if n == "theta" else v.clone() for n, v in start.items()}
        learned = [p[n].requires_grad_() for n in only or p]
        optimiser = torch.optim.Adam(learned, lr=0.03)
        for _ in range(steps):
            z = (x - p["b_dec"] * centred) @ p["W_enc"] + p["b_enc"]
            theta = p["theta"].exp()
            ramp = ((z.detach() - theta) / epsilon).clamp(-0.5, 0.5)
            active = (z > theta) + (ramp - ramp.detach()) * through
            latents = z * active if activation is None else activation(z, theta)
            l0 = active.sum(1).mean()
            loss = (latents @ p["W_dec"] + p["b_dec"] - x).square().sum(1).mean()
            loss = loss + (30 * (l0 / target - 1).square() if price is None else price * l0)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if norm:
                p["W_dec"].data /= p["W_dec"].data.norm(dim=1, keepdim=True)
        p = {n: v.detach() for n, v in p.items()}
        return p if log else p | {"theta": p["theta"].exp()}

    return wrong


TRAIN_TO_L0 = Exercise(
    id="autoencoders.train_to_l0",
    chapter="06_autoencoders",
    title="train JumpReLU to a target L0",
    difficulty=5,
    minutes=40,
    why="Autoencoders can be compared at equal L0 only. A penalty reaches it by trial and error; "
    "this does it in one training.",
    task=f"""
        Write the whole training of a JumpReLU autoencoder, which ends with the L0 that was asked
        for. Use plain PyTorch; the rest is yours to choose. Judged on fresh data, L0 has to be
        within {OFF:.0%} of the target, and FVU below two thirds of what PCA leaves with as many
        directions.
        """,
    hint="""
        Give the loss a second term that is zero at the target, such as 30 · (L0 / target − 1)².
        L0 is a count of steps, and a step has no gradient. Near θ, replace it by a ramp of width
        ε, for the gradient alone: with `ramp = ((z.detach() - theta) / epsilon).clamp(-0.5, 0.5)`,
        the sum `(z > theta) + ramp - ramp.detach()` has the value of the step and the slope of the
        ramp. Learn log θ, so that θ stays positive. Adam with a rate of 0.03 gets there in `steps`
        steps.
        """,
    reference=train_to_l0,
    cases=lambda rng: (case for case, _ in _trainings(rng)),
    check=_check,
    wrong=[
        Wrong(_trained(through=False), SAME_THETA),
        Wrong(_trained(log=True), LOG_THETA),
        Wrong(_trained(norm=False), NORMS),
        Wrong(_trained(only=("theta",)), NOT_TRAINED),
        Wrong(_trained(activation=lambda z, theta: (z - theta).relu()), SHIFTED),
        Wrong(_trained(centred=False), UNCENTRED),
        Wrong(_trained(price=0.002), TOO_MANY),
        Wrong(_trained(price=1.0), TOO_FEW),
        Wrong(
            lambda x, start, target, epsilon, steps: train_to_l0(
                x, start, 2 * target, epsilon, steps
            ),
            TOO_MANY,
        ),
        Wrong(
            lambda x, start, target, epsilon, steps: start | {"theta": start["theta"] * 2},
            NOT_TRAINED,
        ),
    ],
)


EXERCISES = (TOP_K, FVU, UPDATE_DECODER, BATCH_TOP_K_LATENTS, TRAIN_TO_L0)


# --- Private --------------------------------------------------------------------------------------


def _float(array) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return _float(rng.normal(size=shape))


def _unit(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = rng.normal(size=shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
