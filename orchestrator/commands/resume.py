"""`apportion resume`: go on with a job that was stopped or killed."""

from pathlib import Path

import click

from orchestrator.commands.carrying_out import carry_job_out


@click.command(name="resume")
@click.argument("job", type=click.Path(path_type=Path))
def command(job: Path) -> None:
    """Go on with JOB where it stopped; refuses where nothing was started.

    Example: apportion resume examples/label_errors/job.yaml
    """
    carry_job_out(job, start="stopped")
