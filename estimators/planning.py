"""Standard errors that a budget will buy, predicted from a pilot: retrains that stay in the campaign.

Of influences the campaign is carried out in imagination: losses of its own planned subsets are drawn from a Gaussian
process that the pilot fits (`surrogates.loss_field`), and go through the very aggregator that the campaign will use. So
whatever that estimator does with pairs, weights, walks and what it learns from rows is in the prediction. At most 1,024
rows are imagined; from there errors fall as 1 / sqrt(K).

Values of an instance's own loss are means: their error on the pilot falls as 1 / sqrt(K).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimators.aggregators.blocks import Again, aggregate
from estimators.aggregators.protocol import Aggregator
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.loss_field import LossField, fitted_field

MOST_ROWS = 1024
MOST_COLUMNS = 32
SEED = 20_000
"""Of the imagined losses: the same pilot gives the same prediction."""

ENOUGH_ROWS = 6
"""Retrains an instance from which predictions were within a quarter for nearly all values and learners tried."""

Maker = Callable[[EndRows], Aggregator[Any, Any]]


@dataclass(frozen=True, slots=True)
class PredictedErrors:
    """Mean standard errors in the loss's unit: of pairs (instance, test), and of data values; NaN = not known.

    rough: the pilot has less than 6 retrains an instance, and less than a quarter of the budget.
    """

    per_pair: float
    per_instance: float
    rough: bool = False


@dataclass(frozen=True, slots=True)
class Pilot:
    """Retrains and end rows of the same loss, with the fields fitted to some tests and to the mean test."""

    rows: Retrains
    tests: LossField
    ends: EndRows
    mean: LossField
    mean_ends: EndRows


def fitted_pilot(rows: Retrains, ends: EndRows) -> Pilot:
    """The pilot of retrains that have at least two different losses."""
    chosen = np.unique(np.linspace(0, rows.losses.shape[1] - 1, min(MOST_COLUMNS, rows.losses.shape[1])).astype(int))
    some, mean = _columns(ends, lambda x: x[..., chosen]), _columns(ends, lambda x: x.mean(axis=-1, keepdims=True))
    losses = rows.losses.astype(np.float64)
    return Pilot(
        rows,
        fitted_field(rows.members, losses[:, chosen], some),
        some,
        fitted_field(rows.members, losses.mean(axis=1, keepdims=True), mean),
        mean,
    )


def _columns(ends: EndRows, of: Callable[[FloatArray], FloatArray]) -> EndRows:
    full, empty = (of(np.asarray(each, dtype=np.float64)) for each in (ends.full, ends.empty))
    return EndRows(full=full, empty=empty, deterministic=ends.deterministic)


def imagined_errors(make: Maker, pilot: Pilot, design: Design, *, draws: int) -> PredictedErrors:
    """What `draws` draws of the pilot's design will give. make: the value's aggregator."""
    pair = imagined_pair_error(make, pilot, design, draws=draws)
    instance = _imagined_error(make, pilot.mean, pilot.mean_ends, design, draws, MOST_ROWS)
    return PredictedErrors(pair, instance, rough=_is_short(pilot, design, draws))


def _is_short(pilot: Pilot, design: Design, draws: int) -> bool:
    """Whether the pilot lacks a whole unit and more of what predicts well."""
    return len(pilot.rows.members) + design.unit_rows <= enough_draws(design.n, draws)


def imagined_pair_error(make: Maker, pilot: Pilot, design: Design, *, draws: int, most: int = MOST_ROWS) -> float:
    """The mean standard error of pairs (instance, test) after `draws` draws of any design; most: rows imagined."""
    return _imagined_error(make, pilot.tests, pilot.ends, design, draws, most)


def _imagined_error(make: Maker, field: LossField, ends: EndRows, design: Design, draws: int, most: int) -> float:
    rows = min(draws // design.unit_rows, max(2, most // design.unit_rows)) * design.unit_rows
    members = design.draws(0, rows)
    losses = field.drawn(members, np.random.default_rng(SEED))
    retrains = Retrains(members, losses, draws=np.arange(rows), units=design.units(0, rows))
    return float(_errors_of(make(ends), retrains)[0] * np.sqrt(rows / draws))


def enough_draws(n: int, budget: int) -> int:
    """Draws of a pilot that predicts well what a budget of draws buys."""
    return min(ENOUGH_ROWS * n, budget // 4)


def mean_errors(make: Callable[[], Aggregator[Any, Any]], pilot: Retrains, *, units: int) -> PredictedErrors:
    """What `units` units will give of a value that is a mean, from the whole units of a pilot."""
    seen = len(pilot.members) if pilot.units is None else len(np.unique(pilot.units))
    return PredictedErrors(*(_errors_of(make(), pilot) * np.sqrt(seen / units)).tolist())


def _errors_of(aggregator: Aggregator[Any, Any], rows: Retrains) -> FloatArray:
    """Mean standard errors of pairs and of data values, [2]; NaN where there are too few rows for them."""
    try:
        with np.errstate(all="ignore"):
            found = aggregate(aggregator, Again(lambda: iter([rows])))
    except EstimatorError:
        return np.full(2, np.nan)
    mean = found.mean.standard_errors if isinstance(found, Influence) else found.standard_errors
    return np.array([_finite_mean(found.standard_errors), _finite_mean(mean)])


def _finite_mean(errors: FloatArray) -> float:
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")
