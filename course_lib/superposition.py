"""Toy models of superposition: more features than dimensions, when features are rarely present.

x̂ = ReLU(Wᵀ W x + b): n features go through m < n dimensions and back. Column W_i is the direction
of feature i. Many models train at once, stacked: S of them are one batched product. Chapter 05
introduces it.

*Sparsity is the probability of zero here*: `p_zero` = 0.9 means that a feature is absent in nine
inputs of ten.

Source: Elhage et al. 2022, "Toy models of superposition" (2209.10652).
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.seeds import generator
from course_lib.training import default_device

PAIRS = ("independent", "correlated", "anticorrelated")
CHUNK = 2**16  # numbers that are drawn at once for one model


class ToyModels(nn.Module):
    """S models x̂ = out(Wᵀ hid(W x) + b), stacked: `(S, B, n)` to `(S, B, n)`.

    `W` is `(S, m, n)` and `b` is `(S, n)`. No model sees another.

    Args:
        n: number of features.
        m: number of dimensions, or of neurons if the hidden layer has a ReLU.
        seeds: one for each model; it draws W, Xavier-normal, and later the model's inputs.
        hidden: `"linear"`, or `"relu"` for x̂ = out(Wᵀ ReLU(W x) + b). With a linear bottleneck, a
            rotation of W changes nothing, so its rows are no neurons; with a ReLU they are.
        output: `"relu"`, or `"linear"` for the linear model, which can do no better than PCA.

    Raises:
        ValueError: if a count is not a positive whole number, there is no seed, or `hidden` or
            `output` is another word.
    """

    def __init__(
        self, n: int, m: int, *, seeds: Sequence[int], hidden: str = "linear", output: str = "relu"
    ):
        super().__init__()
        _check_count("n", n)
        _check_count("m", m)
        for name, word in (("hidden", hidden), ("output", output)):
            if word not in ("linear", "relu"):
                raise ValueError(f'{name} is "linear" or "relu"; got {word!r}')
        self.seeds = [seeds] if isinstance(seeds, int | np.integer) else list(seeds)
        if not self.seeds:
            raise ValueError("seeds takes at least one seed")
        self.hidden, self.output = hidden, output
        size = (2 / (n + m)) ** 0.5
        start = [torch.randn(m, n, generator=generator(s, "superposition")) for s in self.seeds]
        self.W = nn.Parameter(size * torch.stack(start))
        self.b = nn.Parameter(torch.zeros(len(self.seeds), n))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct the features of each model, (S, batch, n) in and out."""
        hidden = x @ self.W.transpose(1, 2)  # (S, B, n) @ (S, n, m)
        if self.hidden == "relu":
            hidden = hidden.relu()
        out = torch.baddbmm(
            self.b.unsqueeze(1), hidden, self.W
        )  # (S, 1, n) + (S, B, m) @ (S, m, n)
        return out.relu() if self.output == "relu" else out


# --- Data and loss --------------------------------------------------------------------------------


def features(
    rows: int, n: int, *, p_zero: float | Tensor, draw: torch.Generator, pairs: str = "independent"
) -> Tensor:
    """Draw inputs `(rows, n)`: a feature is zero with probability `p_zero`, else uniform in [0, 1].

    Args:
        rows: number of inputs.
        n: number of features.
        p_zero: in [0, 1): one number, or one for each feature, `(n,)`.
        draw: the generator.
        pairs: `"independent"`; or features 2i and 2i + 1 make a pair. `"correlated"`: both are
            present or both absent. `"anticorrelated"`: never both, which takes `p_zero` ≥ ½. The
            probability of each feature stays as it is.

    Raises:
        ValueError: if `p_zero` is outside its range or differs within a pair, `n` is odd with
            pairs, or `pairs` is another word.
    """
    p = _checked_p_zero(p_zero, n, pairs)
    return _present(_uniform(rows, n, pairs, draw), p, pairs, out=torch.empty(rows, n))


def loss(model: ToyModels, x: Tensor, importance: float | Tensor = 1.0) -> Tensor:
    """Return each model's loss, the mean over inputs of Σ_i I_i (x_i − x̂_i)², `(S,)`.

    Args:
        model: S models.
        x: inputs `(S, B, n)`, or `(B, n)` for all models the same.
        importance: I, one number, `(n,)` or `(S, n)`.
    """
    error, weight = _squared_errors(model, x), _weights(importance, x)
    if weight.ndim == 0:  # one product for each model, not for each number
        return weight * error.sum(-1).mean(-1)
    return (weight * error).sum(-1).mean(-1)


def loss_parts(model: ToyModels, x: Tensor, importance: float | Tensor = 1.0) -> Tensor:
    """Split each model's loss by what went wrong, `(S, 3)`; the three add up to `loss`.

    In order:

    - lost: features that are present (x_i > 0) and not `stored`;
    - misread: features that are present and stored, and read too weak or too strong;
    - phantom: features that are absent and read all the same, x̂_i².

    Without interference, and with biases of zero, the last two are zero where ‖W_i‖ = 1.

    Args:
        model: S models.
        x: inputs `(S, B, n)`, or `(B, n)` for all models the same; none below 0.
        importance: as in `loss`.
    """
    error = (_weights(importance, x) * _squared_errors(model, x)).detach()
    present, kept = x > 0, stored(model.W).unsqueeze(1)  # (S, B, n) or (B, n), and (S, 1, n)
    parts = (present & ~kept, present & kept, ~present)
    return torch.stack([(error * part).sum(-1).mean(-1) for part in parts], dim=1)


def held_out(
    model: ToyModels, rows: int, *, p_zero: float | Tensor, pairs: str = "independent"
) -> Tensor:
    """Draw inputs that no training step saw, `(S, rows, n)`, for `loss` and `loss_parts`.

    Each model's seed draws its own, so models of the same seed get the same and can be paired.

    Args:
        model: S models; the inputs are put where they are.
        rows: inputs for each.
        p_zero: as in `fit`.
        pairs: as in `features`.

    Raises:
        ValueError: as `features` and `fit`.
    """
    _check_count("rows", rows)
    S, _, n = model.W.shape
    x = [
        features(rows, n, p_zero=p, draw=generator(s, "superposition held out"), pairs=pairs)
        for s, p in zip(model.seeds, _of_each(p_zero, S, n), strict=True)
    ]
    return torch.stack(x).to(model.W.device)


# --- Training -------------------------------------------------------------------------------------


class Gradients:
    """The gradient of `loss` in closed form, by the chain rule, in buffers that are used again.

    With h = hid(W x) and x̂ = out(Wᵀ h + b), of one model and B inputs, row by row:

    - g = (2 / B) I ⊙ (x̂ − x), zero where out is a ReLU and x̂ is 0: the loss by Wᵀ h + b;
    - the loss by b is Σ g, over the inputs;
    - W stands in the model twice. On the way out it has Σ h gᵀ, on the way in Σ (W g) xᵀ, where
      W g is zero where hid is a ReLU and h is 0; the gradient is their sum.

    Autograd finds the same numbers, with more copies of the inputs.

    Args:
        model: S models. Their parameters are read anew at each call.
        rows: B, the inputs of each model in one call.
        importance: as in `loss`.

    Attributes:
        W: the loss by W `(S, m, n)`, of the call before.
        b: the loss by b `(S, n)`.
    """

    def __init__(self, model: ToyModels, rows: int, importance: float | Tensor = 1.0):
        _check_count("rows", rows)
        self.model = model
        W, b = model.W.detach(), model.b.detach()
        S, m, n = W.shape
        self.W, self.b = torch.empty_like(W), torch.empty_like(b)
        self._scale = _weights(importance, W) / rows * 2
        self._parameters = W, W.transpose(1, 2), b.unsqueeze(1)  # the same memory
        self._out, self._error, self._g = (W.new_empty(S, rows, n) for _ in range(3))
        self._h, self._h_g = (W.new_empty(S, rows, m) for _ in range(2))
        self._way_in = W.new_empty(S, n, m)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Set `W` and `b` for inputs `(S, B, n)`; return each model's loss, `(S,)`."""
        W, Wt, b = self._parameters
        h, out, error, g, h_g = self._h, self._out, self._error, self._g, self._h_g
        torch.bmm(x, Wt, out=h)
        if self.model.hidden == "relu":
            h.relu_()
        torch.baddbmm(b, h, W, out=out)
        if self.model.output == "relu":
            out.relu_()
        torch.sub(out, x, out=error)
        torch.mul(error, self._scale, out=g)
        loss = torch.linalg.vecdot(g.flatten(1), error.flatten(1)) / 2
        if self.model.output == "relu":
            _zero_where_off(g, out)
        torch.sum(g, 1, out=self.b)
        torch.bmm(g, Wt, out=h_g)
        if self.model.hidden == "relu":
            _zero_where_off(h_g, h)
        torch.bmm(h.transpose(1, 2), g, out=self.W)
        torch.bmm(x.transpose(1, 2), h_g, out=self._way_in)
        self.W.add_(self._way_in.transpose(1, 2))
        return loss


def fit(
    model: ToyModels,
    *,
    steps: int,
    p_zero: float | Tensor,
    importance: float | Tensor = 1.0,
    pairs: str = "independent",
    batch_size: int = 1024,
    learning_rate: float = 3e-3,
    schedule: Callable[[float], float] | None = None,
    nonzeros: int | None = None,
    least: int = 1,
    anneal: float = 0.5,
    mask: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Train S toy models in place with Adam, on fresh inputs at each step; return their losses.

    A model's inputs depend on its own seed only, so it learns the same in any company, up to
    rounding.

    Args:
        model: the models.
        steps: number of steps, at least 1.
        p_zero: the probability of zero: one number, `(S,)`, or `(S, n)`.
        importance: I, one number, `(n,)` or `(S, n)`.
        pairs: as in `features`.
        batch_size: inputs of each model at each step.
        learning_rate: step size of Adam.
        schedule: multiplies the learning rate, given the share of training done, for example
            `training.cosine`.
        nonzeros: if given, after each step only so many weights of largest magnitude stay, of each
            model; others are zero, and may come back. The number falls from all to this one, in a
            straight line.
        least: of these, the fewest that each row of W (each neuron) keeps.
        anneal: the share of training in which the number falls, in [0, 1].
        mask: booleans `(S, m, n)`, for example from `random_mask`: fixed weights that may be other
            than zero, instead of `nonzeros`.
        device: where to train; the models stay there. By default `training.default_device()`.

    Returns:
        The loss of each step and model, float32 `(steps, S)` on the CPU.

    Raises:
        ValueError: if an argument is outside its range or of a wrong shape.
        FloatingPointError: if a loss is not finite.

    Source: Gao et al. 2025 (2511.13653) for weights that are projected after each step.
    """
    _check_count("steps", steps)
    _check_count("batch_size", batch_size)
    S, m, n = model.W.shape
    if mask is not None and (nonzeros is not None or mask.shape != model.W.shape):
        raise ValueError(
            f"mask must have shape {tuple(model.W.shape)} and go without nonzeros; got "
            f"{tuple(mask.shape)} and nonzeros={nonzeros!r}"
        )
    if nonzeros is not None:
        _check_nonzeros(nonzeros, least, m, n)
    if not 0 <= anneal <= 1:
        raise ValueError(f"anneal is a share of training in [0, 1]; got {anneal!r}")
    p = _of_each(p_zero, S, n)
    weight = torch.as_tensor(importance, dtype=torch.float32)
    if weight.shape not in ((), (n,), (S, n)) or not (weight >= 0).all():
        raise ValueError(
            f"importance must be at least 0, a number, ({n},) or ({S}, {n}); got {importance}"
        )
    device = torch.device(device) if device is not None else default_device()
    model.to(device)
    weight = weight.to(device)
    mask = None if mask is None else mask.to(model.W)
    fused = device.type in ("cpu", "cuda")
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=fused)
    batches = _batches(model.seeds, p, n, batch_size, pairs)
    gradients = Gradients(model, batch_size, weight)
    model.W.grad, model.b.grad = gradients.W, gradients.b  # which each step overwrites
    losses = torch.empty(steps, S, device=device)
    for step in range(steps):
        if schedule is not None:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * schedule(step / steps)
        losses[step] = gradients(next(batches).to(device))
        optimiser.step()
        if mask is not None:
            _keep(model, mask)
        if nonzeros is not None:
            done = min((step + 1) / (anneal * steps), 1.0) if anneal else 1.0
            allowed = round(m * n + (nonzeros - m * n) * done)
            _keep(model, largest(model.W.detach().abs(), allowed, least=least))
    model.zero_grad()
    losses = losses.cpu()
    if not torch.isfinite(losses).all():
        raise FloatingPointError(
            f"the loss is not finite; a smaller learning rate than {learning_rate} may help"
        )
    return losses


def largest(scores: Tensor, nonzeros: int, *, least: int = 1) -> Tensor:
    """Return booleans `(S, m, n)`: True at the `nonzeros` largest scores of each model.

    Each row keeps its `least` largest first, so that no neuron is cut off. Ties are broken by
    place, so the count is exact.

    Raises:
        ValueError: if `nonzeros` is more than the weights, or fewer than `least` for each row.
    """
    S, m, n = scores.shape
    _check_nonzeros(nonzeros, least, m, n)
    if least:
        top = scores.topk(least, dim=2).indices
        scores = scores.scatter(2, top, torch.inf)
    chosen = scores.flatten(1).topk(nonzeros, dim=1, sorted=False).indices  # (S, nonzeros)
    mask = torch.zeros(S, m * n, dtype=torch.bool, device=scores.device)
    return mask.scatter(1, chosen, True).view(S, m, n)


def random_mask(model: ToyModels, nonzeros: int, *, least: int = 1) -> Tensor:
    """Return booleans `(S, m, n)` with `nonzeros` True at random places of each model.

    The control for weights chosen by magnitude: it keeps as many, with as many at least in each
    row. Each model's seed draws its own.

    Raises:
        ValueError: as `largest`.
    """
    shape = model.W.shape[1:]
    scores = [torch.rand(shape, generator=generator(s, "superposition mask")) for s in model.seeds]
    return largest(torch.stack(scores), nonzeros, least=least)


# --- What was stored, and how ---------------------------------------------------------------------


def squared_norms(W: Tensor) -> Tensor:
    """Return ‖W_i‖² of each feature, `(…, m, n)` to `(…, n)`."""
    return W.detach().square().sum(-2)


def stored(W: Tensor, *, above: float = 0.5) -> Tensor:
    """Return which features are stored, ‖W_i‖² > ½: booleans, `(…, m, n)` to `(…, n)`.

    A model that gives a feature a direction of its own makes it of norm 1, and leaves others at 0.
    """
    return squared_norms(W) > above


def interference(W: Tensor) -> Tensor:
    """Return how much other features are read where feature i is: Σ_{j≠i} (Ŵ_i · W_j)².

    Ŵ_i = W_i / ‖W_i‖; a feature with W_i = 0 has no place, and 0. `(…, m, n)` to `(…, n)`.
    """
    W = W.detach()
    unit = nn.functional.normalize(W, dim=-2)
    seen = (unit.transpose(-2, -1) @ W).square()  # (…, n, n): row i is what stands in direction i
    return seen.sum(-1) - seen.diagonal(dim1=-2, dim2=-1)


def dimensionality(W: Tensor) -> Tensor:
    """Return each feature's share of a dimension, D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², in [0, 1].

    The sum runs over all j, i included. A feature alone in its direction has 1, each of an
    antipodal pair ½, each of a regular pentagon 2/5. A feature with W_i = 0 has 0. Together they
    are at most m; not only orthogonal features reach it, a pentagon does too.
    `(…, m, n)` to `(…, n)`.
    """
    norms = squared_norms(W)
    total = norms + interference(W)
    return torch.where(total > 0, norms / total.clamp_min(torch.finfo(W.dtype).tiny), 0.0)


def features_per_neuron(W: Tensor, *, above: float = 0.0) -> Tensor:
    """Return how many stored features each row of W takes part in, `(…, m, n)` to int64 `(…, m)`.

    Feature i counts for neuron k if it is `stored` and the magnitude of W_ki is above `above` times
    ‖W_i‖. Rows are neurons only behind a ReLU: in a linear bottleneck a rotation changes this
    number and nothing else.
    """
    W = W.detach()
    takes_part = W.abs() > above * squared_norms(W).sqrt().unsqueeze(-2)
    return (takes_part & stored(W).unsqueeze(-2)).sum(-1)


# --- Closed forms ---------------------------------------------------------------------------------


def phase_losses(p_zero: float | Tensor, importance: float | Tensor) -> Tensor:
    """Return the losses of the three ways to put two features into one dimension, `(…, 3)`.

    Feature 1 has importance 1, feature 2 has I; both are present with s = 1 − p_zero. In order:

    - only feature 1, W = (1, 0), b_2 = E[x_2]:  I (s/3 − s²/4), the variance that is lost;
    - only feature 2, W = (0, 1), b_1 = E[x_1]:  s/3 − s²/4;
    - both in superposition, W = (1, −1), b = 0:  (1 + I) s²/6, the error when both are present.

    The least of them says in which phase the best of these three is. For s below 4/5 the third is,
    where I and 1/I are both above 2s / (4 − 5s). A trained model may do a little better, because it
    also chooses lengths and biases.

    Args:
        p_zero: the probability that a feature is zero, in [0, 1].
        importance: I, at least 0. The two are broadcast.

    Returns:
        float64; `argmin(-1)` is the phase.

    Source: the phase diagram of Elhage et al. 2022; the integrals are ours.
    """
    p = torch.as_tensor(p_zero, dtype=torch.float64)
    I = torch.as_tensor(importance, dtype=torch.float64)
    if not ((p >= 0) & (p <= 1)).all() or not (I >= 0).all():
        raise ValueError("p_zero must lie in [0, 1] and importance be at least 0")
    p, I = torch.broadcast_tensors(p, I)
    s = 1 - p
    lost = s / 3 - s**2 / 4
    return torch.stack([I * lost, lost, (1 + I) * s**2 / 6], dim=-1)


def linear_loss(importance: Tensor, p_zero: float | Tensor, m: int) -> float:
    """Return the least loss of the linear model x̂ = WᵀW x + b with independent features.

    It gives its m dimensions to the features of the largest I_i · Var(x_i) and loses the others
    whole: Σ I_i (s_i/3 − s_i²/4) over these, s = 1 − p_zero. However sparse features are, it stores
    m of them, as PCA does.

    Args:
        importance: I `(n,)`, at least 0.
        p_zero: one number, or `(n,)`.
        m: number of dimensions.
    """
    _check_count("m", m)
    s = 1 - torch.as_tensor(p_zero, dtype=torch.float64)
    lost = importance.double() * (s / 3 - s**2 / 4)
    return float(lost.sort(descending=True).values[m:].sum())


# --- Private --------------------------------------------------------------------------------------


def _squared_errors(model: ToyModels, x: Tensor) -> Tensor:
    """Return (x_i − x̂_i)², `(S, B, n)`."""
    x = x.expand(len(model.W), *x.shape[-2:])
    return (x - model(x)).square()


def _weights(importance: float | Tensor, x: Tensor) -> Tensor:
    """Return importance as it is multiplied with errors: `()`, `(n,)` or `(S, 1, n)`."""
    weight = torch.as_tensor(importance, dtype=x.dtype, device=x.device)
    return weight.unsqueeze(1) if weight.ndim == 2 else weight


def _of_each(p_zero: float | Tensor, S: int, n: int) -> Tensor:
    """Return each model's probabilities of zero, `(S, 1)` or `(S, n)`."""
    p = torch.as_tensor(p_zero, dtype=torch.float32)
    if p.shape not in ((), (S,), (S, n)):
        raise ValueError(f"p_zero must be a number, ({S},) or ({S}, {n}); got {tuple(p.shape)}")
    return p if p.ndim == 2 else p.expand(S).unsqueeze(1)


def _checked_p_zero(p_zero: float | Tensor, n: int, pairs: str) -> Tensor:
    """Return one model's probabilities of zero, `()`, `(1,)` or `(n,)`."""
    p = torch.as_tensor(p_zero, dtype=torch.float32)
    if not ((p >= 0) & (p < 1)).all() or p.shape not in ((), (1,), (n,)):
        raise ValueError(f"p_zero must lie in [0, 1), one number or {n} of them; got {p_zero}")
    if pairs not in PAIRS:
        raise ValueError(f"pairs is one of {', '.join(PAIRS)}; got {pairs!r}")
    if pairs == "independent":
        return p
    p = p.expand(n)
    if n % 2 or not torch.equal(p[::2], p[1::2]):
        raise ValueError(f"pairs need an even n, and one p_zero for both; got n={n}, {p_zero}")
    if pairs == "anticorrelated" and (p < 0.5).any():
        raise ValueError(f"of a pair that is never both present, p_zero ≥ ½; got {p_zero}")
    return p


def _uniform(rows: int, n: int, pairs: str, draw: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Draw what `_present` makes inputs of: for each feature, and for each pair if there are."""
    u = torch.rand(rows, n, generator=draw)
    return u, None if pairs == "independent" else torch.rand(rows, n // 2, generator=draw)


def _present(drawn: tuple[Tensor, Tensor | None], p: Tensor, pairs: str, *, out: Tensor) -> Tensor:
    """Write inputs of these probabilities to `out`, (rows, n)."""
    u, gate = drawn
    if gate is None:
        # Where u > p, it is uniform in [0, 1] again.
        return torch.sub(u, p, out=out).div_(1 - p).relu_()
    on = 1 - p[::2]
    first = second = gate < on
    if pairs == "anticorrelated":
        second = (gate >= on) & (gate < 2 * on)
    return torch.mul(u, torch.stack([first, second], dim=2).flatten(1), out=out)


def _batches(seeds, p: Tensor, n: int, batch_size: int, pairs: str) -> Iterator[Tensor]:
    """Yield inputs (S, B, n). Each model draws many batches at once, which is faster.

    To draw takes longer than all else that is done with the numbers, so models of one seed share
    them.
    """
    of_seed: dict[int, list[int]] = {}
    for i, seed in enumerate(seeds):
        of_seed.setdefault(seed, []).append(i)
    draws = {seed: generator(seed, "superposition data") for seed in of_seed}
    p = [_checked_p_zero(one, n, pairs) for one in p]
    at_once = max(1, CHUNK // (batch_size * n))  # not by S, or company would change the draws
    x = torch.empty(len(seeds), at_once, batch_size, n)
    while True:
        for seed, draw in draws.items():
            drawn = _uniform(at_once * batch_size, n, pairs, draw)
            for i in of_seed[seed]:
                _present(drawn, p[i], pairs, out=x[i].view(-1, n))
        yield from x.unbind(1)


def _zero_where_off(gradient: Tensor, output: Tensor) -> None:
    """Carry a gradient back through a ReLU, in place: it is zero where the output is."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


@torch.no_grad()
def _keep(model: ToyModels, mask: Tensor) -> None:
    model.W.mul_(mask)


def _check_count(name: str, value: object) -> None:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}")


def _check_nonzeros(nonzeros: int, least: int, m: int, n: int) -> None:
    _check_count("nonzeros", nonzeros)
    if isinstance(least, bool) or least not in range(n + 1):
        raise ValueError(f"least must be a whole number from 0 to n = {n}; got {least!r}")
    if not least * m <= nonzeros <= m * n:
        raise ValueError(
            f"nonzeros must lie between {least * m} ({least} for each of {m} rows) and the "
            f"{m * n} weights; got {nonzeros}"
        )
