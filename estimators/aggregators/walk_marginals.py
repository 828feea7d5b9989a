"""Semivalues from walks by their own marginal contributions: permutation sampling, and TMC-Shapley.

    value[i, j] = mean over walks of n p[c] (L_j(prefix before i) - L_j(prefix with i)),  c the prefix's size before i

For Shapley n p[c] = 1 (Castro et al. 2009; Ghorbani and Zou, ICML 2019, algorithm 1; Kwon and Zou, AISTATS 2022 for
other p). Prefixes of 0 and n instances are the end rows. Shapley values sum to L(empty) - L(D) in every whole walk.

Truncated walks count the marginals after their stop as 0. The values then miss what those instances would have added:
summed over instances L(stop) - L(D), of the mean loss at most the tolerance times |L(empty) - L(D)| where the stop was
right, without a bound for single test instances or a single value; the campaign's notes give the mean of that gap.

Standard error: the spread over units (a walk, or a walk and its reverse or its rotations) / sqrt(units), variances
and degrees of freedom shared between the instances of a test instance (`moment_sums`). For a learner that depends on
its seed it holds the noise of rows that walks share (`stored_noise`), the end rows first. The error does not hold the
bias of truncation.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from estimators.aggregators.assembling import assembled_influence
from estimators.aggregators.columns import with_mean
from estimators.aggregators.kept_statistics import KeptStatistics
from estimators.aggregators.leave_one_out import v_full
from estimators.aggregators.moment_sums import MomentSums
from estimators.aggregators.notes import UNVARIED, own_noise
from estimators.aggregators.stored_noise import noise_of_tests, semivalue_squares, widened
from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.errors import WrongDesign
from estimators.influence import Influence
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class MarginalSums:
    """Sums over units of their mean marginals [n, c], and how many rows they are from."""

    rows: int
    moments: MomentSums


@dataclass(frozen=True, slots=True)
class WalkMarginals:
    """Aggregator of the semivalue with size probabilities p [n] on `loss`, from a design of walks."""

    value: str
    loss: str
    design: Design
    ends: EndRows
    p: FloatArray

    def empty(self) -> MarginalSums:
        """Sums over no walks."""
        return MarginalSums(0, MomentSums.empty(self.design.n, self.ends.full.shape[1] + 1))

    def update(self, state: MarginalSums, retrains: Retrains) -> MarginalSums:
        """Add whole units of walks; raises WrongDesign where rows are no walks."""
        losses = with_mean(retrains.losses)
        units = retrains.units if retrains.units is not None else _walk_of(retrains.members)
        edges = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(losses)]
        moments = state.moments
        for start, stop in pairwise(edges):
            if start < stop:
                moments = moments.with_unit(self._unit(retrains.members[start:stop], losses[start:stop]))
        return MarginalSums(state.rows + len(losses), moments)

    def merge(self, a: MarginalSums, b: MarginalSums) -> MarginalSums:
        """Sums over both."""
        return MarginalSums(a.rows + b.rows, a.moments.plus(b.moments))

    def finish(self, state: MarginalSums) -> Influence:
        """Influence [n, n_test]."""
        moments = state.moments
        moments.lent = True
        n, columns = moments.sums.shape
        constant = (moments.squares == 0.0).all(axis=0) & (moments.units > 0)
        noise = noise_of_tests(self.ends, semivalue_squares(self.p, len(self.ends.full)), state.rows)
        return assembled_influence(
            lambda part: widened(moments.estimates(part), noise[part]),
            value=self.value,
            loss=self.loss,
            shape=(n, columns - 1),
            retrains=state.rows,
            notes=_no_walks(state),
            per_test={UNVARIED: constant[:-1], **self._own_noise(moments)},
            statistics=KeptStatistics(f"{self.value} from {self.design.label} and {v_full(self.ends)}", self, state),
        )

    def _own_noise(self, moments: MomentSums) -> dict[str, AnyArray]:
        """Of the spread over units, whose marginals are means over walks of differences of two retrains."""
        walks = max(1, round(self.design.unit_rows / max(self.design.n - 1, 1)))
        spread = moments.variances().mean(axis=0)
        return own_noise(self.ends.full, spread[:-1], self.ends, retrains=2.0 / walks)

    def _unit(self, members: BoolArray, losses: FloatArray) -> FloatArray:
        """Mean weighted marginals [n, c] over the walks of a unit."""
        walks = _walk_of(members)
        found = np.zeros((self.design.n, losses.shape[1]))
        for walk in range(int(walks[-1]) + 1):
            own = walks == walk
            found += self._walk(members[own], losses[own])
        found /= int(walks[-1]) + 1
        return found

    def _walk(self, members: BoolArray, losses: FloatArray) -> FloatArray:
        """Weighted marginals [n, c] of one walk; 0 for instances after its stop."""
        n, length = self.design.n, len(members)
        whole = length == n - 1
        full, empty = (with_mean(row[None, :]) for row in (self.ends.pivot(), self.ends.empty))
        path = np.concatenate([empty, losses, full] if whole else [empty, losses])
        prefixes = np.concatenate([np.zeros((1, n), dtype=np.bool_), members, np.ones((int(whole), n), dtype=np.bool_)])
        joined = prefixes[1:] & ~prefixes[:-1]
        if (joined.sum(axis=1) != 1).any() or (prefixes[:-1] & ~prefixes[1:]).any():
            raise WrongDesign(f"{self.value} was given rows that do not add one instance after the other (permutation)")
        found = np.zeros((n, losses.shape[1]))
        weights = n * self.p[: len(joined)]
        found[joined.argmax(axis=1)] = weights[:, None] * (path[:-1] - path[1:])
        return found


def _walk_of(members: BoolArray) -> IntArray:
    """The walk of each row, 0, 1, ...: a new one begins with each prefix of a single instance."""
    walks: IntArray = np.cumsum(members.sum(axis=1) == 1) - 1
    return walks


def _no_walks(state: MarginalSums) -> tuple[str, ...]:
    return () if state.moments.units else ("no walk is stored yet",)
