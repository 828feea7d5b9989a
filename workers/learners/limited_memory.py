"""L-BFGS inverse Hessians of many problems side by side, over a preconditioner (Nocedal, Math. Comp. 1980)."""

from collections.abc import Callable
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, IntArray

MEMORY: Final = 5

Preconditioner = Callable[[AnyArray], AnyArray]


class LimitedMemory:
    """The newest pairs of steps and changes of gradient of each problem, [A, B, D] each.

    All problems learn at the same time; one that has not moved learns a pair without effect, so that a problem's
    memory is a function of its own past alone.
    """

    def __init__(self, count: int) -> None:
        self._steps: list[AnyArray] = []
        self._changes: list[AnyArray] = []
        self._inverses: list[AnyArray] = []
        self._scales: AnyArray = np.ones(count)

    def applied(self, gradients: AnyArray, preconditioned: Preconditioner) -> AnyArray:
        """The inverse Hessians applied to gradients [A, B, D], by two loops over the pairs."""
        left, shares, moved = gradients.copy(), [], np.empty_like(gradients)
        for step, change, inverse in self._newest_first():
            share = (inverse * inner(step, left))[:, None, None]
            left -= np.multiply(share, change, out=moved)
            shares.append(share)
        right = preconditioned(left)
        right *= self._scales[:, None, None].astype(right.dtype)
        oldest_first = zip(self._steps, self._changes, self._inverses, reversed(shares), strict=True)
        for step, change, inverse, share in oldest_first:
            lacking = share - (inverse * inner(change, right))[:, None, None]
            right += np.multiply(lacking, step, out=moved)
        return right

    def learn(self, steps: AnyArray, changes: AnyArray, preconditioned: Preconditioner) -> None:
        """Keep the pairs [A, B, D]; one without positive curvature has no effect."""
        curvatures = inner(steps, changes)
        spreads = inner(changes, preconditioned(changes))
        good = (curvatures > 0.0) & (spreads > 0.0)
        inverses, scales = np.zeros_like(curvatures), np.ones_like(curvatures)
        np.divide(1.0, curvatures, out=inverses, where=good)
        np.divide(curvatures, spreads, out=scales, where=good)
        self._scales = np.where(good, scales, self._scales)
        for kept, new in ((self._steps, steps), (self._changes, changes), (self._inverses, inverses)):
            kept.append(new)
            del kept[:-MEMORY]

    def forget(self, problems: BoolArray) -> None:
        """Empty the memory of the problems marked [A]."""
        for inverses in self._inverses:
            inverses[problems] = 0.0
        self._scales = np.where(problems, 1.0, self._scales)

    def keep(self, kept: IntArray) -> None:
        """Forget the other problems."""
        for arrays in (self._steps, self._changes, self._inverses):
            arrays[:] = [array[kept] for array in arrays]
        self._scales = self._scales[kept]

    def _newest_first(self) -> list[tuple[AnyArray, AnyArray, AnyArray]]:
        return list(zip(reversed(self._steps), reversed(self._changes), reversed(self._inverses), strict=True))


def inner(a: AnyArray, b: AnyArray) -> AnyArray:
    """Inner products [A] of arrays [A, B, D]."""
    products: AnyArray = np.einsum("ai,ai->a", a.reshape(len(a), -1), b.reshape(len(b), -1))
    return products
