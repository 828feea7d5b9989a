"""Leave-one-out: the test loss of D without an instance less that of D (Cook and Weisberg 1982).

    influence[i, j] = L(D without i)[j] - L(D)[j]

Design `leave_one_out` with D's replicates as end rows; cost n retrains beside them, state n (n_test + 1) numbers.

Standard error: sqrt(s^2 (1 / R_i + 1 / R)), with R replicates of D, R_i of D without i, and s^2 their pooled variance
over seeds (with R_i = 1, that of D alone; see `replicates`), degrees of freedom R - 1 + sum of R_i - 1. It is 0 for a
deterministic learner. The error of L(D) is common to all instances: it shifts all values of a test instance together
and leaves their ranks alone. Effects are of order 1/n, so a stochastic learner's noise hides most of them. Copies of
an instance have values near 0 by definition: the other copy does the work.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import with_mean
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.notes import side_notes
from estimators.aggregators.replicates import SeedNoise, seed_noise
from estimators.aggregators.welch import Estimates, cleared, unvaried_or_variance
from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.errors import WrongDesign
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains


@dataclass(slots=True)
class LeaveOneOutSums:
    """Sums over retrains of D without i, of x = loss less that of D; c = n_test + 1 columns.

    counts [n]: retrains without i. sums [n, c]. squares [c]: of x^2 over all rows. lent: a result holds this object,
    so the next update works on a copy.
    """

    counts: IntArray
    sums: FloatArray
    squares: FloatArray
    lent: bool = False


@dataclass(frozen=True, slots=True)
class LeaveOneOutValues:
    """Aggregator of leave-one-out influences on `loss`."""

    loss: str
    design: Design
    ends: EndRows

    def empty(self) -> LeaveOneOutSums:
        """Sums over no retrains."""
        n, columns = self.design.n, self.ends.full.shape[1] + 1
        return LeaveOneOutSums(np.zeros(n, dtype=np.int64), np.zeros((n, columns)), np.zeros(columns))

    def update(self, state: LeaveOneOutSums, retrains: Retrains) -> LeaveOneOutSums:
        """Add a block of retrains, in place; raises WrongDesign where a row does not lack exactly one instance."""
        sizes = retrains.members.sum(axis=1)
        if (sizes != self.design.n - 1).any():
            found = int(sizes[sizes != self.design.n - 1][0])
            raise WrongDesign(
                f"leave_one_out was given a retrain on {found} of {self.design.n} instances: it takes retrains on all "
                "but one (design leave_one_out)"
            )
        left = np.argmin(retrains.members, axis=1)  # [K]
        x = with_mean(retrains.losses) - self._pivot()
        state = self.merge(state, self.empty()) if state.lent else state
        np.add.at(state.counts, left, 1)
        np.add.at(state.sums, left, x)
        state.squares += (x * x).sum(axis=0)
        return state

    def merge(self, a: LeaveOneOutSums, b: LeaveOneOutSums) -> LeaveOneOutSums:
        """Sums over both."""
        return LeaveOneOutSums(a.counts + b.counts, a.sums + b.sums, a.squares + b.squares)

    def finish(self, state: LeaveOneOutSums) -> Influence:
        """Influence [n, n_test] with errors from replicates."""
        state.lent = True
        noise = self._noise(state)
        n, columns = state.sums.shape
        return assembled_influence(
            lambda part: self._estimates(state, noise, part),
            value="leave_one_out",
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=int(state.counts.sum()),
            notes=self._notes(state),
            statistics=KeptStatistics(f"leave_one_out from {self.design.label} and {v_full(self.ends)}", self, state),
        )

    def _pivot(self) -> FloatArray:
        pivot: FloatArray = with_mean(self.ends.pivot()[None, :])[0]
        return pivot

    def _noise(self, state: LeaveOneOutSums) -> SeedNoise:
        rows, seen = int(state.counts.sum()), np.maximum(state.counts, 1)[:, None]
        more = rows - int(np.count_nonzero(state.counts))
        within = (
            state.squares - (state.sums * (state.sums / seen)).sum(axis=0) if more else np.zeros_like(state.squares)
        )
        return seed_noise(
            self.ends,
            unvaried_or_variance(state.squares, state.sums.sum(axis=0), rows + len(self.ends.full), rows=rows),
            squares=cleared(within, state.squares, rows=rows),
            more=more,
        )

    def _estimates(self, state: LeaveOneOutSums, noise: SeedNoise, columns: slice) -> Estimates:
        seen = np.expand_dims(state.counts, 1).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(noise.unvaried[columns], 0.0, state.sums[:, columns] / seen)
            errors = np.sqrt(noise.variance[columns] * (1.0 / seen + 1.0 / len(self.ends.full)))
        none = np.broadcast_to(seen == 0, values.shape)
        degrees = np.full(values.shape, noise.degrees_of_freedom)
        return Estimates(np.where(none, np.nan, values), np.where(none, np.inf, errors), np.where(none, 0.0, degrees))

    def _notes(self, state: LeaveOneOutSums) -> tuple[str, ...]:
        missing = tuple(note for note in side_notes(state.counts, "out of") if "no subset" in note)
        return missing + noise_notes(self.ends)


def v_full(ends: EndRows) -> str:
    """A short name of the retrains of D, so that results that share them are told from those that do not."""
    return "v(D) " + hashlib.blake2b(np.ascontiguousarray(ends.full).tobytes(), digest_size=4).hexdigest()


def noise_notes(ends: EndRows) -> tuple[str, ...]:
    """What the errors of values from one retrain a subset rest on."""
    if ends.deterministic:
        return ()
    if len(ends.full) == 1:
        return ("D was retrained once by a learner that depends on the seed: no error can be given",)
    return (
        f"errors come from {len(ends.full)} replicates of D, whose variance over seeds is taken for every subset's",
    )
