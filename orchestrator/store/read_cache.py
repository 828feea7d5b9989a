"""Builds and opens the read cache: arrays for questions, made from the chunk files, which remain the truth.

A cache is a folder named by the store's state (a hash of the chunk files' names, which hold their own hashes). It is
written under another name and renamed whole, so that two readers at once, or one beside a writer, never see half of
one. Older states are removed afterwards; whoever has them mapped keeps them until they close. It may be deleted at
any time.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from estimators.arrays import AnyArray, BoolArray
from orchestrator.errors import ResourceMissing, StoreRefused
from orchestrator.store.cached_rows import (
    CACHE_VERSION,
    FACTS,
    CachedRows,
    CacheFacts,
    checksum,
    open_cached,
    row_dtypes,
)
from orchestrator.store.loss_store import LossStore
from orchestrator.store.row_index import FileId
from workers.chunk_file import failures_of
from workers.chunk_types import Chunk, ChunkPart

_TRIES = 3
_THERE_ALREADY = (errno.ENOTEMPTY, errno.EEXIST)
_ROWS_A_BLOCK = 4096


def cached_rows(store: LossStore, folder: Path) -> CachedRows:
    """The store's rows as arrays in `folder`, built where they are not there; the store is as at its last refresh.

    Raises StoreRefused where a chunk file is damaged, ResourceMissing where the folder cannot be written.
    """
    state = state_of(store)
    target = folder / state[:32]
    for _ in range(_TRIES):
        try:
            return open_cached(target, state) if (target / FACTS).exists() else _build(store, state, target)
        except FileNotFoundError:
            continue  # another process has removed this state between two of our steps
        except StoreRefused:
            if not target.exists():
                raise
            shutil.rmtree(target, ignore_errors=True)
        except OSError as error:
            raise ResourceMissing(
                f"the read cache cannot be written: {error.strerror or error}",
                where=str(folder),
                mend="make room, or make the job's folder writable",
            ) from error
    return _build(store, state, target)


def state_of(store: LossStore) -> str:
    """A hash of what the store holds: its chunk files by campaign and name, and what they are of."""
    hasher = hashlib.sha256(f"{CACHE_VERSION} {store.n} {store.n_test} {store.fingerprints}".encode())
    for line in store.contents():
        hasher.update(f"{line}\n".encode())
    return hasher.hexdigest()


def _build(store: LossStore, state: str, target: Path) -> CachedRows:
    """The rows, opened before others can remove them: files that are open outlive their names."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(target.parent)
    building = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    building.mkdir(mode=0o700)
    try:
        _Builder(store, building).write(state)
        opened = open_cached(building, state)
        try:
            building.rename(target)
        except OSError as error:
            if error.errno not in _THERE_ALREADY:
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    for other in target.parent.iterdir():
        if other != target and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)
    return opened


def _sweep(folder: Path) -> None:
    """Remove what builders that were killed have left."""
    for path in folder.glob(".*.*-*"):
        process = path.name.rpartition(".")[2].partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(path, ignore_errors=True)


class _Builder:
    """Writes the arrays file by file: memory is that of one chunk, whatever the store holds."""

    def __init__(self, store: LossStore, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._arrays: dict[str, AnyArray] = {}
        self._files = sorted(store.files(), key=lambda file: (file.campaign, file.name))
        self._workers: dict[str, int] = {}

    def write(self, state: str) -> None:
        rows, n, n_test = self._rows(), self._store.n, self._store.n_test
        losses = self._store.losses
        for name, dtype in row_dtypes().items():
            self._make(name, (rows, 16) if name == "keys" else (rows,), dtype)
        members = self._make("members", (rows, (n + 7) // 8), "|u1")
        tables = [self._make(f"loss-{place}", (rows, n_test), "<f4") for place in range(len(losses))]
        self._fill(losses)
        bits = self._make("bits", (n, (rows + 7) // 8), "|u1")
        columns = [self._make(f"column-{place}", (n_test, rows), "<f4") for place in range(len(losses))]
        means = [self._make(f"mean-{place}", (rows,), "<f4") for place in range(len(losses))]
        for start in range(0, rows, _ROWS_A_BLOCK):
            block = slice(start, start + _ROWS_A_BLOCK)
            inside = np.unpackbits(members[block], axis=1, count=n, bitorder="little")
            bits[:, start // 8 : (start + len(inside) + 7) // 8] = np.packbits(inside.T, axis=1, bitorder="little")
            for table, column, mean in zip(tables, columns, means, strict=True):
                column[:, block] = table[block].T
                mean[block] = table[block].mean(axis=1, dtype=np.float64)
        facts = CacheFacts(
            state=state,
            rows=rows,
            n=n,
            n_test=n_test,
            losses=losses,
            files=tuple((file.campaign, file.name) for file in self._files),
            workers=tuple(self._workers),
            arrays={name: (array.shape, array.dtype.str, checksum(array)) for name, array in self._arrays.items()},
        )
        (self._folder / FACTS).write_text(facts.encode(), encoding="utf-8")

    def _rows(self) -> int:
        """Rows that are written; where other versions of the training set are read too, they are counted first."""
        if not self._store.chunks.has_other_versions:
            return self._store.stored_rows()
        return sum(int(keep.sum()) for _, keep in self._chunks())

    def _make(self, name: str, shape: tuple[int, ...], dtype: str) -> AnyArray:
        if 0 in shape:
            array: AnyArray = np.zeros(shape, dtype=dtype)
        else:
            mapped = np.lib.format.open_memmap(self._folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            array = mapped.view(np.ndarray)
        self._arrays[name] = array
        return array

    def _fill(self, losses: tuple[str, ...]) -> None:
        start = 0
        for place, (chunk, keep) in enumerate(self._chunks()):
            kept = int(keep.sum())
            block = slice(start, start + kept)
            start += kept
            self._fill_rows(chunk, keep, block, place)
            for number, name in enumerate(losses):
                found = chunk.rows.losses.get(name)
                self._arrays[f"loss-{number}"][block] = np.nan if found is None else found[keep]

    def _fill_rows(self, chunk: Chunk, keep: BoolArray, block: slice, place: int) -> None:
        rows, into = chunk.rows, self._arrays
        into["keys"][block] = np.frombuffer(b"".join(rows.keys), dtype=np.uint8).reshape(-1, 16)[keep]
        into["members"][block] = rows.members[keep]
        into["replicates"][block], into["sizes"][block] = rows.replicates[keep], rows.sizes[keep]
        into["attempts"][block], into["seeds"][block] = rows.attempts[keep], rows.seeds[keep]
        into["seconds"][block] = rows.seconds[keep]
        into["file"][block] = place
        header = chunk.header
        parts = header.parts or (ChunkPart(header.chunk, len(rows.keys), header.worker),)
        lengths = [part.rows for part in parts]
        workers = [self._workers.setdefault(part.worker, len(self._workers)) for part in parts]
        into["chunk"][block] = np.repeat([part.chunk for part in parts], lengths)[keep]
        into["worker"][block] = np.repeat(workers, lengths)[keep]

    def _chunks(self) -> Iterator[tuple[Chunk, BoolArray]]:
        """Each file with which of its rows count: stored, and not found in a file that goes before it."""
        for file in self._files:
            chunk = self._store.chunk(FileId(file.name, file.campaign))
            stored = np.array([reason is None for reason in failures_of(chunk.rows)], dtype=np.bool_)
            members, whole = self._store.chunks.members(chunk)
            here = replace(chunk, rows=replace(chunk.rows, members=members))
            yield here, self._store.counting(file, chunk.rows) & stored & whole
