"""Several designs as one: the draws of each, one after the other, under the mixture of their laws.

With K_c draws of design c the rows count as draws of pi[s] = sum_c (K_c / K) pi_c[s] (the balance heuristic, Veach and
Guibas, SIGGRAPH 1995): weights by the mixture are unbiased although each design gives a fixed number of rows, and stay
bounded wherever one of the designs reaches. Errors are over the units of all designs together, not within each: what
differs between designs counts as spread, so they are a little generous. Of the default estimator of semivalues, whose
residuals have no mean, errors within each design were the same to 0.1 %.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Draws 0..counts[0]-1 of parts[0], then those of parts[1], and so on; counts in whole units of each."""

    parts: tuple[Design, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.parts or len(self.parts) != len(self.counts) or min(self.counts) < 1:
            raise ImpossibleDesign(f"a pool of {len(self.parts)} designs with {self.counts} draws: give each some")
        if len({part.n for part in self.parts}) > 1:
            raise ImpossibleDesign("designs over different numbers of training instances cannot be pooled")

    @property
    def name(self) -> str:
        """`pooled`."""
        return "pooled"

    @property
    def n(self) -> int:
        """Number of players."""
        return self.parts[0].n

    @property
    def unit_rows(self) -> int:
        """Draws of the largest unit."""
        return max(part.unit_rows for part in self.parts)

    @property
    def least_draws(self) -> int:
        """Those there are."""
        return sum(self.counts)

    @property
    def draw_count(self) -> int | None:
        """None: drawn at random, as many as the parts have."""
        return None

    @property
    def label(self) -> str:
        """The designs for people."""
        parts = zip(self.counts, self.parts, strict=True)
        return "pooled (" + ", ".join(f"{count:,} draws of {part.label}" for count, part in parts) + ")"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop, sum(self.counts))
        found = [part.draws(a, b) for part, a, b, _ in self._spans(start, stop)]
        return np.concatenate([np.zeros((0, self.n), dtype=np.bool_), *found])

    def units(self, start: int, stop: int) -> IntArray:
        """Units of each design, numbered on from those before."""
        found = [part.units(a, b) + before for part, a, b, before in self._spans(start, stop)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def replicates(self, start: int, stop: int) -> IntArray:
        """Those of the designs."""
        found = [part.replicates(a, b) for part, a, b, _ in self._spans(start, stop)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def _spans(self, start: int, stop: int) -> list[tuple[Design, int, int, int]]:
        """The designs that hold draws start..stop-1, with the first and last of their own, and the units before."""
        spans, first, units = [], 0, 0
        for part, count in zip(self.parts, self.counts, strict=True):
            a, b = max(start - first, 0), min(stop - first, count)
            if a < b:
                spans.append((part, a, b, units))
            first, units = first + count, units + -(-count // part.unit_rows)
        return spans

    def log_size_law(self) -> FloatArray | None:
        """The mixture; None where a design has no law of sizes."""
        laws = [part.log_size_law() for part in self.parts]
        known = [law for law in laws if law is not None]
        return None if len(known) < len(laws) else np.asarray(logsumexp(np.stack(known), axis=0, b=self._shares()))

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log of the mixture of the designs' probabilities for each row of members [K, n]."""
        each = np.stack([part.log_probability(members) for part in self.parts])
        return np.asarray(logsumexp(each, axis=0, b=self._shares()))

    def _shares(self) -> FloatArray:
        shares: FloatArray = (np.array(self.counts) / sum(self.counts))[:, None]
        return shares
