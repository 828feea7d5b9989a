"""What a job will cost and what its budget buys, from a pilot of a few retrains in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from estimators.designs.walk import Walk
from estimators.pilot_length import LEAST, MOST
from estimators.planning import Predicted, few_walks_doubt
from estimators.registry import value_method
from orchestrator.campaign import Campaign
from orchestrator.expected_errors import ExpectedError, expected_errors
from orchestrator.loss_view import LossSource
from orchestrator.pilot_rows import PilotRows, pilot_rows
from orchestrator.plan import chunk_rows, end_replicates
from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.walk_pilot import walk_pilot
from workers.chunk_types import Precision
from workers.learner import Learner
from workers.smoke import SmokeReport

BYTES_PER_STORED_LOSS = {"float32": 3.46, "float16": 1.9}
"""Measured: byte-stream-split, zstd 1."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The cost of one campaign: retrains (end rows too), chunks, wall seconds on `workers`, bytes in the store.

    draws: of the retrains, those that the design draws; the others are the whole and the empty set. pilot_failed: how
    many of the pilot's retrains failed, as they would in the campaign; failure: why the first did. source: the pilot's
    losses, where values can be read off them.
    """

    campaign: PlannedCampaign
    retrains: int
    chunks: int
    together: int
    seconds: float
    workers: int
    stored_bytes: int
    pilot_draws: int
    errors: tuple[ExpectedError, ...]
    draws: int
    pilot_failed: int = 0
    failure: str = ""
    source: LossSource | None = None


def stored_bytes(
    rows: int,
    n: int,
    n_test: int,
    losses: int,
    *,
    train_losses: bool,
    precision: Precision = "float32",
    model_bytes: int = 0,
) -> int:
    """Bytes of `rows` retrains in the store. model_bytes: of each one's model, where it is kept."""
    values = losses * (n_test + (n if train_losses else 0))
    return int(rows * (values * BYTES_PER_STORED_LOSS[precision] + n / 8 + 120 + model_bytes))


def forecast(
    prepared: Prepared,
    report: SmokeReport,
    workers: int,
    say: Callable[[str], None],
    stored: Mapping[str, Campaign] | None = None,
) -> list[Forecast]:
    """The cost of each campaign, and the standard error of each value, from a pilot on its own design.

    stored: campaigns by id as far as the store has them; 32 or more of their draws take the pilot's place for errors.
    """
    learner = prepared.learner(together=report.together)
    forecasts = []
    for campaign in prepared.campaigns:
        say(f"pilot of {campaign.name}: {campaign.design.label}")
        forecasts.append(_forecast(prepared, campaign, learner, report, workers, (stored or {}).get(campaign.id)))
    return forecasts


def _forecast(
    prepared: Prepared,
    campaign: PlannedCampaign,
    learner: Learner,
    report: SmokeReport,
    workers: int,
    stored: Campaign | None,
) -> Forecast:
    if isinstance(campaign.design, Walk):
        return _forecast_walks(prepared, campaign, campaign.design, learner, report, workers)
    data = prepared.loaded.dataset
    pilot = pilot_rows(prepared, campaign, learner, report)
    rows = campaign.draws + 1 + end_replicates(data.n, deterministic=report.traits.deterministic)
    size = stored_bytes(
        1,
        data.n,
        data.n_test,
        len(report.losses),
        train_losses=pilot.train_losses,
        precision=prepared.job.store.precision,
        model_bytes=report.model_bytes,
    )
    per_chunk = chunk_rows(
        together=report.together, seconds_per_retrain=pilot.seconds, bytes_per_row=size, rows=rows, workers=workers
    )
    source, drawn, errors = _errors(prepared, campaign, pilot, stored)
    return Forecast(
        campaign=campaign,
        retrains=rows,
        chunks=-(-rows // per_chunk),
        together=report.together,
        seconds=rows * pilot.seconds / workers,
        workers=workers,
        stored_bytes=rows * size,
        pilot_draws=drawn,
        errors=errors,
        draws=campaign.draws,
        pilot_failed=len(pilot.failed),
        failure=pilot.failed[0] if pilot.failed else "",
        source=source,
    )


def _errors(
    prepared: Prepared, campaign: PlannedCampaign, pilot: PilotRows, stored: Campaign | None
) -> tuple[LossSource | None, int, tuple[ExpectedError, ...]]:
    """What the errors are predicted from, how many draws it has, and the errors: the store, where it has more."""
    source: LossSource | None = pilot.source()
    drawn, train = pilot.drawn - len(pilot.failed), pilot.train_losses
    if stored is not None and stored.plan.draws >= max(LEAST, pilot.drawn, 2 * campaign.design.unit_rows):
        most = max(MOST, 2 * campaign.design.unit_rows)
        source, drawn, train = stored, min(stored.plan.draws, most), stored.has_train_losses
        drawn -= drawn % campaign.design.unit_rows
    if source is None or drawn < 2:
        return None, drawn, ()
    found = expected_errors(
        source, campaign.design, prepared.values, draws=campaign.draws, pilot=drawn, train_losses=train
    )
    return source, drawn, tuple(found)


def _forecast_walks(
    prepared: Prepared, campaign: PlannedCampaign, design: Walk, learner: Learner, report: SmokeReport, workers: int
) -> Forecast:
    pilot = walk_pilot(learner, design, prepared.loaded.train_identities, seed=prepared.job.learner.seed)
    ends = 1 + end_replicates(design.n, deterministic=report.traits.deterministic)
    errors = []
    for method in (each for each in map(value_method, prepared.values) if each.from_walks):
        for loss, spreads in pilot.spreads.items():
            pair, instance = (
                Predicted(
                    method.standard_error(spread, n=design.n, retrains=campaign.draws, design=design),
                    few_walks_doubt(pilot.walks),
                    pilot.walks,
                )
                for spread in spreads
            )
            errors.append(ExpectedError(method.label, loss, pair, instance))
    return Forecast(
        campaign=campaign,
        retrains=campaign.draws + ends,
        chunks=-(-(campaign.draws + ends) // report.together),
        together=report.together,
        seconds=(campaign.draws * pilot.seconds + ends * report.seconds_per_retrain) / workers,
        workers=workers,
        stored_bytes=int(campaign.draws * pilot.stored),
        pilot_draws=pilot.walks,
        errors=tuple(errors),
        draws=campaign.draws,
    )
