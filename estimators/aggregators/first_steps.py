"""The learner's own noise in walks, told by their first steps.

A walk has an order and a seed of its own, and its marginals vary over both; replicates of D are retrained otherwise
and tell nothing of single steps. But before its first step a walk has no history: among walks that begin with the same
instance the first marginal varies over seeds alone. Its variance within such walks, pooled over instances, is the
learner's own at the first step,

    s^2 = sum over i of sum over walks that begin with i of (m - mean of these)^2  /  (walks - distinct beginnings)

It is set beside the variance of marginals over walks. For noise that comes anew with each step (dropout, sampling) the
ratio is the learner's share of the whole variance; that of the starting weights may grow or fade along a walk, which
walks cannot tell from their orders.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.welch import cleared
from estimators.arrays import FloatArray, IntArray

LEAST_DEGREES = 8
"""With fewer the variance is off by more than half of itself."""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """First marginals m of the mean test loss by the instance they are on, [n] each: counts, sums of m and of m^2."""

    counts: IntArray
    sums: FloatArray
    squares: FloatArray

    @classmethod
    def empty(cls, n: int) -> "FirstSteps":
        """Of no walks."""
        return cls(np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n))

    def plus(self, other: "FirstSteps") -> "FirstSteps":
        """Of the walks of both."""
        return FirstSteps(self.counts + other.counts, self.sums + other.sums, self.squares + other.squares)

    def with_walks(self, orders: IntArray, paths: FloatArray) -> "FirstSteps":
        """With further walks of orders [K, n] and losses [K, 2 or more] on the way."""
        n, marginals = len(self.counts), paths[:, 0] - paths[:, 1]
        counts = np.bincount(orders[:, 0], minlength=n).astype(np.int64)
        sums, squares = (np.bincount(orders[:, 0], each, n).astype(np.float64) for each in (marginals, marginals**2))
        return self.plus(FirstSteps(counts, sums, squares))

    @property
    def degrees_of_freedom(self) -> int:
        """Walks less distinct beginnings."""
        return int(self.counts.sum()) - int((self.counts > 0).sum())

    def variance(self) -> float:
        """Of the first marginal over seeds; NaN where too few walks begin alike."""
        if self.degrees_of_freedom < LEAST_DEGREES:
            return np.nan
        means = self.sums / np.maximum(self.counts, 1)
        deviations = cleared(self.squares - self.sums * means, self.squares, rows=int(self.counts.sum()))
        return float(deviations.sum()) / self.degrees_of_freedom

    def note(self, spread: float) -> tuple[str, ...]:
        """What the learner's own noise is beside `spread`, the variance of marginals over walks."""
        own = self.variance()
        if np.isnan(own):
            return ("errors hold the learner's own noise, but too few walks begin alike to tell its share: draw more",)
        if own == 0.0 or not spread > 0.0:
            return ()
        said = f"errors hold the learner's own noise, at the first step {own / spread:.1%} of the variance of marginals"
        return (f"{said} (by {int(self.counts.sum()):,} walks, between those that begin with the same instance)",)
