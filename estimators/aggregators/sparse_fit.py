"""The cross-fitted LASSO of a sparse regression, and what it leaves, from sums over rows alone.

Targets are taken 128 at a time, so that the bits of one do not depend on those beside its 128.
"""

from dataclasses import fields, replace

import numpy as np

from estimators.aggregators.columns import column_blocks, with_mean
from estimators.aggregators.sparse_sums import SparseSums
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import FloatArray
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.lasso import CrossFit, FoldSums, cross_fitted, error_on_own_folds


def effects_of(retrains: Retrains, ends: EndRows) -> FloatArray:
    """Minus the losses, less those of D, with their mean over tests as the last column: [K, n_test + 1]."""
    pivot = with_mean(ends.pivot()[None, :])[0]
    effects: FloatArray = pivot - with_mean(retrains.losses)
    return effects


def own_columns(sums: FoldSums, columns: slice) -> FoldSums:
    """The sums of some targets; what they share stays."""
    return replace(sums, v=sums.v[:, columns], vv=sums.vv[:, columns], xv=sums.xv[:, :, columns])


def no_fit(state: SparseSums) -> CrossFit:
    """Coefficients of 0."""
    folds, n, columns = state.fit.xv.shape
    nothing = np.zeros(columns)
    return CrossFit(np.zeros((folds, n, columns)), np.zeros((folds, columns)), nothing, nothing)


def cross_fit_of(state: SparseSums) -> CrossFit:
    """The cross-fitted LASSO; coefficients of 0 where some fold has no rows."""
    if min(state.fit.counts) < 1:
        return no_fit(state)
    with one_blas_thread():  # thousands of small products: threads that wait for each other cost ten times as much
        parts = [cross_fitted(own_columns(state.fit, columns)) for columns in column_blocks(state.fit.v.shape[1])]
    found = [np.concatenate([getattr(part, each.name) for part in parts], axis=-1) for each in fields(CrossFit)]
    return CrossFit(*found)


def corrections_of(state: SparseSums, fit: CrossFit) -> FloatArray:
    """Sums over the rows of each fold of w (v - b - x beta), [F, t, c]."""
    found = state.wv - state.w[:, :, None] * fit.intercept[:, None, :]
    for fold, beta in enumerate(fit.beta):
        for columns in column_blocks(beta.shape[1]):
            found[fold][:, columns] -= state.wx[fold] @ beta[:, columns]
    return found


def residual_variance(state: SparseSums, fit: CrossFit) -> FloatArray:
    """Mean squared residual of unseen rows, [c]."""
    total = np.empty(state.fit.v.shape[1])
    for columns in column_blocks(len(total)):
        total[columns] = error_on_own_folds(
            own_columns(state.fit, columns), fit.beta[:, :, columns], fit.intercept[:, columns]
        )
    return np.maximum(total, 0.0) / max(state.rows, 1)
