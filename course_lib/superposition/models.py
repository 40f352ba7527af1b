"""The toy models, and their loss."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from course_lib.checks import check_whole
from course_lib.seeds import generator
from course_lib.superposition.inputs import features, of_each
from course_lib.superposition.measures import stored


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
        ValueError: if a count is not a positive whole number, a seed is not a whole number from 0
            on, there is no seed, or `hidden` or `output` is another word.
    """

    def __init__(
        self, n: int, m: int, *, seeds: Sequence[int], hidden: str = "linear", output: str = "relu"
    ):
        super().__init__()
        check_whole("n", n)
        check_whole("m", m)
        for name, word in (("hidden", hidden), ("output", output)):
            if word not in ("linear", "relu"):
                raise ValueError(f'{name} is "linear" or "relu"; got {word!r}')
        self.seeds = list(seeds) if isinstance(seeds, Iterable) else [seeds]
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


def loss(model: ToyModels, x: Tensor, importance: float | Tensor = 1.0) -> Tensor:
    """Return each model's loss, the mean over inputs of Σ_i I_i (x_i − x̂_i)², `(S,)`.

    Args:
        model: S models.
        x: inputs `(S, B, n)`, or `(B, n)` for all models the same.
        importance: I, one number, `(n,)` or `(S, n)`.
    """
    error, weight = squared_errors(model, x), weights(importance, x)
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
    error = (weights(importance, x) * squared_errors(model, x)).detach()
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
    check_whole("rows", rows)
    S, _, n = model.W.shape
    x = [
        features(rows, n, p_zero=p, draw=generator(s, "superposition held out"), pairs=pairs)
        for s, p in zip(model.seeds, of_each(p_zero, S, n), strict=True)
    ]
    return torch.stack(x).to(model.W.device)


def squared_errors(model: ToyModels, x: Tensor) -> Tensor:
    """Return (x_i − x̂_i)², `(S, B, n)`."""
    x = x.expand(len(model.W), *x.shape[-2:])
    return (x - model(x)).square()


def weights(importance: float | Tensor, x: Tensor) -> Tensor:
    """Return importance as it is multiplied with errors: `()`, `(n,)` or `(S, 1, n)`."""
    weight = torch.as_tensor(importance, dtype=x.dtype, device=x.device)
    return weight.unsqueeze(1) if weight.ndim == 2 else weight
