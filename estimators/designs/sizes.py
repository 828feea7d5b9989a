"""Subsets whose size is drawn by a law and whose members, given the size, are equally likely; draws independent.

Two designs are of this kind: `uniform` with several sizes, each as likely as the others, and `sizes`, whose law is the
best for a semivalue or a mixture of such laws (`size_laws`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words, unit_interval
from estimators.designs.single_draws import IndependentDraws
from estimators.designs.size_laws import mixed_size_law
from estimators.designs.smallest import smallest
from estimators.errors import ImpossibleDesign


@dataclass(frozen=True, slots=True, eq=False)
class Sizes(IndependentDraws):
    """Pr(S) = pi[|S|] / C(n, |S|). law: log pi [n + 1]. words: the law for people; it names the random stream too."""

    n: int
    law: FloatArray
    words: str
    seed: int
    name: str = "sizes"

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ImpossibleDesign(f"{self.name} of n = {self.n}: at least 2 training instances are needed")

    @property
    def label(self) -> str:
        """The design for people."""
        return f"{self.name} ({self.words}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1: of n random words, as many smallest as the size says."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        stream = f"{self.name} {self.words}"
        words = random_words(stream, seed=self.seed, n=self.n, start=start, stop=stop)
        for row, (size, drawn) in enumerate(zip(self.sizes(start, stop).tolist(), words, strict=True)):
            members[row] = smallest(drawn, size)
        return members

    def sizes(self, start: int, stop: int) -> IntArray:
        """Sizes [stop - start] of draws start..stop-1, by inversion of the law's distribution function."""
        words = random_words(f"{self.name} {self.words} size", seed=self.seed, n=1, start=start, stop=stop)
        below = np.cumsum(np.exp(self.law))
        places = np.array([unit_interval(drawn)[0] for drawn in words]) * below[-1]
        found: IntArray = np.searchsorted(below, places, side="right").astype(np.int64)
        return found

    def log_size_law(self) -> FloatArray | None:
        """The law."""
        return self.law

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log pi[|S|] - log C(n, |S|) for each row of members [K, n]."""
        sizes = members.sum(axis=1)
        ways = gammaln(self.n + 1) - gammaln(sizes + 1) - gammaln(self.n - sizes + 1)
        probability: FloatArray = self.law[sizes] - ways
        return probability


def several_sizes(n: int, sizes: tuple[int, ...], seed: int) -> Sizes:
    """Subsets of one of `sizes`, each as likely; raises ImpossibleDesign for a size outside 1..n-1 or none."""
    checked_sizes("uniform", sizes, n)
    law = np.full(n + 1, -np.inf)
    law[list(sizes)] = -np.log(len(sizes))
    return Sizes(n=n, law=law, words=f"m = {', '.join(map(str, sizes))}", seed=seed, name="uniform")


def checked_sizes(name: str, sizes: tuple[int, ...], n: int) -> None:
    """Raise ImpossibleDesign where sizes are none, stand twice or lie outside 1..n-1."""
    wrong = [size for size in sizes if not 1 <= size < n]
    if not sizes or wrong:
        what = f"size {wrong[0]} out of n = {n}" if wrong else "no size"
        raise ImpossibleDesign(f"{name} subsets of {what}: take sizes between 1 and {n - 1}")
    if len(set(sizes)) < len(sizes):
        raise ImpossibleDesign(
            f"{name} subsets of sizes {', '.join(map(str, sizes))}: one stands twice, name each once"
        )


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    serves = parameters.serves or (("shapley", 1.0),)
    return Sizes(n=n, law=mixed_size_law(n, serves), words=f"for {serves_words(serves)}", seed=seed)


def serves_words(serves: tuple[tuple[str, float], ...]) -> str:
    """`shapley`, or `0.75 shapley + 0.25 banzhaf`."""
    if len(serves) == 1:
        return serves[0][0]
    total = sum(share for _, share in serves)
    return " + ".join(f"{share / total:.3g} {value}" for value, share in serves)


ENTRY = DesignEntry(
    name="sizes",
    title="subsets whose sizes follow the law that is best for a semivalue, or a mixture of such (`serves`)",
    parameters=("serves", "replicates"),
    cost="as many retrains as asked",
    law="pi[s] ~ sqrt(p[s-1]^2 / s + p[s]^2 / (n-s)), for Shapley 1 / sqrt(s (n-s)); unit: a subset",
    make=_make,
    one_of=("serves",),
)
