"""The seam of pools: tasks in, outcomes out."""

from dataclasses import dataclass
from typing import Protocol

from workers.outcomes import ChunkTask, Outcome


@dataclass(frozen=True, slots=True)
class Finished:
    """A task came back.

    worker_lost: the worker died with it, its outcome is unknown (it may have been stored). preempted: the loss was
    announced, its node was taken away. started: False where the worker died before the task became its first, so
    that the task cannot be at fault.
    """

    ticket: int
    task: ChunkTask
    outcome: Outcome
    worker_lost: bool = False
    preempted: bool = False
    started: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """A task in flight. `since`: monotonic time at which it became the first of its worker, None while it waits."""

    ticket: int
    task: ChunkTask
    worker: str
    since: float | None


class Pool(Protocol):
    """Workers that train chunks.

    Law: every submitted task comes back exactly once from `next_finished`, whatever dies; nothing is retried
    inside the pool. The pool never decides: it only starts, stops and reports.
    """

    def free(self) -> int:
        """How many more tasks may be submitted now (two in flight for each worker that is up)."""
        ...

    def submit(self, task: ChunkTask, *, avoid: frozenset[str] = frozenset()) -> int:
        """Hand a task to the least loaded worker, if possible not one of `avoid`; returns a ticket."""
        ...

    def next_finished(self, timeout: float) -> Finished | None:
        """The next task that came back, waiting at most `timeout` seconds."""
        ...

    def running(self) -> list[Running]:
        """Tasks in flight."""
        ...

    def kill(self, worker: str) -> None:
        """End a worker that hangs; its tasks come back as lost, and another is started in its place."""
        ...

    def workers(self) -> list[str]:
        """Names of the workers that are up."""
        ...

    def close(self) -> None:
        """Stop every worker and what was started for them; harmless twice."""
        ...
