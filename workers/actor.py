"""The actor: one process on the cluster that holds one learner and trains chunks. Ray wraps it, in the orchestrator."""

import time
import traceback
from typing import Protocol

import threadpoolctl

from workers.outcomes import ChunkTask, Failure, Outcome
from workers.task_message import Message, outcome_message, task_of
from workers.worker_facts import Probe, WorkerFacts, facts_here

LINES_KEPT = 20


class Trainer(Protocol):
    """Trains chunks, stores them, and always answers."""

    def train(self, task: ChunkTask) -> Outcome:
        """Train and store a chunk."""
        ...


class Setup(Protocol):
    """What a worker needs to become one; travels to it once, through the object store."""

    def make_trainer(self, worker: str) -> Trainer:
        """Load data and learner; raises WorkerError where that cannot be done here."""
        ...


class TrainerActor:
    """Answers four questions: who are you, are you ready, train this; and nothing else."""

    def __init__(self, worker: str, threads: int) -> None:
        self._worker = worker
        # the environment has fixed the number for libraries imported later; this is for those that are there already
        self._limit = threadpoolctl.threadpool_limits(limits=threads)
        self._trainer: Trainer | None = None

    def describe(self, probe: Probe | None) -> WorkerFacts:
        """Facts of this process, before anything is loaded."""
        return facts_here(self._worker, probe)

    def prepare(self, setup: Setup) -> None:
        """Load data and learner once."""
        self._trainer = setup.make_trainer(self._worker)

    def train(self, message: Message | ChunkTask) -> Message | Failure:
        """Train the chunk in a message; whatever Python can see becomes an answer."""
        return outcome_message(self._outcome(task_of(message)))

    def _outcome(self, task: ChunkTask) -> Outcome:
        began = time.monotonic()
        try:
            return self._ready().train(task)
        except Exception:  # noqa: BLE001 - the worker's edge: the driver gets a reason, not a lost call
            reason = "\n".join(traceback.format_exc().splitlines()[-LINES_KEPT:])
            return Failure(task.chunk, "exception", reason, self._worker, time.monotonic() - began)

    def _ready(self) -> Trainer:
        if self._trainer is None:
            raise RuntimeError("the worker was asked to train before it was prepared")
        return self._trainer
