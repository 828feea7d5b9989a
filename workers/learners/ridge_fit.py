"""One subset's ridge regression, exactly: by Cholesky where that keeps the figures, else by singular values.

Minimises sum_i w_i (y_i - b0 - x_i b)^2 + alpha ||b||^2 over the members, the intercept b0 not penalised:
scikit-learn's `Ridge`. Hoerl & Kennard, Technometrics 1970, equation (2.1), on data centred by the members' weighted
means; in the dual where features outnumber members.
"""

from typing import Final

import numpy as np
from scipy import linalg

from estimators.arrays import FloatArray
from workers.learner_specs import RidgeSpec
from workers.learners.linear_data import Gathered

LEAST_RECIPROCAL_CONDITION: Final = 1e-8
"""Below it (of the scaled normal equations) a Cholesky solution would be wrong in float32's figures: SVD instead."""


def ridge_fit(subset: Gathered, spec: RidgeSpec) -> tuple[FloatArray, float]:
    """Coefficients [d] and intercept of one ridge regression."""
    features, targets, weights = subset.features, subset.labels, subset.weights
    if not len(targets):
        return np.zeros(features.shape[1]), 0.0
    shares = weights / weights.sum()
    centre = shares @ features if spec.fit_intercept else np.zeros(features.shape[1])
    mean = float(shares @ targets) if spec.fit_intercept else 0.0
    roots: FloatArray = np.sqrt(weights)
    coefficients = _solved((features - centre) * roots[:, None], (targets - mean) * roots, spec.alpha)
    return coefficients, mean - float(centre @ coefficients)


def _solved(features: FloatArray, targets: FloatArray, alpha: float) -> FloatArray:
    """The b [d] that minimises ||targets - features b||^2 + alpha ||b||^2; of several, the one of least norm."""
    m, d = features.shape
    if alpha == 0.0:
        return _least_norm(features, targets)
    if m >= d:
        solution = _well_conditioned(features.T @ features, features.T @ targets, alpha)
        return _least_norm(*_augmented(features, targets, alpha)) if solution is None else solution
    dual = _well_conditioned(features @ features.T, targets, alpha)
    return _least_norm(*_augmented(features, targets, alpha)) if dual is None else features.T @ dual


def _well_conditioned(gram: FloatArray, right: FloatArray, alpha: float) -> FloatArray | None:
    """(gram + alpha I)^-1 right by Cholesky, scaled to a unit diagonal; None where that would lose the figures."""
    gram.flat[:: len(gram) + 1] += alpha
    scale = 1.0 / np.sqrt(np.diagonal(gram))
    gram *= scale[:, None] * scale
    norm = np.abs(gram).sum(axis=0).max()
    factor, failed = linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if failed or linalg.lapack.dpocon(factor, norm, uplo="L")[0] < LEAST_RECIPROCAL_CONDITION:
        return None
    solution: FloatArray = linalg.lapack.dpotrs(factor, right * scale, lower=1)[0] * scale
    return solution


def _augmented(features: FloatArray, targets: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """The least-squares problem whose plain solution is the ridge solution."""
    d = features.shape[1]
    return np.concatenate([features, np.sqrt(alpha) * np.eye(d)]), np.concatenate([targets, np.zeros(d)])


def _least_norm(features: FloatArray, targets: FloatArray) -> FloatArray:
    solution: FloatArray = np.linalg.lstsq(features, targets, rcond=None)[0].astype(np.float64, copy=False)
    return solution
