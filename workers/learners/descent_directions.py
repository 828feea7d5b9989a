"""Directions of descent for many problems side by side: Newton's, and limited-memory BFGS with a preconditioner."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from estimators.arrays import FloatArray, IntArray

MEMORY: Final = 10
RELATIVE_JITTER: Final = 1e-14


class NewtonDirections:
    """-H^-1 g with the full Hessian. hessians: of the problems named, [A, D, D], at their parameters [A, 1, D]."""

    def __init__(self, hessians: Callable[[Sequence[int], FloatArray], FloatArray]) -> None:
        self._hessians = hessians

    def towards(self, problems: IntArray, parameters: FloatArray, gradients: FloatArray) -> FloatArray:
        """Newton's directions."""
        hessians = self._hessians(problems.tolist(), parameters)
        size = hessians.shape[1]
        diagonal = np.einsum("kii->ki", hessians)
        diagonal += RELATIVE_JITTER * diagonal + np.finfo(np.float64).tiny
        # a stacked solve is one LAPACK call a problem
        solved: FloatArray = np.linalg.solve(hessians, gradients.reshape(-1, size, 1)).astype(np.float64, copy=False)
        return -solved.reshape(gradients.shape)

    def moved(self, problems: IntArray, steps: FloatArray, changes: FloatArray) -> None:
        """Nothing to learn: every direction comes from its own Hessian."""


class LimitedMemoryDirections:
    """L-BFGS (Nocedal, Math. Comp. 1980, two-loop recursion) whose initial inverse Hessian is a preconditioner.

    preconditioners: for each problem an approximate inverse Hessian [D, D], or its diagonal [D], applied to each row
    of its gradient [B, D].
    """

    def __init__(self, preconditioners: Sequence[FloatArray], logits: int) -> None:
        count, size = len(preconditioners), preconditioners[0].shape[-1]
        self._preconditioners = preconditioners
        self._steps = np.zeros((MEMORY, count, logits, size))
        self._changes = np.zeros((MEMORY, count, logits, size))
        self._inverses = np.zeros((MEMORY, count))
        self._scales = np.ones(count)
        self._learnt = np.zeros(count, dtype=np.int64)

    def towards(self, problems: IntArray, parameters: FloatArray, gradients: FloatArray) -> FloatArray:
        """Quasi-Newton directions; the preconditioned gradient's where rounding has spoilt the memory."""
        del parameters
        found = np.empty_like(gradients)
        for j, problem in enumerate(problems.tolist()):
            found[j] = self._direction(problem, gradients[j])
            if not float(np.vdot(found[j], gradients[j])) < 0.0:
                self._learnt[problem], self._scales[problem] = 0, 1.0
                found[j] = -_applied(self._preconditioners[problem], gradients[j])
        return found

    def moved(self, problems: IntArray, steps: FloatArray, changes: FloatArray) -> None:
        """Keep the pairs with positive curvature, the newest `MEMORY` of each problem."""
        for problem, step, change in zip(problems.tolist(), steps, changes, strict=True):
            curvature = float(np.vdot(step, change))
            if curvature <= 0.0:
                continue
            slot = self._learnt[problem] % MEMORY
            self._steps[slot, problem], self._changes[slot, problem] = step, change
            self._inverses[slot, problem] = 1.0 / curvature
            self._scales[problem] = curvature / float(np.vdot(change, _applied(self._preconditioners[problem], change)))
            self._learnt[problem] += 1

    def _direction(self, problem: int, gradient: FloatArray) -> FloatArray:
        learnt = int(self._learnt[problem])
        slots = [number % MEMORY for number in range(max(0, learnt - MEMORY), learnt)]
        steps, changes = self._steps[:, problem], self._changes[:, problem]
        inverses = self._inverses[:, problem]
        left, shares = gradient.copy(), {}
        for slot in reversed(slots):
            shares[slot] = inverses[slot] * np.vdot(steps[slot], left)
            left -= shares[slot] * changes[slot]
        right = self._scales[problem] * _applied(self._preconditioners[problem], left)
        for slot in slots:
            right += (shares[slot] - inverses[slot] * np.vdot(changes[slot], right)) * steps[slot]
        direction: FloatArray = -right
        return direction


def _applied(preconditioner: FloatArray, gradient: FloatArray) -> FloatArray:
    applied: FloatArray = gradient * preconditioner if preconditioner.ndim == 1 else gradient @ preconditioner
    return applied
