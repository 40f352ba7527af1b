"""Probes: how sparse activations are, what noise would give, and what that says about an input.

Chapter 12 introduces the metrics, their axioms and their nulls; chapter 13 shifts, scores and
interventions.
"""

from course_lib.probes.axioms import AXIOMS, COUNTEREXAMPLES, Case, breaks, changed, search, table
from course_lib.probes.familiar import (
    NETWORKS,
    Trained,
    build,
    halves,
    last_hidden,
    train_without_class,
    without_class,
)
from course_lib.probes.interventions import (
    clip,
    keep_norm,
    keep_top,
    prune_and_rescale,
    rescale,
)
from course_lib.probes.metrics import (
    METRICS,
    Metric,
    effective_rank,
    gini,
    hoyer,
    kurtosis,
    l0,
    normalised_l1,
    participation_ratio,
    top_energy,
)
from course_lib.probes.nulls import Null, gaussian, null
from course_lib.probes.recording import Moments, Recording, Statistics, record
from course_lib.probes.scoring import (
    Gain,
    auroc,
    auroc_difference,
    bin_means,
    binned_spearman,
    expected_calibration_error,
    held_out_scores,
    logistic_gain,
    negative_energy,
    negative_entropy,
    norm,
    reliability,
    softmax_maximum,
    spearman,
)
from course_lib.probes.shifts import (
    Shift,
    contrast,
    held_out,
    inversion,
    noise,
    occlusion,
    rotation,
    shift_curve,
)

__all__ = [  # in the order of the API page
    # metrics
    "Metric",
    "METRICS",
    "hoyer",
    "gini",
    "top_energy",
    "effective_rank",
    "participation_ratio",
    "normalised_l1",
    "kurtosis",
    "l0",
    # axioms
    "AXIOMS",
    "COUNTEREXAMPLES",
    "Case",
    "changed",
    "breaks",
    "search",
    "table",
    # nulls
    "gaussian",
    "null",
    "Null",
    # recording
    "record",
    "Recording",
    "Statistics",
    "Moments",
    # shifts
    "Shift",
    "noise",
    "rotation",
    "inversion",
    "contrast",
    "occlusion",
    "held_out",
    "shift_curve",
    # signals
    "softmax_maximum",
    "negative_entropy",
    "negative_energy",
    "norm",
    # scoring
    "auroc",
    "auroc_difference",
    "spearman",
    "binned_spearman",
    "bin_means",
    "reliability",
    "expected_calibration_error",
    "held_out_scores",
    "logistic_gain",
    "Gain",
    # networks that never saw a class
    "NETWORKS",
    "Trained",
    "without_class",
    "build",
    "train_without_class",
    "halves",
    "last_hidden",
    # interventions
    "keep_top",
    "keep_norm",
    "clip",
    "rescale",
    "prune_and_rescale",
]
