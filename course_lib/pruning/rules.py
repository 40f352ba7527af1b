"""How many weights go, and from where: rules that turn scores into masks."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from course_lib.pruning.layers import Masks, Scores, check_masks, check_share


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
    scores = checked_scores(scores, within)
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
    scores = checked_scores(scores, within)
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
            check_masks(within, {name: score.shape for name, score in scores.items()})
        rows = []
        for i in range(sizes.pop()):
            row_within = None if within is None else {name: m[i] for name, m in within.items()}
            row = {name: score[i] for name, score in scores.items()}
            rows.append(rule(row, sparsity, within=row_within))
        return {name: torch.stack([row[name] for row in rows]) for name in scores}

    return rule_for_each


def _keep_largest(scores: Tensor, sparsity: float, where: str) -> Tensor:
    """Return a boolean vector that is False at the `round(sparsity · n)` smallest scores."""
    check_share("sparsity", sparsity)
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


def checked_scores(scores: Scores, within: Masks | None) -> dict[str, Tensor]:
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
    check_masks(within, {name: score.shape for name, score in scores.items()})
    return {name: score.masked_fill(~within[name], -torch.inf) for name, score in scores.items()}
