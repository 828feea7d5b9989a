"""Many smooth convex minimisations side by side, by gradients alone; those that have arrived leave the batch."""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from workers.learners.limited_memory import LimitedMemory, inner

OVERSHOOT: Final = 0.5
LEAST_SHRINK: Final = 0.1
LEAST_LENGTH: Final = 1e-12
MOST_STALLS: Final = 8
KEPT_SHARE: Final = 0.75


class Objectives(Protocol):
    """Convex objectives of A problems. Law: a problem's gradient has the same bits whatever the others are."""

    def gradients(self, parameters: AnyArray) -> AnyArray:
        """Gradients at parameters, both [A, B, D]."""
        ...

    def preconditioned(self, vectors: AnyArray) -> AnyArray:
        """An approximate inverse Hessian of each problem, positive definite, applied to vectors [A, B, D]."""
        ...

    def select(self, problems: IntArray) -> Self:
        """The problems named, alone."""
        ...


@dataclass(frozen=True, slots=True)
class Minima:
    """Where the problems ended: parameters [A, B, D], the gradient's largest component [A], iterations [A]."""

    parameters: AnyArray
    largest_gradient: FloatArray
    iterations: IntArray


def minimise(
    objectives: Objectives,
    start: AnyArray,
    *,
    tolerances: FloatArray,
    max_iterations: int,
    give_up_stalled: bool = False,
) -> Minima:
    """Descend from start [A, B, D] until no component of problem k's gradient exceeds tolerances[k].

    Preconditioned L-BFGS (Nocedal, Math. Comp. 1980) in the precision of `start`. A step is taken unless the slope at
    its end is positive and more than half as steep as at its beginning; then it is shortened to where the secant of the
    slopes vanishes. No values are compared, so no figures are lost where objectives differ by less than rounding.
    give_up_stalled: leave a problem whose gradient has not been smaller than before for 8 iterations.
    """
    state = _Descent(objectives, start, tolerances)
    spent = 0
    while state.leave(finished=spent >= max_iterations, give_up_stalled=give_up_stalled):
        state.step()
        spent += 1
    return state.minima


class _Descent:
    """Places of the problems under way, and where the others ended."""

    def __init__(self, objectives: Objectives, start: AnyArray, tolerances: FloatArray) -> None:
        count = len(start)
        self._objectives = objectives
        self._problems: IntArray = np.arange(count)
        self._tolerances = tolerances
        self._at = start.copy()
        self._gradients = objectives.gradients(start)
        self._memory = LimitedMemory(count)
        self._lengths = np.ones(count, dtype=start.dtype)
        self._least: FloatArray = np.full(count, np.inf)
        self._stalls: IntArray = np.zeros(count, dtype=np.int64)
        self._live: BoolArray = np.ones(count, dtype=np.bool_)
        self._spent = 0
        self.minima = Minima(start.copy(), np.full(count, np.inf), np.zeros(count, dtype=np.int64))

    def leave(self, *, finished: bool, give_up_stalled: bool) -> bool:
        """Freeze the problems that have arrived, drop the frozen ones when they are many; True while any is live."""
        flat = self._gradients.reshape(len(self._gradients), -1)
        largest: FloatArray = np.maximum(flat.max(axis=1), -flat.min(axis=1)).astype(np.float64)
        better = largest < self._least
        self._stalls = np.where(better, 0, self._stalls + 1)
        self._least = np.where(better, largest, self._least)
        ending = self._live & ((largest <= self._tolerances) | finished | ~np.isfinite(largest))
        ending |= self._live & (self._lengths < LEAST_LENGTH)
        if give_up_stalled:
            ending |= self._live & (self._stalls >= MOST_STALLS)
        if ending.any():
            gone = self._problems[ending]
            self.minima.parameters[gone] = self._at[ending]
            self.minima.largest_gradient[gone] = largest[ending]
            self.minima.iterations[gone] = self._spent
            self._live &= ~ending
        count = int(self._live.sum())
        if 0 < count <= KEPT_SHARE * len(self._live):
            self._keep(np.flatnonzero(self._live))
        return count > 0

    def step(self) -> None:
        """Try one step of each problem: those that do not overshoot take it, the others shorten it."""
        towards, before = self._directions()
        steps = self._lengths[:, None, None] * towards
        reached = self._at + steps
        gradients = self._objectives.gradients(reached)
        after = inner(gradients, towards)
        taken = self._live & (after <= -OVERSHOOT * before)
        changes = gradients - self._gradients
        if not taken.all():
            steps[~taken], changes[~taken] = 0.0, 0.0
            reached[~taken], gradients[~taken] = self._at[~taken], self._gradients[~taken]
        self._memory.learn(steps, changes, self._objectives.preconditioned)
        self._at, self._gradients = reached, gradients
        self._lengths = np.where(taken, 1.0, self._lengths * _shrinks(before, after)).astype(self._at.dtype)
        self._spent += 1

    def _directions(self) -> tuple[AnyArray, AnyArray]:
        """Directions [A, B, D] and the slopes along them [A]; where rounding has spoilt a memory, it is forgotten."""
        preconditioned = self._objectives.preconditioned
        towards = -self._memory.applied(self._gradients, preconditioned)
        slopes = inner(self._gradients, towards)
        spoilt = ~(slopes < 0.0)
        if spoilt.any():
            self._memory.forget(spoilt)
            towards = np.where(spoilt[:, None, None], -preconditioned(self._gradients), towards)
            slopes = inner(self._gradients, towards)
        return towards, slopes

    def _keep(self, kept: IntArray) -> None:
        self._objectives = self._objectives.select(kept)
        self._memory.keep(kept)
        self._problems, self._tolerances = self._problems[kept], self._tolerances[kept]
        self._at, self._gradients = self._at[kept], self._gradients[kept]
        self._lengths, self._least, self._stalls = self._lengths[kept], self._least[kept], self._stalls[kept]
        self._live = self._live[kept]


def _shrinks(before: AnyArray, after: AnyArray) -> AnyArray:
    """Factors [A] that shorten a step to where the secant of its slopes vanishes; the least where one is no number."""
    with np.errstate(all="ignore"):
        secants = before / (before - after)
    return np.where(np.isfinite(secants), np.clip(secants, LEAST_SHRINK, OVERSHOOT + 0.2), LEAST_SHRINK)
