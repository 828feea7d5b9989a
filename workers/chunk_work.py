"""What a worker does for one chunk, apart from what may go wrong on the way: learner in, file out."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import Float32Array
from workers.checkpointing import CheckpointPlace, GroupCheckpoints, group_checkpoints, resuming
from workers.chunk_types import FORMAT_VERSION, LATEST_FORMAT, ChunkHeader, Fingerprints, Precision
from workers.learner import Learner
from workers.outcomes import ChunkTask


class WrongShapeError(Exception):
    """The learner's losses are not what the plan says."""


class NonFiniteError(Exception):
    """Losses that are no numbers. rows: of the task, those at fault."""

    def __init__(self, reason: str, rows: tuple[int, ...]) -> None:
        super().__init__(reason)
        self.rows = rows


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What stands in the header of every chunk of a campaign.

    n: players. losses: names in the order of the plan. train_losses: of those, the ones kept on training instances.
    keep: the models are kept too, in a file beside each chunk (`workers.model_file`). precision: of losses in the file;
    what is rounded more coarsely than float32 is another numeric class. checkpoints: where states in the middle of
    retrains stand, None where none are kept.
    """

    campaign: str
    fingerprints: Fingerprints
    n: int
    n_test: int
    losses: tuple[str, ...]
    train_losses: tuple[str, ...] = ()
    keep: bool = False
    checkpoints: CheckpointPlace | None = None
    precision: Precision = "float32"

    def header(self, task: ChunkTask, *, numeric_class: str, together: int, worker: str) -> ChunkHeader:
        """The header of the file that holds a task's rows."""
        return ChunkHeader(
            campaign=self.campaign,
            chunk=task.chunk,
            fingerprints=self.fingerprints,
            n=self.n,
            n_test=self.n_test,
            losses=self.losses,
            train_losses=self.train_losses,
            numeric_class=stored_class(numeric_class, self.precision),
            together=together,
            worker=worker,
            precision=self.precision,
            format_version=FORMAT_VERSION if self.precision == "float32" else LATEST_FORMAT,
        )


def stored_class(numeric_class: str, precision: Precision) -> str:
    """The numeric class of rows whose losses are stored in `precision`."""
    return numeric_class if precision == "float32" else f"{numeric_class}, stored in {precision}"


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk's file, what its receipt says of it, and files that have to be stored before it, by name.

    task: the task as far as it was done; of truncated walks, the rows that were trained. seconds: of training, summed
    over rows.
    """

    task: ChunkTask
    content: bytes
    header: ChunkHeader
    mean_losses: dict[str, float]
    before: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """A task with the learner that does it, `together` rows at a time. group: the rows under way, for blame.

    checkpoints: of the groups done or under way, to be removed when the chunk is stored.
    """

    learner: Learner
    facts: ChunkFacts
    task: ChunkTask
    together: int
    worker: str
    group: list[int]
    seconds: Float32Array
    checkpoints: list[GroupCheckpoints] = field(default_factory=list)

    def groups(self, together: int | None = None) -> Iterator[list[int]]:
        """The rows, `together` at a time; each group's time is noted when the next is asked for."""
        rows, size = self.task.rows, self.together if together is None else together
        return self.timed(list(range(start, min(start + size, rows))) for start in range(0, rows, size))

    def groups_by_size(self) -> Iterator[list[int]]:
        """The rows from the smallest subset to the largest, `together` at a time; times as in `groups`.

        Subsets that train together are padded to the largest of them: of near sizes, little is padding. A chunk of
        walks over subsets holds many walks, and so prefixes of about one length from each.
        """
        sizes = np.bitwise_count(self.task.members).sum(axis=1, dtype=np.int64)
        order = np.argsort(sizes, kind="stable").tolist() if self.together > 1 else list(range(self.task.rows))
        return self.timed(order[start : start + self.together] for start in range(0, len(order), self.together))

    def timed(self, groups: Iterable[list[int]]) -> Iterator[list[int]]:
        """The same groups, each one's time noted when the next is asked for."""
        for group in groups:
            self.group[:] = group
            began = time.monotonic()
            yield list(group)
            self.seconds[group] = (time.monotonic() - began) / len(group)
        self.group.clear()

    def learner_for(self, group: list[int]) -> Learner:
        """The learner, which goes on from the group's checkpoint where such are kept."""
        place, prints = self.facts.checkpoints, self.facts.fingerprints
        if place is None:
            return self.learner
        checkpoints = group_checkpoints(
            place,
            campaign=self.facts.campaign,
            keys=[self.task.keys[row] for row in group],
            replicates=self.task.replicates[group],
            together=self.together,
            identity=f"{prints.train} {prints.learner} {prints.code}",
        )
        self.checkpoints.append(checkpoints)
        return resuming(self.learner, checkpoints)

    def header(self) -> ChunkHeader:
        """The header of the chunk."""
        return self.facts.header(
            self.task, numeric_class=self.learner.numeric_class, together=self.together, worker=self.worker
        )


def work_of(
    learner: Learner, facts: ChunkFacts, task: ChunkTask, *, together: int, worker: str, group: list[int]
) -> Work:
    """Work that has not begun."""
    seconds = np.zeros(task.rows, dtype=np.float32)
    return Work(learner, facts, task, together, worker, group, seconds)


def mean_losses(losses: dict[str, Float32Array]) -> dict[str, float]:
    """For each loss the mean over rows and tests."""
    return {loss: float(values.mean(dtype=np.float64)) for loss, values in losses.items()}
