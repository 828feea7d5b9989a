"""Retrains that failed for good, as rows of a chunk file: subset, reason, attempts, and no losses."""

import numpy as np

from workers.chunk_file import chunk_name, encode
from workers.chunk_types import ChunkHeader
from workers.chunk_work import ChunkFacts
from workers.outcomes import ChunkTask, Failure, SideTask, WalkTask
from workers.side_losses import side_header
from workers.task_rows import rows_of
from workers.walk_file import WalkRows, encode_walks
from workers.walk_training import walk_header
from workers.walking import watched_columns

NO_NUMBERS = "none (failed)"
"""The numeric class of a file without losses."""


def failure_chunk(task: ChunkTask, failure: Failure, attempts: int, facts: ChunkFacts) -> tuple[str, bytes]:
    """Name and content of the file that records every row of `task` as failed, after `attempts` attempts."""
    header = facts.header(task, numeric_class=NO_NUMBERS, together=task.together, worker=failure.worker)
    reason = f"{failure.kind}: {failure.reason}".encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(task, WalkTask):
        content = _failed_walks(task, (reason,) * task.rows, failure, attempts, header)
        return chunk_name(task.chunk, task.keys, task.replicates, content, kind="walks"), content
    if isinstance(task, SideTask):
        header = side_header(header)
    rows = rows_of(
        task,
        seconds=np.full(task.rows, failure.seconds / max(task.rows, 1), dtype=np.float32),
        attempts=attempts,
        losses={name: np.full((task.rows, facts.n_test), np.nan, dtype=np.float32) for name in facts.losses},
        train_losses={name: np.full((task.rows, facts.n), np.nan, dtype=np.float32) for name in facts.train_losses},
        failures=(reason,) * task.rows,
    )
    content = encode(header, rows)
    return chunk_name(task.chunk, task.keys, task.replicates, content, kind=header.kind), content


def _failed_walks(
    task: WalkTask, reasons: tuple[str, ...], failure: Failure, attempts: int, header: ChunkHeader
) -> bytes:
    columns = watched_columns(header.n, header.n_test)
    shape = (task.rows, header.n + 1, len(columns) + 1)
    rows = WalkRows(
        keys=task.keys,
        orders=task.orders,
        seeds=task.seeds,
        replicates=task.replicates,
        seconds=np.full(task.rows, failure.seconds / max(task.rows, 1), dtype=np.float32),
        attempts=np.full(task.rows, attempts, dtype=np.int64),
        losses={name: np.full(shape, np.nan, dtype=np.float32) for name in header.losses},
        failures=reasons,
    )
    return encode_walks(walk_header(header, task, tuple(columns.tolist())), rows)
