"""A worker's one job: do a chunk's work, store the file, answer, whatever goes wrong on the way."""

import hashlib
import time
import traceback
import warnings
from dataclasses import replace

import numpy as np

from workers.chunk_name import chunk_name
from workers.chunk_store import ChunkStore
from workers.chunk_work import ChunkFacts, Made, NonFiniteError, Work, WrongShapeError, work_of
from workers.device import release_memory
from workers.errors import StoreError
from workers.learner import Learner
from workers.out_of_memory import is_out_of_memory
from workers.outcomes import ChunkTask, Failure, FailureKind, Outcome, PrefixTask, Receipt, SideTask, WalkTask
from workers.retraining import prefix_chunk, retrain_chunk
from workers.side_losses import side_chunk
from workers.walk_training import walk_chunk

__all__ = ["ChunkFacts", "ChunkTrainer"]

LINES_KEPT = 20


class ChunkTrainer:
    """Trains chunks with one learner and puts them into one store. Whatever Python can see becomes an answer."""

    def __init__(self, learner: Learner, store: ChunkStore, facts: ChunkFacts, *, worker: str = "") -> None:
        self._learner = learner
        self._store = store
        self._facts = facts
        self._worker = worker
        self._most: int | None = None

    def train(self, task: ChunkTask) -> Outcome:
        """Train and store the chunk: a receipt, or a failure with its reason. Nothing is stored of a failed chunk.

        Out of memory, K is halved, remembered for later chunks, and the chunk begun again, until K is 1.
        """
        began = time.monotonic()
        with warnings.catch_warnings():
            # the smoke retrain has shown what the learner warns of; here it would be said for each retrain
            warnings.simplefilter("ignore")
            outcome = self._attempt(task, began)
            while outcome is None:
                self._halve(task)
                outcome = self._attempt(task, began)
        return outcome

    def _attempt(self, task: ChunkTask, began: float) -> Outcome | None:
        """An outcome, or None where memory was too small for K > 1."""
        group: list[int] = []
        try:
            work = self._work(task, group)
            return self._stored(self._made(work, task), work, began)
        except NonFiniteError as error:
            return self._failure(task, began, "non_finite", str(error), error.rows)
        except Exception as error:  # noqa: BLE001 - the worker's edge: an exception is an answer
            kind, reason = _kind_and_reason(error)
            if kind == "out_of_memory" and self._together(task) > 1:
                return None
            return self._failure(task, began, kind, reason, _alone(group))

    def _work(self, task: ChunkTask, group: list[int]) -> Work:
        together = self._together(task)
        return work_of(self._learner, self._facts, task, together=together, worker=self._worker, group=group)

    def _made(self, work: Work, task: ChunkTask) -> Made:
        return replace(self._done(work, task), seconds=float(work.seconds.sum(dtype=np.float64)))

    def _done(self, work: Work, task: ChunkTask) -> Made:
        match task:
            case WalkTask():
                return walk_chunk(work, task)
            case SideTask():
                return side_chunk(work, task, self._store.get)
            case PrefixTask():
                return prefix_chunk(work, task)
            case _:
                return retrain_chunk(work)

    def _stored(self, made: Made, work: Work, began: float) -> Receipt:
        task = made.task
        for beside, content in made.before.items():
            self._store.put(beside, content)
        name = chunk_name(task.chunk, task.keys, task.replicates, made.content, kind=made.header.kind)
        self._store.put(name, made.content)
        for checkpoints in work.checkpoints:
            checkpoints.clear()
        return Receipt(
            chunk=task.chunk,
            name=name,
            sha256=hashlib.sha256(made.content).hexdigest(),
            rows=task.rows,
            bytes=len(made.content),
            seconds=time.monotonic() - began,
            worker=self._worker,
            numeric_class=made.header.numeric_class,
            mean_losses=made.mean_losses,
            together=made.header.together,
            retrain_seconds=made.seconds,
        )

    def _together(self, task: ChunkTask) -> int:
        return task.together if self._most is None else min(task.together, self._most)

    def _halve(self, task: ChunkTask) -> None:
        self._most = self._together(task) // 2
        self._learner = self._learner.with_together(self._most)
        release_memory()

    def _failure(
        self, task: ChunkTask, began: float, kind: FailureKind, reason: str, guilty: tuple[int, ...]
    ) -> Failure:
        return Failure(task.chunk, kind, reason, self._worker, time.monotonic() - began, guilty)


def _kind_and_reason(error: Exception) -> tuple[FailureKind, str]:
    if isinstance(error, StoreError):
        return "storage", str(error)
    if isinstance(error, WrongShapeError):
        return "wrong_shape", str(error)
    return "out_of_memory" if is_out_of_memory(error) else "exception", _last_lines(error)


def _alone(group: list[int]) -> tuple[int, ...]:
    """The row at fault, known where it was trained alone."""
    return tuple(group) if len(group) == 1 else ()


def _last_lines(error: Exception) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()[-LINES_KEPT:]
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
