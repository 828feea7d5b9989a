"""`apportion doctor`: check this machine."""

from pathlib import Path

import click

from orchestrator.doctor import examine

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(name="doctor")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check versions, disk, memory, cores, GPU and rights on this machine; a line each, with how to mend.

    Example: apportion doctor
    """
    findings = examine(Path.cwd())
    for finding in findings:
        click.echo(f"{click.style(f'{finding.status:<5}', fg=COLOURS[finding.status])} {finding.name}: {finding.what}")
        if finding.mend:
            click.echo(f"      {finding.mend}")
    failed = sum(finding.status == "fail" for finding in findings)
    click.echo("\nNext: " + ("mend what fails, then apportion doctor" if failed else "apportion init my-job"))
    ctx.exit(4 if failed else 0)
