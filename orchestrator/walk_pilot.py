"""What a campaign of walks will cost, and the standard error that it buys, from a few walks in this process."""

import time
from dataclasses import dataclass

import numpy as np

from estimators.arrays import ByteArray
from estimators.designs.walk import Walk
from estimators.seeding import retrain_seeds
from workers.learner import Learner
from workers.walking import walk_keys, walker_of, walks_together, watched_columns

WALKS = 4
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
    count = min(max(2, WALKS), walks_together(learner.n, len(columns), len(learner.losses), most=WALKS))
    orders = design.orders(0, max(2, count))
    seeds = retrain_seeds(seed, walk_keys(orders, identities, design.rate), np.zeros(len(orders), dtype=np.int64))
    began = time.monotonic()
    losses = walker_of(learner).walk(orders, seeds, rate=design.rate, columns=columns)
    seconds = (time.monotonic() - began) / len(orders)
    spreads = {}
    for name, paths in losses.items():
        marginals = np.empty((len(orders), learner.n, paths.shape[2]))
        for own, order, path in zip(marginals, orders, paths, strict=True):
            own[order] = -np.diff(path.astype(np.float64), axis=0)
        deviations = marginals.std(axis=0, ddof=1)
        spreads[name] = float(deviations[:, :-1].mean()), float(deviations[:, -1].mean())
    stored = BYTES_PER_LOSS * len(losses) * (learner.n + 1) * (len(columns) + 1) + 4.0 * learner.n
    return WalkPilot(len(orders), seconds, spreads, stored)
