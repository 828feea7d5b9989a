"""Where a truncated walk stops: a function of losses alone, the same in the worker and for every later reader.

A prefix is as good as D where |L(prefix) - L(D)| <= tolerance |L(empty) - L(D)|, with L the mean loss over tests.
A walk stops at the first prefix that ends `patience` such prefixes in a row (Ghorbani and Zou, ICML 2019, take 0.01
and 5, relative to v(D); the range L(empty) - L(D) is taken here because losses have no zero). The marginal
contributions after it count as 0: summed over instances that leaves out L(stop) - L(D), for the mean loss at most the
tolerance times that range; for single test instances there is no such bound.
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray
from estimators.designs.parameters import Truncation
from estimators.designs.permutation import Permutation
from estimators.designs.protocol import Design
from estimators.designs.replicated import Replicated


@dataclass(frozen=True, slots=True)
class StopRule:
    """Prefixes whose mean loss is within `bound` of `reference` are as good as D; `patience` in a row end a walk."""

    reference: float
    bound: float
    patience: int

    def close(self, means: FloatArray) -> BoolArray:
        """Which mean losses are as good as D; NaN (not known, or failed) is not."""
        with np.errstate(invalid="ignore"):
            close: BoolArray = np.abs(means - self.reference) <= self.bound
        return close


def stop_rule(truncation: Truncation, full: AnyArray, empty: AnyArray) -> StopRule:
    """The rule from the losses of D [R, n_test] and of the empty subset [n_test]."""
    reference = float(np.mean(mean_losses(full)))
    span = abs(float(mean_losses(empty[None, :])[0]) - reference)
    return StopRule(reference, truncation.tolerance * span, truncation.patience)


def mean_losses(losses: AnyArray) -> FloatArray:
    """The mean over tests of each row of losses [K, n_test]: the same bits whatever rows stand beside it."""
    return np.array([np.mean(row, dtype=np.float64) for row in losses], dtype=np.float64)


def stop_of(rule: StopRule, means: FloatArray) -> int | None:
    """How many prefixes the walk with these mean losses [prefixes] has, None where they do not end it."""
    run = 0
    for place, close in enumerate(rule.close(means).tolist()):
        run = run + 1 if close else 0
        if run >= rule.patience:
            return place + 1
    return None


def truncated_walks(design: Design) -> Permutation | None:
    """The walks of a design that stop on losses seen, or None; walk w is its draws w (n-1) .. (w+1) (n-1) - 1."""
    inner = design.inner if isinstance(design, Replicated) else design
    return inner if isinstance(inner, Permutation) and inner.truncation is not None else None
