"""A job's results on a test set that it was extended by."""

from dataclasses import replace

from orchestrator.campaign import Campaign
from orchestrator.data.axes import NO_AXES
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import JobError
from orchestrator.extension.test_sets import TestSet, read_test_sets, side_store, test_set_named
from orchestrator.jobs.job import Job
from orchestrator.preparation import Prepared, prepare
from orchestrator.results import JobResult, no_results, open_tracker, read_campaign
from orchestrator.store.loss_store import LossStore
from orchestrator.tracking.runs import CampaignRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.versions import moved_rows, refuse_other_data


def open_on_test_set(job: Job, name: str) -> JobResult:
    """The results of a job on the test set of that name, read only.

    Raises JobError where the job was not extended by it, StoreRefused where the job's data are others than the store's.
    """
    tracker = open_tracker(job)
    parent = tracker.find_job_run()
    if parent is None or parent.fingerprints is None:
        raise no_results(job)
    prepared = prepare(job, _quiet)
    refuse_other_data(parent, prepared)
    test_set = test_set_named(read_test_sets(tracker, parent.run_id), name)
    return on_test_set(prepared, tracker, test_set, loaded=prepared.loaded)


def on_test_set(prepared: Prepared, tracker: Tracker, test_set: TestSet, *, loaded: LoadedData) -> JobResult:
    """The results of a prepared job on a test set. loaded: the data with that test set, where they are at hand."""
    runs = tracker.campaign_runs()
    side = side_store(runs, prepared, test_set, moved_rows(prepared, runs))
    side.refresh()
    ids = {each.id for each in prepared.campaigns if each.design.name != "walk"}
    campaigns = [_campaign(prepared, run, side, test_set) for run in runs if run.campaign_id in ids]
    return JobResult(prepared.job, loaded, tuple(campaigns), test_set=test_set.name)


def _campaign(prepared: Prepared, run: CampaignRun, side: LossStore, test_set: TestSet) -> Campaign:
    try:
        campaign = read_campaign(prepared.loaded, side, run)
    except JobError as error:
        what = f"campaign {run.name} has no losses on the test set {test_set.name} yet"
        raise JobError(what, mend="apportion extend JOB, as it was begun, goes on") from error
    return replace(campaign, losses=test_set.losses, has_train_losses=test_set.train_losses, axes=NO_AXES)


def _quiet(text: str) -> None:
    del text
