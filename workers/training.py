"""A worker's one job: train a chunk's retrains K at a time, check the losses, write the file, answer."""

import hashlib
import time
import traceback
import warnings
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, Float32Array
from estimators.subsets import unpack
from workers.chunk_file import chunk_name, encode
from workers.chunk_store import ChunkStore
from workers.chunk_types import ChunkHeader, ChunkRows, Fingerprints
from workers.errors import StoreError
from workers.learner import Learner, Losses
from workers.loss_checks import non_finite_rows, shape_trouble
from workers.out_of_memory import is_out_of_memory
from workers.outcomes import ChunkTask, Failure, FailureKind, Outcome, Receipt

LINES_KEPT = 20


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What stands in the header of every chunk of a campaign.

    n: players. losses: names in the order of the plan. train_losses: of those, the ones kept on training instances.
    """

    campaign: str
    fingerprints: Fingerprints
    n: int
    n_test: int
    losses: tuple[str, ...]
    train_losses: tuple[str, ...] = ()

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
            numeric_class=numeric_class,
            together=together,
            worker=worker,
        )


@dataclass(frozen=True, slots=True)
class _Trained:
    """Losses of a chunk's rows, and seconds [rows]."""

    test: dict[str, Float32Array]
    train: dict[str, Float32Array]
    seconds: Float32Array


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
            trained = self._trained(task, group)
            wrong = non_finite_rows(trained.test, trained.train, task.keys)
            if wrong:
                return self._failure(task, began, "non_finite", next(iter(wrong.values())), tuple(wrong))
            return self._stored(task, trained, began)
        except Exception as error:  # noqa: BLE001 - the worker's edge: an exception is an answer
            kind, reason = _kind_and_reason(error)
            if kind == "out_of_memory" and self._together(task) > 1:
                return None
            return self._failure(task, began, kind, reason, _alone(group))

    def _trained(self, task: ChunkTask, group: list[int]) -> _Trained:
        """Losses of all rows, K at a time; `group` holds the rows under way."""
        members = unpack(task.members, self._facts.n)
        parts, seconds = [], np.empty(task.rows, dtype=np.float32)
        together = self._together(task)
        for start in range(0, task.rows, together):
            group[:] = range(start, min(start + together, task.rows))
            began = time.monotonic()
            parts.append(self._checked(members[group], task, group))
            seconds[group] = (time.monotonic() - began) / len(group)
        group.clear()
        return _Trained(
            test={name: np.concatenate([part.test[name] for part in parts]) for name in self._facts.losses},
            train={
                name: np.concatenate([(part.train or {})[name] for part in parts]) for name in self._facts.train_losses
            },
            seconds=seconds,
        )

    def _checked(self, members: BoolArray, task: ChunkTask, group: list[int]) -> Losses:
        losses = self._learner.retrain(members, task.seeds[group])
        facts = self._facts
        trouble = shape_trouble(
            losses, rows=len(group), n=facts.n, n_test=facts.n_test, names=facts.losses, train=facts.train_losses
        )
        if trouble:
            raise _WrongShapeError(f"subset {task.keys[group[0]].hex()}: {trouble}")
        return losses

    def _stored(self, task: ChunkTask, trained: _Trained, began: float) -> Receipt:
        rows = ChunkRows(
            keys=task.keys,
            members=task.members,
            sizes=np.bitwise_count(task.members).sum(axis=1, dtype=np.int64),
            seeds=task.seeds,
            replicates=task.replicates,
            seconds=trained.seconds,
            attempts=np.full(task.rows, task.attempt, dtype=np.int64),
            losses=trained.test,
            train_losses=trained.train,
        )
        header = self._facts.header(
            task,
            numeric_class=self._learner.numeric_class,
            together=self._together(task),
            worker=self._worker,
        )
        content = encode(header, rows)
        name = chunk_name(task.chunk, task.keys, task.replicates, content)
        self._store.put(name, content)
        return Receipt(
            chunk=task.chunk,
            name=name,
            sha256=hashlib.sha256(content).hexdigest(),
            rows=task.rows,
            bytes=len(content),
            seconds=time.monotonic() - began,
            worker=self._worker,
            numeric_class=header.numeric_class,
            mean_losses={loss: float(values.mean(dtype=np.float64)) for loss, values in trained.test.items()},
            together=header.together,
        )

    def _together(self, task: ChunkTask) -> int:
        return task.together if self._most is None else min(task.together, self._most)

    def _halve(self, task: ChunkTask) -> None:
        self._most = self._together(task) // 2
        self._learner = self._learner.with_together(self._most)

    def _failure(
        self, task: ChunkTask, began: float, kind: FailureKind, reason: str, guilty: tuple[int, ...]
    ) -> Failure:
        return Failure(task.chunk, kind, reason, self._worker, time.monotonic() - began, guilty)


class _WrongShapeError(Exception):
    """The learner's losses are not what the plan says."""


def _kind_and_reason(error: Exception) -> tuple[FailureKind, str]:
    if isinstance(error, StoreError):
        return "storage", str(error)
    if isinstance(error, _WrongShapeError):
        return "wrong_shape", str(error)
    return "out_of_memory" if is_out_of_memory(error) else "exception", _last_lines(error)


def _alone(group: list[int]) -> tuple[int, ...]:
    """The row at fault, known where it was trained alone."""
    return tuple(group) if len(group) == 1 else ()


def _last_lines(error: Exception) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()[-LINES_KEPT:]
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
