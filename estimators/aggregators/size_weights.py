"""Chances that a subset is drawn, and the weights that undo them: what a semivalue needs of a design's law of sizes.

A semivalue is a sum over subsets, value[i] = sum_S omega_i(S) v(S) with omega = p[s-1] / C(n-1, s-1) where i is in S
and -p[s] / C(n-1, s) where it is not. With q(S) = pi[s] / C(n, s) the chance of a draw, omega / q is
n p[s-1] / (s pi[s]) and -n p[s] / ((n-s) pi[s]): no binomial coefficient is left, so the weights are exact for any n.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import FloatArray, IntArray
from estimators.designs.protocol import Design

LEAST_EXPECTED_ROWS = 1.0
LARGEST_WEIGHT = 30.0
MOST_MASS_UNSEEN = 1e-3
LEAST_EFFECTIVE_ROWS = 10.0


@dataclass(frozen=True, slots=True)
class RowWeights:
    """By size 0..n, [n + 1] each: omega / q with the instance and -omega / q without, q, and the log of q's inverse."""

    inside: FloatArray
    outside: FloatArray
    chance: FloatArray

    @property
    def both(self) -> FloatArray:
        """Weight of a row in the least squares problem whose solution is the semivalue, over its chance."""
        return self.inside + self.outside


def row_weights_of(p: FloatArray, law: FloatArray) -> RowWeights:
    """Weights of a semivalue p [n] under rows with log size law [n + 1]; 0 at sizes that are never drawn."""
    n = len(p)
    sizes = np.arange(n + 1)
    pi = np.exp(law)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where((sizes > 0) & (pi > 0), np.append(0.0, p) * n / (np.maximum(sizes, 1) * pi), 0.0)
        outside = np.where((sizes < n) & (pi > 0), np.append(p, 0.0) * n / (np.maximum(n - sizes, 1) * pi), 0.0)
        ways = gammaln(n + 1) - gammaln(sizes + 1) - gammaln(n - sizes + 1)
        chance = np.exp(law - ways)
    return RowWeights(inside, outside, chance)


def inclusion_of(law: FloatArray) -> float:
    """Pr(i in S) under a log law of sizes [n + 1]: the mean size over n."""
    n = len(law) - 1
    return float(np.exp(law) @ np.arange(n + 1)) / n


def shared_chance(chance: FloatArray, units: int) -> tuple[FloatArray, FloatArray]:
    """Probability of a subset to be among `units` draws of a chance each, and the chance over that probability.

    Where the chance is too small for a float the second is 1 / units, its limit.
    """
    included = -np.expm1(units * np.log1p(-np.minimum(chance, 1.0 - 1e-16)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(chance > 1e-290, chance / included, 1.0 / units)
    return included, ratio


def unseen_mass(p: FloatArray, law: FloatArray, draws: int | None) -> float:
    """How much of p lies on sizes of which fewer than one row is expected among `draws` (None: that are never drawn).

    A size whose rows weigh at most 30 times the mean is not counted as unseen: its neighbours in the law stand for it.
    A size is needed with the instance (c + 1) and without it (c); sizes 0 and n are end rows of every campaign.
    """
    n = len(p)
    pi, weights = np.exp(law), row_weights_of(p, law).both
    bounded = (pi > 0.0) & (weights <= LARGEST_WEIGHT * float(pi @ weights))
    seen = pi > 0.0 if draws is None else (draws * pi >= LEAST_EXPECTED_ROWS) | bounded
    seen[[0, n]] = True
    return float(p[~(seen[1:] & seen[:-1])].sum())


def effective_share(p: FloatArray, law: FloatArray) -> float:
    """What share of rows of equal weight gives the same error: (E w)^2 / E w^2 over the sizes drawn, 1..n-1."""
    weights, pi = row_weights_of(p, law).both[1:-1], np.exp(law)[1:-1]
    second = float(pi @ weights**2)
    return float(pi @ weights) ** 2 / second if second > 0.0 else 0.0


def semivalue_objection(p: FloatArray, design: Design, draws: int | None) -> str:
    """Why rows of the design's law do not give the semivalue p, or an empty text.

    Refused: no law of sizes, more than 0.001 of p on sizes of large weight with less than one row
    expected, fewer than 10 rows' worth.
    """
    law = design.log_size_law()
    if law is None:
        return "its draws have no law of sizes to weight by"
    mass = unseen_mass(p, law, draws)
    if mass > MOST_MASS_UNSEEN:
        rows = "never drawn" if draws is None else f"of which {draws:,} draws hold less than one row on average"
        return f"{mass:.1%} of its weight lies on sizes {rows}"
    share = effective_share(p, law)
    if draws is not None and len(p) > 2 and share * draws < LEAST_EFFECTIVE_ROWS:
        return f"its weights make {draws:,} rows worth {share * draws:.1f}"
    return ""


def sizes_of(members: "FloatArray | IntArray") -> IntArray:
    """Number of members of each row, [K]."""
    return np.asarray(members.sum(axis=1), dtype=np.int64)
