"""Laws of subset sizes: of one semivalue, the law under which it is estimated best; of several, a mixture.

A row of size s enters the estimate of a semivalue with weights p[s-1] n / (s pi[s]) where it holds the instance and
p[s] n / ((n-s) pi[s]) where it does not (`semivalues` has p). With residuals of one variance at all sizes the mean
square of a row's contribution is least for

    pi[s] ~ sqrt(p[s-1]^2 / s + p[s]^2 / (n - s)),   s = 1..n-1        (Neyman 1934; Li and Yu, NeurIPS 2024)

which for the Shapley value is 1 / sqrt(s (n - s)). The sizes 0 and n are end rows of every campaign.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import betaln, gammaln, logsumexp

from estimators.aggregators.semivalues import log_ways, shapley_sizes
from estimators.arrays import FloatArray
from estimators.errors import EstimatorError, ImpossibleDesign
from estimators.methods.value_label import parsed_label
from estimators.naming import entry_named

AME_GRID = (0.2, 0.4, 0.6, 0.8)


def log_binomial(n: int, probability: float) -> FloatArray:
    """Log Binomial(n, p) at sizes 0..n, [n + 1]."""
    sizes = np.arange(n + 1)
    ways: FloatArray = gammaln(n + 1) - gammaln(sizes + 1) - gammaln(n - sizes + 1)
    law: FloatArray = ways + sizes * math.log(probability) + (n - sizes) * math.log1p(-probability)
    return law


def log_mean_binomial(n: int, probabilities: tuple[float, ...]) -> FloatArray:
    """Log of the equal mixture of Binomial(n, p) over the probabilities, [n + 1]."""
    parts = np.stack([log_binomial(n, probability) for probability in probabilities])
    mixed: FloatArray = logsumexp(parts, axis=0) - math.log(len(probabilities))
    return mixed


def best_size_law(p: FloatArray) -> FloatArray:
    """Log pi [n + 1] of the law that estimates the semivalue with size probabilities p [n] best; 0 and n have none."""
    n = len(p)
    sizes = np.arange(1, n)
    weights = np.sqrt(p[:-1] ** 2 / sizes + p[1:] ** 2 / (n - sizes))
    law = np.full(n + 1, -np.inf)
    with np.errstate(divide="ignore"):
        law[1:n] = np.log(weights / weights.sum())
    return law


def mixed_size_law(n: int, serves: tuple[tuple[str, float], ...]) -> FloatArray:
    """Log of the mixture [n + 1] of the best laws of several semivalues, with their shares (made to sum to 1).

    Raises ImpossibleDesign for a value that is no semivalue, or a share that is not above 0.
    """
    total = sum(share for _, share in serves)
    if not serves or min(share for _, share in serves) <= 0.0:
        raise ImpossibleDesign(f"sizes that serve {dict(serves)}: name semivalues, each with a share above 0")
    law = sum(share / total * np.exp(best_size_law(semivalue_sizes(value, n))) for value, share in serves)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(law))


def semivalue_sizes(label: str, n: int) -> FloatArray:
    """Size probabilities p [n] of the semivalue of that label; raises ImpossibleDesign where it is none."""
    try:
        name, options = parsed_label(label)
        return entry_named(name, SEMIVALUES, kind="semivalue that a law of sizes can serve")(n, options)
    except EstimatorError as error:
        raise ImpossibleDesign(str(error)) from error


def is_semivalue(label: str, n: int) -> bool:
    """Whether a law of sizes can serve the value of that label."""
    try:
        semivalue_sizes(label, n)
    except EstimatorError:
        return False
    return True


def _shapley(n: int, options: Mapping[str, float]) -> FloatArray:
    _refuse("shapley", options, ())
    return shapley_sizes(n)


def _beta_shapley(n: int, options: Mapping[str, float]) -> FloatArray:
    _refuse("beta_shapley", options, ("alpha", "beta"))
    alpha, beta = options.get("alpha", 4.0), options.get("beta", 1.0)
    c = np.arange(n)
    p: FloatArray = np.exp(log_ways(n) + betaln(c + beta, n - 1 - c + alpha) - betaln(alpha, beta))
    return p


def _banzhaf(n: int, options: Mapping[str, float]) -> FloatArray:
    _refuse("banzhaf", options, ("probability",))
    return np.exp(log_binomial(n - 1, options.get("probability", 0.5)))


def _ame(n: int, options: Mapping[str, float]) -> FloatArray:
    _refuse("ame", options, ())
    return np.exp(log_mean_binomial(n - 1, AME_GRID))


def _refuse(name: str, options: Mapping[str, float], taken: tuple[str, ...]) -> None:
    foreign = [option for option in options if option not in taken]
    if foreign:
        raise ImpossibleDesign(f"{name} takes {' and '.join(taken) or 'no options'}, not {' and '.join(foreign)}")


SEMIVALUES: Mapping[str, Callable[[int, Mapping[str, float]], FloatArray]] = {
    "shapley": _shapley,
    "beta_shapley": _beta_shapley,
    "banzhaf": _banzhaf,
    "weighted_banzhaf": _banzhaf,
    "ame": _ame,
}
