"""Lottery tickets: subnetworks that train alone, how to find them, and what to compare them with.

A ticket is a mask and the weights that its subnetwork starts from: f(x; m ⊙ θ_k), where θ_k are the
weights of the dense network after k steps. The question is always whether the subnetwork does as
well as the whole, and whether it is the mask, the start, or neither. Chapter 03 is about them.
"""

from course_lib.tickets.barriers import Barrier, barrier
from course_lib.tickets.finding import Round, find, magnitude_masks, synflow_masks
from course_lib.tickets.grids import CONTROLS, Grid, early_accuracy, grid
from course_lib.tickets.ticket import Plan, Run, Ticket, train

__all__ = [  # in the order of the API page
    "CONTROLS",
    # a ticket and its training
    "Ticket",
    "Plan",
    "Run",
    "train",
    # finding
    "find",
    "Round",
    "magnitude_masks",
    "synflow_masks",
    # comparing
    "grid",
    "Grid",
    "early_accuracy",
    "barrier",
    "Barrier",
]
