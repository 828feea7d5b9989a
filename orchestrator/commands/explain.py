"""`apportion explain`: one question, answered on the terminal."""

from pathlib import Path

import click
import pandas as pd

from estimators.influence import Influence
from orchestrator.errors import JobError
from orchestrator.explaining import Explanation, explain_test, explain_train, position_of
from orchestrator.influences.placed import PlacedInfluences
from orchestrator.jobs.job_file import load_job
from orchestrator.results import JobResult, open_result


@click.command(name="explain")
@click.argument("job", type=click.Path(path_type=Path))
@click.option(
    "--test", help="A test instance, by position or name: which training instances taught the model about it?"
)
@click.option("--train", help="A training instance, by position or name: which test instances does it help and hurt?")
@click.option("--value", help="A value, or an entry of `gradients` by its name; default: the job's first influence.")
@click.option("--loss", help="A loss kept; default: the first.")
@click.option("--campaign", help="The campaign to compute it from; default: the first that permits it.")
@click.option("--count", default=8, show_default=True, type=click.IntRange(1, 1000), help="How many on each side.")
def command(
    *,
    job: Path,
    test: str | None,
    train: str | None,
    value: str | None,
    loss: str | None,
    campaign: str | None,
    count: int,
) -> None:
    """Explain one instance of JOB from the stored losses, and say how many retrains more an undecided sign would take.

    Example: apportion explain job.yaml --test 5
    """
    if (test is None) == (train is None):
        raise JobError("explain takes one question", mend="give --test 5 or --train 17")
    result = open_result(load_job(job))
    influence = _influence(result, value, loss, campaign)
    if test is not None:
        names, data = result.loaded.test_names, result.loaded.dataset
        found = explain_test(result, influence, position_of(test, names, data.n_test, what="test"), count_shown=count)
    else:
        place = position_of(train or "", result.train_names, len(result.train_names), what="training")
        found = explain_train(result, influence, place, count_shown=count)
    _show(found)
    other = "--train" if test is not None else "--test"
    first = _first_place(found)
    click.echo(f"\nNext: apportion explain {job} {other} {first}")


def _influence(result: JobResult, value: str | None, loss: str | None, campaign: str | None) -> Influence:
    for name in (value,) if value is not None else _influences(result):
        with PlacedInfluences(result.job, lambda note: click.echo(note, err=True)) as pool:
            found = result.values(name, loss=loss, campaign=campaign, pool=pool)
        if isinstance(found, Influence):
            return found
        raise JobError(
            f"{name} is one number a training instance, not an influence on each test instance",
            mend="ask for another --value, as `apportion methods` lists them",
        )
    raise JobError("nothing in this job gives an influence", mend="see `apportion methods`")


def _influences(result: JobResult) -> list[str]:
    from estimators.registry import value_method  # noqa: PLC0415 - one table, read when it is asked for

    names = [name for each in result.campaigns for name in each.value_names]
    asked = [name for name in result.job.value_labels if name in names] or names
    given = [spec.label for spec in result.job.gradients if spec.given == "matrix"]
    return [*(name for name in asked if not value_method(name).per_instance), *given]


def _first_place(found: Explanation) -> str:
    for table in (found.proponents, found.opponents):
        if len(table):
            return str(table.iloc[0, 0]).split()[0].removeprefix("#")
    return "0"


def _show(found: Explanation) -> None:
    click.echo(click.style(found.heading, bold=True))
    for fact in found.facts:
        click.echo(fact)
    for title, table, colour in (
        ("proponents: lower the loss", found.proponents, "green"),
        ("opponents: raise the loss", found.opponents, "red"),
    ):
        click.echo("\n" + click.style(title, fg=colour))
        click.echo(_text(table))
    click.echo("")
    for sentence in found.closing:
        click.echo(sentence)


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False) if len(table) else "none"
