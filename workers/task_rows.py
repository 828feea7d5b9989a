"""The rows of a chunk file from the task that they answer."""

from collections.abc import Mapping

import numpy as np

from estimators.arrays import Float32Array
from workers.chunk_types import ChunkRows
from workers.outcomes import ChunkTask


def rows_of(
    task: ChunkTask,
    *,
    seconds: Float32Array,
    attempts: int,
    losses: Mapping[str, Float32Array],
    train_losses: Mapping[str, Float32Array] | None = None,
    failures: tuple[str | None, ...] = (),
) -> ChunkRows:
    """All rows of `task`, each after `attempts` attempts; shapes as `ChunkRows`."""
    return ChunkRows(
        keys=task.keys,
        members=task.members,
        sizes=np.bitwise_count(task.members).sum(axis=1, dtype=np.int64),
        seeds=task.seeds,
        replicates=task.replicates,
        seconds=seconds,
        attempts=np.full(task.rows, attempts, dtype=np.int64),
        losses=losses,
        train_losses=train_losses or {},
        failures=failures,
    )
