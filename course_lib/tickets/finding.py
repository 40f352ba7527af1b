"""Finding tickets: round by round, in one cut, or before any training."""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib import pruning
from course_lib.checks import check_whole, is_whole
from course_lib.data import Splits
from course_lib.pruning import Masks
from course_lib.pruning.layers import check_share
from course_lib.tickets.ticket import Plan, Run, Ticket, train

SCOPES = {"layerwise": pruning.layerwise_mask, "global": pruning.global_mask}
LATE = ("rate", "none")  # restarts that keep the late weights


def magnitude_masks(
    model: nn.Module,
    round: int,
    *,
    rate: float = 0.2,
    output_rate: float | None = 0.1,
    scope: str = "layerwise",
    within: Masks | None = None,
) -> Masks:
    """Return the masks of a round of magnitude pruning, from a trained network.

    After round r, a layer of n weights keeps n − round(n · (1 − (1 − p)^r)) of them, with p the
    rate: chapter 01's equation 4. The output layer is pruned at a rate of its own, by half in
    Frankle & Carbin 2019 (1803.03635), because it has few weights and all answers pass through it.

    With `within`, the masks of the round before, this is a step of iterative pruning. Without, it
    is one-shot pruning to the same number of weights.

    Args:
        model: a trained network, masked or plain; its last prunable layer is the output.
        round: r, at least 1.
        rate: p, the share of what is left that goes in each round.
        output_rate: p of the output layer; None treats it as the others.
        scope: "layerwise", or "global" to compare all layers that have one rate with each other.
        within: masks so far; what they pruned stays pruned.

    Raises:
        ValueError: if an argument is outside its range, or the round's masks are not smaller than
            `within`.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope is one of {list(SCOPES)}; got {scope!r}")
    scores = pruning.magnitude(model)
    *hidden, output = scores
    groups = [(list(scores), rate)]
    if output_rate is not None:
        groups = [(hidden, rate), ([output], output_rate)]
    found = {}
    for names, share in groups:
        if names:
            part = {name: scores[name] for name in names}
            so_far = None if within is None else {name: within[name] for name in names}
            sparsity = pruning.iterative_sparsities(round, share)[-1]
            found |= SCOPES[scope](part, sparsity, within=so_far)
    return found


def synflow_masks(model: nn.Module, sparsity: float, x: Tensor, *, iterations: int = 100) -> Masks:
    """Return masks by synaptic flow, before any training and without data.

    The density falls to d = 1 − sparsity in equal ratios, d^(k/n) after iteration k of n, and the
    flow is measured anew after each, over all layers together (Tanaka et al. 2020, 2006.05467,
    algorithm 1). In one step, whole layers could go.

    Args:
        model: a fresh network; see `pruning.synflow`. It stays as it is.
        sparsity: share of the weights that go, in [0, 1].
        x: inputs, of which only the shape counts.
        iterations: n.

    Raises:
        ValueError: if `iterations` is below one, or as `pruning.synflow` and `pruning.global_mask`.
    """
    check_share("sparsity", sparsity)
    check_whole("iterations", iterations)
    smaller = copy.deepcopy(model)
    for k in range(1, iterations + 1):
        due = 1 - (1 - sparsity) ** (k / iterations)
        masks = pruning.prune(smaller, due, score=lambda m: pruning.synflow(m, x))
    return masks


class Round(NamedTuple):
    """A round of `find`: its number, the tickets, and their trainings. Round 0 is dense."""

    number: int
    tickets: list[Ticket]
    runs: list[Run]


def find(
    models: Sequence[nn.Module],
    splits: Sequence[Splits],
    plan: Plan,
    *,
    seeds: Sequence[int],
    rounds: int,
    rewind: int | str = 0,
    rate: float = 0.2,
    output_rate: float | None = 0.1,
    scope: str = "layerwise",
    device: torch.device | str | None = None,
) -> Iterator[Round]:
    """Train, prune, start again: iterative magnitude pruning, one round at a time.

    Args:
        models: fresh networks, plain, of one shape.
        splits: data for each.
        plan: how each round trains.
        seeds: for each network, what draws the order of the batches, the same in every round.
        rounds: how often to prune.
        rewind: where training starts again, with what is left. A step k, 0 ≤ k < steps: from the
            weights of step k of the dense training (0 in Frankle & Carbin 2019, k > 0 in Frankle
            et al. 2020, 1912.05671). "rate": from the late weights, with the learning rates from
            their start (Renda et al. 2020, 2003.02389). "none": from the late weights, at the last
            learning rate: fine-tuning. With a constant rate the last two are the same.
        rate, output_rate, scope: as in `magnitude_masks`.
        device: where to train.

    Yields:
        A `Round` from 0, dense, to `rounds`, each after its training.

    Raises:
        ValueError: if an argument is outside its range, or as `train`.
    """
    check_rewind(rewind, plan)
    check_whole("rounds", rounds, low=0)
    options = {"rate": rate, "output_rate": output_rate, "scope": scope}
    tickets = [Ticket.dense(model) for model in models]
    kept = () if rewind in LATE else (rewind,)
    runs = train(tickets, splits, plan, seeds=seeds, snapshots=kept, device=device)
    yield Round(0, tickets, runs)
    if rewind not in LATE:
        tickets = [
            dataclasses.replace(ticket, start=run.snapshots[rewind], step=rewind)
            for ticket, run in zip(tickets, runs, strict=True)
        ]
    for number in range(1, rounds + 1):
        tickets = [
            next_ticket(ticket, run.model, number, rewind, plan, **options)
            for ticket, run in zip(tickets, runs, strict=True)
        ]
        runs = train(tickets, splits, plan_of(rewind, plan), seeds=seeds, device=device)
        yield Round(number, tickets, runs)


def next_ticket(
    ticket: Ticket, trained: nn.Module, round: int, rewind: int | str, plan: Plan, **options
) -> Ticket:
    """Return the ticket of the next round: smaller, and started where it was or where it is now."""
    masks = magnitude_masks(trained, round, within=ticket.masks, **options)
    found = f"{options['scope']} magnitude, round {round}"
    if rewind in LATE:
        return Ticket(masks, trained, plan.steps, found)
    return dataclasses.replace(ticket, masks=masks, found=found)


def plan_of(rewind: int | str, plan: Plan) -> Plan:
    """Return how a pruned network trains."""
    return plan.at_its_last_rate() if rewind == "none" else plan


def check_rewind(rewind: int | str, plan: Plan) -> None:
    """Raise a ValueError unless training can start again like this."""
    if rewind not in LATE and not is_whole(rewind, 0, plan.steps - 1):
        raise ValueError(
            f"rewind is a step, 0 ≤ step < {plan.steps}, or one of {LATE}; got {rewind!r}"
        )
