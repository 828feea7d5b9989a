"""Semivalues: weighted means of the effect of adding an instance to a subset, the weight a function of size alone.

    value[i] = sum over S without i of w(|S|) (v(S + i) - v(S)),     w(c) = p[c] / C(n - 1, c),     v = -loss

A semivalue is fixed by p[c], the probability that the subset which i joins has c members: p >= 0, sum p = 1. Then it
obeys linearity, symmetry, null player and dummy (an instance that always adds a is worth a).
"""

import math

import numpy as np
from scipy.special import betaln, gammaln

from estimators.arrays import FloatArray


def shapley_sizes(n: int) -> FloatArray:
    """p[c] = 1/n for c = 0..n-1 (Shapley 1953; Ghorbani and Zou, ICML 2019; survey equation 17)."""
    return np.full(n, 1.0 / n)


def banzhaf_sizes(n: int) -> FloatArray:
    """p[c] = C(n-1, c) / 2^(n-1) for c = 0..n-1 (Banzhaf 1965; Wang and Jia, AISTATS 2023; survey equation 27)."""
    return normalised(log_ways(n))


def beta_sizes(n: int, alpha: float, beta: float) -> FloatArray:
    """p[c] of Beta Shapley (Kwon and Zou, AISTATS 2022): BetaBinomial(n - 1; beta, alpha).

    A large alpha weights small subsets; (1, 1) is Shapley.
    """
    c = np.arange(n)
    return normalised(log_ways(n) + betaln(c + beta, n - 1 - c + alpha))


def weighted_banzhaf_sizes(n: int, probability: float) -> FloatArray:
    """p[c] = Binomial(n - 1, t): the weighted Banzhaf value (Li and Yu, NeurIPS 2023); t = 1/2 is Banzhaf."""
    c = np.arange(n)
    return normalised(log_ways(n) + c * math.log(probability) + (n - 1 - c) * math.log1p(-probability))


def band_sizes(n: int, first: int, last: int) -> FloatArray:
    """p[c] equal for subsets that have first..last members with the instance: expected leave-one-out at these sizes."""
    p = np.zeros(n)
    p[first - 1 : last] = 1.0 / (last - first + 1)
    return p


def normalised(log_p: FloatArray) -> FloatArray:
    """exp(log_p) scaled to sum to 1, without overflow."""
    p: FloatArray = np.exp(log_p - log_p.max())
    p /= p.sum()
    return p


def log_ways(n: int) -> FloatArray:
    """Log C(n-1, c) for c = 0..n-1: the number of subsets of size c that do not hold a given instance."""
    c = np.arange(n)
    ways: FloatArray = gammaln(n) - gammaln(c + 1) - gammaln(n - c)
    return ways


def row_weights(p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights of v(S) in value[i], by size 0..n, [n + 1] each: where i is in S, w(s-1), and where it is not, -w(s)."""
    w = p * np.exp(-log_ways(len(p)))
    return np.concatenate([[0.0], w]), np.concatenate([-w, [0.0]])


def squared_weight_sum(p: FloatArray) -> float:
    """Sum over all subsets of the squared weight of v(S) in value[i]: 2 sum_c p[c]^2 / C(n-1, c).

    Losses that each carry independent noise of variance s^2 give a value of variance s^2 times this.
    """
    return float(2.0 * np.sum(p**2 * np.exp(-log_ways(len(p)))))
