"""The law of sizes that serves several semivalues with the fewest retrains.

By Engine B a retrain under the law pi adds to a semivalue with size probabilities p the variance

    sigma^2 n sum_s (p[s-1]^2 / s + p[s]^2 / (n - s)) / pi[s],        s = 1..n-1

with sigma^2 the variance that a control variate leaves, taken as equal for all sizes: the retrains needed for an error
e are that over e^2. Of the mixtures of the laws that are best for each, the one is sought whose dearest value is
cheapest.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from estimators.arrays import FloatArray
from estimators.designs.size_laws import mixed_size_law, semivalue_sizes

STEPS = 12


@dataclass(frozen=True, slots=True)
class ServingLaw:
    """A mixture of best laws, and by value the factor of sigma^2 that a retrain's variance has under it."""

    serves: tuple[tuple[str, float], ...]
    factors: dict[str, float]


def variance_factor(p: FloatArray, log_law: FloatArray) -> float:
    """The factor above for sizes p [n] under a law [n + 1]; infinite where a size that counts is not drawn."""
    n = len(p)
    sizes = np.arange(1, n)
    costs = n * (p[:-1] ** 2 / sizes + p[1:] ** 2 / (n - sizes))
    law = np.exp(log_law[1:n])
    if (law[costs > 1e-12 * costs.max()] <= 0.0).any():
        return float("inf")
    return float(np.sum(np.divide(costs, law, out=np.zeros_like(costs), where=law > 0.0)))


def serving_law(values: tuple[str, ...], n: int) -> ServingLaw:
    """The mixture that serves all the semivalues with one error; raises ImpossibleDesign for other values."""
    sizes = {value: semivalue_sizes(value, n) for value in dict.fromkeys(values)}
    best: ServingLaw | None = None
    for shares in _simplex(len(sizes)):
        serves = tuple((value, share) for value, share in zip(sizes, shares, strict=True) if share > 0.0)
        law = mixed_size_law(n, serves)
        factors = {value: variance_factor(p, law) for value, p in sizes.items()}
        if best is None or max(factors.values()) < max(best.factors.values()):
            best = ServingLaw(serves, factors)
    assert best is not None, "a simplex has points"
    return best


def _simplex(parts: int) -> list[tuple[float, ...]]:
    """Shares in steps of 1 / STEPS that sum to 1; for more than 3 parts, equal shares and the corners."""
    if parts > 3:
        corners = [tuple(float(place == other) for other in range(parts)) for place in range(parts)]
        return [tuple(1.0 / parts for _ in range(parts)), *corners]
    grid = itertools.product(range(STEPS + 1), repeat=parts)
    return [tuple(each / STEPS for each in point) for point in grid if sum(point) == STEPS]
