"""Exhaustive design: all 2^n subsets once, from the empty one (draw 0) to D (draw 2^n - 1); n up to 20."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, FloatArray
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.random_words import check_span
from estimators.designs.single_draws import SingleDraws
from estimators.errors import ImpossibleDesign

MOST_PLAYERS = 20


@dataclass(frozen=True, slots=True)
class Exhaustive(SingleDraws):
    """Draw k holds the players whose bits are set in k (player i is bit i)."""

    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MOST_PLAYERS:
            raise ImpossibleDesign(
                f"exhaustive design of n = {self.n}: all 2^n subsets are trained, which is permitted up to "
                f"n = {MOST_PLAYERS}; take uniform or bernoulli, or make groups of instances the players (data.group)"
            )

    @property
    def name(self) -> str:
        """The registry's name."""
        return "exhaustive"

    @property
    def least_draws(self) -> int:
        """All of them."""
        return 1 << self.n

    @property
    def draw_count(self) -> int | None:
        """2^n."""
        return 1 << self.n

    @property
    def label(self) -> str:
        """The design for people."""
        return f"exhaustive ({2**self.n} subsets of {self.n})"

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        check_span(start, stop, 2**self.n)
        bits = np.arange(start, stop)[:, None] >> np.arange(self.n)[None, :]
        return (bits & 1).astype(np.bool_)

    def log_size_law(self) -> FloatArray | None:
        """None: the subsets are listed, not drawn."""
        return None

    def log_probability(self, members: BoolArray) -> FloatArray:
        """0 for each row of members [K, n]: every subset is listed."""
        return np.zeros(len(members))


def _make(n: int, seed: int, parameters: Parameters, material: Material) -> Design:
    del seed, parameters, material
    return Exhaustive(n=n)


ENTRY = DesignEntry(
    name="exhaustive",
    title=f"all subsets, for n up to {MOST_PLAYERS}",
    parameters=("replicates",),
    cost="2^n retrains",
    law="every subset listed once; unit: a subset",
    make=_make,
)
