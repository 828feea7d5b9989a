"""The random words that designs draw with.

Only the raw output of PCG64 is used, which NumPy promises never to change, so that a plan drawn today is
drawn again by any later version.
"""

from collections.abc import Iterator

import numpy as np

from estimators.arrays import FloatArray, SeedArray
from estimators.designs.protocol import DRAWS_PER_BLOCK
from estimators.seeding import derive_seed


def random_words(law: str, *, seed: int, n: int, start: int, stop: int) -> Iterator[SeedArray]:
    """64 random bits for each player, [n] uint64, for each of the draws start..stop-1.

    Draw k uses the words n (k mod 256) ... of the block k // 256, and a block's stream comes from
    (seed, law, block) alone: no draw depends on how draws are chunked.
    """
    draw = start
    while draw < stop:
        block, offset = divmod(draw, DRAWS_PER_BLOCK)
        bits = np.random.PCG64(derive_seed("draws", law, seed, block))
        bits.advance(offset * n)
        for _ in range(min(stop - draw, DRAWS_PER_BLOCK - offset)):
            yield bits.random_raw(n)
            draw += 1


def check_span(start: int, stop: int, draw_count: int | None = None) -> None:
    """Raise ValueError unless 0 <= start <= stop <= draw_count."""
    if start < 0 or stop < start or (draw_count is not None and stop > draw_count):
        there = "" if draw_count is None else f" of {draw_count}"
        raise ValueError(f"draws {start}..{stop}{there} do not exist")


def unit_interval(words: SeedArray) -> FloatArray:
    """Words as numbers in [0, 1), multiples of 2^-53."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
