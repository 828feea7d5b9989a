"""Bernoulli design with several probabilities: each draw takes one of them at random, then each instance with it.

The design of AME (Lin et al., ICML 2022, with 0.2, 0.4, 0.6, 0.8). Which probability a draw took follows from its
number, so that estimators may weight by it, or by the mixture alone.
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray
from estimators.designs.random_words import check_span, random_words, unit_interval
from estimators.designs.single_draws import IndependentDraws
from estimators.designs.size_laws import log_mean_binomial
from estimators.errors import ImpossibleDesign

WORDS = 2**64


@dataclass(frozen=True, slots=True)
class BernoulliGrid(IndependentDraws):
    """Pr(S) = mean over p in `probabilities` of p^|S| (1 - p)^(n - |S|)."""

    n: int
    probabilities: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        wrong = [p for p in self.probabilities if not 0.0 < p < 1.0]
        if self.n < 2 or wrong or not self.probabilities:
            what = f"probability {wrong[0]}" if wrong else f"n = {self.n}, probabilities {self.probabilities}"
            raise ImpossibleDesign(
                f"bernoulli with {what}: take probabilities above 0 and below 1, and n of at least 2"
            )
        if len(set(self.probabilities)) < len(self.probabilities):
            raise ImpossibleDesign(f"bernoulli with probabilities {self.probabilities}: one stands twice")

    @property
    def name(self) -> str:
        """The registry's name."""
        return "bernoulli"

    @property
    def label(self) -> str:
        """The design for people."""
        return f"bernoulli (p in {', '.join(f'{p:g}' for p in self.probabilities)}, n = {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1: random words below p 2^64, p each draw's own."""
        check_span(start, stop)
        members = np.zeros((stop - start, self.n), dtype=np.bool_)
        words = random_words(self._stream, seed=self.seed, n=self.n, start=start, stop=stop)
        for row, (p, drawn) in enumerate(zip(self.drawn_with(start, stop).tolist(), words, strict=True)):
            members[row] = drawn < np.uint64(min(max(int(p * WORDS), 1), WORDS - 1))
        return members

    def drawn_with(self, start: int, stop: int) -> FloatArray:
        """The probability that each of the draws start..stop-1 took, [stop - start]."""
        words = random_words(f"{self._stream} which", seed=self.seed, n=1, start=start, stop=stop)
        grid = np.array(self.probabilities)
        places = [int(unit_interval(drawn)[0] * len(grid)) for drawn in words]
        found: FloatArray = grid[np.array(places, dtype=np.int64)]
        return found

    @property
    def _stream(self) -> str:
        return f"bernoulli {self.probabilities!r}"

    def log_size_law(self) -> FloatArray | None:
        """Log of the mixture of Binomial(n, p) at sizes 0..n, [n + 1]."""
        return log_mean_binomial(self.n, self.probabilities)

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log of the mixture of p^|S| (1 - p)^(n - |S|) for each row of members [K, n]."""
        p, sizes = np.array(self.probabilities)[:, None], members.sum(axis=1).astype(np.float64)[None, :]
        masses = sizes * np.log(p) + (self.n - sizes) * np.log1p(-p)  # [probabilities, K]
        mixed: FloatArray = np.logaddexp.reduce(masses, axis=0) - np.log(len(self.probabilities))
        return mixed
