"""What the machine's matrix products reach, for shares of it."""

import time

import numpy as np
import numpy.typing as npt


def product_rate(dtype: npt.DTypeLike, size: int = 1024, turns: int = 5) -> float:
    """Operations a second of NumPy's product of two square matrices, the best of a few turns, on the threads set."""
    matrix = np.random.default_rng(0).normal(size=(size, size)).astype(dtype)
    matrix @ matrix
    best = float("inf")
    for _ in range(turns):
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best
