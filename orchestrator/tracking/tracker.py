"""A job's store in MLflow: an experiment named as the job, one parent run, a child run for each campaign.

    tracker = Tracker.open(job.store, job.folder, job.name, say=print)
    with tracker.lease():
        parent = tracker.job_run(fingerprints=..., tags=..., description=...)
        run = tracker.campaign_run(campaign_id, name=..., parameters=..., tags=..., inputs=..., description=...)

Readers (`status`, `values`) take no lease and make nothing. MLflow's client must not be used in a forked process.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from orchestrator.errors import StoreRefused
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.artifacts import Artifacts, LocalArtifacts, ServerArtifacts, local_root, not_proxied
from orchestrator.tracking.board import ExperimentBoard
from orchestrator.tracking.client import connect, our_words
from orchestrator.tracking.inputs import DataInput
from orchestrator.tracking.lease import Lease, Timing
from orchestrator.tracking.metric_points import Point
from orchestrator.tracking.new_database import NewDatabase
from orchestrator.tracking.place import LocalPlace, Place, tracking_place
from orchestrator.tracking.run_texts import (
    CAMPAIGN,
    JOB_NAME,
    KIND,
    Value,
    fingerprint_tags,
    fingerprints_of,
)
from orchestrator.tracking.writer import RunWriter
from workers.chunk_types import Fingerprints

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class JobRun:
    """The parent run of a job. fingerprints: of the data and the learner that its store is for."""

    run_id: str
    status: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    fingerprints: Fingerprints | None


@dataclass(frozen=True, slots=True)
class CampaignRun:
    """The run of a campaign. chunks_address: for `workers.stores.open_chunk_store`, on any machine that reaches it."""

    run_id: str
    campaign_id: str
    name: str
    chunks_address: str
    status: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


# Without the kind, MLflow's pages take an experiment for one of language models.
_EXPERIMENT = {KIND: "job", "mlflow.experimentKind": "custom_model_development"}


class Tracker:
    """One job's experiment. Every method raises ResourceMissing where the store does not answer."""

    def __init__(self, client: Any, place: Place, experiment_id: str, *, job: str, artifacts: Artifacts) -> None:
        self._client = client
        self.artifacts = artifacts
        self._writer = RunWriter(client, experiment_id, artifacts, shown=place.shown)
        self.place = place
        self.experiment_id = experiment_id
        self.job = job

    @classmethod
    def open(
        cls,
        store: StoreSpec,
        folder: Path,
        experiment: str,
        *,
        create: bool = True,
        say: Callable[[str], None] = print,
        making: NewDatabase | None = None,
    ) -> Self | None:
        """The tracker of a job's store. create: make what is not there; otherwise None where the job is not there.

        making: its SQLite file, begun before.

        Raises JobError for an address that cannot be meant, ResourceMissing for a store that does not answer (a
        server within 10 s), StoreRefused for a deleted experiment or a damaged file.
        """
        place = tracking_place(store, folder, experiment)
        if not create and isinstance(place, LocalPlace) and not place.database.exists():
            return None
        client = connect(place, experiment=experiment, create=create, say=say, making=making)
        with our_words(place.shown):
            found = client.get_experiment_by_name(experiment)
            if found is None and not create:
                return None
            if found is None:
                found = _new_experiment(client, place, experiment)
            if found.lifecycle_stage == "deleted":
                raise _deleted(found, place)
            artifacts = _artifacts(client, place, found)
        return cls(client, place, found.experiment_id, job=experiment, artifacts=artifacts)

    def lease(self, *, timing: Timing | None = None) -> Lease:
        """Take the job's lease, or raise StoreRefused that names who holds it."""
        lock = None
        if isinstance(self.place, LocalPlace):
            lock = self.place.database.parent / ".apportion" / f"{self.job}.lock"
        return Lease.take(self.board(), job=self.job, lock_file=lock, timing=timing)

    def find_job_run(self) -> JobRun | None:
        """The parent run, None where there is none yet."""
        runs = [run for run in self._runs() if run.data.tags.get(KIND) == "job"]
        return _job_run(min(runs, key=_age)) if runs else None

    def job_run(
        self,
        *,
        fingerprints: Fingerprints,
        parameters: Mapping[str, Value] | None = None,
        tags: Mapping[str, Value] | None = None,
        inputs: Sequence[DataInput] = (),
        description: str = "",
    ) -> JobRun:
        """The parent run, made if need be, as RUNNING; to be called under the lease.

        Raises StoreRefused where it is of other data, another learner or other code.
        """
        found = self.find_job_run()
        if found is not None and found.fingerprints is not None and found.fingerprints != fingerprints:
            parts = ", ".join(found.fingerprints.differing(fingerprints))
            raise StoreRefused(
                f"job {self.job!r} has retrains of another {parts} in {self.place.shown}",
                mend="give the changed job another name, or put back what was changed",
            )
        own = {KIND: "job", JOB_NAME: self.job, **fingerprint_tags(fingerprints)}
        run_id = self._writer.make(self.job, own) if found is None else found.run_id
        there = {} if found is None else found.parameters
        changed = self._writer.parameters(run_id, parameters or {}, there=there)
        self._writer.describe(run_id, tags={**own, **(tags or {}), **changed}, description=description)
        self._writer.inputs(run_id, inputs)
        with our_words(self.place.shown):
            self._client.update_run(run_id, status="RUNNING")
            return _job_run(self._client.get_run(run_id))

    def campaign_run(
        self,
        campaign_id: str,
        *,
        name: str,
        parent: JobRun,
        parameters: Mapping[str, Value],
        tags: Mapping[str, Value] | None = None,
        inputs: Sequence[DataInput] = (),
        description: str = "",
    ) -> CampaignRun:
        """The run of a campaign, made if need be, as RUNNING; to be called under the lease.

        A parameter that has changed since (a raised budget) cannot be changed in MLflow: its new value stands in the
        tag `apportion.now.<parameter>`.
        """
        found = next((run for run in self.campaign_runs() if run.campaign_id == campaign_id), None)
        own = {
            KIND: "campaign",
            CAMPAIGN: campaign_id,
            JOB_NAME: self.job,
            "mlflow.parentRunId": parent.run_id,
        }
        run_id = self._writer.make(name, own) if found is None else found.run_id
        changed = self._writer.parameters(run_id, parameters, there=found.parameters if found else {})
        self._writer.describe(run_id, tags={**own, **(tags or {}), **changed}, description=description)
        self._writer.inputs(run_id, inputs)
        with our_words(self.place.shown):
            self._client.update_run(run_id, status="RUNNING")
            return self._campaign_run(self._client.get_run(run_id))

    def campaign_runs(self) -> list[CampaignRun]:
        """All campaigns of the job, oldest first."""
        runs = [run for run in self._runs() if run.data.tags.get(CAMPAIGN) and run.data.tags.get(KIND) == "campaign"]
        return [self._campaign_run(run) for run in sorted(runs, key=_age)]

    def set_tags(self, run_id: str, tags: Mapping[str, Value]) -> None:
        """Set tags of a run, over older ones of the same names."""
        self._writer.describe(run_id, tags=tags, description="")

    def describe(self, run_id: str, description: str) -> None:
        """Set a run's description (Markdown)."""
        self._writer.describe(run_id, tags={}, description=description)

    def put(self, run_id: str, path: str, content: str | bytes) -> str:
        """Keep a file with a run, over an older one of that path; returns where a person finds it."""
        with our_words(self.place.shown):
            self.artifacts.put(run_id, path, content.encode() if isinstance(content, str) else content)
        return self.artifacts.shown(run_id, path)

    def get(self, run_id: str, path: str) -> bytes | None:
        """A file kept with a run, None where there is none."""
        with our_words(self.place.shown):
            return self.artifacts.get(run_id, path)

    def files_address(self, run_id: str) -> str:
        """The address of a run's store of files, for `workers.stores.open_chunk_store`."""
        return self.artifacts.chunks_address(run_id, self._client.get_run(run_id).info.artifact_uri)

    def finish(self, run_id: str, status: Status) -> None:
        """Mark a run as ended: FINISHED, FAILED, or KILLED for one that was interrupted and can be resumed."""
        with our_words(self.place.shown):
            self._client.set_terminated(run_id, status=status)

    def send(self, run_id: str, points: Sequence[Point]) -> None:
        """Send metrics (for the journal, from its thread); twice the same is harmless. Raises Unsendable."""
        self._writer.send(run_id, points)

    def ui_command(self) -> str:
        """What to type, or which address to open, to see this store in MLflow's pages."""
        if isinstance(self.place, LocalPlace):
            return shlex.join(["mlflow", "ui", "--backend-store-uri", self.place.tracking_uri])
        return f"{self.place.shown}/#/experiments/{self.experiment_id}"

    def latest_metrics(self, run_id: str) -> dict[str, float]:
        """The last point of each metric that MLflow has of a run."""
        with our_words(self.place.shown):
            return dict(self._client.get_run(run_id).data.metrics)

    def board(self) -> ExperimentBoard:
        """Where the job's lease stands: who leads, who led last, and requests to stop."""
        return ExperimentBoard(self._client, self.experiment_id, shown=self.place.shown)

    def _runs(self) -> list[Any]:
        with our_words(self.place.shown):
            found: list[Any] = []
            page = None
            while True:
                runs = self._client.search_runs([self.experiment_id], max_results=1000, page_token=page)
                found += runs
                page = runs.token
                if not page:
                    return found

    def _campaign_run(self, run: Any) -> CampaignRun:
        return CampaignRun(
            run_id=run.info.run_id,
            campaign_id=run.data.tags[CAMPAIGN],
            name=run.info.run_name,
            chunks_address=self.artifacts.chunks_address(run.info.run_id, run.info.artifact_uri),
            status=run.info.status,
            parameters=dict(run.data.params),
            tags=dict(run.data.tags),
        )


def _new_experiment(client: Any, place: Place, experiment: str) -> Any:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import

    location = None
    if isinstance(place, LocalPlace):
        place.artifacts.mkdir(parents=True, exist_ok=True, mode=0o700)
        location = place.artifacts.as_uri()
    try:
        client.create_experiment(experiment, artifact_location=location, tags=_EXPERIMENT)
    except MlflowException as error:
        # Another driver was quicker: names are unique, so that one's is ours.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_experiment_by_name(experiment)


def _artifacts(client: Any, place: Place, experiment: Any) -> Artifacts:
    if isinstance(place, LocalPlace):
        has_runs = bool(client.search_runs([experiment.experiment_id], max_results=1))
        return LocalArtifacts(local_root(place, experiment.artifact_location, has_runs=has_runs))
    if not experiment.artifact_location.startswith("mlflow-artifacts:"):
        raise not_proxied(place, experiment.artifact_location)
    return ServerArtifacts(client, place)


def _deleted(experiment: Any, place: Place) -> StoreRefused:
    restore = shlex.join(["mlflow", "experiments", "restore", "--experiment-id", experiment.experiment_id])
    return StoreRefused(
        f"the experiment {experiment.name!r} at {place.shown} (id {experiment.experiment_id}) has been deleted",
        mend=f"bring it back: MLFLOW_TRACKING_URI={shlex.quote(place.shown)} {restore}; or give the job another name",
    )


def _job_run(run: Any) -> JobRun:
    tags = dict(run.data.tags)
    return JobRun(run.info.run_id, run.info.status, dict(run.data.params), tags, fingerprints_of(tags))


def _age(run: Any) -> tuple[int, str]:
    return (run.info.start_time, run.info.run_id)
