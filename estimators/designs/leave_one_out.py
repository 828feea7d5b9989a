"""Leave-one-out design: the n subsets D without i, in the order of i. D itself is an end row of every campaign."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.designs.single_draws import SingleDraws
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True)
class LeaveOneOut(SingleDraws):
    """Draw i is D without player i."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ImpossibleDesign(f"leave-one-out of n = {self.n}: at least 2 training instances are needed")

    @property
    def name(self) -> str:
        """The registry's name."""
        return "leave_one_out"

    @property
    def least_draws(self) -> int:
        """All of them: one for each instance."""
        return self.n

    @property
    def draw_count(self) -> int | None:
        """One for each instance."""
        return self.n

    @property
    def label(self) -> str:
        """The design for people."""
        return f"leave_one_out (n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop, self.n)
        members = np.ones((stop - start, self.n), dtype=np.bool_)
        members[np.arange(stop - start), np.arange(start, stop)] = False
        return members

    def log_size_law(self) -> FloatArray | None:
        """None: the subsets are listed, not drawn."""
        return None

    def log_probability(self, members: BoolArray) -> FloatArray:
        """0 where a row of members [K, n] lacks exactly one player, else -inf."""
        return np.where(members.sum(axis=1) == self.n - 1, 0.0, -np.inf)


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del seed, parameters, material
    return LeaveOneOut(n=n)


ENTRY = DesignEntry(
    name="leave_one_out",
    title="D without each instance in turn, beside D itself",
    parameters=("replicates",),
    cost="n retrains",
    law="D without i listed once for each i; unit: a subset",
    make=_make,
)
