"""Group influence by definition: the loss of D without a group, less that of D (leave-m-out).

    value[A, j] = L(D without A)[j] - L(D)[j]

(Cook and Weisberg 1982 for one instance; Koh, Ang, Teo and Liang, NeurIPS 2019; not divided by the group's size.) One
retrain a group, design leave_m_out with a column. Standard error: sqrt(s^2 (1 + 1/R)) from the variance s^2 of the R
replicates of D over seeds, degrees of freedom R - 1; 0 for a deterministic learner. The error of L(D) is common to all
groups.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.columns import with_mean
from estimators.aggregators.replicates import seed_noise
from estimators.aggregators.welch import unvaried_or_variance
from estimators.arrays import FloatArray, IntArray
from estimators.designs.leave_m_out import LeaveGroupsOut
from estimators.errors import WrongDesign
from estimators.groups.group_values import GroupValues
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class LeftOutSums:
    """counts [G], sums [G, c] of x = loss - v(D); squares [c] over all rows."""

    counts: IntArray
    sums: FloatArray
    squares: FloatArray


@dataclass(frozen=True, slots=True)
class LeftOutGroups:
    """Aggregator on `loss` of rows that leave out one group each."""

    loss: str
    design: LeaveGroupsOut
    ends: EndRows

    def empty(self) -> LeftOutSums:
        """No rows."""
        groups, columns = self.design.draw_count, self.ends.full.shape[1] + 1
        return LeftOutSums(np.zeros(groups, dtype=np.int64), np.zeros((groups, columns)), np.zeros(columns))

    def update(self, state: LeftOutSums, retrains: Retrains) -> LeftOutSums:
        """The sums with a further block; raises WrongDesign where a row does not lack exactly one group."""
        group = self.design.groups[np.argmin(retrains.members, axis=1)]
        if (retrains.members != (self.design.groups[None, :] != group[:, None])).any():
            raise WrongDesign("group influence was given a retrain that does not lack exactly one group")
        x = with_mean(retrains.losses) - with_mean(self.ends.pivot()[None, :])[0]
        added = LeftOutSums(
            np.bincount(group, minlength=len(state.counts)), np.zeros_like(state.sums), (x * x).sum(axis=0)
        )
        np.add.at(added.sums, group, x)
        return self.merge(state, added)

    def merge(self, a: LeftOutSums, b: LeftOutSums) -> LeftOutSums:
        """Sums over both."""
        return LeftOutSums(a.counts + b.counts, a.sums + b.sums, a.squares + b.squares)

    def finish(self, state: LeftOutSums) -> GroupValues:
        """Influence of each group."""
        rows, replicates = int(state.counts.sum()), len(self.ends.full)
        everywhere = unvaried_or_variance(state.squares, state.sums.sum(axis=0), rows + replicates, rows=max(rows, 1))
        noise = seed_noise(self.ends, everywhere, squares=np.zeros_like(state.squares), more=0)
        counts = state.counts[:, None].astype(np.float64)
        none = np.broadcast_to(counts == 0.0, state.sums.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = state.sums / counts
            errors = np.sqrt(noise.variance[None, :] * (1.0 / counts + 1.0 / replicates))
        degrees = np.full(values.shape, noise.degrees_of_freedom)
        return GroupValues(
            value="group_influence",
            loss=self.loss,
            names=self.design.names,
            sizes=np.bincount(self.design.groups, minlength=len(counts)).astype(np.int64),
            values=np.where(none, np.nan, values),
            standard_errors=np.where(none, np.inf, errors),
            degrees_of_freedom=np.where(none, 0.0, degrees),
            rows_with=np.full(len(counts), replicates),
            rows_without=state.counts,
        )
