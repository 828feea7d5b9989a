"""The seam of gradient runners: which blocks an entry of a job's `gradients` has, and how each is computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from estimators.arrays import AnyArray
from workers.gradient_file import GradientTask, Kind


@dataclass(frozen=True, slots=True)
class Computed:
    """One block. cells: how many of the values it covers.

    facts: what its solver said of it alone, so that a block is the same bits whatever came before it.
    """

    arrays: Mapping[str, AnyArray]
    cells: int
    facts: Mapping[str, float] = field(default_factory=dict)


class Blocks(Protocol):
    """Law: a block depends on the request and its task alone."""

    @property
    def cells(self) -> Mapping[Kind, int]:
        """Cells of all blocks of each kind together, by which a reader knows that none is missing."""
        ...

    def tasks(self) -> list[GradientTask]:
        """Every block."""
        ...

    def compute(self, task: GradientTask) -> Computed:
        """One of them."""
        ...
