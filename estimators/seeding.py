"""Randomness is derived from what a draw is for, never from order or time.

A retrain's seed comes from (learner's seed, subset key, replicate) alone; a design's block of draws comes
from (job seed, design, block) alone.
"""

import hashlib

import numpy as np

from estimators.arrays import IntArray, SeedArray


def derive_seed(*parts: int | str | bytes) -> int:
    """A 64-bit seed from the parts, by BLAKE2b over their typed, length-prefixed bytes."""
    content = []
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        content += [f"{type(part).__name__}:{len(raw)}:".encode(), raw]
    return int.from_bytes(hashlib.blake2b(b"".join(content), digest_size=8).digest(), "little")


def retrain_seeds(learner_seed: int, keys: list[bytes], replicates: IntArray) -> SeedArray:
    """Seeds `[K]` uint64 of retrains, each from (learner's seed, subset key, replicate) alone."""
    pairs = zip(keys, replicates.tolist(), strict=True)
    return np.array([derive_seed("retrain", learner_seed, key, replicate) for key, replicate in pairs], dtype=np.uint64)


def generator(*parts: int | str | bytes) -> np.random.Generator:
    """A NumPy generator (PCG64) seeded from the parts."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))
