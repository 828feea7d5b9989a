"""Bernoulli design: each training instance is in a subset with probability p, independently; draws independent.

With p = 1/2 every subset is equally likely: the law under which the Banzhaf value is a difference of two means
(Wang and Jia, AISTATS 2023). The empty subset and D may be drawn and are ordinary rows.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray
from estimators.designs.bernoulli_grid import BernoulliGrid
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words
from estimators.designs.single_draws import IndependentDraws
from estimators.errors import ImpossibleDesign

DEFAULT_PROBABILITY = 0.5
WORDS = 2**64


@dataclass(frozen=True, slots=True)
class Bernoulli(IndependentDraws):
    """Each of `n` players with `probability`. Pr(S) = p^|S| (1 - p)^(n - |S|)."""

    n: int
    probability: float
    seed: int

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ImpossibleDesign(f"bernoulli subsets of n = {self.n}: at least 2 training instances are needed")
        if not 0.0 < self.probability < 1.0:
            raise ImpossibleDesign(
                f"bernoulli with probability {self.probability}: take one above 0 and below 1, so that each instance "
                "is kept in some subsets and left out of others"
            )

    @property
    def name(self) -> str:
        """The registry's name."""
        return "bernoulli"

    @property
    def label(self) -> str:
        """The design for people."""
        return f"bernoulli (p = {self.probability:g}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1: random words below p 2^64."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        below = np.uint64(min(max(int(self.probability * WORDS), 1), WORDS - 1))
        words = random_words(f"bernoulli {self.probability!r}", seed=self.seed, n=self.n, start=start, stop=stop)
        for row, drawn in enumerate(words):
            members[row] = drawn < below
        return members

    def log_size_law(self) -> FloatArray | None:
        """Log Binomial(n, p) at sizes 0..n, [n + 1]."""
        sizes = np.arange(self.n + 1)
        ways: FloatArray = gammaln(self.n + 1) - gammaln(sizes + 1) - gammaln(self.n - sizes + 1)
        return ways + self._log_mass(sizes.astype(np.float64))

    def log_probability(self, members: BoolArray) -> FloatArray:
        """|S| log p + (n - |S|) log(1 - p) for each row of members [K, n]."""
        return self._log_mass(members.sum(axis=1).astype(np.float64))

    def _log_mass(self, sizes: FloatArray) -> FloatArray:
        return sizes * math.log(self.probability) + (self.n - sizes) * math.log1p(-self.probability)


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    said = DEFAULT_PROBABILITY if parameters.probability is None else parameters.probability
    if isinstance(said, tuple) and len(said) != 1:
        return BernoulliGrid(n=n, probabilities=said, seed=seed)
    return Bernoulli(n=n, probability=said[0] if isinstance(said, tuple) else said, seed=seed)


ENTRY = DesignEntry(
    name="bernoulli",
    title="each instance with `probability`, independently; or one of several",
    parameters=("probability", "replicates"),
    cost="as many retrains as asked",
    law="p^|S| (1-p)^(n-|S|); of several p their mean; unit: a subset",
    make=_make,
    one_of=("probability",),
)
