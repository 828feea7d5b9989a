"""A Gaussian process over subsets: its scales by marginal likelihood, its predictions and leave-one-out residuals.

The covariance is a sum of exchangeable components (`kernels`) with a scale each, and noise whose variance in row k is
proportional to 1 / weight_k (Rasmussen and Williams 2006, chapters 2 and 5; leave-one-out residuals: equation 5.12).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dtrsm
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtri
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
    halves = [np.tril(part) for part in parts]
    for half in halves:
        half[np.diag_indices_from(half)] /= 2.0

    def objective(logs: FloatArray) -> tuple[float, FloatArray]:
        scales = np.exp(logs)
        covariance = scales[0] * parts[0]
        for scale, part in zip(scales[1:3], parts[1:], strict=True):
            covariance += scale * part
        factor, failed = dpotrf(_with_noise(covariance, scales[3] * noise).T, lower=1, overwrite_a=1)
        if failed:
            return 1e12, np.zeros(4)
        half_log_determinant = float(np.log(np.diag(factor)).sum())
        alpha, _ = dpotrs(factor, responses, lower=1)
        inverse, _ = dpotri(factor, lower=1, overwrite_c=1)  # its upper half is that of the factor: zeros
        columns = responses.shape[1]
        value = 0.5 * float(np.sum(responses * alpha)) + columns * half_log_determinant
        # of sum (columns C^-1 - alpha alpha^T) part, symmetric all of them, the lower half twice
        gradient = [
            (columns * float(np.vdot(inverse, half)) - 0.5 * float(np.vdot(alpha, part @ alpha))) * scale
            for part, half, scale in zip(parts, halves, scales[:3], strict=True)
        ]
        own = columns * np.diag(inverse) - (alpha * alpha).sum(axis=1)
        gradient.append(0.5 * float(own @ noise) * float(scales[3]))
        return value, np.array(gradient)

    found = minimize(objective, np.log(START), jac=True, method="L-BFGS-B", bounds=BOUNDS, options={"maxiter": STEPS})
    scales = np.exp(found.x)
    return Scales(tuple(float(scale) for scale in scales[:3]), float(scales[3]), float(found.fun))


def conditioned(covariance: FloatArray, noise: FloatArray, units: IntArray) -> Process:
    """The process with this covariance [m, m] and noise [m]; units [m]: rows that are left out together.

    Of the covariance the upper half is read; it is overwritten.
    """
    before = np.diag(covariance).copy()
    covariance = _with_noise(covariance, noise)
    own = np.diag(covariance) - before
    root, failed = dpotrf(covariance.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    inverse, _ = dtrtri(root, lower=1)
    predicted = 1.0 / _squares_of_columns(inverse)
    together = []
    order = np.argsort(units, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(units[order])) + 1):
        if len(rows) > 1 and units[rows[0]] >= 0:
            own_columns = np.where(np.arange(len(inverse))[:, None] >= rows, inverse[:, rows], 0.0)
            spread = np.linalg.inv(own_columns.T @ own_columns)
            predicted[rows] = np.diag(spread)
            together.append((rows, spread))
    return Process(root, own, predicted, tuple(together))


def _squares_of_columns(lower: FloatArray, width: int = 128) -> FloatArray:
    """Sums of squares of the columns [m] of the lower half of a matrix [m, m]."""
    found = np.empty(len(lower))
    for start in range(0, len(lower), width):
        part = slice(start, start + width)
        corner, below = np.tril(lower[part, part]), lower[start + width :, part]
        found[part] = np.einsum("km,km->m", corner, corner) + np.einsum("km,km->m", below, below)
    return found


def _with_noise(covariance: FloatArray, noise: FloatArray) -> FloatArray:
    """The covariance with noise and a floor on its diagonal, in place."""
    diagonal = covariance.reshape(-1)[:: len(covariance) + 1]
    diagonal += noise + JITTER * float(diagonal.mean())
    return covariance
