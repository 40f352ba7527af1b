"""Training toy models: the gradient in closed form, and weights kept sparse."""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks import check_whole
from course_lib.seeds import generator
from course_lib.superposition.inputs import batches, of_each
from course_lib.superposition.models import ToyModels, weights
from course_lib.training import default_device


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
        check_whole("rows", rows)
        self.model = model
        W, b = model.W.detach(), model.b.detach()
        S, m, n = W.shape
        self.W, self.b = torch.empty_like(W), torch.empty_like(b)
        self._scale = weights(importance, W) / rows * 2
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
    check_whole("steps", steps)
    check_whole("batch_size", batch_size)
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
    p = of_each(p_zero, S, n)
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
    inputs = batches(model.seeds, p, n, batch_size, pairs)
    gradients = Gradients(model, batch_size, weight)
    model.W.grad, model.b.grad = gradients.W, gradients.b  # which each step overwrites
    losses = torch.empty(steps, S, device=device)
    for step in range(steps):
        if schedule is not None:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * schedule(step / steps)
        losses[step] = gradients(next(inputs).to(device))
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


def _zero_where_off(gradient: Tensor, output: Tensor) -> None:
    """Carry a gradient back through a ReLU, in place: it is zero where the output is."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


@torch.no_grad()
def _keep(model: ToyModels, mask: Tensor) -> None:
    model.W.mul_(mask)


def _check_nonzeros(nonzeros: int, least: int, m: int, n: int) -> None:
    check_whole("nonzeros", nonzeros)
    check_whole("least", least, low=0, high=n, hint="n, the weights of a row")
    if not least * m <= nonzeros <= m * n:
        raise ValueError(
            f"nonzeros must lie between {least * m} ({least} for each of {m} rows) and the "
            f"{m * n} weights; got {nonzeros}"
        )
