"""What goes to a worker and the only two things that come back."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from estimators.arrays import ByteArray, IntArray, SeedArray
from workers.prefixes import Prefixes

FailureKind = Literal["exception", "out_of_memory", "non_finite", "wrong_shape", "died", "timeout", "storage"]


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """Retrains planned together: the unit of work and of storage.

    members: [rows, ceil(n/8)] uint8 packed. keys: 16 bytes a row. seeds [rows] uint64. replicates [rows].
    together: K, how many of them train together. attempt: counts from 1.
    """

    campaign: str
    chunk: int
    members: ByteArray
    keys: tuple[bytes, ...]
    seeds: SeedArray
    replicates: IntArray
    together: int
    attempt: int = 1

    @property
    def rows(self) -> int:
        """Number of retrains."""
        return len(self.keys)

    def part(self, rows: list[int], *, attempt: int) -> "ChunkTask":
        """The task of some of the rows, under the same chunk number."""
        return replace(
            self,
            members=self.members[rows],
            keys=tuple(self.keys[row] for row in rows),
            seeds=self.seeds[rows],
            replicates=self.replicates[rows],
            attempt=attempt,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTask(ChunkTask):
    """Whole truncated walks over subsets: of its rows, those beyond the walks' stops are not trained."""

    prefixes: Prefixes

    def part(self, rows: list[int], *, attempt: int) -> "PrefixTask":
        """The task of some of the prefixes, under the same chunk number; the others count as not known."""
        cut = ChunkTask.part(self, rows, attempt=attempt)
        assert isinstance(cut, PrefixTask), "replace keeps the class"
        return replace(cut, prefixes=self.prefixes.part(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkTask(ChunkTask):
    """Walks planned together (`workers.walking`), named by keys of their orders; members are all of D.

    orders: [rows, n] permutations of the training instances. rate: the learning rate of every step.
    """

    orders: IntArray
    rate: float

    def part(self, rows: list[int], *, attempt: int) -> "WalkTask":
        """The task of some of the walks, under the same chunk number."""
        cut = ChunkTask.part(self, rows, attempt=attempt)
        assert isinstance(cut, WalkTask), "replace keeps the class"
        return replace(cut, orders=self.orders[rows])


def walk_task(task: ChunkTask, orders: IntArray, rate: float) -> WalkTask:
    """A task of walks with the names of `task`, which is on all of D."""
    facts = {each.name: getattr(task, each.name) for each in fields(task)}
    return WalkTask(**facts, orders=orders, rate=rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class SideTask(ChunkTask):
    """Retrains whose kept models are asked for losses on another test set, or for other losses.

    models: the file of kept models beside their chunk, "" where all of them failed. failures: [rows] why a retrain
    failed, None where it did not. trained_on: the version of the training set they were trained on, "" = the job's.
    """

    models: str
    failures: tuple[str | None, ...]
    trained_on: str = ""

    def part(self, rows: list[int], *, attempt: int) -> "SideTask":
        """The task of some of the rows, under the same chunk number."""
        cut = ChunkTask.part(self, rows, attempt=attempt)
        assert isinstance(cut, SideTask), "replace keeps the class"
        return replace(cut, failures=tuple(self.failures[row] for row in rows))


@dataclass(frozen=True, slots=True)
class Receipt:
    """A chunk is in the store, whole, under `name`.

    mean_losses: for each loss, the mean over the chunk's rows and tests. row_means: for the first loss, the mean
    test loss of each row. seconds: training and writing, in the worker's own monotonic time; retrain_seconds: the
    retrains alone.
    """

    chunk: int
    name: str
    sha256: str
    rows: int
    bytes: int
    seconds: float
    worker: str
    numeric_class: str
    mean_losses: dict[str, float] = field(default_factory=dict)
    together: int = 1
    retrain_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A chunk was not stored. `guilty` lists its rows at fault where the worker knows them."""

    chunk: int
    kind: FailureKind
    reason: str
    worker: str
    seconds: float = 0.0
    guilty: tuple[int, ...] = ()


Outcome = Receipt | Failure
