"""Sums over blocks of rows behind a semivalue by surrogate and correction; see `surrogate_block`."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray


@dataclass(slots=True)
class BlockSums:
    """Sums over blocks of rows, weighted: units; of units times value, [n, c] + [c]; of units^2 times variance [n, c].

    In Fortran order, as products are. expected, doubt [n]: of units^2 times the variance that the surrogate expects,
    and of units^4 times half the variance of that.
    """

    units: int
    values: FloatArray
    shift: FloatArray
    variances: FloatArray
    expected: FloatArray
    doubt: FloatArray

    def copy(self) -> "BlockSums":
        """The same in arrays of its own."""
        return BlockSums(
            self.units,
            self.values.copy("F"),
            self.shift.copy(),
            self.variances.copy("F"),
            self.expected.copy(),
            self.doubt.copy(),
        )

    def plus(self, other: "BlockSums") -> "BlockSums":
        """The sums over the blocks of both."""
        return BlockSums(
            self.units + other.units,
            self.values + other.values,
            self.shift + other.shift,
            self.variances + other.variances,
            self.expected + other.expected,
            self.doubt + other.doubt,
        )

    def degrees(self, *, told: bool) -> FloatArray:
        """Degrees of freedom [n] by Satterthwaite, where they are `told`, at most units - 1."""
        degrees = np.full(len(self.expected), float(self.units - 1))
        varied = (self.doubt > 0.0) & told
        degrees[varied] = np.minimum(degrees[varied], self.expected[varied] ** 2 / self.doubt[varied])
        return degrees


def no_block_sums(n: int, columns: int) -> BlockSums:
    """Sums over no block."""
    values, variances = (np.zeros((n, columns), order="F") for _ in range(2))
    return BlockSums(0, values, np.zeros(columns), variances, np.zeros(n), np.zeros(n))
