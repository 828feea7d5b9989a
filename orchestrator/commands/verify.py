"""`apportion verify`: every checksum of a store."""

from pathlib import Path

import click

from orchestrator.extension.reading import open_on_test_set
from orchestrator.extension.test_sets import read_test_sets
from orchestrator.jobs.job import Job
from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.staleness import freshness
from orchestrator.keeping.verification import BadFile, bad_files, is_side_file, repair
from orchestrator.progress import Screen
from orchestrator.results import JobResult, StoredJob, open_result, open_tracker, stored_job
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
        click.echo(f"{each.owner}: {shown(each.name)}: {each.what}")
    if not bad:
        click.echo(f"{counted(read[0], 'file')} in {counted(len(stored.runs), 'campaign')}: all whole\n")
        click.echo(f"Next: apportion report {job}")
        return
    if not mend:
        click.echo(f"{counted(len(bad), 'file')} of {read[0]:,} are bad\n\nNext: apportion verify {job} --repair")
        ctx.exit(5)
    _repair(stored, bad, job)


def _values(job: Path, files: tuple[Path, ...]) -> None:
    results = _results(load_job(job))
    words = {"current": "of the rows that the store has now", "stale": "stale: the store's rows are others now"}
    for path in files:
        click.echo(f"{path}: {words.get(freshness(results, path), 'says nothing of its rows')}")
    click.echo(f"\nNext: apportion values {job} --value VALUE -o FILE writes a stale file again")


def _results(job: Job) -> list[JobResult]:
    """On the job's own tests, and on each test set that it was extended by."""
    tracker = open_tracker(job)
    parent = tracker.find_job_run()
    more = {} if parent is None else read_test_sets(tracker, parent.run_id)
    return [open_result(job), *(open_on_test_set(job, name) for name in more)]


def _repair(stored: StoredJob, bad: list[BadFile], job: Path) -> None:
    with stored.tracker.lease():
        places = repair(stored, bad)
    for place in places:
        click.echo(f"set aside: {place}")
    if any(is_side_file(each.name) for each in bad):
        click.echo(f"apportion extend {job}, as it was typed before, makes losses on added test sets again")
    click.echo(f"\nNext: apportion resume {job}, which trains and computes exactly what is gone")
