"""A Gaussian process over subsets: its scales by marginal likelihood, its predictions and leave-one-out residuals.

The covariance is a sum of exchangeable components (`kernels`) with a scale each, and noise whose variance in row k is
proportional to 1 / weight_k (Rasmussen and Williams 2006, chapters 2 and 5; leave-one-out residuals: equation 5.12).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky
from scipy.linalg.lapack import dpotri
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
class Fit:
    """Of responses Y [m, c]: coefficients C^-1 Y [m, c], and residuals with the unit left out [m, c].

    own [m]: each row's own variance, which times its coefficients is its residual in the sample.
    predicted [m]: the variance with which the process expects each left-out residual.
    """

    coefficients: FloatArray
    own: FloatArray
    left_out: FloatArray
    predicted: FloatArray


def fitted_scales(parts: Sequence[FloatArray], noise: FloatArray, responses: FloatArray) -> Scales:
    """Scales that maximise the marginal likelihood of responses [m, c] (each column of unit variance).

    parts: covariances [m, m] of the three components; noise [m]: the noise's variance in each row, up to its scale.
    """

    def objective(logs: FloatArray) -> tuple[float, FloatArray]:
        scales = np.exp(logs)
        try:
            inverse, half_log_determinant = _inverse(_covariance(parts, noise, scales[:3], scales[3]))
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


def fit(parts: Sequence[FloatArray], noise: FloatArray, responses: FloatArray, scales: Scales, units: IntArray) -> Fit:
    """The process with these scales, conditioned on responses [m, c]; units [m]: rows that are left out together."""
    covariance = _covariance(parts, noise, np.array(scales.components), scales.noise)
    own = np.diag(covariance) - sum(scale * np.diag(part) for scale, part in zip(scales.components, parts, strict=True))
    inverse, _ = _inverse(covariance)  # in the place of the covariance
    coefficients = inverse @ responses
    return Fit(coefficients, own, *_left_out(inverse, coefficients, units))


def _left_out(inverse: FloatArray, coefficients: FloatArray, units: IntArray) -> tuple[FloatArray, FloatArray]:
    """Residuals [m, c] of rows whose unit is left out, (C^-1)_uu^-1 (C^-1 Y)_u, and their variances [m]."""
    diagonal = np.diag(inverse)
    left_out, variances = coefficients / diagonal[:, None], 1.0 / diagonal
    order = np.argsort(units, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(units[order])) + 1):
        if len(own) > 1 and units[own[0]] >= 0:
            spread = np.linalg.inv(inverse[np.ix_(own, own)])
            left_out[own], variances[own] = spread @ coefficients[own], np.diag(spread)
    return left_out, variances


def _inverse(covariance: FloatArray) -> tuple[FloatArray, float]:
    """The inverse of a covariance and half the log of its determinant; raises LinAlgError where it has none."""
    factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    half_log_determinant = float(np.log(np.diag(factor)).sum())
    inverse, failed = dpotri(factor, lower=True, overwrite_c=True)  # its upper half is that of the factor: zeros
    if failed:
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    inverse += np.tril(inverse, -1).T
    return inverse, half_log_determinant


def _covariance(parts: Sequence[FloatArray], noise: FloatArray, scales: FloatArray, level: float) -> FloatArray:
    covariance: FloatArray = scales[0] * parts[0]
    for scale, part in zip(scales[1:], parts[1:], strict=True):
        covariance += scale * part
    floor = JITTER * float(np.mean(np.diag(covariance)))
    covariance[np.diag_indices_from(covariance)] += level * noise + floor
    return covariance
