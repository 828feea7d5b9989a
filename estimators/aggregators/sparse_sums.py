"""Sums behind a sparse regression, by fold: what the LASSO needs, and what its correction needs.

    x = members - inclusion,    v = -(loss - pivot),    w = weights that follow from the design's law

For a value of each instance w[k, i] = inside[s] where i is in subset k, else -outside[s], with s its size. The
correction of a fit with coefficients beta is the mean of w (v - b - x beta), so sums of products of w with v, x and 1
give it without the rows.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from estimators.aggregators.columns import column_blocks
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.retrains import Retrains
from estimators.surrogates.lasso import FoldSums, fold_of_units

FOLDS = 4


class RowFeatures(Protocol):
    """How rows become numbers: x for the regression, w for the correction of each of `targets` values."""

    @property
    def targets(self) -> int:
        """How many values each test instance has."""
        ...

    def x(self, members: BoolArray) -> FloatArray:
        """Centred members [K, n]."""
        ...

    def w(self, members: BoolArray) -> FloatArray:
        """Weights [K, targets]."""
        ...


@dataclass(frozen=True, slots=True)
class MemberFeatures:
    """How rows become numbers. inclusion: Pr(i in S). inside, outside: [n + 1] weights by size; see the module."""

    inclusion: float
    inside: FloatArray
    outside: FloatArray

    @property
    def targets(self) -> int:
        """One value an instance."""
        return len(self.inside) - 1

    def x(self, members: BoolArray) -> FloatArray:
        """Centred members [K, n]."""
        centred: FloatArray = members.astype(np.float64) - self.inclusion
        return centred

    def w(self, members: BoolArray) -> FloatArray:
        """Weights [K, n]."""
        sizes = members.sum(axis=1)
        weights: FloatArray = np.where(members, self.inside[sizes][:, None], -self.outside[sizes][:, None])
        return weights


@dataclass(frozen=True, slots=True)
class SparseSums:
    """Sums over rows. fit: for the LASSO. w, ww [F, t]; wx [F, t, n]; wv [F, t, c]; members [n]; rows; units."""

    fit: FoldSums
    w: FloatArray
    ww: FloatArray
    wx: FloatArray
    wv: FloatArray
    members: IntArray
    rows: int
    units: int


def no_sums(n: int, targets: int, columns: int) -> SparseSums:
    """Sums over no rows, t = `targets` values of c = `columns` test instances."""
    fit = FoldSums(
        counts=np.zeros(FOLDS),
        x=np.zeros((FOLDS, n)),
        v=np.zeros((FOLDS, columns)),
        vv=np.zeros((FOLDS, columns)),
        xx=np.zeros((FOLDS, n, n)),
        xv=np.zeros((FOLDS, n, columns)),
    )
    square, long = np.zeros((FOLDS, targets, n)), np.zeros((FOLDS, targets, columns))
    flat = np.zeros((FOLDS, targets))
    return SparseSums(fit, flat, flat.copy(), square, long, np.zeros(n, dtype=np.int64), 0, 0)


def sums_of_rows(retrains: Retrains, v: FloatArray, features: RowFeatures) -> SparseSums:
    """Sums over one block of rows; v [K, c]."""
    folds, units = folds_of_rows(retrains)
    sums = no_sums(retrains.members.shape[1], features.targets, v.shape[1])
    fit = sums.fit
    for fold in range(FOLDS):
        chosen = folds == fold
        x, w, own = features.x(retrains.members[chosen]), features.w(retrains.members[chosen]), v[chosen]
        fit.counts[fold], fit.x[fold] = len(x), x.sum(axis=0)
        fit.v[fold], fit.vv[fold] = own.sum(axis=0), (own * own).sum(axis=0)
        sums.w[fold], sums.ww[fold] = w.sum(axis=0), (w * w).sum(axis=0)
        with one_blas_thread():
            fit.xx[fold], sums.wx[fold] = x.T @ x, w.T @ x
            for columns in column_blocks(v.shape[1]):
                fit.xv[fold][:, columns] = x.T @ own[:, columns]
                sums.wv[fold][:, columns] = w.T @ own[:, columns]
    members = retrains.members.sum(axis=0).astype(np.int64)
    return SparseSums(fit, sums.w, sums.ww, sums.wx, sums.wv, members, len(v), units)


def merged_sparse_sums(a: SparseSums, b: SparseSums) -> SparseSums:
    """Sums over the rows of both."""
    fit = FoldSums(*(getattr(a.fit, name) + getattr(b.fit, name) for name in ("counts", "x", "v", "vv", "xx", "xv")))
    parts = [getattr(a, name) + getattr(b, name) for name in ("w", "ww", "wx", "wv", "members", "rows", "units")]
    return SparseSums(fit, *parts)


def folds_of_rows(retrains: Retrains) -> tuple[IntArray, int]:
    """The fold of each row, whole units in one fold, [K]; and the number of units.

    By the unit's number, where rows know their draws, so that each fold is a sample of the design's law; else by the
    unit's first subset, which is nearly one where there are many subsets.
    """
    rows = len(retrains.members)
    units = np.arange(rows) if retrains.units is None else retrains.units
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    if retrains.draws is not None:
        return (units if retrains.units is not None else retrains.draws) % FOLDS, len(first)
    return fold_of_units(retrains.members[first], FOLDS)[place.ravel()], len(first)
