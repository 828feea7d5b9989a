"""The spread over units of a weighted sum over items, for all instances at once.

An item adds a y to the sum where an instance is in and takes b y off where it is not. With independent units of one
item each the variance is that of K numbers z: K / (K - 1) (sum z^2 - (sum z)^2 / K). The products behind these sums
are taken in single precision, which errs by 1e-6 of a variance, and at twice the speed; sum z^2 takes none at all
where a and b are the same for each item, as with Banzhaf values from rows with probability 1/2.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import sgemm

from estimators.arrays import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Sides:
    """Weights of items where an instance is in and where it is not [k]; members [n, k] in float32 and Fortran order.

    place [k]: the unit of each item, numbered from 0; -1 for items that were not drawn, whose y is 0. count: of units.
    """

    members: AnyArray
    inside: FloatArray
    outside: FloatArray
    place: IntArray
    count: int

    @classmethod
    def of(cls, members: AnyArray, inside: FloatArray, outside: FloatArray, units: IntArray) -> "Sides":
        """Those of k items of the units given, in any order of numbers; -1: not drawn."""
        numbers, place = np.unique(units, return_inverse=True)
        missing = int(len(numbers) > 0 and numbers[0] < 0)
        return cls(members, inside, outside, place.ravel() - missing, len(numbers) - missing)

    def variance(self, y: FloatArray, *, inside: FloatArray | None = None) -> FloatArray:
        """Variance [n, c] of the sum over independent units of what each adds to it; y [k, c].

        inside [n, c]: the sum of (a + b) y over items with the instance, where it is known; it is overwritten.
        """
        one_each = self.count == np.count_nonzero(self.place >= 0)
        sums, squares = self._of_items(y, inside) if one_each else self._of_units(y)
        sums *= sums
        sums /= self.count
        np.subtract(squares, sums, out=sums)
        np.maximum(sums, 0.0, out=sums)
        sums *= self.count / max(self.count - 1, 1)
        return sums

    def expected(self, variances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What units should add to the variance if item k has `variances[k]`, [n] each: the sum, the sum of squares."""
        inside, outside = self.inside**2 * variances, self.outside**2 * variances
        drawn = self.place >= 0
        if self.count == np.count_nonzero(drawn):
            squares = self.members @ (inside**2 - outside**2) + np.sum(outside**2)
            return self.members @ (inside - outside) + np.sum(outside), squares
        order = np.flatnonzero(drawn)[np.argsort(self.place[drawn], kind="stable")]
        each = self.members[:, order] * (inside - outside)[order] + outside[order]
        units = np.add.reduceat(each, np.searchsorted(self.place[order], np.arange(self.count)), axis=1)
        return units.sum(axis=1), (units * units).sum(axis=1)

    def _of_items(self, y: FloatArray, inside_sums: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Sums over items of z [n, c], and of z^2, which may be one row for all instances [c]."""
        sums = self._product((self.inside + self.outside)[:, None] * y) if inside_sums is None else inside_sums
        sums -= self.outside @ y
        inside, outside, y = self.inside**2, self.outside**2, y * y
        everywhere: FloatArray = outside @ y
        if np.allclose(inside, outside, rtol=1e-9, atol=0.0):
            return sums, everywhere
        squares = self._product((inside - outside)[:, None] * y)
        squares += everywhere
        return sums, squares

    def _product(self, y: FloatArray) -> FloatArray:
        """Members [n, k] times y [k, c], whose columns are brought to a size that single precision holds."""
        size = np.abs(y).max(axis=0)
        size[size == 0.0] = 1.0
        product: FloatArray = np.multiply(sgemm(1.0, self.members, (y / size).astype(np.float32)), size)
        return product

    def _of_units(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same where units are of several items."""
        sums, squares = np.zeros((2, len(self.members), y.shape[1]))
        for unit in range(self.count):
            own = self.place == unit
            inside, outside = self.inside[own][:, None], self.outside[own][:, None]
            each = self.members[:, own].astype(np.float64) @ ((inside + outside) * y[own]) - (outside * y[own]).sum(0)
            squares += each * each
            sums += each
        return sums, squares
