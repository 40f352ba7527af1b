"""The exercises of chapters 12 and 13: metrics of sparsity, and what they say of shifted inputs."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.exercises.comparing import TOLERANCE, Case, Wrong, describe, kind
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.report import Report
from course_lib.exercises.runner import Fault

# --- Write Hoyer's sparseness ---------------------------------------------------------------------


def hoyer(h):
    """Return Hoyer's sparseness of vectors.

    h: tensor of floats of shape (..., d): vectors of d entries. None of
        them is zero.

    Returns a tensor of shape (...), one value for each vector: 1 if one
    entry holds everything, 0 if all are of the same size. A vector of one
    entry gets 0.
    """
    d = h.shape[-1]
    if d == 1:
        return torch.zeros(h.shape[:-1])
    ratio = h.abs().sum(-1) / h.square().sum(-1).sqrt()
    return (math.sqrt(d) - ratio) / (math.sqrt(d) - 1)


def _vectors(rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((6, 9), (4, 3, 5), (23,), (4, 3, 1)):
        vectors = _normal(rng, shape) * rng.uniform(0.2, 5)
        if shape[-1] > 1:
            vectors.view(-1)[1::4] = 0.0  # zeros are entries too
        yield Case(
            f"vectors of shape {shape}, the first entry {vectors.flatten()[0]:.3f}", (vectors,)
        )


def _ratio(h: Tensor) -> Tensor:
    return h.abs().sum(-1) / h.square().sum(-1).sqrt()


def _of_all(h):
    return hoyer(h.flatten())


def _across(h):
    d = h.shape[0]
    return (math.sqrt(d) - h.abs().sum(0) / h.square().sum(0).sqrt()) / (math.sqrt(d) - 1)


HOYER = Exercise(
    id="probes.hoyer",
    chapter="12_measuring",
    title="write Hoyer's sparseness",
    difficulty=1,
    minutes=8,
    why="It is the metric of chapter 13. Two norms of a vector are all that it looks at.",
    task="""
        Write Hoyer's sparseness for many vectors at once. Of one vector h of d entries it is

        $$\\frac{\\sqrt d - \\lVert h \\rVert_1 / \\lVert h \\rVert_2}{\\sqrt d - 1},$$

        with the sum of sizes above and the root of the sum of squares below. For d = 1 that is
        0/0; the answer is 0 there.
        """,
    hint="""
        `h.abs().sum(-1)` adds along the last dimension and leaves the others as they are. Treat
        d = 1 before you divide.
        """,
    reference=hoyer,
    cases=_vectors,
    wrong=[
        Wrong(
            _of_all,
            "You took all entries of the tensor for one vector. There is one value for each "
            "vector along the last dimension.",
        ),
        Wrong(
            _across,
            "You added along the first dimension. The entries of a vector lie along the last one.",
        ),
        Wrong(
            lambda h: _hoyer_with(h, h.sum(-1) / h.square().sum(-1).sqrt()),
            "You added the entries with their signs, so they cancel. What counts is their size.",
        ),
        Wrong(
            lambda h: _hoyer_with(h, h.abs().sum(-1) / h.square().sum(-1)),
            "The root is missing: ‖h‖₂ is the square root of the sum of squares.",
        ),
        Wrong(
            lambda h: _hoyer_with(h, 1 / _ratio(h)),
            "You divided ‖h‖₂ by ‖h‖₁. It is the other way round.",
        ),
        Wrong(
            lambda h: torch.where(
                torch.tensor(h.shape[-1] == 1), 0.0, math.sqrt(h.shape[-1]) - _ratio(h)
            ),
            "You did not divide by √d − 1, so the largest value depends on the number of entries.",
        ),
        Wrong(
            lambda h: _hoyer_with(h, _ratio(h), root=float),
            "You took d where √d is asked for.",
        ),
        Wrong(
            lambda h: _hoyer_of_width(h, (h != 0).sum(-1)),
            "You counted only the entries that are not zero. Zeros count: d is the number of all.",
        ),
        Wrong(
            lambda h: 1 - hoyer(h),
            "Your value is 1 where Hoyer's is 0. It grows as vectors become sparser.",
        ),
    ],
)


# --- Say how much sparser than noise --------------------------------------------------------------


def excess(h, mean, std, activation, z):
    """Say how much sparser a layer is than noise behind its activation.

    h: tensor of floats of shape (n, d): the layer's activations, n vectors
        of d units.
    mean, std: tensors of shape (d,): the mean and the standard deviation of
        each unit before the activation function.
    activation: the layer's activation function. It takes a tensor and
        returns one of the same shape; h has been through it.
    z: tensor of shape (m, d): standard normal numbers, for m vectors of the
        null.

    Returns the mean Hoyer sparseness of the vectors of h minus that of the
    null, a float. The null is activation(mean + std · z). No vector is
    zero.
    """

    def sparseness(vectors):
        root = vectors.shape[1] ** 0.5
        ratio = vectors.abs().sum(1) / vectors.norm(dim=1)
        return ((root - ratio) / (root - 1)).mean().item()

    return sparseness(h) - sparseness(activation(mean + std * z))


# None of these gives exact zeros, so that no vector is zero.
ACTIVATIONS = {
    "GELU": nn.functional.gelu,
    "leaky ReLU": nn.functional.leaky_relu,
    "tanh": torch.tanh,
}


def _layers(rng: np.random.Generator) -> Iterator[Case]:
    # A layer whose units move together is less sparse than noise, one with rare peaks is sparser.
    for (name, activation), (n, m, d), sparser in zip(
        [*ACTIVATIONS.items(), ("GELU", ACTIVATIONS["GELU"])],
        ((9, 14, 6), (12, 7, 10), (8, 15, 11), (13, 5, 8)),
        (True, False, True, False),
        strict=True,
    ):
        while True:
            mean, std = _normal(rng, (d,)) * 0.6, torch.from_numpy(rng.uniform(0.3, 1.8, d)).float()
            noise = _normal(rng, (n, d))
            moved = noise**3 / 4 if sparser else 0.4 * noise + _normal(rng, (n, 1))
            pre = mean + std * moved
            h, z = activation(pre), _normal(rng, (m, d))
            arguments = (h, pre.mean(0), pre.std(0), activation, z)
            if _tells_mistakes_apart(arguments, sparser):
                break
        yield Case(
            f"{n} vectors of {d} units behind {name}, {m} of the null, the first activation "
            f"{h[0, 0]:.3f}",
            arguments,
        )


def _tells_mistakes_apart(arguments: tuple, sparser: bool) -> bool:
    """Whether the answer has this sign and each mistake gives an answer of its own."""
    answer = excess(*arguments)
    # The size of a difference is right where it is above 0, and turned where it is below.
    mistakes = [wrong for wrong in EXCESS.wrong if wrong is not WITHOUT_SIGN]
    answers = [answer, *(float(wrong.code(*arguments)) for wrong in mistakes)]
    pairs = itertools.combinations(answers, 2)
    has_sign = answer > 0.01 if sparser else answer < -0.01
    return has_sign and all(abs(one - other) > 1e-3 for one, other in pairs)


def _mean_hoyer(h: Tensor) -> float:
    return float(hoyer(h).mean())


def _excess_over(null: Callable) -> Callable:
    """The exercise with another null, a function of the same arguments."""
    return lambda h, *rest: _mean_hoyer(h) - _mean_hoyer(null(h, *rest))


def _compared(compare: Callable) -> Callable:
    """The exercise with something else done with the vectors of the layer and of the null."""
    return lambda h, mean, std, activation, z: compare(h, activation(mean + std * z))


WITHOUT_SIGN = Wrong(
    _compared(lambda h, null: abs(_mean_hoyer(h) - _mean_hoyer(null))),
    "You dropped the sign. A layer can be less sparse than its null, and then the answer is "
    "negative.",
)

EXCESS = Exercise(
    id="probes.excess",
    chapter="12_measuring",
    title="say how much sparser than noise",
    difficulty=3,
    minutes=12,
    why="An activation function makes noise sparse too. Only what is beyond that can come from "
    "what the layer learned.",
    task="""
        Hold a layer against its null (section 4), in which each unit has its own mean and
        standard deviation. The normal numbers are drawn already. Say by how much the mean Hoyer
        sparseness of the layer's vectors is above that of the null's. It can be below, too.
        """,
    hint="""
        Make the vectors of the null first: stretch z, move it, and put it through `activation`.
        They and h are then treated alike: one Hoyer for each vector, then the mean of these.
        `probes.hoyer` gives them, after `from course_lib import probes`, and so does your own.
        """,
    reference=excess,
    cases=_layers,
    wrong=[
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: mean + std * z),
            "Your null is without the activation function, which makes noise sparse by itself.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation(z)),
            "Your null has mean 0 and standard deviation 1. It is to have those of the units.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation(std * z)),
            "You forgot the mean. Where it is low, the activation function leaves little.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation(mean + z)),
            "You forgot the standard deviation: z has 1 in each unit, and is to have std.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation(mean + std**2 * z)),
            "You multiplied by the variance. Noise that is to have the standard deviation std is "
            "std · z.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation(mean + std.sqrt() * z)),
            "You took the root of std, as if it were the variance. It is the standard deviation.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation((z - mean) / std)),
            "You subtracted the mean and divided by std. That takes both away; the noise is to "
            "get them.",
        ),
        Wrong(
            _excess_over(
                lambda h, mean, std, activation, z: activation(mean.mean() + std.mean() * z)
            ),
            "Your null has one mean and one standard deviation for all units. Each has its own.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: mean + std * activation(z)),
            "You put z through the activation function first. Stretch and move it before.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: h.mean(0) + h.std(0) * z),
            "Your noise has the mean and the spread of h, which is behind the activation "
            "function. Match them before it, then apply it.",
        ),
        Wrong(
            _excess_over(lambda h, mean, std, activation, z: activation(h.mean(0) + h.std(0) * z)),
            "You gave the noise the mean and the spread of h and then applied the activation "
            "function once more. mean and std are those of the units before it.",
        ),
        Wrong(
            lambda h, mean, std, activation, z: excess(activation(h), mean, std, activation, z),
            "You put h through the activation function again. It has been through it.",
        ),
        Wrong(
            _compared(lambda h, null: float(hoyer(h.mean(0)) - hoyer(null.mean(0)))),
            "You took Hoyer of the mean vector. Take Hoyer of each vector, then the mean.",
        ),
        Wrong(
            _compared(lambda h, null: float(_of_all(h) - _of_all(null))),
            "You took all entries together for one vector. Take Hoyer of each vector, then the "
            "mean.",
        ),
        Wrong(
            _compared(lambda h, null: float(_across(h).mean() - _across(null).mean())),
            "You took Hoyer of each unit over the vectors (dim=0). Vectors are rows: dim=1.",
        ),
        WITHOUT_SIGN,  # before the next, which gives the same where the answer is negative
        Wrong(
            _compared(lambda h, null: _mean_hoyer(null) - _mean_hoyer(h)),
            "The sign is turned round: a layer that is sparser than its null is above 0.",
        ),
        Wrong(
            _compared(lambda h, null: _mean_hoyer(h) / _mean_hoyer(null)),
            "You divided by the null's sparseness. Asked for is the difference.",
        ),
        Wrong(
            _compared(
                lambda h, null: (_mean_hoyer(h) - _mean_hoyer(null)) / float(hoyer(null).std())
            ),
            "You divided by the spread between vectors of the null. Asked for is the plain "
            "difference.",
        ),
        Wrong(
            _compared(lambda h, null: _mean_hoyer(null)),
            "You returned the null's sparseness. Subtract it from that of the layer.",
        ),
    ],
)


# --- Find a vector on which Hoyer and Gini disagree -----------------------------------------------


def disagree(h):
    """Return a vector: to Hoyer sparser than h, to Gini less sparse.

    h: tensor of floats of shape (d,), all above 0, of different sizes;
        d is 12 or more.

    Returns a tensor of shape (d,).
    """
    d = len(h)
    weight = d - torch.arange(d) - 0.5
    gini = 1 - 2 * (h.sort().values * weight).sum() / (d * h.sum())
    # One entry s among ones has the Gini index (d − 1) (s − 1) / (d (s + d − 1)). Solve for s.
    equal = (d - 1) * (1 + d * gini) / (d - 1 - d * gini)
    vector = torch.ones(d)
    vector[0] = 0.97 * equal
    return vector


def _wealth(rng: np.random.Generator) -> Iterator[Case]:
    for d in (12, 30, 47):
        h = torch.from_numpy(rng.lognormal(0, rng.uniform(0.8, 1.2), d)).float()
        yield Case(f"a vector of {d} entries, the largest {h.max():.3f}", (h,))


LENGTH = (
    "Your vector must have as many entries as h, in one dimension. Adding entries changes both "
    "metrics, which is not what the question asks."
)
SAME = (
    "Both metrics say the same of your vector as of h. Order, signs and a common factor change "
    "neither."
)
SPARSER = "Both metrics call your vector sparser than h. Gini is to call it less sparse."
DENSER = "Both metrics call your vector less sparse than h. Hoyer is to call it sparser."
REVERSED = (
    "It is the other way round: your vector is sparser than h to Gini, and less sparse to Hoyer."
)
NEARLY = "One of the two metrics says the same of your vector as of h. Each is to say something."


def _gini(h: Tensor) -> float:
    size = h.double().abs().sort().values
    weight = len(h) - torch.arange(len(h)) - 0.5
    return float(1 - 2 * (size * weight).sum() / (len(h) * size.sum()))


def _agreement(got: object, h: Tensor) -> str:
    """Say what is wrong with an answer; nothing if Hoyer and Gini disagree about it and h."""
    if got is None:
        return "The answer is None. Is a `return` missing?"
    if not isinstance(got, Tensor):
        return f"The answer is {kind(got)}; asked for is a tensor."
    if got.shape != h.shape:
        return LENGTH
    if not got.is_floating_point() or not torch.isfinite(got).all() or not got.any():
        return "The answer must hold finite floats, and some that are not zero."
    more_hoyer = float(hoyer(got.double()) - hoyer(h.double()))
    more_gini = _gini(got) - _gini(h)
    flat = [abs(more) <= TOLERANCE for more in (more_hoyer, more_gini)]
    if any(flat):
        return SAME if all(flat) else NEARLY
    return {
        (True, True): SPARSER,
        (False, False): DENSER,
        (False, True): REVERSED,
        (True, False): "",
    }[more_hoyer > 0, more_gini > 0]


def _check_disagreement(function: Callable, seed: int) -> Report:
    tried = []
    for case in _wealth(np.random.default_rng(seed)):
        tried.append(case.tried)
        try:
            got = function(*copy.deepcopy(case.arguments))
        except Fault as fault:
            return fault.report(case.tried, case.arguments)
        if fault := _agreement(got, *case.arguments):
            wanted = "a vector of the same length, with a higher Hoyer and a lower Gini than h"
            return Report("failed", case.tried, describe(got), wanted, fault, case.arguments)
    return Report("passed", tried="\n".join(tried))


def _ramp(h):
    """Entries that fall evenly to zero: of all vectors of a Gini index those of lowest Hoyer."""
    low, high = -20.0 * len(h), len(h) - 1.5  # where the ramp starts: later is sparser
    for _ in range(50):
        start = (low + high) / 2
        ramp = (torch.arange(len(h)) - start).clamp(min=0)
        low, high = (start, high) if _gini(ramp) < _gini(h) + 0.002 else (low, start)
    return ramp


DISAGREE = Exercise(
    id="probes.disagree",
    chapter="12_measuring",
    title="find a vector on which Hoyer and Gini disagree",
    difficulty=4,
    minutes=20,
    why="Which of two layers is sparser can depend on whom you ask. Then neither answer is *the* "
    "answer.",
    task="""
        You get a vector h. Return another one, with as many entries, that is **sparser** than h
        by Hoyer's sparseness and **less sparse** than h by the Gini index. Many vectors will do.
        """,
    hint="""
        Hoyer looks at squares, so one large entry weighs much. Gini looks at ranks, so it counts
        how unequal *all* entries are. Try one large entry among equal ones, and make it as large
        as Gini allows. To find out how large that is, try sizes one after the other, or solve
        for it.
        """,
    reference=disagree,
    cases=_wealth,
    check=_check_disagreement,
    wrong=[
        Wrong(lambda h: 2 * h.flip(0), SAME),
        Wrong(lambda h: torch.eye(len(h))[0], SPARSER),
        Wrong(lambda h: h.square(), SPARSER),
        Wrong(lambda h: torch.ones(len(h)), DENSER),
        Wrong(lambda h: h + h.mean(), DENSER),
        Wrong(_ramp, REVERSED),
        Wrong(lambda h: torch.cat([h, torch.zeros(3)]), LENGTH),
    ],
)


# --- Build a shift dial ---------------------------------------------------------------------------


def noise_dial(x, noise, strength):
    """Add noise to images, in proportion to each image.

    x: tensor of floats of shape (n, d): n images of d pixels in [0, 1].
    noise: tensor of the same shape, of any size: the direction in which each image is moved.
    strength: length of the noise that is added to an image, in lengths of that image; 0 changes
        nothing. A length is the root of a sum of squares.

    Returns new images, clipped to [0, 1] at the end.
    """
    size = x.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    return (x + strength * size * noise).clamp(0, 1)


def _images(rng: np.random.Generator) -> Iterator[Case]:
    for shape, strength in (((5, 9), 0.3), ((12, 7), 1.1), ((3, 20), 0.0), ((8, 11), 0.7)):
        strength = round(strength * rng.uniform(0.8, 1.2), 3)
        # Bright and dark images, so that each needs noise of its own size.
        bright = torch.from_numpy(rng.uniform(0.15, 1, (shape[0], 1)))
        x = (torch.from_numpy(rng.uniform(0.02, 1, shape)) * bright).float()
        noise = _normal(rng, shape) * rng.uniform(2, 4)
        yield Case(
            f"{shape[0]} images of {shape[1]} pixels, strength {strength}, the first pixel "
            f"{x[0, 0]:.3f}",
            (x, noise, strength),
        )


def _moved(x, noise, strength):
    return x + strength * (x.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)) * noise


NOISE_DIAL = Exercise(
    id="probes.noise_dial",
    chapter="13_shifts",
    title="build a shift dial",
    difficulty=2,
    minutes=10,
    why="A dial says *how far* an input is from what is familiar. It must mean the same for every "
    "input, and nothing else may change with it.",
    task="""
        Write a dial that adds noise. The noise is drawn already; the dial decides how much of it
        each image gets: its length is to be `strength` times the length of the image. Clip the
        result to [0, 1], as pixels are.
        """,
    hint="""
        `x.norm(dim=1, keepdim=True)` is the length of each image, with shape (n, 1), so it can
        be multiplied with (n, d). Bring each row of noise to length 1 first.
        """,
    reference=noise_dial,
    cases=_images,
    wrong=[
        Wrong(
            _moved,
            "You did not clip: some of your pixels are below 0 or above 1.",
        ),
        Wrong(
            lambda x, noise, strength: _moved(x, noise, strength).clamp(min=0),
            "You clipped at 0 only. Pixels are at most 1, too.",
        ),
        Wrong(
            lambda x, noise, strength: (x + strength * noise).clamp(0, 1),
            "You added the noise as it is. Its length is to be `strength` times that of the image.",
        ),
        Wrong(
            lambda x, noise, strength: (
                x + strength * noise / noise.norm(dim=1, keepdim=True)
            ).clamp(0, 1),
            "You added noise of length `strength` to every image. Dark images get too much: the "
            "strength is in lengths of the image.",
        ),
        Wrong(
            lambda x, noise, strength: (x + strength * x.norm(dim=1, keepdim=True) * noise).clamp(
                0, 1
            ),
            "You did not bring the noise to length 1 before you scaled it.",
        ),
        Wrong(
            lambda x, noise, strength: (x + strength * x.norm() / noise.norm() * noise).clamp(0, 1),
            "You took the length of all images together. Each image has its own.",
        ),
        Wrong(
            lambda x, noise, strength: (
                x + strength * x.norm(dim=0) / noise.norm(dim=0) * noise
            ).clamp(0, 1),
            "You took the length of each pixel over all images (dim=0). Images are rows: dim=1.",
        ),
        Wrong(
            lambda x, noise, strength: (
                x * (1 - strength) + strength * (_moved(x, noise, 1) - x)
            ).clamp(0, 1),
            "You mixed the image with noise, so the image fades too. Two things change with your "
            "dial; add the noise and leave the image.",
        ),
        Wrong(
            lambda x, noise, strength: (
                x + strength * x.norm(dim=1, keepdim=True) * noise.sign() / math.sqrt(x.shape[1])
            ).clamp(0, 1),
            "You kept the signs of the noise only. Its direction is that of the whole row.",
        ),
    ],
)


# --- Beat the softmax -----------------------------------------------------------------------------


def beat_the_softmax(validation, test, weights):
    """Say how much better a mixture of two signals finds errors than the softmax alone.

    validation, test: dictionaries with the items' signals, "softmax" and "sparsity", tensors of
        floats of shape (n,), and "wrong", booleans, True where the network's answer is wrong. The
        mixture is softmax + weight * sparsity.
    weights: a list of numbers, of which one is chosen.

    Returns the mixture's AUROC on test minus that of the softmax alone, a float. The AUROC is the
    share of pairs of a right and a wrong answer in which the right one has the larger signal. No
    two signals are equal.
    """

    def auroc(items, weight):
        signal = items["softmax"] + weight * items["sparsity"]
        right, wrong = signal[~items["wrong"]], signal[items["wrong"]]
        return (right[:, None] > wrong).double().mean().item()

    chosen = max(weights, key=lambda weight: auroc(validation, weight))
    return auroc(test, chosen) - auroc(test, 0)


def _area(items, weight):
    signal = items["softmax"] + weight * items["sparsity"]
    right, wrong = signal[~items["wrong"]], signal[items["wrong"]]
    return float((right[:, None] > wrong).double().mean())


def _items(rng: np.random.Generator, n: int, helps: float) -> dict[str, Tensor]:
    wrong = rng.permutation(n) < n // 3
    softmax = rng.normal(0, 1, n) - 0.8 * wrong
    sparsity = rng.normal(0.3, 1, n) + helps * wrong
    signals = {"softmax": softmax, "sparsity": sparsity}
    return {k: torch.from_numpy(v) for k, v in signals.items()} | {"wrong": torch.from_numpy(wrong)}


def _splits(rng: np.random.Generator) -> Iterator[Case]:
    weights = [-1.5, 0.7, -0.4, 0.2, 1.6, -0.8, 0.4, -0.1]
    for helps in (-0.6, 0.6, -0.3):  # how far apart sparsity alone puts right and wrong answers
        while True:
            validation, test = _items(rng, 31, helps), _items(rng, 40, helps)
            if _is_telling(validation, test, weights, negative=helps > 0.5, loses=-0.5 < helps < 0):
                break
        yield Case(
            f"31 items of validation and 40 of test, weights {weights}, the first signal "
            f"{validation['softmax'][0]:.3f}",
            (validation, test, weights),
        )


def _is_telling(validation, test, weights, negative: bool, loses: bool) -> bool:
    """Whether each mistake gives an answer of its own, and one weight alone is best.

    The best is negative if asked; if the mixture is to lose, the answer is negative.
    """
    *_, second, first = sorted(_area(validation, weight) for weight in weights)
    best = _best(validation, weights)
    if (best < 0) != negative or best in (weights[0], weights[-1], max(weights), min(weights)):
        return False
    answer = beat_the_softmax(validation, test, weights)
    if first - second < 1e-6 or (answer < 0) != loses:
        return False
    leave_out = {id(POSITIVE_ONLY): not negative, id(NEVER_LOSES): not loses}
    mistakes = [w for w in BEAT_THE_SOFTMAX.wrong if not leave_out.get(id(w))]
    answers = [answer, *(w.code(validation, test, weights) for w in mistakes)]
    return all(abs(one - other) > 0.003 for one, other in itertools.combinations(answers, 2))


def _best(items, weights):
    return max(weights, key=lambda weight: _area(items, weight))


POSITIVE_ONLY = Wrong(
    lambda v, t, weights: _area(t, _best(v, [w for w in weights if w > 0])) - _area(t, 0),
    "You left the negative weights out. Sparsity may speak against an answer.",
)
NEVER_LOSES = Wrong(
    lambda v, t, weights: max(0.0, _area(t, _best(v, weights)) - _area(t, 0)),
    "You put 0 where the mixture loses. What is better on validation may be worse on test, and "
    "then the gain is negative.",
)

BEAT_THE_SOFTMAX = Exercise(
    id="probes.beat_the_softmax",
    chapter="13_shifts",
    title="beat the softmax",
    difficulty=3,
    minutes=20,
    why="A signal is worth something if it adds to the one that is there already, on inputs that "
    "chose nothing.",
    task="""
        Sparsity is said to be a free signal of confidence. The softmax is free too. Mix the two,
        choose the weight of the mixture on validation, and say what it gains over the softmax
        alone on test. Sparsity may speak for or against an answer, so weights can be negative.
        """,
    hint="""
        Write the AUROC for one split and one weight first: `right[:, None] > wrong` compares all
        pairs at once. Then `max(weights, key=...)` finds the weight that is best on validation.
        Test is looked at twice at the very end, once for the mixture and once for the softmax.
        """,
    reference=beat_the_softmax,
    cases=_splits,
    wrong=[
        Wrong(
            lambda v, t, weights: _area(t, _best(t, weights)) - _area(t, 0),
            "You chose the weight on test, so the gain is too good: it holds what chance gave. "
            "Choose on validation.",
        ),
        Wrong(
            lambda v, t, weights: _area(v, _best(v, weights)) - _area(v, 0),
            "You measured the gain on validation, where the weight was chosen. Measure it on test.",
        ),
        Wrong(
            lambda v, t, weights: _area(t, _best(v, weights)),
            "You returned the mixture's AUROC. The question asks what it gains over the softmax.",
        ),
        Wrong(
            lambda v, t, weights: _area(t, _best(v, weights)) - _area(v, 0),
            "You compared the mixture on test with the softmax on validation. Compare on the same "
            "items.",
        ),
        Wrong(
            lambda v, t, weights: _area(t, 0) - _area(t, _best(v, weights)),
            "The sign is turned round: a mixture that is better gains more than 0.",
        ),
        POSITIVE_ONLY,
        NEVER_LOSES,
        Wrong(
            lambda v, t, weights: (
                _area(t, min(weights, key=lambda weight: _area(v, weight))) - _area(t, 0)
            ),
            "You chose the worst weight: right answers are to have the *larger* signal.",
        ),
        Wrong(
            lambda v, t, weights: _area(t, _best(v, weights)) - 0.5,
            "You compared the mixture with chance. It is to be better than the softmax.",
        ),
        Wrong(
            lambda v, t, weights: sum(_area(t, w) for w in weights) / len(weights) - _area(t, 0),
            "You averaged over all weights. Choose the one that is best on validation.",
        ),
    ],
)


# --- Is the harder one sparser? -------------------------------------------------------------------


def harder_of_two(level, sparsity):
    """Say how often the harder of two is the sparser one: of two items, and of two levels.

    level: tensor of whole numbers of shape (n,): how hard each item is, larger is harder. Between
        the lowest and the highest, numbers may be missing.
    sparsity: tensor of floats of shape (n,), of each item. Some are equal.

    Returns two floats. The first is the share of pairs of items of different levels in which the
    item of the higher level has the larger sparsity; where both have the same, a pair counts half.
    The second is the share of pairs of levels, in the same way; a level has the mean sparsity of
    its items.
    """

    def share(level, value):
        sparser = (value[:, None] > value) + 0.5 * (value[:, None] == value)
        return float(sparser[level[:, None] > level].mean())

    levels = level.unique()
    means = torch.stack([sparsity[level == one].mean() for one in levels])
    return share(level, sparsity), share(levels, means)


def _graded(rng: np.random.Generator) -> Iterator[Case]:
    for levels, slope in (
        ((1, 2, 4, 7, 8), 0.012),
        ((2, 3, 5, 6, 9), -0.01),
        ((3, 4, 6, 11), 0.02),
    ):
        while True:
            # Unequal counts, and odd ones: all ways to take a median agree.
            counts = rng.choice(np.arange(5, 18, 2), len(levels), replace=False)
            level = rng.permutation(np.repeat(levels, counts))
            sparsity = 0.5 + slope * level + 0.1 * rng.normal(size=len(level))
            sparsity = sparsity.clip(0.05, 0.95).round(2)  # which makes ties
            arguments = torch.from_numpy(level), torch.from_numpy(sparsity)
            if _is_clear(*arguments):
                break
        yield Case(
            f"{len(level)} items of the levels {', '.join(map(str, levels))}, the first of level "
            f"{level[0]} and sparsity {sparsity[0]}",
            arguments,
        )


def _is_clear(level: Tensor, sparsity: Tensor) -> bool:
    """Whether no two levels have the same mean, and each mistake gives an answer of its own."""
    if _level_means(level, sparsity)[1].sort().values.diff().min() < 1e-4:
        return False
    answers = [w.code(level, sparsity) for w in HARDER_OF_TWO.wrong]
    answers.append(harder_of_two(level, sparsity))
    pairs = itertools.combinations(answers, 2)
    return all(max(abs(a - b) for a, b in zip(*pair, strict=True)) > 0.001 for pair in pairs)


def _level_means(level: Tensor, sparsity: Tensor, mean: Callable = torch.mean):
    levels = level.unique()
    return levels, torch.stack([mean(sparsity[level == one]) for one in levels])


def _pairs(level: Tensor, value: Tensor, tie: float = 0.5) -> Tensor:
    """1 for a pair of different levels in which the harder is sparser, 0 for another."""
    return ((value[:, None] > value) + tie * (value[:, None] == value))[level[:, None] > level]


def _share(level, value, tie=0.5):
    return float(_pairs(level, value, tie).mean())


def _both(share: Callable) -> Callable:
    """An answer that takes another share of pairs, of items and of levels."""
    return lambda level, sparsity: (share(level, sparsity), share(*_level_means(level, sparsity)))


def _without_ties(level, value):
    pairs = _pairs(level, value)
    return float(pairs[pairs != 0.5].mean())


def _of_all_pairs(level, value):
    return float(_pairs(level, value).sum()) / (len(level) * (len(level) - 1) / 2)


def _of_equal_levels_too(level, value):
    sparser = (value[:, None] > value) + 0.5 * (value[:, None] == value)
    return float(sparser[(level[:, None] >= level) & ~torch.eye(len(level), dtype=bool)].mean())


def _of_neighbours(level, value):
    place = level.unique(return_inverse=True)[1]
    sparser = (value[:, None] > value) + 0.5 * (value[:, None] == value)
    return float(sparser[place[:, None] == place + 1].mean())


def _by_count(level, sparsity):
    """Each item with the mean of its level: a pair of levels counts as often as it has items."""
    levels, means = _level_means(level, sparsity)
    return _share(level, sparsity), _share(level, means[torch.searchsorted(levels, level)])


def _of_equal_counts(level, sparsity):
    parts = np.array_split(level.argsort(stable=True).numpy(), len(level.unique()))
    means = torch.stack([sparsity[part].mean() for part in parts])
    return _share(level, sparsity), _share(torch.arange(len(parts)), means)


def _without_gaps(level, sparsity):
    levels = torch.arange(int(level.min()), int(level.max()) + 1)
    means = torch.stack([sparsity[level == one].mean() for one in levels])
    return _share(level, sparsity), _share(levels, means)


HARDER_OF_TWO = Exercise(
    id="probes.harder_of_two",
    chapter="13_shifts",
    title="is the harder one sparser?",
    difficulty=2,
    minutes=15,
    why="Means of levels can rise one after the other while you could hardly bet on the next item. "
    "A claim about items needs the number over items.",
    task="""
        Take two items of different levels. How often is the harder one also the sparser one? One
        half is guessing. Answer it for all such pairs of items, and then for all pairs of levels,
        where a level has the mean sparsity of its items.
        """,
    hint="""
        `level[:, None] > level` has a row and a column for every item, and is True where the
        row's item is the harder one. The same with sparsity says which one is sparser, and `==`
        finds the ties. Write it as a function of levels and values; then it serves the level
        means, too. `level.unique()` gives the levels that there are.
        """,
    reference=harder_of_two,
    cases=_graded,
    wrong=[
        Wrong(
            _both(lambda level, value: _share(level, value, tie=0.0)),
            "You counted ties as lost. Where both are equally sparse, a pair counts half.",
        ),
        Wrong(
            _both(lambda level, value: _share(level, value, tie=1.0)),
            "You counted ties as won. Where both are equally sparse, a pair counts half.",
        ),
        Wrong(
            _both(_without_ties),
            "You left the ties out. They are pairs too, and count half.",
        ),
        Wrong(
            _both(lambda level, value: 1 - _share(level, value)),
            "The direction is turned round: your pairs are those in which the *easier* one is "
            "sparser.",
        ),
        Wrong(
            _both(lambda level, value: 2 * _share(level, value) - 1),
            "You took lost pairs off the won ones, which is 0 for guessing. Asked for is the share "
            "that is won.",
        ),
        Wrong(
            _both(_of_all_pairs),
            "You divided by all pairs. Those of the same level have no harder one, so they do not "
            "count.",
        ),
        Wrong(
            _both(_of_equal_levels_too),
            "You compared items of the same level too. Neither is the harder one.",
        ),
        Wrong(
            _both(_of_neighbours),
            "You compared each level with the next one only. All pairs of different levels count.",
        ),
        Wrong(
            lambda level, sparsity: harder_of_two(level, sparsity)[::-1],
            "You exchanged the two: first the share over items.",
        ),
        Wrong(
            lambda level, sparsity: (
                _share(level, sparsity),
                _share(*_level_means(level, sparsity, torch.median)),
            ),
            "You took the median of each level. Asked for is the mean.",
        ),
        Wrong(
            lambda level, sparsity: (
                _share(level, sparsity),
                _share(*_level_means(level, sparsity, torch.sum)),
            ),
            "You added the sparsity of a level's items. Then the levels with many items win.",
        ),
        Wrong(
            _by_count,
            "You counted a pair of levels as often as it has pairs of items. Each pair of levels "
            "counts once.",
        ),
        Wrong(
            _of_equal_counts,
            "You made bins of equally many items, which mixes levels. Each level is a bin of its "
            "own.",
        ),
        Wrong(
            _without_gaps,
            "You went through all numbers from the lowest level to the highest. Some have no "
            "items, and so no mean.",
        ),
    ],
)


EXERCISES = (HOYER, EXCESS, DISAGREE, NOISE_DIAL, BEAT_THE_SOFTMAX, HARDER_OF_TWO)


# --- Private --------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def _hoyer_with(h: Tensor, ratio: Tensor, root: Callable = math.sqrt) -> Tensor:
    """Hoyer's formula with another ratio or root, and the right value for one entry."""
    d = h.shape[-1]
    return torch.zeros(h.shape[:-1]) if d == 1 else (root(d) - ratio) / (root(d) - 1)


def _hoyer_of_width(h: Tensor, d: Tensor) -> Tensor:
    """Hoyer's formula with another d for each vector, and 0 where it is one."""
    return torch.where(d > 1, (d.sqrt() - _ratio(h)) / (d.sqrt() - 1), 0.0)
