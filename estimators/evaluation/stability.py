"""How stable a ranking is: rank correlation between values from two halves of the retrains."""

import math

import numpy as np
from scipy.stats import spearmanr

from estimators.arrays import FloatArray


def rank_stability(first: FloatArray, second: FloatArray) -> float:
    """Spearman's correlation of values [n] over instances known in both halves; ties take their mean rank.

    NaN where fewer than 3 instances are known in both, or either half is constant.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"values {first.shape} and {second.shape} must both be [n]")
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    if both.sum() < 3 or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return math.nan
    return float(spearmanr(a, b).statistic)
