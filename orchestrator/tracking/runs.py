"""Runs of a job as the store has them: the parent run and a run for each campaign."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.tracking.patience import NO_PATIENCE, Patience
from orchestrator.tracking.run_texts import fingerprints_of
from workers.chunk_store import ChunkStore
from workers.chunk_types import Fingerprints
from workers.stores import open_chunk_store

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
    """The run of a campaign. chunks_address: of its chunk store, on any machine that reaches it."""

    run_id: str
    campaign_id: str
    name: str
    chunks_address: str
    status: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    patience: Patience = field(default=NO_PATIENCE, repr=False, compare=False)

    def chunk_store(self) -> ChunkStore:
        """Its chunk store, asked with the patience of whoever opened the job."""
        return open_chunk_store(self.chunks_address, persist=self.patience)


def job_run_of(run: Any) -> JobRun:
    """MLflow's run as the parent run of a job."""
    tags = dict(run.data.tags)
    return JobRun(run.info.run_id, run.info.status, dict(run.data.params), tags, fingerprints_of(tags))


def age_of(run: Any) -> tuple[int, str]:
    """By which MLflow's runs are ordered, oldest first."""
    return (run.info.start_time, run.info.run_id)
