"""Standard errors that a budget will buy, predicted from the values of a pilot: its first units of draws.

The pilot goes through the very aggregator that the campaign will use, so that whatever that estimator does (weights,
pairs, control variates) is in the prediction. Its mean standard error over all cells, e(U), is carried on to the budget
as e(U) (U / budget)^b. The power b is 1/2 for a mean, and so for values of an instance's own loss; a regression takes
up more of the spread the more rows it has, and then errors fall faster for a while. So for influences b is 1/2 plus
what the error falls faster, from half of the pilot to the whole, than that of a plain difference of means on the same
rows, which has the same chances of few rows on a side; at most 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimators.aggregators.blocks import Again, aggregate
from estimators.aggregators.protocol import Aggregator
from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.influence import Influence
from estimators.retrains import Retrains


@dataclass(frozen=True, slots=True)
class PredictedErrors:
    """Mean standard errors in the loss's unit: of pairs (instance, test), and of data values; NaN = not known.

    learning: the estimator still gained from further rows at the pilot's end, so that the prediction is a rough one.
    """

    per_pair: float
    per_instance: float
    learning: bool = False


LEARNING = 0.6
"""A power of the error's fall above which an estimator still learns."""

Maker = Callable[[], Aggregator[Any, Any]]


def predicted_errors(make: Maker, plain: Maker | None, pilot: Retrains, *, budget: int) -> PredictedErrors:
    """What `budget` units will give, from the whole units of a pilot. make: the value's aggregator, anew a call.

    plain: that of a difference of means on the same losses; None = the value is a mean itself.
    """
    units = np.arange(len(pilot.members)) if pilot.units is None else pilot.units
    there = np.unique(units)
    half = there[(len(there) - 1) // 2]
    first, seen, before = pilot.rows(units <= half), len(there), int((there <= half).sum())
    whole = _errors_of(make, pilot)
    if plain is None:
        return PredictedErrors(*(whole * np.sqrt(seen / budget)).tolist())
    falls = [np.log(_errors_of(each, first)) - np.log(_errors_of(each, pilot)) for each in (make, plain)]
    faster = (falls[0] - falls[1]) / np.log(seen / before)
    powers = np.clip(0.5 + np.where(np.isfinite(faster), faster, 0.0), 0.5, 1.0)
    pair, instance = (whole * (seen / budget) ** powers).tolist()
    return PredictedErrors(pair, instance, learning=bool(powers.max() > LEARNING))


def _errors_of(make: Maker, rows: Retrains) -> FloatArray:
    """Mean standard errors of pairs and of data values, [2]; NaN where there are too few rows for them."""
    try:
        with np.errstate(all="ignore"):
            found = aggregate(make(), Again(lambda: iter([rows])))
    except EstimatorError:
        return np.full(2, np.nan)
    mean = found.mean.standard_errors if isinstance(found, Influence) else found.standard_errors
    return np.array([_finite_mean(found.standard_errors), _finite_mean(mean)])


def _finite_mean(errors: FloatArray) -> float:
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")
