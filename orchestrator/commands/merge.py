"""`apportion merge`: one store's rows taken into another."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.carrying import exported_source, job_source, merge, refuse_other_store
from orchestrator.results import stored_job
from orchestrator.wording import counted


@click.command(name="merge")
@click.argument("job", type=click.Path(path_type=Path))
@click.argument("source", type=click.Path(path_type=Path))
def command(job: Path, source: Path) -> None:
    """Take the retrains of SOURCE (a folder that `export` wrote, or another job file) into the store of JOB.

    Both must be of equal data, learner and code; every file is checked before it is put.

    Example: apportion merge job.yaml handed-on
    """
    stored = stored_job(load_job(job))
    other = (
        exported_source(source) if source.is_dir() or not source.exists() else job_source(stored_job(load_job(source)))
    )
    refuse_other_store(stored, other)
    with stored.tracker.lease():
        put = merge(stored, other, click.echo)
    click.echo(f"{counted(put, 'file')} taken in\n\nNext: apportion run {job}, which trains only what is still missing")
