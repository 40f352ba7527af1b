"""Autoencoders in files: their tensors, and in the header what else there is."""

from pathlib import Path

from torch import nn

from course_lib import files
from course_lib.autoencoders.activations import KINDS
from course_lib.autoencoders.model import SparseAutoencoder


def save(model: SparseAutoencoder, path: str | Path) -> None:
    """Write an autoencoder to a safetensors file, with its normalisation and its threshold.

    Raises:
        ValueError, OSError: as `files.whole`, if nothing can be written there.
    """
    files.write_tensors(path, model.state_dict(), {"autoencoder": model.settings()})


def load(path: str | Path) -> SparseAutoencoder:
    """Return an autoencoder from a file of `save`, on the CPU and in `eval` mode.

    Raises:
        ValueError: if the file is not one of `save`, or its tensors are not what it says of them.
        FileNotFoundError: if there is no such file.
    """
    tensors, facts = files.read_tensors(path, of="autoencoders.save")
    if "autoencoder" not in facts:
        raise ValueError(f"{path} is not a file of autoencoders.save")
    try:
        model = build(facts["autoencoder"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} says of no autoencoder here what it is: {error!r}") from error
    if "W_dec" in tensors and tensors["W_dec"].is_floating_point():
        model.to(tensors["W_dec"].dtype)
    files.check_tensors(f"{path} is not what it says", tensors, model.state_dict())
    model.load_state_dict(tensors)
    return model.eval()


def build(settings: dict) -> SparseAutoencoder:
    """Return an autoencoder of given `SparseAutoencoder.settings`; its weights are arbitrary."""
    own = dict(settings["activation"])
    kind = KINDS[own.pop("kind")]
    if kind.__name__ in ("JumpReLU", "Gated"):
        own["d_sae"] = settings["d_sae"]
    activation = nn.ReLU() if kind is nn.ReLU else kind(**own)
    return SparseAutoencoder(settings["d_in"], settings["d_sae"], activation, seed=0)
