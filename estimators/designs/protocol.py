"""The seam of designs: sampling plans over subsets whose inclusion law is known."""

from typing import Protocol

from estimators.arrays import BoolArray, FloatArray

DRAWS_PER_BLOCK = 256
"""Random designs draw in blocks of this many subsets, each block from (seed, design, block) alone."""


class Design(Protocol):
    """A sequence of draws. Law: draw k depends on (seed, design, k) alone, never on how draws are chunked.

    A subset may be drawn twice: it is then trained once and counted twice.
    """

    @property
    def name(self) -> str:
        """The registry's name: `uniform`, `bernoulli`, ..."""
        ...

    @property
    def n(self) -> int:
        """Number of players (training instances or groups)."""
        ...

    @property
    def least_draws(self) -> int:
        """Draws below which no value can be computed from the design."""
        ...

    @property
    def draw_count(self) -> int | None:
        """Number of draws where the design itself fixes it (leave-one-out, exhaustive), else None: as many as asked."""
        ...

    @property
    def label(self) -> str:
        """The design and its parameters for people: `uniform (m = 2800 of 4000)`."""
        ...

    def draws(self, start: int, stop: int) -> BoolArray:
        """Members [stop - start, n] of draws start..stop-1."""
        ...

    def log_size_law(self) -> FloatArray | None:
        """Log Pr(|S| = s) for s = 0..n, [n + 1]; given the size, subsets are equally likely.

        None where the draws are no random sample (leave-one-out, exhaustive).
        """
        ...

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log Pr of drawing each row of members [K, n]: [K], -inf where it cannot be drawn.

        For a design that lists its subsets, 0 for a listed subset.
        """
        ...
