"""The page's figures as geometry: what stands where. `templates/figures.html` draws it as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray
from orchestrator.report.axes import Axis, horizontal, vertical

BINS = 40
DOTS = 160
EXTREMES = 12
POINTS_IN_A_LINE = 200


@dataclass(frozen=True, slots=True)
class Series:
    """What one colour of a figure stands for; `style` is a CSS class of style.css."""

    name: str
    style: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram."""

    left: float
    top: float
    width: float
    height: float
    style: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its error bar from `low` to `high` (places)."""

    x: float
    y: float
    low: float
    high: float
    style: str


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline as SVG's `points`."""

    points: str
    style: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure: axes and what stands between them."""

    title: str
    x: Axis
    y: Axis
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    lines: tuple[Line, ...] = ()
    legend: tuple[Series, ...] = ()
    caption: str = ""

    @property
    def zero(self) -> float | None:
        """Where the line y = 0 runs, where it runs within the figure."""
        return self.y.place(0.0) if self.y.low < 0.0 < self.y.high else None


def histogram(title: str, unit: str, groups: Sequence[tuple[Series, FloatArray]], *, caption: str = "") -> Chart | None:
    """Stacked counts of finite values, or None where there is none."""
    known = [(series, values[np.isfinite(values)]) for series, values in groups]
    every = np.concatenate([values for _, values in known])
    if not every.size:
        return None
    x = horizontal(unit, [every.min(), every.max()])
    counts = [np.histogram(values, bins=BINS, range=(x.low, x.high))[0] for _, values in known]
    y = vertical("training instances", [0.0, float(np.sum(counts, axis=0).max())])
    legend = tuple(series for series, _ in known) if len(known) > 1 else ()
    bars = _stacked([series.style for series, _ in known], counts, x, y)
    return Chart(title, x, y, bars=bars, legend=legend, caption=caption)


def compared(title: str, unit: str, groups: Sequence[tuple[Series, FloatArray]], *, caption: str = "") -> Chart | None:
    """Two or more groups of very different size in one histogram: each group's bars are shares of that group."""
    known = [(series, values[np.isfinite(values)]) for series, values in groups]
    known = [(series, values) for series, values in known if values.size]
    if not known:
        return None
    every = np.concatenate([values for _, values in known])
    x = horizontal(unit, [every.min(), every.max()])
    shares = [np.histogram(values, bins=BINS, range=(x.low, x.high))[0] / values.size for _, values in known]
    y = vertical("share of each group", [0.0, float(np.max(shares))], shares=True)
    bars = [bar for (s, _), heights in zip(known, shares, strict=True) for bar in _stacked([s.style], [heights], x, y)]
    return Chart(title, x, y, bars=tuple(bars), legend=tuple(series for series, _ in known), caption=caption)


def _stacked(styles: Sequence[str], counts: Sequence[AnyArray], x: Axis, y: Axis) -> tuple[Bar, ...]:
    width = (x.end - x.start) / BINS
    bars: list[Bar] = []
    base = np.zeros(BINS)
    for style, heights in zip(styles, counts, strict=True):
        for k in np.flatnonzero(heights):
            top, bottom = y.place(base[k] + heights[k]), y.place(base[k])
            bars.append(Bar(round(x.start + k * width, 1), top, round(width - 0.8, 1), round(bottom - top, 1), style))
        base = base + heights
    return tuple(bars)


def ranked(
    title: str, unit: str, values: FloatArray, half_widths: FloatArray, certain: BoolArray, *, caption: str = ""
) -> Chart | None:
    """Values in order with their 95 % intervals, thinned to about 160 dots; None where no value has a finite error."""
    known = np.flatnonzero(np.isfinite(values) & np.isfinite(half_widths))
    if not known.size:
        return None
    order = known[np.argsort(-values[known], kind="stable")]
    ranks = _thinned(len(order))
    chosen = order[ranks]
    low, high = values[chosen] - half_widths[chosen], values[chosen] + half_widths[chosen]
    x = horizontal("rank of the training instance", [1.0, float(len(order))], tight=True)
    y = vertical(unit, [*low, *high])
    dots = tuple(
        Dot(x.place(rank + 1.0), y.place(values[i]), y.place(bottom), y.place(top), _sign_style(values[i], certain[i]))
        for rank, i, bottom, top in zip(ranks, chosen, low, high, strict=True)
    )
    legend = (Series("certain proponent", "pro"), Series("certain opponent", "con"), Series("sign not certain", "mute"))
    return Chart(title, x, y, dots=dots, legend=legend, caption=caption)


def _thinned(length: int) -> AnyArray:
    """Ranks shown: both ends whole, even steps between."""
    even = np.linspace(0, length - 1, min(length, DOTS)).round()
    ends = np.concatenate([np.arange(min(length, EXTREMES)), np.arange(max(0, length - EXTREMES), length)])
    return np.unique(np.concatenate([even, ends]).astype(np.int64))


def _sign_style(value: float, certain: bool) -> str:  # noqa: FBT001 - private, a pair of facts
    if not certain:
        return "mute"
    return "pro" if value > 0 else "con"


def lines(
    title: str,
    x: Axis,
    y: Axis,
    curves: Sequence[tuple[Series, Sequence[float], Sequence[float]]],
    *,
    caption: str = "",
) -> Chart | None:
    """Curves through the points whose both places are known; None where no curve has a point."""
    drawn = [Line(_points(x, y, across, up), series.style) for series, across, up in curves]
    if not any(line.points for line in drawn):
        return None
    return Chart(title, x, y, lines=tuple(drawn), legend=tuple(series for series, _, _ in curves), caption=caption)


def _points(x: Axis, y: Axis, across: Sequence[float], up: Sequence[float]) -> str:
    xs, ys = np.asarray(across, dtype=np.float64), np.asarray(up, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    if len(known) > POINTS_IN_A_LINE:
        known = known[np.linspace(0, len(known) - 1, POINTS_IN_A_LINE).round().astype(np.int64)]
    return " ".join(f"{x.place(xs[k])},{y.place(ys[k])}" for k in known)
