"""Losses of linear classifiers side by side: from their parameters to one loss a model and instance."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from workers.learners.fixed_products import ROWS, fixed_product, padded, padded_to
from workers.losses import PROBABILITY_FLOOR

HIGHEST: Final = -float(np.log(PROBABILITY_FLOOR))
LOGIT_BYTES: Final = 2**19


@dataclass(frozen=True, slots=True)
class EvaluatedRows:
    """The instances that losses are kept of. features: [D, rows] float64, rows padded. labels: [instances]."""

    features: FloatArray
    labels: IntArray

    def losses(self, names: tuple[str, ...], parameters: FloatArray, absent: BoolArray) -> dict[str, Float32Array]:
        """The losses named, [A, instances] float32, see `workers.losses`.

        parameters: [A, B, D], one logit (of class 1) for two classes. absent: [A, C] classes of probability 0.
        """
        count, logits, _ = parameters.shape
        models = padded(count, ROWS)
        flat = padded_to(parameters, models, logits, len(self.features)).reshape(models * logits, -1)
        kept = {name: np.empty((count, len(self.labels)), dtype=np.float32) for name in names}
        length = max(64, LOGIT_BYTES // (8 * models * logits) // 64 * 64)
        for start in range(0, len(self.labels), length):
            labels = self.labels[start : start + length]
            product = fixed_product(flat, self.features[:, start : start + length])
            values = product.reshape(models, logits, -1)[:count, :, : len(labels)]
            found = (
                _binary(names, _limited(values[:, 0], absent), labels)
                if logits == 1
                else _softmax(names, values, absent, labels)
            )
            for name, losses in found.items():
                kept[name][:, start : start + len(labels)] = losses
        return kept


def evaluated_rows(features: FloatArray, labels: IntArray) -> EvaluatedRows:
    """features: [rows, D]."""
    across = padded_to(np.ascontiguousarray(features.T), features.shape[1], padded(len(features)))
    return EvaluatedRows(across, labels)


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
    wrong: BoolArray = own != 0.0 if alone else _first_of_likeliest(logits) != labels
    return wrong


def _first_of_likeliest(logits: FloatArray) -> IntArray:
    """The first class [A, rows] whose shifted logit is 0, the largest: a loop over classes is fastest here."""
    likeliest = np.zeros((len(logits), logits.shape[2]), dtype=np.int64)
    for label in range(logits.shape[1] - 1, 0, -1):
        np.copyto(likeliest, label, where=logits[:, label] == 0.0)
    np.copyto(likeliest, 0, where=logits[:, 0] == 0.0)
    return likeliest
