"""Campaigns trained in one stream: workers go on with the next while the last chunks of one are under way."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.pool import Pool
from orchestrator.driver.recorder import Progress
from orchestrator.errors import Interrupted
from orchestrator.jobs.job import UntilBudget
from orchestrator.monitor import Monitor
from orchestrator.phases import Phases
from orchestrator.plan import RowId
from orchestrator.progress import Screen
from orchestrator.recording import CampaignRecorder, Tally
from orchestrator.results import DRAWS_TAG, RETRAINS_TAG
from orchestrator.session import OpenCampaign, Session, with_draws
from orchestrator.signals import StopRequest
from orchestrator.stops import until_stops
from workers.outcomes import ChunkTask, Failure, Receipt
from workers.smoke import SmokeReport


@dataclass(frozen=True, slots=True)
class CampaignOutcome:
    """One campaign as this run leaves it."""

    opened: OpenCampaign
    recorder: CampaignRecorder


@dataclass(frozen=True, slots=True)
class Leg:
    """One campaign's share of a stream: the rows to train, among its first `draws` draws."""

    opened: OpenCampaign
    recorder: CampaignRecorder
    missing: set[RowId]
    draws: int


class StreamRecorder:
    """Gives each outcome to the campaign whose chunk it is, and ends a campaign with its last one."""

    def __init__(self, legs: Sequence[Leg], *, ending: bool) -> None:
        self._recorders = {leg.opened.planned.id: leg.recorder for leg in legs}
        self._left = {leg.opened.planned.id: len(leg.missing) for leg in legs}
        self._ending = ending
        self._begun: list[str] = []

    def begin(self, campaign: str) -> None:
        """The campaign's turn has come."""
        self._recorders[campaign].begin()
        self._begun.append(campaign)
        self._count(campaign, 0)

    def stored(self, task: ChunkTask, receipt: Receipt) -> None:
        """A chunk is in the store."""
        self._recorders[task.campaign].stored(task, receipt)
        self._count(task.campaign, receipt.rows)

    def failed(self, task: ChunkTask, failure: Failure, attempts: int) -> None:
        """The one row of `task` has failed for good."""
        self._recorders[task.campaign].failed(task, failure, attempts)
        self._count(task.campaign, task.rows)

    def tick(self, progress: Progress) -> None:
        """Progress of the campaign that is to end next; metrics of all that are under way."""
        for place, campaign in enumerate(self._begun):
            if place == 0:
                self._recorders[campaign].show(progress.note)
            self._recorders[campaign].note_metrics()

    def _count(self, campaign: str, rows: int) -> None:
        self._left[campaign] -= rows
        if self._left[campaign] <= 0 and campaign in self._begun:
            self._begun.remove(campaign)
            if self._ending:
                self._recorders[campaign].finish()


class CampaignStream:
    """Trains what the store lacks of a session's campaigns.

    pool: the workers, asked for when the first chunk has to be trained. report: what the learner showed of itself.
    """

    def __init__(
        self,
        session: Session,
        pool: Callable[[], Pool],
        report: Callable[[], SmokeReport],
        *,
        screen: Screen,
        stopping: StopRequest,
        phases: Phases,
    ) -> None:
        self.session = session
        self._pool, self._report, self._screen, self._stopping = pool, report, screen, stopping
        self._phases = phases

    def carry_out(self) -> list[CampaignOutcome]:
        """All campaigns in the job's order; those of a fixed budget that follow each other in one stream."""
        outcomes: list[CampaignOutcome] = []
        by_kind = groupby(self.session.campaigns, lambda opened: isinstance(opened.planned.spec.retrains, UntilBudget))
        for is_until, group in by_kind:
            outcomes += [self._until(opened) for opened in group] if is_until else self._fixed(list(group))
        return outcomes

    def _fixed(self, group: Sequence[OpenCampaign]) -> list[CampaignOutcome]:
        claimed: set[RowId] = set()
        legs = []
        for opened in group:
            draws = opened.planned.draws
            missing = self._missing(opened, draws) - claimed
            legs.append(Leg(opened, self._recorder(opened, missing, claimed), missing, draws))
            claimed |= missing
        self._train(legs, ending=True)
        return [CampaignOutcome(leg.opened, leg.recorder) for leg in legs]

    def _recorder(self, opened: OpenCampaign, missing: set[RowId], claimed: set[RowId]) -> CampaignRecorder:
        wanted = set(opened.campaign.plan.row_ids(opened.planned.draws))
        spared, shared = len(wanted) - len(missing), len(wanted & claimed)
        self.session.tracker.set_tags(opened.run.run_id, {RETRAINS_TAG: len(wanted)})
        if spared:
            others = f", or trained for a campaign before ({shared:,})" if shared else ""
            self._screen.say(
                f"{opened.planned.name}: {spared:,} of {len(wanted):,} retrains are in the store already{others}"
            )
        return CampaignRecorder(
            opened.campaign,
            opened.chunks,
            self.session.facts(opened),
            journal=self.session.journal.of(opened.run.run_id),
            screen=self._screen,
            values=self.session.prepared.values,
            tally=Tally(planned=len(wanted), spared=spared, started=time.monotonic()),
        )

    def _missing(self, opened: OpenCampaign, draws: int) -> set[RowId]:
        rows = opened.campaign.plan.row_ids(draws)
        return {rows[place] for place in self.session.store.missing(rows)}

    def _train(self, legs: Sequence[Leg], *, ending: bool) -> None:
        recorder = StreamRecorder(legs, ending=ending)
        if not any(leg.missing for leg in legs):
            for leg in legs:
                recorder.begin(leg.opened.planned.id)
            return
        summary = carry_out(
            _tasks(legs, recorder),
            self._pool(),
            recorder,
            policy=Policy(time_limit=max(self._time_limit(leg.opened) for leg in legs if leg.missing)),
            clock=time.monotonic,
            stopping=self._asked_to_stop,
            phases=self._phases,
        )
        self.session.lease.check()
        if summary.interrupted:
            lines = [leg.recorder.line() for leg in legs]
            line = next((line for line in lines if line.done < line.planned), lines[-1])
            raise Interrupted(
                f"stopped after {line.done:,} of {line.planned:,} retrains of {line.campaign}",
                signal_number=self._stopping.signal_number,
                mend=f"go on: apportion resume {self.session.prepared.job.origin.path or 'JOB'}",
            )

    def _asked_to_stop(self) -> int:
        return 2 if self.session.lease.lost() else self._stopping()

    def _time_limit(self, opened: OpenCampaign) -> float:
        given = self.session.prepared.job.workers.time_limit
        if given is not None:
            return given
        expected = opened.campaign.plan.facts.chunk_rows * self._report().seconds_per_retrain
        return max(120.0, 20.0 * expected)

    def _until(self, opened: OpenCampaign) -> CampaignOutcome:
        budget = opened.planned.spec.retrains
        assert isinstance(budget, UntilBudget), "told apart by the caller"
        until, monitor = budget.until, None
        opened.campaign.loss_or_default(until.loss)  # refused before the first retrain, not after the last
        recorder = self._recorder(opened, self._missing(opened, opened.planned.draws), set())
        for draws in until_stops(until, opened.campaign.plan.design.unit_rows):
            self._train([Leg(opened, recorder, self._missing(opened, draws), draws)], ending=False)
            monitor = monitor or Monitor(opened.campaign, (until.value,), loss=until.loss)
            point = monitor.advance(draws)[0]
            self._screen.say(
                f"{opened.planned.name}: mean standard error of {until.value} is {point.mean_standard_error:.3g} "
                f"after {draws:,} retrains (wanted: below {until.below:g})"
            )
            if point.mean_standard_error < until.below:
                break
        recorder.cut(len(set(opened.campaign.plan.row_ids(draws))))
        self.session.tracker.set_tags(opened.run.run_id, {DRAWS_TAG: draws, RETRAINS_TAG: recorder.tally.planned})
        recorder.finish()
        return CampaignOutcome(with_draws(opened, draws), recorder)


def _tasks(legs: Sequence[Leg], recorder: StreamRecorder) -> Iterator[ChunkTask]:
    for leg in legs:
        recorder.begin(leg.opened.planned.id)
        yield from leg.opened.campaign.plan.tasks(leg.missing, leg.draws)
