"""`apportion values`: export influence or data values."""

from pathlib import Path

import click

from estimators.evaluation.order_certainty import order_certain
from estimators.influence import Influence, InstanceValues
from estimators.transforms import OVER
from orchestrator import comparing
from orchestrator.commands.table_options import for_terminal
from orchestrator.export import export_influence, export_instance_values, format_of
from orchestrator.extension.reading import open_on_test_set
from orchestrator.gradients.reading import gradient_spec
from orchestrator.gradients.tables import show_gradients
from orchestrator.influences.placed import PlacedInfluences
from orchestrator.jobs.job_file import load_job
from orchestrator.keeping.staleness import rows_of_value
from orchestrator.results import JobResult, open_result


@click.command(name="values")
@click.argument("job", type=click.Path(path_type=Path))
@click.option(
    "--value",
    required=True,
    help="The value's name, as `apportion methods` lists it, or that of an entry of `gradients`.",
)
@click.option("--loss", help="A loss kept; default: the first.")
@click.option("--of", help='A function of the losses kept, such as "clip(cross_entropy, 0.5)".')
@click.option("--over", type=click.Choice(OVER), help="Average over tests: all of them, each class, each group.")
@click.option("--compare-transforms", is_flag=True, help="Compare functions of the losses by signal to noise.")
@click.option(
    "--campaign", help="The campaign to compute it from (default: the first that permits it), or `pooled`: all."
)
@click.option(
    "--format", "file_format", type=click.Choice(["parquet", "npz", "csv"]), help="Default: by FILE's ending."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write; default: show the top.")
@click.option("--test-set", help="A test set that `apportion extend` added; default: the job's own.")
@click.option("--per-instance", is_flag=True, help="Data values [n] instead of the matrix [n, n_test].")
def command(
    *,
    job: Path,
    value: str,
    loss: str | None,
    of: str | None,
    over: str | None,
    compare_transforms: bool,
    campaign: str | None,
    file_format: str | None,
    output: Path | None,
    test_set: str | None,
    per_instance: bool,
) -> None:
    """Compute a value of JOB from the stored losses and write it, with standard errors.

    Example: apportion values job.yaml --value banzhaf --format parquet -o banzhaf.parquet
    """
    loaded = load_job(job)
    if output is not None:
        format_of(output, file_format)  # said before anything is computed
    result = open_result(loaded) if test_set is None else open_on_test_set(loaded, test_set)
    if compare_transforms:
        _compare(result, value, of, campaign)
        return
    spec = gradient_spec(loaded, value)
    if spec is not None and spec.given in {"strongest", "groups"}:
        show_gradients(result, result.gradient(value), output, file_format)
        return
    with PlacedInfluences(loaded, lambda note: click.echo(note, err=True)) as pool:
        found = result.values(value, loss=loss, campaign=campaign, of=of, over=over, pool=pool)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if output is None:
        _show(found, result)
        return
    rows = rows_of_value(result, value, campaign)
    if isinstance(found, Influence) and not per_instance:
        export_influence(found, output, file_format=file_format, rows=rows)
    else:
        export_instance_values(_per_instance(found), output, file_format=file_format, rows=rows)
    click.echo(f"wrote {output}\n\nNext: apportion report {job}")


def _compare(result: JobResult, value: str, of: str | None, campaign: str | None) -> None:
    chosen = result.campaign_for(value, campaign)
    click.echo(f"{value} from {chosen.name}: signal to noise of data values, {chosen.plan.draws:,} draws")
    click.echo(f"  {'of':<32} {'signal/noise':>12} {'signs certain':>14}")
    for each in comparing.compare_transforms(chosen, value, (of,) if of else ()):
        if each.trouble:
            click.echo(f"  {each.of:<32} {each.trouble}")
        else:
            click.echo(f"  {each.of:<32} {each.signal_to_noise:>12.2f} {each.certain:>13.0%}")
    click.echo(f'\nNext: apportion values {result.job.origin.path or "JOB"} --value {value} --of "..."')


def _per_instance(found: Influence | InstanceValues) -> InstanceValues:
    return found.data_values() if isinstance(found, Influence) else found


def _show(found: Influence | InstanceValues, result: JobResult) -> None:
    data = _per_instance(found)
    frame = data.to_pandas().assign(certain=data.certain())
    frame.insert(1, "name", list(result.train_names))
    ordered = for_terminal(frame.sort_values("data_value", ascending=False))
    whence = f"{data.retrains:,} retrains" if data.retrains else "no retrains"
    click.echo(f"{data.value} on {data.loss}, {len(frame):,} training instances, {whence}")
    click.echo(ordered.head(10).to_string(index=False))
    click.echo("...")
    click.echo(ordered.tail(10).to_string(index=False))
    if data.retrains:
        click.echo(
            f"signs that are certain: {frame['certain'].mean():.1%}; pairs whose order is: {order_certain(data):.1%}"
        )
    click.echo("\nNext: the same with -o values.parquet (or .npz, .csv)")
