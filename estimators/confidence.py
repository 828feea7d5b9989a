"""What can be said with certainty from a value and its standard error.

Intervals are Student's t with the value's own degrees of freedom. Signs are called certain by the
Benjamini-Hochberg procedure (JRSSB 1995), which bounds the expected share of wrong signs among those called.
"""

import numpy as np
from scipy import special

from estimators.arrays import AnyArray, BoolArray, FloatArray


def p_values(values: FloatArray, standard_errors: FloatArray, degrees_of_freedom: AnyArray) -> FloatArray:
    """Two-sided p-values of "the value is zero", of the shape of `values`; NaN where there is no finite error.

    A standard error of exactly 0 (a deterministic learner, enumerated) gives 0, or 1 for a value of 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.abs(values) / standard_errors
    p: FloatArray = 2.0 * special.stdtr(np.maximum(degrees_of_freedom, 1e-9), -statistic)
    exact = standard_errors == 0.0
    p = np.where(exact, np.where(values == 0.0, 1.0, 0.0), p)
    unknown = ~np.isfinite(values) | ~np.isfinite(standard_errors) | ~(degrees_of_freedom > 0.0) & ~exact
    return np.where(unknown, np.nan, p)


def benjamini_hochberg(p: FloatArray, level: float = 0.05) -> BoolArray:
    """Rows [n] or, column by column, [n, columns] called non-zero at false discovery rate `level`; NaN never is."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} is not between 0 and 1")
    if p.ndim == 1:
        return benjamini_hochberg(p[:, None], level)[:, 0]
    n = p.shape[0]
    filled = np.where(np.isnan(p), np.inf, p)
    ranked = np.sort(filled, axis=0)
    tested = np.sum(~np.isnan(p), axis=0)
    thresholds = level * np.arange(1, n + 1)[:, None] / np.maximum(tested, 1)
    passes = ranked <= thresholds
    last = np.where(passes.any(axis=0), n - 1 - np.argmax(passes[::-1], axis=0), -1)
    cut = np.where(last >= 0, np.take_along_axis(ranked, np.maximum(last, 0)[None, :], axis=0)[0], -1.0)
    return filled <= cut


def half_widths(standard_errors: FloatArray, degrees_of_freedom: AnyArray, confidence: float = 0.95) -> FloatArray:
    """Half the width of two-sided t intervals at `confidence`, of the shape of `standard_errors`."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    quantile: FloatArray = special.stdtrit(np.maximum(degrees_of_freedom, 1e-9), 0.5 + confidence / 2.0)
    return np.where(standard_errors == 0.0, 0.0, quantile * standard_errors)
