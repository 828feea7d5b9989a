"""Standard errors that a budget will buy, predicted from a pilot: retrains that stay in the campaign.

Of influences the campaign is carried out in `imagination`, through the very aggregator that it will use, so whatever
that estimator does with pairs, weights, walks and what it learns from rows is in the prediction. The pilot is imagined
anew as well: how much more the aggregator finds in the pilot itself is what the imagination is wrong by, and half of it
is corrected for. The mean of the logs of the errors is the prediction. The variance of its log has five parts, whose
weights were fitted to what campaigns delivered (decision 89): how the errors differ from setting to setting, what the
pilot leaves open of that wrong, the wrong itself, the chance of the rows, and the way still to go, on which estimators
learn what no pilot shows.

Values of an instance's own loss are means: their error on the pilot falls as 1 / sqrt(K).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimators.aggregators.protocol import Aggregator
from estimators.arrays import AnyArray, FloatArray
from estimators.designs.protocol import Design
from estimators.imagination import MOST_ROWS, MOST_ROWS_IN_DOUBT, Maker, finite_mean, gaps, imagined_logs, result_of
from estimators.influence import Influence
from estimators.pilot_fields import Pilot
from estimators.retrains import Retrains
from estimators.surrogates.field_scales import effective_columns, size_places
from estimators.surrogates.loss_field import LossField

WRONG = 0.25
"""By how much imagination may be wrong of the log of an error: the standard deviation, before the pilot is asked."""

REMAINING = 0.15
"""Share of the square of a gap between pilot and imagination that is doubt: it may be gone at the budget, or whole."""

SETTINGS_TELL = 0.7
CHANCE_TELLS = 0.2
"""Shares of the variance between settings, and of the chance of the rows: the two overlap."""

LEARNT = 0.055
"""By how much the log of an error may be wrong for each unit of log(rows learnt from at the budget / pilot)."""

MOST_DOUBT = 0.125
"""Of a prediction that is trusted to a quarter: two standard deviations of its log."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """A mean standard error in the loss's unit, NaN = not known. doubt: the standard deviation of its log.

    pilot: retrains that it was told from.
    """

    error: float
    doubt: float
    pilot: int

    @property
    def rough(self) -> bool:
        """Whether it may well be off by more than a quarter."""
        return not self.doubt <= MOST_DOUBT

    @property
    def settled_by(self) -> float:
        """About how many retrains a pilot needs for a prediction that is not rough; its doubt falls as their root."""
        return self.pilot * max(1.0, (self.doubt / MOST_DOUBT) ** 2)


@dataclass(frozen=True, slots=True)
class PredictedErrors:
    """Mean standard errors of pairs (instance, test), and of data values."""

    pair: Predicted
    instance: Predicted


def imagined_errors(make: Maker, pilot: Pilot, design: Design, *, draws: int) -> PredictedErrors:
    """What `draws` draws of the pilot's design will give. make: the value's aggregator."""
    doubt = max(MOST_ROWS_IN_DOUBT, len(pilot.rows.members) + MOST_ROWS_IN_DOUBT // 2)  # more rows than are trained
    logs, wrong = imagined_logs(make, pilot, design, draws=draws, doubt=doubt), gaps(make, pilot, design)
    pair, instance = (
        _predicted(logs[:, place], wrong[:, place], field, pilot, design, draws)
        for place, field in enumerate((pilot.tests, pilot.mean))
    )
    return PredictedErrors(pair, instance)


def _predicted(
    logs: FloatArray, wrong: FloatArray, field: LossField, pilot: Pilot, design: Design, draws: int
) -> Predicted:
    """The prediction from the logs of the errors found at each setting, and from the gaps [settings], and its doubt.

    A gap tells what the process is wrong by, `WRONG` or so, with the chance that the units of the pilot leave. How much
    of it remains at the budget is not known: anything from nothing to all. field: of the losses that they are of.
    """
    count = len(pilot.rows.members)
    if np.isneginf(logs).all():  # losses that never varied
        return Predicted(0.0, 0.0, count)
    if not np.isfinite(logs).all():
        return Predicted(float("nan"), float("nan"), count)
    evenness = _evenness(pilot.rows, field)
    chance = CHANCE_TELLS * design.unit_rows / (2.0 * field.scales.columns * evenness)  # of the log of a spread
    trust = WRONG**2 / (WRONG**2 + chance / count) if np.isfinite(wrong).all() else 0.0
    gap = trust * np.where(np.isfinite(wrong), wrong, 0.0)
    corrected = logs + gap / 2.0
    parts = (
        SETTINGS_TELL * float(corrected.var()),
        ((1.0 - trust) * WRONG) ** 2,
        REMAINING * float(gap.mean()) ** 2,
        chance / count + chance / draws,
        (LEARNT * max(0.0, math.log(min(draws, MOST_ROWS) / count))) ** 2,
    )
    return Predicted(float(np.exp(corrected.mean())), math.sqrt(sum(parts)), count)


def _evenness(rows: Retrains, field: LossField) -> float:
    """(sum h)^2 / (m sum h^2) over m units, h the variance that the field gives a unit: 1 where all tell as much."""
    level = np.exp(size_places(rows.members) @ field.scales.best().slopes)
    of_units = level if rows.units is None else np.bincount(np.unique(rows.units, return_inverse=True)[1], level)
    return float(of_units.sum() ** 2 / (of_units**2).sum() / len(of_units))


def mean_errors(make: Callable[[], Aggregator[Any, Any]], pilot: Retrains, *, units: int) -> PredictedErrors:
    """What `units` units will give of a value that is a mean, from the whole units of a pilot."""
    seen = len(pilot.members) if pilot.units is None else len(np.unique(pilot.units))
    losses = pilot.losses if pilot.train_losses is None else pilot.train_losses
    pair, instance = (_errors_of(make(), pilot) * np.sqrt(seen / units)).tolist()
    doubt = spread_doubt(losses)
    return PredictedErrors(*(Predicted(error, doubt, len(losses)) for error in (pair, instance)))


def spread_doubt(losses: AnyArray) -> float:
    """The standard deviation of the log of the typical spread of the columns of losses [m, c], told by their rows."""
    off = losses.astype(np.float64) - losses.mean(axis=0, dtype=np.float64)
    squares = off[:, off.any(axis=0)] ** 2
    if len(losses) < 2 or not squares.size:
        return 0.0
    return 0.5 * math.sqrt(2.0 / (effective_columns(squares / squares.mean(axis=0)) * len(losses)))


def few_walks_doubt(walks: int) -> float:
    """The same of normal marginals that `walks` independent walks tell, were all instances and tests as one."""
    return 0.5 * math.sqrt(2.0 / walks)


def _errors_of(aggregator: Aggregator[Any, Any], rows: Retrains) -> FloatArray:
    """Mean standard errors of pairs and of data values, [2]; NaN where there are too few rows for them."""
    found = result_of(aggregator, rows)
    if found is None:
        return np.full(2, np.nan)
    mean = found.mean.standard_errors if isinstance(found, Influence) else found.standard_errors
    return np.array([finite_mean(found.standard_errors), finite_mean(mean)])
