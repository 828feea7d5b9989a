"""The columns that aggregators work on: one for each test instance, and the mean over them as the last."""

from collections.abc import Iterator

import numpy as np

from estimators.arrays import AnyArray, FloatArray

COLUMNS_PER_BLOCK = 128


def with_mean(losses: AnyArray) -> FloatArray:
    """Losses [K, n_test] as float64 with one more column, their mean over test instances: [K, n_test + 1].

    The mean is a column of its own because columns share retrains: its standard error does not follow from theirs.
    """
    rows, n_test = losses.shape
    columns = np.empty((rows, n_test + 1))
    columns[:, :n_test] = losses
    np.mean(np.ascontiguousarray(columns[:, :n_test]), axis=1, out=columns[:, n_test])
    return columns


def column_blocks(count: int, width: int = COLUMNS_PER_BLOCK) -> Iterator[slice]:
    """Slices of at most `width` columns that cover 0..count-1."""
    for start in range(0, count, width):
        yield slice(start, min(start + width, count))
