"""Exact Shapley and Banzhaf values, from the losses of all 2^n subsets.

    value[i, j] = sum over S of omega_i(S) v(S)[j],   omega_i(S) = w(|S|-1) if i in S, else -w(|S|),   v = -loss

One matrix product of omega [n, K] with the losses a block; the empty subset and D are rows of the design. `semivalues`
has w. Shapley values sum to v(D) - v(empty) for each test instance; Banzhaf values do not.

Standard error: 0 for a deterministic learner, since nothing was drawn. For a learner that depends on its seed each
subset was retrained once, and sqrt(s^2 sum of omega^2) with s^2 the variance over seeds of D (an assumption; see
`replicates`), degrees of freedom R - 1 for R replicates of D. Until every subset is there: NaN, error infinite.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import column_blocks, with_mean
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.leave_one_out import noise_notes, v_full
from estimators.aggregators.replicates import SeedNoise, seed_noise
from estimators.aggregators.semivalues import row_weights, squared_weight_sum
from estimators.aggregators.threads import one_blas_thread
from estimators.aggregators.welch import Estimates, slack, unvaried_or_variance
from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains


@dataclass(slots=True)
class WeightedSums:
    """Sums of x = loss less that of D, over all rows.

    seen [2^n]: retrains of each subset. sums [n, c]: of omega_i(S) x. total, total_squares [c]: of x and x^2. lent: a
    result holds this object, so the next update works on a copy.
    """

    seen: IntArray
    sums: FloatArray
    total: FloatArray
    total_squares: FloatArray
    lent: bool = False


@dataclass(frozen=True, slots=True)
class ExactSemivalue:
    """Aggregator of the semivalue `value` with size probabilities p [n] on `loss`."""

    value: str
    loss: str
    design: Design
    ends: EndRows
    p: FloatArray

    def empty(self) -> WeightedSums:
        """Sums over no retrains."""
        n, columns = self.design.n, self.ends.full.shape[1] + 1
        return WeightedSums(
            np.zeros(2**n, dtype=np.int64), np.zeros((n, columns)), np.zeros(columns), np.zeros(columns)
        )

    def update(self, state: WeightedSums, retrains: Retrains) -> WeightedSums:
        """Add a block of retrains, in place."""
        state = self.merge(state, self.empty()) if state.lent else state
        x = with_mean(retrains.losses) - with_mean(self.ends.pivot()[None, :])[0]
        omega = self._omega(retrains.members)
        np.add.at(state.seen, _numbers(retrains.members), 1)
        with one_blas_thread():
            for columns in column_blocks(x.shape[1]):
                state.sums[:, columns] += omega.T @ x[:, columns]
        state.total += x.sum(axis=0)
        state.total_squares += (x * x).sum(axis=0)
        return state

    def merge(self, a: WeightedSums, b: WeightedSums) -> WeightedSums:
        """Sums over both."""
        return WeightedSums(a.seen + b.seen, a.sums + b.sums, a.total + b.total, a.total_squares + b.total_squares)

    def finish(self, state: WeightedSums) -> Influence:
        """Influence [n, n_test]; NaN unless every subset was seen equally often."""
        state.lent = True
        n, columns = state.sums.shape
        noise, times = self._noise(state), _times(state.seen)
        return assembled_influence(
            lambda part: self._estimates(state, noise, times, part),
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=int(state.seen.sum()),
            notes=self._notes(state),
            statistics=KeptStatistics(
                f"exact {self.value} from {self.design.label} and {v_full(self.ends)}", self, state
            ),
        )

    def _omega(self, members: BoolArray) -> FloatArray:
        inside, outside = row_weights(self.p)
        sizes = members.sum(axis=1)
        omega: FloatArray = np.where(members, inside[sizes][:, None], outside[sizes][:, None])
        return omega

    def _noise(self, state: WeightedSums) -> SeedNoise:
        rows = int(state.seen.sum())
        everywhere = unvaried_or_variance(state.total_squares, state.total, rows, rows=rows)
        return seed_noise(self.ends, everywhere, squares=np.zeros_like(everywhere), more=0)

    def _estimates(self, state: WeightedSums, noise: SeedNoise, times: int, columns: slice) -> Estimates:
        shape = state.sums[:, columns].shape
        if not times:
            return Estimates(np.full(shape, np.nan), np.full(shape, np.inf), np.zeros(shape))
        weight = squared_weight_sum(self.p)
        errors = np.sqrt(noise.variance[columns] * weight / times)
        # by Cauchy and Schwarz no sum has terms larger than this: a null player's value is 0, not a bit beside it
        scale = np.sqrt(weight * times * state.total_squares[columns])
        rounding = np.abs(state.sums[:, columns]) <= slack(times * len(state.seen)) * scale
        return Estimates(
            values=np.where(rounding | noise.unvaried[columns], 0.0, -state.sums[:, columns] / times),
            standard_errors=np.broadcast_to(errors, shape),
            degrees_of_freedom=np.full(shape, noise.degrees_of_freedom),
        )

    def _notes(self, state: WeightedSums) -> tuple[str, ...]:
        most = max(int(state.seen.max()), 1)
        missing = int(np.count_nonzero(state.seen < most))
        if missing:
            return (f"{missing} of {len(state.seen)} subsets are missing: exact values need them all",)
        return noise_notes(self.ends)


def _times(seen: IntArray) -> int:
    """How often each subset was seen; 0 where it is not equally often."""
    return int(seen.min()) if seen.min() == seen.max() else 0


def _numbers(members: BoolArray) -> IntArray:
    """The number of each subset [K]: member i is bit i."""
    numbers: IntArray = members.astype(np.int64) @ (1 << np.arange(members.shape[1]))
    return numbers
