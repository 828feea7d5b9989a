"""How much of a ranking is certain: the share of pairs of instances whose order the standard errors settle."""

import math

import numpy as np

from estimators.confidence import benjamini_hochberg, p_values
from estimators.influence import InstanceValues

MOST_INSTANCES = 1500
"""Of more instances this many, evenly spaced in the ranking's own order of positions, are compared."""


def order_certain(values: InstanceValues, level: float = 0.05) -> float:
    """The share of pairs (i, j) of known values whose order is certain, Benjamini-Hochberg at `level` over all pairs.

    The difference of two values is given the error sqrt(e_i^2 + e_j^2), as if they were independent, and the smaller
    of their degrees of freedom: values of one campaign share their retrains, mostly with correlations near 0. NaN for
    fewer than 2 known values.
    """
    known = np.flatnonzero(np.isfinite(values.values) & np.isfinite(values.standard_errors))
    if len(known) > MOST_INSTANCES:
        known = known[np.linspace(0, len(known) - 1, MOST_INSTANCES).round().astype(np.int64)]
    if len(known) < 2:
        return math.nan
    first, second = np.triu_indices(len(known), 1)
    value, error, degrees = (
        array[known] for array in (values.values, values.standard_errors, values.degrees_of_freedom)
    )
    differences = value[first] - value[second]
    errors = np.hypot(error[first], error[second])
    p = p_values(differences, errors, np.minimum(degrees[first], degrees[second]))
    return float(benjamini_hochberg(p, level).mean())
