"""`apportion submit`: send a job to a Ray cluster and return at once."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.launching.parcel import packed
from orchestrator.launching.ray_jobs import RayJobs, jobs_address
from orchestrator.wording import counted, size


@click.command(name="submit")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--address", metavar="URL", help="Ray's Jobs API (default: RAY_API_SERVER_ADDRESS, or the job file's).")
def command(job: Path, address: str | None) -> None:
    """Send JOB to a Ray cluster: its file, the code beside it and small data; `status` knows it by its name.

    The token comes from Ray's own variables (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH); credentials of the store are
    those of the cluster's nodes, and never sent.

    Example: apportion submit job.yaml --address http://ray-head.example:8265
    """
    loaded = load_job(job)
    contents = packed(loaded)
    where = jobs_address(address, loaded)
    sent = RayJobs(where).submit(loaded.name, contents, start="run")
    total = sum(len(content) for content in contents.values())
    click.echo(f"sent: {loaded.name} ({counted(len(contents), 'file')}, {size(total)}), Ray's job {sent.id}")
    click.echo(f"\nNext: apportion status {job} --watch")
