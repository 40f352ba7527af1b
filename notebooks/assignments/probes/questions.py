"""The questions of the set "probes": a metric, its null, a dial, scores and evidence.

Instructors only: references, the inputs they are tried on, and the mistakes that are told apart.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy import stats

from course_lib.coursework import Parameters, Question
from course_lib.exercises import Case, Exercise, Wrong

# --- A metric of your own -------------------------------------------------------------------------


def pq_mean_exercise(mine: Parameters) -> Exercise:
    def pq_mean(h):
        """Return minus the p-mean of the sizes of the entries over their q-mean, for each vector.

        h: float tensor of shape (..., d), vectors of d entries. Some may be zero.
        The p-mean of numbers is the 1/p-th power of the mean of their p-th powers; p is mine.p and
        q is mine.q.

        Returns a tensor of shape (...), -1 where all entries have the same size, and nearer to 0
        where a vector is sparser. The zero vector gets -1.
        """
        size = h.abs()
        top = size.pow(mine.p).mean(-1).pow(1 / mine.p)
        bottom = size.pow(mine.q).mean(-1).pow(1 / mine.q)
        return torch.where(bottom > 0, -top / bottom, -1.0)

    def vectors(rng: np.random.Generator) -> Iterator[Case]:
        for shape in ((6, 9), (4, 3, 5), (17,)):
            h = torch.tensor(rng.normal(size=shape) * rng.uniform(0.3, 4))
            h.view(-1)[2::5] = 0.0
            if len(shape) > 1:
                h[1] = 0.0
            yield Case(f"vectors of shape {shape}, the first entry {h.view(-1)[0]:.3f}", (h,))

    def changed(p=mine.p, q=mine.q, size=torch.abs, mean=torch.mean, roots=True, zero=-1.0):
        """Make a wrong metric from one thing that is otherwise."""

        def wrong(h):
            top, bottom = mean(size(h).pow(p), -1), mean(size(h).pow(q), -1)
            if roots:
                top, bottom = top.pow(1 / p), bottom.pow(1 / q)
            return torch.where(bottom > 0, -top / bottom, zero)

        return wrong

    def without_zeros(h):
        n = (h != 0).sum(-1)
        top = (h.abs().pow(mine.p).sum(-1) / n).pow(1 / mine.p)
        bottom = (h.abs().pow(mine.q).sum(-1) / n).pow(1 / mine.q)
        return torch.where(bottom > 0, -top / bottom, -1.0)

    return Exercise(
        id="probes.pq_mean",
        chapter="12_measuring",
        title="a metric of your own",
        difficulty=2,
        minutes=20,
        why="Many metrics compare two means of the same entries. Which two is a choice.",
        task="""
            Write minus the ratio of two means of the sizes of a vector's entries (Hurley and
            Rickard, [2009](https://arxiv.org/abs/0811.4706)). With p = 1 and q = 2 it would be
            minus the normalised ℓ1. Yours has `mine.p` and `mine.q`.
            """,
        hint="""
            `.mean(-1)` averages over the entries, the zeros too. Where a vector is zero, both means
            are: `torch.where` puts the value there that the question asks for.
            """,
        reference=pq_mean,
        cases=vectors,
        wrong=[
            Wrong(
                changed(mean=torch.sum),
                "You added where a mean is asked for, so the value depends on the number of "
                "entries.",
            ),
            Wrong(
                changed(roots=False), "You left out the roots: a p-mean ends with the power 1/p."
            ),
            Wrong(
                lambda h: -changed()(h),
                "Your value is positive and falls where a vector gets sparser. A minus is missing.",
            ),
            Wrong(
                changed(p=mine.q, q=mine.p),
                "You exchanged mine.p and mine.q: the p-mean is above, the q-mean below.",
            ),
            Wrong(changed(zero=0.0), "The zero vector gets -1, as all vectors of equal entries."),
            Wrong(
                without_zeros,
                "You took the means over the entries that are not zero. Zeros are entries.",
            ),
            Wrong(
                changed(size=torch.relu),
                "You took negative entries for zeros. What counts is their size.",
            ),
            Wrong(
                lambda h: changed()(h.flatten()),
                "You took all entries for one vector. There is a value for each vector along the "
                "last dimension.",
            ),
        ],
        right=[
            """
            def pq_mean(h):
                def mean(v, r):
                    return (sum(abs(x) ** r for x in v) / len(v)) ** (1 / r)
                rows = h.reshape(-1, h.shape[-1]).tolist()
                values = [-mean(v, mine.p) / mean(v, mine.q) if any(v) else -1.0 for v in rows]
                return torch.tensor(values).reshape(h.shape[:-1])
            """,
            """
            def pq_mean(h):
                d = h.shape[-1]
                ratio = torch.linalg.vector_norm(h, mine.p, -1) / torch.linalg.vector_norm(
                    h, mine.q, -1
                )
                return -torch.nan_to_num(ratio * d ** (1 / mine.q - 1 / mine.p), nan=1.0)
            """,
        ],
    )


PQ_MEAN = Question(
    "pq_mean",
    9,
    pq_mean_exercise,
    """
    tried = torch.tensor([[2.0, -2.0, 2.0, 2.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    answer = pq_mean(tried)
    assert answer.shape == (3,), "There is one value for each vector."
    assert abs(answer[0] + 1) < 1e-5, f"Entries of equal size have the value -1; got {answer[0]}."
    one_hot = -(4.0 ** (1 / mine.q - 1 / mine.p))
    assert abs(answer[1] - one_hot) < 1e-5, f"One of four: {one_hot:.4f}; got {answer[1]}."
    assert abs(answer[2] + 1) < 1e-5, "The zero vector has the value -1."
    """,
)


# --- Against the null -----------------------------------------------------------------------------


def against_null_exercise(mine: Parameters) -> Exercise:
    def against_null(z, noise):
        """Compare a layer's sparseness with that of noise under the same activation function.

        z: float tensor (n, d), the layer's pre-activations.
        noise: float tensor (m, d), standard normal.
        The activation function leaves what is above 0 and multiplies the rest by mine.slope. The
        null is that function of noise that has, for each unit, the unit's mean and (sample)
        standard deviation. Sparseness is Hoyer's.

        Returns three numbers: the mean sparseness of the layer's activations; that of the null; and
        their difference, layer minus null, in standard deviations between vectors of the null.
        """

        def hoyer(z):
            h = torch.where(z > 0, z, mine.slope * z)
            root = math.sqrt(h.shape[1])
            return (root - h.abs().sum(1) / h.norm(dim=1)) / (root - 1)

        found, null = hoyer(z), hoyer(z.mean(0) + z.std(0) * noise)
        difference = found.mean() - null.mean()
        return float(found.mean()), float(null.mean()), float(difference / null.std())

    def sparseness(z, slope=mine.slope):
        h = torch.where(z > 0, z, slope * z)
        root = math.sqrt(h.shape[1])
        return (root - h.abs().sum(1) / h.norm(dim=1)) / (root - 1)

    def layers(rng: np.random.Generator) -> Iterator[Case]:
        for _ in range(4):
            n, m, d = (int(rng.integers(low, low + 20)) for low in (25, 50, 12))
            mean, std = rng.normal(0.3, 1, d), rng.uniform(0.3, 2, d)
            mean[:2] += 9  # so that no vector is zero behind a ReLU
            both = rng.normal(size=(n, 1))  # what moves all units together
            z = mean + std * (0.7 * both + 0.7 * rng.normal(size=(n, d)))
            noise = rng.normal(size=(m, d))
            tried = f"{n} vectors of {d} units, {m} of noise, the first {z[0, 0]:.3f}"
            yield Case(tried, (torch.tensor(z), torch.tensor(noise)))

    def told(found, null, scale=None):
        difference = found.mean() - null.mean()
        return (
            float(found.mean()),
            float(null.mean()),
            float(difference / (null.std() if scale is None else scale)),
        )

    def fitted(z, noise):
        return z.mean(0) + z.std(0) * noise

    def of_relu(z, noise):
        return told(sparseness(z, 0.0), sparseness(fitted(z, noise), 0.0))

    def of_the_mean(z, noise):
        null = sparseness(fitted(z, noise))
        return told(sparseness(z), null, null.std() / math.sqrt(len(null)))

    def turned(z, noise):
        found, null, difference = against_null(z, noise)
        return found, null, -difference

    def plain(z, noise):
        found, null = sparseness(z), sparseness(fitted(z, noise))
        return float(found.mean()), float(null.mean()), float(found.mean() - null.mean())

    return Exercise(
        id="probes.against_null",
        chapter="12_measuring",
        title="what noise would give",
        difficulty=3,
        minutes=30,
        why="An activation function makes noise sparse too. What a network learned is the rest.",
        task="""
            Hold a layer's sparseness against its null. Your activation function is a leaky ReLU of
            slope `mine.slope`. The null has the mean and the spread of each unit, and nothing of
            what units do together.
            """,
        hint="""
            `z.mean(0)` and `z.std(0)` have a number for each unit. The same function of sparseness
            serves layer and null: activation first, then Hoyer, then a mean over the vectors.
            """,
        reference=against_null,
        cases=layers,
        wrong=[
            Wrong(
                lambda z, noise: told(sparseness(z), sparseness(noise)),
                "Your null has mean 0 and spread 1. It is to have those of the layer's units.",
            ),
            Wrong(
                lambda z, noise: told(sparseness(z), sparseness(z.mean() + z.std() * noise)),
                "Your null has one mean and one spread for all units. Each unit has its own.",
            ),
            Wrong(
                lambda z, noise: told(sparseness(z), sparseness(fitted(z, noise), 1.0)),
                "Your null is without the activation function, which makes much of the sparseness.",
            ),
            Wrong(
                of_relu,
                "You applied a ReLU. Yours multiplies what is below 0 by mine.slope.",
            ),
            Wrong(
                lambda z, noise: told(sparseness(z, 1.0), sparseness(fitted(z, noise), 1.0)),
                "You left out the activation function: z is what comes before it.",
            ),
            Wrong(
                of_the_mean,
                "You divided by √m: that is the spread of a mean. Asked for is that between "
                "vectors.",
            ),
            Wrong(turned, "Your difference has the wrong sign. It is layer minus null."),
            Wrong(plain, "Your difference is not in standard deviations of the null yet."),
        ],
        right=[
            """
            def against_null(z, noise):
                from course_lib import probes
                leaky = torch.nn.LeakyReLU(mine.slope)
                h, null = leaky(z), leaky(torch.addcmul(z.mean(0), z.std(0), noise))
                a, b = probes.hoyer(h), probes.hoyer(null)
                return [a.mean(), b.mean(), (a.mean() - b.mean()) / b.std()]
            """,
            """
            def against_null(z, noise):
                z, noise = z.numpy(), noise.numpy()
                def values(v):
                    v = np.maximum(v, mine.slope * v)
                    d = v.shape[1]
                    ratio = np.abs(v).sum(1) / np.sqrt((v**2).sum(1) * d)
                    return (1 - ratio) / (1 - d**-0.5)
                a, b = values(z), values(z.mean(0) + z.std(0, ddof=1) * noise)
                return a.mean(), b.mean(), (a.mean() - b.mean()) / b.std(ddof=1)
            """,
        ],
    )


AGAINST_NULL = Question(
    "against_null",
    9,
    against_null_exercise,
    """
    draw = torch.Generator().manual_seed(0)
    tried = torch.randn(3000, 20, generator=draw).double()
    answer = against_null(tried, torch.randn(3000, 20, generator=draw).double())
    assert len(answer) == 3, "Return the layer's sparseness, the null's, and the difference."
    assert abs(answer[0] - answer[1]) < 0.01, "A layer of noise is as sparse as its null."
    assert abs(answer[2]) < 0.1, f"So their difference is nearly 0; got {answer[2]:.3f}."
    moved = against_null(tried + 2, torch.randn(3000, 20, generator=draw).double())
    assert moved[1] < answer[1], "With a higher mean fewer units are below 0, in the null too."
    """,
)


# --- The first layer's arithmetic -----------------------------------------------------------------


def switched_exercise(mine: Parameters) -> Exercise:
    def switched(W, b, x):
        """Say which share of a first layer's units a shift turns off, and which it turns on.

        W, b: float tensors (units, d) and (units,), the layer's weights and bias.
        x: float tensor (n, d), images with pixels in [0, 1].
        The shift moves every pixel by the share mine.strength of its way towards mine.grey. A unit
        is on for an image if W x + b is above 0.

        Returns two numbers: of all pairs of an image and a unit, the share that is on before and
        off after the shift, and the share that is off before and on after.
        """
        shifted = x + mine.strength * (mine.grey - x)
        before, after = x @ W.T + b > 0, shifted @ W.T + b > 0
        off, on = before & ~after, ~before & after
        return off.double().mean().item(), on.double().mean().item()

    def layers(rng: np.random.Generator) -> Iterator[Case]:
        for _ in range(4):
            n, units, d = (int(rng.integers(low, low + 15)) for low in (30, 25, 9))
            W, b = rng.normal(0.1, 1, (units, d)), rng.normal(0.3, 0.7, units)
            x = rng.uniform(0, 1, (n, d)) ** 2
            tried = f"{n} images of {d} pixels, {units} units, the first weight {W[0, 0]:.3f}"
            yield Case(tried, (torch.tensor(W), torch.tensor(b), torch.tensor(x)))

    def of(before, after):
        return (before & ~after).double().mean(), (~before & after).double().mean()

    def grey_of(x, grey, strength=mine.strength):
        return x + strength * (grey - x)

    def moved_to(grey, strength=mine.strength, bias=1.0):
        def wrong(W, b, x):
            shifted = grey_of(x, grey, strength)
            return of(x @ W.T + bias * b > 0, shifted @ W.T + bias * b > 0)

        return wrong

    def of_the_layer(W, b, x):
        z = x @ W.T + b
        return of(z > 0, grey_of(z, mine.grey) > 0)

    def of_those_before(W, b, x):
        before = (x @ W.T + b > 0).double().mean()
        off, on = switched(W, b, x)
        return off / before, on / (1 - before)

    def counts(W, b, x):
        return [share * len(x) * len(W) for share in switched(W, b, x)]

    return Exercise(
        id="probes.switched",
        chapter="13_shifts",
        title="the first layer's plain arithmetic",
        difficulty=2,
        minutes=20,
        why="A first layer gets sparser or denser under a shift before anything is learned.",
        task="""
            Your dial moves images towards the grey `mine.grey`, by the strength `mine.strength`:
            0 leaves an image as it is, 1 makes it all grey. Count what that does to a layer of
            ReLUs: who is turned off, and who on.
            """,
        hint="""
            `x @ W.T + b` has a row for each image and a column for each unit. `before & ~after`
            is True where a unit was on and is no more. As numbers, booleans have a share as mean.
            """,
        reference=switched,
        cases=layers,
        wrong=[
            Wrong(
                moved_to(mine.grey, bias=0.0),
                "You left out the bias. It does not move with the pixels.",
            ),
            Wrong(
                of_the_layer,
                "You moved the layer's pre-activations. The shift moves the pixels.",
            ),
            Wrong(
                moved_to(0.0),
                "You moved the pixels towards 0, by a factor only. They go towards mine.grey.",
            ),
            Wrong(moved_to(0.5), "You moved the pixels towards 0.5. Your grey is mine.grey."),
            Wrong(
                moved_to(mine.grey, 1 - mine.strength),
                "You left of the image what should go: at strength 1 all is grey.",
            ),
            Wrong(
                lambda W, b, x: switched(W, b, x)[::-1],
                "You exchanged the two: first the share that is turned off.",
            ),
            Wrong(
                of_those_before,
                "You divided by those that were on, or off, before. Divide by all pairs.",
            ),
            Wrong(counts, "You returned counts. The question asks for shares of all pairs."),
        ],
        right=[
            """
            def switched(W, b, x):
                z = torch.nn.functional.linear(x, W, b)
                # The pre-activation of a mixture is the mixture of pre-activations.
                grey = mine.grey * W.sum(1) + b
                mixed = (1 - mine.strength) * z + mine.strength * grey
                change = (mixed > 0).int() - (z > 0).int()
                return [float((change == sign).double().mean()) for sign in (-1, 1)]
            """,
            """
            def switched(W, b, x):
                off = on = 0
                for image in x.numpy():
                    new = (1 - mine.strength) * image + mine.strength * mine.grey
                    for w, c in zip(W.numpy(), b.numpy()):
                        was, now = w @ image + c > 0, w @ new + c > 0
                        off, on = off + (was and not now), on + (now and not was)
                return off / len(x) / len(W), on / len(x) / len(W)
            """,
        ],
    )


SWITCHED = Question(
    "switched",
    9,
    switched_exercise,
    """
    W, x = torch.tensor([[1.0]]), torch.tensor([[0.0], [1.0]])
    b = torch.tensor([-mine.strength * mine.grey / 2])
    answer = switched(W, b, x)
    assert len(answer) == 2, "Return the share that is turned off and the one that is turned on."
    assert tuple(answer) == (0, 0.5), "The black image gets brighter and turns the unit on."
    answer = switched(-W, -b, x)
    assert tuple(answer) == (0.5, 0), "With all signs turned round, it turns the unit off."
    """,
)


# --- AUROC within classes -------------------------------------------------------------------------


def within_classes_exercise(mine: Parameters) -> Exercise:
    def within_classes(signal, shifted, label):
        """Return the AUROC of a signal for "shifted", with inputs compared within classes only.

        signal: float tensor (n,), for example a sparsity. Values may be equal.
        shifted: boolean tensor (n,), True for shifted inputs.
        label: tensor of whole numbers (n,), the class of each input.
        The AUROC of a class is the share of its pairs of a shifted and a familiar input in which
        the shifted one has the larger signal; equal signals count half. Classes without a pair are
        left out. mine.weighting says how classes are averaged: "equal", each counts the same, or
        "pairs", each counts by its number of pairs.

        Returns a number.
        """
        areas, pairs = [], []
        for one in label.unique():
            high, low = signal[(label == one) & shifted], signal[(label == one) & ~shifted]
            if len(high) and len(low):
                wins = (high[:, None] > low).double() + 0.5 * (high[:, None] == low).double()
                areas.append(wins.mean().item())
                pairs.append(len(high) * len(low))
        return float(np.average(areas, weights=pairs if mine.weighting == "pairs" else None))

    def inputs(rng: np.random.Generator) -> Iterator[Case]:
        for _ in range(4):
            sizes = [(int(rng.integers(3, 6)) * k, int(rng.integers(4, 9))) for k in (1, 2, 3)]
            sizes.append((int(rng.integers(3, 6)), 0))  # a class without a pair
            parts = []
            for one, (n_high, n_low) in enumerate(sizes):
                for n, is_shifted in ((n_high, True), (n_low, False)):
                    values = (one + rng.normal(0.5 * one * is_shifted, 1.2, n)).round(1)
                    parts += [(value, is_shifted, one) for value in values]
            # Some ties in each class.
            for one, (n_high, n_low) in enumerate(sizes[:3]):
                at = next(i for i, part in enumerate(parts) if part[2] == one)
                for k in range(min(n_low, 2 + one)):
                    parts[at + n_high + k] = (parts[at][0], False, one)
            parts = [parts[i] for i in rng.permutation(len(parts))]
            signal, shifted, label = zip(*parts, strict=True)
            tried = f"{len(parts)} inputs of 4 classes, {sum(shifted)} shifted, {signal[0]} first"
            yield Case(
                tried,
                (
                    torch.tensor(signal, dtype=torch.float64),
                    torch.tensor(shifted),
                    torch.tensor(label),
                ),
            )

    def averaged(tie=0.5, weighting=mine.weighting):
        def wrong(signal, shifted, label):
            areas, weights = [], []
            for one in label.unique():
                high, low = signal[(label == one) & shifted], signal[(label == one) & ~shifted]
                if len(high) and len(low):
                    pair = high[:, None], low
                    wins = torch.gt(*pair).double() + tie * torch.eq(*pair).double()
                    areas.append(float(wins.mean()))
                    n = {"equal": 1, "pairs": wins.numel(), "items": len(high) + len(low)}
                    weights.append(n[weighting])
            return float(np.average(areas, weights=weights))

        return wrong

    def pooled(signal, shifted, label):
        return averaged(weighting="equal")(signal, shifted, torch.zeros_like(label))

    other = {"equal": "pairs", "pairs": "equal"}[mine.weighting]
    return Exercise(
        id="probes.within_classes",
        chapter="13_shifts",
        title="an AUROC within classes",
        difficulty=3,
        minutes=25,
        why="If shifted inputs are of other classes, a signal may tell classes and not shifts.",
        task="""
            Some classes are sparser than others, whatever is done to their inputs. So compare a
            shifted input with familiar ones of its own class only, and average over classes as
            `mine.weighting` says.
            """,
        hint="""
            `high[:, None] > low` compares all pairs of two tensors at once. Go through the classes
            and keep an area and a number of pairs of each. `np.average` takes weights.
            """,
        reference=within_classes,
        cases=inputs,
        wrong=[
            Wrong(
                pooled,
                "You compared inputs of all classes. Pairs are of the same class only.",
            ),
            Wrong(averaged(tie=0.0), "You counted ties as lost. Equal signals count half."),
            Wrong(averaged(tie=1.0), "You counted ties as won. Equal signals count half."),
            Wrong(
                lambda *inputs: 1 - within_classes(*inputs),
                "Your AUROC is for familiar inputs to be larger. It is for the shifted ones.",
            ),
            Wrong(
                averaged(weighting=other),
                'You averaged classes the other way. mine.weighting says "equal" or "pairs".',
            ),
            Wrong(
                averaged(weighting="items"),
                "You weighted classes by their number of inputs. Look at mine.weighting.",
            ),
        ],
        right=[
            """
            def within_classes(signal, shifted, label):
                wins, pairs = {}, {}
                items = list(zip(signal.tolist(), shifted.tolist(), label.tolist()))
                for a, moved, one in items:
                    for b, other, same in items:
                        if moved and not other and one == same:
                            wins[one] = wins.get(one, 0) + (a > b) + (a == b) / 2
                            pairs[one] = pairs.get(one, 0) + 1
                if mine.weighting == "pairs":
                    return sum(wins.values()) / sum(pairs.values())
                return sum(wins[one] / pairs[one] for one in wins) / len(wins)
            """,
            """
            def within_classes(signal, shifted, label):
                areas, weights = [], []
                for one in set(label.tolist()):
                    a, b = signal[shifted & (label == one)], signal[~shifted & (label == one)]
                    if len(a) == 0 or len(b) == 0:
                        continue
                    n = len(a) * len(b)
                    areas.append(stats.mannwhitneyu(a, b).statistic / n)
                    weights.append(n if mine.weighting == "pairs" else 1)
                return np.dot(areas, weights) / np.sum(weights)
            """,
        ],
    )


WITHIN_CLASSES = Question(
    "within_classes",
    9,
    within_classes_exercise,
    """
    tried = torch.tensor([5.0, 4.0, 0.3, 0.3, 9.0])
    shifted = torch.tensor([True, False, True, False, True])
    answer = within_classes(tried, shifted, torch.tensor([1, 1, 2, 2, 3]))
    assert abs(answer - 0.75) < 1e-9, (
        f"Class 1 has one pair, which is won; class 2 one, a tie; class 3 none: 0.75; got {answer}."
    )
    """,
)


# --- Items and bins -------------------------------------------------------------------------------


def two_correlations_exercise(mine: Parameters) -> Exercise:
    def two_correlations(difficulty, signal):
        """Return the rank correlation of a signal with difficulty, over items and over bins.

        difficulty, signal: float tensors (n,). No two values of either are equal, and n is a
            multiple of mine.bins.
        The bins are mine.bins groups of equally many items, the easiest in the first. A bin has the
        mean difficulty and the mean signal of its items.

        Returns two numbers: Spearman's correlation over the items, and that over the bins.
        """

        def spearman(x, y):
            ranks = torch.stack([v.argsort().argsort().double() for v in (x, y)])
            return torch.corrcoef(ranks)[0, 1].item()

        bins = signal[difficulty.argsort()].reshape(mine.bins, -1).mean(1)
        return spearman(difficulty, signal), spearman(torch.arange(mine.bins), bins)

    def items(rng: np.random.Generator) -> Iterator[Case]:
        for weak in (0.15, -0.2, 0.3, 0.1):
            n = mine.bins * (mine.bins + int(rng.integers(4, 8)))
            difficulty = rng.exponential(1, n)
            signal = np.exp(weak * difficulty + 0.6 * rng.normal(size=n))
            tried = f"{n} items, the first of difficulty {difficulty[0]:.3f}"
            yield Case(tried, (torch.tensor(difficulty), torch.tensor(signal)))

    def correlation(x, y, ranked=True):
        if ranked:
            return float(stats.spearmanr(x, y).statistic)
        return float(np.corrcoef(x, y)[0, 1])

    def means(x, y, by, n_bins=mine.bins):
        order = by.argsort()
        return [v[order].reshape(n_bins, -1).mean(1) for v in (x, y)]

    def pearson(x, y):
        return correlation(x, y, False), correlation(*means(x, y, x), False)

    def of_width(x, y):
        edges = np.linspace(float(x.min()), float(x.max()), mine.bins + 1)
        number = np.digitize(x, edges[1:-1])
        held = [number == k for k in np.unique(number)]
        centres = [np.array([v[h].mean() for h in held]) for v in (x.numpy(), y.numpy())]
        return correlation(x, y), correlation(*centres)

    return Exercise(
        id="probes.two_correlations",
        chapter="13_shifts",
        title="item by item, and in bins",
        difficulty=2,
        minutes=20,
        why="Averaging can make a weak relation look perfect. Both numbers are true.",
        task="""
            Compute both: the rank correlation over items, and the one over the means of
            `mine.bins` bins. Below, you see how far they are apart.
            """,
        hint="""
            `x.argsort().argsort()` gives ranks. Sort the signal by difficulty, fold it into rows of
            one bin each with `reshape`, and average each row.
            """,
        reference=two_correlations,
        cases=items,
        wrong=[
            Wrong(
                pearson,
                "You correlated the values. Spearman's correlation is that of their ranks.",
            ),
            Wrong(
                lambda x, y: (correlation(x, y), correlation(*means(x, y, y))),
                "You made the bins by the signal. They go by difficulty.",
            ),
            Wrong(
                lambda x, y: (correlation(x, y), correlation(*means(x, y, torch.arange(len(x))))),
                "Your bins hold items as they come. Sort the items by difficulty first.",
            ),
            Wrong(
                lambda x, y: (correlation(x, y), correlation(*means(x, y, x, len(x) // mine.bins))),
                "Your bins hold mine.bins items each. There are to be mine.bins of them.",
            ),
            Wrong(
                of_width,
                "Your bins are of equal width. They are to hold equally many items each.",
            ),
            Wrong(
                lambda x, y: two_correlations(x, y)[::-1],
                "You exchanged the two: first the correlation over items.",
            ),
            Wrong(
                lambda x, y: tuple(-value for value in two_correlations(x, y)),
                "Both have the wrong sign: you ranked one of the two the other way round.",
            ),
        ],
        right=[
            """
            def two_correlations(difficulty, signal):
                from course_lib import probes
                items = probes.spearman(difficulty, signal)
                return items, probes.binned_spearman(difficulty, signal, bins=mine.bins)
            """,
            """
            def two_correlations(difficulty, signal):
                pairs = sorted(zip(difficulty.tolist(), signal.tolist()))
                size = len(pairs) // mine.bins
                bins = [np.mean(pairs[k * size : (k + 1) * size], axis=0) for k in range(mine.bins)]
                return [stats.spearmanr(*zip(*rows)).statistic for rows in (pairs, bins)]
            """,
        ],
    )


TWO_CORRELATIONS = Question(
    "two_correlations",
    9,
    two_correlations_exercise,
    """
    tried = torch.arange(5.0 * mine.bins)
    answer = two_correlations(tried, tried**3)
    assert len(answer) == 2, "Return the correlation over items and the one over bins."
    assert all(abs(r - 1) < 1e-6 for r in answer), f"Where all grows, both are 1; got {answer}."
    answer = two_correlations(-tried, tried)
    assert all(abs(r + 1) < 1e-6 for r in answer), f"Where all falls, both are -1; got {answer}."
    wave = tried + 7 * torch.tensor([0.0, 1, 0, -1, 0.5]).repeat(mine.bins)
    items, bins = two_correlations(tried, wave)
    assert items < bins - 1e-4, "Within a bin the signal goes up and down; the means do not."
    """,
)


# --- Calibration ----------------------------------------------------------------------------------


def calibration_exercise(mine: Parameters) -> Exercise:
    def calibration(confidence, correct):
        """Return the expected calibration error of a network's confidence.

        confidence: float tensor (n,), in (0, 1). No value is a multiple of 1 / mine.cells.
        correct: boolean tensor (n,), whether each answer is right.
        There are mine.cells bins of equal width from 0 to 1. A bin's gap is the distance of its
        mean confidence from its share of right answers. Bins without items are left out.

        Returns the mean gap, each bin weighted by its number of items.
        """
        number = (confidence * mine.cells).floor()
        error = 0.0
        for one in number.unique():
            inside = number == one
            gap = confidence[inside].mean() - correct[inside].double().mean()
            error += gap.abs().item() * inside.sum().item() / len(confidence)
        return error

    def answers(rng: np.random.Generator) -> Iterator[Case]:
        for _ in range(4):
            n = int(rng.integers(60, 100))
            confidence = rng.beta(2.5, 1.2, n) * 0.98 + 0.01
            # Too sure where it is sure, and not sure enough where it is not.
            correct = rng.uniform(size=n) < 0.35 + 0.4 * confidence
            tried = f"{n} answers, the first with confidence {confidence[0]:.3f}"
            yield Case(tried, (torch.tensor(confidence), torch.tensor(correct)))

    def gaps(confidence, correct, cells=mine.cells):
        number = (confidence * cells).floor()
        inside = [number == one for one in number.unique()]
        gap = [float(confidence[i].mean() - correct[i].double().mean()) for i in inside]
        return np.array(gap), np.array([float(i.double().mean()) for i in inside])

    def summed(function):
        return lambda confidence, correct: float(function(*gaps(confidence, correct)))

    def of_equal_counts(confidence, correct):
        parts = np.array_split(confidence.argsort().numpy(), mine.cells)
        gap = [float(confidence[p].mean() - correct[p].double().mean()) for p in parts]
        return float(np.average(np.abs(gap), weights=[len(p) for p in parts]))

    def of_ten(confidence, correct):
        gap, share = gaps(confidence, correct, 10)
        return float((np.abs(gap) * share).sum())

    return Exercise(
        id="probes.calibration",
        chapter="13_shifts",
        title="the calibration error",
        difficulty=2,
        minutes=20,
        why="A confidence is worth something if it says how often the network is right.",
        task="""
            Write the expected calibration error (Guo et al.,
            [2017](https://arxiv.org/abs/1706.04599)) with `mine.cells` bins.
            """,
        hint="""
            `(confidence * mine.cells).floor()` is the number of each item's bin. A bin's weight is
            its share of the items. Take the absolute value of each bin's gap before you add.
            """,
        reference=calibration,
        cases=answers,
        wrong=[
            Wrong(
                summed(lambda gap, share: np.abs(gap).mean()),
                "You gave each bin the same weight. It counts by its number of items.",
            ),
            Wrong(
                summed(lambda gap, share: np.abs(gap).max()),
                "You took the largest gap. The question asks for the mean.",
            ),
            Wrong(
                summed(lambda gap, share: abs((gap * share).sum())),
                "You added the gaps with their signs, so they cancel.",
            ),
            Wrong(
                summed(lambda gap, share: np.sqrt((gap**2 * share).sum())),
                "You squared the gaps. It is their distance that is averaged.",
            ),
            Wrong(
                of_equal_counts,
                "Your bins hold equally many items. They are to be of equal width.",
            ),
            Wrong(of_ten, "You took ten bins. Yours are mine.cells."),
            Wrong(
                lambda confidence, correct: float((confidence - correct.double()).abs().mean()),
                "You took each item for a bin. An answer is right or wrong, a share is in between.",
            ),
        ],
        right=[
            """
            def calibration(confidence, correct):
                from course_lib import probes
                return probes.expected_calibration_error(confidence, correct, bins=mine.cells)
            """,
            """
            def calibration(confidence, correct):
                gaps = [0.0] * mine.cells
                for p, right in zip(confidence.tolist(), correct.tolist()):
                    gaps[int(p * mine.cells)] += p - right
                return sum(abs(gap) for gap in gaps) / len(confidence)
            """,
        ],
    )


CALIBRATION = Question(
    "calibration",
    10,
    calibration_exercise,
    """
    low, high = 0.6 / mine.cells, 1 - 0.6 / mine.cells
    tried = torch.tensor([low, low, low, high], dtype=torch.float64)
    answer = calibration(tried, torch.tensor([False, False, False, True]))
    expected = 0.6 / mine.cells
    assert abs(answer - expected) < 1e-9, f"Both bins are off by {expected:.4f}; got {answer:.4f}."
    """,
)


# --- Do the architectures agree? ------------------------------------------------------------------


def agreement_exercise(mine: Parameters) -> Exercise:
    def agreement(arms):
        """Judge the claim that the direction of an effect does not depend on the architecture.

        arms: dictionary by architecture of lists, the AUROCs of several seeds.
        The interval of an arm is that of Student's t around its mean, two-sided, with the level
        1 - 0.05 / m for m arms. An arm says "sparser" if its interval lies above mine.least, and
        "less sparse" if it lies below 1 - mine.least; otherwise it says nothing.

        Returns (intervals, outcome): a dictionary by architecture of pairs (low, high), and a whole
        number: 1 if all arms say the same of the two, so the claim holds; -1 if one arm says
        "sparser" and another one "less sparse", so it fails; 0 otherwise.
        """
        intervals, said = {}, set()
        for name, areas in arms.items():
            t = stats.t.ppf(1 - 0.025 / len(arms), len(areas) - 1)
            half = t * np.std(areas, ddof=1) / math.sqrt(len(areas))
            low, high = float(np.mean(areas) - half), float(np.mean(areas) + half)
            intervals[name] = (low, high)
            said.add(1 if low > mine.least else -1 if high < 1 - mine.least else 0)
        outcome = -1 if {1, -1} <= said else 0 if 0 in said else 1
        return intervals, outcome

    half_width = 0.04

    def tables(rng: np.random.Generator) -> Iterator[Case]:
        up, between = mine.least + half_width, (0.5 + mine.least) / 2 + half_width
        # Means of the arms. `between`: the interval is above 0.5, and not above mine.least.
        for means in (
            (up + 0.05, up + 0.02, up + 0.09),
            (up + 0.03, 1 - up - 0.03, 0.5),
            (up + 0.04, between, up + 0.03, up + 0.01),
            (1 - up - 0.03, 1 - up - 0.05),
            (up + 0.02, 0.51, up + 0.04),
            (up + 0.02, 0.48, up + 0.04),
        ):
            arms = {}
            for number, mean in enumerate(means):
                n = int(rng.integers(5, 8))
                noise = rng.normal(size=n)
                noise -= noise.mean()
                noise *= half_width / width(noise, len(means))
                arms[f"arm{number + 1}"] = [float(value) for value in mean + noise]
            yield Case(f"{len(means)} arms, {arms['arm1'][0]:.3f} first", (arms,))

    def width(areas, m, level=0.05, quantile="t", ddof=1, root=True):
        tail = 1 - level / 2 / m
        q = stats.norm.ppf(tail) if quantile == "normal" else stats.t.ppf(tail, len(areas) - 1)
        return q * np.std(areas, ddof=ddof) / (math.sqrt(len(areas)) if root else 1)

    def judged(intervals, least=mine.least, lenient=False, opposite=True):
        said = {1 if a > least else -1 if b < 1 - least else 0 for a, b in intervals.values()}
        if lenient:
            said -= {0}
        if {1, -1} <= said:
            return intervals, -1 if opposite else 0
        return intervals, 0 if 0 in said else 1

    def changed(together=True, least=mine.least, lenient=False, opposite=True, **kwargs):
        def wrong(arms):
            m, found = len(arms) if together else 1, {}
            for name, areas in arms.items():
                half = width(areas, m, **kwargs)
                found[name] = (float(np.mean(areas) - half), float(np.mean(areas) + half))
            return judged(found, least, lenient, opposite)

        return wrong

    def by_means(arms):
        intervals, _ = agreement(arms)
        return intervals, judged({n: (np.mean(a), np.mean(a)) for n, a in arms.items()}, 0.5)[1]

    return Exercise(
        id="probes.agreement",
        chapter="13_shifts",
        title="do the architectures agree?",
        difficulty=3,
        minutes=30,
        why="One architecture shows an effect of its own. A law has to show in all.",
        task="""
            You have the AUROCs of several architectures, each with several seeds. Judge whether
            they all say the same. Their intervals are to hold together, and an AUROC between
            `1 - mine.least` and `mine.least` is too near to one half to say anything.
            """,
        hint="""
            The upper quantile is `stats.t.ppf(1 - 0.05 / m / 2, n - 1)`. Note first what each arm
            says, then look at what was said: both directions, one of them, or nothing too.
            """,
        reference=agreement,
        cases=tables,
        wrong=[
            Wrong(
                changed(together=False),
                "Your intervals have the level 95% each. With m arms it is 1 − 0.05 / m.",
            ),
            Wrong(
                changed(quantile="normal"),
                "You used the normal distribution. With so few seeds its intervals are too narrow.",
            ),
            Wrong(changed(ddof=0), "You divided by n in the standard deviation. It is n − 1."),
            Wrong(
                changed(level=0.1),
                "You left all of what the level leaves to each side. Two sides share it.",
            ),
            Wrong(changed(root=False), "You left out √n: it is the interval of the mean."),
            Wrong(
                changed(least=0.5),
                "You compared the intervals with 0.5. What counts lies beyond mine.least.",
            ),
            Wrong(
                changed(lenient=True),
                "You passed over arms that say nothing. The claim holds only if all say the same.",
            ),
            Wrong(
                changed(opposite=False),
                "Two arms say opposite things, which refutes the claim: -1. You say 0.",
            ),
            Wrong(by_means, "Your outcome goes by the means. The whole interval has to say it."),
        ],
        right=[
            """
            def agreement(arms):
                intervals = {}
                for name, a in arms.items():
                    level = 1 - 0.05 / len(arms)
                    intervals[name] = stats.t.interval(level, len(a) - 1, np.mean(a), stats.sem(a))
                up = [low > mine.least for low, _ in intervals.values()]
                down = [high < 1 - mine.least for _, high in intervals.values()]
                if any(up) and any(down):
                    return intervals, -1
                return intervals, int(all(up) or all(down))
            """,
            """
            def agreement(arms):
                from course_lib import evidence
                found = {
                    name: evidence.t_interval(a, 1 - 0.05 / len(arms)) for name, a in arms.items()
                }
                says = [(i.low > mine.least) - (i.high < 1 - mine.least) for i in found.values()]
                outcome = -1 if max(says) - min(says) == 2 else abs(sum(says)) // len(says)
                return {name: [i.low, i.high] for name, i in found.items()}, outcome
            """,
        ],
    )


AGREEMENT = Question(
    "agreement",
    10,
    agreement_exercise,
    """
    high, low = [0.9, 0.91, 0.92], [0.1, 0.09, 0.08]
    intervals, outcome = agreement({"MLP": high, "conv": low})
    assert set(intervals) == {"MLP", "conv"}, "There is an interval for each arm, by its name."
    assert intervals["MLP"][0] < 0.91 < intervals["MLP"][1], "The mean lies inside the interval."
    assert outcome == -1, "One arm is far above one half and the other far below: -1."
    assert agreement({"MLP": high, "conv": high})[1] == 1, "Both say the same: 1."
    assert agreement({"MLP": high, "conv": [0.3, 0.7, 0.5]})[1] == 0, "One says nothing: 0."
    """,
)

QUESTIONS = (
    PQ_MEAN,
    AGAINST_NULL,
    SWITCHED,
    WITHIN_CLASSES,
    TWO_CORRELATIONS,
    CALIBRATION,
    AGREEMENT,
)
