"""A Gaussian process over subsets: its scales by marginal likelihood, its predictions and leave-one-out residuals.

The covariance is a sum of exchangeable components (`kernels`) with a scale each, and noise whose variance in row k is
proportional to 1 / weight_k (Rasmussen and Williams 2006, chapters 2 and 5; leave-one-out residuals: equation 5.12).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky
from scipy.linalg.blas import dtrsm
from scipy.linalg.lapack import dpotrf, dpotri, dtrtri
from scipy.optimize import minimize

from estimators.arrays import FloatArray, IntArray

JITTER = 1e-9
STEPS = 15
START = (0.6, 0.2, 0.1, 0.1)
BOUNDS = ((-12.0, 7.0),) * 3 + ((-16.0, 3.0),)


@dataclass(frozen=True, slots=True)
class Scales:
    """Variances of the components and of the noise, and minus the log marginal likelihood."""

    components: tuple[float, ...]
    noise: float
    loss: float


@dataclass(frozen=True, slots=True)
class Process:
    """A process conditioned on m subsets; responses come later, some columns at a time, the same bits for each.

    root [m, m]: lower factor of the covariance C of the responses. own [m]: each row's own variance, which times its
    coefficient is its residual in the sample. predicted [m]: the variance of each residual with the row's unit left
    out. together: of units of several rows, the rows and (C^-1)_uu^-1.
    """

    root: FloatArray
    own: FloatArray
    predicted: FloatArray
    together: tuple[tuple[IntArray, FloatArray], ...]

    def coefficients(self, responses: FloatArray) -> FloatArray:
        """C^-1 Y [m, c] of responses Y."""
        half = dtrsm(1.0, self.root, responses, lower=1)
        found: FloatArray = dtrsm(1.0, self.root, half, lower=1, trans_a=1, overwrite_b=1)
        return found

    def left_out(self, coefficients: FloatArray) -> FloatArray:
        """Residuals [m, c] of rows whose unit is left out, (C^-1)_uu^-1 (C^-1 Y)_u."""
        found = self.predicted[:, None] * coefficients
        for rows, spread in self.together:
            found[rows] = spread @ coefficients[rows]
        return found


def fitted_scales(parts: Sequence[FloatArray], noise: FloatArray, responses: FloatArray) -> Scales:
    """Scales that maximise the marginal likelihood of responses [m, c] (each column of unit variance).

    parts: covariances [m, m] of the three components; noise [m]: the noise's variance in each row, up to its scale.
    """

    def objective(logs: FloatArray) -> tuple[float, FloatArray]:
        scales = np.exp(logs)
        covariance = scales[0] * parts[0]
        for scale, part in zip(scales[1:3], parts[1:], strict=True):
            covariance += scale * part
        try:
            inverse, half_log_determinant = _inverse(_with_noise(covariance, scales[3] * noise))
        except np.linalg.LinAlgError:
            return 1e12, np.zeros(4)
        alpha = inverse @ responses
        columns = responses.shape[1]
        value = 0.5 * float(np.sum(responses * alpha)) + columns * half_log_determinant
        slope = columns * inverse - alpha @ alpha.T
        gradient = [0.5 * float(np.sum(slope * part)) * scale for part, scale in zip(parts, scales[:3], strict=True)]
        gradient.append(0.5 * float(np.diag(slope) @ noise) * float(scales[3]))
        return value, np.array(gradient)

    found = minimize(objective, np.log(START), jac=True, method="L-BFGS-B", bounds=BOUNDS, options={"maxiter": STEPS})
    scales = np.exp(found.x)
    return Scales(tuple(float(scale) for scale in scales[:3]), float(scales[3]), float(found.fun))


def conditioned(covariance: FloatArray, noise: FloatArray, units: IntArray) -> Process:
    """The process with this covariance [m, m], overwritten, and noise [m]; units [m]: rows left out together."""
    before = np.diag(covariance).copy()
    covariance = _with_noise(covariance, noise)
    own = np.diag(covariance) - before
    root, failed = dpotrf(covariance.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    inverse, _ = dtrtri(root, lower=1)
    inverse = np.tril(inverse)
    predicted = 1.0 / np.einsum("km,km->m", inverse, inverse)
    together = []
    order = np.argsort(units, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(units[order])) + 1):
        if len(rows) > 1 and units[rows[0]] >= 0:
            spread = np.linalg.inv(inverse[:, rows].T @ inverse[:, rows])
            predicted[rows] = np.diag(spread)
            together.append((rows, spread))
    return Process(root, own, predicted, tuple(together))


def _inverse(covariance: FloatArray) -> tuple[FloatArray, float]:
    """The inverse of a covariance and half the log of its determinant; raises LinAlgError where it has none."""
    factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    half_log_determinant = float(np.log(np.diag(factor)).sum())
    inverse, failed = dpotri(factor, lower=True, overwrite_c=True)  # its upper half is that of the factor: zeros
    if failed:
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    inverse += np.tril(inverse, -1).T
    return inverse, half_log_determinant


def _with_noise(covariance: FloatArray, noise: FloatArray) -> FloatArray:
    """The covariance with noise and a floor on its diagonal, in place."""
    diagonal = covariance.reshape(-1)[:: len(covariance) + 1]
    diagonal += noise + JITTER * float(diagonal.mean())
    return covariance
