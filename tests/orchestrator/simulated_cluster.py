"""A cluster in one process on a clock of its own: a pool whose workers die, hang, answer late and answer twice."""

from dataclasses import dataclass, field

import numpy as np

from orchestrator.driver.pool import Finished, Running
from workers.errors import StoreError
from workers.outcomes import ChunkTask, Failure, Receipt


def chunk_of(number, rows, *, first_key=0):
    """A task whose row i has the key first_key + i."""
    return ChunkTask(
        campaign="c",
        chunk=number,
        members=np.zeros((rows, 1), dtype=np.uint8),
        keys=tuple((first_key + row).to_bytes(16, "big") for row in range(rows)),
        seeds=np.arange(rows, dtype=np.uint64),
        replicates=np.zeros(rows, dtype=np.int64),
        together=rows,
    )


def key_number(key):
    return int.from_bytes(key, "big")


@dataclass(frozen=True)
class Weather:
    """Probabilities a chunk, and what is wrong with which rows (key number -> kind of fault)."""

    faults: dict = field(default_factory=dict)
    death: float = 0.0
    death_after_store: float = 0.0
    double: float = 0.0
    node_loss: float = 0.0
    outages: tuple = ()
    preempted: bool = False
    slow: float = 0.0
    straggler: str = ""


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@dataclass
class Worker:
    name: str
    up_at: float
    queue: list = field(default_factory=list)
    head_since: float | None = None
    head_ends: float | None = None
    verdict: object = None


class SimulatedPool:
    """The pool's law, kept under any weather, except that `double` breaks 'exactly once' on purpose."""

    def __init__(self, seed, clock, weather, *, workers=3):
        self._rng = np.random.default_rng(seed)
        self.clock, self.weather = clock, weather
        self._workers = [Worker(f"w{i}", 0.0) for i in range(workers)]
        self._names = workers
        self._tickets = 0
        self._ready = []
        self.in_store = {}
        self.submitted = []

    def free(self):
        return sum(max(0, 2 - len(worker.queue)) for worker in self._up())

    def submit(self, task, *, avoid=frozenset()):
        self._tickets += 1
        self.submitted.append(task)
        worker = min(self._up(), key=lambda w: (len(w.queue) >= 3, w.name in avoid, len(w.queue)))
        worker.queue.append((self._tickets, task))
        self._start_head(worker)
        return self._tickets

    def next_finished(self, timeout):
        deadline = self.clock.now + timeout
        while not self._ready:
            busy = [worker for worker in self._up() if worker.head_ends is not None]
            first = min(busy, key=lambda worker: worker.head_ends, default=None)
            if first is None or first.head_ends > deadline:
                self.clock.now = deadline
                return None
            self.clock.now = max(self.clock.now, first.head_ends)
            self._end_head(first)
        return self._ready.pop(int(self._rng.integers(len(self._ready))))

    def running(self):
        return [
            Running(ticket, task, worker.name, worker.head_since if place == 0 else None)
            for worker in self._workers
            for place, (ticket, task) in enumerate(worker.queue)
        ]

    def kill(self, worker):
        for found in [w for w in self._workers if w.name == worker]:
            self._die(found, preempted=False)

    def workers(self):
        return [worker.name for worker in self._up()]

    def close(self):
        self._workers.clear()

    def _up(self):
        return [worker for worker in self._workers if worker.up_at <= self.clock.now]

    def _start_head(self, worker):
        if worker.head_since is not None or not worker.queue:
            return
        _, task = worker.queue[0]
        worker.head_since = self.clock.now
        seconds = task.rows * 0.1 * (20.0 if self._rng.random() < self.weather.slow else 1.0)
        seconds *= 10.0 if worker.name == self.weather.straggler else 1.0
        worker.verdict = self._verdict(task, worker.name)
        worker.head_ends = float("inf") if worker.verdict == "hang" else self.clock.now + seconds

    def _verdict(self, task, name):
        kinds = {self.weather.faults.get(key_number(key)) for key in task.keys} - {None}
        for kind in ("death", "hang"):
            if kind in kinds:
                return kind
        named = tuple(r for r, key in enumerate(task.keys) if self.weather.faults.get(key_number(key)) == "non_finite")
        if "non_finite" in kinds:
            return Failure(task.chunk, "non_finite", "NaN", name, guilty=named)
        for kind in ("exception", "out_of_memory", "wrong_shape"):
            if kind in kinds:
                return Failure(task.chunk, kind, f"a row with {kind}", name)
        return "store"

    def _end_head(self, worker):
        ticket, task = worker.queue[0]
        verdict, draw = worker.verdict, self._rng.random()
        if verdict == "death" or draw < self.weather.death:
            self._die(worker, preempted=False)
        elif draw < self.weather.death + self.weather.node_loss:
            for other in list(self._up()):
                self._die(other, preempted=self.weather.preempted, away=float(self._rng.uniform(5, 90)))
        elif verdict == "store" and any(start <= self.clock.now < stop for start, stop in self.weather.outages):
            self._answer(worker, Failure(task.chunk, "storage", "no space left", worker.name))
        elif verdict == "store":
            self.put(task)
            if self._rng.random() < self.weather.death_after_store:
                self._die(worker, preempted=False)
            else:
                took = self.clock.now - worker.head_since
                self._answer(worker, Receipt(task.chunk, f"{ticket}", "", task.rows, 1, took, worker.name, "sim"))
        else:
            self._answer(worker, verdict)

    def put(self, task):
        for key in task.keys:
            self.in_store[key] = self.in_store.get(key, 0) + 1

    def _answer(self, worker, outcome):
        ticket, task = worker.queue.pop(0)
        worker.head_since = worker.head_ends = None
        finished = Finished(ticket, task, outcome)
        self._ready += [finished] * (2 if self._rng.random() < self.weather.double else 1)
        self._start_head(worker)

    def _die(self, worker, *, preempted, away=1.0):
        for place, (ticket, task) in enumerate(worker.queue):
            failure = Failure(task.chunk, "died", f"{worker.name} died", worker.name)
            self._ready.append(Finished(ticket, task, failure, True, preempted, started=place == 0))
        self._workers.remove(worker)
        self._names += 1
        self._workers.append(Worker(f"w{self._names}", self.clock.now + away))


class Ledger:
    """A recorder that remembers every row, and refuses failure rows during the outages."""

    def __init__(self, clock, outages=()):
        self._clock, self._outages = clock, outages
        self.stored_rows, self.failed_rows, self.failures, self.ticks = {}, {}, {}, []

    def stored(self, task, receipt):
        for key in task.keys:
            self.stored_rows[key] = self.stored_rows.get(key, 0) + 1

    def failed(self, task, failure, attempts):
        assert task.rows == 1
        if any(start <= self._clock() < stop for start, stop in self._outages):
            raise StoreError("no space left")
        self.failed_rows[task.keys[0]] = self.failed_rows.get(task.keys[0], 0) + 1
        self.failures[key_number(task.keys[0])] = (failure, attempts)

    def tick(self, progress):
        self.ticks.append((self._clock(), progress))
