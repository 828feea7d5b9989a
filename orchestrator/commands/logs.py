"""`apportion logs`: what the driver of a job has said, here or on the cluster that it was sent to."""

import click

from orchestrator.driver_log import kept_folder, read_driver_log
from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from orchestrator.launching.ray_jobs import RayJobs, jobs_address
from orchestrator.named_jobs import job_of
from orchestrator.results import open_tracker


@click.command(name="logs")
@click.argument("job")
@click.option("--address", metavar="URL", help="Ray's Jobs API (default: RAY_API_SERVER_ADDRESS, or the job file's).")
def command(job: str, address: str | None) -> None:
    """Print what the driver of JOB has said; JOB is a job file or a name.

    Of a job that ran here: its decisions and their numbers, kept beside the job file. Of one that was sent to a
    cluster: what it printed there.

    Example: apportion logs mnist-label-errors --address http://ray-head.example:8265
    """
    name, loaded = job_of(job)
    here = [] if loaded is None or address is not None else _kept_here(loaded)
    if here:
        click.echo("\n".join(here))
        click.echo(f"Next: apportion status {job}")
        return
    jobs = RayJobs(jobs_address(address, loaded))
    sent = jobs.latest(name)
    if sent is None:
        raise JobError(f"no driver of {name} was sent to that cluster", mend=f"apportion submit {job}")
    click.echo(jobs.logs(sent), nl=False)
    click.echo(f"\n{sent.id}: {sent.state.lower()}\nNext: apportion status {job}")


def _kept_here(job: Job) -> list[str]:
    """The log of a driver that ran beside the job file; nothing where there was none."""
    if not (job.folder / ".apportion").is_dir():
        return []
    parent = open_tracker(job).find_job_run()
    return [] if parent is None else read_driver_log(kept_folder(job, parent.run_id))
