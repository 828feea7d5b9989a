"""Leave-one-out in closed form for linear least squares: DFBETA, Cook's distance, DFFITS, groups.

Loss (1/2) e^2, objective (1/n) sum L_i + (lam / 2) ||theta||^2 with the divisor n kept (sum form). Cook, Technometrics
1977; Cook and Weisberg 1982; Belsley, Kuh and Welsch 1980 (DFFITS).
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray, IntArray
from estimators.errors import EstimatorError


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """A ridge solution with what its deletions need.

    features: [n, P]. theta: [P]. residuals: y - X theta [n]. inverse: (X^T X / n + lam I)^-1. leverages: [n].
    """

    features: FloatArray
    theta: FloatArray
    residuals: FloatArray
    inverse: FloatArray
    leverages: FloatArray

    def parameter_changes(self) -> FloatArray:
        """DFBETA [n, P]: theta minus theta without instance i, exactly."""
        gaps = self._gaps()
        changes: FloatArray = (self.features @ self.inverse) * (self.residuals / gaps)[:, None] / len(self.features)
        return changes

    def leave_one_out(self, test_features: FloatArray, test_targets: FloatArray, *, factor: float = 0.5) -> FloatArray:
        """Loss without i - loss with i [n, n_test], exactly; loss = factor e^2 (0.5 here, 1 for a squared error)."""
        errors = test_features @ self.theta - test_targets
        moved = errors - self.parameter_changes() @ test_features.T
        return factor * (np.square(moved) - np.square(errors))

    def own_leave_one_out(self, features: FloatArray, targets: FloatArray, *, factor: float = 0.5) -> FloatArray:
        """The same on each instance's own loss [n]; its features and target as they are, weights apart."""
        errors = features @ self.theta - targets
        moved = errors - np.einsum("ij,ij->i", self.parameter_changes(), features)
        found: FloatArray = factor * (np.square(moved) - np.square(errors))
        return found

    def group_changes(self, members: IntArray) -> FloatArray:
        """Theta minus theta without the group [P], exactly."""
        x = self.features[members]
        block = np.eye(len(members)) - x @ self.inverse @ x.T / len(self.features)
        found: FloatArray = self.inverse @ x.T @ np.linalg.solve(block, self.residuals[members]) / len(self.features)
        return found

    def cooks_distances(self) -> FloatArray:
        """Cook's D [n]: how far all fitted values move without instance i, in units of P s^2."""
        n, columns = self.features.shape
        if n <= columns:
            raise EstimatorError(f"Cook's distance needs more instances ({n}) than parameters ({columns})")
        variance = float(self.residuals @ self.residuals) / (n - columns)
        moves = self.parameter_changes() @ self.features.T
        distances: FloatArray = np.square(moves).sum(axis=1) / (columns * variance)
        return distances

    def dffits(self) -> FloatArray:
        """DFFITS [n] of ordinary least squares: the move of an instance's own fitted value in its standard errors."""
        n, columns = self.features.shape
        gaps = self._gaps()
        squares = float(self.residuals @ self.residuals) - np.square(self.residuals) / gaps
        without = np.sqrt(squares / (n - columns - 1))
        found: FloatArray = self.residuals * np.sqrt(self.leverages) / (without * gaps)
        return found

    def _gaps(self) -> FloatArray:
        gaps = 1.0 - self.leverages
        if (gaps <= 1e-12).any():
            place = int(np.argmin(gaps))
            raise EstimatorError(
                f"instance {place} has leverage 1: without it the solution is not determined; give a penalty above 0"
            )
        return gaps


def least_squares(features: FloatArray, targets: FloatArray, *, penalty: float | FloatArray = 0.0) -> LeastSquares:
    """The solution of (1/n) sum (1/2) e_i^2 + sum_p (penalty_p / 2) theta_p^2, one penalty or one a column [P].

    features: [n, P] with their own column of ones.

    Raises:
        EstimatorError: the normal equations are singular.
    """
    n, columns = features.shape
    matrix = features.T @ features / n + np.diag(np.broadcast_to(penalty, columns))
    if np.linalg.matrix_rank(matrix, hermitian=True) < columns:
        raise EstimatorError("the normal equations are singular: give a penalty above 0, or drop dependent columns")
    inverse = np.linalg.inv(matrix)
    theta = inverse @ (features.T @ targets) / n
    leverages: FloatArray = np.einsum("ij,jk,ik->i", features, inverse, features) / n
    return LeastSquares(features, theta, targets - features @ theta, inverse, leverages)
