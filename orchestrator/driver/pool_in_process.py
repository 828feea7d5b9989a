"""A pool of one worker in the driver's own process: for tests, a debugger, and `cluster: {address: in_process}`."""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from orchestrator.driver.pool import Finished, Running
from workers.outcomes import ChunkTask, Outcome

IN_FLIGHT = 2
WORKER = "in-process"


class Trainer(Protocol):
    """What a worker holds: it trains chunks and always answers."""

    def train(self, task: ChunkTask) -> Outcome:
        """Train and store a chunk."""
        ...


class InProcessPool:
    """Trains inside `next_finished`, one chunk at a time. A hang cannot be ended here, and a death is the driver's."""

    def __init__(self, make_trainer: Callable[[], Trainer], *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._make_trainer = make_trainer
        self._sleep = sleep
        self._trainer: Trainer | None = None
        self._queue: deque[tuple[int, ChunkTask]] = deque()
        self._tickets = 0

    def free(self) -> int:
        """How many more tasks may be submitted now."""
        return IN_FLIGHT - len(self._queue)

    def submit(self, task: ChunkTask, *, avoid: frozenset[str] = frozenset()) -> int:
        """Queue a task; there is no other worker to prefer."""
        del avoid
        self._tickets += 1
        self._queue.append((self._tickets, task))
        return self._tickets

    def next_finished(self, timeout: float) -> Finished | None:
        """Train the first task of the queue, however long it takes; sleeps where there is none."""
        if not self._queue:
            self._sleep(timeout)
            return None
        if self._trainer is None:
            self._trainer = self._make_trainer()
        ticket, task = self._queue.popleft()
        return Finished(ticket, task, self._trainer.train(task))

    def running(self) -> list[Running]:
        """Tasks queued; none has a clock, as none can be ended."""
        return [Running(ticket, task, WORKER, None) for ticket, task in self._queue]

    def kill(self, worker: str) -> None:
        """Nothing: the worker is this process."""

    def workers(self) -> list[str]:
        """The one worker."""
        return [WORKER]

    def close(self) -> None:
        """Forget what is queued, and the learner."""
        self._queue.clear()
        self._trainer = None
