"""Replicates: each unit of a design trained several times with other seeds.

Training noise is then told apart from sampling noise: the spread within a subset's replicates is the learner's, the
spread over units holds both.
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True, eq=False)
class Replicated:
    """Each unit of `inner` `times` times over, whole: of a walk, the walk again; draws of one unit stand together."""

    inner: Design
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ImpossibleDesign(f"{self.times} replicates: take at least 1")

    @property
    def n(self) -> int:
        """Number of players."""
        return self.inner.n

    @property
    def name(self) -> str:
        """The inner design's."""
        return self.inner.name

    @property
    def unit_rows(self) -> int:
        """The inner unit's draws, `times` over."""
        return self.inner.unit_rows * self.times

    @property
    def least_draws(self) -> int:
        """As many units as the inner design needs."""
        return self.inner.least_draws * self.times

    @property
    def draw_count(self) -> int | None:
        """The inner design's, `times` over."""
        count = self.inner.draw_count
        return None if count is None else count * self.times

    @property
    def label(self) -> str:
        """The design for people."""
        return f"{self.inner.label} x {self.times} seeds"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop, self.draw_count)
        drawn = self.inner_draws(start, stop)
        if not len(drawn):
            return np.zeros((0, self.n), dtype=np.bool_)
        first, last = int(drawn.min()), int(drawn.max())
        return self.inner.draws(first, last + 1)[drawn - first]

    def inner_draws(self, start: int, stop: int) -> IntArray:
        """The inner draw that each of the draws start..stop-1 repeats, [stop - start]."""
        unit, place = np.divmod(np.arange(start, stop), self.unit_rows)
        drawn: IntArray = unit * self.inner.unit_rows + place % self.inner.unit_rows
        return drawn

    def units(self, start: int, stop: int) -> IntArray:
        """The inner units' numbers."""
        return np.arange(start, stop) // self.unit_rows

    def replicates(self, start: int, stop: int) -> IntArray:
        """0..times-1 for each inner unit."""
        return np.arange(start, stop) % self.unit_rows // self.inner.unit_rows

    def log_size_law(self) -> FloatArray | None:
        """The inner design's."""
        return self.inner.log_size_law()

    def log_probability(self, members: BoolArray) -> FloatArray:
        """The inner design's."""
        return self.inner.log_probability(members)
