"""A chunk of walks: walked K at a time, checked, and made a file."""

from dataclasses import replace

import numpy as np

from estimators.arrays import Float32Array
from workers.chunk_types import ChunkHeader
from workers.chunk_work import Made, NonFiniteError, Work, WrongShapeError
from workers.loss_checks import non_finite_rows
from workers.outcomes import WalkTask
from workers.walk_file import WalkRows, encode_walks
from workers.walking import walker_of, walks_together, watched_columns


def walk_chunk(work: Work, task: WalkTask) -> Made:
    """The file of a task's walks. Raises NonFiniteError, WrongShapeError, and what the learner raises."""
    facts, columns = work.facts, watched_columns(work.facts.n, work.facts.n_test)
    walker = walker_of(work.learner)
    together = walks_together(facts.n, len(columns), len(facts.losses), most=work.together)
    parts = []
    for group in work.groups(together):
        losses = walker.walk(task.orders[group], task.seeds[group], rate=task.rate, columns=columns)
        shape = (len(group), facts.n + 1, len(columns) + 1)
        parts.append({name: _checked(losses.get(name), name, shape) for name in facts.losses})
    found = {name: np.concatenate([part[name] for part in parts]) for name in facts.losses}
    wrong = non_finite_rows({name: each.reshape(task.rows, -1) for name, each in found.items()}, {}, task.keys)
    if wrong:
        mend = "lower the campaign's `learning_rate`, or scale the features"
        raise NonFiniteError(f"a walk left the numbers at learning rate {task.rate:g}: {mend}", tuple(wrong))
    header = walk_header(work.header(), task, tuple(columns.tolist()))
    rows = WalkRows(
        keys=task.keys,
        orders=task.orders,
        seeds=task.seeds,
        replicates=task.replicates,
        seconds=work.seconds,
        attempts=np.full(task.rows, task.attempt, dtype=np.int64),
        losses=found,
    )
    means = {name: float(each[:, -1, -1].mean(dtype=np.float64)) for name, each in found.items()}
    return Made(work.task, encode_walks(header, rows), header, means)


def walk_header(header: ChunkHeader, task: WalkTask, columns: tuple[int, ...]) -> ChunkHeader:
    """The header of retrains as one of walks."""
    return replace(header, kind="walks", train_losses=(), columns=columns, rate=task.rate)


def _checked(losses: Float32Array | None, name: str, shape: tuple[int, int, int]) -> Float32Array:
    if losses is None or losses.shape != shape or losses.dtype != np.float32:
        found = "nothing" if losses is None else f"{losses.dtype} of shape {losses.shape}"
        raise WrongShapeError(f"the learner's walk returned {found} as {name}, expected float32 {shape}")
    return losses
