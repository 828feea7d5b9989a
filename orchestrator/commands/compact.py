"""`apportion compact`: small chunk files joined to large ones."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.results import stored_job
from orchestrator.store.compaction import compact
from orchestrator.store.manifest import MANIFEST_TAG
from orchestrator.wording import counted


@click.command(name="compact")
@click.argument("job", type=click.Path(path_type=Path))
def command(job: Path) -> None:
    """Join the small chunk files of JOB to files of up to 64 MB, and list all rows in a manifest.

    Readers are not disturbed, nothing is removed, and a kill half way loses nothing.

    Example: apportion compact job.yaml
    """
    stored = stored_job(load_job(job))
    with stored.tracker.lease():
        for run in stored.runs:

            def name_manifest(name: str, run_id: str = run.run_id) -> None:
                stored.tracker.set_tags(run_id, {MANIFEST_TAG: name})

            done = compact(stored.store, run.campaign_id, name_manifest)
            click.echo(f"{run.name}: {counted(done.small, 'file')} joined to {done.large}")
    click.echo(f"\nNext: apportion gc {job}, which shows the small files that may go")
