"""The learner's noise that further draws do not average away: a subset drawn twice is one stored retrain.

A value is a sum over subsets, sum_S omega_i(S) L(S). Of a learner that depends on its seed each stored L(S) holds one
noise of variance s^2, so with every subset drawn the value still errs by s^2 sum_S omega_i(S)^2. The spread over draws
takes a subset met again for a further one and misses this part. It is added here, s^2 being the variance of D's
replicates. It matters where draws are not few beside the subsets there are: from some 25 instances on it is nothing.
"""

import numpy as np
from scipy.special import gammaln

from estimators.aggregators.columns import with_mean
from estimators.aggregators.semivalues import log_ways, squared_weight_sum
from estimators.aggregators.welch import Estimates
from estimators.arrays import AnyArray, FloatArray
from estimators.designs.protocol import Design
from estimators.retrains import EndRows

LEAST_SHARE = 0.01
"""Below this many times the variance of one draw's noise over the draws it is left out."""


def noise_of_tests(ends: EndRows, squares: float, rows: int) -> FloatArray:
    """s^2 `squares` for each test and their mean, [n_test + 1]; squares: sum of omega^2; rows: draws behind a value."""
    return _noise(with_mean(ends.full), ends, squares, rows)


def noise_of_own_losses(ends: EndRows, n: int, squares: float, rows: int) -> FloatArray:
    """s^2 `squares` for the loss of each instance on itself, [n]."""
    return np.zeros(n) if ends.full_train is None else _noise(ends.full_train, ends, squares, rows)


def _noise(full: AnyArray, ends: EndRows, squares: float, rows: int) -> FloatArray:
    columns = full.shape[1]
    if ends.deterministic or squares * rows < LEAST_SHARE:
        return np.zeros(columns)
    if len(full) < 2:
        return np.full(columns, np.nan)
    varied = np.ptp(full, axis=0) > 0.0
    return np.where(varied, full.var(axis=0, ddof=1, dtype=np.float64) * squares, 0.0)


def side_squares(design: Design) -> tuple[float, float]:
    """Sum of squared chances of a subset among those with an instance, and among those without; 0 if not known."""
    law = design.log_size_law()
    if law is None:
        return 0.0, 0.0
    n, sizes, pi = design.n, np.arange(design.n + 1), np.exp(law)
    ways = log_ways(n)
    found = []
    for share, fewer in ((sizes / n, 1), (1.0 - sizes / n, 0)):
        chance = pi * share
        among = slice(1, None) if fewer else slice(None, -1)
        total = float(chance.sum())
        found.append(float(np.sum((chance[among] / total) ** 2 * np.exp(-ways))) if total else 0.0)
    return found[0], found[1]


def left_out_squares(n: int, size: int) -> float:
    """1 / the number of subsets of `size` members without a given instance."""
    return float(np.exp(-(gammaln(n) - gammaln(size + 1) - gammaln(n - size)))) if size < n else 0.0


def contrast_squares(design: Design) -> float:
    """Sum of omega^2 of a mean over rows without an instance less that over rows with it."""
    return sum(side_squares(design))


def weighted_squares(design: Design, inside: FloatArray, outside: FloatArray) -> float:
    """Sum of omega^2 from weights omega over chance by size 0..n, [n + 1] each; 0 where the law is not known."""
    law = design.log_size_law()
    if law is None:
        return 0.0
    n, sizes = design.n, np.arange(design.n + 1)
    log_chance = law - (gammaln(n + 1) - gammaln(sizes + 1) - gammaln(n - sizes + 1))
    ways = log_ways(n)
    kept = np.exp(2.0 * log_chance[1:] + ways) * inside[1:] ** 2
    left = np.exp(2.0 * log_chance[:-1] + ways) * outside[:-1] ** 2
    return float(kept.sum() + left.sum())


def semivalue_squares(p: FloatArray, replicates: int | None = None) -> float:
    """Sum of omega^2 of a semivalue, v(D) being a mean of `replicates`; None: without v(D) and v(empty)."""
    ends = float(p[0] ** 2 + p[-1] ** 2)
    inner = max(squared_weight_sum(p) - ends, 0.0)
    return inner if replicates is None else inner + float(p[0] ** 2 + p[-1] ** 2 / replicates)


def widened(estimates: Estimates, variance: AnyArray) -> Estimates:
    """Estimates whose squared errors are larger by `variance`, which broadcasts to them."""
    if not np.any(variance):
        return estimates
    own = estimates.standard_errors
    errors = np.where(np.isinf(own), own, np.sqrt(own**2 + variance))
    return Estimates(estimates.values, errors, estimates.degrees_of_freedom)
