"""`apportion verify`: every checksum of a store."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.staleness import freshness
from orchestrator.keeping.verification import BadFile, bad_files, repair
from orchestrator.progress import Screen
from orchestrator.results import StoredJob, open_result, stored_job
from orchestrator.wording import counted, shown


@click.command(name="verify")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--repair", "mend", is_flag=True, help="Set bad files aside (never deleted), so that resume trains anew.")
@click.option(
    "--values", type=click.Path(path_type=Path), multiple=True, help="A file of values, or a report: is it stale?"
)
@click.pass_context
def command(ctx: click.Context, *, job: Path, mend: bool, values: tuple[Path, ...]) -> None:
    """Read every file of JOB's store whole and check its hash, its pages and what it is of.

    Example: apportion verify job.yaml --repair
    """
    if values:
        _values(job, values)
        return
    stored, screen, read = stored_job(load_job(job)), Screen(), [0]

    def count(files: int) -> None:
        read[0] += 1
        if files % 1000 == 0:
            screen.say(f"{files:,} files read ...")

    bad = list(bad_files(stored, count))
    for each in bad:
        click.echo(f"{each.campaign.name}: {shown(each.name)}: {each.what}")
    if not bad:
        click.echo(f"{counted(read[0], 'file')} in {counted(len(stored.runs), 'campaign')}: all whole\n")
        click.echo(f"Next: apportion report {job}")
        return
    if not mend:
        click.echo(f"{counted(len(bad), 'file')} of {read[0]:,} are bad\n\nNext: apportion verify {job} --repair")
        ctx.exit(5)
    _repair(stored, bad, job)


def _values(job: Path, files: tuple[Path, ...]) -> None:
    result = open_result(load_job(job))
    words = {"current": "of the rows that the store has now", "stale": "stale: the store's rows are others now"}
    for path in files:
        click.echo(f"{path}: {words.get(freshness(result, path), 'says nothing of its rows')}")
    click.echo(f"\nNext: apportion values {job} --value VALUE -o FILE writes a stale file again")


def _repair(stored: StoredJob, bad: list[BadFile], job: Path) -> None:
    with stored.tracker.lease():
        places = repair(stored, bad)
    for place in places:
        click.echo(f"set aside: {place}")
    click.echo(f"\nNext: apportion resume {job}, which trains exactly what is gone")
