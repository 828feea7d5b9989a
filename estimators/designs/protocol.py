"""The seam of designs: sampling plans over subsets whose inclusion law is known."""

from typing import Protocol

from estimators.arrays import BoolArray, FloatArray, IntArray

DRAWS_PER_BLOCK = 256
"""Random designs draw in blocks of this many subsets, each block from (seed, design, block) alone."""


class Design(Protocol):
    """A sequence of draws. Law: draw k depends on (seed, design, k) alone, never on how draws are chunked.

    A subset may be drawn twice: it is then trained once and counted twice, unless its draws name different replicates.

    Draws come in *units*, the smallest independent draws of the design: one subset, the replicates of one subset, a
    subset and its complement, a walk, a walk and its reverse. Standard errors are taken over units, never over rows.
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

    @property
    def unit_rows(self) -> int:
        """Draws of a unit; draw k belongs to unit k // unit_rows (of pooled designs, draws of the largest unit)."""
        ...

    def units(self, start: int, stop: int) -> IntArray:
        """The unit of each of the draws start..stop-1, [stop - start] int64, never falling."""
        ...

    def replicates(self, start: int, stop: int) -> IntArray:
        """Which replicate of its subset each of the draws start..stop-1 is, [stop - start] int64; mostly 0."""
        ...

    def log_size_law(self) -> FloatArray | None:
        """Log Pr(|S| = s) for s = 0..n, [n + 1]; given the size, subsets are equally likely.

        Of a design whose units have several draws it is the law of one of these, taken at random. None where the
        draws are no random sample (leave-one-out, exhaustive), where subsets of one size are not equally likely
        (stratified by class, the user's own), or where the law depends on losses (truncated walks).
        """
        ...

    def log_probability(self, members: BoolArray) -> FloatArray:
        """Log Pr of drawing each row of members [K, n]: [K], -inf where it cannot be drawn.

        For a design that lists its subsets, 0 for a listed subset.
        """
        ...
