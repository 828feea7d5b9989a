"""`apportion export`: a store as one folder."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.carrying import LISTING, export
from orchestrator.results import stored_job
from orchestrator.wording import counted, size


@click.command(name="export")
@click.argument("job", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def command(job: Path, folder: Path) -> None:
    """Write the whole store of JOB into a new FOLDER, with a list of hashes: to hand on, to keep, to merge elsewhere.

    Example: apportion export job.yaml handed-on
    """
    files, weight = export(stored_job(load_job(job)), folder)
    click.echo(f"wrote {counted(files, 'file')}, {size(weight)}, and their hashes in {folder / LISTING}")
    click.echo(f"\nNext: apportion merge JOB {folder}, where the same job has a store of its own")
