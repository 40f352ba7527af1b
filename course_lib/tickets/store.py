"""The folder of a grid: a file for each training, and the settings that made them."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from course_lib import files
from course_lib.data import Splits
from course_lib.tickets.finding import LATE
from course_lib.tickets.ticket import Plan, Run, Ticket, filled

SETTINGS = "settings.json"
GRID = "tickets.grid"  # in errors
CURVE = ("step", "train_loss", "validation_loss", "validation_accuracy")


@dataclasses.dataclass(frozen=True)
class Unit:
    """What a grid trains for each seed: an arm at a round, started again from somewhere."""

    arm: str
    rewind: int | str = 0
    round: int = 0


DENSE = Unit("dense")


@dataclasses.dataclass(frozen=True)
class Store:
    """A folder, and what makes the networks and the data that its files belong to."""

    folder: Path
    build: Callable[[int], nn.Module]
    data: Callable[[int], Splits]
    plan: Plan

    def path(self, unit: Unit, seed: int) -> Path:
        """Return where the training of a seed is, or is to be."""
        place = self.folder / unit.arm.replace(" ", "-").replace(",", "")
        if unit != DENSE:
            place = place / f"rewind-{unit.rewind}" / f"round-{unit.round:02d}"
        return place / f"seed-{seed}.safetensors"

    # --- Trainings --------------------------------------------------------------------------------

    def put(self, unit: Unit, seed: int, run: Run, ticket: Ticket, row: dict[str, Any]) -> None:
        """Write a training: its row and curve, and for tickets the mask and the networks."""
        tensors = {f"curve:{name}": torch.tensor(run.history[name].to_numpy()) for name in CURVE}
        if unit.arm in ("dense", "ticket"):
            tensors |= {f"mask:{name}": mask for name, mask in ticket.masks.items()}
            for step, model in ({"end": run.model} | run.snapshots).items():
                tensors |= {f"{step}:{name}": t for name, t in model.state_dict().items()}
        about = {"row": row, "found": ticket.found}
        if unit == DENSE:
            about |= self.fingerprints(seed)
        path = self.path(unit, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_tensors(path, tensors, about)

    def row(self, unit: Unit, seed: int) -> dict[str, Any]:
        """Return what was measured."""
        return files.read_facts(self.path(unit, seed), of=GRID)["row"]

    def curve(self, unit: Unit, seed: int) -> pd.DataFrame:
        """Return the history of a training."""
        tensors, _ = files.read_tensors(self.path(unit, seed), of=GRID, prefix="curve:")
        return pd.DataFrame({name: tensors[name].numpy() for name in CURVE})

    def model(self, unit: Unit, seed: int, when: int | str = "end") -> nn.Module:
        """Return a plain network, at the end or, dense, at one of the steps that are stored."""
        path = self.path(unit, seed)
        state, _ = files.read_tensors(path, of=GRID, prefix=f"{when}:")
        return filled(self.build(seed), state, f"the file {path}")

    def ticket(self, seed: int, round: int, rewind: int | str) -> Ticket:
        """Return the ticket of a round; that of round 0 keeps every weight."""
        before = DENSE if round <= 1 else Unit("ticket", rewind, round - 1)
        late = rewind in LATE
        start = self.model(before, seed) if late else self.model(DENSE, seed, rewind)
        path = self.path(Unit("ticket", rewind, round) if round else DENSE, seed)
        masks, about = files.read_tensors(path, of=GRID, prefix="mask:")
        return Ticket(masks, start, self.plan.steps if late else rewind, about["found"])

    # --- Settings ---------------------------------------------------------------------------------

    def fingerprints(self, seed: int) -> dict[str, str]:
        """Return hashes of a seed's first weights and data: other ones are other experiments."""
        splits = self.data(seed)
        weights = self.build(seed).state_dict().values()
        items = [t for split in (splits.train, splits.validation, splits.test) for t in split]
        return {"network": _hash(weights), "data": _hash(items)}

    def check(
        self, settings: Mapping[str, Any], steps: Sequence[int], seeds: Sequence[int]
    ) -> list[int]:
        """Write the settings into a new folder; in an old one, raise a ValueError if they differ.

        More seeds, rounds and controls may come later. What is stored stays. Returns the steps at
        which this folder's dense networks are stored, of which `steps` are some.
        """
        schedule = self.plan.schedule or (lambda done: 1.0)
        wanted = {
            **{f.name: getattr(self.plan, f.name) for f in dataclasses.fields(self.plan)},
            "schedule": [schedule(step / self.plan.steps) for step in range(self.plan.steps)],
            **settings,
        }
        wanted = json.loads(files.as_json(wanted)) | {"rewind_steps": sorted(steps)}
        path = self.folder / SETTINGS
        if not path.exists():
            there = self.folder.iterdir() if self.folder.exists() else ()
            if not all(files.is_unfinished(file) for file in there):  # a killed call left those
                raise ValueError(
                    f"{self.folder} holds other files: a grid takes a folder of its own"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            files.write_json(path, wanted)
            return wanted["rewind_steps"]
        stored = json.loads(path.read_text())
        kept = stored.pop("rewind_steps")
        if new := set(steps) - set(kept):
            raise ValueError(
                f"the dense networks in {self.folder} are not stored at the steps {sorted(new)}: "
                "take another folder and name all steps in the first call"
            )
        del wanted["rewind_steps"]
        changed = sorted(n for n in wanted | stored if wanted.get(n) != stored.get(n))
        for seed in seeds:
            path = self.path(DENSE, seed)
            if path.exists():
                about, now = files.read_facts(path, of=GRID), self.fingerprints(seed)
                changed += [f"{what} of seed {seed}" for what in now if about[what] != now[what]]
        if changed:
            raise ValueError(
                f"{self.folder} holds a grid with other settings ({', '.join(changed)} differ): "
                "take another folder; nothing was changed in this one"
            )
        return kept


def _hash(tensors) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
