"""A campaign carried out in imagination, on losses that fit a pilot, through the aggregator that it will use.

Losses of planned subsets are drawn from a Gaussian process that the pilot fits (`surrogates.loss_field`), at settings
of its scales that stand for their posterior. Settings are compared by the same random numbers. At most 1,024 rows are
imagined; from there errors fall as 1 / sqrt(K).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from estimators.aggregators.blocks import Again, aggregate
from estimators.aggregators.protocol import Aggregator
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.field_scales import PRIOR_MEAN, FieldScales
from estimators.surrogates.loss_field import LossField, fitted_field

MOST_ROWS = 1024
MOST_ROWS_IN_DOUBT = 384
"""Rows imagined at the best setting, and at each of those that tell the doubt."""

SETTINGS = 2 * len(PRIOR_MEAN)
"""Of the field that stand for its posterior."""

AGAIN = 8
"""Times that the pilot is imagined at the best setting."""

MOST_COLUMNS = 32
SEED = 20_000
"""Of the imagined losses: the same pilot gives the same prediction."""

Maker = Callable[[EndRows], Aggregator[Any, Any]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Subsets with their units, and losses of theirs: of each setting the best first."""

    design: Design | None
    rows: Retrains
    losses: list[FloatArray]

    def logs(self, make: Maker, ends: EndRows) -> FloatArray:
        """Logs of the mean standard errors of pairs and of data values that the aggregator finds, [settings, 2]."""
        with np.errstate(divide="ignore"):
            return np.log([errors_of(make(ends), replace(self.rows, losses=each)) for each in self.losses])


@dataclass(frozen=True, slots=True)
class Pilot:
    """Retrains of some tests, the field fitted to them, and their end rows.

    mean_ratio: the spread of the mean over all tests over that of the mean over those. drawn: what was imagined so far,
    by the id of the design (0: the pilot anew), the rows and the settings.
    """

    rows: Retrains
    field: LossField
    ends: EndRows
    mean_ratio: float
    drawn: dict[tuple[int, int, int], Drawn] = dataclasses.field(default_factory=dict)

    def settings(self, count: int) -> list[FieldScales]:
        """The best setting of the field, then those that stand for its posterior, the first `count` of them all."""
        scales = self.field.scales
        return [scales.best(), *scales.points(np.random.default_rng(SEED))][:count]


def fitted_pilot(rows: Retrains, ends: EndRows) -> Pilot:
    """The pilot of retrains that have at least two different losses."""
    tests = rows.losses.shape[1]
    chosen = np.unique(np.linspace(0, tests - 1, min(MOST_COLUMNS, tests)).astype(int))
    losses = rows.losses.astype(np.float64)
    some = EndRows(
        full=np.asarray(ends.full, dtype=np.float64)[..., chosen],
        empty=np.asarray(ends.empty, dtype=np.float64)[..., chosen],
        deterministic=ends.deterministic,
    )
    of_all, of_some = losses.mean(axis=1).std(), losses[:, chosen].mean(axis=1).std()
    ratio = float(of_all / of_some) if of_some > 0.0 else 1.0
    with one_blas_thread():
        fitted = fitted_field(rows.members, losses[:, chosen], some)
    return Pilot(replace(rows, losses=losses[:, chosen], train_losses=None), fitted, some, ratio)


def imagined_logs(
    make: Maker, pilot: Pilot, design: Design, *, draws: int, most: int = MOST_ROWS, doubt: int = MOST_ROWS_IN_DOUBT
) -> FloatArray:
    """Logs [settings, 2] of the mean standard errors of pairs and of data values after `draws` draws of any design.

    most, doubt: rows imagined at the best setting of the field and at each of those that stand for the posterior.
    """
    with one_blas_thread():
        few = _logs(make, pilot, design, draws, min(most, doubt))
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
        anew = _anew(pilot, rows, SETTINGS + 1, (SEED,)).logs(make, pilot.ends)
        usual = _anew(pilot, rows, 1, range(SEED, SEED + AGAIN)).logs(make, pilot.ends).mean(axis=0)
        seen = Drawn(None, rows, [np.asarray(rows.losses)]).logs(make, pilot.ends)[0]
        found: FloatArray = seen - (anew[1:] - anew[0] + usual)
    return found


def errors_of(aggregator: Aggregator[Any, Any], rows: Retrains) -> FloatArray:
    """Mean standard errors of pairs and of data values, [2]; NaN where there are too few rows for them."""
    try:
        with np.errstate(all="ignore"):
            found = aggregate(aggregator, Again(lambda: iter([rows])))
    except EstimatorError:
        return np.full(2, np.nan)
    mean = found.mean.standard_errors if isinstance(found, Influence) else found.standard_errors
    return np.array([_finite_mean(found.standard_errors), _finite_mean(mean)])


def _logs(make: Maker, pilot: Pilot, design: Design, draws: int, most: int, settings: int = SETTINGS + 1) -> FloatArray:
    rows = min(draws // design.unit_rows, max(2, most // design.unit_rows)) * design.unit_rows
    logs: FloatArray = _drawn(pilot, design, rows, settings).logs(make, pilot.ends) + 0.5 * math.log(rows / draws)
    return logs


def _drawn(pilot: Pilot, design: Design, rows: int, settings: int) -> Drawn:
    """The design's first rows, imagined given the pilot."""
    key = id(design), rows, settings  # the design is kept, so that its id stays its own
    if key not in pilot.drawn:
        members = design.draws(0, rows)
        losses = list(pilot.field.draws(members, pilot.settings(settings), SEED))
        retrains = Retrains(members, losses[0], None, np.arange(rows), design.units(0, rows))
        pilot.drawn[key] = Drawn(design, retrains, losses)
    return pilot.drawn[key]


def _anew(pilot: Pilot, rows: Retrains, settings: int, seeds: Sequence[int]) -> Drawn:
    """The pilot's own rows, imagined as if they had not been trained, with each of the seeds."""
    key = 0, len(rows.members), settings
    if key not in pilot.drawn:
        chosen = pilot.settings(settings)
        losses = [each for seed in seeds for each in pilot.field.draws(rows.members, chosen, seed, anew=True)]
        pilot.drawn[key] = Drawn(None, rows, losses)
    return pilot.drawn[key]


def _finite_mean(errors: FloatArray) -> float:
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")
