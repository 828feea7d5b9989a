"""Difference of two means with Welch's standard error, from sums.

Rows of a random design are independent, so given the counts the rows of each side are independent too, and the
sides share no row: error^2 = s_in^2 / K_in + s_out^2 / K_out with unbiased variances, degrees of freedom by
Welch-Satterthwaite. It is exact with random counts: no covariance term and no correction for the counts.

A side whose rows all gave the same loss (frequent with zero-one losses) shows no spread, but that is no proof of
certainty. It takes the variance of all rows of the column, both sides together: what its spread would be if the
instance had no influence, and more than its spread where it has. With two unvaried sides of equal size this comes
close to Fisher's exact test. A column that is the same in every retrain has value 0 and error 0, and its sign is
never certain (p = 1).
"""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray

ROWS_PER_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Estimates:
    """Values with standard errors and degrees of freedom, three arrays of one shape."""

    values: FloatArray
    standard_errors: FloatArray
    degrees_of_freedom: FloatArray


@dataclass(frozen=True, slots=True)
class SideSums:
    """Sums over `rows` rows of x = loss - pivot: on the side with each instance, and over all rows.

    counts, sums, squares: of one shape, or broadcasting to one; total and total_squares likewise.
    """

    rows: int
    counts: AnyArray
    sums: FloatArray
    squares: FloatArray
    total: FloatArray
    total_squares: FloatArray


def out_minus_in(side: SideSums) -> Estimates:
    """Mean loss over rows without the instance less that over rows with it; > 0 = the instance lowers the loss.

    NaN with an infinite error where a side has no row; the value with an error of NaN where one has a single row.
    """
    kept, left = side.counts.astype(np.float64), side.rows - side.counts.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = side.sums / kept, (side.total - side.sums) / left
        anywhere = unvaried_or_variance(side.total_squares, side.total, side.rows, rows=side.rows)
        within = unvaried_or_variance(side.squares, side.sums, kept, rows=side.rows)
        without = _outside_variance(side, outside, left)
        a = np.where(within > 0.0, within, anywhere) / kept
        b = np.where(without > 0.0, without, anywhere) / left
        values = np.where(anywhere == 0.0, 0.0, outside - inside)
        share = np.where(a + b > 0.0, a / (a + b), 0.5)
        degrees = 1.0 / (share**2 / (kept - 1.0) + (1.0 - share) ** 2 / (left - 1.0))
    return known_part(values, np.sqrt(a + b), degrees, fewest=np.minimum(kept, left))


def unvaried_or_variance(squares: FloatArray, sums: FloatArray, counts: AnyArray | int, *, rows: int) -> FloatArray:
    """Unbiased variances from sums of x and x^2 over `counts` rows; exactly 0 where the rows agree to rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return cleared(squares - sums * (sums / counts), squares, rows=rows) / (counts - 1.0)


def cleared(deviations: FloatArray, scale: FloatArray, *, rows: int) -> FloatArray:
    """Sums of squared deviations, 0 where they are within the rounding of sums of squares as large as `scale`."""
    return np.where(deviations <= slack(rows) * scale, 0.0, deviations)


def slack(rows: int) -> float:
    """How far a sum over rows may be off, as a share of the sum of its terms' sizes.

    A sum of 256 products errs by at most 256 eps, a sum of blocks by one eps a block.
    """
    return float(4.0 * np.finfo(np.float64).eps * (ROWS_PER_BLOCK + rows / ROWS_PER_BLOCK))


def known_part(values: FloatArray, errors: FloatArray, degrees: FloatArray, *, fewest: FloatArray) -> Estimates:
    """Values where the smaller side has a row, errors where it has two."""
    none, one = _shaped(fewest == 0, values), _shaped(fewest == 1, values)
    return Estimates(
        values=np.where(none, np.nan, values),
        standard_errors=np.where(none, np.inf, np.where(one, np.nan, errors)),
        degrees_of_freedom=np.where(none | one, 0.0, degrees),
    )


def _outside_variance(side: SideSums, means: FloatArray, left: FloatArray) -> FloatArray:
    squares = side.total_squares - side.squares
    deviations = squares - (side.total - side.sums) * means
    return cleared(deviations, side.total_squares, rows=side.rows) / (left - 1.0)


def _shaped(condition: BoolArray, like: FloatArray) -> BoolArray:
    return np.broadcast_to(condition, like.shape)
