"""The columns that aggregators work on: one for each test instance, and the mean over them as the last."""

from collections.abc import Iterator

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.errors import EstimatorError

COLUMNS_PER_BLOCK = 128
GUIDE_TESTS = 3


def with_mean(losses: AnyArray) -> FloatArray:
    """Losses [K, n_test] as float64 with one more column, their mean over test instances: [K, n_test + 1].

    The mean is a column of its own because columns share retrains: its standard error does not follow from theirs.
    Raises EstimatorError where a loss is not finite.
    """
    rows, n_test = losses.shape
    columns = np.empty((rows, n_test + 1))
    columns[:, :n_test] = losses
    np.mean(np.ascontiguousarray(columns[:, :n_test]), axis=1, out=columns[:, n_test])
    refuse_non_finite(columns[:, n_test:])
    return columns


def refuse_non_finite(losses: FloatArray) -> None:
    """Raise EstimatorError where a row of losses [K, c] is not finite: such a retrain is a failure, not a number."""
    wrong: BoolArray = ~np.all(np.isfinite(losses), axis=1)
    if wrong.any():
        raise EstimatorError(
            f"{int(wrong.sum())} of {len(wrong)} retrains have losses that are not finite: they belong among the "
            "failures (the store should have refused them; `apportion verify` finds them)"
        )


def guide_tests(n_test: int) -> IntArray:
    """The tests that an estimator decides by what it decides for all, beside their mean: at most 3, evenly spaced."""
    return np.unique(np.linspace(0, n_test - 1, min(n_test, GUIDE_TESTS)).round().astype(np.int64))


def column_blocks(count: int, width: int = COLUMNS_PER_BLOCK) -> Iterator[slice]:
    """Slices of at most `width` columns that cover 0..count-1."""
    for start in range(0, count, width):
        yield slice(start, min(start + width, count))
