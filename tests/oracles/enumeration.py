"""Values from their definitions, by going through all subsets or orders. Nothing here imports the package.

A game is a table of losses [2^n, n_test]: row k is the subset whose members are the bits of k. Influence > 0 = the
instance lowers the loss.
"""

from itertools import combinations, permutations
from math import comb, factorial

import numpy as np


def number_of(members):
    return sum(1 << i for i in members)


def shapley_by_orders(losses, n):
    """Mean over all n! orders of the drop in loss when i joins those before it."""
    values = np.zeros((n, losses.shape[1]))
    for order in permutations(range(n)):
        before = 0
        for i in order:
            values[i] += losses[before] - losses[before | 1 << i]
            before |= 1 << i
    return values / factorial(n)


def shapley_by_subsets(losses, n):
    return _semivalue(losses, n, lambda size: factorial(size) * factorial(n - 1 - size) / factorial(n))


def banzhaf_by_subsets(losses, n):
    return _semivalue(losses, n, lambda size: 1 / 2 ** (n - 1))


def _semivalue(losses, n, weight):
    values = np.zeros((n, losses.shape[1]))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            for members in combinations(others, size):
                without = number_of(members)
                values[i] += weight(size) * (losses[without] - losses[without | 1 << i])
    return values


def downsampling_by_subsets(losses, n, m):
    """Mean over all C(n-1, m) subsets of size m without i, less that over all C(n-1, m-1) with it."""
    values = np.zeros((n, losses.shape[1]))
    for members in combinations(range(n), m):
        for i in range(n):
            if i in members:
                values[i] -= losses[number_of(members)] / comb(n - 1, m - 1)
            else:
                values[i] += losses[number_of(members)] / comb(n - 1, m)
    return values


def leave_one_out_by_definition(losses, n):
    everyone = 2**n - 1
    return np.array([losses[everyone & ~(1 << i)] - losses[everyone] for i in range(n)])


def mean_own_losses(losses, n, *, size=None):
    """Mean own loss of each instance over subsets with it and without it (all sizes, or one): two arrays [n]."""
    sides = {True: [[] for _ in range(n)], False: [[] for _ in range(n)]}
    for k in range(2**n):
        if size is not None and k.bit_count() != size:
            continue
        for i in range(n):
            sides[bool(k >> i & 1)][i].append(losses[k, i])
    return np.array([np.mean(x) for x in sides[True]]), np.array([np.mean(x) for x in sides[False]])
