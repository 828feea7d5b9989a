"""Games whose values are known in closed form (v high = good; losses are -v). Nothing here imports the package."""

from dataclasses import dataclass
from math import comb

import numpy as np


@dataclass(frozen=True)
class KnownGame:
    name: str
    n: int
    v: object  # members as a set -> float
    shapley: np.ndarray
    banzhaf: np.ndarray

    def losses(self):
        sets = [{i for i in range(self.n) if k >> i & 1} for k in range(2**self.n)]
        return np.array([[-float(self.v(members))] for members in sets])


def additive(c, base):
    c = np.asarray(c)
    return KnownGame("additive", len(c), lambda s: base + sum(c[i] for i in s), c, c)


def quadratic(c, q):
    """Q symmetric with a zero diagonal: both values are c_i + sum_j q_ij / 2."""
    c, q = np.asarray(c), np.asarray(q)
    value = c + q.sum(axis=1) / 2
    return KnownGame(
        "quadratic", len(c), lambda s: sum(c[i] for i in s) + sum(q[i, j] for i in s for j in s if i < j), value, value
    )


def vote(n, quota):
    return KnownGame(
        "vote",
        n,
        lambda s: len(s) >= quota,
        np.full(n, 1 / n),
        np.full(n, comb(n - 1, quota - 1) / 2 ** (n - 1)),
    )


def unanimity(n, members):
    inside = np.array([i in members for i in range(n)], dtype=float)
    return KnownGame(
        "unanimity",
        n,
        lambda s: members <= s,
        inside / len(members),
        inside / 2 ** (len(members) - 1),
    )


def airport(costs):
    """Costs ascending; v(S) = the largest cost in S."""
    n, steps = len(costs), np.diff([0.0, *costs])
    remaining = n - np.arange(n)
    return KnownGame(
        "airport",
        n,
        lambda s: max((costs[i] for i in s), default=0.0),
        np.cumsum(steps / remaining),
        np.cumsum(steps / 2.0 ** (remaining - 1)),
    )


def glove():
    """One left glove, two right ones; v = pairs."""
    return KnownGame(
        "glove",
        3,
        lambda s: min(int(0 in s), len(s - {0})),
        np.array([2 / 3, 1 / 6, 1 / 6]),
        np.array([3 / 4, 1 / 4, 1 / 4]),
    )


def all_games():
    rng = np.random.default_rng(8)
    q = np.triu(rng.normal(size=(6, 6)), 1)
    return [
        additive(rng.normal(size=6), 0.7),
        quadratic(rng.normal(size=6), q + q.T),
        vote(7, 4),
        vote(6, 1),
        unanimity(6, {0, 2, 5}),
        airport([0.5, 1.0, 1.0, 2.5, 4.0]),
        glove(),
    ]
