"""Networks that never saw one of the ten digits: the four that chapters 12 and 13 ask.

Seed s leaves out class s mod 10, so that ten seeds leave out every class once. The test fold's
items of that class are the unfamiliar inputs, those of the other nine the familiar ones.
"""

import copy
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib import data, networks, training
from course_lib.checks import check_whole, is_whole
from course_lib.data import N_CLASSES, Splits

MLP = (64, 300, 100, 10)
ACTIVATIONS = {"ReLU MLP": nn.ReLU, "GELU MLP": nn.GELU, "tanh MLP": nn.Tanh}
NETWORKS = (*ACTIVATIONS, "ReLU conv")
TOGETHER = 5  # MLPs in a stack, whatever the number of workers: so the numbers are the same


class Trained(NamedTuple):
    """A network, and the digits of its seed without one class.

    Attributes:
        network: one of `NETWORKS`.
        seed: of its weights, its batches and its test fold.
        model: after the last step, on the CPU, in `eval` mode.
        states: the network at the steps that were asked for, by step; step 0 is before training.
    """

    network: str
    seed: int
    model: nn.Sequential
    states: dict[int, nn.Sequential]


def without_class(seed: int, folds: int = 10) -> Splits:
    """Return the digits of a seed without class seed mod 10, which `held_out` holds.

    Raises:
        ValueError: as `data.digits`.
    """
    check_whole("seed", seed, low=0)
    return data.digits(seed, folds=folds, held_out=(int(seed) % N_CLASSES,))


def build(network: str, seed: int) -> nn.Sequential:
    """Return one of the four networks, fresh: `networks.mlp` or `networks.convnet`.

    Raises:
        ValueError: if it is not one of `NETWORKS`.
    """
    if network not in NETWORKS:
        raise ValueError(f"network is one of {NETWORKS}; got {network!r}")
    if network in ACTIVATIONS:
        return networks.mlp(MLP, activation=ACTIVATIONS[network], seed=seed)
    return networks.convnet(seed=seed)


def train_without_class(
    seeds: Sequence[int],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    folds: int = 10,
    kinds: Sequence[str] = NETWORKS,
    states_at: Collection[int] = (),
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, list[Trained]]:
    """Train networks on digits without a class, for every seed.

    MLPs train as stacks of five, convolutional networks one by one, side by side in workers. The
    result does not depend on how many workers there are.

    Args:
        seeds: which folds are tested, each below `folds`.
        steps: of AdamW at a constant rate.
        batch_size: items in a batch.
        learning_rate: of AdamW.
        folds: as in `data.digits`.
        kinds: which of the four networks.
        states_at: steps at which to keep a copy; 0 is before training, `steps` after it.
        workers: as in `training.replicate`.
        progress: whether to show a bar with the time left.

    Returns:
        For each kind its networks, in the order of the seeds.

    Raises:
        ValueError: if an argument is outside its range.
        training.ReplicateError: if a training failed.
    """
    if not all(is_whole(step, 0, steps) for step in states_at):
        raise ValueError(f"states_at takes steps from 0 to {steps}; got {list(states_at)!r}")
    if not kinds or not set(kinds) <= set(NETWORKS):
        raise ValueError(f"kinds are some of {NETWORKS}; got {tuple(kinds)!r}")

    def train(seeds, network):
        models = [build(network, seed) for seed in seeds]
        splits = [without_class(seed, folds) for seed in seeds]
        stacked = network in ACTIVATIONS
        model = networks.stack(models) if stacked else models[0]
        states = {}

        def keep(step, model):
            if step in states_at:
                states[step] = copy.deepcopy(model).cpu()

        training.fit(
            model,
            splits if stacked else splits[0],
            seed=seeds if stacked else seeds[0],
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            evaluate_every=steps,
            on_step=keep,
        )
        single = networks.unstack if stacked else lambda one: [one]
        kept = {step: single(state) for step, state in states.items()}
        return [
            {
                "seed": seed,
                "model": one.cpu().eval(),
                "states": {t: kept[t][i].eval() for t in kept},
            }
            for i, (seed, one) in enumerate(zip(seeds, single(model), strict=True))
        ]

    found: dict[str, list[Trained]] = {}
    options = {"workers": workers, "progress": progress}
    for together in (TOGETHER, 1):
        some = [kind for kind in kinds if (kind in ACTIVATIONS) == (together > 1)]
        if some:
            table = training.replicate(train, seeds, together=together, network=some, **options)
            for row in table.itertuples():
                one = Trained(row.network, row.seed, row.model, row.states)
                found.setdefault(row.network, []).append(one)
    return {kind: found[kind] for kind in kinds}


def halves(model: nn.Sequential) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut off the last hidden layer: up to its pre-activations, and from there to its activations.

    The second half is the activation function; in a convolutional network the pool and the flatten
    that follow it too. The last layer, which puts out the logits, is in neither.

    Raises:
        ValueError: if the model has no hidden layer.
    """
    at = [i for i, layer in enumerate(model) if isinstance(layer, networks.ELEMENTWISE)]
    if not at:
        raise ValueError(f"the model has no activation function, so no hidden layer: {model}")
    return model[: at[-1]], model[at[-1] : -1]


@torch.no_grad()
def last_hidden(model: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last hidden activations, `(n, d)`, and the logits, `(n, classes)`."""
    hidden = model[:-1](x)
    return hidden, model[-1](hidden)
