"""Small plain networks, initialised from a seed, and several of them as one.

`mlp` and `convnet` are `nn.Sequential`, so every layer can be read, replaced and pruned by its
number.

Each kind of network is a module of this package; all their names are here, so `networks.mlp` is
the function.
"""

from course_lib.networks.convolutional import Image, convnet
from course_lib.networks.initialising import initialise
from course_lib.networks.mlp import mlp
from course_lib.networks.sizes import n_parameters, widths_within
from course_lib.networks.stacking import ELEMENTWISE, StackedLinear, stack, unstack

__all__ = [  # in the order of the API page
    "mlp",
    "Image",
    "convnet",
    "initialise",
    "n_parameters",
    "widths_within",
    "ELEMENTWISE",
    "StackedLinear",
    "stack",
    "unstack",
]
