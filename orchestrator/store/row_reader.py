"""Losses of rows out of the files in which they stand."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from estimators.subsets import unpack
from orchestrator.errors import StoreRefused
from orchestrator.store.bounded_cache import BoundedCache
from orchestrator.store.chunk_files import ChunkFiles
from orchestrator.store.row_index import FileId, Place
from orchestrator.store.stored_rows import StoredRows
from workers.chunk_types import LossRows
from workers.errors import ChunkError

_BYTES_BESIDE = 1500  # of a decoded file: its arrays' own headers, its name, its place in the cache


class RowReader:
    """Reads one loss of rows by their places; files that were decoded stay in memory up to `cache_bytes`."""

    def __init__(self, chunks: ChunkFiles, cache_bytes: int) -> None:
        self._chunks = chunks
        self._decoded: BoundedCache[tuple[FileId, str, bool], LossRows] = BoundedCache(cache_bytes, _bytes_of)

    @property
    def bytes(self) -> int:
        """What is kept in memory."""
        return self._decoded.bytes

    def clear(self) -> None:
        """Forget what was decoded."""
        self._decoded.clear()

    def rows(self, places: Sequence[Place], loss: str, *, with_train: bool) -> StoredRows:
        """One loss of the rows at these places, in their order; each file is decoded once.

        Raises StoreRefused where a file is damaged or does not hold the loss, StoreError where it is gone.
        """
        n, n_test = self._chunks.n, self._chunks.n_test
        out = StoredRows(
            members=np.zeros((len(places), n), dtype=np.bool_),
            losses=np.full((len(places), n_test), np.nan, dtype=np.float32),
            train_losses=np.full((len(places), n), np.nan, dtype=np.float32) if with_train else None,
            failed=np.zeros(len(places), dtype=np.bool_),
        )
        for file, (positions, inside) in _by_file(places).items():
            found = self._losses(file, loss, with_train=with_train)
            out.members[positions] = unpack(found.members[inside], n)
            out.losses[positions] = found.losses[inside]
            out.failed[positions] = found.failed[inside]
            if out.train_losses is not None and found.train_losses is not None:
                out.train_losses[positions] = found.train_losses[inside]
        return out

    def _losses(self, file: FileId, loss: str, *, with_train: bool) -> LossRows:
        try:
            return self._decoded.get(
                (file, loss, with_train), lambda: self._chunks.losses(file, loss, with_train=with_train)
            )
        except ChunkError as error:
            raise StoreRefused([self._chunks.problem(file, error)]) from error


def _by_file(places: Sequence[Place]) -> dict[FileId, tuple[list[int], list[int]]]:
    """For each file the positions asked and the rows in the file; files in the order in which they are first needed."""
    found: dict[FileId, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for position, place in enumerate(places):
        positions, inside = found[place.file]
        positions.append(position)
        inside.append(place.row)
    return found


def _bytes_of(rows: LossRows) -> int:
    train = 0 if rows.train_losses is None else rows.train_losses.nbytes
    return rows.members.nbytes + rows.losses.nbytes + train + rows.failed.nbytes + _BYTES_BESIDE
