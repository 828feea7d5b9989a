"""Confidence sequences: intervals that hold at all times at once, so that one may look at any time and stop.

Asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics 2024, theorem
2.2): for an estimate from t independent units with standard error e, and any rho > 0,

    |estimate - value| <= e sqrt(2 (t rho^2 + 1) / (t rho^2) log(sqrt(t rho^2 + 1) / alpha))      for all t together

with probability 1 - alpha, as the first look moves out. An ordinary interval is looked through: in 20 looks it misses
several times as often as it says. rho sets the count of units at which the interval is narrowest, fixed beforehand.
For few degrees of freedom the normal quantile that this amounts to is replaced by Student's of equal level.
"""

import math

import numpy as np
from scipy import special

from estimators.arrays import AnyArray, BoolArray, FloatArray
from estimators.confidence import benjamini_hochberg


def anytime_half_widths(
    errors: FloatArray, degrees_of_freedom: AnyArray, *, units: int, best_at: int, confidence: float = 0.95
) -> FloatArray:
    """Half widths, of the shape of `errors`, of intervals that hold at all looks together.

    units: independent units that the estimates are from. best_at: the count at which they are to be narrowest, the
    same at every look.
    """
    if not 0.0 < confidence < 1.0 or units < 1 or best_at < 1:
        raise ValueError(f"confidence {confidence} from {units} units, best at {best_at}")
    alpha = 1.0 - confidence
    scale = units * _squared_rho(best_at, alpha)
    z = math.sqrt(2.0 * (scale + 1.0) / scale * (0.5 * math.log1p(scale) - math.log(alpha)))
    widths: FloatArray = errors * _student(z, degrees_of_freedom)
    return np.where(errors == 0.0, 0.0, widths)


def anytime_p_values(
    values: FloatArray, errors: FloatArray, degrees_of_freedom: AnyArray, *, units: int, best_at: int
) -> FloatArray:
    """P-values of "the value is zero" that hold at any look, even a chosen one; of the shape of `values`.

    The least alpha whose sequence leaves 0 out, for a rho that is best at alpha = 0.05; NaN where there is no error.
    """
    scale = units * _squared_rho(best_at, 0.05)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = _normal(np.abs(values) / errors, degrees_of_freedom)
        p: FloatArray = np.sqrt(scale + 1.0) * np.exp(-0.5 * z**2 * scale / (scale + 1.0))
    p = np.where(errors == 0.0, np.where(values == 0.0, 1.0, 0.0), np.minimum(p, 1.0))
    return np.where(np.isfinite(values) & np.isfinite(errors) & (np.asarray(degrees_of_freedom) > 0), p, np.nan)


def undecided_signs(
    values: FloatArray, errors: FloatArray, degrees_of_freedom: AnyArray, *, units: int, best_at: int
) -> float:
    """Share of n values whose sign is not certain at any look, at a false discovery rate of 5 %."""
    p = anytime_p_values(values, errors, degrees_of_freedom, units=units, best_at=best_at)
    return 1.0 - float(benjamini_hochberg(p).mean())


def certain_top(
    values: FloatArray, errors: FloatArray, degrees_of_freedom: AnyArray, *, top: int, units: int, best_at: int
) -> BoolArray:
    """Which of n values are certainly among the `top` highest, all of it with 95 % at any look (Bonferroni over n)."""
    n = len(values)
    widths = anytime_half_widths(
        errors, degrees_of_freedom, units=units, best_at=best_at, confidence=1.0 - 0.05 / max(n, 1)
    )
    known = np.isfinite(values) & np.isfinite(widths)
    lower = np.where(known, values - widths, -np.inf)
    upper = np.sort(np.where(known, values + widths, np.inf))
    above = n - np.searchsorted(upper, lower, side="right")  # values, itself among them, that may be higher
    certain: BoolArray = known & (above <= top)
    return certain


def _squared_rho(best_at: int, alpha: float) -> float:
    """rho^2 for which the sequence is nearly narrowest at `best_at` units (their equation 10)."""
    a = -2.0 * math.log(alpha)
    return (a + math.log(a) + 1.0) / best_at


def _student(z: float, degrees: AnyArray) -> FloatArray:
    """Student's quantiles of the level of the normal quantile z."""
    level = max(float(special.ndtr(-z)), 1e-300)
    quantiles: FloatArray = -special.stdtrit(np.maximum(degrees, 1e-9), level)
    return np.where(np.isinf(degrees), z, quantiles)


def _normal(t: FloatArray, degrees: AnyArray) -> FloatArray:
    """Normal quantiles of the level of Student's quantiles t."""
    level = special.stdtr(np.maximum(degrees, 1e-9), -t)
    quantiles: FloatArray = -special.ndtri(np.maximum(level, 1e-300))
    return np.where(np.isinf(degrees), t, quantiles)
