"""Interaction indices of pairs: one law of sizes each, from which the weight of every row follows.

    I(i, j) = sum over T without i and j of q(|T|) (v(T + i + j) - v(T + i) - v(T + j) + v(T)),   v = -loss

Positive: together the two lower the loss by more than the sum of what each does. With P[t] = C(n-2, t) q(t), which sums
to 1 over t = 0..n-2:

| index | P[t] |
| --- | --- |
| Shapley interaction (Grabisch and Roubens 1999; survey equation 19) | 1 / (n - 1) |
| Shapley-Taylor, order 2 (Sundararajan et al., ICML 2020; equation 21) | 2 (n - 1 - t) / (n (n - 1)) |
| Banzhaf interaction (Grabisch and Roubens 1999), also the faithful Banzhaf index of order 2 | Binomial(n - 2, 1/2) |
| faithful Shapley interaction of order 2 (Tsai, Yeh and Ravikumar, JMLR 2023) | 6 (t+1)(n-1-t) / ((n+1) n (n-1)) |

Under a law pi of sizes, subsets of one size being equally likely, a row S with r of the pair in it has the weight
w_r(s) = (-1)^r P[s-r] C(n, s) / (C(n-2, s-r) pi[s]): the mean of w v over rows is the index. Where a law never draws
the empty subset or D, their terms P[0] v(empty) and P[n-2] v(D) are added from the end rows of the campaign.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from estimators.arrays import FloatArray
from estimators.designs.protocol import Design
from estimators.methods.laws import binomial_sizes, lists_all_subsets, refusal
from estimators.naming import entry_named

MOST_WEIGHT = 100.0
"""A row may weigh at most this many times the mean: beyond, a few rows would decide the index."""
MOST_MASS_UNSEEN = 1e-3
LEAST_ROWS = 20.0
"""Rows must be worth so many of equal weight: below, an error is told by a few subsets that may not have been drawn."""


@dataclass(frozen=True, slots=True)
class InteractionIndex:
    """An index. sizes: n -> P [n - 1]. run: the design to run where another does not do."""

    name: str
    title: str
    paper: str
    equation: str
    sizes: Callable[[int], FloatArray]
    run: str

    def objection(self, design: Design, draws: int | None = None) -> str:
        """Why rows of the design do not give the index, with the design to run, or an empty text."""
        if lists_all_subsets(design):
            return ""
        law = design.log_size_law()
        if law is None:
            return refusal(self.name, design, "its draws have no law of sizes to weight by", self.run)
        reason = _unseen(self.sizes(design.n), law, draws) or _too_few(self.sizes(design.n), law, draws)
        return refusal(self.name, design, reason, self.run) if reason else ""


@dataclass(frozen=True, slots=True)
class PairWeights:
    """Weights by size 0..n of rows with both, one and none of a pair, [n + 1] each; 0 where a size is never drawn."""

    both: FloatArray
    one: FloatArray
    none: FloatArray


def pair_weights(sizes: FloatArray, law: FloatArray) -> PairWeights:
    """The weights of an index with P [n - 1] under the log law of sizes [n + 1]."""
    n = len(sizes) + 1
    s, pi = np.arange(n + 1, dtype=np.float64), np.exp(law)
    padded = np.concatenate([[0.0, 0.0], sizes, [0.0, 0.0]])  # P[t] stands at t + 2
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(pi > 0.0, n * (n - 1) / pi, 0.0)
        both = np.where(s >= 2, padded[np.arange(n + 1)] / np.maximum(s * (s - 1), 1.0), 0.0) * scale
        one = np.where((s >= 1) & (s < n), padded[np.arange(1, n + 2)] / np.maximum(s * (n - s), 1.0), 0.0) * scale
        rest = np.maximum((n - s) * (n - s - 1), 1.0)
        none = np.where(s <= n - 2, padded[np.arange(2, n + 3)] / rest, 0.0) * scale
    return PairWeights(both, -one, none)


def row_share(sizes: FloatArray, law: FloatArray) -> float:
    """What share of rows of equal weight tells a pair's error as well: (E w^2)^2 / E w^4 over rows."""
    n, weights = len(sizes) + 1, pair_weights(sizes, law)
    s, pi = np.arange(n + 1, dtype=np.float64), np.exp(law)
    both, none = s * (s - 1) / (n * (n - 1)), (n - s) * (n - s - 1) / (n * (n - 1))
    shares = ((both, weights.both), (none, weights.none), (1.0 - both - none, weights.one))
    second, fourth = (sum(float(pi @ (share * w**power)) for share, w in shares) for power in (2, 4))
    return second**2 / fourth if fourth > 0.0 else 0.0


def end_shares(sizes: FloatArray, law: FloatArray) -> tuple[float, float]:
    """What v(empty) and v(D) add to every pair's index apart from the rows: 0 where the law draws them itself."""
    empty = 0.0 if np.isfinite(law[0]) else float(sizes[0])
    full = 0.0 if np.isfinite(law[-1]) else float(sizes[-1])
    return empty, full


def law_of(design: Design) -> FloatArray:
    """The log law of sizes [n + 1]; that of all subsets alike where the design lists them all."""
    law = design.log_size_law()
    return np.log(binomial_sizes(design.n, 0.5)) if law is None else law


def _unseen(sizes: FloatArray, law: FloatArray, draws: int | None) -> str:
    n, pi = len(sizes) + 1, np.exp(law)
    weights = pair_weights(sizes, law)
    most = np.max([np.abs(weights.both), np.abs(weights.one), np.abs(weights.none)], axis=0)
    bounded = (pi > 0.0) & (most <= MOST_WEIGHT * max(float(pi @ most), 1e-300))
    seen = pi > 0.0 if draws is None else (draws * pi >= 1.0) | bounded
    seen[[0, n]] = True  # end rows of every campaign
    lost = float(sum(sizes[t] for t in range(n - 1) if not (seen[t] and seen[t + 1] and seen[t + 2])))
    if lost <= MOST_MASS_UNSEEN:
        return ""
    rows = "never drawn" if draws is None else f"of which {draws:,} draws hold less than one row on average"
    return f"{lost:.1%} of its weight lies on sizes {rows}"


def _too_few(sizes: FloatArray, law: FloatArray, draws: int | None) -> str:
    if draws is None or row_share(sizes, law) * draws >= LEAST_ROWS:
        return ""
    worth, needed = row_share(sizes, law) * draws, math.ceil(LEAST_ROWS / row_share(sizes, law))
    return f"its weights make {draws:,} rows worth {worth:.1f}: {needed:,} draws would do"


def _shapley(n: int) -> FloatArray:
    return np.full(n - 1, 1.0 / (n - 1))


def _taylor(n: int) -> FloatArray:
    law: FloatArray = 2.0 * (n - 1 - np.arange(n - 1)) / (n * (n - 1))
    return law


def _banzhaf(n: int) -> FloatArray:
    return binomial_sizes(n - 2, 0.5)


def _faithful(n: int) -> FloatArray:
    t = np.arange(n - 1, dtype=np.float64)
    law: FloatArray = 6.0 * (t + 1) * (n - 1 - t) / ((n + 1.0) * n * (n - 1))
    return law


_ALL_SIZES = "design sizes for: shapley, or exhaustive"

INTERACTIONS: Mapping[str, InteractionIndex] = MappingProxyType(
    {
        index.name: index
        for index in (
            InteractionIndex(
                "shapley_interaction",
                "Shapley interaction index",
                "Grabisch and Roubens 1999",
                "Hammoudeh and Lowd 2024, equation 19",
                _shapley,
                _ALL_SIZES,
            ),
            InteractionIndex(
                "shapley_taylor",
                "Shapley-Taylor interaction index of order 2",
                "Sundararajan, Dhamdhere and Agarwal, ICML 2020",
                "Hammoudeh and Lowd 2024, equation 21",
                _taylor,
                _ALL_SIZES,
            ),
            InteractionIndex(
                "banzhaf_interaction",
                "Banzhaf interaction index (and faithful Banzhaf index of order 2)",
                "Grabisch and Roubens 1999; Hammer and Holzman 1992",
                "the mean of the pair's second difference over all subsets",
                _banzhaf,
                "design bernoulli with probability 0.5, or exhaustive",
            ),
            InteractionIndex(
                "faithful_shapley_interaction",
                "faithful Shapley interaction index of order 2",
                "Tsai, Yeh and Ravikumar, JMLR 2023",
                "their equation 16 for pairs",
                _faithful,
                _ALL_SIZES,
            ),
        )
    }
)


def interaction_index(name: str) -> InteractionIndex:
    """The index of that name; raises UnknownName with the nearest names."""
    return entry_named(name, INTERACTIONS, kind="interaction")
