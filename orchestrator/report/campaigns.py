"""The sections on what it cost, how it converged, and what failed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.report.axes import horizontal, vertical
from orchestrator.report.charts import Chart, Series, lines
from orchestrator.report.contents import CampaignFacts, Convergence, ReportInput
from orchestrator.report.phrases import count, duration, loss_in_words, shorten, value_in_words
from orchestrator.wording import last_line, size

CURVES = ("one", "two", "three", "four")
FAILURES_SHOWN = 30


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """One campaign in the table."""

    name: str
    design: str
    planned: str
    stored: str
    spared: str
    failed: str
    together: str
    seconds: str
    worker_seconds: str
    rate: str
    stored_bytes: str
    run: str


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One reason for failures in the table."""

    campaign: str
    reason: str
    count: str
    attempts: str
    subset: str


def campaign_rows(contents: ReportInput) -> list[CampaignRow]:
    """The table of campaigns."""
    return [_campaign(facts) for facts in contents.campaigns]


def _campaign(facts: CampaignFacts) -> CampaignRow:
    trained = facts.stored - facts.spared
    rate = trained / facts.seconds if facts.seconds > 0 else float("nan")
    return CampaignRow(
        name=facts.name,
        design=facts.design,
        planned=count(facts.planned),
        stored=count(facts.stored),
        spared=count(facts.spared),
        failed=count(facts.failed),
        together=count(facts.together),
        seconds=duration(facts.seconds),
        worker_seconds=duration(facts.worker_seconds),
        rate=f"{rate:,.1f}" if rate == rate and trained else "",  # noqa: PLR0124 - NaN alone differs from itself
        stored_bytes=size(facts.stored_bytes),
        run=facts.run,
    )


def failure_rows(contents: ReportInput) -> list[FailureRow]:
    """The table of failures, the most frequent reasons first."""
    ordered = sorted(contents.failures, key=lambda failure: -failure.count)
    return [
        FailureRow(
            campaign=failure.campaign,
            reason=shorten(last_line(failure.reason), 300),
            count=count(failure.count),
            attempts=count(failure.attempts),
            subset=shorten(failure.subset, 16),
        )
        for failure in ordered[:FAILURES_SHOWN]
    ]


def convergence_charts(contents: ReportInput) -> list[Chart]:
    """Standard error, certain signs and rank stability over retrains, for the values on the loss shown."""
    series = [curve for curve in contents.convergence if curve.loss == contents.loss] or list(contents.convergence)
    loss = loss_in_words(series[0].loss) if series else ""
    charts = [
        _over_retrains(f"Mean standard error ({loss})", series, lambda curve: curve.mean_standard_error, shares=False),
        _over_retrains("Data values of certain sign", series, lambda curve: curve.certain_share, shares=True),
        _over_retrains("Rank stability of the two halves", series, lambda curve: curve.rank_stability, shares=False),
    ]
    return [chart for chart in charts if chart is not None]


def _over_retrains(
    title: str, series: Sequence[Convergence], of: Callable[[Convergence], Sequence[float]], *, shares: bool
) -> Chart | None:
    shown = series[: len(CURVES)]
    x = horizontal("retrains", [0.0, *(float(r) for curve in shown for r in curve.retrains)], tight=True)
    y = vertical("", [0.0, *(value for curve in shown for value in of(curve))], shares=shares)
    curves = [
        (Series(_curve_name(curve), style), [float(r) for r in curve.retrains], of(curve))
        for curve, style in zip(shown, CURVES, strict=False)
    ]
    return lines(title, x, y, curves)


def _curve_name(curve: Convergence) -> str:
    name = value_in_words(curve.value, curve.loss)
    return name if curve.campaign in {"", curve.value} else f"{name} ({curve.campaign})"
