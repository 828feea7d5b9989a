"""Memorization by folds: how much higher an instance's own loss is where its fold was left out.

    M_l[i] = L(z_i) of the retrain without i's fold  -  mean of L(z_i) over the other retrains of repeat l
    value[i] = mean of M_l[i] over repeats

(van den Burg and Williams, NeurIPS 2021, for generative models with L = -log p; survey equation 14 with the sign of a
loss.) Each repeat is a random partition, so every instance is out once and in folds - 1 times. HIGH = memorized. Needs
losses on the training instances. State: 3 n numbers.

Standard error: the spread of M over repeats, the units of the design, sd / sqrt(repeats), degrees of freedom
repeats - 1. The retrains of a repeat share its partition, so an error over retrains would be wrong. A repeat of which a
retrain is missing counts for nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import instance_values
from estimators.aggregators.self_losses import own_losses, own_noise_of
from estimators.aggregators.semivalues import log_ways
from estimators.aggregators.stored_noise import noise_of_own_losses, widened
from estimators.aggregators.welch import Estimates, cleared
from estimators.arrays import FloatArray
from estimators.designs.kfold import KFold
from estimators.errors import WrongDesign
from estimators.influence import InstanceValues
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class RepeatSums:
    """Over `repeats` whole repeats: sums and squares of M, [n]. rows: retrains in them."""

    repeats: int
    rows: int
    sums: FloatArray
    squares: FloatArray


@dataclass(frozen=True, slots=True)
class FoldMemorization:
    """Aggregator on `loss` of rows of design kfold."""

    value: str
    loss: str
    design: KFold
    ends: EndRows

    def empty(self) -> RepeatSums:
        """No repeats."""
        return RepeatSums(0, 0, np.zeros(self.design.n), np.zeros(self.design.n))

    def update(self, state: RepeatSums, retrains: Retrains) -> RepeatSums:
        """Add the repeats of a block; raises WrongDesign where their rows do not leave each instance out once."""
        own_losses(retrains)  # refuses what is missing or not finite
        whole, folds = _whole_repeats(retrains, self.design.folds), self.design.folds
        own, members = own_losses(whole), whole.members.reshape(-1, folds, self.design.n)
        if ((~members).sum(axis=1) != 1).any():
            raise WrongDesign(f"{self.value} takes repeats in which each instance is left out once (design kfold)")
        losses = own.reshape(members.shape)
        out = np.where(members, 0.0, losses).sum(axis=1)
        inside = np.where(members, losses, 0.0).sum(axis=1) / (folds - 1)
        M = out - inside  # [repeats, n]
        return self.merge(state, RepeatSums(len(M), len(own), M.sum(axis=0), (M * M).sum(axis=0)))

    def merge(self, a: RepeatSums, b: RepeatSums) -> RepeatSums:
        """Over the repeats of both."""
        return RepeatSums(a.repeats + b.repeats, a.rows + b.rows, a.sums + b.sums, a.squares + b.squares)

    def finish(self, state: RepeatSums) -> InstanceValues:
        """Memorization [n] with its errors."""
        found = _estimates(state)
        own = own_noise_of(found.standard_errors, self._noises / max(state.repeats, 1), self.ends)
        few = () if state.repeats > 1 else (f"{state.repeats} whole repeats: no error can be given; draw more",)
        return instance_values(
            widened(found, self._noise(state)),
            value=self.value,
            loss=self.loss,
            retrains=state.rows,
            notes=few + own,
        )

    @property
    def _noises(self) -> float:
        """M holds the noise of one retrain without the instance, and of the mean of folds - 1 with it."""
        return 1.0 + 1.0 / (self.design.folds - 1)

    def _noise(self, state: RepeatSums) -> FloatArray:
        """Of rows that repeats share; folds are of n / folds instances, rounded down."""
        n, out = self.design.n, self.design.n // self.design.folds
        inside = math.exp(-float(log_ways(n)[out]))  # subsets with i that lack `out` of the n - 1 others
        outside = math.exp(-float(log_ways(n)[out - 1]))
        return noise_of_own_losses(self.ends, n, inside + outside, state.rows)


def _whole_repeats(retrains: Retrains, folds: int) -> Retrains:
    """The rows of repeats that are all there, repeat by repeat."""
    rows = len(retrains.members)
    units = np.arange(rows) // folds if retrains.units is None else retrains.units
    _, place, counts = np.unique(units, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[place.ravel()] == folds)
    return retrains.rows(kept[np.argsort(units[kept], kind="stable")])


def _estimates(state: RepeatSums) -> Estimates:
    n, repeats = len(state.sums), state.repeats
    if repeats == 0:
        return Estimates(np.full(n, np.nan), np.full(n, np.inf), np.zeros(n))
    values = state.sums / repeats
    if repeats == 1:
        return Estimates(values, np.full(n, np.nan), np.zeros(n))
    deviations = cleared(state.squares - state.sums * values, state.squares, rows=repeats)
    errors = np.sqrt(deviations / (repeats - 1) / repeats)
    return Estimates(values, errors, np.full(n, float(repeats - 1)))
