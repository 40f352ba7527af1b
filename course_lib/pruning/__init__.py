"""Pruning: which weights go (scores), how many and from where (masks), and when (schedules).

A mask m is a plain dictionary of booleans by parameter name, True where a weight stays. A masked
network computes with m ⊙ W, so a pruned weight is exactly zero whatever the optimiser does.
Chapter 01 introduces every function here.
"""

from course_lib.pruning.cutting import shrink
from course_lib.pruning.exchange import load, save
from course_lib.pruning.layers import PRUNABLE, Masks, Scores
from course_lib.pruning.masked import Masked, apply, density, masks, prune, remove, sparsity
from course_lib.pruning.rules import each, global_mask, layerwise_mask
from course_lib.pruning.schedules import cubic_sparsity, gradual, iterative_sparsities
from course_lib.pruning.scores import magnitude, random, snip, synflow, taylor, weights
from course_lib.pruning.shuffling import shuffle
from course_lib.pruning.structured import n_m_mask, units

__all__ = [  # in the order of the API page
    "PRUNABLE",
    "Masks",
    "Scores",
    # what to remove
    "weights",
    "magnitude",
    "random",
    "snip",
    "synflow",
    "taylor",
    # how many, and from where
    "global_mask",
    "layerwise_mask",
    "each",
    "units",
    "n_m_mask",
    # a control: the same weights in other places
    "shuffle",
    # masked networks
    "Masked",
    "apply",
    "masks",
    "prune",
    "remove",
    "sparsity",
    "density",
    # smaller networks
    "shrink",
    # when
    "cubic_sparsity",
    "gradual",
    "iterative_sparsities",
    # elsewhere
    "save",
    "load",
]
