"""The learner's own noise: the variance of a loss over seeds, from replicates of one subset.

D is the subset that every campaign retrains several times. Its variance over seeds is taken for that of the other
subsets too, which is an assumption: nothing else can be known from one retrain a subset. Where D's replicates all
agree on a column (frequent with zero-one losses), the variance of all rows of that column is taken, effects
included, which is more.
"""

from dataclasses import dataclass

import numpy as np

from estimators.aggregators.columns import with_mean
from estimators.arrays import BoolArray, FloatArray
from estimators.retrains import EndRows


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """variance [c] over seeds and its degrees of freedom; NaN where D has one replicate of a stochastic learner.

    unvaried [c]: a stochastic learner's loss was the same in every row, so that differences are rounding.
    """

    variance: FloatArray
    degrees_of_freedom: float
    unvaried: BoolArray


def seed_noise(ends: EndRows, everywhere: FloatArray, *, squares: FloatArray, more: int) -> SeedNoise:
    """Noise of each column [c], the mean over tests included.

    everywhere: variances [c] over all rows of the design, taken where replicates show none. squares [c] with `more`
    degrees of freedom: squared deviations among replicates of other subsets, pooled with those of D.
    """
    if ends.deterministic:
        return SeedNoise(np.zeros(len(everywhere)), np.inf, np.zeros(len(everywhere), dtype=np.bool_))
    full = with_mean(ends.full)
    degrees = len(full) - 1 + more
    if degrees == 0:
        return SeedNoise(np.full(len(everywhere), np.nan), 0.0, everywhere == 0.0)
    spread = np.ptp(full, axis=0) > 0.0
    deviations = np.where(spread, np.sum((full - full.mean(axis=0)) ** 2, axis=0), 0.0) + squares
    variance = np.where(deviations > 0.0, deviations / degrees, everywhere)
    return SeedNoise(variance, float(degrees), variance == 0.0)
