"""Uniform design: every subset of m of the n training instances equally likely, draws independent.

Used by Downsampling (Feldman and Zhang, NeurIPS 2020), whose paper takes m = 0.7 n.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words
from estimators.designs.single_draws import IndependentDraws
from estimators.designs.sizes import several_sizes
from estimators.designs.sizes_said import sizes_said
from estimators.designs.smallest import smallest
from estimators.errors import ImpossibleDesign

DEFAULT_FRACTION = 0.7


@dataclass(frozen=True, slots=True)
class Uniform(IndependentDraws):
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
    def label(self) -> str:
        """The design for people."""
        return f"uniform (m = {self.size} of {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1: of n random words, the `size` smallest."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        words = random_words(f"uniform {self.size}", seed=self.seed, n=self.n, start=start, stop=stop)
        for row, drawn in enumerate(words):
            members[row] = smallest(drawn, self.size)
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


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    sizes = sizes_said("uniform", n, parameters, default=(DEFAULT_FRACTION,))
    return Uniform(n=n, size=sizes[0], seed=seed) if len(sizes) == 1 else several_sizes(n, sizes, seed)


ENTRY = DesignEntry(
    name="uniform",
    title="subsets of m instances, equally likely (m = `size`, or `fraction` of n)",
    parameters=("size", "fraction", "replicates"),
    cost="as many retrains as asked",
    law="1 / C(n, m); of several sizes each as likely; unit: a subset",
    make=_make,
    one_of=("size", "fraction"),
)
