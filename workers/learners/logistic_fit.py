"""Fits K logistic regressions side by side, each to the same gradient tolerance in float64.

First in float32, where products are twice as fast, as far as rounding lets the gradient be seen; from there in float64,
which confirms the tolerance, unless that is so wide that float32's rounding of a gradient cannot hide a miss. Descents
begin over the Hessian at zero; those that take long go on over the Hessian at the place reached, which separable data
need. A problem starts at zero and every choice is its own subset's: its minimum has the same bits whatever the others
are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray
from workers.errors import LearnerError
from workers.learners.batched_minimiser import Minima, minimise
from workers.learners.fixed_products import padded_to
from workers.learners.logistic_curvature import hessian_at, hessian_at_zero
from workers.learners.logistic_objective import Problem, TrainingRows
from workers.learners.preconditioners import inverses

SINGLE_FLOOR: Final = 4 * float(np.finfo(np.float32).eps)
SINGLE_ROUNDING: Final = 64 * float(np.finfo(np.float32).eps)
SINGLE_SHARE: Final = 0.7
SINGLE_JITTER: Final = 1e-5
DOUBLE_JITTER: Final = 1e-12
SINGLE_ITERATIONS: Final = 64
FIRST_ITERATIONS: Final = 16
ROUND_ITERATIONS: Final = 24


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
        start, hessians = self._zeros(problems), [self._at_zero(problem) for problem in problems]
        inverse, places = self._inverse(hessians, SINGLE_JITTER), list(range(len(problems)))
        if self.rows.shareable:
            scales = np.array([self._scale(*each) for each in zip(problems, hessians, strict=True)])
            floors = np.maximum(SINGLE_SHARE * self.tolerance, SINGLE_FLOOR * scales)
            rough = self._rounds(
                problems, start.astype(np.float32), inverse, floors, min(SINGLE_ITERATIONS, self.max_iterations)
            )
            usable: BoolArray = np.array([np.isfinite(each).all() for each in rough.parameters])
            start = np.where(usable[:, None, None], rough.parameters, 0.0).astype(np.float64)
            seen = rough.largest_gradient + SINGLE_ROUNDING * scales <= self.tolerance
            places = np.flatnonzero(~(usable & seen)).tolist()
        if places:
            start[places] = self._in_double([problems[k] for k in places], start[places], inverse[places])
        return start

    def _in_double(self, problems: Sequence[Problem], start: FloatArray, inverse: AnyArray) -> FloatArray:
        """Parameters at the minima, from `start`; raises as `parameters` does."""
        minima = self._rounds(problems, start, inverse, np.full(len(problems), self.tolerance), self.max_iterations)
        if not (minima.largest_gradient <= self.tolerance).all():
            raise LearnerError(self._not_arrived(problems, minima.largest_gradient))
        parameters: FloatArray = minima.parameters
        return parameters

    def _rounds(
        self, problems: Sequence[Problem], start: AnyArray, inverse: FloatArray, tolerances: FloatArray, most: int
    ) -> Minima:
        """Descents in the precision of `start`: from the second round on over Hessians at the places reached."""
        minima = self._descended(problems, start, inverse, tolerances, min(FIRST_ITERATIONS, most))
        spent = FIRST_ITERATIONS
        while spent < most and (far := self._far(minima, tolerances)):
            chosen = [problems[k] for k in far]
            places = minima.parameters[far]
            hessians = [hessian_at(self.rows, *each, self.penalty) for each in zip(chosen, places, strict=True)]
            jitter = SINGLE_JITTER if start.dtype == np.float32 else DOUBLE_JITTER
            refined = self._inverse(hessians, jitter)
            further = self._descended(chosen, places, refined, tolerances[far], min(ROUND_ITERATIONS, most - spent))
            minima.parameters[far] = further.parameters
            minima.largest_gradient[far] = further.largest_gradient
            spent += ROUND_ITERATIONS
        return minima

    def _descended(
        self, problems: Sequence[Problem], start: AnyArray, inverse: FloatArray, tolerances: FloatArray, most: int
    ) -> Minima:
        single = start.dtype == np.float32
        return minimise(
            self.rows.objectives(problems, self.penalty, inverse, np.float32 if single else np.float64),
            start,
            tolerances=tolerances,
            max_iterations=most,
            give_up_stalled=single,
        )

    def _far(self, minima: Minima, tolerances: FloatArray) -> list[int]:
        """Problems that have not arrived, but have places to go on from."""
        usable = np.isfinite(minima.largest_gradient) & np.isfinite(minima.parameters).all(axis=(1, 2))
        return np.flatnonzero(usable & (minima.largest_gradient > tolerances)).tolist()

    def _zeros(self, problems: Sequence[Problem]) -> FloatArray:
        return np.zeros((len(problems), self.rows.logits, self.rows.features.shape[1]))

    def _at_zero(self, problem: Problem) -> FloatArray:
        return hessian_at_zero(self.rows, problem, self.penalty)

    def _inverse(self, hessians: list[FloatArray], jitter: float) -> AnyArray:
        """Preconditioners, see `preconditioners.applied`."""
        found = inverses(np.stack(hessians), jitter=jitter)
        size = self.rows.features.shape[1]
        if found.shape[-1] > size:
            return found
        return padded_to(found, len(found), 1, *(size for _ in found.shape[2:]))

    def _scale(self, problem: Problem, hessian: FloatArray) -> float:
        """The largest root mean square of a column of features, by the Hessian at zero."""
        diagonal = hessian[0].diagonal() if hessian.ndim == 3 else hessian[0]
        return float(np.sqrt(diagonal.max() * (4 if self.rows.logits == 1 else len(problem.absent))))

    def _not_arrived(self, problems: Sequence[Problem], largest: FloatArray) -> str:
        worst = int(np.argmax(np.where(np.isnan(largest), np.inf, largest)))
        return (
            f"logistic_regression: on a subset of {problems[worst].size} members the gradient's largest"
            f" component is {largest[worst]:.1e} after {self.max_iterations} iterations, above gradient_tolerance"
            f" {self.tolerance:.1e}: raise max_iterations (now {self.max_iterations}) or gradient_tolerance, scale the"
            " features, or lower c"
        )
