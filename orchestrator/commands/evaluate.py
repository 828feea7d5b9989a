"""`apportion evaluate`: how far each estimator can be trusted."""

from pathlib import Path

import click

from orchestrator.evaluation.evaluate import evaluate
from orchestrator.evaluation.keeping import keep_evaluation
from orchestrator.evaluation.record import Evaluation, Score
from orchestrator.jobs.job_file import load_job
from orchestrator.progress import Screen
from orchestrator.reporting import make_report
from orchestrator.results import open_result, open_tracker

_FILE = click.Path(path_type=Path)


@click.command(name="evaluate")
@click.argument("job", type=_FILE)
@click.option("--scores", multiple=True, type=_FILE, help="A score matrix from elsewhere (.npz) to judge as well.")
@click.option("--reference", multiple=True, type=_FILE, help="A score matrix (.npz) to correlate the others with.")
@click.option("--loss", help="A loss kept; default: the first.")
@click.option("--campaign", help="Whose last draws are held out; default: the first that draws at random.")
@click.option(
    "--hold-out", default=0.2, show_default=True, type=click.FloatRange(0.01, 0.9), help="Share of its draws held out."
)
@click.option("--removal", is_flag=True, help="Also retrain without the instances valued highest (a few retrains).")
def command(
    *,
    job: Path,
    scores: tuple[Path, ...],
    reference: tuple[Path, ...],
    loss: str | None,
    campaign: str | None,
    hold_out: float,
    removal: bool,
) -> None:
    """Judge the estimators of JOB on retrains that they have not seen, and show it in the report.

    Example: apportion evaluate job.yaml --scores tracin.npz
    """
    screen, loaded = Screen(), load_job(job)
    result, tracker = open_result(loaded), open_tracker(loaded)
    found = evaluate(
        result,
        scores=scores,
        references=reference,
        loss=loss,
        share=hold_out,
        campaign=campaign,
        removal=removal,
        screen=screen,
    )
    _show(found)
    paths = keep_evaluation(found, result, tracker)
    report = make_report(result, tracker, screen.say)
    click.echo(f"wrote {paths[0]} and {paths[1]}\nreport: {report.path}\n\nNext: open it in a browser")


def _show(found: Evaluation) -> None:
    click.echo(
        f"{found.subsets:,} subsets of {found.campaign} held out, {found.loss}; best possible score "
        f"{_figure(found.ceiling)} ({found.ceiling_source})"
    )
    references = list(dict.fromkeys(name for each in found.estimators for name in each.references))
    headings = ["datamodeling score", "label-error AUROC", *(f"with {name}" for name in references)]
    click.echo(f"  {'estimator':<28}" + "".join(f" {heading:>20}" for heading in headings))
    for each in found.estimators:
        scores = [each.datamodeling, each.label_errors, *(each.references.get(name, Score()) for name in references)]
        click.echo(f"  {each.name:<28}" + "".join(f" {_words(score):>20}" for score in scores))
    for difference in found.differences:
        click.echo(
            f"  {difference.better} predicts better than {difference.worse}, by {difference.difference:.3f} "
            f"with error {difference.standard_error:.3f}"
        )
    for point in found.removal:
        error = f" (error {point.standard_error:.3g})" if point.standard_error is not None else ""
        click.echo(f"  without {point.share:.0%} by {point.order}: mean loss rises by {point.rise:.4g}{error}")
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def _words(score: Score) -> str:
    if score.value is None:
        return "-"
    return f"{score.value:.3f} (error {_figure(score.standard_error)})"


def _figure(number: float | None) -> str:
    return "unknown" if number is None else f"{number:.3f}"
