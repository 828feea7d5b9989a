"""A job's results, read from its store: after a run, while one runs elsewhere, or years later."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from estimators.errors import EstimatorError
from estimators.influence import Influence, InstanceValues
from estimators.methods.value_label import parsed_label
from estimators.naming import entry_named
from estimators.registry import VALUES
from orchestrator.campaign import Campaign
from orchestrator.data.axes import axes_of
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import JobError
from orchestrator.gradients.reading import gradient_spec, stored_gradient, stored_values
from orchestrator.gradients.values import GradientValues
from orchestrator.influences.work import InfluencePool
from orchestrator.jobs.job import Job
from orchestrator.loss_stores import loss_store
from orchestrator.plan import PLAN_FILE, Plan, PlanFacts
from orchestrator.pooling import pooled
from orchestrator.preparation import Prepared, prepare
from orchestrator.store.loss_store import LossStore
from orchestrator.store.loss_table import LossTable
from orchestrator.store.read_cache import cached_rows
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.patience import NO_PATIENCE, Patience
from orchestrator.tracking.runs import CampaignRun, JobRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.versions import DRAWS_TAG as DRAWS_TAG  # noqa: PLC0414 - others take it from here
from orchestrator.versions import continued, moved_rows, refuse_other_data
from orchestrator.wanted_losses import plan_of
from workers.errors import ChunkError

POOLED = "pooled"
"""In place of a campaign's name: all whose designs have a law of sizes."""

RETRAINS_TAG = "apportion.retrains"
"""Different retrains planned: the draws without those drawn twice, and the ends."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job has in its store. report: the HTML page, where one was written; headline: what it says first.

    test_set: the name of the test set that the losses are on, where it is not the job's own.
    """

    job: Job
    loaded: LoadedData
    campaigns: tuple[Campaign, ...]
    report: Path | None = None
    headline: tuple[str, ...] = ()
    test_set: str = ""

    @property
    def train_names(self) -> tuple[str, ...]:
        """Names of the players for people: the data's own, groups' names, or positions."""
        data = self.loaded.dataset
        if data.groups is not None:
            return data.group_names or tuple(str(group) for group in range(data.n))
        return self.loaded.train_names or tuple(str(i) for i in range(data.n))

    @property
    def store(self) -> LossTable:
        """The stored losses for questions of your own: `result.store.losses(containing=[17], test=[5])`.

        Answered from the read cache beside the job file, which is made anew where the store has grown. Raises
        StoreRefused where a chunk is damaged, ResourceMissing where the cache cannot be written.
        """
        return LossTable(cached_rows(self.campaigns[0].store, cache_folder(self.job)))

    def extend(
        self,
        *,
        test: "Path | tuple[object, object] | None" = None,
        losses: tuple[str, ...] = (),
        name: str | None = None,
    ) -> "JobResult":
        """The results on new test instances, or of other losses, from kept models (`keep: true` in the learner).

        test: a file as the job's `data.test`, or (features, labels). See `orchestrator.extension.extend.extend`.
        """
        from orchestrator.extension.extend import extend  # noqa: PLC0415 - it needs what this module gives

        return extend(self.job, test=test, losses=losses, name=name)

    def campaign(self, name: str) -> Campaign:
        """The campaign of that name or id; raises JobError naming those there are."""
        for campaign in self.campaigns:
            if name in {campaign.name, campaign.id}:
                return campaign
        known = ", ".join(campaign.name for campaign in self.campaigns)
        raise JobError(f"no campaign {name!r} in job {self.job.name!r}", mend=f"campaigns: {known}")

    def values(
        self,
        value: str,
        *,
        loss: str | None = None,
        campaign: str | None = None,
        of: str | None = None,
        over: str | None = None,
        pool: InfluencePool | None = None,
    ) -> Influence | InstanceValues:
        """A value with standard errors, from the campaign named or the first that permits it.

        campaign: "pooled" takes all campaigns whose designs have a law of sizes, under the mixture of their laws, which
        is also taken where none permits it alone; the others: see `Campaign.values`. Raises EstimatorError with why.
        """
        spec = gradient_spec(self.job, value)
        if spec is not None:
            return stored_gradient(self.job, self.loaded, spec, others=of or over or self.test_set)
        known = [*VALUES, *(each.label for each in self.job.gradients)]
        entry_named(parsed_label(value)[0], dict.fromkeys(known), kind="value")
        together = pooled(self.campaigns)
        alone = any(not each.why_not(value) for each in self.campaigns)
        if together is not None and (campaign == POOLED or (campaign is None and not alone)):
            if campaign == POOLED or not together.why_not(value):
                return together.values(value, loss=loss, of=of, over=over, pool=pool)
        elif campaign == POOLED:
            raise EstimatorError("less than two campaigns of this job have a law of sizes: there is nothing to pool")
        return self.campaign_for(value, campaign).values(value, loss=loss, of=of, over=over, pool=pool)

    def gradient(self, label: str) -> GradientValues:
        """Everything that an entry of the job's `gradients` gave: values, self-influence, top lists, facts of solvers.

        Raises JobError where there is no such entry, or it is not whole in the store yet.
        """
        spec = gradient_spec(self.job, label)
        if spec is None:
            known = ", ".join(each.label for each in self.job.gradients) or "none"
            raise JobError(f"no gradient method {label!r} in job {self.job.name!r}", mend=f"gradients: {known}")
        return stored_values(self.job, self.loaded, spec)

    def campaign_for(self, value: str, campaign: str | None = None) -> Campaign:
        """The campaign named, or the first that permits the value; raises EstimatorError with each one's reason."""
        if campaign is not None:
            return self.campaign(campaign)
        reasons = []
        for each in self.campaigns:
            reason = each.why_not(value)
            if not reason:
                return each
            reasons.append(f"{each.name}: {reason}")
        raise EstimatorError(f"no campaign of this job permits {value}: " + "; ".join(reasons))


def cache_folder(job: Job) -> Path:
    """Where the read cache of a job's store is; it may be deleted at any time."""
    return job.folder / ".apportion" / "cache" / job.name


def open_result(job: Job) -> JobResult:
    """The results of a job so far, read only; a campaign that is not finished gives its complete prefix.

    Raises JobError where the job has no store yet, StoreRefused where the data are others than the store's.
    """
    opened = open_stored(job)
    campaigns = tuple(read_campaign(opened.loaded, opened.store, run) for run in opened.runs_of_job)
    return JobResult(job, opened.loaded, campaigns)


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job's store opened to read, whether its campaigns have values yet or not. runs: of all campaigns in it."""

    prepared: Prepared
    tracker: Tracker
    parent: JobRun
    runs: tuple[CampaignRun, ...]
    store: LossStore

    @property
    def job(self) -> Job:
        """The job."""
        return self.prepared.job

    @property
    def loaded(self) -> LoadedData:
        """Its data."""
        return self.prepared.loaded

    @property
    def wanted(self) -> frozenset[str]:
        """Ids of the campaigns that the job names."""
        return frozenset(campaign.id for campaign in self.prepared.campaigns)

    @property
    def runs_of_job(self) -> list[CampaignRun]:
        """The runs of the campaigns that the job names."""
        return [run for run in self.runs if run.campaign_id in self.wanted]


def open_stored(job: Job) -> StoredJob:
    """The store of a job as it is now; raises as `open_result`, but for campaigns without values."""
    stored = stored_job(job)
    stored.store.refresh()
    return stored


def stored_job(job: Job) -> StoredJob:
    """The same with no chunk looked at yet: what is damaged is not refused."""
    tracker = open_tracker(job)
    parent = tracker.find_job_run()
    if parent is None or parent.fingerprints is None:
        raise no_results(job)
    prepared = prepare(job, lambda _: None)
    refuse_other_data(parent, prepared)
    runs, wanted = tracker.campaign_runs(), {campaign.id for campaign in prepared.campaigns}
    known = _readable_plans(run for run in runs if run.campaign_id in wanted)
    store = loss_store(prepared.loaded, prepared.fingerprints, runs, plans=known, moved=moved_rows(prepared, runs))
    return StoredJob(prepared, tracker, parent, tuple(runs), store)


def _readable_plans(runs: Iterable[CampaignRun]) -> dict[str, PlanFacts]:
    """The plans of campaigns that have one; a damaged one is refused by whoever needs it, and named by `verify`."""
    found = {}
    for run in runs:
        with suppress(ChunkError):
            if (plan := plan_of(run)) is not None:
                found[run.campaign_id] = plan
    return found


def open_tracker(job: Job, patience: Patience = NO_PATIENCE) -> Tracker:
    """The job's store, to read; raises JobError where there is none."""
    prepare_environment()
    tracker = Tracker.open(job.store, job.folder, job.name, create=False, patience=patience)
    if tracker is None:
        raise no_results(job)
    return tracker


def no_results(job: Job) -> JobError:
    """The error of a job that was never started."""
    return JobError(f"job {job.name!r} has no results yet", mend=f"start it: apportion run {job.origin.path or 'JOB'}")


def read_campaign(loaded: LoadedData, store: LossStore, run: CampaignRun) -> Campaign:
    """A campaign as its store has it: the plan that was stored, as many draws as are complete.

    Raises JobError where it has none yet: no plan, or end rows or first draws that are still to be trained.
    """
    chunks = run.chunk_store()
    if PLAN_FILE not in chunks.names():
        raise _nothing_yet(run)
    facts, asked = PlanFacts.decode(chunks.get(PLAN_FILE)), int(run.tags.get(DRAWS_TAG, "0"))
    design = continued(facts, facts.design_of(loaded.material), chunks, loaded)
    plan = Plan(facts, design, loaded.train_identities, asked)
    campaign = Campaign(
        name=run.name,
        plan=plan,
        store=store,
        losses=facts.losses,
        deterministic=facts.deterministic,
        has_train_losses=facts.train_losses,
        asked=asked,
        axes=axes_of(loaded),
    )
    complete = campaign.complete_prefix()
    if not complete or store.missing(plan.end_rows().ids):
        raise _nothing_yet(run)
    return replace(campaign, plan=plan.cut(complete))


def _nothing_yet(run: CampaignRun) -> JobError:
    return JobError(
        f"campaign {run.name} has no values yet: its first retrains, or those of the whole training set and of the "
        "empty subset, are not stored",
        mend="let it run on, or go on: apportion resume JOB",
    )
