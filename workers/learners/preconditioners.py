"""Approximate inverse Hessians of models side by side: blocks of parameters, or diagonals."""

from typing import Final

import numpy as np

from estimators.arrays import AnyArray, FloatArray
from workers.learners.stacked_inverse import stacked_inverse

FULL_UP_TO: Final = 512
ROWS_A_COLUMN: Final = 16
FEWEST_ROWS: Final = 256
SINGLE_JITTER: Final = 1e-8
GROWTH: Final = 100.0


def sampled_rows(size: int) -> int:
    """How many members a preconditioner looks at: enough for a good one, few enough to cost little."""
    return max(FEWEST_ROWS, ROWS_A_COLUMN * size)


def inverses(hessians: FloatArray, *, jitter: float) -> AnyArray:
    """Inverses of Hessians [A, G, E, E], of G blocks each, or of their diagonals [A, G, E]; of the same shape.

    jitter: added to the diagonal, which is scaled to 1 first; 100 times as much, and again, where a block is singular
    with it. Above 1e-8 the inverses are of float32, which is as exact as they are.
    """
    if hessians.ndim == 3:
        return 1.0 / np.where(hessians > 0.0, hessians, 1.0)
    blocks = hessians.reshape(-1, *hessians.shape[2:])
    diagonals = np.einsum("aii->ai", blocks)
    scales = 1.0 / np.sqrt(np.where(diagonals > 0.0, diagonals, 1.0))
    found = _regular_inverses(blocks * (scales[:, :, None] * scales[:, None, :]), jitter)
    scales = scales.astype(found.dtype)
    found *= scales[:, :, None] * scales[:, None, :]
    return found.reshape(hessians.shape)


def applied(inverse: AnyArray, vectors: AnyArray) -> AnyArray:
    """Inverses [A, G, E, E] or [A, G, E] applied to vectors [A, B, D]: G = 1 or B with E = D, or G = 1 with E = B D."""
    count, logits, size = vectors.shape
    if inverse.ndim == 3:
        scaled: AnyArray = vectors * inverse
        return scaled
    if inverse.shape[3] == size and inverse.shape[1] == 1:
        shared: AnyArray = np.matmul(vectors, inverse[:, 0])
        return shared
    flat = vectors.reshape(count, inverse.shape[1], 1, inverse.shape[3])
    blockwise: AnyArray = np.matmul(flat, inverse).reshape(count, logits, size)
    return blockwise


def _regular_inverses(scaled: FloatArray, jitter: float) -> AnyArray:
    """Inverses of matrices [A, E, E] of unit diagonal, each made regular by as little as it needs."""
    np.einsum("aii->ai", scaled)[:] = 1.0 + jitter
    dtype = np.float32 if jitter > SINGLE_JITTER else np.float64
    try:
        return stacked_inverse(scaled, dtype)
    except np.linalg.LinAlgError:
        if len(scaled) > 1:
            return np.concatenate([_regular_inverses(each[None], jitter) for each in scaled])
        return (
            np.eye(scaled.shape[1], dtype=dtype)[None] if jitter > 1.0 else _regular_inverses(scaled, GROWTH * jitter)
        )
