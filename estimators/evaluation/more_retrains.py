"""How many more retrains would make the sign of a value certain, if the value stays where it is.

A Monte Carlo standard error falls with the square root of the retrains, so K' = K (q s / |v|)^2 retrains bring the 95 %
interval of a value v with standard error s, from K retrains, to end at 0. It is a forecast: v itself still moves by
about s, and an undecided value that truly is 0 is never decided.
"""

import numpy as np
from scipy.special import ndtri

from estimators.arrays import AnyArray, FloatArray


def retrains_to_certain_sign(
    values: AnyArray, standard_errors: AnyArray, retrains: int, *, confidence: float = 0.95
) -> FloatArray:
    """Further retrains, of the shape of `values`: 0 where the sign is certain by its own interval already.

    Infinite for a value of exactly 0, NaN where value or error is not known.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    v, s = np.abs(np.asarray(values, dtype=np.float64)), np.asarray(standard_errors, dtype=np.float64)
    quantile = float(ndtri(0.5 + confidence / 2.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = retrains * np.square(quantile * s / v)
    more: FloatArray = np.maximum(0.0, np.ceil(wanted - retrains))
    return np.where(np.isfinite(v) & np.isfinite(s), more, np.nan)
