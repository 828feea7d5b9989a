"""A subset of a given size out of random words."""

import numpy as np

from estimators.arrays import BoolArray, SeedArray


def smallest(words: SeedArray, size: int) -> BoolArray:
    """Which of words [n] are the `size` smallest, size 0..n: with random words, every subset of that size alike."""
    if size == 0:
        return np.zeros(len(words), dtype=np.bool_)
    members: BoolArray = words <= np.partition(words, size - 1)[size - 1]
    if np.count_nonzero(members) > size:  # two equal words at the cut, chance below n^2 / 2^64: the first one wins
        members[:] = False
        members[np.argsort(words, kind="stable")[:size]] = True
    return members
