"""What a job will cost and what its budget buys, from a pilot of a few retrains in this process."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, Float32Array, FloatArray, SeedArray
from estimators.designs.walk import Walk
from estimators.registry import value_method
from estimators.seeding import retrain_seeds
from estimators.subsets import subset_keys
from orchestrator.plan import chunk_rows, end_replicates
from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.walk_pilot import walk_pilot
from workers.chunk_types import Precision
from workers.errors import LearnerError
from workers.learner import Learner, Losses
from workers.smoke import SmokeReport

MOST_PILOT_DRAWS = 32
SECONDS_PER_PILOT = 5.0
BYTES_PER_STORED_LOSS = {"float32": 3.46, "float16": 1.9}
"""Measured: byte-stream-split, zstd 1."""


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """The standard error that a budget buys, in the loss's unit.

    per_pair: the mean over pairs (instance, test instance). per_instance: of a data value (the mean test loss), or of
    a value that is one number an instance.
    """

    value: str
    loss: str
    per_pair: float
    per_instance: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The cost of one campaign: retrains (end rows too), chunks, wall seconds on `workers`, bytes in the store.

    draws: of the retrains, those that the design draws; the others are the whole and the empty set. pilot_failed: how
    many of the pilot's retrains failed, as they would in the campaign; failure: why the first did.
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


def stored_bytes(
    rows: int, n: int, n_test: int, losses: int, *, train_losses: bool, precision: Precision = "float32"
) -> int:
    """Bytes of `rows` retrains in the store."""
    values = losses * (n_test + (n if train_losses else 0))
    return int(rows * (values * BYTES_PER_STORED_LOSS[precision] + n / 8 + 120))


def forecast(prepared: Prepared, report: SmokeReport, workers: int, say: Callable[[str], None]) -> list[Forecast]:
    """The cost of each campaign, and the standard error of each value, from a pilot on its own design."""
    learner = prepared.learner(together=report.together)
    forecasts = []
    for campaign in prepared.campaigns:
        say(f"pilot of {campaign.name}: {campaign.design.label}")
        forecasts.append(_forecast(prepared, campaign, learner, report, workers))
    return forecasts


def _forecast(
    prepared: Prepared, campaign: PlannedCampaign, learner: Learner, report: SmokeReport, workers: int
) -> Forecast:
    if isinstance(campaign.design, Walk):
        return _forecast_walks(prepared, campaign, campaign.design, learner, report, workers)
    data = prepared.loaded.dataset
    pilot = _pilot(prepared, campaign, learner, report.together)
    losses, train = pilot.test, pilot.train
    rows = campaign.draws + 1 + end_replicates(data.n, deterministic=report.traits.deterministic)
    size = stored_bytes(
        1, data.n, data.n_test, len(report.losses), train_losses=bool(train), precision=prepared.job.store.precision
    )
    per_chunk = chunk_rows(
        together=report.together, seconds_per_retrain=pilot.seconds, bytes_per_row=size, rows=rows, workers=workers
    )
    drawn = len(next(iter(losses.values())))
    return Forecast(
        campaign=campaign,
        retrains=rows,
        chunks=-(-rows // per_chunk),
        together=report.together,
        seconds=rows * pilot.seconds / workers,
        workers=workers,
        stored_bytes=rows * size,
        pilot_draws=drawn,
        errors=tuple(_errors(prepared, campaign, losses, train)) if drawn > 1 else (),
        draws=campaign.draws,
        pilot_failed=pilot.failed,
        failure=pilot.failure,
    )


def _forecast_walks(
    prepared: Prepared, campaign: PlannedCampaign, design: Walk, learner: Learner, report: SmokeReport, workers: int
) -> Forecast:
    pilot = walk_pilot(learner, design, prepared.loaded.train_identities, seed=prepared.job.learner.seed)
    ends = 1 + end_replicates(design.n, deterministic=report.traits.deterministic)
    errors = []
    for method in (each for each in map(value_method, prepared.values) if each.from_walks):
        for loss, spreads in pilot.spreads.items():
            pair, instance = (
                method.standard_error(spread, n=design.n, retrains=campaign.draws, design=design) for spread in spreads
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


@dataclass(frozen=True, slots=True)
class _Pilot:
    """Losses [drawn, ...] of the pilot's draws on tests and training instances, seconds a retrain, and failures."""

    test: dict[str, Float32Array]
    train: dict[str, Float32Array]
    seconds: float
    failed: int
    failure: str


def _pilot(prepared: Prepared, campaign: PlannedCampaign, learner: Learner, together: int) -> _Pilot:
    """The pilot of a campaign. Raises LearnerError where every retrain of it fails."""
    count = min(campaign.draws, max(MOST_PILOT_DRAWS, together))
    identities = prepared.loaded.train_identities
    parts: list[Losses] = []
    reasons: list[str] = []
    started, drawn = time.monotonic(), 0
    while drawn < count and (drawn == 0 or time.monotonic() - started < SECONDS_PER_PILOT):
        members = campaign.design.draws(drawn, min(drawn + together, count))
        keys = subset_keys(members, identities)
        seeds = retrain_seeds(prepared.job.learner.seed, keys, np.zeros(len(keys), dtype=np.int64))
        found = _trained(learner, members, seeds)
        parts += [each for each in found if not isinstance(each, str)]
        reasons += [each for each in found if isinstance(each, str)]
        drawn += len(members)
    seconds = (time.monotonic() - started) / drawn
    if not parts:
        raise LearnerError(f"{campaign.name}: all {drawn} retrains of the pilot fail, the first: {reasons[0]}")
    test = {name: np.concatenate([part.test[name] for part in parts]) for name in parts[0].test}
    train = {name: np.concatenate([(part.train or {})[name] for part in parts]) for name in parts[0].train or {}}
    return _Pilot(test, train, seconds, len(reasons), reasons[0] if reasons else "")


def _trained(learner: Learner, members: BoolArray, seeds: SeedArray) -> list[Losses | str]:
    """Losses of the retrains, or why one fails: of several together each alone, as in a campaign."""
    try:
        return [learner.retrain(members, seeds)]
    except Exception as error:  # noqa: BLE001 - a campaign records the failure and goes on, so the pilot counts it
        if len(members) == 1:
            return [f"{type(error).__name__}: {error}"]
    halves = np.array_split(np.arange(len(members)), 2)
    return [each for half in halves for each in _trained(learner, members[half], seeds[half])]


def _errors(
    prepared: Prepared, campaign: PlannedCampaign, losses: dict[str, Float32Array], train: dict[str, Float32Array]
) -> list[ExpectedError]:
    found = []
    for value in prepared.values:
        method = value_method(value)
        if method.accepts(campaign.design) or (method.needs_train_losses and not train):
            continue
        for loss, test_losses in losses.items():
            pairs = train[loss] if method.needs_train_losses else test_losses
            spread = float(np.mean(_deviation(pairs)))
            mean = spread if method.per_instance else float(_deviation(test_losses.mean(axis=1, keepdims=True))[0])
            predicted = [
                method.standard_error(
                    each, n=prepared.loaded.dataset.n, retrains=campaign.draws, design=campaign.design
                )
                for each in (spread, mean)
            ]
            found.append(ExpectedError(value, loss, predicted[0], predicted[1]))
    return found


def _deviation(losses: Float32Array) -> FloatArray:
    deviation: FloatArray = losses.astype(np.float64).std(axis=0, ddof=1)
    return deviation
