"""`apportion status`: how far a job is, from its store alone; with `--watch` until it ends."""

import shutil
import sys
import time

import click

from orchestrator.errors import ResourceMissing
from orchestrator.named_jobs import named_job
from orchestrator.progress import duration
from orchestrator.spending import amount_words
from orchestrator.status import CampaignStatus, JobStatus, job_status


@click.command(name="status")
@click.argument("job")
@click.option("--watch", is_flag=True, help="Look again and again until it ends or its driver is gone.")
@click.option("--every", type=click.FloatRange(0.2), default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--store", metavar="URI", help="Where a job known by its name is stored (default: MLFLOW_TRACKING_URI).")
def command(job: str, *, watch: bool, every: float, store: str | None) -> None:
    """Say how far JOB is: retrains of planned, failures, who is at it; from any machine that reaches the store.

    JOB is a job file, or a job's name.

    Example: apportion status examples/label_errors/job.yaml --watch
    """
    named = named_job(job, store)
    status = job_status(named.tracker)
    shown = _show(status, again=0)
    while watch and status.driver:
        time.sleep(every)
        try:
            status = job_status(named.tracker)
        except ResourceMissing as error:
            click.echo(f"the store does not answer: {error.problems[0].what}", err=True)
            continue
        shown = _show(status, again=shown)
    click.echo(f"\nNext: {_next(status, job)}")


def _show(status: JobStatus, *, again: int) -> int:
    """Print the status, on a terminal over the `again` lines of the last; returns its lines."""
    lines = [f"{status.name}: {status.words}", *("  " + _line(campaign) for campaign in status.campaigns)]
    if status.spent:
        lines.append("  spent: " + ", ".join(amount_words(name, each) for name, each in sorted(status.spent.items())))
    if sys.stdout.isatty():
        width = max(20, shutil.get_terminal_size().columns)
        lines = [line[: width - 1] for line in lines]
        if again:
            click.echo(f"\x1b[{again}F\x1b[J", nl=False)
    click.echo("\n".join(lines))
    sys.stdout.flush()
    return len(lines)


def _line(campaign: CampaignStatus) -> str:
    share = campaign.stored / campaign.planned if campaign.planned else 0.0
    parts = [f"{campaign.name}: {campaign.stored:,} of {campaign.planned:,} retrains ({share:.0%})", campaign.state]
    if campaign.failed:
        parts.append(f"{campaign.failed} failed")
    if campaign.rate > 0 and campaign.state == "running":
        left = campaign.seconds_left
        left = (campaign.planned - campaign.stored) / campaign.rate if left is None else left
        parts.append(f"{campaign.rate:.3g}/s, {duration(left)} left")
    return "  ".join(parts)


def _next(status: JobStatus, job: str) -> str:
    if status.finished:
        return f"apportion report {job}"
    return f"apportion status {job}" if status.driver else f"apportion resume {job}"
