"""`apportion stop`: end a job in order, wherever its driver runs."""

import click

from orchestrator.launching.ray_jobs import RayJobs, jobs_address
from orchestrator.named_jobs import job_of, named_job
from orchestrator.tracking.lease import ask_to_stop


@click.command(name="stop")
@click.argument("job")
@click.option("--store", metavar="URI", help="Where a job known by its name is stored (default: MLFLOW_TRACKING_URI).")
@click.option("--address", metavar="URL", help="Ray's Jobs API: end a driver that has not opened its store yet.")
def command(job: str, store: str | None, address: str | None) -> None:
    """Stop JOB in order: chunks in flight finish, what is stored stays, `apportion resume` goes on.

    The driver is asked through the store, from any machine; it sees that within seconds.

    Example: apportion stop mnist-label-errors --store http://mlflow.example:5000
    """
    if address is not None:
        name, loaded = job_of(job)
        jobs = RayJobs(jobs_address(address, loaded))
        sent = jobs.latest(name)
        if sent is not None and sent.state == "PENDING":
            jobs.end(sent)
            click.echo(f"{name}: its driver had not begun, and will not")
            return
    named = named_job(job, store)
    holder = ask_to_stop(named.tracker.board())
    if holder is None:
        click.echo(f"{named.name}: nobody is at it")
    else:
        click.echo(f"{named.name}: process {holder.pid} on {holder.host} is asked to stop, and will soon")
    click.echo(f"\nNext: apportion status {job}, then apportion resume {job}")
