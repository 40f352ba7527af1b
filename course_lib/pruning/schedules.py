"""When weights go: at once, gradually while the network trains, or round by round."""

from collections.abc import Callable

from torch import nn

from course_lib.checks import check_whole, is_whole
from course_lib.pruning.layers import Masks, Scores, check_share
from course_lib.pruning.masked import prune
from course_lib.pruning.rules import global_mask
from course_lib.pruning.scores import magnitude


def cubic_sparsity(step: int, *, start: int, end: int, final: float, initial: float = 0.0) -> float:
    """Return the sparsity due at a step when it grows fast at first and slowly at the end.

    s(t) = s_final + (s_initial − s_final) · (1 − (t − start) / (end − start))³, constant outside
    (Zhu & Gupta 2017, 1710.01878, equation 1).

    Raises:
        ValueError: if `end` is not after `start` or a sparsity is outside [0, 1].
    """
    if not is_whole(start) or not is_whole(end, start + 1):
        raise ValueError(
            f"start and end count steps, and end comes after start; got start={start!r} and "
            f"end={end!r}"
        )
    check_share("final", final)
    check_share("initial", initial)
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
    check_whole("every", every)
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
    check_share("rate", rate)
    check_whole("rounds", rounds)
    return [1 - (1 - rate) ** r for r in range(1, rounds + 1)]
