"""Toy models of superposition: more features than dimensions, when features are rarely present.

x̂ = ReLU(Wᵀ W x + b): n features go through m < n dimensions and back. Column W_i is the direction
of feature i. Many models train at once, stacked: S of them are one batched product. Chapter 05
introduces it.

*Sparsity is the probability of zero here*: `p_zero` = 0.9 means that a feature is absent in nine
inputs of ten.

Source: Elhage et al. 2022, "Toy models of superposition" (2209.10652).
"""

from course_lib.superposition.inputs import (
    PAIRS,
    features,
)
from course_lib.superposition.measures import (
    dimensionality,
    features_per_neuron,
    interference,
    linear_loss,
    phase_losses,
    squared_norms,
    stored,
)
from course_lib.superposition.models import (
    ToyModels,
    held_out,
    loss,
    loss_parts,
)
from course_lib.superposition.training import (
    Gradients,
    fit,
    largest,
    random_mask,
)

__all__ = [
    "ToyModels",
    "features",
    "held_out",
    "loss",
    "loss_parts",
    "PAIRS",
    "fit",
    "Gradients",
    "largest",
    "random_mask",
    "squared_norms",
    "stored",
    "interference",
    "dimensionality",
    "features_per_neuron",
    "phase_losses",
    "linear_loss",
]
