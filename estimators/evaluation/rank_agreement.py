"""Rank correlation column by column, averaged, with a bootstrap error over rows.

Spearman's coefficient of each column on resampled rows is the weighted one of the rows there are, a row's weight being
how often it was drawn: columns are sorted once, and every resample costs a running sum (the same figure as ranking the
resample anew, ties in midranks). Rows that were drawn together (a pair, a walk) are resampled together.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from estimators.arrays import AnyArray, FloatArray, IntArray

RESAMPLES = 200
FEWEST_ROWS = 3
_CELLS = 2**21
"""Cells of a block of columns, so that a resample stays in memory that is close."""


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Mean over columns of Spearman's correlation over rows.

    score: the mean over the columns in which what was measured varies. standard_error: its standard deviation over
    resamples of the rows, columns as they are. columns: [c], NaN where nothing varies. rows, units: how many there
    were. resampled: [RESAMPLES] scores, drawn the same for every prediction of the same rows and seed.
    """

    score: float
    standard_error: float
    columns: FloatArray
    rows: int
    units: int
    resampled: FloatArray = field(repr=False)

    def less(self, other: "RankAgreement") -> tuple[float, float]:
        """This score less another of the same rows, and the standard error of the difference (paired resamples)."""
        differences = self.resampled - other.resampled
        return self.score - other.score, float(np.std(differences, ddof=1))


def rank_agreement(
    predicted: AnyArray, measured: AnyArray, *, units: IntArray | None = None, seed: int = 0
) -> RankAgreement:
    """Agreement of two matrices [K, c], rows being what is ordered.

    units: [K], rows of the same number are resampled together; None = each by itself. A prediction that is constant
    orders nothing and counts 0 where the measured column varies. Raises ValueError where shapes differ; scores are NaN
    for fewer than 3 rows, errors for fewer than 3 units.
    """
    if predicted.ndim != 2 or predicted.shape != measured.shape:
        raise ValueError(f"predicted {predicted.shape} and measured {measured.shape} must both be [rows, columns]")
    rows, columns = predicted.shape
    codes = np.arange(rows) if units is None else np.unique(units, return_inverse=True)[1]
    count = int(codes.max()) + 1 if rows else 0
    weights = _weights(codes, count, seed)
    scores = np.full((len(weights), columns), np.nan)
    if rows >= FEWEST_ROWS:
        step = max(1, _CELLS // rows)
        for start in range(0, columns, step):
            part = slice(start, start + step)
            pair = _Columns(predicted[:, part]), _Columns(measured[:, part])
            scores[:, part] = [_correlations(*pair, weight) for weight in weights]
    means = _means(scores)
    return RankAgreement(
        score=float(means[0]),
        standard_error=float(np.nanstd(means[1:], ddof=1)) if count >= FEWEST_ROWS else math.nan,
        columns=scores[0],
        rows=rows,
        units=count,
        resampled=means[1:],
    )


def _means(scores: FloatArray) -> FloatArray:
    known = np.isfinite(scores)
    counts = known.sum(axis=1)
    sums = np.where(known, scores, 0.0).sum(axis=1)
    means: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _weights(codes: IntArray, count: int, seed: int) -> FloatArray:
    """Weights [1 + RESAMPLES, K] of rows: all once, then how often each row's unit was drawn."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES) if count else np.zeros((RESAMPLES, 0))
    return np.concatenate([np.ones((1, len(codes))), drawn[:, codes].astype(np.float64)])


class _Columns:
    """Columns sorted once: midranks under any weights of the rows are a running sum away."""

    def __init__(self, values: AnyArray) -> None:
        self.order = np.argsort(values, axis=0, kind="stable")
        ranked = np.take_along_axis(np.asarray(values, dtype=np.float64), self.order, axis=0)
        places = np.arange(len(ranked))[:, None]
        new = np.ones(ranked.shape, dtype=np.bool_)
        new[1:] = ranked[1:] != ranked[:-1]
        last = np.ones(ranked.shape, dtype=np.bool_)
        last[:-1] = new[1:]
        self.first = np.maximum.accumulate(np.where(new, places, 0), axis=0)
        self.after = np.minimum.accumulate(np.where(last, places, len(ranked))[::-1], axis=0)[::-1] + 1
        self.tied = not bool(new.all())

    def midranks(self, weights: FloatArray) -> FloatArray:
        """Mean ranks [K, c] of the rows in a sample that holds row k weights[k] times."""
        sums = np.zeros((len(weights) + 1, self.order.shape[1]))
        np.cumsum(weights[self.order], axis=0, out=sums[1:])
        below, above = np.take_along_axis(sums, self.first, axis=0), np.take_along_axis(sums, self.after, axis=0)
        ranks = np.empty_like(below)
        np.put_along_axis(ranks, self.order, (below + above + 1.0) / 2.0, axis=0)
        return ranks


def _correlations(predicted: _Columns, measured: _Columns, weights: FloatArray) -> FloatArray:
    """Weighted correlation [c] of midranks; NaN where the measured column is constant in the sample."""
    total = weights.sum()
    middle = (total + 1.0) / 2.0  # the mean of midranks, whatever the ties
    a, b = predicted.midranks(weights) - middle, measured.midranks(weights) - middle
    spread_a, spread_b = weights @ (a * a), weights @ (b * b)
    product = weights @ (a * b)
    known, flat = spread_b > 0.0, spread_a <= 0.0
    scale = np.sqrt(np.where(flat | ~known, 1.0, spread_a * spread_b))
    found: FloatArray = np.where(known, np.where(flat, 0.0, product / scale), np.nan)
    return found
