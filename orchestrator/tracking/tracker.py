"""A job's store in MLflow: an experiment named as the job, one parent run, a child run for each campaign.

    tracker = Tracker.open(job.store, job.folder, job.name, say=print)
    with tracker.lease():
        parent = tracker.job_run(fingerprints=..., tags=..., description=...)
        run = tracker.campaign_run(campaign_id, name=..., parameters=..., tags=..., inputs=..., description=...)

Readers (`status`, `values`) take no lease and make nothing. MLflow's client must not be used in a forked process.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from orchestrator.errors import StoreRefused
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.artifacts import Artifacts
from orchestrator.tracking.board import ExperimentBoard
from orchestrator.tracking.client import connect, our_words
from orchestrator.tracking.experiment import artifacts_of, find_experiment
from orchestrator.tracking.inputs import DataInput
from orchestrator.tracking.lease import Lease, Timing
from orchestrator.tracking.metric_points import Point
from orchestrator.tracking.new_database import NewDatabase
from orchestrator.tracking.patience import NO_PATIENCE, Patience
from orchestrator.tracking.place import LocalPlace, Place, tracking_place
from orchestrator.tracking.run_texts import CAMPAIGN, JOB_NAME, KIND, Value, fingerprint_tags
from orchestrator.tracking.runs import CampaignRun, JobRun, Status, age_of, job_run_of
from orchestrator.tracking.writer import RunWriter
from workers.chunk_types import Fingerprints

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def _patiently(
    method: Callable[Concatenate["Tracker", Given], Answer],
) -> Callable[Concatenate["Tracker", Given], Answer]:
    """A method that is harmless to carry out twice, carried out again while the store is away."""

    def asked(self: "Tracker", /, *words: Given.args, **named: Given.kwargs) -> Answer:
        return self.patience(lambda: method(self, *words, **named))

    asked.__doc__, asked.__name__ = method.__doc__, method.__name__
    return asked


class Tracker:
    """One job's experiment. Every method raises ResourceMissing where the store does not answer.

    patience: how long the methods wait for a store that is away, `send` apart, which the journal asks again itself.
    """

    def __init__(
        self,
        client: Any,
        place: Place,
        experiment_id: str,
        *,
        job: str,
        artifacts: Artifacts,
        patience: Patience = NO_PATIENCE,
    ) -> None:
        self._client = client
        self.patience = patience
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
        patience: Patience = NO_PATIENCE,
    ) -> Self | None:
        """The tracker of a job's store. create: make what is not there; otherwise None where the job is not there.

        making: its SQLite file, begun before. patience: with a store that has answered once, and then goes away.

        Raises JobError for an address that cannot be meant, ResourceMissing for a store that does not answer (a
        server within 10 s), StoreRefused for a deleted experiment or a damaged file.
        """
        place = tracking_place(store, folder, experiment)
        if not create and isinstance(place, LocalPlace) and not place.database.exists():
            return None
        client = connect(place, experiment=experiment, create=create, say=say, making=making)
        found = patience(lambda: find_experiment(client, place, experiment, create=create))
        if found is None:
            return None
        artifacts = patience(lambda: artifacts_of(client, place, found))
        return cls(client, place, found.experiment_id, job=experiment, artifacts=artifacts, patience=patience)

    def lease(self, *, timing: Timing | None = None) -> Lease:
        """Take the job's lease, or raise StoreRefused that names who holds it."""
        lock = None
        if isinstance(self.place, LocalPlace):
            lock = self.place.database.parent / ".apportion" / f"{self.job}.lock"
        return Lease.take(self.board(), job=self.job, lock_file=lock, timing=timing, patience=self.patience)

    @_patiently
    def find_job_run(self) -> JobRun | None:
        """The parent run, None where there is none yet."""
        runs = [run for run in self._runs() if run.data.tags.get(KIND) == "job"]
        return job_run_of(min(runs, key=age_of)) if runs else None

    @_patiently
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
            return job_run_of(self._client.get_run(run_id))

    @_patiently
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

    @_patiently
    def campaign_runs(self) -> list[CampaignRun]:
        """All campaigns of the job, oldest first."""
        runs = [run for run in self._runs() if run.data.tags.get(CAMPAIGN) and run.data.tags.get(KIND) == "campaign"]
        return [self._campaign_run(run) for run in sorted(runs, key=age_of)]

    @_patiently
    def set_tags(self, run_id: str, tags: Mapping[str, Value]) -> None:
        """Set tags of a run, over older ones of the same names."""
        self._writer.describe(run_id, tags=tags, description="")

    @_patiently
    def describe(self, run_id: str, description: str) -> None:
        """Set a run's description (Markdown)."""
        self._writer.describe(run_id, tags={}, description=description)

    @_patiently
    def put(self, run_id: str, path: str, content: str | bytes) -> str:
        """Keep a file with a run, over an older one of that path; returns where a person finds it."""
        with our_words(self.place.shown):
            self.artifacts.put(run_id, path, content.encode() if isinstance(content, str) else content)
        return self.artifacts.shown(run_id, path)

    @_patiently
    def get(self, run_id: str, path: str) -> bytes | None:
        """A file kept with a run, None where there is none."""
        with our_words(self.place.shown):
            return self.artifacts.get(run_id, path)

    @_patiently
    def files_address(self, run_id: str) -> str:
        """The address of a run's store of files, for `workers.stores.open_chunk_store`."""
        with our_words(self.place.shown):
            return self.artifacts.chunks_address(run_id, self._client.get_run(run_id).info.artifact_uri)

    @_patiently
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

    @_patiently
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
            patience=self.patience,
        )
