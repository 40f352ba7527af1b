"""Masks with a structure: whole neurons and channels, and n of every m weights.

Scattered zeros save nothing by themselves. A unit without weights can be cut out of the network
(`shrink`), and some processors can skip half of the weights where every four of them hold two.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks import check_whole
from course_lib.pruning.layers import Masks, Scores
from course_lib.pruning.rules import checked_scores


def units(rule: Callable[..., Masks], *, norm: int = 1, relative: bool = False):
    """Make a rule for single weights choose whole units: neurons of linear layers, channels.

    Unit i of a layer is row W[i] of its weight, `(n_in,)` or `(n_in, height, width)`. A unit goes
    or stays with all of its weights (Li et al. 2017, 1608.08710, for channels). Its bias stays, so
    a pruned unit still puts out a constant, which `shrink` hands on.

    `prune(model, 0.5, rule=units(global_mask))` prunes half of the hidden units. The last layer of
    the scores is the output, whose units are the answers: it is left whole. No layer loses its
    last unit: its best one stays, and another goes in its place. For a stack of networks, take
    `each(units(rule))`.

    Args:
        rule: `global_mask` or `layerwise_mask`. Its `sparsity` is now a share of hidden units.
        norm: a unit's score is the sum of its weights' scores (1), which for magnitudes is the L1
            norm, or the root of the sum of their squares (2), the L2 norm.
        relative: whether to divide by the layer's mean. Units with many weights have large sums;
            so divided, units of different layers can be compared.

    Returns:
        A rule, called as `(scores, sparsity, within=…)`, whose masks have whole rows.

    Raises:
        ValueError: if `norm` is not 1 or 2. The rule itself raises as the given one does, and if
            there is no hidden layer, a layer would lose all its units, or `norm` is 2 and a score
            is negative.
    """
    if norm not in (1, 2):
        raise ValueError(f"norm is 1 (sum of scores) or 2 (root of the sum of squares); got {norm}")

    def rule_for_units(scores: Scores, sparsity, *, within: Masks | None = None) -> Masks:
        scores = checked_scores(scores, within)
        *hidden, output = scores
        if not hidden or any(score.ndim < 2 for score in scores.values()):
            raise ValueError(
                "whole units take scores of a hidden layer or more and then of the output layer, "
                f"each (n_out, n_in, …); got {[(n, tuple(s.shape)) for n, s in scores.items()]}"
            )
        before = {name: (scores[name].flatten(1) > -torch.inf).any(1) for name in hidden}
        totals = {name: _total(name, scores[name].flatten(1), norm) for name in hidden}
        for name, total in totals.items():
            if relative:
                total /= total[before[name]].abs().mean().clamp(min=torch.finfo(total.dtype).tiny)
            total[total.masked_fill(~before[name], -torch.inf).argmax()] = torch.inf
        kept = rule(totals, sparsity, within=before)
        for name, keep in kept.items():
            if not keep.any():
                raise ValueError(f"sparsity {sparsity} leaves no unit of {name}; one must stay")
        whole = {name: score > -torch.inf for name, score in scores.items()}
        for name, keep in kept.items():
            whole[name] &= keep.view(-1, *[1] * (whole[name].ndim - 1))
        return whole

    return rule_for_units


def _total(name: str, rows: Tensor, norm: int) -> Tensor:
    """Return the score of each row, `(n_units, n_weights)` to `(n_units,)`; −∞ counts as 0."""
    rows = rows.masked_fill(rows == -torch.inf, 0)
    if norm == 1:
        return rows.sum(1)
    if (rows < 0).any():
        raise ValueError(
            f"the scores of {name} are partly negative, and squares would hide it: take norm=1"
        )
    return rows.square().sum(1).sqrt()


def n_m_mask(scores: Scores, n: int = 2, m: int = 4, *, within: Masks | None = None) -> Masks:
    """Keep the n weights of largest score of every m neighbours along the input dimension.

    A linear weight `(n_out, n_in)` is cut into groups of m within a row; a convolution
    `(n_out, n_in, …)` into groups of m input channels, at each position of the kernel by itself.
    Some GPUs are reported to multiply 2:4 weights up to twice as fast as dense ones (Mishra et al.
    2021, 2104.08378). No kernel of PyTorch for CPUs does.

    Args:
        scores: by parameter name; layers that are to stay dense are left out, for example
            `{"2.weight": scores["2.weight"]}`. One network, not a stack.
        n: weights kept of each group, 1 ≤ n ≤ m.
        m: size of a group. It divides the input dimension of each layer.
        within: masks so far. What they pruned stays pruned, and a group may keep fewer than n.

    Raises:
        ValueError: if `n` and `m` are not such numbers, a layer's input dimension is no multiple
            of m, or the scores are bad or do not fit `within`, as in `global_mask`.
    """
    check_whole("m", m)
    check_whole("n", n, high=m)
    masks = {}
    for name, score in checked_scores(scores, within).items():
        if score.ndim < 2 or score.shape[1] % m:
            raise ValueError(
                f"the input dimension of {name}, shape {tuple(score.shape)}, is no multiple of "
                f"m = {m}; leave the layer out of the scores or choose another m"
            )
        groups = score.movedim(1, -1).unflatten(-1, (-1, m))  # (n_out, …, n_in / m, m)
        keep = torch.zeros_like(groups, dtype=torch.bool)
        keep.scatter_(-1, groups.topk(n, dim=-1).indices, True)
        masks[name] = keep.flatten(-2).movedim(-1, 1) & (score > -torch.inf)
    return masks
