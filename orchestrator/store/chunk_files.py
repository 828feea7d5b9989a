"""Chunk files of all campaigns of a store: listed, opened, read and verified one by one.

What is damaged, foreign, of a newer format or of another data set is told by name, never skipped.
"""

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import replace

import numpy as np

from estimators.arrays import BoolArray, ByteArray
from orchestrator.errors import Problem
from orchestrator.fingerprint import explain_difference
from orchestrator.store.moved_rows import Moved
from orchestrator.store.row_names import FileId
from workers.chunk_file import decode, decode_keys, decode_losses
from workers.chunk_name import parse_name
from workers.chunk_store import ChunkStore, PartialReads
from workers.chunk_types import Chunk, ChunkHeader, ChunkKeys, Fingerprints, LossRows
from workers.errors import ChunkError

MOVE_AWAY = "set it aside and train its rows again: apportion verify JOB --repair, then apportion resume JOB"


Accept = Callable[[ChunkHeader], bool]


def any_header(header: ChunkHeader) -> bool:
    """Every file of the kind counts."""
    del header
    return True


class ChunkFiles:
    """Files by campaign and name. stores: campaign id -> its chunk store; all of `fingerprints`, n and n_test.

    kind: of chunks, by their names. moved: how rows of other versions of the training set are read.
    accept: which of them count, by their headers; the others are left alone.
    """

    def __init__(
        self,
        stores: Mapping[str, ChunkStore],
        fingerprints: Fingerprints,
        *,
        n: int,
        n_test: int,
        kind: str = "retrains",
        accept: Accept = any_header,
        moved: Mapping[str, Moved] | None = None,
    ) -> None:
        self._moved = dict(moved or {})
        self._kind, self._accept = kind, accept
        self.stores = dict(stores)
        self.fingerprints, self.n, self.n_test = fingerprints, n, n_test

    def listed(self, *, without: Container[str] = ()) -> set[FileId]:
        """Every chunk file there, but for campaigns `without`; raises StoreError where a store is not reached."""
        return {
            FileId(name, campaign)
            for campaign, store in self.stores.items()
            if campaign not in without
            for name in store.names()
            if parse_name(name, kind=self._kind) is not None
        }

    @property
    def has_other_versions(self) -> bool:
        """Whether rows of other versions of the training set are read too."""
        return bool(self._moved)

    def where(self, file: FileId) -> str:
        """A file's place, for people."""
        return f"{self.stores[file.campaign].address}/{file.name}"

    def opened(self, file: FileId, *, whole: bool = False) -> tuple[ChunkKeys | None, int, list[Problem]]:
        """A file's keys (None where it is not accepted), its bytes, and what is wrong with it.

        whole: read all of it and verify the hash in its name, not only the part that holds the keys.
        """
        try:
            keys, size = self._keys(file, whole=whole)
        except ChunkError as error:
            return None, 0, [self.problem(file, error)]
        if not self._accept(keys.header):
            return None, size, []
        return keys, size, self._foreign(keys.header, self.where(file))

    def chunk(self, file: FileId) -> Chunk:
        """A file's header and rows, its whole hash verified; raises ChunkError."""
        return decode(self._content(file), name=file.name)

    def losses(self, file: FileId, loss: str, *, with_train: bool) -> LossRows:
        """One loss of a file's rows, its whole hash verified; raises ChunkError.

        Members, and losses on training instances, are those of the store's own version of the training set.
        """
        found = decode_losses(self._content(file), loss, name=file.name, with_train=with_train)
        moved = self._moved.get(found.train_version)
        if moved is None:
            return found
        train = None if found.train_losses is None else moved.losses(found.train_losses)
        return replace(found, members=moved.members(found.members), train_losses=train)

    def members(self, chunk: Chunk) -> tuple[ByteArray, BoolArray]:
        """A chunk's members in the store's own version, and which rows hold no instance that is gone from it."""
        moved = self._moved.get(chunk.header.fingerprints.train)
        if moved is None:
            return chunk.rows.members, np.ones(len(chunk.rows.keys), dtype=np.bool_)
        members = moved.members(chunk.rows.members)
        return members, np.bitwise_count(members).sum(axis=1, dtype=np.int64) == chunk.rows.sizes

    def problem(self, file: FileId, error: ChunkError) -> Problem:
        """What is wrong with a file, in three parts."""
        return Problem(str(error).removeprefix(f"{file.name}: "), self.where(file), MOVE_AWAY)

    def _keys(self, file: FileId, *, whole: bool) -> tuple[ChunkKeys, int]:
        store = self.stores[file.campaign]
        if not whole and isinstance(store, PartialReads):
            with store.open(file.name) as opened:
                size = opened.seek(0, os.SEEK_END)
                return decode_keys(opened, name=file.name), size
        content = self._content(file)
        return decode_keys(content, name=file.name), len(content)

    def _foreign(self, header: ChunkHeader, where: str) -> list[Problem]:
        moved = self._moved.get(header.fingerprints.train)
        now = self.fingerprints if moved is None else replace(self.fingerprints, train=header.fingerprints.train)
        difference = explain_difference(header.fingerprints, now)
        if difference:
            what, _, mend = difference.rpartition("\n")
            return [Problem(what or mend, where, mend if what else "")]
        if (header.n, header.n_test) != (self.n if moved is None else moved.n_then, self.n_test):
            what = f"n is {header.n}, n_test {header.n_test}; here they are {self.n}, {self.n_test}"
            return [Problem(what, where, MOVE_AWAY)]
        return []

    def _content(self, file: FileId) -> bytes:
        return self.stores[file.campaign].get(file.name)
