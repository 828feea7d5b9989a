"""What the driver does with outcomes: failure rows, metrics, progress."""

import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from estimators.designs.protocol import DRAWS_PER_BLOCK
from estimators.errors import EstimatorError
from orchestrator.campaign import Campaign
from orchestrator.driver.recorder import Progress
from orchestrator.monitor import Convergence, Monitor
from orchestrator.progress import ProgressLine, Screen
from orchestrator.store.row_names import FileFacts, WrittenRows
from orchestrator.tracking.journal import RunJournal
from orchestrator.tracking.metric_points import metric_name
from workers.chunk_store import ChunkStore
from workers.errors import StoreError
from workers.failure_rows import failure_chunk
from workers.outcomes import ChunkTask, Failure, Receipt
from workers.training import ChunkFacts

SECONDS_BETWEEN_METRICS = 2.0
SECONDS_BETWEEN_FAILED_READS = 15.0
POINTS_OF_CONVERGENCE = 10
SECONDS_OF_STATISTICS = 0.2
TIMES_AS_LONG_WITHOUT_STATISTICS = 49.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A retrain that failed for good."""

    campaign: str
    key: str
    reason: str
    attempts: int


@dataclass
class Tally:
    """Counts of one campaign while it runs."""

    planned: int
    spared: int
    started: float
    done: int = 0
    ended: float | None = None
    bytes: int = 0
    worker_seconds: float = 0.0
    retrain_seconds: float = 0.0
    failures: list[FailedRow] = field(default_factory=list)
    mean_losses: dict[str, tuple[float, int]] = field(default_factory=dict)


class CampaignRecorder:
    """The recorder of one campaign: called by the driver's loop, never calls it back."""

    def __init__(
        self,
        campaign: Campaign,
        chunks: ChunkStore,
        facts: ChunkFacts,
        *,
        journal: RunJournal,
        screen: Screen,
        values: tuple[str, ...],
        tally: Tally,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.campaign, self.tally = campaign, tally
        self.convergence: list[Convergence] = []
        self._chunks, self._facts, self._journal, self._screen, self._clock = chunks, facts, journal, screen, clock
        self._values = values
        self._monitor: Monitor | None = None
        self._looks_at = float("-inf")
        self._last = False
        self._metrics_at = clock()
        self._no_read_before = float("-inf")
        self._step = max(1, campaign.plan.draws // POINTS_OF_CONVERGENCE)

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.campaign.name

    def begin(self) -> None:
        """The campaign's first chunk is about to be sent: rates count from now."""
        if not self.tally.done:
            self.tally.started = self._clock()

    @property
    def seconds(self) -> float:
        """From the first chunk to the last, or until now."""
        return (self._clock() if self.tally.ended is None else self.tally.ended) - self.tally.started

    def stored(self, task: ChunkTask, receipt: Receipt) -> None:
        """Count a chunk that is in the store."""
        self.campaign.store.add(self.campaign.id, receipt.name, written=_written(task, receipt, self._facts.losses))
        self.tally.done += receipt.rows
        self.tally.bytes += receipt.bytes
        self.tally.worker_seconds += receipt.seconds
        self.tally.retrain_seconds += receipt.retrain_seconds
        for loss, mean in receipt.mean_losses.items():
            total, rows = self.tally.mean_losses.get(loss, (0.0, 0))
            self.tally.mean_losses[loss] = (total + mean * receipt.rows, rows + receipt.rows)

    def failed(self, task: ChunkTask, failure: Failure, attempts: int) -> None:
        """Write the failure row of a retrain that failed for good."""
        name, content = failure_chunk(task, failure, attempts, self._facts)
        self._chunks.put(name, content)
        self.campaign.store.add(self.campaign.id, name)
        self.tally.failures.append(FailedRow(self.campaign.id, task.keys[0].hex(), failure.reason, attempts))
        self.tally.done += 1

    def tick(self, progress: Progress) -> None:
        """Show progress; every two seconds send metrics."""
        self.show(progress.note)
        self.note_metrics()

    def show(self, note: str = "") -> None:
        """The progress line."""
        self._screen.progress(self.line(note))

    def note_metrics(self) -> None:
        """Every two seconds a point of every metric."""
        now = self._clock()
        if now - self._metrics_at >= SECONDS_BETWEEN_METRICS:
            self._metrics_at = now
            self._send_metrics()

    def cut(self, planned: int) -> None:
        """The campaign ends before its whole budget: `planned` rows are all that it takes, and no more were spared."""
        self.tally.planned = planned
        self.tally.spared = max(0, min(self.tally.spared, planned - self.tally.done))

    def line(self, note: str = "") -> ProgressLine:
        """Progress of the campaign now."""
        tally = self.tally
        return ProgressLine(
            campaign=self.campaign.name,
            done=tally.done + tally.spared,
            planned=tally.planned,
            spared=tally.spared,
            failures=len(tally.failures),
            seconds=self.seconds,
            note=note,
        )

    def end(self) -> None:
        """The last chunk is there; what takes time waits for `finish`, as workers may be at another campaign."""
        self.tally.ended = self._clock()
        self._screen.finish(self.line())

    def finish(self) -> None:
        """The last point of every metric."""
        self._last = True
        self._no_read_before = self._looks_at = float("-inf")
        self._send_metrics(last=True)

    def _send_metrics(self, *, last: bool = False) -> None:
        line = self.line()
        metrics = {
            "retrains": float(line.done),
            "retrains_per_second": line.rate,
            "failures": float(line.failures),
            "bytes": float(self.tally.bytes),
        }
        if line.rate > 0:
            metrics["seconds_left"] = (line.planned - line.done) / line.rate
        for loss, (total, rows) in self.tally.mean_losses.items():
            metrics[metric_name("mean_loss", loss)] = total / rows
        self._journal.metrics(line.done, metrics | self._convergence_metrics(), last=last)

    def _convergence_metrics(self) -> dict[str, float]:
        """Statistics of what is in the store; none for a while where it does not let itself be read."""
        if self._clock() < self._no_read_before:
            return {}
        try:
            return self._statistics()
        except (
            StoreError,
            EstimatorError,
        ) as error:  # training goes on without them; half-read statistics are begun anew
            log.warning("there are no statistics now: %s", str(error).partition("\n")[0])
            self._monitor = None
            self._no_read_before = self._clock() + SECONDS_BETWEEN_FAILED_READS
            return {}

    def _statistics(self) -> dict[str, float]:
        """Statistics of a prefix that has grown, taken in a slice at a time: workers must not wait for them."""
        began = self._clock()
        if began < self._looks_at:
            return {}
        points = self._next_points(began)
        self._looks_at = self._clock() + (self._clock() - began) * TIMES_AS_LONG_WITHOUT_STATISTICS
        self.convergence += points
        return convergence_metrics(points)

    def _next_points(self, began: float) -> list[Convergence]:
        plan = self.campaign.plan
        if self.tally.done + self.tally.spared < plan.ends + self._step:
            return []
        if self._monitor is None:
            if self.campaign.store.missing(plan.end_rows().ids):
                return []
            self._monitor = Monitor(self.campaign, self._values)
        monitor = self._monitor
        unit = plan.design.unit_rows
        prefix = self.campaign.complete_prefix(monitor.draws)
        prefix -= prefix % unit
        due = (monitor.told + self._step) if not self._last else prefix
        while monitor.draws < prefix and (self._last or self._clock() - began < SECONDS_OF_STATISTICS):
            monitor.take(min(prefix, monitor.draws + unit * math.ceil(DRAWS_PER_BLOCK / unit)))
        return monitor.points() if monitor.draws >= due and monitor.draws > monitor.told else []


def _written(task: ChunkTask, receipt: Receipt, losses: tuple[str, ...]) -> WrittenRows | None:
    """What stands in the file of a task's retrains; None for a task of another kind."""
    if type(task) is not ChunkTask:
        return None
    facts = FileFacts(
        rows=task.rows,
        failed=0,
        seconds=receipt.retrain_seconds,
        numeric_class=sys.intern(receipt.numeric_class),  # one text for all chunks: each receipt brings its own
        together=receipt.together,
        losses=losses,
        bytes=receipt.bytes,
    )
    return WrittenRows(facts, task.keys, task.replicates.tolist())


def convergence_metrics(points: list[Convergence]) -> dict[str, float]:
    """Metric names and values of statistics; what is not defined yet is NaN, which the journal leaves out."""
    metrics = {}
    for point in points:
        metrics[metric_name("mean_standard_error", point.value, point.loss)] = point.mean_standard_error
        metrics[metric_name("signs_certain", point.value, point.loss)] = point.signs_certain
        metrics[metric_name("rank_stability", point.value, point.loss)] = point.rank_stability
    return metrics
