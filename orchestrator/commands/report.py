"""`apportion report`: the HTML page from the stored losses."""

from pathlib import Path

import click

from orchestrator.jobs.job_file import load_job
from orchestrator.progress import Screen
from orchestrator.reporting import make_report
from orchestrator.results import open_result, open_tracker


@click.command(name="report")
@click.argument("job", type=click.Path(path_type=Path))
def command(job: Path) -> None:
    """Write the HTML report of JOB from what is stored, also while it runs.

    Example: apportion report examples/label_errors/job.yaml
    """
    screen = Screen()
    loaded = load_job(job)
    report = make_report(open_result(loaded), open_tracker(loaded), screen.say)
    for sentence in report.headline:
        click.echo(sentence)
    click.echo(f"report: {report.path}\n\nNext: open it in a browser")
