"""The instances that losses of linear classifiers are kept of: from parameters to one loss a model and instance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, Float32Array, FloatArray, IntArray
from workers.learners.fixed_products import ROWS, fixed_product, padded, padded_to

LOGIT_BYTES: Final = 2**19

LossesOf = Callable[[AnyArray, IntArray], Mapping[str, AnyArray]]
"""Losses by name, [A, rows], of logits [A, B, rows], which may be used up, and labels [rows]."""


@dataclass(frozen=True, slots=True)
class EvaluatedRows:
    """features: [D, rows] float64, rows padded. labels: [instances]."""

    features: FloatArray
    labels: IntArray

    def losses(self, names: tuple[str, ...], parameters: FloatArray, found: LossesOf) -> dict[str, Float32Array]:
        """The losses named, [A, instances] float32, by `found`, of parameters [A, B, D]; a block of rows at a time."""
        count, logits, _ = parameters.shape
        models = padded(count, ROWS)
        flat = padded_to(parameters, models, logits, len(self.features)).reshape(models * logits, -1)
        kept = {name: np.empty((count, len(self.labels)), dtype=np.float32) for name in names}
        length = max(64, LOGIT_BYTES // (8 * models * logits) // 64 * 64)
        for start in range(0, len(self.labels), length):
            labels = self.labels[start : start + length]
            product = fixed_product(flat, self.features[:, start : start + length])
            values = product.reshape(models, logits, -1)[:count, :, : len(labels)]
            for name, losses in found(values, labels).items():
                kept[name][:, start : start + len(labels)] = losses
        return kept


def evaluated_rows(features: FloatArray, labels: IntArray) -> EvaluatedRows:
    """features: [rows, D]."""
    across = padded_to(np.ascontiguousarray(features.T), features.shape[1], padded(len(features)))
    return EvaluatedRows(across, labels)


def first_of_largest(values: AnyArray) -> IntArray:
    """The first class [A, rows] of the largest of values [A, C, rows]: a loop over classes is fastest here."""
    largest = values.max(axis=1)
    found = np.zeros(largest.shape, dtype=np.int64)
    for label in range(values.shape[1] - 1, -1, -1):
        np.copyto(found, label, where=values[:, label] == largest)
    return found
