"""The cross-fitted LASSO of a sparse regression, and what it leaves, from sums over rows alone."""

import numpy as np

from estimators.aggregators.columns import with_mean
from estimators.aggregators.sparse_sums import SparseSums
from estimators.arrays import FloatArray
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.lasso import CrossFit, cross_fitted


def effects_of(retrains: Retrains, ends: EndRows) -> FloatArray:
    """Minus the losses, less those of D, with their mean over tests as the last column: [K, n_test + 1]."""
    pivot = with_mean(ends.pivot()[None, :])[0]
    effects: FloatArray = pivot - with_mean(retrains.losses)
    return effects


def no_fit(state: SparseSums) -> CrossFit:
    """Coefficients of 0."""
    folds, n, columns = state.fit.xv.shape
    nothing = np.zeros(columns)
    return CrossFit(np.zeros((folds, n, columns)), np.zeros((folds, columns)), nothing, nothing)


def cross_fit_of(state: SparseSums) -> CrossFit:
    """The cross-fitted LASSO; coefficients of 0 where some fold has no rows."""
    return no_fit(state) if min(state.fit.counts) < 1 else cross_fitted(state.fit)


def corrections_of(state: SparseSums, fit: CrossFit) -> FloatArray:
    """Sums over the rows of each fold of w (v - b - x beta), [F, t, c]."""
    return np.stack(
        [
            state.wv[fold] - state.wx[fold] @ fit.beta[fold] - np.outer(state.w[fold], fit.intercept[fold])
            for fold in range(len(fit.beta))
        ]
    )


def residual_variance(state: SparseSums, fit: CrossFit) -> FloatArray:
    """Mean squared residual of unseen rows, [c]."""
    total = np.zeros(state.fit.v.shape[1])
    for fold, (beta, b) in enumerate(zip(fit.beta, fit.intercept, strict=True)):
        fitted = (beta * (state.fit.xx[fold] @ beta)).sum(axis=0)
        crossed = (beta * state.fit.xv[fold]).sum(axis=0)
        slope = beta.T @ state.fit.x[fold]
        total += state.fit.vv[fold] - 2.0 * crossed - 2.0 * b * state.fit.v[fold] + fitted + 2.0 * b * slope
        total += state.fit.counts[fold] * b**2
    return np.maximum(total, 0.0) / max(state.rows, 1)
