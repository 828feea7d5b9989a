"""Losses of linear support vector machines side by side, from their scores."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, IntArray
from workers.learners.evaluated_rows import first_of_largest


@dataclass(frozen=True, slots=True)
class HingeLosses:
    """absent: [A, C] classes that a model has not seen, which it never predicts.

    squared_hinge: max(0, 1 - y f)^2 with y = 1 or -1, for more classes than two summed over one-vs-rest scores, as it
    is trained. zero_one: 1 where the class of the highest score, the first of equals, is not the label. margin: minus
    y f for two classes; for more the highest score of another class minus the label's own; negative = right.
    """

    names: tuple[str, ...]
    absent: BoolArray

    def __call__(self, logits: AnyArray, labels: IntArray) -> dict[str, AnyArray]:
        """See `evaluated_rows.LossesOf`: one score (of class 1) for two classes."""
        found = _binary(logits[:, 0], self.absent, labels) if logits.shape[1] == 1 else self._of_more(logits, labels)
        return {name: found[name] for name in self.names}

    def _of_more(self, scores: AnyArray, labels: IntArray) -> dict[str, AnyArray]:
        rows = np.arange(len(labels))
        own, unknown = scores[:, labels, rows], np.isnan(scores).any(axis=1)
        seen = np.where(self.absent[:, :, None], -np.inf, scores)
        wrong = np.where(unknown, np.nan, first_of_largest(seen) != labels)
        others = scores.copy()
        others[:, labels, rows] = -np.inf
        scores[:, labels, rows] *= -1.0
        squared = np.zeros_like(own)
        for each in np.moveaxis(scores, 1, 0):  # class by class: a sum in a fixed order, whatever the shape
            squared += np.square(np.maximum(1.0 + each, 0.0))
        return {"squared_hinge": squared, "zero_one": wrong, "margin": others.max(axis=1) - own}


def _binary(scores: AnyArray, absent: BoolArray, labels: IntArray) -> dict[str, AnyArray]:
    positive = (scores > 0.0) | absent[:, :1]
    positive &= ~absent[:, 1:]
    own = np.where(labels == 1, scores, -scores)
    return {
        "squared_hinge": np.square(np.maximum(1.0 - own, 0.0)),
        "zero_one": np.where(np.isnan(scores), np.nan, positive != (labels == 1)),
        "margin": -own,
    }
