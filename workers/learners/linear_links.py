"""Derivatives of losses by logits, for models side by side; elementwise in models and rows."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from estimators.arrays import AnyArray, BoolArray


def logistic_residuals(logits: AnyArray, shares: AnyArray, labels: AnyArray) -> AnyArray:
    """Of log(1 + exp(-z)), z the logit of the row's own class (features carry signs): -share / (1 + exp(z))."""
    del labels
    with np.errstate(over="ignore"):  # the limit 0 is right
        np.exp(logits, out=logits)
    logits += 1.0
    return np.divide(-shares[:, None, :], logits, out=logits)


@dataclass(frozen=True, slots=True)
class SoftmaxResiduals:
    """Of the cross-entropy of a softmax: share (p - [own class]). absent: [A, B] classes left out of each softmax."""

    absent: BoolArray

    def __call__(self, logits: AnyArray, shares: AnyArray, labels: AnyArray) -> AnyArray:
        """See `linear_rows.Residuals`."""
        if self.absent.any():
            logits[: len(self.absent)][self.absent] = -np.inf
        logits -= logits.max(axis=1)[:, None]
        np.exp(logits, out=logits)
        logits *= (shares / logits.sum(axis=1))[:, None]
        if labels.ndim == 2:
            models, rows = np.arange(len(labels))[:, None], np.arange(labels.shape[1])
            logits[models, labels, rows] -= shares
            return logits
        bounds = np.searchsorted(labels, np.arange(logits.shape[1] + 1))
        for label, (start, stop) in enumerate(pairwise(bounds)):
            logits[:, label, start:stop] -= shares[:, start:stop]
        return logits
