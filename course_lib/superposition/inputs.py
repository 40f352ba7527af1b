"""What the toy models see: features that are seldom present, in pairs or not."""

from collections.abc import Iterator

import torch
from torch import Tensor

from course_lib.seeds import generator

PAIRS = ("independent", "correlated", "anticorrelated")
CHUNK = 2**16  # numbers that are drawn at once for one model


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


def of_each(p_zero: float | Tensor, S: int, n: int) -> Tensor:
    """Return each model's probabilities of zero, `(S, 1)` or `(S, n)`."""
    p = torch.as_tensor(p_zero, dtype=torch.float32)
    if p.shape not in ((), (S,), (S, n)):
        raise ValueError(f"p_zero must be a number, ({S},) or ({S}, {n}); got {tuple(p.shape)}")
    return p if p.ndim == 2 else p.expand(S).unsqueeze(1)


def batches(seeds, p: Tensor, n: int, batch_size: int, pairs: str) -> Iterator[Tensor]:
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
