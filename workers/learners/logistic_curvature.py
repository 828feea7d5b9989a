"""Hessians of logistic regressions, from some of a subset's members, for `preconditioners.inverses`."""

from typing import Final

import numpy as np

from estimators.arrays import AnyArray, FloatArray
from workers.learners.logistic_objective import Problem, TrainingRows
from workers.learners.preconditioners import FULL_UP_TO, sampled_rows

COUPLED_UP_TO: Final = 192
"""Up to so many parameters the Hessian at a place couples the logits; above, all logits share a block."""
FLOPS: Final = 2**25


def hessian_at_zero(rows: TrainingRows, problem: Problem, penalty: float) -> FloatArray:
    """The Hessian [1, c, c] of each logit's parameters at zero, on the directions whose sum over logits is zero.

    Above `FULL_UP_TO` columns its diagonal [1, c]; c columns, without the padding.
    """
    logits = len(problem.absent) - int(problem.absent.sum())
    at_zero = 0.25 if rows.logits == 1 else 1.0 / logits
    size = rows.features.shape[1]
    features, shares = _sample(rows.single if rows.shareable else rows.features, rows, problem, sampled_rows(size))
    return _gram(rows, features, at_zero * shares, penalty / problem.total)[None]


def hessian_at(rows: TrainingRows, problem: Problem, parameters: AnyArray, penalty: float) -> FloatArray:
    """The Hessian at parameters [B, D]: of all B D together [1, B D, B D], or the mean block of a logit [1, c, c].

    Above `FULL_UP_TO` columns the diagonal [1, c]. In the precision of the parameters. (Each logit's own block saves a
    third of the iterations on ten classes, and costs more than they do.)
    """
    logits, size = parameters.shape
    coupled = logits * size <= COUPLED_UP_TO
    most = max(sampled_rows(size), FLOPS // (size * size * (logits * logits if coupled else 1)))
    source = rows.single if parameters.dtype == np.float32 else rows.features
    features, shares = _sample(source, rows, problem, most)
    probabilities = _probabilities(parameters @ features.T, problem)
    if not coupled or logits == 1:
        curvatures = (probabilities * (1.0 - probabilities)).mean(axis=0) * shares
        return _gram(rows, features, curvatures, penalty / problem.total)[None]
    hessian = np.empty((logits, size, logits, size))
    for a in range(logits):
        for b in range(logits):
            curvature = probabilities[a] * ((a == b) - probabilities[b]) * shares
            hessian[a, :, b] = (features.T * curvature.astype(features.dtype)) @ features
        hessian[a, range(size), a, range(size)] += penalty / problem.total * rows.penalised
    return hessian.reshape(1, logits * size, logits * size)


def _probabilities(logits: FloatArray, problem: Problem) -> FloatArray:
    """Probabilities [B, m] of logits [B, m]."""
    if len(logits) == 1:
        falling: FloatArray = np.exp(-np.abs(logits))
        return falling / (1.0 + falling)  # p or 1 - p: their product is all that is asked for
    logits[problem.absent] = -np.inf
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    probabilities: FloatArray = logits / logits.sum(axis=0)
    return probabilities


def _sample(source: AnyArray, rows: TrainingRows, problem: Problem, most: int) -> tuple[AnyArray, FloatArray]:
    """Features [m, D] and weights [m], summing to 1, of about `most` members, evenly through all classes."""
    held = np.flatnonzero(problem.held)[:: -(-problem.size // most)]
    weights = rows.weights[held]
    return source[held], weights / weights.sum()


def _gram(rows: TrainingRows, features: AnyArray, weights: FloatArray, penalty: float) -> FloatArray:
    """Of the columns that are no padding: features' products under weights [m], and the penalty."""
    features, own = features[:, : rows.columns], penalty * rows.penalised[: rows.columns]
    weights = weights.astype(features.dtype)
    if features.shape[1] > FULL_UP_TO:
        diagonal: FloatArray = (weights @ np.square(features)).astype(np.float64) + own
        return diagonal
    hessian: FloatArray = ((features.T * weights) @ features).astype(np.float64)
    hessian.flat[:: len(hessian) + 1] += own
    return hessian
