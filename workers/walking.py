"""The seam of learners that walk: one pass over a permutation, and the losses after every instance of it.

A walk trains one model from a fresh initialisation with one step of plain stochastic gradient descent for each
instance, in the order of a permutation: batch size 1, one epoch (G-Shapley: Ghorbani and Zou, ICML 2019, algorithm 2).
Its losses depend on the order, not on a subset alone: they are rows of another learner, in chunks of the kind
`walks`, keyed by the order, and never stand among retrains.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

import numpy as np

from estimators.arrays import ByteArray, Float32Array, IntArray, SeedArray
from estimators.subsets import KEY_BYTES
from workers.errors import LearnerError
from workers.learner import Learner

MOST_WALK_BYTES: Final = 2**23
"""Bytes of one loss of one walk that are kept; above it only watched test instances and the mean are."""
MOST_TOGETHER_BYTES: Final = 2**28
"""Bytes of losses that walks of one group hold in memory."""


@runtime_checkable
class Walker(Protocol):
    """A learner that can walk.

    Law: row k depends on (orders[k], seeds[k], rate) alone: not on K, on its neighbours, or on the worker.
    """

    def walk(self, orders: IntArray, seeds: SeedArray, *, rate: float, columns: IntArray) -> Mapping[str, Float32Array]:
        """Losses [K, n + 1, c + 1] of K walks over orders [K, n] with seeds [K].

        Position 0 is the untouched model, position s the model after the first s instances. The first c columns are
        the test instances `columns` [c], the last is the mean over all test instances. rate: of every step; an
        instance's weight multiplies its own. The training loss is the learner's, without penalty, momentum or
        schedule.
        """
        ...


def walker_of(learner: Learner) -> Walker:
    """The learner as one that walks; raises LearnerError where it cannot."""
    if isinstance(learner, Walker):
        return learner
    raise LearnerError(
        f"design walk: a {type(learner).__name__} cannot walk through its instances one by one: take kind: torch or"
        " logistic_regression (without data.group), or the design permutation, which retrains on prefixes"
    )


def watched_columns(n: int, n_test: int) -> IntArray:
    """Test instances [c] whose losses a walk keeps: all where they fit `MOST_WALK_BYTES`, else evenly spaced ones."""
    fitting = MOST_WALK_BYTES // (4 * (n + 1)) - 1
    if n_test <= fitting:
        return np.arange(n_test, dtype=np.int64)
    return np.unique(np.linspace(0, n_test - 1, max(1, fitting)).round().astype(np.int64))


def walks_together(n: int, columns: int, losses: int, *, most: int) -> int:
    """How many walks are held together: as many as retrains, within `MOST_TOGETHER_BYTES` of losses."""
    return max(1, min(most, MOST_TOGETHER_BYTES // (4 * losses * (n + 1) * (columns + 1))))


def walk_keys(orders: IntArray, identities: ByteArray, rate: float) -> list[bytes]:
    """Keys (16 bytes each) of walks over orders [K, n] at a rate: a hash of the instances' identities in order."""
    head = b"walk %s:" % float(rate).hex().encode()
    return [hashlib.blake2b(head + identities[order].tobytes(), digest_size=KEY_BYTES).digest() for order in orders]
