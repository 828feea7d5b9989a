"""Standard errors that a budget of retrains will buy, predicted from the spread of losses over draws.

Each function takes the spread (standard deviation of a loss over the design's draws, from a pilot) and gives the
standard error of a value from K retrains, in the loss's unit.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from estimators.aggregators.semivalues import banzhaf_sizes, shapley_sizes, squared_weight_sum
from estimators.aggregators.size_weights import inclusion_of, row_weights_of
from estimators.arrays import FloatArray
from estimators.designs.protocol import Design


class ErrorPrediction(Protocol):
    """spread -> standard error."""

    def __call__(self, spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
        """The standard error that `retrains` draws buy."""
        ...


def contrast_error(spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
    """Difference of two means: spread sqrt(1/K_in + 1/K_out), K_in = K t, with t the share of draws that hold i.

    Generous where the spread over all draws is largely the difference itself, as for memorization.
    """
    del n, options
    share = inclusion_share(design)
    return spread * math.sqrt(1.0 / (retrains * share) + 1.0 / (retrains * (1.0 - share)))


def held_out_error(spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
    """Mean over the rows without i: spread / sqrt(K_out)."""
    del n, options
    return spread / math.sqrt(retrains * (1.0 - inclusion_share(design)))


def weighted_contrast_error(p: FloatArray, spread: float, *, retrains: int, design: Design) -> float:
    """Contrast of two weighted means: spread sqrt(1/k_in + 1/k_out), k the effective rows of a side; p [n]."""
    law = design.log_size_law()
    if law is None:
        return math.inf
    n, pi, weights = len(p), np.exp(law), row_weights_of(p, law)
    share, total = np.arange(n + 1) / n, 0.0
    for part, weight in ((share, weights.inside), (1.0 - share, weights.outside)):
        used = pi * part
        used[[0, n]] = 0.0
        first, second = float(used @ weight), float(used @ weight**2)
        total += second / (retrains * first**2) if first > 0.0 else 0.0
    return spread * math.sqrt(total)


def leave_one_out_error(spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
    """At most spread sqrt(1 + 1/R), with R the replicates of D: less where the spread is effects, 0 without noise."""
    del retrains, design, options
    return spread * math.sqrt(1.0 + 1.0 / max(2, min(16, math.ceil(math.sqrt(n)))))


def exact_shapley_error(spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
    """At most what the spread would give if all of it were the learner's noise; 0 for a deterministic learner."""
    del retrains, design, options
    return spread * math.sqrt(squared_weight_sum(shapley_sizes(n)))


def banzhaf_error(spread: float, *, n: int, retrains: int, design: Design, options: Mapping[str, float]) -> float:
    """Difference of two means on random draws; on all subsets as `exact_shapley_error`, at most."""
    if design.draw_count is not None:
        return spread * math.sqrt(squared_weight_sum(banzhaf_sizes(n)))
    return contrast_error(spread, n=n, retrains=retrains, design=design, options=options)


def inclusion_share(design: Design) -> float:
    """Pr(i in S) under a random design; raises ValueError where its draws have no law of sizes."""
    law = design.log_size_law()
    if law is None:
        raise ValueError(f"the draws of {design.label} are no random sample")
    return inclusion_of(law)
