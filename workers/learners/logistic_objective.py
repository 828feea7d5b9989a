"""The objectives of K logistic regressions side by side, each on its own subset.

Objective k: sum_i w_i loss_i / S + ||coefficients||^2 / (2 c S) with S = sum_i w_i over the members, scikit-learn's
objective divided by S. Two classes: one logit; more: softmax over the classes that the subset has. Every matrix product
is one subset's own and everything else is elementwise over the subsets laid end to end, so that no subset's bits depend
on its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Problem:
    """One subset's logistic regression.

    features: [m, D], the last column ones where there is an intercept. labels: [m], 0 or 1 for two classes, else
    codes among C classes. shares: [m] weights divided by their sum. penalty: [D]. absent: [C] classes left out of the
    softmax, none where there are two classes. logits: B, 1 for two classes, else C.
    """

    features: FloatArray
    labels: IntArray
    shares: FloatArray
    penalty: FloatArray
    absent: BoolArray
    logits: int

    def curvature(self) -> FloatArray:
        """The Hessian [D, D] of each logit's parameters at zero, on the directions whose sum over logits is zero."""
        hessian: FloatArray = (self.features.T * (self._at_zero() * self.shares)) @ self.features
        hessian.flat[:: len(hessian) + 1] += self.penalty
        return hessian

    def curvature_diagonal(self) -> FloatArray:
        """The diagonal [D] of `curvature`."""
        diagonal: FloatArray = (self._at_zero() * self.shares) @ np.square(self.features) + self.penalty
        return diagonal

    def _at_zero(self) -> float:
        """The second derivative of an instance's loss by a logit, where all logits are zero."""
        return 0.25 if self.logits == 1 else 1.0 / (self.logits - int(self.absent.sum()))


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Some of the problems laid end to end: M = sum of their m. bounds: problem j is [bounds[j], bounds[j + 1])."""

    problems: tuple[Problem, ...]
    bounds: tuple[int, ...]
    labels: IntArray
    shares: FloatArray

    def evaluate(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Objectives [A] and gradients [A, B, D] at parameters [A, B, D]."""
        logits = self._logits(parameters)
        link = _binary if len(logits) == 1 else _multinomial
        losses, residuals = link(logits, self.labels)
        losses *= self.shares
        residuals *= self.shares
        values, gradients = np.empty(len(parameters)), np.empty_like(parameters)
        for j, problem in enumerate(self.problems):
            own = slice(self.bounds[j], self.bounds[j + 1])
            penalised = problem.penalty * parameters[j]
            values[j] = losses[own].sum() + 0.5 * float(np.vdot(penalised, parameters[j]))
            gradients[j] = residuals[:, own].copy() @ problem.features + penalised
        return values, gradients

    def hessians(self, parameters: FloatArray) -> FloatArray:
        """Hessians [A, D, D] at parameters [A, 1, D] of two-class problems."""
        logits = self._logits(parameters)[0]
        falling = np.exp(-np.abs(logits))
        curvatures = self.shares * falling / np.square(1.0 + falling)
        size = parameters.shape[2]
        hessians = np.empty((len(parameters), size, size))
        for j, problem in enumerate(self.problems):
            own = curvatures[self.bounds[j] : self.bounds[j + 1]]
            hessians[j] = (problem.features.T * own) @ problem.features
            hessians[j].flat[:: size + 1] += problem.penalty
        return hessians

    def _logits(self, parameters: FloatArray) -> FloatArray:
        logits = np.empty((parameters.shape[1], self.bounds[-1]))
        for j, problem in enumerate(self.problems):
            own = slice(self.bounds[j], self.bounds[j + 1])
            logits[:, own] = parameters[j] @ problem.features.T
            if problem.absent.any():
                logits[problem.absent, own] = -np.inf
        return logits


def side_by_side(problems: Sequence[Problem]) -> SideBySide:
    """The problems laid end to end."""
    return SideBySide(
        problems=tuple(problems),
        bounds=(0, *np.cumsum([len(problem.labels) for problem in problems]).tolist()),
        labels=np.concatenate([problem.labels for problem in problems]),
        shares=np.concatenate([problem.shares for problem in problems]),
    )


def _binary(logits: FloatArray, labels: IntArray) -> tuple[AnyArray, AnyArray]:
    """Losses [M] in nats and their derivatives [1, M] by the logit of class 1."""
    logit = logits[0]
    falling = np.exp(-np.abs(logit))
    losses = np.log1p(falling) + np.maximum(np.where(labels == 1, -logit, logit), 0.0)
    probabilities = np.where(logit >= 0.0, 1.0, falling) / (1.0 + falling)
    return losses, (probabilities - labels)[None]


def _multinomial(logits: FloatArray, labels: IntArray) -> tuple[AnyArray, AnyArray]:
    """Losses [M] in nats and their derivatives [B, M] by the logits; `logits` is used up.

    Sums over classes are loops: a reduction's order of addition may depend on M.
    """
    rows = np.arange(len(labels))
    largest = logits[0].copy()
    for each in logits[1:]:
        np.maximum(largest, each, out=largest)
    logits -= largest
    own = logits[labels, rows]
    exponentials = np.exp(logits, out=logits)
    total = exponentials[0].copy()
    for each in exponentials[1:]:
        total += each
    exponentials /= total
    exponentials[labels, rows] -= 1.0
    return np.log(total) - own, exponentials
