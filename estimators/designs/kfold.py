"""K-fold design: repeated random partitions; each draw is D without one fold (van den Burg and Williams 2021).

In each repeat every instance is left out once and kept folds - 1 times. The repeat is the unit.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words
from estimators.errors import ImpossibleDesign

DEFAULT_FOLDS = 10


@dataclass(frozen=True, slots=True)
class KFold:
    """Draw k is D without fold k mod folds of repeat k // folds; folds differ in size by one at most."""

    n: int
    folds: int
    seed: int

    def __post_init__(self) -> None:
        if not 2 <= self.folds <= self.n:
            raise ImpossibleDesign(f"kfold with {self.folds} folds of n = {self.n}: take between 2 and {self.n}")

    @property
    def name(self) -> str:
        """The registry's name."""
        return "kfold"

    @property
    def unit_rows(self) -> int:
        """A repeat."""
        return self.folds

    @property
    def least_draws(self) -> int:
        """Two repeats."""
        return 2 * self.folds

    @property
    def draw_count(self) -> int | None:
        """As many as asked."""
        return None

    @property
    def label(self) -> str:
        """The design for people."""
        return f"kfold ({self.folds} folds, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        for repeat in range(start // self.folds, -(-stop // self.folds)):
            first = repeat * self.folds
            begin, end = max(start, first), min(stop, first + self.folds)
            members[begin - start : end - start] = (
                self._fold(repeat)[None, :] != (np.arange(begin, end) - first)[:, None]
            )
        return members

    def _fold(self, repeat: int) -> IntArray:
        """The fold of each instance [n]: its place in a random order, modulo the number of folds."""
        words = next(random_words(f"kfold {self.folds}", seed=self.seed, n=self.n, start=repeat, stop=repeat + 1))
        ranks = np.empty(self.n, dtype=np.int64)
        ranks[np.argsort(words, kind="stable")] = np.arange(self.n)
        return ranks % self.folds

    def units(self, start: int, stop: int) -> IntArray:
        """The repeats' numbers."""
        return np.arange(start, stop) // self.folds

    def replicates(self, start: int, stop: int) -> IntArray:
        """Zeros [stop - start]."""
        return np.zeros(stop - start, dtype=np.int64)

    def log_size_law(self) -> FloatArray | None:
        """N less the size of a fold taken at random."""
        law = np.full(self.n + 1, -np.inf)
        sizes, counts = np.unique(self.n - np.bincount(np.arange(self.n) % self.folds), return_counts=True)
        law[sizes] = np.log(counts / self.folds)
        return law

    def log_probability(self, members: BoolArray) -> FloatArray:
        """The law of sizes over C(n, |S|) for each row of members [K, n]."""
        law, sizes = self.log_size_law(), members.sum(axis=1)
        assert law is not None
        ways = gammaln(self.n + 1) - gammaln(sizes + 1) - gammaln(self.n - sizes + 1)
        probability: FloatArray = law[sizes] - ways
        return probability


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    folds = min(DEFAULT_FOLDS, n) if parameters.folds is None else parameters.folds
    return KFold(n=n, folds=folds, seed=seed)


ENTRY = DesignEntry(
    name="kfold",
    title=f"repeated partitions into `folds` ({DEFAULT_FOLDS} unsaid), D without each fold in turn",
    parameters=("folds", "replicates"),
    cost="`folds` retrains a repeat",
    law="1 / C(n, m) of D without a fold; unit: a repeat",
    make=_make,
)
