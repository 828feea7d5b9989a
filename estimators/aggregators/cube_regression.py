"""Banzhaf values by least squares on rows with probability 1/2: the linear function nearest to the loss over the cube.

    L(S) ~ c + sum_i beta_i x_i(S),   x_i = 1 for members and -1 for others,   value[i] = -2 beta_i

(Hammer and Holzman 1992: with all subsets equally likely the slopes are the Banzhaf values.) Rows in pairs of
complements are fitted by half their difference without c, which pairs of instances then leave alone (Kernel Banzhaf,
Liu et al. 2024). Since x_i^2 = 1 the errors' variance around a wrong linear model does not depend on x_i, so the usual
standard error is right to first order: no second pass over the rows is needed.

Standard error: sqrt(4 s^2 [(X^T X)^-1]_ii), s^2 the residual variance over units - coefficients, which are the degrees
of freedom. Fewer than n + 10 units: unknown. An instance that is always or never in is unknown, and all are where the
rows do not tell instances apart, such as two that always stand together. State: n^2 + n (n_test + 1) numbers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import column_blocks, with_mean
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.notes import UNVARIED, own_noise, two_sided_notes
from estimators.aggregators.stored_noise import contrast_squares, noise_of_tests, widened
from estimators.aggregators.threads import one_blas_thread
from estimators.aggregators.welch import Estimates, cleared, slack
from estimators.arrays import AnyArray, BoolArray, FloatArray
from estimators.designs.protocol import Design
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains

SPARE_UNITS = 10
MOST_INFLATION = 1e10
"""Of a coefficient's variance by the others: an equation that rounding alone keeps solvable has some 1e15."""


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """Sums over units: squares [d, d] of X^T X, products [d, c] of X^T y, and [c] of y^2; y = loss - pivot."""

    units: int
    rows: int
    squares: FloatArray
    products: FloatArray
    responses: FloatArray


@dataclass(frozen=True, slots=True)
class CubeRegression:
    """Aggregator of Banzhaf values on `loss` by least squares; paired: rows come in pairs of complements."""

    value: str
    loss: str
    design: Design
    ends: EndRows
    paired: bool

    def empty(self) -> NormalEquations:
        """Sums over no rows."""
        d, columns = self.design.n + (not self.paired), self.ends.full.shape[1] + 1
        return NormalEquations(0, 0, np.zeros((d, d)), np.zeros((d, columns)), np.zeros(columns))

    def update(self, state: NormalEquations, retrains: Retrains) -> NormalEquations:
        """Add a block of retrains; whole pairs only."""
        y = with_mean(retrains.losses) - with_mean(self.ends.pivot()[None, :])[0]
        x = 2.0 * retrains.members.astype(np.float64) - 1.0
        if self.paired:
            x, y = x[::2], (y[::2] - y[1::2]) / 2.0
        else:
            x = np.column_stack([x, np.ones(len(x))])
        with one_blas_thread():
            squares, products = state.squares + x.T @ x, state.products.copy()
            for columns in column_blocks(y.shape[1]):
                products[:, columns] += x.T @ y[:, columns]
        return NormalEquations(
            state.units + len(x),
            state.rows + len(retrains.members),
            squares,
            products,
            state.responses + (y * y).sum(axis=0),
        )

    def merge(self, a: NormalEquations, b: NormalEquations) -> NormalEquations:
        """Sums over both."""
        return NormalEquations(
            a.units + b.units,
            a.rows + b.rows,
            a.squares + b.squares,
            a.products + b.products,
            a.responses + b.responses,
        )

    def finish(self, state: NormalEquations) -> Influence:
        """Influence [n, n_test]."""
        n, columns = self.design.n, len(state.responses)
        found, solved = self._estimates(state)
        constant = (np.abs(state.products).max(axis=0) == 0.0) & (state.units > 0)
        counts = np.rint((state.rows + state.squares[:n, -1]) / 2).astype(np.int64)
        notes = () if self.paired else two_sided_notes(counts, state.rows)
        if state.units < n + SPARE_UNITS:
            notes = (f"{state.units} units for {n} instances: least squares needs {n + SPARE_UNITS}", *notes)
        elif not solved:
            notes = ("some instances always stand together: least squares cannot tell any apart; draw more", *notes)
        noise = noise_of_tests(self.ends, contrast_squares(self.design), state.rows)
        return assembled_influence(
            lambda part: widened(Estimates(*(each[:, part] for each in found)), noise[part]),
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=state.rows,
            notes=notes,
            per_test={UNVARIED: constant[:-1], **self._own_noise(state)},
            statistics=KeptStatistics(f"{self.value} from {self.design.label}", self, state),
        )

    def _own_noise(self, state: NormalEquations) -> dict[str, AnyArray]:
        """Of the spread over units: half a difference of two retrains has half the noise of one."""
        units = max(state.units, 1)
        level = np.zeros_like(state.responses) if self.paired else state.products[-1] / units
        spread = state.responses / units - level**2
        return own_noise(self.ends.full, spread[:-1], self.ends, retrains=0.5 if self.paired else 1.0)

    def _estimates(self, state: NormalEquations) -> tuple[tuple[FloatArray, FloatArray, FloatArray], bool]:
        """Values, errors and degrees of freedom, [n, c] each; and whether the equations have one solution."""
        n = self.design.n
        shape = (n, len(state.responses))
        found = np.full(shape, np.nan), np.full(shape, np.inf), np.zeros(shape)
        varied = self._varied(state)
        inverse = None if state.units < n + SPARE_UNITS else _inverse(state.squares[np.ix_(varied, varied)])
        if inverse is None:
            return found, False
        products = state.products[varied]
        slopes = np.empty_like(products)
        with one_blas_thread():
            for columns in column_blocks(slopes.shape[1]):
                slopes[:, columns] = inverse @ products[:, columns]
        known = np.flatnonzero(varied[:n])
        degrees = state.units - len(products)
        left = cleared(state.responses - (slopes * products).sum(axis=0), state.responses, rows=state.rows)
        scale, own = np.sqrt(state.responses / state.units), slopes[: len(known)]
        found[0][known] = np.where(np.abs(own) <= slack(state.rows) * scale, 0.0, -2.0 * own)
        found[1][known] = 2.0 * np.sqrt(np.outer(np.diag(inverse)[: len(known)], left / degrees))
        found[2][known] = float(degrees)
        return found, True

    def _varied(self, state: NormalEquations) -> BoolArray:
        """Coefficients [d] that rows tell: all but those of instances that are neither always nor never in."""
        varied = np.ones(len(state.squares), dtype=np.bool_)
        if not self.paired:
            varied[:-1] = np.abs(state.squares[:-1, -1]) < state.rows
        return varied


def _inverse(squares: FloatArray) -> FloatArray | None:
    """The inverse of X^T X, None where it has none but for rounding."""
    try:
        with one_blas_thread():
            inverse: FloatArray = cho_solve(cho_factor(squares), np.eye(len(squares)))
    except np.linalg.LinAlgError:
        return None
    return inverse if (np.diag(inverse) * np.diag(squares) < MOST_INFLATION).all() else None
