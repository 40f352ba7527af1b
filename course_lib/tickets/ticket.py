"""Tickets: a mask, the weights to start from, and their training, alone or many as one stack."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_lib import files, networks, pruning, training
from course_lib.checks import check_whole
from course_lib.data import Splits

KIND = "lottery ticket, version 1"  # in the files of `Ticket.save`


@dataclasses.dataclass(frozen=True, eq=False)
class Ticket:
    """A subnetwork and the weights from which it is trained: f(x; m ⊙ θ_k).

    Args:
        masks: m, booleans by parameter name, one for each prunable weight.
        start: the whole network at step k, without masks. It holds the pruned weights too, from
            which the controls draw. Tickets share it: take `network`, and leave it as it is.
        step: k. Training goes on from there, with the batches and the learning rates that are
            left. A ticket with the weights of a finished training starts over at the first step.
        found: how the mask was found, in words.

    Raises:
        ValueError: if `start` has masks or is a stack, the masks do not fit it, or `step` does not
            count steps.

    Source: Frankle & Carbin 2019 (1803.03635) for k = 0, Frankle et al. 2020 (1912.05671) for
    k > 0.
    """

    masks: pruning.Masks
    start: nn.Module
    step: int = 0
    found: str = ""

    def __post_init__(self):
        if any(parametrize.is_parametrized(m) for m in self.start.modules()):
            raise ValueError("start is a plain network; take its masks off with pruning.remove")
        if any(isinstance(m, networks.StackedLinear) for m in self.start.modules()):
            raise ValueError("start is one network; take a stack apart with networks.unstack")
        check_whole("step", self.step, low=0, hint="the steps before the start")
        missing = set(pruning.weights(self.start)) - set(self.masks)
        if missing:
            raise ValueError(f"a ticket has a mask for each weight; none for {sorted(missing)}")
        pruning.apply(copy.deepcopy(self.start), self.masks)  # complains if one does not fit
        shared = {name: mask.detach().cpu().clone() for name, mask in self.masks.items()}
        object.__setattr__(self, "masks", shared)

    @classmethod
    def dense(cls, model: nn.Module) -> "Ticket":
        """Return the ticket that keeps every weight of a fresh network: round 0 of any search."""
        whole = {n: torch.ones_like(w, dtype=bool) for n, w in pruning.weights(model).items()}
        return cls(whole, copy.deepcopy(model), found="dense")

    @property
    def density(self) -> float:
        """The share of the prunable weights that the mask keeps."""
        return pruning.density(self.masks)

    @property
    def counts(self) -> dict[str, int]:
        """How many weights the mask keeps, by parameter name."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    def network(self) -> nn.Module:
        """Return a masked network to train: θ_k where m is True, exactly zero elsewhere."""
        return pruning.apply(copy.deepcopy(self.start), self.masks)

    # --- Controls: the ticket with one thing changed ----------------------------------------------

    def reinitialised(self, seed: int) -> "Ticket":
        """Return the same mask on weights drawn anew, at step 0: what is the start worth?

        They are drawn as `networks.initialise` draws, and batch norm is as new.

        Raises:
            ValueError: if the network has parameters that `networks.initialise` does not draw.
        """
        start = copy.deepcopy(self.start)
        for name, module in start.named_modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.reset_parameters()
            elif not isinstance(module, nn.Linear | nn.Conv2d) and module._parameters:
                raise ValueError(
                    "only linear layers, 2d convolutions and batch norm can be drawn anew; got "
                    f"{name} {type(module).__name__}"
                )
        networks.initialise(start, seed=seed)
        return self._replaced(start=start, step=0, found=f"re-initialised with seed {seed}")

    def random_masks(self, seed: int) -> "Ticket":
        """Return the same start with masks by chance, as many weights in each layer: is it which?

        The same seed gives nested masks for tickets of falling density.
        """
        shares = {name: 1 - self.counts[name] / m.numel() for name, m in self.masks.items()}
        scores = pruning.random(self.start, seed=seed)
        masks = pruning.layerwise_mask({n: s.cpu() for n, s in scores.items()}, shares)
        return self._replaced(masks=masks, found=f"random mask with seed {seed}")

    def with_head(self, n_classes: int, *, seed: int) -> "Ticket":
        """Return the ticket with a new output layer, to carry it to a task of other classes.

        What an output neuron learned says nothing about another class. So the last layer is drawn
        anew, its bias is zero, and its mask keeps the same share, picked by chance. All else
        stays: also at step k > 0 the new layer starts from fresh weights. Cf. Morcos et al. 2019
        (1906.02773).

        Raises:
            ValueError: if the last layer is not linear, or `n_classes` is below one.
        """
        name, weight = list(pruning.weights(self.start).items())[-1]
        place, _, number = name.removesuffix(".weight").rpartition(".")
        old = getattr(self.start.get_submodule(place), number, None)
        if not isinstance(old, nn.Linear):
            raise ValueError(f"the output layer {name} is not a linear layer within a network")
        check_whole("n_classes", n_classes)
        has_bias = old.bias is not None
        layer = nn.utils.skip_init(nn.Linear, old.in_features, n_classes, bias=has_bias)
        head = nn.Sequential(layer).to(weight)
        networks.initialise(head, seed=seed)
        start = copy.deepcopy(self.start)
        setattr(start.get_submodule(place), number, head[0])
        share = 1 - self.counts[name] / weight.numel()
        scores = pruning.random(head, seed=seed)
        mask = pruning.layerwise_mask(scores, share)["0.weight"]
        found = f"output layer for {n_classes} classes with seed {seed}"
        return self._replaced(start=start, masks=self.masks | {name: mask}, found=found)

    def _replaced(self, *, found: str, **changes) -> "Ticket":
        return dataclasses.replace(self, found=f"{self.found}; {found}".lstrip("; "), **changes)

    # --- Training and files -----------------------------------------------------------------------

    def train(self, splits: Splits, plan: "Plan", *, seed: int, **more) -> "Run":
        """Train it alone; see `train`, which trains many at once."""
        return train([self], [splits], plan, seeds=[seed], **more)[0]

    def save(self, path: str | Path) -> None:
        """Write it to a safetensors file, at once or not at all."""
        tensors = dict(self.start.state_dict())
        tensors |= {f"mask:{name}": mask for name, mask in self.masks.items()}
        files.write_tensors(path, tensors, {"kind": KIND, "step": self.step, "found": self.found})

    @classmethod
    def load(cls, path: str | Path, like: nn.Module) -> "Ticket":
        """Read a file of `save`.

        Args:
            path: the file.
            like: a network of the same shape, whose weights do not matter and stay as they are.

        Raises:
            ValueError: if the file is not one of `save`, or holds another network.
            FileNotFoundError: if there is no such file.
        """
        tensors, about = files.read_tensors(path, of="Ticket.save")
        if about.get("kind") != KIND:
            raise ValueError(f"{path} is not a file of Ticket.save: its kind is not {KIND!r}")
        state = {n: t for n, t in tensors.items() if not n.startswith("mask:")}
        start = filled(like, state, f"the file {path}")
        masks = {n.removeprefix("mask:"): t for n, t in tensors.items() if n.startswith("mask:")}
        return cls(masks, start, about["step"], about["found"])


def filled(like: nn.Module, state: dict[str, Tensor], whose: str) -> nn.Module:
    """Return a copy of a network with another's weights; a ValueError says where they differ."""
    files.check_tensors(f"{whose} holds another network", state, like.state_dict())
    model = copy.deepcopy(like)
    model.load_state_dict(state)
    return model


# --- Training -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Plan:
    """How every network of an experiment is trained, so that only the ticket differs.

    The arguments are those of `training.fit`. Steps of `evaluate_at` that a rewound ticket has
    behind it at its start are passed over.
    """

    steps: int
    batch_size: int = 60
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.0
    schedule: Callable[[float], float] | None = None
    evaluate_at: tuple[int, ...] = ()

    def at_its_last_rate(self) -> "Plan":
        """Return the plan with the learning rate of its last step throughout: fine-tuning."""
        last = 1.0 if self.schedule is None else self.schedule((self.steps - 1) / self.steps)
        return dataclasses.replace(self, learning_rate=self.learning_rate * last, schedule=None)


class Run(NamedTuple):
    """One training of a ticket.

    `model` is the trained network, plain, with zeros where the mask pruned; `history` its rows of
    `training.fit`; `snapshots` holds plain copies of it by step.
    """

    model: nn.Module
    history: pd.DataFrame
    snapshots: dict[int, nn.Module]


def train(
    tickets: Sequence[Ticket],
    splits: Sequence[Splits],
    plan: Plan,
    *,
    seeds: Sequence[int],
    snapshots: Collection[int] = (),
    device: torch.device | str | None = None,
) -> list[Run]:
    """Train tickets, those of one shape of MLP as one stack, others one after the other.

    A stack trains each as it would be trained alone, up to rounding. The tickets stay as they are.

    Args:
        tickets: at least one, all of the same `step`.
        splits: data for each ticket, of which `test` is not touched.
        plan: the same for all.
        seeds: for each ticket, what draws the order of the batches: tickets of one seed and equal
            data see the same batches at the same steps, also those that start later.
        snapshots: steps at which to copy the networks, as they are before that step; `plan.steps`
            is the end.
        device: where to train; the results come back to the CPU.

    Raises:
        ValueError: if numbers or steps do not agree, a ticket does not fit its data (take
            `Ticket.with_head` for other classes), or as `training.fit`.
    """
    tickets, splits, seeds = list(tickets), list(splits), list(seeds)
    if not tickets or not len(tickets) == len(splits) == len(seeds):
        raise ValueError(
            "train takes tickets, splits and seeds, as many of each and at least one; "
            f"got {len(tickets)}, {len(splits)} and {len(seeds)}"
        )
    steps = {ticket.step for ticket in tickets}
    if len(steps) > 1:
        raise ValueError(f"tickets that train together start at one step; got {sorted(steps)}")
    for ticket, part in zip(tickets, splits, strict=True):
        _check_fits(ticket, part)
    start = steps.pop()
    start = start if start < plan.steps else 0  # late weights start over
    options = {"plan": plan, "start": start, "snapshots": snapshots, "device": device}
    if len(tickets) > 1 and all(_can_be_stacked(ticket.start) for ticket in tickets):
        stacked = networks.stack([ticket.start for ticket in tickets])
        if any(ticket.density < 1 for ticket in tickets):
            names = tickets[0].masks
            _hold(stacked, {n: torch.stack([t.masks[n] for t in tickets]) for n in names})
        return _fit(stacked, splits, seeds, networks.unstack, **options)
    return [
        run
        for ticket, part, seed in zip(tickets, splits, seeds, strict=True)
        for run in _fit(ticket.network(), part, seed, _alone, **options)
    ]


@torch.no_grad()
def _hold(stacked: nn.Module, masks: pruning.Masks) -> None:
    """Set pruned weights to zero, and their gradient at each step: AdamW leaves them there.

    `pruning.apply` does it for any optimiser, by a product in each step's forward and backward
    pass. Here the optimiser is known, and one product in place is enough.
    """
    for name, mask in masks.items():
        weight = stacked.get_parameter(name)
        held = torch.empty_like(weight).copy_(mask)  # as the weight lies in memory
        weight.mul_(held)
        weight.register_post_accumulate_grad_hook(functools.partial(_hold_gradient, held))


def _hold_gradient(held: Tensor, weight: Tensor) -> None:
    weight.grad.mul_(held.to(weight.device))


def _alone(model: nn.Module) -> list[nn.Module]:
    """Return what `networks.unstack` returns of a stack."""
    return [pruning.remove(copy.deepcopy(model))]


def _fit(model, splits, seed, unstack, *, plan, start, snapshots, device) -> list[Run]:
    """Train one network or a stack; `unstack` returns plain copies of its networks."""
    copies: dict[int, list[nn.Module]] = {}

    def on_step(step: int, model: nn.Module) -> None:
        if step in snapshots:
            copies[step] = [one.cpu() for one in unstack(model)]

    found = training.fit(
        model,
        splits,
        steps=plan.steps,
        seed=seed,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay,
        schedule=plan.schedule,
        evaluate_at=[step for step in plan.evaluate_at if step > start],
        start=start,
        on_step=on_step,
        device=device,
    )
    return [
        Run(
            one.cpu(),
            found.history[found.history["network"] == i].drop(columns="network"),
            {step: networks_then[i] for step, networks_then in copies.items()},
        )
        for i, one in enumerate(unstack(model))
    ]


def _can_be_stacked(model: nn.Module) -> bool:
    return type(model) is nn.Sequential and all(
        (type(layer) is nn.Linear and layer.bias is not None)
        or isinstance(layer, networks.ELEMENTWISE)
        for layer in model
    )


@torch.no_grad()
def _check_fits(ticket: Ticket, splits: Splits) -> None:
    """Raise a ValueError unless the network takes these inputs and has an output for each class."""
    model = copy.deepcopy(ticket.start).eval()
    device = next(model.parameters()).device
    try:
        n_classes = model(splits.train.x[:1].to(device)).shape[-1]
    except RuntimeError as error:
        width = splits.train.x.shape[1:]
        raise ValueError(
            f"the ticket's network takes no inputs of {tuple(width)}: {error}"
        ) from error
    if len(splits.train.y) and splits.train.y.max() >= n_classes:
        raise ValueError(
            f"the data have labels up to {int(splits.train.y.max())} and the ticket's network puts "
            f"out {n_classes}: carry it over by Ticket.with_head, or number the labels from 0"
        )
