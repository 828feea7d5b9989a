"""`apportion resume`: go on with a job that was stopped or killed, here or on the cluster that it was sent to."""

import tempfile
from pathlib import Path

import click

from orchestrator.errors import JobError
from orchestrator.named_jobs import named_job


@click.command(name="resume")
@click.argument("job")
@click.option("--cluster", metavar="ADDRESS", help="A Ray cluster in place of the job file's cluster.address.")
@click.option("--address", metavar="URL", help="Send it again: Ray's Jobs API, for a job known by its name alone.")
@click.option("--store", metavar="URI", help="Where a job known by its name is stored (default: MLFLOW_TRACKING_URI).")
def command(job: str, cluster: str | None, address: str | None, store: str | None) -> None:
    """Go on with JOB where it stopped; refuses where nothing was started.

    JOB is a job file, or the name of a job that was sent with `apportion submit`.

    Example: apportion resume examples/label_errors/job.yaml
    """
    if Path(job).exists() or Path(job).suffix in {".yaml", ".yml"}:
        from orchestrator.commands.carrying_out import carry_job_out  # noqa: PLC0415 - torch, for a job that runs here

        carry_job_out(Path(job), start="stopped", cluster=cluster)
        return
    _send_again(job, address, store)


def _send_again(job: str, address: str | None, store: str | None) -> None:
    from orchestrator.launching.parcel import KEPT, unzipped  # noqa: PLC0415 - as above
    from orchestrator.launching.ray_jobs import RayJobs, jobs_address  # noqa: PLC0415

    named = named_job(job, store)
    parent = named.tracker.find_job_run()
    content = None if parent is None else named.tracker.get(parent.run_id, KEPT)
    if content is None:
        raise JobError(
            f"{job} was not sent with `apportion submit`, so that its code is not in the store",
            mend="go on with its job file: apportion resume JOB.yaml",
        )
    with tempfile.TemporaryDirectory() as folder:
        unzipped(content, Path(folder))
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
        }
    sent = RayJobs(jobs_address(address, None)).submit(named.name, files, start="resume")
    click.echo(f"sent again: {named.name} (Ray's job {sent.id})")
    click.echo(f"\nNext: apportion status {named.name} --watch")
