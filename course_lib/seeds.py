"""Random generators that share no numbers: one for each seed and each use of it."""

import zlib

import numpy as np
import torch

from course_lib.checks import check_whole


def generator(seed: int, *use: str | int) -> torch.Generator:
    """Return a generator on the CPU for one use of a seed.

    The same seed may so draw the truth of a data set and the start of a model that looks for it:
    under different names these are independent. Taken from one stream they could be the same
    numbers, and the model would have found the truth before its training.

    Args:
        seed: a whole number, at least 0.
        *use: words and whole numbers that name what is drawn, for example `"batches", epoch`.

    Raises:
        ValueError: if the seed is not a whole number, or negative.
    """
    check_whole("seed", seed, low=0)
    words = [int(seed), *(zlib.crc32(u.encode()) if isinstance(u, str) else int(u) for u in use)]
    state = np.random.SeedSequence(words).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))
