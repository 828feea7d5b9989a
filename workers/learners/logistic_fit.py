"""Fits K logistic regressions side by side, each to the same gradient tolerance in float64.

Three stages, each for the problems that the one before has not brought within the tolerance: descents in float32, where
products are twice as fast; in float64 from there; and again, over Hessians at the place reached, which separable data
need. A problem starts at zero and every choice is its own subset's: its minimum has the same bits whatever the others
are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, FloatArray, IntArray
from workers.errors import LearnerError
from workers.learners.batched_minimiser import Minima, minimise
from workers.learners.logistic_curvature import hessian_at, hessian_at_zero
from workers.learners.logistic_objective import Problem, TrainingRows
from workers.learners.preconditioners import inverses, sampled_rows

SINGLE_FLOOR: Final = 4 * float(np.finfo(np.float32).eps)
SINGLE_SHARE: Final = 0.7
SINGLE_JITTER: Final = 1e-5
DOUBLE_JITTER: Final = 1e-12
SINGLE_ITERATIONS: Final = 100
FIRST_ITERATIONS: Final = 20
ROUND_ITERATIONS: Final = 40


@dataclass(frozen=True, slots=True)
class Fit:
    """Fits problems to a gradient tolerance, see `LogisticRegressionSpec`. penalty: 1 / c."""

    rows: TrainingRows
    penalty: float
    tolerance: float
    max_iterations: int

    def parameters(self, problems: Sequence[Problem]) -> FloatArray:
        """Parameters [A, B, D] at the minima of problems that go together (`TrainingRows.kind` is the same).

        Raises:
            LearnerError: one does not reach the tolerance within `max_iterations`.
        """
        inverse = inverses(np.stack([self._at_zero(problem) for problem in problems]), jitter=SINGLE_JITTER)
        start = self._single(problems, inverse) if self.rows.shareable else self._zeros(problems)
        minima = self._double(problems, inverse, start, FIRST_ITERATIONS)
        spent = FIRST_ITERATIONS
        while spent < self.max_iterations and (far := np.flatnonzero(self._is_far(minima))).size:
            self._round(problems, minima, far, min(ROUND_ITERATIONS, self.max_iterations - spent))
            spent += ROUND_ITERATIONS
        if self._is_far(minima).any():
            raise LearnerError(self._not_arrived(problems, minima.largest_gradient))
        parameters: FloatArray = minima.parameters
        return parameters

    def _single(self, problems: Sequence[Problem], inverse: FloatArray) -> FloatArray:
        """Where descents in float32 end: within the tolerance, or where rounding hides the gradient."""
        scales = np.array([self._scale(problem) for problem in problems])
        rough = minimise(
            self.rows.objectives(problems, self.penalty, inverse, np.float32),
            self._zeros(problems).astype(np.float32),
            tolerances=np.maximum(SINGLE_SHARE * self.tolerance, SINGLE_FLOOR * scales),
            max_iterations=min(SINGLE_ITERATIONS, self.max_iterations),
            give_up_stalled=True,
        )
        usable = np.isfinite(rough.parameters).all(axis=(1, 2), keepdims=True)
        parameters: FloatArray = np.where(usable, rough.parameters, 0.0).astype(np.float64)
        return parameters

    def _double(self, problems: Sequence[Problem], inverse: FloatArray, start: FloatArray, most: int) -> Minima:
        return minimise(
            self.rows.objectives(problems, self.penalty, inverse, np.float64),
            start,
            tolerances=np.full(len(problems), self.tolerance),
            max_iterations=min(most, self.max_iterations),
        )

    def _round(self, problems: Sequence[Problem], minima: Minima, far: IntArray, most: int) -> None:
        """Go on over Hessians at the place reached; `minima` is brought up to date."""
        chosen = [problems[k] for k in far.tolist()]
        hessians = [
            hessian_at(self.rows, problem, minima.parameters[k], self.penalty)
            for k, problem in zip(far.tolist(), chosen, strict=True)
        ]
        further = self._double(chosen, inverses(np.stack(hessians), jitter=DOUBLE_JITTER), minima.parameters[far], most)
        minima.parameters[far] = further.parameters
        minima.largest_gradient[far] = further.largest_gradient

    def _is_far(self, minima: Minima) -> AnyArray:
        return ~(minima.largest_gradient <= self.tolerance)

    def _zeros(self, problems: Sequence[Problem]) -> FloatArray:
        return np.zeros((len(problems), self.rows.logits, self.rows.features.shape[1]))

    def _at_zero(self, problem: Problem) -> FloatArray:
        return hessian_at_zero(self.rows, problem, self.penalty)

    def _scale(self, problem: Problem) -> float:
        """The largest mean size of a column of features, over the subset's first members."""
        few = self.rows.places[problem.chosen[: sampled_rows(self.rows.features.shape[1])]]
        return float(np.abs(self.rows.single[few]).mean(axis=0).max())

    def _not_arrived(self, problems: Sequence[Problem], largest: FloatArray) -> str:
        worst = int(np.argmax(np.where(np.isnan(largest), np.inf, largest)))
        return (
            f"logistic_regression: on a subset of {len(problems[worst].chosen)} members the gradient's largest"
            f" component is {largest[worst]:.1e} after {self.max_iterations} iterations, above gradient_tolerance"
            f" {self.tolerance:.1e}: raise max_iterations (now {self.max_iterations}) or gradient_tolerance, scale the"
            " features, or lower c"
        )
