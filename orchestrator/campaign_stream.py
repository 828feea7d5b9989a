"""Campaigns trained in one stream: workers go on with the next while the last chunks of one are under way."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from estimators.designs.stopping import truncated_walks
from estimators.designs.walk import Walk
from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.pool import Pool
from orchestrator.errors import BudgetSpent, Interrupted
from orchestrator.jobs.job import Until, UntilBudget
from orchestrator.monitor import Monitor
from orchestrator.phases import Phases
from orchestrator.pilot import stored_bytes
from orchestrator.placement import workers_that_fit
from orchestrator.plan import RowId
from orchestrator.progress import ProgressLine, Screen
from orchestrator.recording import CampaignRecorder, Tally
from orchestrator.results import DRAWS_TAG, RETRAINS_TAG
from orchestrator.session import OpenCampaign, Session, with_draws
from orchestrator.signals import StopRequest
from orchestrator.spending import Meter, amount_words, spent_before
from orchestrator.stops import statistic_of, statistic_words, until_stops
from orchestrator.stream_recorder import Leg, StreamRecorder
from orchestrator.truncated_walks import open_walks
from workers.outcomes import ChunkTask
from workers.smoke import SmokeReport


@dataclass(frozen=True, slots=True)
class CampaignOutcome:
    """One campaign as this run leaves it."""

    opened: OpenCampaign
    recorder: CampaignRecorder


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
        self._meter: Meter | None = None

    def carry_out(self) -> list[CampaignOutcome]:
        """All campaigns in the job's order; those of a fixed budget that follow each other in one stream."""
        outcomes: list[CampaignOutcome] = []
        for is_fixed, group in groupby(self.session.campaigns, _is_fixed):
            together = list(group)
            outcomes += self._fixed(together) if is_fixed else [self._alone(opened) for opened in together]
        return outcomes

    def _alone(self, opened: OpenCampaign) -> CampaignOutcome:
        """A campaign whose rows depend on losses seen."""
        recorder = self._recorder(opened, opened.campaign.missing(opened.planned.draws), set())
        budget = opened.planned.spec.retrains
        if isinstance(budget, UntilBudget):
            return self._until(opened, recorder, budget.until)
        self._reach(opened, recorder, opened.planned.draws)
        self._close(opened, recorder, opened.planned.draws)
        return CampaignOutcome(opened, recorder)

    def _reach(self, opened: OpenCampaign, recorder: CampaignRecorder, draws: int) -> None:
        """Train what the first `draws` draws lack; before walks that stop on losses, v(D) and v(empty)."""
        campaign = opened.campaign
        if truncated_walks(campaign.plan.design) is None:
            self._train([Leg(opened, recorder, campaign.missing(draws), draws)], ending=False)
            return
        self._train([Leg(opened, recorder, campaign.missing(0), 0)], ending=False)
        walks = open_walks(campaign.plan, campaign.store)
        if walks is not None:
            self._train([Leg(opened, recorder, campaign.missing(draws), draws, walks)], ending=False)
        recorder.cut(max(len(set(campaign.row_ids(draws))), recorder.tally.done))

    def _fixed(self, group: Sequence[OpenCampaign]) -> list[CampaignOutcome]:
        claimed: set[RowId] = set()
        legs = []
        for opened in group:
            draws = opened.planned.draws
            missing = opened.campaign.missing(draws) - claimed
            legs.append(Leg(opened, self._recorder(opened, missing, claimed), missing, draws))
            claimed |= missing
        self._train(legs, ending=True)
        for leg in legs:
            leg.recorder.finish()
        return [CampaignOutcome(leg.opened, leg.recorder) for leg in legs]

    def _recorder(self, opened: OpenCampaign, missing: set[RowId], claimed: set[RowId]) -> CampaignRecorder:
        wanted = set(opened.campaign.row_ids(opened.planned.draws))
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

    def meter(self) -> Meter:
        """What the job has spent; made when the first chunk has to be trained, since it asks the learner's smoke."""
        if self._meter is None:
            session, report = self.session, self._report()
            data, job = session.prepared.loaded.dataset, session.prepared.job
            files = [session.store.trained_by(opened.planned.id) for opened in session.campaigns]
            before = spent_before(
                session.tracker.latest_metrics(session.parent.run_id),
                retrains=sum(each.rows for each in files),
                size=sum(each.bytes for each in files),
            )
            self._meter = Meter(
                job,
                before,
                seconds=report.seconds_per_retrain,
                bytes_per_retrain=stored_bytes(
                    1,
                    data.n,
                    data.n_test,
                    len(report.losses),
                    train_losses=report.train_losses,
                    model_bytes=report.model_bytes,
                ),
                workers=workers_that_fit(job),
            )
        return self._meter

    def _train(self, legs: Sequence[Leg], *, ending: bool) -> None:
        journal = self.session.journal.of(self.session.parent.run_id)
        recorder = StreamRecorder(legs, self.meter, journal, ending=ending)
        tasks = self._tasks(legs, recorder)
        first = next(tasks, None)
        summary = None
        if first is not None:
            self.meter().look(0)
            pool = self._pool()
            with self.session.tracker.patience.at_once():  # the loop has workers to look after, and waits by itself
                summary = carry_out(
                    chain([first], tasks),
                    pool,
                    recorder,
                    policy=Policy(time_limit=max(self._time_limit(leg.opened) for leg in legs if leg.missing)),
                    clock=time.monotonic,
                    stopping=self._asked_to_stop,
                    phases=self._phases,
                )
            self.session.lease.check()
            recorder.pause()
        if summary is not None and summary.interrupted:
            line = _unfinished(legs)
            raise Interrupted(
                f"stopped after {line.done:,} of {line.planned:,} retrains of {line.campaign}",
                signal_number=self._stopping.signal_number,
                mend=f"go on: apportion resume {self.session.prepared.job.origin.path or 'JOB'}",
            )
        self._refuse_to_overspend(legs)

    def _tasks(self, legs: Sequence[Leg], recorder: StreamRecorder) -> Iterator[ChunkTask]:
        for leg in legs:
            recorder.begin(leg.opened.planned.id)
            for task in leg.tasks():
                if not self.meter().room_for(task.rows):
                    return
                yield task

    def _refuse_to_overspend(self, legs: Sequence[Leg]) -> None:
        over = None if self._meter is None else self._meter.over
        if over is None:
            return
        line = _unfinished(legs)
        path = self.session.prepared.job.origin.path or "JOB"
        spent, most, then = (amount_words(over.limit, amount) for amount in (over.spent, over.most, over.then))
        raise BudgetSpent(
            f"stopped before the budget is overspent: {spent} of {most} are spent, and the next chunk would make it "
            f"{then}; {line.done:,} of {line.planned:,} retrains of {line.campaign} are stored",
            where=self.session.prepared.job.origin.where("budget", over.limit),
            mend=f"raise budget.{over.limit} and go on: apportion resume {path}; or look at what there is: "
            f"apportion report {path}",
        )

    def _asked_to_stop(self) -> int:
        lease = self.session.lease
        return 2 if lease.lost() else max(self._stopping(), int(lease.asked_to_stop()))

    def _time_limit(self, opened: OpenCampaign) -> float:
        given = self.session.prepared.job.workers.time_limit
        if given is not None:
            return given
        plan = opened.campaign.plan
        expected = plan.facts.chunk_rows * self._report().seconds_per_retrain
        if isinstance(plan.design, Walk):  # an evaluation after every step
            expected *= plan.facts.n
        return max(120.0, 20.0 * expected)

    def _until(self, opened: OpenCampaign, recorder: CampaignRecorder, until: Until) -> CampaignOutcome:
        opened.campaign.view(until.value, loss=until.loss)  # refused before the first retrain, not after the last
        monitor, unit_rows = None, opened.campaign.plan.design.unit_rows
        for draws in until_stops(until, unit_rows):
            self._reach(opened, recorder, draws)
            monitor = monitor or Monitor(opened.campaign, (until.value,), loss=until.loss)
            point = monitor.advance(draws)[0]
            reached = statistic_of(until, point, unit_rows)
            self._screen.say(
                f"{opened.planned.name}: {statistic_words(until)} is {reached:.3g} "
                f"after {draws:,} retrains (wanted: below {until.below:g})"
            )
            if reached < until.below:
                break
        recorder.cut(len(set(opened.campaign.row_ids(draws))))
        self._close(opened, recorder, draws)
        return CampaignOutcome(with_draws(opened, draws), recorder)

    def _close(self, opened: OpenCampaign, recorder: CampaignRecorder, draws: int) -> None:
        """The end of a campaign whose rows depended on losses: how many it took is known now."""
        self.session.tracker.set_tags(opened.run.run_id, {DRAWS_TAG: draws, RETRAINS_TAG: recorder.tally.planned})
        recorder.end()
        recorder.finish()


def _unfinished(legs: Sequence[Leg]) -> ProgressLine:
    """The first campaign of a stream that is not finished, or the last."""
    lines = [leg.recorder.line() for leg in legs]
    return next((line for line in lines if line.done < line.planned), lines[-1])


def _is_fixed(opened: OpenCampaign) -> bool:
    """Whether a campaign's rows are known before any is trained."""
    is_until = isinstance(opened.planned.spec.retrains, UntilBudget)
    return not is_until and truncated_walks(opened.planned.design) is None
