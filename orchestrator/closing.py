"""What a run says at its end: where to look, and what to type next."""

import shlex

from orchestrator.progress import duration
from orchestrator.results import JobResult
from orchestrator.tracking.tracker import Tracker


def closing_words(result: JobResult, tracker: Tracker, seconds: float) -> list[str]:
    """Where to look, and what to type next."""
    path = result.job.origin.path or "JOB"
    campaign = result.campaigns[0]
    return [
        f"done in {duration(seconds)}",
        f"report:  {result.report}",
        f"MLflow:  {tracker.ui_command()}",
        f"query:   {query_to_try(path)}",
        f"Next:    apportion values {path} --value {campaign.value_names[0]}",
    ]


def query_to_try(path: str) -> str:
    """A question to the stored losses, as a person would type it: the loss on test instance 0 by subset size."""
    question = "select size, avg(loss_at(0)) as loss from retrains group by size order by size"
    return shlex.join(["apportion", "query", path, question])
