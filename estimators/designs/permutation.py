"""Permutation design: walks, each of which adds the instances one by one in a random order.

A walk is n - 1 draws, the prefixes of 1 to n - 1 instances; the empty subset and D, its ends, are end rows of every
campaign. The difference of two neighbours is a marginal contribution (Castro et al. 2009; Ghorbani and Zou, ICML 2019).

Orders: `random`, independent walks; `antithetic`, a walk and its reverse, exact for games of pairs (Mitchell et al.,
JMLR 2022); `rotated`, these two and the same rotated by half of n, a second direction beside the first (that paper's
orthogonal samples take n - 1); `cyclic`, four rotations of one order by quarters of n, so that each instance joins
early, middling and late. A unit is what depends on one random order: one walk, two, or four.

Truncated walks (`truncate`) stop on losses seen: the plan holds all n - 1 draws, and which of them are trained is a
function of the stored losses (`estimators.designs.stopping`). They serve estimators over walks alone, because a
subset of size s is reached only where the walk did not stop before.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters, Truncation
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words
from estimators.errors import ImpossibleDesign

ORDERS = {"random": 1, "antithetic": 2, "rotated": 4, "cyclic": 4}
"""Walks of a unit."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """Draw k is the prefix of k mod (n-1) + 1 instances of walk k // (n-1). Pr(S) = 1 / ((n-1) C(n, |S|))."""

    n: int
    seed: int
    order: str = "random"
    truncation: Truncation | None = None

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ImpossibleDesign(f"walks over n = {self.n}: at least 2 training instances are needed")
        if self.order not in ORDERS:
            raise ImpossibleDesign(f"permutation with order {self.order!r}: write one of {', '.join(ORDERS)}")

    @property
    def name(self) -> str:
        """The registry's name."""
        return "permutation"

    @property
    def walk_rows(self) -> int:
        """Draws of a walk."""
        return self.n - 1

    @property
    def walks_per_unit(self) -> int:
        """Walks that depend on one random order."""
        return ORDERS[self.order]

    @property
    def unit_rows(self) -> int:
        """Draws of a unit."""
        return self.walk_rows * self.walks_per_unit

    @property
    def least_draws(self) -> int:
        """Two units."""
        return 2 * self.unit_rows

    @property
    def draw_count(self) -> int | None:
        """As many as asked."""
        return None

    @property
    def label(self) -> str:
        """The design for people."""
        stops = "" if self.truncation is None else f", truncated at {self.truncation.tolerance:g}"
        return f"permutation ({self.order} walks of {self.walk_rows}{stops}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        for walk in range(start // self.walk_rows, -(-stop // self.walk_rows)):
            first = walk * self.walk_rows
            begin, end = max(start, first), min(stop, first + self.walk_rows)
            sizes = np.arange(begin, end) - first + 1
            members[begin - start : end - start] = self.places(walk)[None, :] < sizes[:, None]
        return members

    def places(self, walk: int) -> IntArray:
        """Where in the walk each instance joins, [n], 0..n-1: the ranks of n random words, reversed or rotated."""
        unit, turn = divmod(walk, self.walks_per_unit)
        words = next(random_words("permutation", seed=self.seed, n=self.n, start=unit, stop=unit + 1))
        ranks = np.empty(self.n, dtype=np.int64)
        ranks[np.argsort(words, kind="stable")] = np.arange(self.n)
        if self.order in {"antithetic", "rotated"}:
            half, reverse = divmod(turn, 2)
            ranks = (ranks + half * (self.n // 2)) % self.n
            return self.n - 1 - ranks if reverse else ranks
        turned: IntArray = (ranks + turn * self.n // self.walks_per_unit) % self.n if self.order == "cyclic" else ranks
        return turned

    def units(self, start: int, stop: int) -> IntArray:
        """One unit for each random order."""
        return np.arange(start, stop) // self.unit_rows

    def replicates(self, start: int, stop: int) -> IntArray:
        """Zeros [stop - start]."""
        return np.zeros(stop - start, dtype=np.int64)

    def log_size_law(self) -> FloatArray | None:
        """Each of the sizes 1..n-1 as likely; None for truncated walks, whose sizes depend on losses."""
        if self.truncation is not None:
            return None
        law = np.full(self.n + 1, -np.log(self.walk_rows))
        law[[0, self.n]] = -np.inf
        return law

    def log_probability(self, members: BoolArray) -> FloatArray:
        """-log((n-1) C(n, |S|)) for each row of members [K, n], of a walk that is not truncated."""
        sizes = members.sum(axis=1)
        ways = gammaln(self.n + 1) - gammaln(sizes + 1) - gammaln(self.n - sizes + 1)
        return np.where((sizes > 0) & (sizes < self.n), -ways - np.log(self.walk_rows), -np.inf)


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    return Permutation(n=n, seed=seed, order=parameters.order or "random", truncation=parameters.truncate)


ENTRY = DesignEntry(
    name="permutation",
    title="walks that add the instances one by one (`order: random`, `antithetic`, `rotated`, `cyclic`; `truncate`)",
    parameters=("order", "truncate", "replicates"),
    cost="n - 1 retrains a walk, fewer where truncated",
    law="1 / ((n-1) C(n, |S|)), none where truncated; unit: a walk (antithetic: two; rotated, cyclic: four)",
    make=_make,
)
