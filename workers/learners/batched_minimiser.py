"""Many smooth convex minimisations side by side, each going its own way and frozen when it has arrived."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray

SUFFICIENT_DECREASE: Final = 1e-4
ROUNDING: Final = 1e-13
SHRINK: Final = 0.5
MOST_SHRINKS: Final = 40


class Objectives(Protocol):
    """A few of the problems, evaluated together."""

    def evaluate(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values [A] and gradients of the shape of the parameters [A, ...]."""
        ...


class Directions(Protocol):
    """Where to go next. Law: a problem's direction depends on its own past alone."""

    def towards(self, problems: IntArray, parameters: FloatArray, gradients: FloatArray) -> FloatArray:
        """Descent directions of the problems named, of the shape of their gradients."""
        ...

    def moved(self, problems: IntArray, steps: FloatArray, changes: FloatArray) -> None:
        """Learn from the steps taken and the changes of gradient that they brought."""
        ...


@dataclass(frozen=True, slots=True)
class Minima:
    """Where the problems ended. largest_gradient: [K], of the objective's own scale. arrived: [K] within tolerance."""

    parameters: FloatArray
    largest_gradient: FloatArray
    iterations: IntArray
    arrived: BoolArray


def minimise(
    choose: Callable[[Sequence[int]], Objectives],
    start: FloatArray,
    directions: Directions,
    *,
    tolerance: float,
    max_iterations: int,
) -> Minima:
    """Descend with backtracking from start [K, ...] until no gradient's component exceeds the tolerance.

    choose: the objectives of the problems named. A step is taken where the objective falls by Armijo's rule
    (Pacific J. Math. 1966), rounding granted.
    """
    state = _Descent(choose, start)
    while len(state.active):
        state.leave(tolerance, max_iterations)
        if len(state.active):
            state.step(directions)
    largest = np.abs(state.gradients).reshape(len(start), -1).max(axis=1)
    return Minima(state.parameters, largest, state.iterations, largest <= tolerance)


class _Descent:
    """All problems' places; `active` are those still under way."""

    def __init__(self, choose: Callable[[Sequence[int]], Objectives], start: FloatArray) -> None:
        self._choose = choose
        self.parameters = start.copy()
        self.iterations = np.zeros(len(start), dtype=np.int64)
        self._shrinks = np.zeros(len(start), dtype=np.int64)
        self.active = np.arange(len(start))
        self._objectives = choose(self.active.tolist())
        self.values, self.gradients = self._objectives.evaluate(self.parameters)
        self._towards = np.zeros_like(start)
        self._fresh = self.active

    def leave(self, tolerance: float, max_iterations: int) -> None:
        """Freeze the problems that have arrived, or have spent their iterations, or can move no more."""
        largest = np.abs(self.gradients[self.active]).reshape(len(self.active), -1).max(axis=1)
        spent = (self.iterations[self.active] >= max_iterations) | (self._shrinks[self.active] > MOST_SHRINKS)
        staying = self.active[(largest > tolerance) & ~spent]
        if len(staying) < len(self.active):
            self.active = staying
            self._fresh = np.intersect1d(self._fresh, staying)
            self._objectives = self._choose(staying.tolist()) if len(staying) else self._objectives

    def step(self, directions: Directions) -> None:
        """Try one step of each active problem; those whose objective falls enough take it, the others shorten it."""
        active, fresh = self.active, self._fresh
        if len(fresh):
            self._towards[fresh] = directions.towards(fresh, self.parameters[fresh], self.gradients[fresh])
        lengths: FloatArray = np.power(SHRINK, self._shrinks[active], dtype=np.float64)
        steps = _scaled(self._towards[active], lengths)
        values, gradients = self._objectives.evaluate(self.parameters[active] + steps)
        slopes = _inner(self.gradients[active], steps)
        before = self.values[active]
        taken = values <= before + SUFFICIENT_DECREASE * slopes + ROUNDING * np.abs(before)
        self._shrinks[active] += 1
        going = active[taken]
        directions.moved(going, steps[taken], gradients[taken] - self.gradients[going])
        self.parameters[going] += steps[taken]
        self.values[going], self.gradients[going] = values[taken], gradients[taken]
        self.iterations[going] += 1
        self._shrinks[going] = 0
        self._fresh = going


def _scaled(arrays: FloatArray, factors: FloatArray) -> FloatArray:
    return arrays * factors.reshape(-1, *[1] * (arrays.ndim - 1))


def _inner(a: FloatArray, b: FloatArray) -> FloatArray:
    """Inner products [A] of arrays [A, ...], one BLAS dot each, so that none depends on the others."""
    return np.array([np.vdot(left, right) for left, right in zip(a, b, strict=True)])
