"""`apportion gc`: what no campaign refers to."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.garbage import garbage, remove
from orchestrator.results import stored_job
from orchestrator.wording import counted, shown, size

MOST_SHOWN = 20


@click.command(name="gc")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Remove what is shown, for good.")
def command(*, job: Path, yes: bool) -> None:
    """Show what no campaign of JOB's store refers to, and with --yes remove it.

    Example: apportion gc job.yaml --yes
    """
    stored = stored_job(load_job(job))
    if not yes:
        found = garbage(stored)
        for each in found[:MOST_SHOWN]:
            click.echo(f"{each.kind:<10} {size(each.bytes):>10}  {each.place}/{shown(each.name)}")
        if len(found) > MOST_SHOWN:
            click.echo(f"and {len(found) - MOST_SHOWN:,} more")
        total = f"{counted(len(found), 'thing')}, {size(sum(each.bytes for each in found))}"
        click.echo(f"{total} that no campaign refers to")
        click.echo(f"\nNext: apportion gc {job} --yes" if found else f"\nNext: apportion verify {job}")
        return
    with stored.tracker.lease():
        found = garbage(stored)
        freed = remove(stored, found)
    click.echo(f"removed {counted(len(found), 'thing')}, {size(freed)}\n\nNext: apportion verify {job}")
