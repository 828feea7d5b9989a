"""`apportion logs`: what the driver of a job says that was sent to a cluster."""

import click

from orchestrator.errors import JobError
from orchestrator.launching.ray_jobs import RayJobs, jobs_address
from orchestrator.named_jobs import job_of


@click.command(name="logs")
@click.argument("job")
@click.option("--address", metavar="URL", help="Ray's Jobs API (default: RAY_API_SERVER_ADDRESS, or the job file's).")
def command(job: str, address: str | None) -> None:
    """Print what the driver of JOB has said, from the cluster it was sent to; JOB is a job file or a name.

    Example: apportion logs mnist-label-errors --address http://ray-head.example:8265
    """
    name, loaded = job_of(job)
    jobs = RayJobs(jobs_address(address, loaded))
    sent = jobs.latest(name)
    if sent is None:
        raise JobError(f"no driver of {name} was sent to that cluster", mend=f"apportion submit {job}")
    click.echo(jobs.logs(sent), nl=False)
    click.echo(f"\n{sent.id}: {sent.state.lower()}\nNext: apportion status {job}")
