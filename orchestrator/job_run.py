"""Carry a job out: train what the store lacks, compute the values, write the report."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Literal

from orchestrator.campaign_stream import CampaignOutcome, CampaignStream
from orchestrator.checkpoints import clear_checkpoints
from orchestrator.driver.pool import Pool
from orchestrator.early_starts import EarlyStarts
from orchestrator.errors import BudgetSpent, FailedRetrains, Interrupted, JobError, ResourceMissing
from orchestrator.gradients.running import run_gradients
from orchestrator.jobs.job import Job
from orchestrator.phases import Phases
from orchestrator.placement import ClusterPool, open_pool, workers_that_fit
from orchestrator.preparation import Prepared, prepare, smoke
from orchestrator.progress import Screen
from orchestrator.reporting import SECONDS_TAG, make_report
from orchestrator.results import JobResult
from orchestrator.session import Session, keep_manifests, open_session
from orchestrator.signals import StopRequest
from orchestrator.together_choice import ChoiceOfTogether
from orchestrator.tracking.addresses import mask_address
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.patience import Patience
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import last_line
from workers.smoke import SmokeReport


def run(
    job: Job,
    *,
    screen: Screen | None = None,
    stopping: StopRequest | None = None,
    start: Literal["fresh or stopped", "stopped"] = "fresh or stopped",
    phases: Phases | None = None,
) -> JobResult:
    """Carry a job out and return its results; what the store has already is not trained again.

    start: "stopped" refuses where nothing was started (`apportion resume`). phases: takes down where the time goes.
    Raises JobError (2), FailedRetrains (3), ResourceMissing (4), StoreRefused (5), Interrupted (130, 143).
    """
    screen = Screen() if screen is None else screen
    stopping = StopRequest() if stopping is None else stopping
    phases = Phases() if phases is None else phases
    prepare_environment()
    with phases.part("data"):
        prepared = prepare(job, screen.say)
    choice = ChoiceOfTogether(prepared, workers_that_fit(job), screen.say)
    report = _smoke_once(prepared, choice, screen, phases)
    with EarlyStarts(job) as early:
        tracker = _tracker(job, screen, start, report, early, phases, Patience(screen.say, stopping))
        with open_session(prepared, tracker, choice, report, workers_that_fit(job), screen.say) as session:
            return _Driver(session, screen, stopping, report, early, phases).carry_job_out()


def _tracker(
    job: Job,
    screen: Screen,
    start: str,
    report: Callable[[], SmokeReport],
    early: EarlyStarts,
    phases: Phases,
    patience: Patience,
) -> Tracker:
    """The job's store, made where it may be; a learner that cheats is refused before anything is made."""
    with phases.part("store"):
        tracker = Tracker.open(job.store, job.folder, job.name, create=False, say=screen.say, patience=patience)
        known = None if tracker is None else tracker.find_job_run()
    if start == "stopped" and known is None:
        raise JobError(
            f"there is nothing to resume: job {job.name!r} was never started in {mask_address(job.store.tracking_uri)}",
            mend=f"start it: apportion run {job.origin.path or 'JOB'}",
        )
    if known is None or known.status != "FINISHED":
        early.begin_ray()
    if tracker is None:
        early.begin_database()
        report()
        with phases.part("store"):
            tracker = patience(
                lambda: Tracker.open(
                    job.store, job.folder, job.name, say=screen.say, making=early.database, patience=patience
                )
            )
    if tracker is None:
        raise RuntimeError("the store was made and is not there")
    return tracker


def _smoke_once(
    prepared: Prepared, choice: ChoiceOfTogether, screen: Screen, phases: Phases
) -> Callable[[], SmokeReport]:
    @cache
    def report() -> SmokeReport:
        with phases.part("pilot"):
            chosen = choice.get()
        screen.say("smoke retrain: shapes, determinism, membership ...")
        with phases.part("smoke"):
            found = smoke(prepared, together=None if chosen is None else chosen.together)
        for note in found.notes:
            screen.say(f"note: {note}")
        return found

    return report


class _Driver:
    """One run of a job, from what is missing to the report."""

    def __init__(
        self,
        session: Session,
        screen: Screen,
        stopping: StopRequest,
        report: Callable[[], SmokeReport],
        early: EarlyStarts,
        phases: Phases,
    ) -> None:
        self.session, self.screen, self._report, self._stopping = session, screen, report, stopping
        self._early, self._phases = early, phases
        self._stream = CampaignStream(session, self.pool, report, screen=screen, stopping=stopping, phases=phases)
        self._pool: Pool | None = None

    def carry_job_out(self) -> JobResult:
        """Every campaign, then values and report."""
        status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
        try:
            with self._closing_pool():
                outcomes = self._stream.carry_out()
                if isinstance(self._pool, ClusterPool):
                    self._pool.end_workers()  # their cores are for what comes now
                problems = run_gradients(self.session, self.screen.say, self._stopping)
                result = self._results(outcomes)
            keep_manifests(self.session)
            self._refuse_failures(outcomes, result)
            if problems:
                raise JobError(problems)
            status = "FINISHED"
        except (BudgetSpent, Interrupted):
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
            with self._phases.part("Ray"):
                self._pool = open_pool(self.session, self.screen.say, begun=self._early.ray)
        return self._pool

    def _results(self, outcomes: Sequence[CampaignOutcome]) -> JobResult:
        prepared = self.session.prepared
        campaigns = tuple(outcome.opened.campaign for outcome in outcomes)
        result = JobResult(prepared.job, prepared.loaded, campaigns)
        for outcome in outcomes:
            if outcome.recorder.tally.done:
                self.session.tracker.set_tags(
                    outcome.opened.run.run_id, {SECONDS_TAG: round(outcome.recorder.seconds, 1)}
                )
            clear_checkpoints(self.session.facts(outcome.opened).checkpoints, outcome.opened.planned.id)
        tracker = self.session.tracker
        report = tracker.patience(lambda: make_report(result, tracker, self.screen.say))
        self._note_phases(outcomes)
        return replace(result, report=report.path, headline=report.headline)

    def _note_phases(self, outcomes: Sequence[CampaignOutcome]) -> None:
        """Where the time went, among the metrics of the job's run."""
        self._phases.retrain_seconds = sum(outcome.recorder.tally.retrain_seconds for outcome in outcomes)
        done = sum(outcome.recorder.tally.done for outcome in outcomes)
        journal = self.session.journal.of(self.session.parent.run_id)
        journal.metrics(done, self._phases.figures(self._phases.clock()), last=True)

    def _refuse_failures(self, outcomes: Sequence[CampaignOutcome], result: JobResult) -> None:
        tolerance = self.session.prepared.job.tolerance
        for outcome in outcomes:
            rows = list(dict.fromkeys(outcome.opened.campaign.row_ids()))
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
        tracker = self.session.tracker
        if status == "FINISHED":
            for run_id in runs:
                tracker.finish(run_id, status)
            return
        try:
            with tracker.patience.at_once():
                for run_id in runs:
                    tracker.finish(run_id, status)
        except ResourceMissing as error:
            # why it stopped is what has to be said, not that the server does not hear of it
            self.screen.say(f"note: MLflow still shows this job as running: {error.problems[0].what}")
