"""Sums over retrains of each training instance's own loss, with and without it: 4 n numbers.

Memorization and the mean held-out loss need only the loss of instance i on itself, so their state is no matrix.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.columns import refuse_non_finite
from estimators.aggregators.notes import OWN_NOISE, own_noise, own_noise_note
from estimators.aggregators.welch import SideSums
from estimators.arrays import AnyArray, FloatArray, IntArray
from estimators.errors import MissingRows
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class SelfSums:
    """Sums [n] over `rows` retrains; x = own loss - pivot. counts, sums, squares: rows with the instance."""

    rows: int
    counts: IntArray
    sums: FloatArray
    squares: FloatArray
    total: FloatArray
    total_squares: FloatArray

    def sides(self) -> SideSums:
        """The sums as Welch's engine takes them."""
        return SideSums(self.rows, self.counts, self.sums, self.squares, self.total, self.total_squares)


def self_pivot(ends: EndRows, n: int) -> FloatArray:
    """Own losses [n] under D, where they are kept, else 0."""
    if ends.full_train is None:
        return np.zeros(n)
    pivot: FloatArray = np.mean(ends.full_train, axis=0, dtype=np.float64)
    return pivot


def no_self_sums(n: int) -> SelfSums:
    """Sums over no retrains."""
    zeros = np.zeros(n)
    return SelfSums(0, np.zeros(n, dtype=np.int64), zeros, zeros, zeros, zeros)


def add_self_rows(state: SelfSums, retrains: Retrains, pivot: FloatArray) -> SelfSums:
    """The sums with a further block of retrains; raises MissingRows where training losses were not kept."""
    x = own_losses(retrains) - pivot  # [K, n]
    inside = np.where(retrains.members, x, 0.0)
    block = SelfSums(
        rows=len(x),
        counts=retrains.members.sum(axis=0),
        sums=inside.sum(axis=0),
        squares=(inside * inside).sum(axis=0),
        total=x.sum(axis=0),
        total_squares=(x * x).sum(axis=0),
    )
    return merged_self_sums(state, block)


def own_losses(retrains: Retrains) -> FloatArray:
    """Losses [K, n] on the training instances, float64; raises MissingRows where they were not kept."""
    if retrains.train_losses is None:
        raise MissingRows(
            "these retrains kept no losses on the training instances: set `train_losses: true` in the learner"
        )
    losses: FloatArray = retrains.train_losses.astype(np.float64)
    refuse_non_finite(losses)
    return losses


def own_noise_of(errors: FloatArray, retrains: AnyArray | float, ends: EndRows) -> tuple[str, ...]:
    """How much of the squared errors [n], as the spread over retrains has them, is the learner's own.

    retrains: [n] or one number, how many times the noise of one retrain stands in a squared error: 1 / K of a mean of
    K. Between rows with and without an instance own losses differ for another reason: an error holds neither side's
    distance from the other, so its square is the spread to compare with, not that of all rows.
    """
    if ends.full_train is None:
        return ()
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(np.isfinite(errors), errors**2 / retrains, np.nan)
    return own_noise_note(own_noise(ends.full_train, spread, ends).get(OWN_NOISE, np.empty(0)))


def merged_self_sums(a: SelfSums, b: SelfSums) -> SelfSums:
    """The sums over the rows of both."""
    return SelfSums(
        rows=a.rows + b.rows,
        counts=a.counts + b.counts,
        sums=a.sums + b.sums,
        squares=a.squares + b.squares,
        total=a.total + b.total,
        total_squares=a.total_squares + b.total_squares,
    )
