"""Pruning: which weights go (scores), how many and from where (masks), and when (schedules).

A mask m is a plain dictionary of booleans by parameter name, True where a weight stays. A masked
network computes with m ⊙ W, so a pruned weight is exactly zero whatever the optimiser does.
Chapter 01 introduces every function here.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_lib.networks import StackedLinear

Scores = Mapping[str, Tensor]
Masks = dict[str, Tensor]
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, StackedLinear)


# --- Scores: what to remove -----------------------------------------------------------------------


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that can be pruned, by parameter name, detached, as the network uses them.

    These are the weights of linear and convolutional layers. Biases are never pruned: there are
    few of them, and a missing bias changes what a neuron does for every input.

    Raises:
        ValueError: if the model has no such layer.
    """
    found = {_join(name, "weight"): module.weight.detach() for name, module in _layers(model)}
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no linear or convolutional layer, so nothing to prune"
        )
    return found


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Score each of the `weights` by its absolute value (Han et al. 2015, 1506.02626)."""
    return {name: weight.abs() for name, weight in weights(model).items()}


def random(model: nn.Module, *, seed: int | Sequence[int]) -> dict[str, Tensor]:
    """Score each weight by chance, s ~ U(0, 1): the control of every other score.

    The same seed gives the same scores, so that masks of growing sparsity are nested. A stack of
    S networks takes S seeds, and scores each network as it would be scored alone.

    Raises:
        ValueError: if the number of seeds is not the number of networks.
    """

    def draw(shapes: Mapping[str, torch.Size], seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}

    found = weights(model)
    shapes = {name: weight.shape for name, weight in found.items()}
    if isinstance(seed, Sequence):
        stacked = {len(m.weight) for _, m in _layers(model) if isinstance(m, StackedLinear)}
        if stacked != {len(seed)}:
            raise ValueError(f"a stack takes one seed for each network; got {len(seed)} seeds")
        rows = [draw({name: shape[1:] for name, shape in shapes.items()}, one) for one in seed]
        drawn = {name: torch.stack([row[name] for row in rows]) for name in shapes}
    else:
        drawn = draw(shapes, seed)
    return {name: score.to(found[name].device) for name, score in drawn.items()}


# --- Masks: how many, and from where --------------------------------------------------------------


def global_mask(scores: Scores, sparsity: float, *, within: Masks | None = None) -> Masks:
    """Keep the weights of largest score, compared over all layers at once.

    Args:
        scores: by parameter name, any shape; larger means "keep".
        sparsity: share of all these weights to prune, in [0, 1]. Exactly `round(sparsity · n)`
            weights go, ties included.
        within: masks so far. What they pruned stays pruned and counts towards `sparsity`.

    Returns:
        Boolean masks of the scores' shapes.

    Raises:
        ValueError: if `sparsity` is outside [0, 1] or below what `within` has pruned already, or
            the scores are empty, hold a NaN, or do not fit `within`.
    """
    scores = _checked(scores, within)
    flat = torch.cat([score.flatten() for score in scores.values()])
    keep = _keep_largest(flat, sparsity, "all layers")
    parts = keep.split([score.numel() for score in scores.values()])
    return {
        name: part.view(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def layerwise_mask(
    scores: Scores, sparsity: float | Mapping[str, float], *, within: Masks | None = None
) -> Masks:
    """Keep the weights of largest score within each layer.

    Args:
        scores: by parameter name, any shape; larger means "keep".
        sparsity: share of each layer to prune, in [0, 1], or one share for each parameter name.
        within: masks so far, as in `global_mask`.

    Raises:
        ValueError: as `global_mask`, or if a layer has no share.
    """
    scores = _checked(scores, within)
    shares = sparsity if isinstance(sparsity, Mapping) else dict.fromkeys(scores, sparsity)
    if set(shares) != set(scores):
        raise ValueError(
            f"sparsity must name the same layers as the scores, {sorted(scores)}; "
            f"got {sorted(shares)}"
        )
    return {
        name: _keep_largest(score.flatten(), shares[name], name).view(score.shape)
        for name, score in scores.items()
    }


def each(rule: Callable[..., Masks]) -> Callable[..., Masks]:
    """Make a rule for one network work on a `networks.stack`: each network gets its own mask.

    `each(global_mask)(scores, sparsity)` takes scores of shape `(S, …)` and applies the rule to
    every row by itself.
    """

    def rule_for_each(scores: Scores, sparsity, *, within: Masks | None = None) -> Masks:
        sizes = {len(score) if score.ndim else 0 for score in scores.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"a stack has as many rows in every score; got {sorted(sizes)}")
        if within is not None:
            _check_masks(within, {name: score.shape for name, score in scores.items()})
        rows = []
        for i in range(sizes.pop()):
            row_within = None if within is None else {name: m[i] for name, m in within.items()}
            row = {name: score[i] for name, score in scores.items()}
            rows.append(rule(row, sparsity, within=row_within))
        return {name: torch.stack([row[name] for row in rows]) for name in scores}

    return rule_for_each


def _keep_largest(scores: Tensor, sparsity: float, where: str) -> Tensor:
    """Return a boolean vector that is False at the `round(sparsity · n)` smallest scores."""
    _check_share("sparsity", sparsity)
    n_pruned = round(sparsity * scores.numel())
    n_before = int((scores == -torch.inf).sum())
    if n_pruned < n_before:
        raise ValueError(
            f"sparsity {sparsity} would prune {n_pruned} of {scores.numel()} weights in {where}, "
            f"but {n_before} are pruned already; sparsity counts from the dense network"
        )
    # Indices from topk, not a threshold: at a threshold, ties would all go or all stay.
    keep = torch.ones_like(scores, dtype=torch.bool)
    keep[torch.topk(scores, n_pruned, largest=False).indices] = False
    return keep


def _checked(scores: Scores, within: Masks | None) -> dict[str, Tensor]:
    """Return the scores with −∞ where `within` pruned already, or say what is wrong with them."""
    if not scores or any(score.numel() == 0 for score in scores.values()):
        raise ValueError("scores are empty: there is nothing to prune")
    for name, score in scores.items():
        if not score.is_floating_point():
            raise ValueError(f"the scores of {name} must be floating point; got {score.dtype}")
        if score.isnan().any():
            raise ValueError(f"the scores of {name} hold NaN; did the training diverge?")
        if (score == -torch.inf).any():
            raise ValueError(f"the scores of {name} hold −∞, which stands for 'pruned already'")
    if within is None:
        return dict(scores)
    _check_masks(within, {name: score.shape for name, score in scores.items()})
    return {name: score.masked_fill(~within[name], -torch.inf) for name, score in scores.items()}


# --- Masked networks ------------------------------------------------------------------------------


class Masked(nn.Module):
    """The parametrisation W ↦ m ⊙ W, which keeps pruned weights at exactly zero.

    The optimiser moves the original W, and momentum or weight decay may move it where m is zero;
    what the network computes with, and what is saved, is the product. `mask` has the dtype of the
    weight, because a product of floats is faster than a choice by booleans, and its layout in
    memory, because a product of different layouts is slower.
    """

    def __init__(self, mask: Tensor, weight: Tensor):
        super().__init__()
        self.register_buffer("mask", torch.empty_like(weight).copy_(mask))

    def forward(self, weight: Tensor) -> Tensor:
        return self.mask * weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        return self.mask * weight


def apply(model: nn.Module, masks: Masks) -> nn.Module:
    """Put masks on a model, in place, and return it. Masks that it had are replaced.

    The parameters stay the same objects, so an optimiser that holds them goes on working. A
    weight that an earlier mask had pruned and this one keeps starts again from zero.

    Args:
        model: a network; layers that `masks` does not name stay as they are.
        masks: booleans by parameter name, True where a weight stays.

    Raises:
        ValueError: if a mask is not boolean, or has no layer of its shape.
    """
    layers = {_join(name, "weight"): module for name, module in _layers(model)}
    shapes = {name: module.weight.shape for name, module in layers.items()}
    if not set(masks) <= set(shapes):
        raise ValueError(f"masks may name {sorted(shapes)}; got {sorted(set(masks) - set(shapes))}")
    _check_masks(masks, {name: shape for name, shape in shapes.items() if name in masks})
    for name, mask in masks.items():
        module = layers[name]
        mask = mask.to(module.weight.device)
        if _mask_of(module) is None:
            masked = Masked(mask, module.weight.detach())
            parametrize.register_parametrization(module, "weight", masked)
        else:
            # Momentum may have moved the original where the old mask was zero: start from zero.
            module.parametrizations.weight.original.data *= _mask_of(module) * mask
            _mask_of(module).copy_(mask)
    return model


def masks(model: nn.Module) -> Masks:
    """Return copies of the masks that a model carries; all True for layers without one."""
    return {
        _join(name, "weight"): (
            torch.ones_like(module.weight, dtype=torch.bool)
            if _mask_of(module) is None
            else _mask_of(module).bool()
        )
        for name, module in _layers(model)
    }


def prune(
    model: nn.Module,
    sparsity: float | Mapping[str, float],
    *,
    score: Callable[[nn.Module], Scores] = magnitude,
    rule: Callable[..., Masks] = global_mask,
) -> Masks:
    """Prune a model in place, one-shot: score, choose, mask. Return the masks.

    Args:
        model: a network, masked or not. What is pruned stays pruned.
        sparsity: share of its prunable weights that are zero afterwards, counted from dense.
        score: gives each weight a score, for example `magnitude`.
        rule: `global_mask`, `layerwise_mask`, or `each` of them for a stack.

    Raises:
        ValueError: as the rule does.
    """
    chosen = rule(score(model), sparsity, within=masks(model))
    apply(model, chosen)
    return chosen


def remove(model: nn.Module) -> nn.Module:
    """Make the masks permanent, in place: plain parameters with zeros in them, no masks.

    Further training would move these zeros. The parameters may be new objects; make the optimiser
    anew.
    """
    for _, module in _layers(model):
        if _mask_of(module) is not None:
            # PyTorch keeps the parametrisation in the module's class, which a deep copy shares:
            # taken out of there, it would be gone from the other network too.
            shared = type(module)
            module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return model


def sparsity(of: nn.Module | Masks) -> float:
    """Return the share of zeros: of the prunable weights of a model, or of False in masks."""
    tensors = list((weights(of) if isinstance(of, nn.Module) else of).values())
    n = sum(t.numel() for t in tensors)
    if n == 0:
        raise ValueError("there are no weights to count")
    return sum(int((t == 0).sum()) for t in tensors) / n


def density(of: nn.Module | Masks) -> float:
    """Return the share that is left, 1 − `sparsity`."""
    return 1 - sparsity(of)


# --- Schedules: when ------------------------------------------------------------------------------


def cubic_sparsity(step: int, *, start: int, end: int, final: float, initial: float = 0.0) -> float:
    """Return the sparsity due at a step when it grows fast at first and slowly at the end.

    s(t) = s_final + (s_initial − s_final) · (1 − (t − start) / (end − start))³, constant outside
    (Zhu & Gupta 2017, 1710.01878, equation 1).

    Raises:
        ValueError: if `end` is not after `start` or a sparsity is outside [0, 1].
    """
    if not _is_whole(start) or not _is_whole(end) or end <= start:
        raise ValueError(
            f"start and end count steps, and end comes after start; got start={start!r} and "
            f"end={end!r}"
        )
    _check_share("final", final)
    _check_share("initial", initial)
    time = min(max((step - start) / (end - start), 0.0), 1.0)
    return final + (initial - final) * (1 - time) ** 3


def gradual(
    final: float,
    *,
    start: int,
    end: int,
    every: int = 10,
    score: Callable[[nn.Module], Scores] = magnitude,
    rule: Callable[..., Masks] = global_mask,
) -> Callable[[int, nn.Module], None]:
    """Return a function for `training.fit(on_step=…)` that prunes along `cubic_sparsity`.

    It prunes each `every` steps from `start` on, and a last time at `end`.

    Raises:
        ValueError: if `every` is below one, or as `cubic_sparsity`.
    """
    if not _is_whole(every) or every < 1:
        raise ValueError(f"every counts steps, at least 1; got {every!r}")
    cubic_sparsity(0, start=start, end=end, final=final)  # complain now, not in mid-training

    def on_step(step: int, model: nn.Module) -> None:
        if start <= step <= end and ((step - start) % every == 0 or step == end):
            due = cubic_sparsity(step, start=start, end=end, final=final)
            prune(model, due, score=score, rule=rule)

    return on_step


def iterative_sparsities(rounds: int, rate: float) -> list[float]:
    """Return the sparsity after each round when a share `rate` of what is left goes each time.

    After round r it is 1 − (1 − rate)^r (Frankle & Carbin 2019, 1803.03635, section 2).

    Raises:
        ValueError: if `rounds` is below one or `rate` is outside [0, 1].
    """
    _check_share("rate", rate)
    if not _is_whole(rounds) or rounds < 1:
        raise ValueError(f"rounds must be a whole number, at least 1; got {rounds!r}")
    return [1 - (1 - rate) ** r for r in range(1, rounds + 1)]


# --- Files ----------------------------------------------------------------------------------------


def save(model: nn.Module, path: str | Path) -> None:
    """Write the weights as the network uses them, and its masks, to a safetensors file."""
    tensors = {
        name.replace("parametrizations.", "").removesuffix(".original"): value
        for name, value in model.state_dict().items()
        if not _is_mask(name)
    }
    tensors |= weights(model)
    tensors |= {"mask:" + n: m for n, m in masks(model).items() if not m.all()}
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path)


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill a network of the same shape from a file of `save`, masks included; return it.

    Raises:
        ValueError: if the file is not one of `save`, or its names and shapes are not the model's.
        FileNotFoundError: if there is no such file.
    """
    try:
        tensors = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a file of pruning.save: {error}") from error
    found = {n.removeprefix("mask:"): t for n, t in tensors.items() if n.startswith("mask:")}
    state = {n: t for n, t in tensors.items() if not n.startswith("mask:")}
    expected = {
        name.replace("parametrizations.", "").removesuffix(".original"): tuple(value.shape)
        for name, value in model.state_dict().items()
        if not _is_mask(name)
    }
    got = {name: tuple(value.shape) for name, value in state.items()}
    if got != expected:
        differing = sorted(set(got.items()) ^ set(expected.items()))
        raise ValueError(f"{path} holds another network; names and shapes differ at {differing}")
    remove(model)
    model.load_state_dict(state)
    return apply(model, found)


# --- Private --------------------------------------------------------------------------------------


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, m) for name, m in model.named_modules() if isinstance(m, PRUNABLE)]


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _mask_of(module: nn.Module) -> Tensor | None:
    if not parametrize.is_parametrized(module, "weight"):
        return None
    first = module.parametrizations.weight[0]
    return first.mask if isinstance(first, Masked) else None


def _is_mask(state_name: str) -> bool:
    return state_name.endswith("parametrizations.weight.0.mask")


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_share(name: str, value: float) -> None:
    is_number = isinstance(value, float | int | np.number) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ValueError(f"{name} is a share in [0, 1], for example 0.9 for 90%; got {value!r}")


def _check_masks(masks: Masks, shapes: Mapping[str, torch.Size]) -> None:
    if set(masks) != set(shapes):
        raise ValueError(f"masks must name {sorted(shapes)}; got {sorted(masks)}")
    for name, mask in masks.items():
        if mask.dtype != torch.bool or mask.shape != shapes[name]:
            raise ValueError(
                f"the mask of {name} must be boolean of shape {tuple(shapes[name])}; "
                f"got {mask.dtype} of shape {tuple(mask.shape)}"
            )
