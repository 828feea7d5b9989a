"""LASSO for thousands of targets at once, from sums alone, with the penalty of each target chosen by cross-validation.

    minimise over beta   1/(2 K) ||V - b - X beta||^2 + lambda ||beta||_1

Rows come in folds; of each fold only the sums of products are kept (Gram matrix, X^T V, ...), so that neither memory
nor the time of a fit depends on the number of rows. All targets and folds are solved together by accelerated proximal
gradient steps (Beck and Teboulle, SIAM J. Imaging Sciences 2009), each one matrix product [n, n] x [n, targets].
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, FloatArray, IntArray

PENALTIES = 12
LEAST_PENALTY = 1e-3
"""The path of penalties runs from the least that gives 0 everywhere down to this share of it."""
STEPS = 30
"""Gradient steps a penalty, from the fit at the one before: a fixed number, so that rounding decides nothing."""


@dataclass(frozen=True, slots=True)
class FoldSums:
    """Sums over the rows of each fold: counts [F], x [F, n], v and vv [F, c], xx [F, n, n], xv [F, n, c]."""

    counts: AnyArray
    x: FloatArray
    v: FloatArray
    vv: FloatArray
    xx: FloatArray
    xv: FloatArray


@dataclass(frozen=True, slots=True)
class CrossFit:
    """For each fold, the fit on the others: beta [F, n, c], intercept [F, c]; penalties [c], the ones chosen.

    kept: [c] how many coefficients are not 0, on average over folds.
    """

    beta: FloatArray
    intercept: FloatArray
    penalties: FloatArray
    kept: FloatArray


def cross_fitted(sums: FoldSums) -> CrossFit:
    """Fits that never saw their own fold, at the penalty whose prediction of unseen folds is best for each target."""
    folds, n, columns = sums.xv.shape
    best_error = np.full(columns, np.inf)
    chosen = CrossFit(np.zeros((folds, n, columns)), np.zeros((folds, columns)), np.zeros(columns), np.zeros(columns))
    problems = [_centred(sums, fold) for fold in range(folds)]
    most = np.max([np.abs(problem.xv).max(axis=0) for problem in problems], axis=0)
    beta = np.zeros((folds, n, columns))
    for share in np.geomspace(1.0, LEAST_PENALTY, PENALTIES):
        beta = np.stack([_solved(problem, share * most, beta[fold]) for fold, problem in enumerate(problems)])
        intercept = np.stack([problem.v - problem.x @ beta[fold] for fold, problem in enumerate(problems)])
        error = error_on_own_folds(sums, beta, intercept)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        chosen = CrossFit(
            beta=np.where(better, beta, chosen.beta),
            intercept=np.where(better, intercept, chosen.intercept),
            penalties=np.where(better, share * most, chosen.penalties),
            kept=np.where(better, (beta != 0.0).sum(axis=1).mean(axis=0), chosen.kept),
        )
    return chosen


@dataclass(frozen=True, slots=True)
class _Problem:
    """The rows outside one fold: means x [n], v [c]; centred second moments xx [n, n], xv [n, c]; step 1/Lipschitz."""

    x: FloatArray
    v: FloatArray
    xx: FloatArray
    xv: FloatArray
    step: float


def _centred(sums: FoldSums, fold: int) -> _Problem:
    count = float(sums.counts.sum() - sums.counts[fold])
    x = (sums.x.sum(axis=0) - sums.x[fold]) / count
    v = (sums.v.sum(axis=0) - sums.v[fold]) / count
    xx = (sums.xx.sum(axis=0) - sums.xx[fold]) / count - np.outer(x, x)
    xv = (sums.xv.sum(axis=0) - sums.xv[fold]) / count - np.outer(x, v)
    return _Problem(x, v, xx, xv, 1.0 / max(_largest_eigenvalue(xx), 1e-300))


def _largest_eigenvalue(matrix: FloatArray) -> float:
    """An upper bound within 1 % or so: power iterations from a fixed start, with a margin."""
    vector = np.cos(np.arange(1.0, len(matrix) + 1.0))
    size = 0.0
    for _ in range(50):
        image = matrix @ vector
        size = float(np.linalg.norm(image))
        if size == 0.0:
            return 0.0
        vector = image / size
    return 1.05 * size


def _solved(problem: _Problem, penalties: FloatArray, start: FloatArray) -> FloatArray:
    """Coefficients [n, c] for one penalty a target [c], from a warm start."""
    beta, ahead, momentum = start, start, 1.0
    threshold = problem.step * penalties
    for _ in range(STEPS):
        moved = ahead - problem.step * (problem.xx @ ahead - problem.xv)
        after = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0.0)
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = after + (momentum - 1.0) / following * (after - beta)
        beta, momentum = after, following
    return beta


def error_on_own_folds(sums: FoldSums, beta: FloatArray, intercept: FloatArray) -> FloatArray:
    """Squared error of each fit on the fold that it did not see, summed over folds, [c]."""
    total = np.zeros(sums.v.shape[1])
    for fold in range(len(sums.counts)):
        own, b = beta[fold], intercept[fold]
        fitted = (own * (sums.xx[fold] @ own)).sum(axis=0)
        crossed = (own * sums.xv[fold]).sum(axis=0)
        slope = own.T @ sums.x[fold]
        total += sums.vv[fold] - 2.0 * crossed - 2.0 * b * sums.v[fold] + fitted + 2.0 * b * slope
        total += sums.counts[fold] * b**2
    return total


def fold_of_units(first_members: AnyArray, folds: int) -> IntArray:
    """The fold of each unit from its first subset alone, [units]: the same whatever the order of the rows."""
    packed = np.packbits(first_members, axis=1).astype(np.uint64)
    powers = np.cumprod(np.full(packed.shape[1], 1099511628211, dtype=np.uint64))
    with np.errstate(over="ignore"):
        mixed = (packed * powers).sum(axis=1, dtype=np.uint64)
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(33)
    found: IntArray = (mixed % np.uint64(folds)).astype(np.int64)
    return found
