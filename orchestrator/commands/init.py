"""`apportion init`: a starter job to edit."""

from pathlib import Path

import click

from orchestrator.starter import write_starter


@click.command(name="init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def command(folder: Path) -> None:
    """Write a commented job.yaml and model.py into FOLDER (default: here); nothing is overwritten.

    Example: apportion init my-job
    """
    for path in write_starter(folder):
        click.echo(f"wrote {path}")
    click.echo(f"\nNext: edit them, then apportion plan {folder / 'job.yaml'}")
