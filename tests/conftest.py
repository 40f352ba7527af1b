"""Fixtures that several test files share."""

import random

import numpy as np
import pytest
import torch
from hypothesis import settings

# Tests are small, and several run on one machine: threads would only wait for each other.
torch.set_num_threads(1)

# The same examples on every machine and in every run, and none thrown out for a slow machine.
settings.register_profile("course", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("course")


@pytest.fixture
def global_generators():
    """Fail a test in whose course the global random generators of torch, NumPy or Python moved."""

    def states():
        numpy_state = np.random.get_state()  # noqa: NPY002
        return torch.get_rng_state().tolist(), str(numpy_state), random.getstate()

    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    random.seed(123)
    before = states()
    yield
    for name, old, new in zip(("torch", "NumPy", "Python"), before, states(), strict=True):
        assert old == new, f"the global generator of {name} moved"
