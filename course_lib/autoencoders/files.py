"""Autoencoders in files: tensors as safetensors, and what else there is as JSON in their header."""

import json
import os
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from course_lib.autoencoders.activations import KINDS
from course_lib.autoencoders.model import SparseAutoencoder


def save(model: SparseAutoencoder, path: str | Path) -> None:
    """Write an autoencoder to a safetensors file, with its normalisation and its threshold."""
    write(path, model.state_dict(), {"autoencoder": model.settings()})


def load(path: str | Path) -> SparseAutoencoder:
    """Return an autoencoder from a file of `save`, on the CPU and in `eval` mode.

    Raises:
        ValueError: if the file is not one of `save`.
        FileNotFoundError: if there is no such file.
    """
    tensors, facts = read(path)
    if "autoencoder" not in facts:
        raise ValueError(f"{path} is not a file of autoencoders.save")
    model = build(facts["autoencoder"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold what its settings say: {error}") from error
    return model.eval()


def build(settings: dict) -> SparseAutoencoder:
    """Return an autoencoder of given `SparseAutoencoder.settings`; its weights are arbitrary."""
    own = dict(settings["activation"])
    kind = KINDS[own.pop("kind")]
    if kind.__name__ in ("JumpReLU", "Gated"):
        own["d_sae"] = settings["d_sae"]
    activation = nn.ReLU() if kind is nn.ReLU else kind(**own)
    return SparseAutoencoder(settings["d_in"], settings["d_sae"], activation, seed=0)


def write(path: str | Path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Write tensors and facts to one file. It is whole or it is the old one, whenever killed."""
    path = Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = {name: json.dumps(fact) for name, fact in facts.items()}
    safetensors.torch.save_file(tensors, unfinished, metadata=text)
    os.replace(unfinished, path)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors and the facts of a file of `write`.

    Raises:
        ValueError: if the file is not one of `write`.
        FileNotFoundError: if there is no such file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
    except (safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a file of this library: {error}") from error
    return tensors, facts
