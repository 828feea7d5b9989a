"""Extend a job by test instances or losses: forward passes of its kept models, through its own workers."""

import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.recorder import Progress
from orchestrator.errors import Interrupted, JobError
from orchestrator.extension.extended_data import Arrays, with_test_set
from orchestrator.extension.reading import on_test_set
from orchestrator.extension.side_tasks import side_tasks
from orchestrator.extension.test_sets import TestSet, keep_test_set, side_store
from orchestrator.fingerprint import fingerprints
from orchestrator.jobs.job import Job
from orchestrator.loss_stores import loss_store
from orchestrator.placement import device_of, start_workers
from orchestrator.plan import PLAN_FILE
from orchestrator.preparation import Prepared, prepare
from orchestrator.progress import ProgressLine, Screen
from orchestrator.results import JobResult, no_results, open_tracker, read_campaign
from orchestrator.signals import StopRequest
from orchestrator.store.loss_store import LossStore
from orchestrator.tracking.patience import Patience
from orchestrator.tracking.runs import CampaignRun
from orchestrator.versions import moved_rows, refuse_other_data
from workers.chunk_store import ChunkStore
from workers.chunk_work import ChunkFacts
from workers.errors import LearnerError
from workers.failure_rows import failure_chunk
from workers.learner_specs import FunctionSpec, LossName
from workers.losses import kept_losses
from workers.outcomes import ChunkTask, Failure, Receipt, SideTask
from workers.setup import CampaignPlace, WorkerSetup

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Extension:
    """What a job is extended by. prepared: the job with the new test set and losses."""

    prepared: Prepared
    test_set: TestSet


def extend(
    job: Job,
    *,
    test: Path | Arrays | None = None,
    losses: tuple[str, ...] = (),
    name: str | None = None,
    screen: Screen | None = None,
    stopping: StopRequest | None = None,
) -> JobResult:
    """Losses of the job's kept models on new test instances, or other losses on its own; the results on these.

    test: a file as `data.test`, or (features, labels). losses: of which losses; default those that the job keeps.
    name: what to call it; default the file's stem, or the losses. What was done before is not done again.
    Raises JobError, StoreRefused where models were not kept, Interrupted, and what `run` raises.
    """
    screen = Screen() if screen is None else screen
    stopping = StopRequest() if stopping is None else stopping
    tracker, prepared = open_tracker(job, Patience(screen.say, stopping)), prepare(job, screen.say)
    with tracker.lease():
        parent = tracker.find_job_run()
        if parent is None or parent.fingerprints is None:
            raise no_results(job)
        refuse_other_data(parent, prepared)
        runs = tracker.campaign_runs()
        moved = moved_rows(prepared, runs)
        store = loss_store(prepared.loaded, prepared.fingerprints, runs, moved=moved)
        store.refresh()
        asked = {campaign.id for campaign in prepared.campaigns if campaign.design.name != "walk"}
        campaigns = [read_campaign(prepared.loaded, store, run) for run in runs if run.campaign_id in asked]
        if not campaigns:
            raise JobError("no campaign of this job has models", mend="add a campaign that retrains on subsets")
        extension = _extension(prepared, test, losses, name, kept=campaigns[0].losses)
        side = side_store(runs, prepared, extension.test_set, moved)
        side.refresh()
        stores = {run.campaign_id: run.chunk_store() for run in runs}
        tasks = side_tasks([each.plan for each in campaigns], store, side, stores)
        if tasks:
            with tracker.patience.at_once():  # the loop waits by itself
                _carry_out(extension, tasks, runs, stores, side, screen, stopping)
        else:
            screen.say(f"{extension.test_set.name}: everything is in the store already")
        keep_test_set(tracker, parent.run_id, extension.test_set)
        return on_test_set(prepared, tracker, extension.test_set, loaded=extension.prepared.loaded)


def _extension(
    prepared: Prepared, test: Path | Arrays | None, losses: tuple[str, ...], name: str | None, *, kept: tuple[str, ...]
) -> _Extension:
    if test is None and not losses:
        raise JobError("nothing to extend by", mend="give --test FILE, --losses NAME,..., or both")
    learner = prepared.job.learner
    if isinstance(learner, FunctionSpec):
        raise LearnerError("learner.kind: function: a function of yours keeps no models that could be asked again")
    loaded = prepared.loaded if test is None else with_test_set(prepared.job, prepared.loaded, test)
    wanted = kept_losses(losses or kept, loaded.dataset.task, kind=learner.kind)
    train = test is None and learner.train_losses
    spec = replace(learner, losses=cast("tuple[LossName, ...]", wanted), train_losses=train)
    job = prepared.job.model_copy(update={"learner": spec})
    version = fingerprints(loaded, learner, prepared.code).test
    chosen = name or ("+".join(losses) if test is None else test.stem if isinstance(test, Path) else "extended")
    if _NAME.fullmatch(chosen) is None:
        raise JobError(f"{chosen[:80]!r} cannot name a test set", where="--name", mend="letters, digits, . _ + and -")
    test_set = TestSet(chosen, version, loaded.dataset.n_test, wanted, train, loaded.test_source.name)
    prints = replace(prepared.fingerprints, test=version)
    return _Extension(replace(prepared, job=job, loaded=loaded, fingerprints=prints), test_set)


def _carry_out(
    extension: _Extension,
    tasks: list[SideTask],
    runs: list[CampaignRun],
    stores: dict[str, ChunkStore],
    side: LossStore,
    screen: Screen,
    stopping: StopRequest,
) -> None:
    prepared, job = extension.prepared, extension.prepared.job
    facts = {run.campaign_id: _facts(extension, run.campaign_id) for run in runs}
    setup = WorkerSetup(
        learner=job.learner,
        data=prepared.loaded.dataset,
        code=prepared.code,
        device=device_of(job),
        together=max(task.together for task in tasks),
        campaigns={
            run.campaign_id: CampaignPlace(address=run.chunks_address, facts=facts[run.campaign_id], witness=PLAN_FILE)
            for run in runs
            if PLAN_FILE in stores[run.campaign_id].names()
        },
    )
    recorder = _SideRecorder(extension.test_set.name, facts, stores, side, screen, sum(task.rows for task in tasks))
    pool = start_workers(job, setup, runs[0].chunks_address, screen.say)
    try:
        summary = carry_out(
            iter(tasks),
            pool,
            recorder,
            policy=Policy(time_limit=job.workers.time_limit),
            clock=time.monotonic,
            stopping=stopping,
        )
    finally:
        pool.close()
    screen.finish(recorder.line())
    if summary.interrupted:
        what = f"stopped after {recorder.done:,} of {recorder.planned:,} models"
        raise Interrupted(what, signal_number=stopping.signal_number, mend="the same command goes on")


def _facts(extension: _Extension, campaign: str) -> ChunkFacts:
    data, test_set = extension.prepared.loaded.dataset, extension.test_set
    return ChunkFacts(
        campaign=campaign,
        fingerprints=extension.prepared.fingerprints,
        n=data.n,
        n_test=data.n_test,
        losses=test_set.losses,
        train_losses=test_set.losses if test_set.train_losses else (),
        precision=extension.prepared.job.store.precision,
    )


@dataclass
class _SideRecorder:
    """Counts models asked, and writes the failures of those whose losses are no numbers."""

    name: str
    facts: dict[str, ChunkFacts]
    stores: dict[str, ChunkStore]
    side: LossStore
    screen: Screen
    planned: int
    done: int = 0
    failures: int = 0
    began: float = field(default_factory=time.monotonic)

    def stored(self, task: ChunkTask, receipt: Receipt) -> None:
        """Count a file that is in the store."""
        self.side.add(task.campaign, receipt.name)
        self.done += receipt.rows

    def failed(self, task: ChunkTask, failure: Failure, attempts: int) -> None:
        """Write the failure row of a model whose losses could not be had."""
        name, content = failure_chunk(task, failure, attempts, self.facts[task.campaign])
        self.stores[task.campaign].put(name, content)
        self.side.add(task.campaign, name)
        self.done, self.failures = self.done + 1, self.failures + 1

    def tick(self, progress: Progress) -> None:
        """Show progress."""
        self.screen.progress(self.line(progress.note))

    def line(self, note: str = "") -> ProgressLine:
        """Models asked so far."""
        seconds = time.monotonic() - self.began
        return ProgressLine(self.name, self.done, self.planned, 0, self.failures, seconds, note)
