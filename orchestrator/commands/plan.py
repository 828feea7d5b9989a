"""`apportion plan`: what a job costs, before anything is spent."""

import math
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from estimators.planning import Predicted
from orchestrator.advice import advice
from orchestrator.errors import ResourceMissing
from orchestrator.expected_errors import ExpectedError
from orchestrator.gradients.forecast import gradient_lines
from orchestrator.jobs.job import Job
from orchestrator.jobs.job_file import load_job
from orchestrator.kept_pilot import keep_pilot, stored_campaigns
from orchestrator.pilot import Forecast, forecast
from orchestrator.placement import workers_that_fit
from orchestrator.preparation import Prepared, prepare, smoke
from orchestrator.progress import Screen, duration
from orchestrator.reuse import reuse
from orchestrator.spending import Spending, amount_words
from orchestrator.together_choice import ChoiceOfTogether
from orchestrator.tracking.client import prepare_environment
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import counted
from workers.together_pilot import TogetherChoice

RARE = 0.2
"""Share of losses that never varied in a pilot above which what it predicts is a lower bound."""


@click.command(name="plan")
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Carry the pilot out as the first retrains of the campaigns, and keep them.")
def command(job: Path, *, keep: bool) -> None:
    """Say what JOB costs (retrains, chunks, time, bytes) and the standard error its budget buys, from a short pilot.

    Retrains that the store has already are the pilot where they are 32 or more.

    Example: apportion plan examples/label_errors/job.yaml
    """
    screen = Screen()
    loaded = load_job(job)
    if keep:
        keep_pilot(loaded, screen)
    prepared = prepare(loaded, screen.say)
    workers = workers_that_fit(loaded)
    choice = _choice(prepared, workers, screen)
    report = smoke(prepared, together=None if choice is None else choice.together)
    data = prepared.loaded.dataset
    forecasts = forecast(prepared, report, workers, screen.say, stored_campaigns(loaded))
    click.echo(f"{loaded.name}: n = {data.n:,}, n_test = {data.n_test:,}, losses {', '.join(report.losses)}")
    click.echo(
        f"learner: {loaded.learner.kind}, {_together(report.traits.together, report.together, report.traits.reason)}"
    )
    if choice is not None and choice.sentence():
        click.echo(f"  rate of training steps against one at a time: {choice.sentence()}")
        if choice.still_rises and loaded.workers.gpus >= 1:
            click.echo("  the GPU is not filled: several workers may share it, workers: {gpus: 0.5}")
    already = reuse(prepared, report)
    for each in forecasts:
        _show(each)
        if each.campaign.id in already and (sentence := already[each.campaign.id].sentence()):
            click.echo(f"  {sentence}")
    if gradients := gradient_lines(prepared):
        click.echo("\n" + "\n".join(gradients))
    total = sum(each.stored_bytes for each in forecasts)
    free = shutil.disk_usage(loaded.folder).free
    time = f"{duration(sum(each.seconds for each in forecasts))} on {counted(workers, 'worker')}"
    click.echo(f"\nall: about {time}, {_size(total)} in the store ({_size(free)} free here)")
    for line in [*budget_lines(loaded, forecasts), *advice(prepared.values, forecasts)]:
        click.echo(line)
    click.echo(f"\nNext: apportion run {job}")


def budget_lines(job: Job, forecasts: Sequence[Forecast]) -> list[str]:
    """What the whole job would spend of each limit of its budget, and whether it would stop before its end."""
    hours = sum(each.seconds for each in forecasts) / 3600.0
    retrains, stored = sum(each.retrains for each in forecasts), sum(each.stored_bytes for each in forecasts)
    workers = max((each.workers for each in forecasts), default=1)
    amounts = Spending(hours, hours * workers, retrains, stored).amounts(job)
    lines = []
    for name, most in job.budget.limits().items():
        verdict = "" if amounts[name] <= most else ": it will stop before its end, and `apportion resume` goes on"
        lines.append(f"budget: {amount_words(name, amounts[name])} of {amount_words(name, most)}{verdict}")
    if "money" in amounts and job.budget.money is None:
        lines.append(f"price: {amounts['money']:.3g}, at {job.budget.price_per_hour:g} a worker and hour")
    return lines


def _choice(prepared: Prepared, workers: int, screen: Screen) -> TogetherChoice | None:
    """K as the job's store remembers it, else as a pilot finds it now."""
    job, choice = prepared.job, ChoiceOfTogether(prepared, workers, screen.say)
    prepare_environment()
    with suppress(ResourceMissing):  # a plan needs no store that answers
        tracker = Tracker.open(job.store, job.folder, job.name, create=False, say=screen.say)
        known = None if tracker is None else tracker.find_job_run()
        if tracker is not None and known is not None:
            choice.recall(tracker, known)
    return choice.get()


def _together(is_together: bool, together: int, reason: str) -> str:  # noqa: FBT001 - a fact to put into words
    if is_together:
        return f"{together} retrains train together as one program"
    return f"retrains are looped ({reason})" if reason else "retrains are looped"


def _show(each: Forecast) -> None:
    click.echo(f"\n{each.campaign.name}: {each.campaign.design.label}")
    ends = f"{each.draws:,} drawn, {each.retrains - each.draws:,} on all and on none of the instances"
    click.echo(f"  {counted(each.retrains, 'retrain')} ({ends}) in {counted(each.chunks, 'chunk')}")
    click.echo(f"  about {duration(each.seconds)}, {_size(each.stored_bytes)}")
    if each.pilot_failed:
        tried = each.pilot_failed + each.pilot_draws
        click.echo(f"  {each.pilot_failed} of {tried} pilot retrains failed, the first: {each.failure}")
        click.echo("  the campaign would store them as failures; mend the learner, or draw other subsets")
    if not each.errors:
        return
    click.echo(f"  standard errors that this buys (pilot of {each.pilot_draws} retrains):")
    for line in error_lines(each.errors, draws=each.draws):
        click.echo(f"    {line}")


def error_lines(errors: Sequence[ExpectedError], *, draws: int) -> list[str]:
    """The table of predicted errors: ~ stands before a figure that the pilot does not tell to a quarter.

    draws: of the campaign, which no pilot is longer than.
    """
    widths = [
        max(len(word), *map(len, words))
        for word, words in (("value", [each.value for each in errors]), ("loss", [each.loss for each in errors]))
    ]
    rows = [("value", "loss", "pair (i, test)", "instance", "")]
    rows += [(each.value, each.loss, _figure(each.pair), _figure(each.instance), _least(each)) for each in errors]
    lines = [
        f"{value:<{widths[0]}} {loss:<{widths[1]}} {pair:>16} {instance:>12}{least}".rstrip()
        for value, loss, pair, instance, least in rows
    ]
    rough = [each for each in errors if "~" in _figure(each.pair) + _figure(each.instance)]
    if rough:
        lines.append("~ roughly: the pilot is too short, or its losses too wild, to tell it to a quarter")
    most = max((each.settled_by for each in rough if math.isfinite(each.settled_by)), default=0.0)
    if most >= draws:
        lines.append("  no pilot shorter than the campaign would")
    elif most > 0.0:
        lines.append(
            f"  about {math.ceil(most):,} retrains of a pilot would (`apportion plan --keep` takes what it needs)"
        )
    return lines


def _figure(predicted: Predicted) -> str:
    if math.isnan(predicted.error):
        return "not known"
    return f"{'~' if predicted.rough else ''}{predicted.error:.3g}"


def _least(error: ExpectedError) -> str:
    return f"  at least: {error.unvaried:.0%} of the losses never varied in the pilot" if error.unvaried >= RARE else ""


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
