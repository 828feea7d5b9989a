"""A campaign carried out in imagination, on losses that fit a pilot, through the aggregator that it will use.

Losses of planned subsets are drawn from a Gaussian process that the pilot fits (`surrogates.loss_field`), at settings
of its scales that stand for their posterior. Settings are compared by the same random numbers. At most 1,024 rows are
imagined; from there errors fall as 1 / sqrt(K).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from estimators.aggregators.blocks import Again, aggregate
from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.pilot_fields import SEED, SETTINGS, Drawn, Pilot
from estimators.retrains import EndRows, Retrains

MOST_ROWS = 1024
MOST_ROWS_IN_DOUBT = 384
"""Rows imagined at the best setting, and at each of those that tell the doubt."""

AGAIN = 8
"""Times that the pilot is imagined at the best setting."""

Maker = Callable[[EndRows], Aggregator[Any, Any]]


def imagined_logs(
    make: Maker, pilot: Pilot, design: Design, *, draws: int, most: int = MOST_ROWS, doubt: int = MOST_ROWS_IN_DOUBT
) -> FloatArray:
    """Logs [settings, 2] of the mean standard errors of pairs and of data values after `draws` draws of any design.

    most, doubt: rows imagined at the best setting of the field and at each of those that stand for the posterior.
    """
    doubt = min(most, doubt)
    with one_blas_thread():
        few = _logs(make, pilot, design, draws, doubt)
        if min(draws, most) <= doubt:
            return few[1:]
        if not np.isfinite(few).all():  # fits that need more rows
            return _logs(make, pilot, design, draws, most)[1:]
        logs: FloatArray = few[1:] + _logs(make, pilot, design, draws, most, settings=1) - few[:1]
    return logs


def gaps(make: Maker, pilot: Pilot, design: Design) -> FloatArray:
    """Logs [settings, 2] of the errors that the aggregator finds in the pilot over those in the pilot anew.

    What the random numbers happen to give is evened out at the best setting. NaN where the pilot has no whole units.
    """
    units = pilot.rows.units
    if design.unit_rows > 1 and (units is None or (np.unique(units, return_counts=True)[1] != design.unit_rows).any()):
        return np.full((SETTINGS, 2), np.nan)
    whole = min(len(pilot.rows.members), MOST_ROWS_IN_DOUBT)
    rows = pilot.rows.rows(slice(0, max(whole - whole % design.unit_rows, 2 * design.unit_rows)))
    with one_blas_thread(), np.errstate(invalid="ignore"):
        anew = _found(_anew(pilot, rows, SETTINGS + 1, (SEED,)), make, pilot)
        usual = _found(_anew(pilot, rows, 1, range(SEED, SEED + AGAIN)), make, pilot).mean(axis=0)
        seen = _found(Drawn(None, rows, [np.asarray(rows.losses)]), make, pilot)[0]
        found: FloatArray = seen - (anew[1:] - anew[0] + usual)
    return found


def _found(drawn: Drawn, make: Maker, pilot: Pilot) -> FloatArray:
    """Logs of the mean standard errors of pairs and of data values that the aggregator finds, [settings, 2]."""
    made = [_errors(make(pilot.ends), replace(drawn.rows, losses=each), pilot.shares) for each in drawn.losses]
    with np.errstate(divide="ignore"):
        return np.log(made)


def result_of(aggregator: Aggregator[Any, Any], rows: Retrains) -> Any:
    """What the aggregator makes of the rows; None where they are too few for it."""
    try:
        with np.errstate(all="ignore"):
            return aggregate(aggregator, Again(lambda: iter([rows])))
    except EstimatorError:
        return None


def _errors(aggregator: Aggregator[Any, Any], rows: Retrains, shares: FloatArray) -> FloatArray:
    """Mean standard errors of pairs and of data values, [2]; NaN where there are too few rows for them."""
    found = result_of(aggregator, rows)
    if found is None:
        return np.full(2, np.nan)
    *tests, mean = map(finite_mean, found.standard_errors.T)
    of_tests = np.array(tests)[shares > 0.0] @ shares[shares > 0.0]
    return np.array([of_tests, mean])


def _logs(make: Maker, pilot: Pilot, design: Design, draws: int, most: int, settings: int = SETTINGS + 1) -> FloatArray:
    rows = min(draws // design.unit_rows, max(2, most // design.unit_rows)) * design.unit_rows
    logs: FloatArray = _found(_drawn(pilot, design, rows, settings), make, pilot) + 0.5 * math.log(rows / draws)
    return logs


def _drawn(pilot: Pilot, design: Design, rows: int, settings: int) -> Drawn:
    """The design's first rows, imagined given the pilot."""
    key = id(design), rows, settings  # the design is kept, so that its id stays its own
    if key not in pilot.drawn:
        members = design.draws(0, rows)
        losses = list(pilot.losses(members, settings, SEED))
        retrains = Retrains(members, losses[0], None, np.arange(rows), design.units(0, rows))
        pilot.drawn[key] = Drawn(design, retrains, losses)
    return pilot.drawn[key]


def _anew(pilot: Pilot, rows: Retrains, settings: int, seeds: Sequence[int]) -> Drawn:
    """The pilot's own rows, imagined as if they had not been trained, with each of the seeds."""
    key = 0, len(rows.members), settings
    if key not in pilot.drawn:
        losses = [each for seed in seeds for each in pilot.losses(rows.members, settings, seed, anew=True)]
        pilot.drawn[key] = Drawn(None, rows, losses)
    return pilot.drawn[key]


def finite_mean(errors: FloatArray) -> float:
    """Of those that are finite; NaN where none is."""
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")
