"""Retrains that failed for good, as rows of a chunk file: subset, reason, attempts, and no losses."""

import numpy as np

from workers.chunk_file import chunk_name, encode
from workers.chunk_types import ChunkRows
from workers.outcomes import ChunkTask, Failure
from workers.training import ChunkFacts

NO_NUMBERS = "none (failed)"
"""The numeric class of a file without losses."""


def failure_chunk(task: ChunkTask, failure: Failure, attempts: int, facts: ChunkFacts) -> tuple[str, bytes]:
    """Name and content of the file that records every row of `task` as failed, after `attempts` attempts."""
    header = facts.header(task, numeric_class=NO_NUMBERS, together=task.together, worker=failure.worker)
    reason = f"{failure.kind}: {failure.reason}".encode("utf-8", "backslashreplace").decode("utf-8")
    rows = ChunkRows(
        keys=task.keys,
        members=task.members,
        sizes=np.bitwise_count(task.members).sum(axis=1, dtype=np.int64),
        seeds=task.seeds,
        replicates=task.replicates,
        seconds=np.full(task.rows, failure.seconds / max(task.rows, 1), dtype=np.float32),
        attempts=np.full(task.rows, attempts, dtype=np.int64),
        losses={name: np.full((task.rows, facts.n_test), np.nan, dtype=np.float32) for name in facts.losses},
        train_losses={name: np.full((task.rows, facts.n), np.nan, dtype=np.float32) for name in facts.train_losses},
        failures=(reason,) * task.rows,
    )
    content = encode(header, rows)
    return chunk_name(task.chunk, task.keys, task.replicates, content), content
