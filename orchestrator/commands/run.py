"""`apportion run`: carry a job out."""

from pathlib import Path

import click

from orchestrator.commands.carrying_out import carry_job_out


@click.command(name="run")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--cluster", metavar="ADDRESS", help="A Ray cluster in place of the job file's cluster.address.")
def command(job: Path, cluster: str | None) -> None:
    """Carry JOB out: train what the store lacks, compute the values, write the report.

    Run again, a finished job says so and reports again; a killed one goes on; a raised budget extends it.

    Example: apportion run examples/label_errors/job.yaml
    """
    carry_job_out(job, start="fresh or stopped", cluster=cluster)
