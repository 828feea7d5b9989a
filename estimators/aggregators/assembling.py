"""An Influence put together from estimates that are made a block of columns at a time."""

from collections.abc import Callable, Mapping

import numpy as np

from estimators.aggregators.columns import column_blocks
from estimators.aggregators.notes import per_test_notes
from estimators.aggregators.welch import Estimates
from estimators.arrays import AnyArray
from estimators.influence import Influence, InstanceValues, Statistics

COLUMNS_AT_A_TIME = 32


def assembled_influence(
    estimates: Callable[[slice], Estimates],
    *,
    value: str,
    loss: str,
    shape: tuple[int, int],
    retrains: int,
    notes: tuple[str, ...],
    statistics: Statistics,
    per_test: Mapping[str, AnyArray] | None = None,
) -> Influence:
    """The Influence of `shape` (n, n_test) whose columns 0..n_test-1, and n_test for their mean, are `estimates`.

    per_test: figures [n_test] of each test instance that notes are made of (`per_test_notes`).
    Works on a few columns at a time, so that no temporary array is as large as the result.
    """
    n, n_test = shape
    figures = dict(per_test or {})
    notes += per_test_notes(figures, n)
    values, errors, degrees = (np.empty((n, n_test)) for _ in range(3))
    for columns in column_blocks(n_test, width=COLUMNS_AT_A_TIME):
        block = estimates(columns)
        values[:, columns] = block.values
        errors[:, columns] = block.standard_errors
        degrees[:, columns] = block.degrees_of_freedom
    mean = estimates(slice(n_test, n_test + 1))
    return Influence(
        value=value,
        loss=loss,
        values=values,
        standard_errors=errors,
        degrees_of_freedom=degrees,
        mean=instance_values(
            Estimates(mean.values[:, 0], mean.standard_errors[:, 0], mean.degrees_of_freedom[:, 0]),
            value=value,
            loss=loss,
            retrains=retrains,
            notes=notes,
        ),
        train_index=np.arange(n),
        test_index=np.arange(n_test),
        retrains=retrains,
        notes=notes,
        per_test=figures,
        statistics=statistics,
    )


def instance_values(
    estimates: Estimates, *, value: str, loss: str, retrains: int, notes: tuple[str, ...]
) -> InstanceValues:
    """InstanceValues of estimates [n]."""
    return InstanceValues(
        value=value,
        loss=loss,
        values=estimates.values,
        standard_errors=estimates.standard_errors,
        degrees_of_freedom=estimates.degrees_of_freedom,
        train_index=np.arange(len(estimates.values)),
        retrains=retrains,
        notes=notes,
    )
