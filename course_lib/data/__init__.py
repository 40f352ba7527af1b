"""Data sets with honest splits: choose on `validation`, look at `test` once.

Handwritten digits come with scikit-learn, so nothing is downloaded. MNIST is one call away when
online. Chapter 01 introduces both the folds and the label noise.

Each data set is a module of this package. Those of the digits are here under their functions'
names, so `data.digits` is the function; the others are imported by name: `from course_lib.data
import planted, rules`.
"""

from course_lib.data.digits import N_CLASSES, digits
from course_lib.data.labels import noisy_labels
from course_lib.data.mnist import MNIST_FILES, MNIST_MIRRORS, mnist
from course_lib.data.splits import Split, Splits

__all__ = [  # in the order of the API page
    "Split",
    "Splits",
    "N_CLASSES",
    "digits",
    "noisy_labels",
    "MNIST_FILES",
    "MNIST_MIRRORS",
    "mnist",
]
