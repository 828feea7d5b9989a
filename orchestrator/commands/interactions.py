"""`apportion interactions`: pairs of training instances that do more, or less, together than each alone."""

from pathlib import Path

import click
import pandas as pd

from estimators.interactions.indices import INTERACTIONS
from estimators.interactions.pair_values import PairValues
from orchestrator.commands.table_options import show_or_write, table_options
from orchestrator.errors import JobError
from orchestrator.jobs.job_file import load_job
from orchestrator.pair_interactions import Pair, interactions
from orchestrator.results import JobResult, open_result


@click.command(name="interactions")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--value", default="banzhaf_interaction", show_default=True, help=f"One of {', '.join(INTERACTIONS)}.")
@click.option("--pairs", help="Pairs of training instances by position: 3:17,20:41; default: the strongest of all.")
@click.option("--strongest", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many pairs.")
@table_options
def command(
    *,
    job: Path,
    value: str,
    pairs: str | None,
    strongest: int,
    loss: str | None,
    of: str | None,
    campaign: str | None,
    output: Path | None,
) -> None:
    """Say which pairs of training instances interact in JOB: on the mean test loss, with standard errors.

    Positive: together they lower the loss by more than the sum of what each does.

    Example: apportion interactions job.yaml --strongest 10
    """
    result = open_result(load_job(job))
    named = _pairs(pairs) if pairs else ()
    found = interactions(result, value, pairs=named, strongest=strongest, loss=loss, of=of, campaign=campaign)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    heading = f"{found.value} on {found.loss}, {len(found.pairs):,} pairs, {found.retrains:,} retrains"
    show_or_write(_table(found, result), heading, output)
    click.echo(f"\nNext: apportion explain {job} --train {int(found.pairs[0, 0])}")


def _pairs(text: str) -> tuple[Pair, ...]:
    found = []
    for part in text.split(","):
        first, mark, second = part.strip().partition(":")
        if not (mark and first.strip().isdecimal() and second.strip().isdecimal()):
            raise JobError(f"--pairs: {part.strip()!r} is no pair", mend="write pairs as 3:17,20:41")
        found.append((int(first), int(second)))
    return tuple(found)


def _table(found: PairValues, result: JobResult) -> pd.DataFrame:
    table, names = found.to_pandas(), result.train_names
    for column in ("first", "second"):
        places = table[column].tolist()
        if any(names[place] != str(place) for place in places):
            table[f"{column}_name"] = [names[place] for place in places]
    return table
