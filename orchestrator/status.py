"""How far a job is, read from its store: no data, no learner, no lease."""

from dataclasses import dataclass

from orchestrator.errors import JobError
from orchestrator.plan import PLAN_FILE, PlanFacts
from orchestrator.results import DRAWS_TAG, RETRAINS_TAG
from orchestrator.tracking.tracker import CampaignRun, Tracker
from workers.chunk_file import parse_name
from workers.stores import open_chunk_store

STATES = {"RUNNING": "running", "FINISHED": "finished", "KILLED": "stopped", "FAILED": "ended by an error"}


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """Retrains of one campaign. rate: retrains per second, as last reported; 0 = not known."""

    name: str
    state: str
    planned: int
    stored: int
    failed: int
    chunks: int
    rate: float


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job. driver: who holds its lease, empty = nobody."""

    name: str
    state: str
    driver: str
    campaigns: tuple[CampaignStatus, ...]

    @property
    def finished(self) -> bool:
        """Whether the last run of the job came to its end."""
        return self.state == "finished"

    @property
    def words(self) -> str:
        """The state for people."""
        if self.driver:
            return f"{self.state}, driver: {self.driver}"
        if self.state == "running":
            return "its driver is gone; what was stored is safe"
        return self.state


def job_status(tracker: Tracker) -> JobStatus:
    """The status of a job's last run; raises JobError where it was never started."""
    parent = tracker.find_job_run()
    if parent is None:
        raise JobError(f"job {tracker.job!r} was never started", mend="start it: apportion run JOB")
    driver = tracker.leader()
    state = STATES.get(parent.status, parent.status.lower())
    campaigns = tuple(_campaign(tracker, run, alive=bool(driver)) for run in tracker.campaign_runs())
    return JobStatus(tracker.job, state, driver, campaigns)


def _campaign(tracker: Tracker, run: CampaignRun, *, alive: bool) -> CampaignStatus:
    store = open_chunk_store(run.chunks_address)
    names = store.names()
    metrics = tracker.latest_metrics(run.run_id)
    ends = 0
    if RETRAINS_TAG not in run.tags and PLAN_FILE in names:
        ends = PlanFacts.decode(store.get(PLAN_FILE)).end_replicates + 1
    state = STATES.get(run.status, run.status.lower())
    return CampaignStatus(
        name=run.name,
        state="stopped" if state == "running" and not alive else state,
        planned=int(run.tags.get(RETRAINS_TAG) or run.tags.get(DRAWS_TAG, "0")) + ends,
        stored=int(metrics.get("retrains", 0.0)),
        failed=int(metrics.get("failures", 0.0)),
        chunks=sum(parse_name(name) is not None for name in names),
        rate=metrics.get("retrains_per_second", 0.0),
    )
