"""What a job has spent, over all its runs, and whether its budget has room for the next chunk."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from orchestrator.jobs.job import Job
from orchestrator.wording import size

SPENT_HOURS = "spent_hours"
SPENT_WORKER_HOURS = "spent_worker_hours"


@dataclass(frozen=True, slots=True)
class Spending:
    """hours: with workers up. worker_hours: summed over workers. retrains, bytes: in the store."""

    hours: float = 0.0
    worker_hours: float = 0.0
    retrains: int = 0
    bytes: float = 0.0

    def amounts(self, job: Job) -> dict[str, float]:
        """Amounts by the names of a budget's limits; money only where a price is known."""
        price = job.budget.price_per_hour
        return {
            "hours": self.hours,
            "gpu_hours": self.worker_hours * job.workers.gpus,
            **({} if price is None else {"money": self.worker_hours * price}),
            "retrains": float(self.retrains),
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that the next chunk would pass: what is spent, what the limit is, what it would be."""

    limit: str
    spent: float
    most: float
    then: float


class Meter:
    """Counts while a job runs. seconds, bytes: of one retrain, until a chunk has shown them; then the dearest chunk's.

    before: what earlier runs have spent.
    """

    def __init__(
        self,
        job: Job,
        before: Spending,
        *,
        seconds: float,
        bytes_per_retrain: float,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spent = before
        self.over: Over | None = None
        self._job, self._clock = job, clock
        self._limits = job.budget.limits()
        self._seconds, self._bytes, self._workers = seconds, bytes_per_retrain, max(1, workers)
        self._seen = False
        self._in_flight = self._up = 0
        self._looked: float | None = None

    def look(self, workers: int) -> None:
        """`workers` are up: time since the last look counts for them."""
        now = self._clock()
        hours = 0.0 if self._looked is None else (now - self._looked) / 3600.0
        self._looked = now
        self._workers, self._up = workers or self._workers, workers
        if workers:
            spent = self.spent
            self.spent = replace(spent, hours=spent.hours + hours, worker_hours=spent.worker_hours + hours * workers)

    def pause(self) -> None:
        """Nothing is trained from now on."""
        if self._looked is not None:
            self.look(self._up)
        self._looked = None

    def room_for(self, retrains: int) -> bool:
        """Whether a chunk may be sent, and if so, count it as sent; `over` says what speaks against it."""
        ahead = self._in_flight + retrains
        if not self._limits:
            self._in_flight = ahead
            return True
        seconds = ahead * self._seconds
        spent = self.spent
        after = Spending(
            spent.hours + seconds / self._workers / 3600.0,
            spent.worker_hours + seconds / 3600.0,
            spent.retrains + ahead,
            spent.bytes + ahead * self._bytes,
        ).amounts(self._job)
        now = spent.amounts(self._job)
        for name, most in self._limits.items():
            if after[name] > most:
                self.over = Over(name, now[name], most, after[name])
                return False
        self._in_flight = ahead
        return True

    def stored(self, retrains: int, *, size: float, seconds: float, sent: int | None = None) -> None:
        """A chunk came back. size: bytes in the store. seconds: of its worker. sent: more rows, of truncated walks."""
        self._in_flight = max(0, self._in_flight - (retrains if sent is None else sent))
        spent = self.spent
        self.spent = Spending(spent.hours, spent.worker_hours, spent.retrains + retrains, spent.bytes + size)
        if retrains and seconds > 0:
            known = (self._seconds, self._bytes) if self._seen else (0.0, 0.0)
            self._seconds, self._bytes = max(known[0], seconds / retrains), max(known[1], size / retrains)
            self._seen = True

    def metrics(self) -> dict[str, float]:
        """Live metrics of the job's run, from which the next run goes on."""
        amounts = self.spent.amounts(self._job)
        shown = {f"spent_{name}": amounts[name] for name in ("gpu_hours", "money") if amounts.get(name)}
        return {SPENT_HOURS: self.spent.hours, SPENT_WORKER_HOURS: self.spent.worker_hours, **shown}


def spent_before(metrics: Mapping[str, float], *, retrains: int, size: float) -> Spending:
    """What earlier runs have spent: hours from the metrics of the job's run, the rest from its store."""
    return Spending(metrics.get(SPENT_HOURS, 0.0), metrics.get(SPENT_WORKER_HOURS, 0.0), retrains, size)


def amount_words(limit: str, amount: float) -> str:
    """An amount as people read it: `1.2 GB`, `300 retrains`, `0.25 gpu_hours`."""
    if limit == "bytes":
        return size(amount)
    return f"{amount:,.0f} {limit}" if limit == "retrains" else f"{amount:.3g} {limit}"
