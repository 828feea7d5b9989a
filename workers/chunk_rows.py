"""What the rows of a chunk must obey, checked before they are written and after they are read."""

from collections.abc import Sequence

import numpy as np

from estimators.arrays import BoolArray, Float32Array, IntArray
from estimators.subsets import KEY_BYTES
from workers.chunk_types import ChunkHeader, ChunkRows
from workers.errors import ChunkError

_LARGEST_INT32 = 2**31 - 1


def check_rows(header: ChunkHeader, rows: ChunkRows) -> None:
    """Raise ChunkError where rows do not fit their header, contradict themselves, or hold a loss that is no number."""
    count = len(rows.keys)
    check_keys(rows.keys, rows.replicates)
    _check_lengths(rows, count)
    _check_members(rows, header.n)
    failed = np.array([reason is not None for reason in rows.failures or (None,) * count], dtype=np.bool_)
    if set(rows.losses) != {*header.losses} or set(rows.train_losses) != {*header.train_losses}:
        raise ChunkError(f"its losses are {[*rows.losses, *rows.train_losses]}, its header says {header.losses}")
    for columns, length in ((rows.losses, header.n_test), (rows.train_losses, header.n)):
        for name, losses in columns.items():
            if losses.shape != (count, length) or losses.dtype != np.float32:
                raise ChunkError(f"{name}: {losses.dtype} {losses.shape}, expected float32 ({count}, {length})")
            check_losses(name, losses, failed)


def check_keys(keys: Sequence[bytes], replicates: IntArray) -> None:
    """Raise ChunkError for no row, for keys of a wrong length and for a row that stands twice."""
    if not keys:
        raise ChunkError("it has no row")
    if any(len(key) != KEY_BYTES for key in keys):
        raise ChunkError(f"a key is not {KEY_BYTES} bytes long")
    if len(replicates) != len(keys) or len(set(zip(keys, replicates.tolist(), strict=True))) < len(keys):
        raise ChunkError("a subset stands in it twice with one replicate")


def check_losses(name: str, losses: Float32Array, failed: BoolArray) -> None:
    """Raise ChunkError where a row that did not fail has a loss that is not finite."""
    wrong = ~np.isfinite(losses).all(axis=1) & ~failed
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        first = int(np.flatnonzero(~np.isfinite(losses[row]))[0])
        raise ChunkError(f"{name}: row {row} is no failure, but its loss {first} is {losses[row, first]}")


def _check_lengths(rows: ChunkRows, count: int) -> None:
    columns = (rows.sizes, rows.seeds, rows.replicates, rows.seconds, rows.attempts, rows.members)
    if any(len(column) != count for column in columns) or len(rows.failures) not in {0, count}:
        raise ChunkError(f"its columns have different lengths; it has {count} keys")
    for name, numbers in (("replicate", rows.replicates), ("attempts", rows.attempts)):
        if numbers.min() < 0 or numbers.max() > _LARGEST_INT32:
            raise ChunkError(f"{name} is outside 0 to {_LARGEST_INT32}")
    if rows.seeds.dtype != np.uint64 or rows.seconds.dtype != np.float32:
        raise ChunkError(f"seeds are {rows.seeds.dtype}, seconds {rows.seconds.dtype}; expected uint64, float32")


def _check_members(rows: ChunkRows, n: int) -> None:
    width = (n + 7) // 8
    if rows.members.shape[1:] != (width,) or rows.members.dtype != np.uint8:
        raise ChunkError(f"members: {rows.members.dtype} {rows.members.shape}, expected uint8 (rows, {width})")
    if n % 8 and (rows.members[:, -1] >> (n % 8)).any():
        raise ChunkError(f"members: bits are set beyond the {n} training instances")
    if (np.bitwise_count(rows.members).sum(axis=1, dtype=np.int64) != rows.sizes).any():
        raise ChunkError("size differs from the number of members")
