"""Walks as an aggregator eats them: losses after every instance of a permutation."""

from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import AnyArray, IntArray
from estimators.retrains import Retrains


@dataclass(frozen=True, slots=True, kw_only=True)
class Walks(Retrains):
    """A block of walks in plan order; members are all of D, losses [K, c + 1] those after the whole walk.

    orders: [K, n] permutations. paths: [K, n + 1, c + 1] losses after each of 0..n instances, on c test instances and
    on the mean over all of them. columns: [c] which test instances these are.
    """

    orders: IntArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    paths: AnyArray = field(default_factory=lambda: np.empty((0, 1, 1)))
    columns: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def walks_of(orders: IntArray, paths: AnyArray, columns: IntArray) -> Walks:
    """Walks over orders [K, n] with paths [K, n + 1, c + 1]; raises ValueError where the shapes do not fit."""
    count, n = orders.shape
    if paths.shape != (count, n + 1, len(columns) + 1):
        raise ValueError(f"paths have shape {paths.shape}, expected ({count}, {n + 1}, {len(columns) + 1})")
    members = np.ones((count, n), dtype=np.bool_)
    return Walks(members=members, losses=paths[:, -1], orders=orders, paths=paths, columns=columns)
