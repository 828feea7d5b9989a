"""The training rows of K linear models side by side: one matrix that all share, or each model's own rows.

Shared, a subset is a row of weights: one product serves all models, at the full rate of the machine, and instances
outside a subset are multiplied by exact zeros. Own, a subset's rows are copied out: no work is done on the others.
Either way a model's sums have the same bits whatever the other models are.
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np

from estimators.arrays import AnyArray, IntArray
from workers.learners.fixed_products import BLOCK, ROWS, fixed_product, padded, padded_to

LOGIT_BYTES: Final = 2**19


class Residuals(Protocol):
    """The derivatives of weighted losses by logits."""

    def __call__(self, logits: AnyArray, shares: AnyArray, labels: AnyArray) -> AnyArray:
        """[A, B, rows] of logits [A, B, rows], which are used up, weights [A, rows], labels [rows] or [A, rows]."""
        ...


class Rows(Protocol):
    """Training rows of A models."""

    def sums(self, parameters: AnyArray, residuals: Residuals) -> AnyArray:
        """Sums over rows of residual times features, [A, B, D], at parameters [A, B, D]."""
        ...

    def select(self, models: IntArray) -> Self:
        """The rows of the models named."""
        ...


@dataclass(frozen=True, slots=True)
class SharedRows:
    """All rows, and the weights of A subsets.

    features: [rows, D], padded, and across: the same, [columns, rows], without padding of D. labels: [rows], sorted.
    shares: [A or more, rows], 0 outside a subset. count: A.
    """

    features: AnyArray
    across: AnyArray
    labels: AnyArray
    shares: AnyArray
    count: int

    def sums(self, parameters: AnyArray, residuals: Residuals) -> AnyArray:
        """See Rows. Blocks of rows stay in cache; their sums are added up in float64."""
        models, (_, logits, size) = len(self.shares), parameters.shape
        flat = padded_to(parameters, models).reshape(models * logits, size)
        total = np.zeros((models * logits, size))
        for start in range(0, len(self.features), length := self._length(logits)):
            part = slice(start, start + length)
            features = self.features[part]
            block = fixed_product(flat[:, : len(self.across)], self.across[:, part]).reshape(
                models, logits, len(features)
            )
            found = residuals(block, self.shares[:, part], self.labels[part]).reshape(models * logits, -1)
            for inner in range(0, len(features), BLOCK):
                total += found[:, inner : inner + BLOCK] @ features[inner : inner + BLOCK]
        return total.reshape(models, logits, size)[: self.count].astype(parameters.dtype, copy=False)

    def select(self, models: IntArray) -> "SharedRows":
        """See Rows."""
        shares = padded_to(self.shares[models], padded(len(models), ROWS))
        return SharedRows(self.features, self.across, self.labels, shares, len(models))

    def _length(self, logits: int) -> int:
        fitting = LOGIT_BYTES // (self.shares.itemsize * len(self.shares) * logits)
        return max(BLOCK, fitting // BLOCK * BLOCK)


@dataclass(frozen=True, slots=True)
class OwnRows:
    """features: [A, rows, D], padded. labels: [A, rows]. shares: [A, rows], 0 on padding."""

    features: AnyArray
    labels: AnyArray
    shares: AnyArray

    def sums(self, parameters: AnyArray, residuals: Residuals) -> AnyArray:
        """See Rows."""
        logits = np.matmul(parameters, self.features.transpose(0, 2, 1))
        sums: AnyArray = np.matmul(residuals(logits, self.shares, self.labels), self.features)
        return sums

    def select(self, models: IntArray) -> "OwnRows":
        """See Rows."""
        return OwnRows(self.features[models], self.labels[models], self.shares[models])
