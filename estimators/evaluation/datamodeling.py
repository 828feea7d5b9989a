"""The linear datamodeling score: do values, summed over a subset's members, order the losses of subsets held out?

    predicted[k, j] = sum over i in S_k of I[i, j],   measured[k, j] = - L_j of a model trained on S_k
    score = mean over tests j of Spearman's correlation over subsets k  (Park et al., ICML 2023, TRAK, definition 3)

Values are positive where an instance lowers the loss, so no sign has to be turned. No prediction can order what is the
learner's own noise: the ceiling says how far the best one would get.
"""

import math
from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.evaluation.rank_agreement import RankAgreement, rank_agreement


def predicted_sums(values: AnyArray, members: BoolArray) -> FloatArray:
    """Sums [K, n_test] of values [n, n_test] over the members [K, n] of each subset; NaN is left out."""
    known = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0)
    sums: FloatArray = members.astype(np.float64) @ known
    return sums


def linear_datamodeling_score(
    values: AnyArray, members: BoolArray, losses: AnyArray, *, units: IntArray | None = None, seed: int = 0
) -> RankAgreement:
    """The score of values [n, n_test] on subsets [K, n] with losses [K, n_test], each a mean over its retrains.

    units: [K], which subsets were drawn together. Raises ValueError where shapes do not fit.
    """
    if values.shape != (members.shape[1], losses.shape[1]) or len(members) != len(losses):
        raise ValueError(f"values {values.shape}, members {members.shape} and losses {losses.shape} do not fit")
    return rank_agreement(predicted_sums(values, members), -np.asarray(losses, np.float64), units=units, seed=seed)


@dataclass(frozen=True, slots=True)
class NoiseCeiling:
    """The score that the expected losses themselves would get.

    score: sqrt of the reliability of the measured losses. halves: the score of one half of the retrains against the
    other, where subsets were retrained; NaN elsewhere. source: what it was computed from.
    """

    score: float
    halves: float
    source: str


NO_NOISE = NoiseCeiling(1.0, 1.0, "the learner is deterministic")


def ceiling_of_halves(first: AnyArray, second: AnyArray) -> NoiseCeiling:
    """From mean losses [K, n_test] of two halves of each subset's retrains.

    Spearman's and Brown's formula takes the correlation r of two halves to the reliability 2 r / (1 + r) of the whole;
    what predicts expected losses perfectly correlates with measured ones at its root.
    """
    halves = rank_agreement(first, second).score
    reliability = 2.0 * halves / (1.0 + halves) if halves > 0.0 else 0.0
    score = math.nan if math.isnan(halves) else math.sqrt(reliability)
    return NoiseCeiling(score, halves, "retrains of the same subsets with other seeds")


def ceiling_of_replicates(losses: AnyArray, full: AnyArray) -> NoiseCeiling:
    """From losses [K, n_test] of subsets trained once each, and replicates [R, n_test] of the whole training set.

    It takes the variance over seeds on the whole set for that on subsets, which is an assumption, and Pearson's
    correlation for Spearman's.
    """
    noise = np.var(np.asarray(full, np.float64), axis=0, ddof=1) if len(full) > 1 else np.full(full.shape[1], np.nan)
    spread = np.var(np.asarray(losses, np.float64), axis=0, ddof=1)
    varies = spread > 0.0
    reliability = np.clip(1.0 - noise[varies] / spread[varies], 0.0, 1.0)
    score = float(np.mean(np.sqrt(reliability))) if varies.any() else math.nan
    return NoiseCeiling(score, math.nan, "seeds of the whole training set, taken for those of subsets")
