"""Carry a job out: train what the store lacks, compute the values, write the report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.pool import Pool
from orchestrator.errors import FailedRetrains, Interrupted, JobError, ResourceMissing
from orchestrator.jobs.job import Job, UntilBudget
from orchestrator.monitor import Monitor
from orchestrator.placement import open_pool, workers_that_fit
from orchestrator.plan import RowId
from orchestrator.preparation import Prepared, prepare, smoke
from orchestrator.progress import Screen
from orchestrator.recording import CampaignRecorder, Tally
from orchestrator.reporting import SECONDS_TAG, make_report
from orchestrator.results import DRAWS_TAG, RETRAINS_TAG, JobResult
from orchestrator.session import OpenCampaign, Session, open_session, with_draws
from orchestrator.signals import StopRequest
from orchestrator.stops import until_stops
from orchestrator.tracking.addresses import mask_address
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import last_line
from workers.smoke import SmokeReport


@dataclass(frozen=True, slots=True)
class CampaignOutcome:
    """One campaign as this run leaves it."""

    opened: OpenCampaign
    recorder: CampaignRecorder
    seconds: float


def run(
    job: Job,
    *,
    screen: Screen | None = None,
    stopping: StopRequest | None = None,
    start: Literal["fresh or stopped", "stopped"] = "fresh or stopped",
) -> JobResult:
    """Carry a job out and return its results; what the store has already is not trained again.

    start: "stopped" refuses where nothing was started (`apportion resume`).
    Raises JobError (2), FailedRetrains (3), ResourceMissing (4), StoreRefused (5), Interrupted (130, 143).
    """
    screen = Screen() if screen is None else screen
    stopping = StopRequest() if stopping is None else stopping
    prepare_environment()
    prepared = prepare(job, screen.say)
    report = _smoke_once(prepared, screen)
    tracker = _tracker(job, screen, start, report)
    with open_session(prepared, tracker, report, workers_that_fit(job), screen.say) as session:
        return _Driver(session, screen, stopping, report).carry_job_out()


def _tracker(job: Job, screen: Screen, start: str, report: Callable[[], SmokeReport]) -> Tracker:
    """The job's store, made where it may be; a learner that cheats is refused before anything is made."""
    tracker = Tracker.open(job.store, job.folder, job.name, create=False, say=screen.say)
    if start == "stopped" and (tracker is None or tracker.find_job_run() is None):
        raise JobError(
            f"there is nothing to resume: job {job.name!r} was never started in {mask_address(job.store.tracking_uri)}",
            mend=f"start it: apportion run {job.origin.path or 'JOB'}",
        )
    if tracker is None:
        report()
        tracker = Tracker.open(job.store, job.folder, job.name, say=screen.say)
    if tracker is None:
        raise RuntimeError("the store was made and is not there")
    return tracker


def _smoke_once(prepared: Prepared, screen: Screen) -> Callable[[], SmokeReport]:
    @cache
    def report() -> SmokeReport:
        screen.say("smoke retrain: shapes, determinism, membership ...")
        found = smoke(prepared)
        for note in found.notes:
            screen.say(f"note: {note}")
        return found

    return report


class _Driver:
    """One run of a job, from what is missing to the report."""

    def __init__(
        self, session: Session, screen: Screen, stopping: StopRequest, report: Callable[[], SmokeReport]
    ) -> None:
        self.session = session
        self.screen = screen
        self.stopping = stopping
        self._report = report
        self._pool: Pool | None = None

    def carry_job_out(self) -> JobResult:
        """Every campaign, then values and report."""
        status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
        try:
            with self._closing_pool():
                outcomes = [self._campaign(opened) for opened in self.session.campaigns]
            result = self._results(outcomes)
            self._refuse_failures(outcomes, result)
            status = "FINISHED"
        except Interrupted:
            status = "KILLED"
            raise
        finally:
            self._finish_runs(status)
        return result

    @contextmanager
    def _closing_pool(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def pool(self) -> Pool:
        """The workers, started when the first chunk has to be trained."""
        if self._pool is None:
            self._report()  # a learner that cheats is found before a worker is started
            self._pool = open_pool(self.session, self.screen.say)
        return self._pool

    def _campaign(self, opened: OpenCampaign) -> CampaignOutcome:
        began = time.monotonic()
        recorder = self._recorder(opened)
        budget = opened.planned.spec.retrains
        if isinstance(budget, UntilBudget):
            opened.campaign.loss_or_default(budget.until.loss)  # refused before the first retrain, not after the last
            opened = self._until(opened, recorder, budget)
        else:
            self._train(opened, recorder, opened.planned.draws)
        recorder.finish()
        return CampaignOutcome(opened, recorder, time.monotonic() - began)

    def _recorder(self, opened: OpenCampaign) -> CampaignRecorder:
        wanted = set(opened.campaign.plan.row_ids(opened.planned.draws))
        missing = self._missing(opened, opened.planned.draws)
        spared = len(wanted) - len(missing)
        self.session.tracker.set_tags(opened.run.run_id, {RETRAINS_TAG: len(wanted)})
        if spared:
            self.screen.say(f"{opened.planned.name}: {spared:,} of {len(wanted):,} retrains are in the store already")
        return CampaignRecorder(
            opened.campaign,
            opened.chunks,
            self.session.facts(opened),
            journal=self.session.journal.of(opened.run.run_id),
            screen=self.screen,
            values=self.session.prepared.values,
            tally=Tally(planned=len(wanted), spared=spared, started=time.monotonic()),
        )

    def _missing(self, opened: OpenCampaign, draws: int) -> set[RowId]:
        rows = opened.campaign.plan.row_ids(draws)
        return {rows[place] for place in self.session.store.missing(rows)}

    def _train(self, opened: OpenCampaign, recorder: CampaignRecorder, draws: int) -> None:
        missing = self._missing(opened, draws)
        if not missing:
            return
        summary = carry_out(
            opened.campaign.plan.tasks(missing, draws),
            self.pool(),
            recorder,
            policy=Policy(time_limit=self._time_limit(opened)),
            clock=time.monotonic,
            stopping=self._stopping,
        )
        self.session.lease.check()
        if summary.interrupted:
            raise Interrupted(
                f"stopped after {recorder.line().done:,} of {recorder.line().planned:,} retrains of {recorder.name}",
                signal_number=self.stopping.signal_number,
                mend=f"go on: apportion resume {self.session.prepared.job.origin.path or 'JOB'}",
            )

    def _stopping(self) -> int:
        return 2 if self.session.lease.lost() else self.stopping()

    def _time_limit(self, opened: OpenCampaign) -> float:
        given = self.session.prepared.job.workers.time_limit
        if given is not None:
            return given
        expected = opened.campaign.plan.facts.chunk_rows * self._report().seconds_per_retrain
        return max(120.0, 20.0 * expected)

    def _until(self, opened: OpenCampaign, recorder: CampaignRecorder, budget: UntilBudget) -> OpenCampaign:
        until, monitor = budget.until, None
        for draws in until_stops(until, opened.campaign.plan.design.unit_rows):
            self._train(opened, recorder, draws)
            monitor = monitor or Monitor(opened.campaign, (until.value,), loss=until.loss)
            point = monitor.advance(draws)[0]
            self.screen.say(
                f"{opened.planned.name}: mean standard error of {until.value} is {point.mean_standard_error:.3g} "
                f"after {draws:,} retrains (wanted: below {until.below:g})"
            )
            if point.mean_standard_error < until.below:
                break
        recorder.cut(len(set(opened.campaign.plan.row_ids(draws))))
        self.session.tracker.set_tags(opened.run.run_id, {DRAWS_TAG: draws, RETRAINS_TAG: recorder.tally.planned})
        return with_draws(opened, draws)

    def _results(self, outcomes: list[CampaignOutcome]) -> JobResult:
        prepared = self.session.prepared
        campaigns = tuple(outcome.opened.campaign for outcome in outcomes)
        result = JobResult(prepared.job, prepared.loaded, campaigns)
        for outcome in outcomes:
            if outcome.recorder.tally.done:
                self.session.tracker.set_tags(outcome.opened.run.run_id, {SECONDS_TAG: round(outcome.seconds, 1)})
        report = make_report(result, self.session.tracker, self.screen.say)
        return replace(result, report=report.path, headline=report.headline)

    def _refuse_failures(self, outcomes: list[CampaignOutcome], result: JobResult) -> None:
        tolerance = self.session.prepared.job.tolerance
        for outcome in outcomes:
            rows = list(dict.fromkeys(outcome.opened.campaign.plan.row_ids(outcome.opened.campaign.plan.draws)))
            failed = self.session.store.failed(rows)
            if len(failed) > tolerance * len(rows):
                first = next(iter(failed.values()))
                raise FailedRetrains(
                    f"{len(failed)} of {len(rows)} retrains of {outcome.opened.planned.name} failed "
                    f"(tolerance {tolerance:g}); the first: {last_line(first)}",
                    mend=f"the other rows are stored, and {result.report} says what it left out; raise `tolerance` to "
                    "accept that, or mend the learner and run it under another `name`",
                )

    def _finish_runs(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        if self.session.lease.lost():
            return  # the runs' states are the other driver's to tell
        runs = [*(opened.run.run_id for opened in self.session.campaigns), self.session.parent.run_id]
        try:
            for run_id in runs:
                self.session.tracker.finish(run_id, status)
        except ResourceMissing as error:
            if status == "FINISHED":
                raise
            # why it stopped is what has to be said, not that the server does not hear of it
            self.screen.say(f"note: MLflow still shows this job as running: {error.problems[0].what}")
