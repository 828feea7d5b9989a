"""Uniform design: every subset of m of the n training instances equally likely, draws independent.

Used by Downsampling (Feldman and Zhang, NeurIPS 2020), whose paper takes m = 0.7 n.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray, SeedArray
from estimators.designs.random_words import check_span, random_words
from estimators.designs.single_draws import SingleDraws
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True)
class Uniform(SingleDraws):
    """Subsets of exactly `size` of `n` players. Pr(S) = 1 / C(n, size); Pr(i in S) = size / n."""

    n: int
    size: int
    seed: int

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ImpossibleDesign(f"uniform subsets of n = {self.n}: at least 2 training instances are needed")
        if not 1 <= self.size < self.n:
            raise ImpossibleDesign(
                f"uniform subsets of size {self.size} out of n = {self.n}: take a size between 1 and {self.n - 1}, "
                "so that each instance is kept in some subsets and left out of others"
            )

    @property
    def name(self) -> str:
        """The registry's name."""
        return "uniform"

    @property
    def least_draws(self) -> int:
        """Two retrains with and two without an instance."""
        return 4

    @property
    def draw_count(self) -> int | None:
        """As many as asked."""
        return None

    @property
    def label(self) -> str:
        """The design for people."""
        return f"uniform (m = {self.size} of {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1: of n random words, the `size` smallest."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        words = random_words(f"uniform {self.size}", seed=self.seed, n=self.n, start=start, stop=stop)
        for row, drawn in enumerate(words):
            members[row] = _smallest(drawn, self.size)
        return members

    def log_size_law(self) -> FloatArray | None:
        """All mass on `size`."""
        law = np.full(self.n + 1, -np.inf)
        law[self.size] = 0.0
        return law

    def log_probability(self, members: BoolArray) -> FloatArray:
        """-log C(n, size) where a row of members [K, n] has `size` members, else -inf."""
        ways = gammaln(self.n + 1) - gammaln(self.size + 1) - gammaln(self.n - self.size + 1)
        return np.where(members.sum(axis=1) == self.size, -ways, -np.inf)


def _smallest(words: SeedArray, size: int) -> BoolArray:
    """Which of words [n] are the `size` smallest."""
    members: BoolArray = words <= np.partition(words, size - 1)[size - 1]
    if np.count_nonzero(members) > size:  # two equal words at the cut, chance below n^2 / 2^64: the first one wins
        members[:] = False
        members[np.argsort(words, kind="stable")[:size]] = True
    return members
