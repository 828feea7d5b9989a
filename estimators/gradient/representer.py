"""Representers: a model's output as a sum over training instances, theta = sum_i alpha_i times a feature.

L2 (Yeh, Kim, Yen and Ravikumar, NeurIPS 2018), L1 and nuclear norm (Tsai et al., ICML 2023). One function turns alphas
and a kernel into values; the kernels differ. The identity holds at a stationary point only, so its residual is always
measured and a bad one refused.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from estimators.arrays import FloatArray, IntArray
from estimators.errors import EstimatorError


@dataclass(frozen=True, slots=True)
class Representer:
    """alphas: [n, C], of instance i for output c. kernel: [n, n_test]. residual: how far the sum is from outputs."""

    alphas: FloatArray
    kernel: FloatArray
    residual: float

    def on_outputs(self, columns: IntArray) -> FloatArray:
        """Value [n, n_test] on output columns[j] of test instance j: positive raises it (no loss; scale `ranking`)."""
        return self.alphas[:, columns] * self.kernel

    def on_losses(self, slopes: FloatArray) -> FloatArray:
        """Linearised loss values [n, n_test], slopes dL_j / d outputs [n_test, C]: positive lowers the loss."""
        return -(self.alphas @ slopes.T) * self.kernel

    def on_losses_exactly(self, outputs: FloatArray, loss: "Loss") -> FloatArray:
        """L_j without instance i's term of the sum - L_j [n, n_test]; outputs [n_test, C]."""
        moved = outputs[None] - self.alphas[:, None, :] * self.kernel[:, :, None]
        return loss(moved) - loss(outputs[None])


class Loss:
    """Cross-entropy or squared error of outputs [..., n_test, C] against the test labels, [..., n_test]."""

    def __init__(self, kind: Literal["cross_entropy", "squared_error"], labels: FloatArray | IntArray) -> None:
        self.kind = kind
        self.labels = labels

    def __call__(self, outputs: FloatArray) -> FloatArray:
        """Losses."""
        if self.kind == "squared_error":
            squared: FloatArray = np.square(outputs - self.labels.reshape(outputs.shape[-2:])).sum(axis=-1)
            return squared
        highest = outputs.max(axis=-1, keepdims=True)
        total = np.log(np.exp(outputs - highest).sum(axis=-1)) + highest[..., 0]
        picked: FloatArray = np.take_along_axis(
            outputs, np.broadcast_to(self.labels[:, None], (*outputs.shape[:-1], 1)), axis=-1
        )[..., 0]
        losses: FloatArray = total - picked
        return losses


def representer(
    features: FloatArray,
    test_features: FloatArray,
    slopes: FloatArray,
    outputs: FloatArray,
    *,
    penalty: float,
    form: Literal["l2", "l1"] = "l2",
    theta: FloatArray | None = None,
    tolerance: float = 1e-6,
) -> Representer:
    """The representer of a linear model with outputs theta features.

    features: [n, h], test_features: [n_test, h], with a 1 appended where there is a bias (it must be penalised too).
    slopes: dL_i / d outputs [n, C] at the optimum. outputs: [n_test, C]. penalty: lam of (1/n) sum L + (lam / 2)
    ||theta||^2, or of lam ||theta||_1 with form l1, which needs theta [1, h]. alpha_i = -slopes_i / (lam n).

    Raises:
        EstimatorError: no penalty, or the sum misses the outputs by more than `tolerance` of the largest.
    """
    if penalty <= 0:
        raise EstimatorError("a representer needs a penalty above 0: without one the alphas have no scale")
    weighted = features if form == "l2" else features * _absolute(theta, features)
    return _checked(-slopes / (penalty * len(features)), weighted @ test_features.T, outputs, tolerance)


def nuclear_representer(
    left: tuple[FloatArray, FloatArray],
    right: tuple[FloatArray, FloatArray],
    slopes: FloatArray,
    outputs: FloatArray,
    theta: FloatArray,
    *,
    penalty: float,
    tolerance: float = 1e-6,
) -> Representer:
    """The representer of f(z, v) = z^T Theta v under lam ||Theta||_*.

    left, right: (train, test) vectors z [n, d1], [n_test, d1] and v [n, d2], [n_test, d2]. slopes: dL_i / df [n, 1].
    outputs: [n_test, 1]. Theta = U S V^T; the kernel is (z_i U S^1/2 U^T z)(v_i V S^1/2 V^T v).
    """
    u, s, vt = np.linalg.svd(theta, full_matrices=False)
    roots = np.sqrt(s)
    kernel = ((left[0] @ u * roots) @ (left[1] @ u).T) * ((right[0] @ vt.T * roots) @ (right[1] @ vt.T).T)
    return _checked(-slopes / (penalty * len(slopes)), kernel, outputs, tolerance)


def _absolute(theta: FloatArray | None, features: FloatArray) -> FloatArray:
    if theta is None or theta.shape != (1, features.shape[1]):
        raise EstimatorError("the L1 representer needs theta [1, h] of a single output")
    return np.abs(theta)


def _checked(alphas: FloatArray, kernel: FloatArray, outputs: FloatArray, tolerance: float) -> Representer:
    scale = float(np.abs(outputs).max()) or 1.0
    residual = float(np.abs(kernel.T @ alphas - outputs).max()) / scale
    if not residual <= tolerance:
        raise EstimatorError(
            f"the representer's sum misses the outputs by {residual:.2g} of the largest (tolerance {tolerance:g}): the "
            "model is not at a stationary point of the penalised loss; fit the last layer first (`fit_head`)"
        )
    return Representer(alphas, kernel, residual)
