"""What learners on a matrix of features have in common."""

from dataclasses import dataclass, replace
from typing import Self

from workers.learners.linear_data import LinearData


@dataclass(frozen=True, slots=True, kw_only=True)
class OnLinearData:
    """A learner's data, the losses it keeps, how many retrains it trains together, and its numeric class."""

    data: LinearData
    losses: tuple[str, ...]
    together: int
    numeric_class: str

    @property
    def n(self) -> int:
        """Length of a row of members."""
        return self.data.n

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return self.data.n_test

    def with_together(self, together: int) -> Self:
        """The same learner with another K."""
        return replace(self, together=together)
