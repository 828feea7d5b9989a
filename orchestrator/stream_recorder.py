"""The recorder of several campaigns that train in one stream, and of what they spend."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.driver.recorder import Progress
from orchestrator.plan import RowId
from orchestrator.recording import SECONDS_BETWEEN_METRICS, CampaignRecorder
from orchestrator.session import OpenCampaign
from orchestrator.spending import Meter
from orchestrator.tracking.journal import RunJournal
from orchestrator.truncated_walks import TruncatedWalks
from workers.outcomes import ChunkTask, Failure, Receipt


@dataclass(frozen=True, slots=True)
class Leg:
    """One campaign's share of a stream: the rows to train, among its first `draws` draws.

    walks: of a campaign of truncated walks, which stop before they have trained them all.
    """

    opened: OpenCampaign
    recorder: CampaignRecorder
    missing: set[RowId]
    draws: int
    walks: TruncatedWalks | None = None

    def tasks(self) -> Iterator[ChunkTask]:
        """The chunks to train."""
        if not self.missing:
            return iter(())
        if self.walks is not None:
            return iter(self.walks.tasks(self.draws))
        return self.opened.campaign.plan.tasks(self.missing, self.draws)


class StreamRecorder:
    """Gives each outcome to the campaign whose chunk it is, and ends a campaign with its last one."""

    def __init__(self, legs: Sequence[Leg], meter: Callable[[], Meter], journal: RunJournal, *, ending: bool) -> None:
        self._meter, self._journal = meter, journal
        self._recorders = {leg.opened.planned.id: leg.recorder for leg in legs}
        self._left = {leg.opened.planned.id: len(leg.missing) for leg in legs}
        self._ending = ending
        self._noted = time.monotonic()
        self._begun: list[str] = []

    def begin(self, campaign: str) -> None:
        """The campaign's turn has come."""
        self._recorders[campaign].begin()
        self._begun.append(campaign)
        self._count(campaign, 0)

    def stored(self, task: ChunkTask, receipt: Receipt) -> None:
        """A chunk is in the store."""
        self._recorders[task.campaign].stored(task, receipt)
        self._meter().stored(receipt.rows, size=receipt.bytes, seconds=receipt.seconds, sent=task.rows)
        self._count(task.campaign, receipt.rows)

    def failed(self, task: ChunkTask, failure: Failure, attempts: int) -> None:
        """The one row of `task` has failed for good."""
        self._recorders[task.campaign].failed(task, failure, attempts)
        self._meter().stored(task.rows, size=0.0, seconds=0.0)
        self._count(task.campaign, task.rows)

    def tick(self, progress: Progress) -> None:
        """Progress of the campaign that is to end next; metrics of all that are under way, and of what is spent."""
        meter = self._meter()
        meter.look(progress.workers)
        self._note_spending(meter)
        for place, campaign in enumerate(self._begun):
            if place == 0:
                self._recorders[campaign].show(progress.note)
            self._recorders[campaign].note_metrics()

    def pause(self) -> None:
        """The workers have nothing to do for a while."""
        meter = self._meter()
        meter.pause()
        self._journal.metrics(meter.spent.retrains, meter.metrics(), last=True)

    def _note_spending(self, meter: Meter) -> None:
        now = time.monotonic()
        if now - self._noted >= SECONDS_BETWEEN_METRICS:
            self._noted = now
            self._journal.metrics(meter.spent.retrains, meter.metrics())

    def _count(self, campaign: str, rows: int) -> None:
        self._left[campaign] -= rows
        if self._left[campaign] <= 0 and campaign in self._begun:
            self._begun.remove(campaign)
            if self._ending:
                self._recorders[campaign].end()
