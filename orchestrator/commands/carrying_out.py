"""What `run` and `resume` share: signals, progress, closing words."""

import time
from pathlib import Path
from typing import Literal

import click

from orchestrator.closing import closing_words
from orchestrator.job_run import run
from orchestrator.jobs.job_file import load_job
from orchestrator.launching.parcel import settled
from orchestrator.phases import Phases, process_began
from orchestrator.progress import Screen
from orchestrator.remarks import remarks_by
from orchestrator.results import open_tracker
from orchestrator.signals import StopRequest, stop_on_signals
from orchestrator.tracking.patience import Patience


def carry_job_out(path: Path, *, start: Literal["fresh or stopped", "stopped"], cluster: str | None = None) -> None:
    """Carry out the job in the file at `path`, with Ctrl-C stopping it in order. cluster: in place of the file's."""
    with settled(path) as here:
        _carry_out(here, start, cluster)


def _carry_out(path: Path, start: Literal["fresh or stopped", "stopped"], cluster: str | None) -> None:
    phases = Phases(began=process_began())
    job = load_job(path)
    if cluster is not None:
        job = job.model_copy(update={"cluster": job.cluster.model_copy(update={"address": cluster})})
    screen = Screen()
    with remarks_by(screen.say), stop_on_signals(StopRequest()) as request:
        result = run(job, screen=screen, stopping=request, start=start, phases=phases)
    for sentence in result.headline:
        click.echo(sentence)
    ended = time.monotonic()
    screen.say(phases.words(ended))
    tracker = Patience(screen.say)(lambda: open_tracker(job))
    for line in closing_words(result, tracker, ended - phases.began):
        click.echo(line)
