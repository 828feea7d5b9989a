"""Paired design: a subset drawn by another design, and its complement; the pair is the unit.

A complement cancels what is linear in membership, so pairs make regression estimators far better (Covert and Lee,
AISTATS 2021); the rows of a pair depend on each other, and errors are taken over pairs.
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.bernoulli import DEFAULT_PROBABILITY, Bernoulli
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.designs.single_draws import IndependentDraws
from estimators.designs.size_laws import mixed_size_law
from estimators.designs.sizes import Sizes, serves_words, several_sizes
from estimators.designs.sizes_said import sizes_said
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True, eq=False)
class Paired(IndependentDraws):
    """Draw 2k is draw k of `inner`, draw 2k + 1 its complement. Pr(S) = (inner(S) + inner(D without S)) / 2."""

    inner: Design

    @property
    def n(self) -> int:
        """Number of players."""
        return self.inner.n

    @property
    def name(self) -> str:
        """The registry's name."""
        return "paired"

    @property
    def unit_rows(self) -> int:
        """A subset and its complement."""
        return 2

    @property
    def label(self) -> str:
        """The design for people."""
        return f"paired {self.inner.label}"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop)
        drawn = np.arange(start, stop)
        pairs = self.inner.draws(start // 2, -(-stop // 2))
        members: BoolArray = pairs[drawn // 2 - start // 2] ^ (drawn % 2 == 1)[:, None]
        return members

    def units(self, start: int, stop: int) -> IntArray:
        """The pairs' numbers."""
        return np.arange(start, stop) // 2

    def log_size_law(self) -> FloatArray | None:
        """The mean of the inner law and of its mirror image."""
        law = self.inner.log_size_law()
        return None if law is None else np.asarray(np.logaddexp(law, law[::-1]) - np.log(2.0))

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log of the mean of the inner probabilities of each row of members [K, n] and of its complement."""
        both = np.logaddexp(self.inner.log_probability(members), self.inner.log_probability(~members))
        return np.asarray(both - np.log(2.0))


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    said = [name for name in ENTRY.one_of if getattr(parameters, name) is not None]
    if len(said) > 1:
        raise ImpossibleDesign(f"paired with both {' and '.join(said)}: give one of them")
    if parameters.serves is not None:
        law, words = mixed_size_law(n, parameters.serves), f"for {serves_words(parameters.serves)}"
        return Paired(Sizes(n=n, law=law, words=words, seed=seed))
    if parameters.size is not None or parameters.fraction is not None:
        return Paired(several_sizes(n, sizes_said("paired", n, parameters, default=()), seed))
    probability = DEFAULT_PROBABILITY if parameters.probability is None else parameters.probability
    if isinstance(probability, tuple):
        raise ImpossibleDesign("paired takes one probability: give several to `bernoulli`, or `serves: ame` here")
    return Paired(Bernoulli(n=n, probability=probability, seed=seed))


ENTRY = DesignEntry(
    name="paired",
    title="a subset and its complement: by `probability`, of a `size` or `fraction`, or of the law for `serves`",
    parameters=("probability", "size", "fraction", "serves", "replicates"),
    cost="as many retrains as asked, in pairs",
    law="the mean of the drawn law and of its mirror image; unit: a pair",
    make=_make,
    one_of=("probability", "size", "fraction", "serves"),
)
