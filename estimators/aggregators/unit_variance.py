"""The spread over units of a weighted sum over items, for all instances at once."""

from dataclasses import dataclass, replace

import numpy as np

from estimators.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Sides:
    """Weights of drawn items where an instance is in and where it is not [k], members [n, k], unit of each item [k]."""

    members: FloatArray
    inside: FloatArray
    outside: FloatArray
    place: IntArray
    count: int

    @classmethod
    def of(cls, members: FloatArray, inside: FloatArray, outside: FloatArray, units: IntArray) -> "Sides":
        """Those of k items of the units given, in any order of numbers."""
        numbers, place = np.unique(units, return_inverse=True)
        return cls(members, inside, outside, place, len(numbers))

    def variance(self, y: FloatArray) -> FloatArray:
        """Variance [n, c] of the sum over independent units of what each adds to it; y [k, c]."""
        if self.count == len(self.place):
            sums, squares = self.sums(y), self.squares(y)
        else:
            sums, squares = np.zeros((2, len(self.members), y.shape[1]))
            for unit in range(self.count):
                own = self.place == unit
                part = replace(self, members=self.members[:, own], inside=self.inside[own], outside=self.outside[own])
                each = part.sums(y[own])
                squares += each * each
                sums += each
        sums *= sums
        sums /= self.count
        np.subtract(squares, sums, out=sums)
        np.maximum(sums, 0.0, out=sums)
        sums *= self.count / max(self.count - 1, 1)
        return sums

    def sums(self, y: FloatArray) -> FloatArray:
        """The sum [n, c] over items of the weighted y, added where an instance is in and taken off where not."""
        product: FloatArray = self.members @ ((self.inside + self.outside)[:, None] * y)
        product -= self.outside @ y
        return product

    def squares(self, y: FloatArray) -> FloatArray:
        """The sum [n, c] over items of the squares of the same."""
        inside, outside, y = self.inside**2, self.outside**2, y * y
        everywhere = outside @ y
        if np.allclose(
            inside, outside, rtol=1e-9, atol=0.0
        ):  # Banzhaf values from rows with probability 1/2: no product is left
            return np.broadcast_to(everywhere, (len(self.members), y.shape[1]))
        product: FloatArray = self.members @ ((inside - outside)[:, None] * y)
        product += everywhere
        return product
