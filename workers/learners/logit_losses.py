"""Losses of logistic regressions side by side, from their logits."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from workers.learners.evaluated_rows import first_of_largest
from workers.losses import PROBABILITY_FLOOR

HIGHEST: Final = -float(np.log(PROBABILITY_FLOOR))


@dataclass(frozen=True, slots=True)
class LogitLosses:
    """Losses of logistic regressions, see `workers.losses`. absent: [A, C] classes of probability 0."""

    names: tuple[str, ...]
    absent: BoolArray

    def __call__(self, logits: AnyArray, labels: IntArray) -> dict[str, AnyArray]:
        """See `evaluated_rows.LossesOf`: one logit (of class 1) for two classes."""
        if logits.shape[1] == 1:
            return _binary(self.names, _limited(logits[:, 0], self.absent), labels)
        return _softmax(self.names, logits, self.absent, labels)


def _limited(logits: FloatArray, absent: BoolArray) -> FloatArray:
    """Logits [A, rows] of class 1, infinite where a class is absent."""
    if absent.any():
        logits[absent[:, 0]], logits[absent[:, 1]] = np.inf, -np.inf
    return logits


def _binary(names: tuple[str, ...], logits: FloatArray, labels: IntArray) -> dict[str, AnyArray]:
    own = np.where(labels == 1, logits, -logits)
    small = np.log1p(np.exp(-np.abs(own)))
    loss = np.minimum(small + np.maximum(-own, 0.0), HIGHEST)
    found: dict[str, AnyArray] = {}
    if "cross_entropy" in names:
        found["cross_entropy"] = loss
    if "zero_one" in names:
        found["zero_one"] = np.where(np.isnan(logits), np.nan, (logits > 0.0) != (labels == 1))
    if "margin" in names:
        found["margin"] = loss - np.minimum(small + np.maximum(own, 0.0), HIGHEST)
    return found


def _softmax(names: tuple[str, ...], logits: FloatArray, absent: BoolArray, labels: IntArray) -> dict[str, AnyArray]:
    """Of logits [A, C, rows], which are used up."""
    if absent.any():
        logits[absent] = -np.inf
    logits -= logits.max(axis=1)[:, None]
    rows = np.arange(len(labels))
    own = logits[:, labels, rows]
    total = np.log(np.exp(logits).sum(axis=1))
    found: dict[str, AnyArray] = {}
    if "cross_entropy" in names:
        found["cross_entropy"] = np.minimum(total - own, HIGHEST)
    if "zero_one" in names:
        found["zero_one"] = np.where(np.isnan(total), np.nan, _wrong(logits, own, labels))
    if "margin" in names:
        logits[:, labels, rows] = -np.inf
        found["margin"] = np.minimum(total - own, HIGHEST) - np.minimum(total - logits.max(axis=1), HIGHEST)
    return found


def _wrong(logits: FloatArray, own: FloatArray, labels: IntArray) -> BoolArray:
    """Whether the first likeliest class is another: of shifted logits [A, C, rows], and those of the own class."""
    alone = np.count_nonzero(logits == 0.0) == own.size and not np.isnan(own).any()  # one each: no ties
    wrong: BoolArray = own != 0.0 if alone else first_of_largest(logits) != labels
    return wrong
