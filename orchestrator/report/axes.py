"""Axes of the page's figures: round ticks, and numbers to places."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.report.phrases import number, percent

# The drawing area inside a figure of 400 x 230 units; the margins hold the axes' words.
WIDTH, HEIGHT = 400.0, 230.0
_ROUNDING = 1e-9
_TINY = 1e-300
"""Below it no ticks can be told apart."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 380.0, 12.0, 188.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at `place` (units of the figure) with its text."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: data from `low` to `high` between the places `start` and `end`."""

    title: str
    low: float
    high: float
    start: float
    end: float
    ticks: tuple[Tick, ...]

    def place(self, value: float) -> float:
        """Where a data value stands, to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def horizontal(title: str, values: Iterable[float], *, shares: bool = False, tight: bool = False) -> Axis:
    """An axis along the bottom that holds the values. tight: ends at the data, not at a round number."""
    return _axis(title, values, LEFT, RIGHT, shares=shares, tight=tight, count=5)


def vertical(title: str, values: Iterable[float], *, shares: bool = False) -> Axis:
    """An axis along the left that holds the values, upwards."""
    return _axis(title, values, BOTTOM, TOP, shares=shares, tight=False, count=4)


def _axis(
    title: str, values: Iterable[float], start: float, end: float, *, shares: bool, tight: bool, count: int
) -> Axis:
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low <= max(_ROUNDING * max(abs(low), abs(high)), _TINY):  # equal, to rounding
        pad = abs(low) / 2 if abs(low) > _TINY else 0.5
        low, high = low - pad, high + pad
    step = round_step((high - low) / count)
    first, last = _ticks_within(low / step, high / step) if tight else _ticks_around(low / step, high / step)
    marks = [step * k for k in range(first, last + 1)]
    low, high = (low, high) if tight else (min(low, marks[0]), max(high, marks[-1]))
    bare = Axis(title, low, high, start, end, ())
    return Axis(
        title, low, high, start, end, tuple(Tick(bare.place(mark), _text(mark, step, shares)) for mark in marks)
    )


def _ticks_within(low: float, high: float) -> tuple[int, int]:
    return math.ceil(low - _ROUNDING), math.floor(high + _ROUNDING)


def _ticks_around(low: float, high: float) -> tuple[int, int]:
    return math.floor(low + _ROUNDING), math.ceil(high - _ROUNDING)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least * (1 - 1e-9))


def _text(mark: float, step: float, shares: bool) -> str:  # noqa: FBT001 - private, named at its one call
    if shares:
        return percent(mark)
    if abs(mark) < step / 2:
        return "0"
    return number(
        mark, digits=max(1, 1 + math.floor(math.log10(abs(mark) * (1 + 1e-9))) - math.floor(math.log10(step)))
    )
