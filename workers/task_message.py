"""Tasks and outcomes as lists of plain values, on their way between the driver and an actor.

Ray packs a list of texts, numbers and bytes in one step, where an object with arrays takes 0.1 ms of the driver each
way. Kinds of task that are few and long travel as they are, and so do failures.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from workers.outcomes import ChunkTask, Failure, Outcome, Receipt

RECEIPT_FIELDS: Final = tuple(Receipt.__dataclass_fields__)

Message = Sequence[Any]


def task_message(task: ChunkTask) -> Message | ChunkTask:
    """A task of retrains as a list; any other as it is."""
    if type(task) is not ChunkTask:
        return task
    arrays = [np.ascontiguousarray(each).tobytes() for each in (task.members, task.seeds, task.replicates)]
    return [task.campaign, task.chunk, list(task.keys), *arrays, task.together, task.attempt]


def task_of(message: Message | ChunkTask) -> ChunkTask:
    """The task in a message; its arrays cannot be written to."""
    if isinstance(message, ChunkTask):
        return message
    campaign, chunk, keys, members, seeds, replicates, together, attempt = message
    return ChunkTask(
        campaign=campaign,
        chunk=chunk,
        members=np.frombuffer(members, dtype=np.uint8).reshape(len(keys), -1),
        keys=tuple(keys),
        seeds=np.frombuffer(seeds, dtype=np.uint64),
        replicates=np.frombuffer(replicates, dtype=np.int64),
        together=together,
        attempt=attempt,
    )


def outcome_message(outcome: Outcome) -> Message | Failure:
    """A receipt as a list; a failure as it is."""
    if isinstance(outcome, Failure):
        return outcome
    return [getattr(outcome, name) for name in RECEIPT_FIELDS]


def outcome_of(message: Message | Failure) -> Outcome:
    """The outcome in a message."""
    return message if isinstance(message, Failure) else Receipt(*message)
