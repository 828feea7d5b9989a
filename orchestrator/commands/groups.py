"""`apportion groups`: the influence of whole groups of training instances."""

from pathlib import Path

import click

from estimators.errors import EstimatorError
from orchestrator.commands.table_options import show_or_write, table_options
from orchestrator.group_influence import group_influence, groups_by, sums_of_members
from orchestrator.jobs.job_file import load_job
from orchestrator.results import open_result


@click.command(name="groups")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--by", default="class", show_default=True, help="`class`, or a column of the training table.")
@click.option("--beside", default="banzhaf", show_default=True, help="A value whose sum over members is shown beside.")
@table_options
def command(
    *,
    job: Path,
    by: str,
    beside: str,
    loss: str | None,
    of: str | None,
    campaign: str | None,
    output: Path | None,
) -> None:
    """Say how much each group of training instances lowers the mean test loss of JOB, with standard errors.

    Example: apportion groups job.yaml --by class
    """
    result = open_result(load_job(job))
    found = group_influence(result, by, loss=loss, of=of, campaign=campaign)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    table = found.to_pandas()
    table["group"] = [str(name) for name in table["group"]]
    try:
        table[f"sum_of_{beside}"] = sums_of_members(result, groups_by(result, by)[0], beside, loss=loss)
    except EstimatorError as error:
        click.echo(f"note: no sum of {beside}: {error}", err=True)
    ordered = table.sort_values("influence", ascending=False, kind="stable", na_position="last")
    show_or_write(ordered, f"{found.value} on {found.loss}, {len(table):,} groups by {by}", output)
    click.echo(f"\nNext: apportion interactions {job}, for pairs of instances")
