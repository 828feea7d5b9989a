"""`apportion methods`: designs and values, with paper and cost."""

import click

from estimators.interactions.indices import INTERACTIONS
from estimators.registry import DESIGNS, VALUES, value_method


@click.command(name="methods")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List designs and values, or show one value in full.

    Example: apportion methods banzhaf
    """
    if name is not None:
        _show(name)
        return
    click.echo("Values (from the losses of retrains):")
    for method in VALUES.values():
        click.echo(f"  {method.name:<16} {method.title}; from {', '.join(method.designs)}")
    click.echo("\nInteractions of pairs (apportion interactions JOB):")
    for index in INTERACTIONS.values():
        click.echo(f"  {index.name:<28} {index.title}; {index.paper}")
    click.echo("\nDesigns (which subsets are trained):")
    for entry in DESIGNS.values():
        click.echo(f"  {entry.name:<16} {entry.title}")
    click.echo("\nNext: apportion methods banzhaf, or apportion plan JOB")


def _show(name: str) -> None:
    method = value_method(name)
    rows = {
        "value": f"{method.name}: {method.title}",
        "meaning": method.meaning,
        "formula": method.formula,
        "source": f"{method.paper} ({method.equation})",
        "designs": ", ".join(method.designs),
        "gives": "one number an instance" if method.per_instance else "a matrix [n, n_test] and data values [n]",
        "cost": method.cost,
    }
    for key, text in rows.items():
        click.echo(f"{key:<8} {text}")
    if method.needs_train_losses:
        click.echo("needs    losses on the training instances (`train_losses: true`)")
    click.echo(f"\nNext: put it under `values:` in the job file, then apportion values JOB --value {name}")
