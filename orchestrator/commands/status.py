"""`apportion status`: how far a job is, from its store alone."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.progress import duration
from orchestrator.results import open_tracker
from orchestrator.status import CampaignStatus, JobStatus, job_status


@click.command(name="status")
@click.argument("job", type=click.Path(path_type=Path))
def command(job: Path) -> None:
    """Say how far JOB is: retrains of planned, failures, who is at it; from any machine that reaches the store.

    Example: apportion status examples/label_errors/job.yaml
    """
    loaded = load_job(job)
    status = job_status(open_tracker(loaded))
    click.echo(f"{status.name}: {status.words}")
    for campaign in status.campaigns:
        click.echo("  " + _line(campaign))
    click.echo(f"\nNext: {_next(status, job)}")


def _line(campaign: CampaignStatus) -> str:
    share = campaign.stored / campaign.planned if campaign.planned else 0.0
    parts = [f"{campaign.name}: {campaign.stored:,} of {campaign.planned:,} retrains ({share:.0%})", campaign.state]
    if campaign.failed:
        parts.append(f"{campaign.failed} failed")
    if campaign.rate > 0 and campaign.state == "running":
        parts.append(f"{campaign.rate:.3g}/s, {duration((campaign.planned - campaign.stored) / campaign.rate)} left")
    return "  ".join(parts)


def _next(status: JobStatus, job: Path) -> str:
    if status.finished:
        return f"apportion report {job}"
    return f"apportion status {job}" if status.driver else f"apportion resume {job}"
