"""A job in its store, under its lease: the parent run, the campaigns' runs, their plans and their rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from estimators.arrays import ByteArray
from estimators.designs.stopping import truncated_walks
from estimators.designs.walk import Walk
from orchestrator.campaign import Campaign
from orchestrator.checkpoints import checkpoint_place
from orchestrator.data.axes import axes_of
from orchestrator.describing import campaign_description, campaign_parameters, job_description, job_parameters
from orchestrator.driver_log import driver_log, kept_folder
from orchestrator.fingerprint import train_kind
from orchestrator.jobs.job_text import replayable
from orchestrator.launching.parcel import KEPT, parcel_here
from orchestrator.loss_stores import loss_store
from orchestrator.pilot import stored_bytes
from orchestrator.plan import PLAN_FILE, Plan, PlanFacts, chunk_rows, end_replicates, rows_of_walks
from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.results import DRAWS_TAG
from orchestrator.store.compaction import write_manifest
from orchestrator.store.loss_store import LossStore
from orchestrator.store.manifest import MANIFEST_TAG
from orchestrator.together_choice import ChoiceOfTogether
from orchestrator.tracking.inputs import DataInput, data_inputs
from orchestrator.tracking.journal import Journal
from orchestrator.tracking.lease import Lease
from orchestrator.tracking.provenance import git_commit, versions
from orchestrator.tracking.run_texts import Value
from orchestrator.tracking.runs import CampaignRun, JobRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.versions import KIND_TAG, VERSION_TAG, continued, moved_rows, pool_for, refuse_other_data, with_pool
from workers.chunk_store import ChunkStore
from workers.identity_file import Role, encode_identities, identities_name
from workers.smoke import SmokeReport
from workers.training import ChunkFacts

FILES_WITHOUT_MANIFEST = 64
"""Opening fewer files than this costs less than 0.1 s on a local disk."""

ROWS_WITHOUT_MANIFEST = 50_000
"""Rows of files cost 10 us each to take in, those of a manifest 2 us."""


@dataclass(frozen=True, slots=True)
class OpenCampaign:
    """A campaign with its run and its chunk store, ready to be carried out."""

    planned: PlannedCampaign
    run: CampaignRun
    chunks: ChunkStore
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a driver holds while it leads a job."""

    prepared: Prepared
    tracker: Tracker
    lease: Lease
    parent: JobRun
    journal: Journal
    store: LossStore
    campaigns: tuple[OpenCampaign, ...]

    def facts(self, opened: OpenCampaign) -> ChunkFacts:
        """What stands in the header of each of the campaign's chunks."""
        data, plan = self.prepared.loaded.dataset, opened.campaign.plan.facts
        return ChunkFacts(
            campaign=opened.planned.id,
            fingerprints=self.prepared.fingerprints,
            n=data.n,
            n_test=data.n_test,
            losses=plan.losses,
            train_losses=plan.losses if plan.train_losses else (),
            keep=self.prepared.job.learner.keep,
            checkpoints=checkpoint_place(self.prepared.job, opened.chunks.address),
            precision=self.prepared.job.store.precision,
        )


@contextmanager
def open_session(
    prepared: Prepared,
    tracker: Tracker,
    choice: ChoiceOfTogether,
    report: Callable[[], SmokeReport],
    workers: int,
    say: Callable[[str], None],
) -> Iterator[Session]:
    """Take the lease and open or make the job's runs and plans.

    choice: of K, which the job's run remembers.
    report: what the learner showed of itself in its smoke retrain, asked for only where a plan has to be made.
    Raises StoreRefused where another driver leads or the store is of other data, learner or code.
    """
    with tracker.lease() as lease:
        known = tracker.find_job_run()
        if known is not None:
            refuse_other_data(known, prepared)
        first = prepared.fingerprints if known is None else known.fingerprints or prepared.fingerprints
        parent = tracker.job_run(
            fingerprints=first,
            parameters=job_parameters(prepared),
            tags=_tags(prepared) | {KIND_TAG: train_kind(prepared.loaded)},
            inputs=_inputs(prepared),
            description=job_description(prepared),
        )
        tracker.put(parent.run_id, "job.yaml", replayable(prepared.job))
        parcel = parcel_here(prepared.job.folder)
        if parcel is not None:  # it was sent to a cluster: `resume` by its name sends it again
            tracker.put(parent.run_id, KEPT, parcel)
        choice.recall_or_keep(tracker, parent)
        journal = Journal.open(kept_folder(prepared.job, parent.run_id), tracker.send, say=say)
        try:
            runs = [_campaign_run(prepared, tracker, parent, each) for each in prepared.campaigns]
            everyone = tracker.campaign_runs()
            plans = {
                each.id: _plan(prepared, each, run, everyone, report, workers)
                for each, run in zip(prepared.campaigns, runs, strict=True)
            }
            moved = moved_rows(prepared, everyone)
            store = loss_store(prepared.loaded, prepared.fingerprints, everyone, plans=plans, moved=moved)
            store.refresh(listing=True)
            _list_again(tracker, runs)
            campaigns = tuple(
                _open(prepared, each, run, store, plans[each.id])
                for each, run in zip(prepared.campaigns, runs, strict=True)
            )
            with driver_log(kept_folder(prepared.job, parent.run_id)):
                yield Session(prepared, tracker, lease, parent, journal, store, campaigns)
        finally:
            waiting = journal.close()
            if waiting:
                say(f"{waiting} metric points wait on disk for the tracking server; the next run sends them")


def _list_again(tracker: Tracker, runs: list[CampaignRun]) -> None:
    """What is written from now on stands in no manifest: readers list these campaigns until they have ended."""
    for run in runs:
        if run.tags.get(MANIFEST_TAG):
            tracker.set_tags(run.run_id, {MANIFEST_TAG: ""})


def keep_manifests(session: Session) -> None:
    """List the rows of campaigns of many files, so that readers need not open each of them."""
    for opened in session.campaigns:
        rows = session.store.rows_of(opened.planned.id)
        files = {file for file, _, _ in rows.values()}
        if len(files) >= FILES_WITHOUT_MANIFEST or len(rows) >= ROWS_WITHOUT_MANIFEST:
            name = write_manifest(session.store, opened.planned.id, rows)
            session.tracker.set_tags(opened.run.run_id, {MANIFEST_TAG: name})


def _tags(prepared: Prepared) -> dict[str, Value]:
    tags: dict[str, Value] = {f"version.{name}": version for name, version in versions().items()}
    return tags | {"git_commit": git_commit(prepared.job.folder) or "none"}


def _inputs(prepared: Prepared) -> tuple[DataInput, ...]:
    loaded = prepared.loaded
    train, test = loaded.train_source, loaded.test_source
    return data_inputs(loaded.dataset, sources=(train.name, test.name), digests=(train.digest, test.digest))


def _campaign_run(prepared: Prepared, tracker: Tracker, parent: JobRun, planned: PlannedCampaign) -> CampaignRun:
    run = tracker.campaign_run(
        planned.id,
        name=planned.name,
        parent=parent,
        parameters=campaign_parameters(prepared, planned),
        tags={**_tags(prepared), DRAWS_TAG: planned.draws, VERSION_TAG: prepared.fingerprints.train},
        inputs=_inputs(prepared),
        description=campaign_description(prepared, planned),
    )
    tracker.put(run.run_id, "job.yaml", replayable(prepared.job))
    return run


def _plan(
    prepared: Prepared,
    planned: PlannedCampaign,
    run: CampaignRun,
    runs: list[CampaignRun],
    report: Callable[[], SmokeReport],
    workers: int,
) -> PlanFacts:
    """The plan that stands beside the chunks, decided and put there where there is none."""
    chunks = run.chunk_store()
    if PLAN_FILE in chunks.names():
        return PlanFacts.decode(chunks.get(PLAN_FILE))
    facts = _decided(prepared, planned, report(), workers)
    _put_identities(prepared, chunks)
    pool = pool_for(prepared, planned, runs)
    if pool is not None:
        chunks.put(*pool.encode())
        chunks.put(identities_name("train", pool.version), pool.identities_file())
        facts = with_pool(facts, pool, prepared.fingerprints.train)
    chunks.put(PLAN_FILE, facts.encode())
    return facts


def _open(
    prepared: Prepared, planned: PlannedCampaign, run: CampaignRun, store: LossStore, facts: PlanFacts
) -> OpenCampaign:
    chunks, loaded = run.chunk_store(), prepared.loaded
    design = continued(facts, facts.design_of(loaded.material), chunks, loaded) if facts.pool else planned.design
    campaign = Campaign(
        name=planned.name,
        plan=Plan(facts, design, loaded.train_identities, planned.draws),
        store=store,
        losses=facts.losses,
        deterministic=facts.deterministic,
        has_train_losses=facts.train_losses,
        axes=axes_of(prepared.loaded),
    )
    return OpenCampaign(planned, run, chunks, campaign)


def _put_identities(prepared: Prepared, chunks: ChunkStore) -> None:
    """Keep the lists that the bits of `members` and the places in a row of losses refer to."""
    loaded, hashes = prepared.loaded, prepared.fingerprints
    versions_of: list[tuple[Role, str, ByteArray]] = [
        ("train", hashes.train, loaded.train_identities),
        ("test", hashes.test, loaded.test_identities),
    ]
    for role, version, identities in versions_of:
        chunks.put(identities_name(role, version), encode_identities(identities, role=role, version=version))


def _decided(prepared: Prepared, planned: PlannedCampaign, report: SmokeReport, workers: int) -> PlanFacts:
    data = prepared.loaded.dataset
    size = stored_bytes(
        1,
        data.n,
        data.n_test,
        len(report.losses),
        train_losses=report.train_losses,
        precision=prepared.job.store.precision,
        model_bytes=report.model_bytes,
    )
    ends = end_replicates(data.n, deterministic=report.traits.deterministic)
    walks = truncated_walks(planned.design)
    rows = chunk_rows(
        together=report.together,
        seconds_per_retrain=report.seconds_per_retrain,
        bytes_per_row=size,
        rows=planned.draws + ends + 1,
        workers=workers,
    )
    if isinstance(planned.design, Walk):
        rows = report.together  # a walk takes as long as many retrains, and its time is not known yet
    return PlanFacts(
        campaign=planned.id,
        design=planned.spec.design,
        parameters=planned.parameters,
        seed=planned.seed,
        learner_seed=prepared.job.learner.seed,
        n=data.n,
        together=report.together,
        chunk_rows=rows if walks is None else rows_of_walks(rows, walks.walk_rows, together=report.together),
        end_replicates=ends,
        losses=report.losses,
        train_losses=report.train_losses,
        deterministic=report.traits.deterministic,
    )


def with_draws(opened: OpenCampaign, draws: int) -> OpenCampaign:
    """The same campaign cut at `draws` draws."""
    plan = opened.campaign.plan
    cut = plan.cut(draws)
    return replace(opened, campaign=replace(opened.campaign, plan=cut))
