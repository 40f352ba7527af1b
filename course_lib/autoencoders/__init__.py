"""Sparse autoencoders: dictionaries of directions, few of which are used for one input.

A hidden layer's activations x are written as x ≈ f W_dec + b_dec with few entries of f not zero.
Chapter 06 introduces every function here.
"""

from course_lib.autoencoders.activations import BatchTopK, Gated, JumpReLU, TopK
from course_lib.autoencoders.dictionaries import (
    Matching,
    best_cosines,
    cosines,
    match,
    mmcs,
    recovered,
)
from course_lib.autoencoders.examining import Examination, examine
from course_lib.autoencoders.files import load, save
from course_lib.autoencoders.fitting import fit, linear, trapezoid
from course_lib.autoencoders.losses import (
    aux_k_loss,
    gate_loss,
    reconstruction_loss,
    sparsity_loss,
)
from course_lib.autoencoders.metrics import (
    Evaluation,
    dead_fraction,
    evaluate,
    explained_variance,
    firing_rates,
    fvu,
    l0,
    magnitude_slope,
    mse,
)
from course_lib.autoencoders.model import (
    Output,
    SparseAutoencoder,
    calibrate,
    geometric_median,
)
from course_lib.autoencoders.probing import auroc, best_latents, probe
from course_lib.autoencoders.resampling import resample
from course_lib.autoencoders.splicing import (
    LossRecovered,
    collect_activations,
    loss_recovered,
    splice,
    substitute,
)

__all__ = [  # in the order of the API page
    # the model
    "SparseAutoencoder",
    "Output",
    "TopK",
    "BatchTopK",
    "calibrate",
    "JumpReLU",
    "Gated",
    "geometric_median",
    # training
    "fit",
    "linear",
    "trapezoid",
    "reconstruction_loss",
    "sparsity_loss",
    "gate_loss",
    "aux_k_loss",
    "resample",
    "save",
    "load",
    # how good it is
    "evaluate",
    "Evaluation",
    "l0",
    "firing_rates",
    "dead_fraction",
    "mse",
    "fvu",
    "explained_variance",
    "magnitude_slope",
    # dictionaries side by side
    "cosines",
    "best_cosines",
    "mmcs",
    "recovered",
    "match",
    "Matching",
    # in a network
    "collect_activations",
    "splice",
    "substitute",
    "loss_recovered",
    "LossRecovered",
    # latents one by one
    "examine",
    "Examination",
    # what latents know
    "auroc",
    "best_latents",
    "probe",
]
