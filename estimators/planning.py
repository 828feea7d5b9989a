"""Standard errors that a budget will buy, predicted from a pilot: retrains that stay in the campaign.

Of influences the campaign is carried out in `imagination`, through the very aggregator that it will use, so whatever
that estimator does with pairs, weights, walks and what it learns from rows is in the prediction. The pilot is imagined
anew as well: how much more the aggregator finds in the pilot itself is what the imagination is wrong by, and half of it
is corrected for. The mean of the logs of the errors is the prediction; their standard deviation is its doubt, with what
the pilot leaves open of the spread of losses and of that wrong.

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
from estimators.imagination import Maker, Pilot, errors_of, gaps, imagined_logs
from estimators.retrains import Retrains
from estimators.surrogates.field_scales import effective_columns

WRONG = 0.3
"""By how much imagination may be wrong of the log of an error: the standard deviation, before the pilot is asked."""

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
    ratio = np.array([0.0, math.log(pilot.mean_ratio)])
    logs = imagined_logs(make, pilot, design, draws=draws) + ratio
    wrong = gaps(make, pilot, design)
    tests = pilot.field.scales.columns
    pair, instance = (
        _predicted(logs[:, place], wrong[:, place], columns, pilot, design, draws)
        for place, columns in enumerate((tests, min(tests, 1.0)))  # data values are of one column
    )
    return PredictedErrors(pair, instance)


def _predicted(
    logs: FloatArray, wrong: FloatArray, columns: float, pilot: Pilot, design: Design, draws: int
) -> Predicted:
    """The prediction from the logs of the errors found at each setting, and from the gaps [settings], and its doubt.

    A gap tells what the process is wrong by, `WRONG` or so, with the chance that the units of the pilot leave. How much
    of it remains at the budget is not known: anything from nothing to all. columns: independent ones that tell it.
    """
    count = len(pilot.rows.members)
    if np.isneginf(logs).all():  # losses that never varied
        return Predicted(0.0, 0.0, count)
    if not np.isfinite(logs).all():
        return Predicted(float("nan"), float("nan"), count)
    chance = 1.0 / (2.0 * columns * pilot.field.evenness())  # of the log of a spread by one unit
    by_pilot, by_campaign = chance * design.unit_rows / count, chance * design.unit_rows / draws
    trust = WRONG**2 / (WRONG**2 + by_pilot) if np.isfinite(wrong).all() else 0.0
    gap = trust * np.where(np.isfinite(wrong), wrong, 0.0)
    corrected = logs + gap / 2.0
    left = ((1.0 - trust) * WRONG) ** 2 + float(gap.mean()) ** 2 / 12.0
    told = float(corrected.var()) * pilot.field.scales.columns / columns  # settings are as sure as all columns are
    halves = 1.0 - (1.0 - trust / 2.0) ** 2  # of the chance of the pilot, which the gap and the field have in common
    variance = told + left + halves * by_pilot + 2.0 * by_campaign
    return Predicted(float(np.exp(corrected.mean())), math.sqrt(variance), count)


def mean_errors(make: Callable[[], Aggregator[Any, Any]], pilot: Retrains, *, units: int) -> PredictedErrors:
    """What `units` units will give of a value that is a mean, from the whole units of a pilot."""
    seen = len(pilot.members) if pilot.units is None else len(np.unique(pilot.units))
    losses = pilot.losses if pilot.train_losses is None else pilot.train_losses
    pair, instance = (errors_of(make(), pilot) * np.sqrt(seen / units)).tolist()
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
