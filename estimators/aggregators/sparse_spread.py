"""The second pass of a sparse regression: the spread over units of the terms whose mean is the value.

Standard error: sqrt(sum over units of (y_u - mean)^2 / (U (U - 1))), y_u the mean over the unit's rows of
beta + w (v - b - x beta). Rows of one short unit enter through the products of their weights and residuals, two by two,
each pair of places in a unit one matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from estimators.aggregators.columns import column_blocks
from estimators.aggregators.sparse_sums import RowFeatures, SparseSums, folds_of_rows
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.retrains import Retrains
from estimators.surrogates.lasso import CrossFit

MULTIPLIED_OUT = 4
"""Rows of a unit up to which its square is multiplied out."""

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class CorrectedMean(Protocol[Result_co]):
    """The first pass: values that are coefficients plus the mean of weighted residuals."""

    @property
    def design(self) -> Design:
        """Of the rows."""
        ...

    @property
    def features(self) -> RowFeatures:
        """How rows become numbers."""
        ...

    def effects(self, retrains: Retrains) -> FloatArray:
        """What is explained, [K, c]."""
        ...

    def parts(self, state: SparseSums, fit: CrossFit) -> tuple[FloatArray, FloatArray]:
        """By fold: coefficients [F, t, c], and sums over rows of w times the residual [F, t, c]."""
        ...

    def result(self, state: SparseSums, fit: CrossFit, errors: Callable[[slice], FloatArray]) -> Result_co:
        """The result with errors [t, columns] of a slice of columns."""
        ...


@dataclass(frozen=True, slots=True)
class Spread:
    """squares [t, c]: sums over units of (sum over the unit's rows of w r)^2 / (rows of the unit)^2."""

    squares: FloatArray


@dataclass(frozen=True, slots=True)
class SparseSpread(Generic[Result]):
    """Aggregator of the second pass."""

    first: CorrectedMean[Result]
    sums: SparseSums
    fit: CrossFit

    def empty(self) -> Spread:
        """No rows."""
        return Spread(np.zeros(self.sums.wv.shape[1:]))

    def update(self, state: Spread, retrains: Retrains) -> Spread:
        """The state with a further block of retrains, the same rows as in the first pass."""
        w, residuals = self.first.features.w(retrains.members), self._residuals(retrains)
        size = self.first.design.unit_rows if retrains.units is not None else 1
        squares = state.squares.copy()
        with one_blas_thread():
            for columns in column_blocks(residuals.shape[1]):
                squares[:, columns] += _squares(w, residuals[:, columns], size) / size**2
        return Spread(squares)

    def merge(self, a: Spread, b: Spread) -> Spread:
        """Sums over both."""
        return Spread(a.squares + b.squares)

    def finish(self, state: Spread) -> Result:
        """The result with errors over units."""
        sums = self.sums
        beta, corrections = self.first.parts(sums, self.fit)
        units, rows = max(sums.units, 1), max(sums.rows, 1)
        of_units = (sums.fit.counts * units / rows)[:, None, None]  # units of each fold
        total = (sums.fit.counts[:, None, None] * beta + corrections).sum(axis=0) / rows
        means = corrections / np.maximum(sums.fit.counts, 1.0)[:, None, None]  # of w r over a fold's units
        second = (of_units * (beta**2 + 2.0 * beta * means)).sum(axis=0) + state.squares
        spread = np.maximum(second - units * total**2, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.sqrt(spread / (units * (units - 1.0)))
        return self.first.result(sums, self.fit, lambda columns: errors[:, columns])

    def _residuals(self, retrains: Retrains) -> FloatArray:
        v, x = self.first.effects(retrains), self.first.features.x(retrains.members)
        folds, _ = folds_of_rows(retrains)
        residuals = np.empty_like(v)
        with one_blas_thread():
            for fold in range(len(self.fit.beta)):
                chosen = folds == fold
                own = v[chosen] - self.fit.intercept[fold]
                for columns in column_blocks(own.shape[1]):
                    own[:, columns] -= x[chosen] @ self.fit.beta[fold][:, columns]
                residuals[chosen] = own
        return residuals


def _squares(w: FloatArray, residuals: FloatArray, size: int) -> FloatArray:
    """Sums over units of `size` rows of (sum over the unit's rows of w r)^2, [t, c], of w [K, t] and r [K, c].

    Multiplied out for short units, so that all units go into one product; unit by unit for long ones.
    """
    squares = np.zeros((w.shape[1], residuals.shape[1]))
    if size > MULTIPLIED_OUT:
        for at in range(0, len(w), size):
            squares += np.square(w[at : at + size].T @ residuals[at : at + size])
        return squares
    for a in range(size):
        for b in range(size):
            units = min(len(w[a::size]), len(w[b::size]))
            squares += (w[a::size][:units] * w[b::size][:units]).T @ (
                residuals[a::size][:units] * residuals[b::size][:units]
            )
    return squares
