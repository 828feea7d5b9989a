"""Draws of an earlier version of the training set taken over by a design on the new one, with its law unchanged.

Let A be the instances that the new version has and the old one had not, and C the common ones. Bernoulli subsets, and
uniform ones of one size, have this in common: given that a draw S holds none of A, it is a draw of the same law on C;
and old draws that hold no instance that is gone are independent draws of exactly that law. So wherever the new
design draws a subset without A, the next of those old draws may stand in its place: S is as likely as before, and the
draws stay independent of each other, since which positions are replaced depends on S and A alone. The new design draws
with a seed of its own, so that none of its draws repeats an old one.
"""

from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.protocol import DRAWS_PER_BLOCK, Design
from estimators.errors import ImpossibleDesign

CLOSED_UNDER_LEAVING_OUT = ("bernoulli", "uniform")
"""Designs whose law, given that some instances are left out, is the same law on the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Continued:
    """`base` with its draws that hold none of `added` [n] bool replaced, in order, by the rows of `pool` [U, n]."""

    base: Design
    added: BoolArray
    pool: BoolArray
    _before: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def __post_init__(self) -> None:
        if self.base.name not in CLOSED_UNDER_LEAVING_OUT or self.base.unit_rows != 1:
            raise ImpossibleDesign(f"draws of {self.base.label} cannot continue those of an earlier training set")
        if (self.pool & self.added).any():
            raise ImpossibleDesign("earlier draws hold instances that were added later")

    @property
    def name(self) -> str:
        """The registry's name of the base."""
        return self.base.name

    @property
    def n(self) -> int:
        """Number of players."""
        return self.base.n

    @property
    def least_draws(self) -> int:
        """As the base."""
        return self.base.least_draws

    @property
    def draw_count(self) -> int | None:
        """As the base."""
        return self.base.draw_count

    @property
    def label(self) -> str:
        """The design for people."""
        return f"{self.base.label}, going on from {len(self.pool)} draws of an earlier training set"

    @property
    def unit_rows(self) -> int:
        """One draw a unit."""
        return 1

    def units(self, start: int, stop: int) -> IntArray:
        """As the base."""
        return self.base.units(start, stop)

    def replicates(self, start: int, stop: int) -> IntArray:
        """As the base."""
        return self.base.replicates(start, stop)

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        block = start // DRAWS_PER_BLOCK
        first = block * DRAWS_PER_BLOCK
        members = self.base.draws(first, stop)
        old = ~(members & self.added).any(axis=1)
        place = self._taken_before(block) + np.cumsum(old) - old
        replaced = old & (place < len(self.pool))
        members[replaced] = self.pool[place[replaced]]
        return members[start - first :]

    def taken(self, draws: int) -> int:
        """How many of the first `draws` draws are taken from the pool."""
        old = sum(
            int((~(self.base.draws(start, min(start + DRAWS_PER_BLOCK, draws)) & self.added).any(axis=1)).sum())
            for start in range(0, draws, DRAWS_PER_BLOCK)
        )
        return min(old, len(self.pool))

    def log_size_law(self) -> FloatArray | None:
        """As the base: replacing does not change it."""
        return self.base.log_size_law()

    def log_probability(self, members: BoolArray) -> FloatArray:
        """As the base."""
        return self.base.log_probability(members)

    def _taken_before(self, block: int) -> int:
        """How many draws of the blocks before hold none of the added instances; counted once, then remembered."""
        while len(self._before) <= block:
            start = (len(self._before) - 1) * DRAWS_PER_BLOCK
            members = self.base.draws(start, start + DRAWS_PER_BLOCK)
            self._before.append(self._before[-1] + int((~(members & self.added).any(axis=1)).sum()))
        return self._before[block]
