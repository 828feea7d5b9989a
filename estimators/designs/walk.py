"""Walk design: random permutations of the training set, each walked once by a learner that takes single steps.

Not a sample of subsets: a walk trains one model in an order (G-Shapley: Ghorbani and Zou, ICML 2019, algorithm 2).
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span, random_words
from estimators.designs.single_draws import SingleDraws
from estimators.errors import ImpossibleDesign

DEFAULT_RATE = 0.01


@dataclass(frozen=True, slots=True)
class Walk(SingleDraws):
    """Permutations of `n` players, equally likely and independent. rate: the learning rate of every step."""

    n: int
    seed: int
    rate: float = DEFAULT_RATE

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ImpossibleDesign(f"walks over n = {self.n}: at least 2 training instances are needed")
        if not 0.0 < self.rate < float("inf"):
            raise ImpossibleDesign(f"walks with learning_rate {self.rate}: take one above 0, such as {DEFAULT_RATE}")

    @property
    def name(self) -> str:
        """The registry's name."""
        return "walk"

    @property
    def least_draws(self) -> int:
        """Two walks give a standard error."""
        return 2

    @property
    def draw_count(self) -> int | None:
        """As many as asked."""
        return None

    @property
    def label(self) -> str:
        """The design for people."""
        return f"walk (n = {self.n}, learning rate {self.rate:g})"

    def orders(self, start: int, stop: int) -> IntArray:
        """Permutations [stop - start, n] of draws start..stop-1: players sorted by random words."""
        check_span(start, stop)
        orders = np.empty((stop - start, self.n), dtype=np.int64)
        for row, drawn in enumerate(random_words("walk", seed=self.seed, n=self.n, start=start, stop=stop)):
            orders[row] = np.argsort(drawn, kind="stable")
        return orders

    def draws(self, start: int, stop: int) -> BoolArray:
        """All of D for each of the draws start..stop-1: [stop - start, n]."""
        check_span(start, stop)
        return np.ones((stop - start, self.n), dtype=np.bool_)

    def log_size_law(self) -> FloatArray | None:
        """None: the draws are orders, not subsets."""
        return None

    def log_probability(self, members: BoolArray) -> FloatArray:
        """0 where a row of members [K, n] is all of D, else -inf."""
        return np.where(members.all(axis=1), 0.0, -np.inf)


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del material
    rate = DEFAULT_RATE if parameters.learning_rate is None else parameters.learning_rate
    return Walk(n=n, seed=seed, rate=rate)


ENTRY = DesignEntry(
    name="walk",
    title=f"one pass of single training steps in random orders (`learning_rate`, {DEFAULT_RATE} unsaid)",
    parameters=("learning_rate",),
    cost="n steps and n + 1 evaluations a walk; `retrains` counts walks",
    law="every order equally likely; unit: a walk",
    make=_make,
)
