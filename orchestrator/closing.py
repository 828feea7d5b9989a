"""What a run says at its end: where to look, and what to type next."""

import shlex
import sys
from pathlib import Path

from orchestrator.campaign import Campaign
from orchestrator.cluster.worker_check import local_folder
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
        f"query:   {query_to_try(campaign, tracker)}",
        f"Next:    apportion values {path} --value {campaign.value_names[0]}",
    ]


def query_to_try(campaign: Campaign, tracker: Tracker) -> str:
    """A question to the stored losses that any DuckDB answers: mean loss by subset size."""
    address = next(run.chunks_address for run in tracker.campaign_runs() if run.campaign_id == campaign.id)
    folder = local_folder(address)
    if folder is None:
        return f"the chunks of {campaign.name} are Parquet files under {address}"
    # a text to be typed by a person, who reads their own files
    question = f"select size, avg(list_avg(loss_{campaign.losses[0]})) as mean_loss "
    question += f'from "{folder}/0*.parquet" where failure is null group by size order by size'
    return shlex.join([_python(), "-c", f'import duckdb; duckdb.sql("""{question}""").show()'])


def _python() -> str:
    """This interpreter as a person would type it here."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
