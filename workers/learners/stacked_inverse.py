"""Inverses of many small positive definite matrices, by stacked products."""

from typing import Final

import numpy as np

from estimators.arrays import AnyArray, FloatArray

LEAF: Final = 8


def stacked_inverse(matrices: FloatArray, dtype: type[np.floating] = np.float64) -> AnyArray:
    """Inverses [A, D, D] of symmetric positive definite matrices [A, D, D], each by its own Cholesky factor.

    The factors are of float64; what follows, and the inverses, of `dtype`.

    Raises:
        numpy.linalg.LinAlgError: one is not positive definite.
    """
    lower = _lower_inverse(np.linalg.cholesky(matrices).astype(dtype, copy=False))
    inverses: AnyArray = np.matmul(lower.transpose(0, 2, 1), lower)
    return inverses


def _lower_inverse(factors: AnyArray) -> AnyArray:
    """Inverses of lower triangular matrices [A, D, D], by halves: most of the work is products."""
    size = factors.shape[1]
    if size <= LEAF:
        return np.linalg.inv(factors)
    half = size // 2
    inverse = np.zeros_like(factors)
    upper, lower = _lower_inverse(factors[:, :half, :half]), _lower_inverse(factors[:, half:, half:])
    inverse[:, :half, :half], inverse[:, half:, half:] = upper, lower
    inverse[:, half:, :half] = -np.matmul(np.matmul(lower, factors[:, half:, :half]), upper)
    return inverse
