"""Normal equations of many subsets by one product: weights [K, n] times the products of all pairs of columns."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from workers.learners.fixed_products import BLOCK, ROWS, padded, padded_to
from workers.learners.ridge_columns import CentredColumns, solved

MOST_COLUMNS: Final = 96
LEAST_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Grams:
    """Solves for many subsets of `data`."""

    data: CentredColumns

    def serve(self, lengths: IntArray) -> BoolArray:
        """Whether this way is for subsets of so many members [K]: enough of D, and more than there are unknowns."""
        n, size = self.data.columns.shape
        fitting: BoolArray = lengths >= max(size, LEAST_SHARE * n)
        return fitting & (self.data.finite and size <= MOST_COLUMNS)

    def solutions(self, members: BoolArray) -> FloatArray:
        """Coefficients and intercepts [K, d + 1] of subsets [K, n] of `data`; NaN where figures would be lost."""
        moments = self._moments(members)
        found, _ = solved(moments[:, :-1, :-1] + np.diag(self.data.penalty), moments[:, :-1, -1])
        return self.data.uncentred(found)

    def _moments(self, members: BoolArray) -> FloatArray:
        """Weighted sums [K, d + 2, d + 2] of products of pairs of columns over each subset."""
        columns = self.data.columns
        n, size = columns.shape
        first, second = np.triu_indices(size)
        weights = np.zeros((padded(len(members), ROWS), padded(n)))
        np.multiply(members, self.data.weights, out=weights[: len(members), :n])
        total = np.zeros((len(weights), padded(len(first))))
        for start in range(0, n, BLOCK):
            block = columns[start : start + BLOCK]
            products = padded_to(block[:, first] * block[:, second], padded(len(block)), total.shape[1])
            total += weights[:, start : start + BLOCK] @ products
        moments = np.empty((len(members), size, size))
        moments[:, first, second] = moments[:, second, first] = total[: len(members), : len(first)]
        return moments
