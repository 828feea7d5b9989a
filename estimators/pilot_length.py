"""How long a pilot is: 32 draws, and more until its predictions are settled, or half the budget is spent."""

import math

from estimators.designs.protocol import Design

LEAST = 32
SHARE = 2
"""A longer pilot takes at most one in so many of the budget's draws. They stay in the campaign, so nothing is lost but
the choice of another design for them."""

MOST = 512
"""Nor more draws than that: by then losses too wild to predict are known to be so."""

GROWTH = 4
"""Times that a pilot grows at once, at most: what a short one asks for is not well known itself."""


def first_length(design: Design, budget: int) -> int:
    """At least 32 draws and two units, of the budget's draws."""
    return min(budget, whole_units(design, max(LEAST, design.least_draws)))


def next_length(design: Design, budget: int, length: int, wanted: float) -> int:
    """Draws that a pilot of `length` goes on to where its predictions ask for `wanted`; `length` itself to stop."""
    most = min(budget // SHARE, MOST)
    if not wanted > length or length >= most:
        return length
    grown = min(max(wanted, 2 * length), GROWTH * length, most)
    return max(length, min(budget, whole_units(design, math.ceil(grown))))


def whole_units(design: Design, draws: int) -> int:
    """So many draws in whole units, two at least."""
    return max(2, -(-draws // design.unit_rows)) * design.unit_rows
