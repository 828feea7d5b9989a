"""Designs whose every draw is a unit of its own."""

import numpy as np

from estimators.arrays import IntArray


class SingleDraws:
    """What designs of independent or listed draws share: each draw is its own unit, trained once."""

    __slots__ = ()

    @property
    def unit_rows(self) -> int:
        """One draw a unit."""
        return 1

    def units(self, start: int, stop: int) -> IntArray:
        """The draws' own numbers, [stop - start]."""
        return np.arange(start, stop)

    def replicates(self, start: int, stop: int) -> IntArray:
        """Zeros [stop - start]."""
        return np.zeros(stop - start, dtype=np.int64)


class IndependentDraws(SingleDraws):
    """What random designs share whose draws are independent: as many as asked."""

    __slots__ = ()

    @property
    def least_draws(self) -> int:
        """Two retrains with and two without an instance."""
        return 4

    @property
    def draw_count(self) -> int | None:
        """As many as asked."""
        return None
