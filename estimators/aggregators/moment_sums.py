"""Means over units of numbers that few units may decide, with variances that the instances of a test lend each other.

A marginal is often 0 but for few walks: then a mean that is too small comes with a variance that is too small, and the
interval misses on one side. An instance that no walk showed at work looks certain. So of each test instance (column)
variances s_i^2 over m units are drawn towards their mean over the n instances, by linear empirical Bayes (Buehlmann
1967; Smyth 2004 does so on the scale of logarithms, which knows no 0):

    v_i = (1 - B R) s_i^2 + B R mean(s^2)
    B = min(1, V / var over i of s_i^2),    V = mean over i of (m4_i - (m - 3) / (m - 1) m2_i^2) / m
    R = sum over i of (m3_i^2 / m2_i - 6 / m m2_i^2)  over  sum over i of (m4_i - m2_i^2)

with m2, m3, m4 the central moments. V is the sampling variance of a variance, so B is how much of what the variances
differ by is chance. R is how much of that chance is the mean's own: the squared correlation of mean and variance, less
what normal numbers show of it in m units; 0 for symmetric numbers, whose intervals need no help, and 1 for numbers that
take two values. It is 1 for an instance that never varied. Degrees of freedom are 2 v_i^2 over the variance that
sigma_i^2 has left, (1 - B) V v_i / mean(s^2), at most m - 1: an instance that varies less than the others is told by
few of its units. Intervals cover on average over the instances of a test instance (Morris, JASA 1983): those of
instances that vary far less than the others come out too wide while units are few.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.welch import Estimates, slack, unvaried_or_variance
from estimators.arrays import AnyArray, FloatArray

FEWEST_INSTANCES = 3


@dataclass(slots=True)
class MomentSums:
    """Sums over `units` of x, x^2, x^3 [n, c], and of x^4 over units and instances [c].

    lent: a result holds this object, so what is added goes into a copy.
    """

    units: int
    sums: FloatArray
    squares: FloatArray
    cubes: FloatArray
    fourths: FloatArray
    lent: bool = False

    @classmethod
    def empty(cls, n: int, columns: int) -> "MomentSums":
        """Over no units."""
        sums, squares, cubes = np.zeros((3, n, columns))
        return cls(0, sums, squares, cubes, np.zeros(columns))

    def with_unit(self, x: FloatArray) -> "MomentSums":
        """With one more unit, x [n, c]: in place, unless a result holds the sums."""
        found = self.copy() if self.lent else self
        squares = x * x
        found.units += 1
        found.sums += x
        found.squares += squares
        found.cubes += squares * x
        found.fourths += np.einsum("nc,nc->c", squares, squares)
        return found

    def copy(self) -> "MomentSums":
        """The same in arrays of its own."""
        return MomentSums(self.units, self.sums.copy(), self.squares.copy(), self.cubes.copy(), self.fourths.copy())

    def plus(self, other: "MomentSums") -> "MomentSums":
        """Over the units of both."""
        return MomentSums(
            self.units + other.units,
            self.sums + other.sums,
            self.squares + other.squares,
            self.cubes + other.cubes,
            self.fourths + other.fourths,
        )

    def estimates(self, columns: slice | AnyArray) -> Estimates:
        """Means over units with their errors, [n, c] of some columns."""
        sums, m = self.sums[:, columns], self.units
        if not m:
            return Estimates(np.full(sums.shape, np.nan), np.full(sums.shape, np.inf), np.zeros(sums.shape))
        if m == 1:
            return Estimates(sums.copy(), np.full(sums.shape, np.nan), np.zeros(sums.shape))
        variances, degrees = self._shared(columns)
        return Estimates(sums / m, np.sqrt(variances / m), degrees)

    def variances(self) -> FloatArray:
        """The own variances s^2 [n, c], NaN of fewer than two units."""
        if self.units < 2:
            return np.full(self.sums.shape, np.nan)
        return unvaried_or_variance(self.squares, self.sums, self.units, rows=self.units)

    def _shared(self, columns: slice | AnyArray) -> tuple[FloatArray, FloatArray]:
        """The variances v and their degrees of freedom, [n, c]."""
        m, sums, squares = self.units, self.sums[:, columns], self.squares[:, columns]
        own = unvaried_or_variance(squares, sums, m, rows=m)
        degrees = np.full(own.shape, m - 1.0)
        if len(own) < FEWEST_INSTANCES:
            return own, degrees
        chance, skewed = self._shape(columns, own)  # V and R
        mean, apart = own.mean(axis=0), own.var(axis=0, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_chance = np.where(chance < apart, chance / apart, np.where(chance > 0.0, 1.0, 0.0))
            share = by_chance * np.where(own > 0.0, skewed, 1.0)
            found = (1.0 - share) * own + share * mean
            left = (1.0 - by_chance) * chance / mean
            told = np.where(left > 0.0, 2.0 * found / left, np.inf)
        return found, np.clip(told, 1.0, degrees)

    def _shape(self, columns: slice | AnyArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of each column V, how much the variances `own` err by, and R, how much of it goes with the means."""
        m, n, second = self.units, len(own), own * ((self.units - 1) / self.units)
        mean, raw, cubes = (each[:, columns] / m for each in (self.sums, self.squares, self.cubes))
        third = cubes - mean * (3.0 * raw - 2.0 * mean * mean)
        fourth = self.fourths[columns] / m - (mean * (4.0 * cubes - mean * (6.0 * raw - 3.0 * mean * mean))).sum(axis=0)
        fourth = np.where(fourth <= 16.0 * slack(m) * self.fourths[columns] / m, 0.0, fourth)
        of_squares = (second * second).sum(axis=0)
        chance = np.maximum(fourth - of_squares * ((m - 3.0) / (m - 1.0)), 0.0) / (n * m)
        with np.errstate(divide="ignore", invalid="ignore"):
            of_mean = np.where(second > 0.0, third * third / second, 0.0).sum(axis=0) - 6.0 / m * of_squares
            skewed = of_mean / (fourth - of_squares)
        return np.where(fourth > 0.0, chance, 0.0), np.where(fourth > of_squares, np.clip(skewed, 0.0, 1.0), 0.0)
