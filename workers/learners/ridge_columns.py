"""What ridge regressions on many subsets share: centred columns, and solutions of normal equations side by side."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import FloatArray
from workers.learners.linear_data import LinearData
from workers.learners.stacked_inverse import stacked_inverse

LEAST_RECIPROCAL_CONDITION: Final = 1e-7


@dataclass(frozen=True, slots=True)
class CentredColumns:
    """Features, a column of ones and targets of the training rows by identity, less D's weighted means: [n, d + 2].

    Centring changes no solution, an intercept takes it up, and keeps the figures. Without an intercept nothing is
    centred, and the column of ones is a column of zeros. weights: [n]. centre: [d + 2]. penalty: [d + 1]. finite:
    whether all of it is.
    """

    columns: FloatArray
    weights: FloatArray
    centre: FloatArray
    penalty: FloatArray
    finite: bool

    def uncentred(self, solutions: FloatArray) -> FloatArray:
        """Coefficients and intercepts [K, d + 1] for the data as they are."""
        moved = solutions.copy()
        if self.centre.any():
            moved[:, -1] += self.centre[-1] - np.einsum("ki,i->k", solutions[:, :-1], self.centre[:-2])
        return moved


def centred_columns(data: LinearData, alpha: float, *, fit_intercept: bool) -> CentredColumns:
    """The columns of a data set whose features have no column of ones."""
    features = data.features[data.n_test :][data.order]
    targets = np.asarray(data.labels, dtype=np.float64)[data.order, None]
    weights = data.weights[data.order]
    ones = np.full((len(features), 1), 1.0 if fit_intercept else 0.0)
    columns = np.hstack([features, ones, targets])
    finite = bool(np.isfinite(columns).all() and weights.any())
    centre = np.zeros(columns.shape[1])
    if finite and fit_intercept:
        centre = weights @ columns / weights.sum()
        centre[-2] = 0.0
    penalty = np.full(columns.shape[1] - 1, alpha)
    penalty[-1] = 0.0 if fit_intercept else 1.0
    return CentredColumns(columns - centre, weights, centre, penalty, finite)


def solved(grams: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solutions [K, u] of grams [K, u, u] by right sides [K, u], refined once, and the inverses [K, u, u].

    NaN where the reciprocal condition of the grams, scaled to a unit diagonal, is below 1e-7.
    """
    diagonals = np.einsum("kii->ki", grams)
    scales = 1.0 / np.sqrt(np.where(diagonals > 0.0, diagonals, 1.0))
    scaled = grams * scales[:, :, None] * scales[:, None, :]
    try:
        inverses = stacked_inverse(scaled)
    except np.linalg.LinAlgError:
        if len(grams) == 1:
            return np.full_like(right, np.nan), np.full_like(grams, np.nan)
        parts = [solved(gram[None], own[None]) for gram, own in zip(grams, right, strict=True)]
        return np.concatenate([each for each, _ in parts]), np.concatenate([each for _, each in parts])
    sides = (right * scales)[:, :, None]
    solutions = np.matmul(inverses, sides)
    solutions += np.matmul(inverses, sides - np.matmul(scaled, solutions))
    conditions = np.abs(scaled).sum(axis=1).max(axis=1) * np.abs(inverses).sum(axis=1).max(axis=1)
    lost = ~(conditions * LEAST_RECIPROCAL_CONDITION < 1.0)
    solutions[lost], inverses[lost] = np.nan, np.nan
    return solutions[:, :, 0] * scales, inverses * scales[:, :, None] * scales[:, None, :]
