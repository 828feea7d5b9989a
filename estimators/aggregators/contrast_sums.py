"""Sums over retrains with and without each instance: all that a difference of two means needs.

State of size 2 n (n_test + 1), whatever the number of retrains. Sums are of losses less a pivot, v(D), so that
squares lose no digits; the side without an instance follows by subtraction from column totals.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dgemm

from estimators.aggregators.columns import column_blocks
from estimators.aggregators.threads import one_blas_thread
from estimators.arrays import BoolArray, FloatArray, IntArray


@dataclass(slots=True)
class ContrastSums:
    """Sums over `rows` retrains of c columns; x = loss - pivot, all float64.

    counts [n]: rows with the instance. sums, squares [n, c]: of x and x^2 over these. total, total_squares [c]: over
    all rows. lent: a result holds this object, so the next update works on a copy.
    """

    pivot: FloatArray
    rows: int
    counts: IntArray
    sums: FloatArray
    squares: FloatArray
    total: FloatArray
    total_squares: FloatArray
    lent: bool = False


def empty_sums(n: int, pivot: FloatArray) -> ContrastSums:
    """Sums over no retrains of n instances; pivot [c]."""
    columns = len(pivot)
    return ContrastSums(
        pivot=pivot,
        rows=0,
        counts=np.zeros(n, dtype=np.int64),
        sums=np.zeros((n, columns), order="F"),
        squares=np.zeros((n, columns), order="F"),
        total=np.zeros(columns),
        total_squares=np.zeros(columns),
    )


def add_rows(state: ContrastSums, members: BoolArray, losses: FloatArray) -> ContrastSums:
    """The sums with further rows, members [K, n] and losses [K, c]: two matrix products for each 128 columns."""
    state = moved(state, state.pivot) if state.lent else state
    inside = members.astype(np.float64).T
    with one_blas_thread():
        for columns in column_blocks(len(state.pivot)):
            x = np.asfortranarray(losses[:, columns] - state.pivot[columns])
            add_product(state.sums[:, columns], inside, x)
            state.total[columns] += x.sum(axis=0)
            x *= x
            add_product(state.squares[:, columns], inside, x)
            state.total_squares[columns] += x.sum(axis=0)
    state.counts += members.sum(axis=0)
    state.rows += len(members)
    return state


def add_product(sums: FloatArray, left: FloatArray, right: FloatArray) -> None:
    """Sums [n, c] += left [n, K] right [K, c], in place without a temporary where sums is in Fortran order."""
    found = dgemm(1.0, left, right, beta=1.0, c=sums, overwrite_c=1)
    if not np.shares_memory(found, sums):
        sums[...] = found


def merged_sums(a: ContrastSums, b: ContrastSums) -> ContrastSums:
    """The sums over the rows of both, about a's pivot; a and b are left unchanged."""
    both = moved(b, a.pivot)
    both.rows += a.rows
    both.counts += a.counts
    both.sums += a.sums
    both.squares += a.squares
    both.total += a.total
    both.total_squares += a.total_squares
    return both


def moved(state: ContrastSums, pivot: FloatArray) -> ContrastSums:
    """A copy about another pivot [c]: with x' = x + s, sum x' = sum x + count s, and so on."""
    shift = state.pivot - pivot
    same = not shift.any()
    counts = state.counts[:, None]
    return ContrastSums(
        pivot=pivot,
        rows=state.rows,
        counts=state.counts.copy(),
        sums=state.sums.copy(order="K") if same else state.sums + counts * shift,
        squares=state.squares.copy(order="K") if same else state.squares + (2.0 * state.sums + counts * shift) * shift,
        total=state.total + state.rows * shift,
        total_squares=state.total_squares + (2.0 * state.total + state.rows * shift) * shift,
    )
