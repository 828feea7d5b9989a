"""Stratified designs: sizes in turn, or each class sampled on its own.

By size, a unit is one subset of each size, so that every size is met equally often: the sizes of the consistency
profile (Jiang et al., ICML 2021: 0.1 n to 0.9 n). By class, each class gives the same share of its instances, as there:
subsets of one size are then not equally likely, and there is no law of sizes to weight by.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words
from estimators.designs.sizes import checked_sizes
from estimators.designs.sizes_said import size_of, sizes_said
from estimators.designs.smallest import smallest
from estimators.errors import ImpossibleDesign

DEFAULT_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Stratified:
    """Draw k is of level k mod L: of stratum c it holds `counts[k mod L, c]` instances, all choices alike.

    strata: [n], 0..C-1, the stratum of each player. counts: [L, C]. words: for people, and the random stream's name.
    """

    strata: IntArray
    counts: IntArray
    words: str
    seed: int

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.strata)

    @property
    def name(self) -> str:
        """The registry's name."""
        return "stratified"

    @property
    def unit_rows(self) -> int:
        """One draw of each level."""
        return len(self.counts)

    @property
    def least_draws(self) -> int:
        """Four units: two retrains with and two without an instance at each level, or nearly."""
        return 4 * self.unit_rows

    @property
    def draw_count(self) -> int | None:
        """As many as asked."""
        return None

    @property
    def label(self) -> str:
        """The design for people."""
        return f"stratified ({self.words}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1: of each stratum's random words the smallest."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        places = [np.flatnonzero(self.strata == stratum) for stratum in range(self.counts.shape[1])]
        words = random_words(f"stratified {self.words}", seed=self.seed, n=self.n, start=start, stop=stop)
        for row, drawn in enumerate(words):
            counts = self.counts[(start + row) % self.unit_rows]
            for inside, count in zip(places, counts.tolist(), strict=True):
                members[row, inside] = smallest(drawn[inside], count)
        return members

    def units(self, start: int, stop: int) -> IntArray:
        """One unit for each turn through the levels."""
        return np.arange(start, stop) // self.unit_rows

    def replicates(self, start: int, stop: int) -> IntArray:
        """Zeros [stop - start]."""
        return np.zeros(stop - start, dtype=np.int64)

    def log_size_law(self) -> FloatArray | None:
        """Each level's size as likely, where there is one stratum; else None."""
        if self.counts.shape[1] > 1:
            return None
        law = np.full(self.n + 1, -np.inf)
        law[self.counts[:, 0]] = -np.log(self.unit_rows)
        return law

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log of the mean over levels of prod_c 1 / C(n_c, count_c), for each row of members [K, n]."""
        strata = np.arange(self.counts.shape[1])
        sizes = (self.strata[:, None] == strata).sum(axis=0)
        kept = np.stack([members[:, self.strata == stratum].sum(axis=1) for stratum in strata], axis=1)  # [K, C]
        ways = gammaln(sizes + 1) - gammaln(self.counts + 1) - gammaln(sizes - self.counts + 1)
        fits = (kept[:, None, :] == self.counts[None, :, :]).all(axis=2)  # [K, L]
        masses = np.where(fits, -ways.sum(axis=1)[None, :], -np.inf)
        mixed: FloatArray = np.logaddexp.reduce(masses, axis=1) - np.log(self.unit_rows)
        return mixed


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    by = parameters.by or "size"
    if by == "size":
        said = sizes_said("stratified", n, parameters, default=DEFAULT_FRACTIONS)
        if parameters.size is None and parameters.fraction is None:
            said = tuple(min(size, n - 1) for size in said)  # 0.9 of fewer than 10, rounded up, is all of them
        sizes = tuple(dict.fromkeys(said))
        checked_sizes("stratified", sizes, n)
        words = f"sizes {', '.join(map(str, sizes))} in turn"
        return Stratified(np.zeros(n, dtype=np.int64), np.array(sizes)[:, None], words, seed)
    if by != "class":
        raise ImpossibleDesign(f"stratified by {by!r}: write `by: size` or `by: class`")
    return _by_class(n, seed, parameters, material)


def _by_class(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    if material.labels is None or len(material.labels) != n:
        raise ImpossibleDesign(
            "stratified by class: the players have no classes (regression, or groups): take `by: size`"
        )
    if parameters.size is not None:
        raise ImpossibleDesign("stratified by class takes `fraction` of each class, not `size`")
    said = parameters.fraction if parameters.fraction is not None else DEFAULT_FRACTIONS
    fractions = said if isinstance(said, tuple) else (said,)
    if not fractions or any(not 0.0 < fraction < 1.0 for fraction in fractions):
        raise ImpossibleDesign(f"stratified by class with fraction {said}: take fractions above 0 and below 1")
    _, strata = np.unique(material.labels, return_inverse=True)
    counts = np.array([[size_of(f, int(size)) for size in np.bincount(strata)] for f in fractions])
    words = f"fraction {', '.join(f'{f:g}' for f in fractions)} of each class"
    return Stratified(strata.astype(np.int64), counts, words, seed)


ENTRY = DesignEntry(
    name="stratified",
    title="sizes in turn (`by: size`), or the same share of each class (`by: class`); 0.1 to 0.9 of n unsaid",
    parameters=("by", "size", "fraction", "replicates"),
    cost="as many retrains as asked, in whole turns",
    law="each size 1/L, then 1 / C(n, m); by class prod_c 1 / C(n_c, m_c); unit: one subset of each size",
    make=_make,
)
