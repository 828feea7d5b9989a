"""G-Shapley: how much one step on an instance lowers the test loss, over random orders of single steps.

    value[i, j] = mean over walks of L_j(before the step on i) - L_j(after it)

(Ghorbani and Zou, ICML 2019, algorithm 2, with the loss in place of the performance score.) A walk's marginals
telescope: they sum to the loss of the untouched model less that after the whole pass. The loss depends on the order,
so this is not the Shapley value of any game on subsets.

Standard error: sd over walks / sqrt(walks), degrees of freedom walks - 1. An instance whose marginals all agree
(frequent with zero-one losses) takes the variance of all marginals of the test instance, since agreement of a few
walks proves no certainty. It holds the order's and the seed's spread together; what `first_steps` tells of the
learner's own stands in the notes.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import column_blocks
from estimators.aggregators.first_steps import FirstSteps
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.welch import Estimates, cleared, unvaried_or_variance
from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.errors import EstimatorError, WrongDesign
from estimators.influence import Influence
from estimators.retrains import Retrains
from estimators.walks import Walks


@dataclass(slots=True)
class WalkSums:
    """Sums of marginals over walks. sums, squares: [n, c + 1]. columns: [c], None before the first walk.

    first: of the walks' first steps.
    """

    walks: int
    sums: FloatArray
    squares: FloatArray
    columns: IntArray | None
    first: FirstSteps
    lent: bool = False


@dataclass(frozen=True, slots=True)
class GShapley:
    """Aggregator of G-Shapley values on `loss`, one of n_test test instances each.

    deterministic: the learner declares that its losses do not depend on the seed.
    """

    value: str
    loss: str
    design: Design
    n_test: int
    deterministic: bool = False

    def empty(self) -> WalkSums:
        """Sums over no walks."""
        n = self.design.n
        return WalkSums(0, np.zeros((n, 1)), np.zeros((n, 1)), None, FirstSteps.empty(n))

    def update(self, state: WalkSums, retrains: Retrains) -> WalkSums:
        """Add walks, one after the other, in place; raises WrongDesign for rows that are no walks."""
        if not isinstance(retrains, Walks):
            raise WrongDesign(f"{self.value} was given retrains of subsets: it takes walks (design walk)")
        if not np.isfinite(retrains.paths).all():
            raise EstimatorError("walks have losses that are not finite: they belong among the failures")
        state = self._started(state, retrains.columns)
        for order, path in zip(retrains.orders, retrains.paths, strict=True):
            for block in column_blocks(path.shape[1]):
                marginals = -np.diff(path[:, block].astype(np.float64), axis=0)
                state.sums[order, block] += marginals
                state.squares[order, block] += marginals * marginals
            state.walks += 1
        state.first = state.first.with_walks(retrains.orders, retrains.paths[:, :2, -1].astype(np.float64))
        return state

    def _started(self, state: WalkSums, columns: IntArray) -> WalkSums:
        if state.columns is None:
            shape = (self.design.n, len(columns) + 1)
            return WalkSums(0, np.zeros(shape), np.zeros(shape), columns, state.first)
        if not np.array_equal(state.columns, columns):
            raise EstimatorError("walks that keep different test instances do not add up")
        return _copied(state) if state.lent else state

    def merge(self, a: WalkSums, b: WalkSums) -> WalkSums:
        """Sums over both."""
        if a.columns is None or b.columns is None:
            return _copied(b if a.columns is None else a)
        if not np.array_equal(a.columns, b.columns):
            raise EstimatorError("walks that keep different test instances do not add up")
        first = a.first.plus(b.first)
        return WalkSums(a.walks + b.walks, a.sums + b.sums, a.squares + b.squares, a.columns, first)

    def finish(self, state: WalkSums) -> Influence:
        """Influence [n, n_test]; NaN with an infinite error on test instances whose losses the walks do not keep."""
        state.lent = True
        columns = np.empty(0, dtype=np.int64) if state.columns is None else state.columns
        places = np.full(self.n_test + 1, -1, dtype=np.int64)
        places[columns] = np.arange(len(columns))
        places[-1] = state.sums.shape[1] - 1
        return assembled_influence(
            lambda part: _estimates(state, places[part]),
            value=self.value,
            loss=self.loss,
            shape=(self.design.n, self.n_test),
            retrains=state.walks,
            notes=self._notes(state, len(columns)),
            statistics=KeptStatistics(f"{self.value} from {self.design.label}", self, state),
        )

    def _notes(self, state: WalkSums, kept: int) -> tuple[str, ...]:
        if not state.walks:
            return ()
        known = f"walks keep {kept:,} of {self.n_test:,} test instances and the mean over all of them"
        unknown = () if kept == self.n_test else (f"{known}: values on the others are not known",)
        return unknown + self._own_noise(state)

    def _own_noise(self, state: WalkSums) -> tuple[str, ...]:
        """The learner's own share of the variance of marginals of the mean test loss."""
        if self.deterministic or state.walks < 2:
            return ()
        squares, sums = state.squares[:, -1], state.sums[:, -1]
        return state.first.note(float(unvaried_or_variance(squares, sums, state.walks, rows=state.walks).mean()))


def _copied(state: WalkSums) -> WalkSums:
    return WalkSums(state.walks, state.sums.copy(), state.squares.copy(), state.columns, state.first)


def _estimates(state: WalkSums, places: IntArray) -> Estimates:
    """Estimates [n, len(places)] of the columns of the sums at `places`; unknown where a place is -1."""
    sums, squares, walks = state.sums[:, places], state.squares[:, places], state.walks
    if not walks:
        empty = np.full(sums.shape, np.nan)
        return Estimates(empty, np.full(sums.shape, np.inf), np.zeros(sums.shape))
    own = unvaried_or_variance(squares, sums, walks, rows=walks) if walks > 1 else np.full(sums.shape, np.nan)
    pooled = _pooled_variance(squares.sum(axis=0), sums.sum(axis=0), walks * len(sums))
    errors = np.sqrt(np.where(own == 0.0, pooled, own) / walks)
    unknown = np.broadcast_to(places < 0, sums.shape)
    degrees = np.full(sums.shape, float(walks - 1))
    return Estimates(
        np.where(unknown, np.nan, sums / walks), np.where(unknown, np.inf, errors), np.where(unknown, 0.0, degrees)
    )


def _pooled_variance(squares: FloatArray, sums: FloatArray, count: int) -> FloatArray:
    return cleared(squares - sums * (sums / count), squares, rows=count) / max(count - 1, 1)
