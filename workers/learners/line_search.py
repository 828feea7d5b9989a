"""Exact line searches on squared hinge losses, many side by side."""

from typing import Final

import numpy as np

from estimators.arrays import FloatArray

MOST_TRIALS: Final = 60
SHARE_OF_SLOPE: Final = 0.01


def steps_to_minimum(
    at: FloatArray, towards: FloatArray, values: FloatArray, changes: FloatArray, shares: FloatArray
) -> FloatArray:
    """Lengths [A, B] of steps along `towards` to where the slope is below a hundredth of that at the start.

    at, towards: [A, B, D]; values: their signed scores [A, B, m], and changes: those of `towards`; shares: [A, 1, m].
    The slope grows along the way and is linear between kinks: its root is found by Newton's method, starting from 1,
    within a bracket that is halved where the method leaves it.
    """
    lengths: FloatArray
    across, along = (at * towards).sum(axis=2), np.square(towards).sum(axis=2)
    weighted = shares * changes
    begun = across - (weighted * np.maximum(1.0 - values, 0.0)).sum(axis=2)
    lengths, low, high = np.ones_like(begun), np.zeros_like(begun), np.full_like(begun, np.inf)
    done = along == 0.0
    for _ in range(MOST_TRIALS):
        slack = 1.0 - values - lengths[:, :, None] * changes
        slopes = across + lengths * along - (weighted * np.maximum(slack, 0.0)).sum(axis=2)
        done |= np.abs(slopes) <= SHARE_OF_SLOPE * np.abs(begun)
        if done.all():
            break
        low, high = np.where(slopes < 0.0, lengths, low), np.where(slopes < 0.0, high, lengths)
        curvatures = along + np.where(slack > 0.0, weighted * changes, 0.0).sum(axis=2)
        tried = lengths - slopes / np.where(curvatures > 0.0, curvatures, 1.0)
        middle = np.where(np.isinf(high), 2.0 * lengths, 0.5 * (low + high))
        lengths = np.where(done, lengths, np.where((tried > low) & (tried < high), tried, middle))
    return lengths
