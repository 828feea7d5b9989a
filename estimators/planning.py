"""Standard errors that a budget will buy, predicted from a pilot: retrains that stay in the campaign.

Of influences the campaign is carried out in imagination: losses of its own planned subsets are drawn from a Gaussian
process that the pilot fits (`surrogates.loss_field`), and go through the very aggregator that the campaign will use. So
whatever that estimator does with pairs, weights, walks and what it learns from rows is in the prediction. At most 1,024
rows are imagined; from there errors fall as 1 / sqrt(K).

That is done at settings of the process that stand for its posterior given the pilot, and so is the pilot anew. How much
more the aggregator finds in the pilot than in its imagination is taken for what the process is wrong by, and corrected
for. The mean of the logs of the errors is the prediction, their standard deviation its doubt, with what the rows of the
pilot leave open of the spread of losses.

Values of an instance's own loss are means: their error on the pilot falls as 1 / sqrt(K).
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
from estimators.arrays import AnyArray, FloatArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.field_scales import PRIOR_MEAN, FieldScales, effective_columns
from estimators.surrogates.loss_field import LossField, fitted_field

MOST_ROWS = 1024
MOST_ROWS_IN_DOUBT = 384
"""Rows imagined at the best setting, and at each of those that tell the doubt."""

WRONG = 0.3
"""By how much the process may be wrong of the log of an error: the standard deviation, before the pilot is asked."""

AGAIN = 8
"""Times that the pilot is imagined at the best setting."""

MOST_COLUMNS = 32
SEED = 20_000
"""Of the imagined losses: the same pilot gives the same prediction."""

MOST_DOUBT = 0.125
"""Of a prediction that is trusted to a quarter: two standard deviations of its log."""

SETTINGS = 2 * len(PRIOR_MEAN)
"""Of the field that stand for its posterior."""

Maker = Callable[[EndRows], Aggregator[Any, Any]]


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


@dataclass(frozen=True, slots=True)
class Pilot:
    """Retrains of some tests, the field fitted to them, and their end rows.

    mean_ratio: the spread of the mean over all tests over that of the mean over those. drawn: losses imagined so far,
    by the design (kept, so that its id stays its own) and the number of rows.
    """

    rows: Retrains
    field: LossField
    ends: EndRows
    mean_ratio: float
    drawn: dict[tuple[int, int], tuple[Design, Retrains, list[FloatArray]]] = dataclasses.field(default_factory=dict)


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


def imagined_errors(make: Maker, pilot: Pilot, design: Design, *, draws: int) -> PredictedErrors:
    """What `draws` draws of the pilot's design will give. make: the value's aggregator."""
    ratio = np.array([0.0, math.log(pilot.mean_ratio)])
    logs = imagined_logs(make, pilot, design, draws=draws) + ratio
    gaps = _gaps(make, pilot, design)
    tests = pilot.field.scales.columns
    pair, instance = (
        _predicted(logs[:, place], gaps[:, place], columns, pilot, design, draws)
        for place, columns in enumerate((tests, min(tests, 1.0)))  # data values are of one column
    )
    return PredictedErrors(pair, instance)


def _gaps(make: Maker, pilot: Pilot, design: Design) -> FloatArray:
    """Logs [settings, 2] of the errors that the aggregator finds in the pilot over those in the pilot anew.

    Settings are compared by the same random numbers; what these happen to give is evened out at the best setting.
    """
    whole = min(len(pilot.rows.members), MOST_ROWS_IN_DOUBT)
    rows = pilot.rows.rows(slice(0, max(whole - whole % design.unit_rows, 2 * design.unit_rows)))
    scales, field = pilot.field.scales, pilot.field
    best, points = scales.best(), scales.points(np.random.default_rng(SEED))

    def logs(settings: Sequence[FieldScales], seed: int) -> FloatArray:
        drawn = field.draws(rows.members, settings, seed, anew=True)
        return np.log([_errors_of(make(pilot.ends), replace(rows, losses=each)) for each in drawn])

    with one_blas_thread(), np.errstate(divide="ignore", invalid="ignore"):
        found = logs([best, *points], SEED)
        others = [logs([best], SEED + again)[0] for again in range(1, AGAIN)]
        usual = np.mean([found[0], *others], axis=0)
        gaps: FloatArray = np.log(_errors_of(make(pilot.ends), rows)) - (found[1:] - found[0] + usual)
    return gaps


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


def _predicted(
    logs: FloatArray, gaps: FloatArray, columns: float, pilot: Pilot, design: Design, draws: int
) -> Predicted:
    """The prediction from the logs of the errors found at each setting, and from the gaps, and its doubt.

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
    trust = WRONG**2 / (WRONG**2 + by_pilot) if np.isfinite(gaps).all() else 0.0
    gaps = trust * np.where(np.isfinite(gaps), gaps, 0.0)
    corrected = logs + gaps / 2.0
    wrong = ((1.0 - trust) * WRONG) ** 2 + float(gaps.mean()) ** 2 / 12.0
    variance = float(corrected.var()) + wrong + trust**2 * by_pilot / 4.0 + 2.0 * by_campaign
    return Predicted(float(np.exp(corrected.mean())), math.sqrt(variance), count)


def _logs(make: Maker, pilot: Pilot, design: Design, draws: int, most: int, settings: int | None = None) -> FloatArray:
    rows = min(draws // design.unit_rows, max(2, most // design.unit_rows)) * design.unit_rows
    retrains, every = _drawn(pilot, design, rows, settings)
    found = [_errors_of(make(pilot.ends), replace(retrains, losses=each)) for each in every]
    with np.errstate(divide="ignore"):
        return np.log(np.array(found) * math.sqrt(rows / draws))


def _drawn(pilot: Pilot, design: Design, rows: int, settings: int | None) -> tuple[Retrains, list[FloatArray]]:
    """The design's first rows, and losses of theirs at each setting of the field, the best first."""
    key = id(design), rows
    if key not in pilot.drawn or (settings is None and len(pilot.drawn[key][2]) == 1):
        scales, members = pilot.field.scales, design.draws(0, rows)
        every = [scales.best(), *scales.points(np.random.default_rng(SEED))][:settings]
        losses = list(pilot.field.draws(members, every, SEED))
        retrains = Retrains(members, losses[0], None, np.arange(rows), design.units(0, rows))
        pilot.drawn[key] = design, retrains, losses
    _, retrains, losses = pilot.drawn[key]
    return retrains, losses[:settings]


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
