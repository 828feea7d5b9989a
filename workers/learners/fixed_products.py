"""Matrix products whose rows have the same bits whatever the number of rows and their places.

OpenBLAS adds up a row of a product in an order that depends on the number of rows only where the sum is long, the other
matrix is not of whole tiles, or is read across its rows. So sums go in blocks of `BLOCK`, shapes are padded by zeros
(the other matrix to a multiple of `TILE` columns, the rows to a multiple of `ROWS`), and nothing is transposed. Seen on
OpenBLAS 0.3.23 to 0.3.31 (Cooperlake and SkylakeX kernels), in float32 and float64; a test holds it.
"""

from typing import Final

import numpy as np

from estimators.arrays import AnyArray

BLOCK: Final = 256
TILE: Final = 16
ROWS: Final = 4


def padded(count: int, step: int = TILE) -> int:
    """The least multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def padded_to(array: AnyArray, *lengths: int) -> AnyArray:
    """The array with zeros behind its leading axes, up to `lengths`."""
    wanted = (*lengths, *array.shape[len(lengths) :])
    if array.shape == wanted:
        return array
    larger = np.zeros(wanted, dtype=array.dtype)
    larger[tuple(slice(0, length) for length in array.shape)] = array
    return larger


def fixed_product(left: AnyArray, right: AnyArray) -> AnyArray:
    """Product [M, N] of [M, s] and [s, N], M and N padded: a row's bits depend on its own row of `left` alone.

    right: its rows contiguous. A transposed view would go through other kernels where products are small.
    """
    product: AnyArray = left[:, :BLOCK] @ right[:BLOCK]
    for start in range(BLOCK, left.shape[1], BLOCK):
        product += left[:, start : start + BLOCK] @ right[start : start + BLOCK]
    return product
