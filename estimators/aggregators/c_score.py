"""C-score: how well models of many sizes do on an instance that they were not trained on, with the sign of a value.

    C_m[i] = - mean of L[k](z_i) over rows k of size m without i,    c_score[i] = mean of C_m[i] over the sizes m

(Jiang, Zhang, Talwar and Mozer, ICML 2021; survey equations 15 and 16, with the instance held out, as the paper has
it). HIGH = regular, learnt from few others; LOW = atypical or mislabelled (the survey's text has it the other way
round). With zero-one losses the paper's expected accuracy is 1 + c_score. Needs losses on the training instances.

Sizes count equally however often each was drawn. State: 5 n numbers a size. Standard error: that of each size's mean,
s / sqrt(K_out), and sqrt(sum of their squares) / sizes for the mean over sizes, since rows of different sizes are
independent; degrees of freedom by Welch-Satterthwaite. Held-out losses of a size that never varied take the spread of
all rows of that size. NaN where some size has no row without the instance.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.assembling import instance_values
from estimators.aggregators.notes import side_notes
from estimators.aggregators.self_losses import (
    SelfSums,
    add_self_rows,
    merged_self_sums,
    no_self_sums,
    own_losses,
    own_noise_of,
    self_pivot,
)
from estimators.aggregators.stored_noise import left_out_squares, noise_of_own_losses, widened
from estimators.aggregators.welch import Estimates, cleared, known_part, unvaried_or_variance
from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.influence import InstanceValues
from estimators.retrains import EndRows, Retrains

SizeSums = dict[int, SelfSums]


@dataclass(frozen=True, slots=True)
class CScore:
    """Aggregator of the C-score on `loss`."""

    value: str
    loss: str
    design: Design
    ends: EndRows

    def empty(self) -> SizeSums:
        """No sizes seen."""
        return {}

    def update(self, state: SizeSums, retrains: Retrains) -> SizeSums:
        """Add a block of retrains; raises MissingRows where training losses were not kept."""
        own_losses(retrains)  # refuses what is missing or not finite, for the block as a whole
        pivot, sizes = self_pivot(self.ends, self.design.n), retrains.members.sum(axis=1)
        added = dict(state)
        for size in np.unique(sizes).tolist():
            before = added.get(size, no_self_sums(self.design.n))
            added[size] = add_self_rows(before, retrains.rows(sizes == size), pivot)
        return added

    def merge(self, a: SizeSums, b: SizeSums) -> SizeSums:
        """Sums over both."""
        none = no_self_sums(self.design.n)
        return {size: merged_self_sums(a.get(size, none), b.get(size, none)) for size in sorted({*a, *b})}

    def finish(self, state: SizeSums) -> InstanceValues:
        """C-scores [n] with their errors."""
        n, pivot = self.design.n, self_pivot(self.ends, self.design.n)
        left = _fewest_without(state, n)
        profile = [_mean_without(state[size], pivot) for size in sorted(state)]
        own = own_noise_of(_negated_mean(profile, n).standard_errors, _noises(state), self.ends)
        profile = [self._widened(each, state[size], size) for each, size in zip(profile, sorted(state), strict=True)]
        return instance_values(
            _negated_mean(profile, n),
            value=self.value,
            loss=self.loss,
            retrains=sum(sums.rows for sums in state.values()),
            notes=side_notes(left, "out of") + own,
        )

    def _widened(self, found: Estimates, sums: SelfSums, size: int) -> Estimates:
        n = self.design.n
        return widened(found, noise_of_own_losses(self.ends, n, left_out_squares(n, size), sums.rows))


def _noises(state: SizeSums) -> FloatArray | float:
    """How many times the noise of one retrain stands in a squared error: the mean over sizes of means of K_out rows."""
    each = [1.0 / np.maximum(sums.rows - sums.counts, 1) for sums in state.values()]
    return np.sum(each, axis=0) / len(each) ** 2 if each else 1.0


def _fewest_without(state: SizeSums, n: int) -> IntArray:
    """For each instance the rows without it at the size where they are fewest, [n]."""
    if not state:
        return np.zeros(n, dtype=np.int64)
    fewest: IntArray = np.min([sums.rows - sums.counts for sums in state.values()], axis=0)
    return fewest


def _mean_without(state: SelfSums, pivot: FloatArray) -> Estimates:
    """Mean own loss [n] over the rows of one size without each instance."""
    left = (state.rows - state.counts).astype(np.float64)
    sums, squares = state.total - state.sums, state.total_squares - state.squares
    anywhere = unvaried_or_variance(state.total_squares, state.total, state.rows, rows=state.rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums / left
        variances = cleared(squares - sums * means, state.total_squares, rows=state.rows) / (left - 1.0)
        errors = np.sqrt(np.where(variances > 0.0, variances, anywhere) / left)
    return known_part(means + pivot, errors, left - 1.0, fewest=left)


def _negated_mean(profile: list[Estimates], n: int) -> Estimates:
    if not profile:
        return Estimates(np.full(n, np.nan), np.full(n, np.inf), np.zeros(n))
    sizes = len(profile)
    variances = np.square([each.standard_errors for each in profile]) / sizes**2  # [sizes, n]
    degrees = np.array([each.degrees_of_freedom for each in profile])
    values: FloatArray = -np.mean([each.values for each in profile], axis=0)
    total = variances.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(total > 0.0, variances / total, 1.0 / sizes)
        satterthwaite = 1.0 / (shares**2 / degrees).sum(axis=0)
    known = np.isfinite(values) & np.isfinite(total)
    return Estimates(
        values=values,
        standard_errors=np.where(np.isnan(values), np.inf, np.sqrt(total)),
        degrees_of_freedom=np.where(known, satterthwaite, 0.0),
    )
