"""What a pilot tells of the losses of subsets: a field of the tests' losses, and one of their mean over all tests.

Tests differ in how much their losses vary, and with it in how much of that single instances explain, so a mean of
standard errors over all cells is mostly that of a few tests. A pilot takes tests in proportion to their spread, and
lets each count by it.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from estimators.aggregators.columns import with_mean
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.field_scales import PRIOR_MEAN, FieldScales
from estimators.surrogates.loss_field import LossField, fitted_field

SETTINGS = 2 * len(PRIOR_MEAN)
"""Of a field that stand for its posterior."""

MOST_COLUMNS = 32
SEED = 20_000
"""Of the imagined losses: the same pilot gives the same prediction."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Subsets with their units, and losses of theirs [K, c + 1]: of each setting the best first."""

    design: Design | None
    rows: Retrains
    losses: list[FloatArray]


@dataclass(frozen=True, slots=True)
class Pilot:
    """Retrains of c tests and of the mean over all, the fields fitted to them, and their end rows, [.., c + 1].

    shares [c]: what a test's standard errors count for in the mean over all cells. drawn: what was imagined so far,
    by the id of the design (0: the pilot anew), the rows and the settings.
    """

    rows: Retrains
    tests: LossField
    mean: LossField
    ends: EndRows
    shares: FloatArray
    drawn: dict[tuple[int, int, int], Drawn] = dataclasses.field(default_factory=dict)

    def losses(self, members: BoolArray, settings: int, seed: int, *, anew: bool = False) -> Iterator[FloatArray]:
        """Of each setting [K, c + 1] of planned subsets [K, n], see `LossField.draws`; the best setting first."""
        fields = enumerate((self.tests, self.mean))
        drawn = [field.draws(members, _settings(field)[:settings], seed + k, anew=anew) for k, field in fields]
        for parts in zip(*drawn, strict=True):
            yield np.concatenate(parts, axis=1)


def fitted_pilot(rows: Retrains, ends: EndRows) -> Pilot:
    """The pilot of retrains that have at least two different losses."""
    losses = rows.losses.astype(np.float64)
    spread = losses.std(axis=0)
    chosen, weights = _in_proportion(spread)
    shares = weights * spread.mean() / np.where(spread[chosen] > 0.0, spread[chosen], np.inf)
    some = EndRows(
        full=_with_mean_of_all(ends.full, chosen),
        empty=_with_mean_of_all(ends.empty[None], chosen)[0],
        deterministic=ends.deterministic,
    )
    losses = _with_mean_of_all(losses, chosen)
    with one_blas_thread():
        tests = fitted_field(rows.members, losses[:, :-1], _columns(some, slice(-1)), weights)
        mean = fitted_field(rows.members, losses[:, -1:], _columns(some, slice(-1, None)))
    return Pilot(replace(rows, losses=losses, train_losses=None), tests, mean, some, shares)


def _in_proportion(spread: FloatArray) -> tuple[IntArray, FloatArray]:
    """Places of at most 32 tests, and the share of the sum of all spreads that each stands for.

    Of more tests, those at evenly spaced places of the running sum (systematic sampling; Madow 1949).
    """
    if not spread.any():
        return np.arange(1), np.ones(1)
    if len(spread) <= MOST_COLUMNS:
        return np.arange(len(spread)), spread / spread.sum()
    running = np.cumsum(spread) / spread.sum()
    places, counts = np.unique(
        np.searchsorted(running, (np.arange(MOST_COLUMNS) + 0.5) / MOST_COLUMNS), return_counts=True
    )
    return places, counts / MOST_COLUMNS


def _with_mean_of_all(losses: AnyArray, chosen: IntArray) -> FloatArray:
    every = with_mean(np.asarray(losses, dtype=np.float64))
    return every[:, [*chosen, -1]]


def _columns(ends: EndRows, columns: slice) -> EndRows:
    return replace(ends, full=ends.full[:, columns], empty=ends.empty[columns])


def _settings(field: LossField) -> list[FieldScales]:
    """The best setting of the field, then those that stand for its posterior."""
    return [field.scales.best(), *field.scales.points(np.random.default_rng(SEED))]
