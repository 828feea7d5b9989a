"""How far a job is, read from its store: no data, no learner, no lease."""

import time
from dataclasses import dataclass, field

from orchestrator.errors import JobError
from orchestrator.progress import duration
from orchestrator.results import DRAWS_TAG, RETRAINS_TAG
from orchestrator.tracking.lease import last_holder, leader
from orchestrator.tracking.runs import CampaignRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.wanted_losses import plan_of

STATES = {"RUNNING": "running", "FINISHED": "finished", "KILLED": "stopped", "FAILED": "ended by an error"}


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """Retrains of one campaign. rate: retrains per second, seconds_left: until its end, as last reported.

    A rate of 0 and None seconds are not known.
    """

    name: str
    state: str
    planned: int
    stored: int
    failed: int
    rate: float
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job. driver: who holds its lease, empty = nobody. departed: who held it last and is gone. spent: by name.

    silent: seconds since the holder's, or the last holder's, last sign of life.
    """

    name: str
    state: str
    driver: str
    campaigns: tuple[CampaignStatus, ...]
    departed: str = ""
    silent: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the last run of the job came to its end."""
        return self.state == "finished"

    @property
    def words(self) -> str:
        """The state for people."""
        if self.driver:
            return f"{self.state}, driver: {self.driver}, last sign of life {duration(self.silent)} ago"
        if self.state == "running":
            who = f" ({self.departed}, last sign of life {duration(self.silent)} ago)" if self.departed else ""
            return f"its driver is gone{who}; what was stored is safe"
        return self.state


def job_status(tracker: Tracker) -> JobStatus:
    """The status of a job's last run; raises JobError where it was never started."""
    parent = tracker.find_job_run()
    if parent is None:
        raise JobError(f"job {tracker.job!r} was never started", mend="start it: apportion run JOB")
    board = tracker.board()
    holder, last = leader(board), last_holder(board)
    driver = "" if holder is None else f"process {holder.pid} on {holder.host}"
    state = STATES.get(parent.status, parent.status.lower())
    campaigns = tuple(_campaign(tracker, run, alive=bool(driver)) for run in tracker.campaign_runs())
    metrics = tracker.latest_metrics(parent.run_id)
    return JobStatus(
        name=tracker.job,
        state=state,
        driver=driver,
        campaigns=campaigns,
        departed="" if last is None or driver else f"process {last.pid} on {last.host}",
        silent=0.0 if last is None else max(0.0, time.time() - (holder or last).beat),
        spent={name.removeprefix("spent_"): each for name, each in metrics.items() if name.startswith("spent_")},
    )


def _campaign(tracker: Tracker, run: CampaignRun, *, alive: bool) -> CampaignStatus:
    metrics = tracker.latest_metrics(run.run_id)
    plan = plan_of(run) if RETRAINS_TAG not in run.tags else None  # chunks are not listed: there may be 10^6
    ends = 0 if plan is None else plan.end_replicates + 1
    state = STATES.get(run.status, run.status.lower())
    planned = int(run.tags.get(RETRAINS_TAG) or run.tags.get(DRAWS_TAG, "0")) + ends
    return CampaignStatus(
        name=run.name,
        state="stopped" if state == "running" and not alive else state,
        planned=planned,
        stored=min(int(metrics.get("retrains", 0.0)), planned),  # walks that share a cut prefix may train it twice
        failed=int(metrics.get("failures", 0.0)),
        rate=metrics.get("retrains_per_second", 0.0),
        seconds_left=metrics.get("seconds_left"),
    )
