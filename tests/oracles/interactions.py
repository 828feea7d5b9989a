"""Interaction indices of pairs from their definitions, by going through all subsets. Imports nothing of apportion."""

from itertools import combinations
from math import comb, factorial

import numpy as np
from oracles.enumeration import number_of


def _index(losses, n, weight):
    values = {}
    for pair in combinations(range(n), 2):
        both = number_of(pair)
        first, second = (1 << i for i in pair)
        total = np.zeros(losses.shape[1])
        others = [i for i in range(n) if i not in pair]
        for size in range(n - 1):
            for members in combinations(others, size):
                t = number_of(members)
                total += weight(size) * -(losses[t | both] - losses[t | first] - losses[t | second] + losses[t])
        values[pair] = total
    return values


def shapley_interaction(losses, n):
    return _index(losses, n, lambda t: factorial(t) * factorial(n - t - 2) / factorial(n - 1))


def shapley_taylor(losses, n):
    return _index(losses, n, lambda t: 2 / n / comb(n - 1, t))


def banzhaf_interaction(losses, n):
    return _index(losses, n, lambda t: 1 / 2 ** (n - 2))


def faithful_shapley_interaction(losses, n):
    """The pair coefficients of the least squares fit of order 2, Shapley kernel, ends exact: by solving it."""
    pairs = list(combinations(range(n), 2))
    subsets = [frozenset(), *[frozenset([i]) for i in range(n)], *[frozenset(p) for p in pairs]]
    rows = [{i for i in range(n) if k >> i & 1} for k in range(2**n)]
    X = np.array([[float(s <= row) for s in subsets] for row in rows])
    sizes = X[:, 1 : n + 1].sum(axis=1)
    weight = np.array([1e9 if s in {0, n} else 1 / (comb(n, int(s)) * s * (n - s)) for s in sizes])
    root = np.sqrt(weight)[:, None]
    fit = np.linalg.lstsq(root * X, root * -losses, rcond=None)[0]
    return {pair: fit[1 + n + place] for place, pair in enumerate(pairs)}
