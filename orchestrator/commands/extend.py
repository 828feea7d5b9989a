"""`apportion extend`: new test instances or other losses from kept models."""

from pathlib import Path

import click

from orchestrator.extension.extend import extend
from orchestrator.jobs.job_file import load_job
from orchestrator.progress import Screen
from orchestrator.remarks import remarks_by
from orchestrator.signals import StopRequest, stop_on_signals


@click.command(name="extend")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--test", type=click.Path(path_type=Path), help="New test instances, a file as `data.test` in the job.")
@click.option("--losses", help="Other losses, by commas: zero_one,margin; default: those that the job keeps.")
@click.option("--name", help="What to call it; default: the file's stem, or the losses.")
def command(*, job: Path, test: Path | None, losses: str | None, name: str | None) -> None:
    """Add test instances or losses to JOB from its kept models (`keep: true` in learner): forward passes, no retrain.

    Example: apportion extend job.yaml --test new.npz
    """
    screen, loaded = Screen(), load_job(job)
    names = tuple(part.strip() for part in (losses or "").split(",") if part.strip())
    with remarks_by(screen.say), stop_on_signals(StopRequest()) as request:
        result = extend(loaded, test=test, losses=names, name=name, screen=screen, stopping=request)
    campaign = result.campaigns[0]
    said = result.test_set
    click.echo(f"{said}: {campaign.store.n_test:,} test instances, losses {', '.join(campaign.losses)}")
    click.echo(f"\nNext: apportion values {job} --value {campaign.value_names[0]} --test-set {said}")
