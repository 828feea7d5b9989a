"""Leave-m-out: D without a group of instances (Koh et al., NeurIPS 2019: group influence).

The groups are given, all rows with one value of a column, and then each is left out once; or they are random, m
instances at a time, and then the design is `uniform` of size n - m under another name.
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.designs.single_draws import SingleDraws
from estimators.designs.sizes import Sizes, checked_sizes
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True, eq=False)
class LeaveGroupsOut(SingleDraws):
    """Draw g is D without the players of group g. groups: [n], 0..max; column: their source; names: theirs."""

    groups: IntArray
    column: str
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.draw_count < 2:
            raise ImpossibleDesign(f"leave_m_out by `{self.column}`: it has one value only, so nothing would be left")

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.groups)

    @property
    def name(self) -> str:
        """The registry's name."""
        return "leave_m_out"

    @property
    def least_draws(self) -> int:
        """All of them."""
        return self.draw_count

    @property
    def draw_count(self) -> int:
        """One for each group."""
        return len(self.names)

    @property
    def label(self) -> str:
        """The design for people."""
        return f"leave_m_out ({self.draw_count} groups by {self.column}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop, self.draw_count)
        kept: BoolArray = self.groups[None, :] != np.arange(start, stop)[:, None]
        return kept

    def log_size_law(self) -> FloatArray | None:
        """None: the subsets are listed, not drawn."""
        return None

    def log_probability(self, members: BoolArray) -> FloatArray:
        """0 where a row of members [K, n] lacks exactly one group, else -inf."""
        listed = self.draws(0, self.draw_count)
        found = [bool((listed == row).all(axis=1).any()) for row in members]
        return np.where(np.array(found, dtype=np.bool_), 0.0, -np.inf)


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    if parameters.group is not None and parameters.out is not None:
        raise ImpossibleDesign(
            "leave_m_out with both `group` and `out`: given groups, or random ones of `out` instances"
        )
    if parameters.group is not None:
        if parameters.group not in material.groups:
            raise ImpossibleDesign(f"leave_m_out by `{parameters.group}`: the training set has no such column")
        codes, names = material.groups[parameters.group]
        if parameters.digest is not None and material.digest_of(parameters.group) != parameters.digest:
            raise ImpossibleDesign(f"`{parameters.group}` holds other groups than this campaign was planned with")
        return LeaveGroupsOut(groups=codes, column=parameters.group, names=names)
    out = 1 if parameters.out is None else parameters.out
    if not 1 <= out < n:
        raise ImpossibleDesign(f"leave_m_out of {out} out of n = {n}: leave out between 1 and {n - 1}")
    checked_sizes("leave_m_out", (n - out,), n)
    law = np.full(n + 1, -np.inf)
    law[n - out] = 0.0
    return Sizes(n=n, law=law, words=f"{out} at random", seed=seed, name="leave_m_out")


ENTRY = DesignEntry(
    name="leave_m_out",
    title="D without each group of a column in turn (`group`), or without `out` random instances at a time",
    parameters=("group", "out", "digest", "replicates"),
    cost="one retrain a group, or as many as asked",
    law="given groups are listed once; random ones are 1 / C(n, m); unit: a subset",
    make=_make,
    one_of=("group", "out"),
)
