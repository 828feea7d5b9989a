"""What a campaign of walks will cost, and the standard error that it buys, from a few walks in this process."""

import math
import time
from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, ByteArray, FloatArray, IntArray
from estimators.designs.walk import Walk
from estimators.seeding import retrain_seeds
from workers.learner import Learner
from workers.walking import walk_keys, walker_of, walks_together, watched_columns

WALKS = 32
TOGETHER = 4
SECONDS = 5.0
BYTES_PER_LOSS = 3.5
"""Bytes of a stored float32 loss."""


@dataclass(frozen=True, slots=True)
class WalkPilot:
    """A few walks.

    seconds: of a walk. spreads: for each loss, the standard deviation of marginals over walks, as a mean over pairs
    (instance, test instance), and over instances for the mean test loss. stored: bytes a walk.
    """

    walks: int
    seconds: float
    spreads: dict[str, tuple[float, float]]
    stored: float


def walk_pilot(learner: Learner, design: Walk, identities: ByteArray, *, seed: int) -> WalkPilot:
    """Walk a few times through the whole training set."""
    columns = watched_columns(learner.n, learner.n_test)
    group = max(2, walks_together(learner.n, len(columns), len(learner.losses), most=TOGETHER))
    walker, sums, began, count = walker_of(learner), dict[str, FloatArray](), time.monotonic(), 0
    while count < WALKS and (not count or time.monotonic() - began < SECONDS):
        orders = design.orders(count, count + group)
        seeds = retrain_seeds(seed, walk_keys(orders, identities, design.rate), np.zeros(group, dtype=np.int64))
        for name, paths in walker.walk(orders, seeds, rate=design.rate, columns=columns).items():
            sums[name] = sums.get(name, np.zeros(())) + _sums(orders, paths)
        count += group
    seconds = (time.monotonic() - began) / count
    spreads = {name: _spreads(*each, count=count) for name, each in sums.items()}
    stored = BYTES_PER_LOSS * len(sums) * (learner.n + 1) * (len(columns) + 1) + 4.0 * learner.n
    return WalkPilot(count, seconds, spreads, stored)


def _sums(orders: IntArray, paths: AnyArray) -> FloatArray:
    """Sums and sums of squares over walks of what each instance adds, [2, n, c + 1], of paths [K, n + 1, c + 1]."""
    found = np.zeros((2, orders.shape[1], paths.shape[2]))
    for order, path in zip(orders, paths, strict=True):
        marginals = -np.diff(path.astype(np.float64), axis=0)
        found[0, order] += marginals
        found[1, order] += marginals**2
    return found


def _spreads(sums: FloatArray, squares: FloatArray, *, count: int) -> tuple[float, float]:
    """Mean standard deviations over walks, of test instances and of the mean, less what few walks bias them by."""
    bias = math.sqrt(2.0 / (count - 1)) * math.exp(math.lgamma(count / 2.0) - math.lgamma((count - 1) / 2.0))
    deviations = np.sqrt(np.maximum(squares - sums**2 / count, 0.0) / (count - 1)) / bias
    return float(deviations[:, :-1].mean()), float(deviations[:, -1].mean())
