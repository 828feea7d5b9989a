"""Which pairs the rows tell an interaction of: a second difference needs rows with both, either one, and none of them.

An index gives each of the four kinds a weight, so without rows of one kind the mean of weighted losses is no estimate
of it, and its spread says nothing of what is missing. From a list of all subsets the index is exact, and needs each
equally often.
"""

import numpy as np

from estimators.aggregators.sparse_sums import SparseSums
from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.interactions.indices import PairWeights


def unseen_pairs(state: SparseSums, pairs: IntArray, inclusion: float, weights: PairWeights) -> BoolArray:
    """Pairs [P] without a row of a kind that the index weighs: both in, the first alone, the second alone, none."""
    first, second = pairs[:, 0], pairs[:, 1]
    own, other = state.members[first], state.members[second]
    joint = state.fit.xx.sum(axis=0)[first, second]  # of members less inclusion
    both = np.rint(joint + inclusion * (own + other) - inclusion**2 * state.rows).astype(np.int64)
    kinds = (
        (both, weights.both),
        (own - both, weights.one),
        (other - both, weights.one),
        (state.rows - own - other + both, weights.none),
    )
    unseen: BoolArray = np.any([(rows == 0) & _weighs(weight) for rows, weight in kinds], axis=0)
    return unseen


def missing_subsets(state: SparseSums) -> int:
    """How many rows a list of all subsets is short of whole lists; all of them where it is no whole list."""
    n = len(state.members)
    missing = int(-state.rows % 2**n)
    whole = bool((2 * state.members == state.rows).all())  # each instance is in half of the subsets
    return missing if missing or whole else 2**n


def unseen_notes(unseen: BoolArray, missing: int, n: int) -> tuple[str, ...]:
    """What is unknown and why."""
    if missing:
        return (f"{missing:,} of {2**n:,} subsets are missing: exact values need them all",)
    if not unseen.any():
        return ()
    count = int(unseen.sum())
    said = f"of {count:,} of {unseen.size:,} pairs no retrain is there with both, with one alone, or with none"
    return (f"{said}: value NaN, error infinite; draw more retrains",)


def _weighs(weight: FloatArray) -> bool:
    return bool((weight != 0.0).any())
