"""A job by its file, or by its name alone where the store knows it: from any machine that reaches the store."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import JobError
from orchestrator.jobs.job import Job, StoreSpec
from orchestrator.jobs.job_file import load_job
from orchestrator.results import open_tracker
from orchestrator.tracking.addresses import mask_address
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import shown

STORE_VARIABLE = "MLFLOW_TRACKING_URI"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class NamedJob:
    """A job that was started. given: what was typed. job: None where only its name is known."""

    given: str
    tracker: Tracker
    job: Job | None

    @property
    def name(self) -> str:
        """The job's name, which is that of its experiment."""
        return self.tracker.job


def named_job(given: str, store: str | None = None) -> NamedJob:
    """The job of a file, or of a name in `store` (default: the variable MLFLOW_TRACKING_URI).

    Raises JobError where neither is there, ResourceMissing where the store does not answer.
    """
    path = Path(given)
    if path.exists() or path.suffix in {".yaml", ".yml"} or not _NAME.fullmatch(given):
        job = load_job(path)
        return NamedJob(given, open_tracker(job), job)
    address = store or os.environ.get(STORE_VARIABLE, "")
    if not address:
        raise JobError(
            f"there is no file {shown(given)}, and nothing says in which store to look for a job of that name",
            mend=f"give the store: --store http://mlflow.example:5000, or set {STORE_VARIABLE}",
        )
    prepare_environment()
    tracker = Tracker.open(StoreSpec(tracking_uri=address), Path.cwd(), given, create=False)
    if tracker is None or tracker.find_job_run() is None:
        raise JobError(
            f"there is no job {shown(given)} in {mask_address(address)}", mend="start it: apportion submit JOB.yaml"
        )
    return NamedJob(given, tracker, None)


def job_of(given: str) -> tuple[str, Job | None]:
    """The name of a job given by file or name, without asking any store; the job where there is a file."""
    path = Path(given)
    if path.exists() or path.suffix in {".yaml", ".yml"} or not _NAME.fullmatch(given):
        job = load_job(path)
        return job.name, job
    return given, None
