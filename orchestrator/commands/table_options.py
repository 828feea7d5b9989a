"""What commands share that compute a table from the stored losses: which losses, from where, and a CSV file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd

from orchestrator.export import safe_cell
from orchestrator.replaced_file import replaced_file
from orchestrator.wording import shown

_OPTIONS = (
    click.option("--loss", help="A loss kept; default: the first."),
    click.option("--of", help='A function of the losses kept, such as "clip(cross_entropy, 0.5)".'),
    click.option("--campaign", help="The campaign to compute it from; default: the first that permits it."),
    click.option(
        "-o", "--output", type=click.Path(path_type=Path), help="A CSV file to write; default: show the table."
    ),
)


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --loss, --of, --campaign and --output."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show_or_write(table: pd.DataFrame, heading: str, output: Path | None) -> None:
    """The table on the terminal, below a heading, or in a CSV file, whole or not at all.

    Texts are shown with control characters escaped, and written so that no spreadsheet runs them.
    """
    if output is None:
        click.echo(f"{heading}\n{for_terminal(table).to_string(index=False, float_format=lambda x: f'{x:.4g}')}")
        return
    with replaced_file(output) as stream:
        safe = _with_texts(table, safe_cell)
        stream.write(safe.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace"))
    click.echo(f"wrote {output}")


def for_terminal(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its texts as a terminal may be sent them."""
    return _with_texts(table, shown)


def _with_texts(table: pd.DataFrame, form: Callable[[str], str]) -> pd.DataFrame:
    texts = {
        name: [form(cell) if isinstance(cell, str) else cell for cell in table[name]]
        for name in table.columns
        if not pd.api.types.is_numeric_dtype(table[name])
    }
    return table.assign(**texts)
