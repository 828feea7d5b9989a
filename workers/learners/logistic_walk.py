"""Walks of logistic regressions: softmax regression by stochastic gradient descent, many permutations in lockstep.

Parameters start at zero. Two classes have one logit, as in `logistic_objective`; more have a softmax over D's classes.
Step s of walk k moves its parameters by -rate w_i times the gradient of the cross-entropy of instance i = orders[k, s].
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, Float32Array, FloatArray, IntArray
from workers.losses import classification_losses


@dataclass(frozen=True, slots=True)
class LogisticWalk:
    """What walks go over.

    features: [n, D] float64 with a column of ones where there is an intercept; labels: [n] class codes; weights: [n].
    test_features: [n_test, D]; test_labels: [n_test]. names: losses kept.
    """

    features: FloatArray
    labels: IntArray
    weights: FloatArray
    test_features: FloatArray
    test_labels: IntArray
    classes: int
    names: tuple[str, ...]

    def walk(self, orders: IntArray, *, rate: float, columns: IntArray) -> dict[str, Float32Array]:
        """Losses [K, n + 1, c + 1] of walks over orders [K, n], see `workers.walking.Walker`."""
        count, n = orders.shape
        logits = 1 if self.classes == 2 else self.classes
        parameters = np.zeros((count, logits, self.features.shape[1]))
        kept = {name: np.empty((count, n + 1, len(columns) + 1), dtype=np.float32) for name in self.names}
        self._keep(kept, 0, parameters, columns)
        for step in range(n):
            chosen = orders[:, step]
            inputs = self.features[chosen]
            moves = self._residuals(parameters, inputs, self.labels[chosen]) * (rate * self.weights[chosen, None])
            parameters -= moves[:, :, None] * inputs[:, None, :]
            self._keep(kept, step + 1, parameters, columns)
        return kept

    def _residuals(self, parameters: FloatArray, inputs: FloatArray, labels: IntArray) -> FloatArray:
        """Derivatives [K, B] of each model's cross-entropy at its own instance by its logits."""
        logits: FloatArray = np.matmul(parameters, inputs[:, :, None])[:, :, 0]
        probabilities = np.exp(_log_softmax(logits))
        if parameters.shape[1] == 1:
            return probabilities[:, 1:] - labels[:, None]
        probabilities[np.arange(len(labels)), labels] -= 1.0
        return probabilities

    def _keep(self, kept: dict[str, Float32Array], position: int, parameters: FloatArray, columns: IntArray) -> None:
        for k, own in enumerate(parameters):
            logarithms = _log_softmax(self.test_features @ own.T)
            for name, losses in classification_losses(self.names, logarithms, self.test_labels).items():
                kept[name][k, position, :-1] = losses[columns]
                kept[name][k, position, -1] = losses.mean(dtype=np.float64)


def _log_softmax(logits: AnyArray) -> FloatArray:
    """Log-probabilities [..., C] of logits [..., C], or of the one logit [..., 1] of class 1."""
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logarithms: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms
