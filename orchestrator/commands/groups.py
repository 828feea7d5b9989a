"""`apportion groups`: the influence of whole groups of training instances."""

from pathlib import Path

import click

from estimators.errors import EstimatorError
from orchestrator.export import safe_cell
from orchestrator.group_influence import group_influence, groups_by, sums_of_members
from orchestrator.jobs.job_file import load_job
from orchestrator.replaced_file import replaced_file
from orchestrator.results import open_result


@click.command(name="groups")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--by", default="class", show_default=True, help="`class`, or a column of the training table.")
@click.option("--beside", default="banzhaf", show_default=True, help="A value whose sum over members is shown beside.")
@click.option("--loss", help="A loss kept; default: the first.")
@click.option("--of", help='A function of the losses kept, such as "clip(cross_entropy, 0.5)".')
@click.option("--campaign", help="The campaign to compute it from; default: the first that can tell.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A CSV file to write; default: show the table.")
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
    table["group"] = [safe_cell(str(name)) for name in table["group"]]
    try:
        table[f"sum_of_{beside}"] = sums_of_members(result, groups_by(result, by)[0], beside, loss=loss)
    except EstimatorError as error:
        click.echo(f"note: no sum of {beside}: {error}", err=True)
    ordered = table.sort_values("influence", ascending=False, kind="stable", na_position="last")
    if output is None:
        click.echo(f"{found.value} on {found.loss}, {len(table):,} groups by {by}")
        click.echo(ordered.to_string(index=False, float_format=lambda number: f"{number:.4g}"))
        click.echo(f"\nNext: apportion interactions {job}, for pairs of instances")
        return
    with replaced_file(output) as stream:
        stream.write(ordered.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace"))
    click.echo(f"wrote {output}\n\nNext: apportion interactions {job}, for pairs of instances")
