"""Top lists and sums over groups as tables: on the terminal, or as CSV or Parquet."""

from pathlib import Path

import click
import numpy as np
import pandas as pd

from estimators.gradient.top_scores import TopScores
from orchestrator.errors import JobError
from orchestrator.export import safe_cell
from orchestrator.gradients.values import GradientValues
from orchestrator.replaced_file import replaced_file
from orchestrator.results import JobResult

_ROWS_SHOWN = 40


def gradient_table(result: JobResult, found: GradientValues) -> pd.DataFrame:
    """One row a test instance and place in its top list, or one a group and test instance (test_index -1: the mean)."""
    if found.groups is not None:
        names = np.array(found.group_names)
        n_test = found.groups.shape[1]
        every = np.concatenate([found.groups.mean(axis=1)[:, None], found.groups], axis=1)
        tests = np.tile(np.arange(-1, n_test), len(names))
        return pd.DataFrame(
            {"group": np.repeat(names, n_test + 1), "test_index": tests, "influence": every.ravel()}
        ).sort_values(["test_index", "influence"], ascending=[True, False], kind="stable")
    sides = [
        _side(result, top, side)
        for side, top in (("proponent", found.proponents), ("opponent", found.opponents))
        if top is not None
    ]
    return pd.concat(sides).sort_values(["test_index", "side", "place"], ascending=[True, False, True], kind="stable")


def _side(result: JobResult, top: TopScores, side: str) -> pd.DataFrame:
    count, n_test = top.values.shape
    index = top.indices.T.ravel()
    table = pd.DataFrame(
        {
            "test_index": np.repeat(np.arange(n_test), count),
            "side": side,
            "place": np.tile(np.arange(1, count + 1), n_test),
            "train_index": index,
            "name": [result.train_names[i] for i in index],
            "influence": top.values.T.ravel(),
        }
    )
    return table[table["influence"] > 0 if side == "proponent" else table["influence"] < 0]


def show_gradients(result: JobResult, found: GradientValues, output: Path | None, file_format: str | None) -> None:
    """Show the table, or write it by FILE's ending. Raises JobError for an ending that is no table's."""
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    table = gradient_table(result, found)
    if output is None:
        click.echo(f"{found.spec.label} on {found.loss}, {found.spec.given}, {len(table):,} rows")
        click.echo(table.head(_ROWS_SHOWN).to_string(index=False, float_format=lambda number: f"{number:.4g}"))
        click.echo("\nNext: the same with -o values.parquet (or .csv)")
        return
    chosen = file_format or output.suffix.lstrip(".")
    if chosen not in {"csv", "parquet"}:
        raise JobError(
            f"{found.spec.label} gives a table: {chosen!r} cannot hold it", mend="-o values.csv, or .parquet"
        )
    with replaced_file(output) as stream:
        if chosen == "parquet":
            table.to_parquet(stream, index=False)
        else:
            texts = [column for column in ("group", "name") if column in table]
            safe = table.assign(**{column: [safe_cell(str(text)) for text in table[column]] for column in texts})
            stream.write(safe.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace"))
    click.echo(f"wrote {output}\n\nNext: apportion report {result.job.origin.path or 'JOB'}")
