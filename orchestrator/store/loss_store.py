"""All rows of all campaigns on one learner and data set, read from their chunk files.

Opening reads keys only, a few kB a file, whose header, page checksums and rows hash are verified. Every read of losses
verifies the hash of the whole file. What is
damaged, foreign, of a newer format or of another data set is refused by name, never skipped.

Files appear whole and are never changed, so a reader beside a writer sees what was there at its last `refresh`.
Not for several threads at once.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, Float32Array
from estimators.subsets import unpack
from orchestrator.errors import Problem, StoreRefused
from orchestrator.fingerprint import explain_difference
from orchestrator.plan import RowId
from orchestrator.store.bounded_cache import BoundedCache
from orchestrator.store.row_index import FileId, RowIndex
from workers.chunk_file import decode_keys, decode_losses
from workers.chunk_name import parse_name
from workers.chunk_store import ChunkStore, PartialReads
from workers.chunk_types import ChunkHeader, ChunkKeys, Fingerprints, LossRows
from workers.errors import ChunkError

CACHE_BYTES = 2**28
_THREADS = 8
_MOST_PROBLEMS = 20
_MOVE_AWAY = "move this file out of the store, then `apportion resume JOB` trains its rows again"


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows in the order asked. members [K, n] bool; losses [K, n_test] and train_losses [K, n] float32.

    failed: [K]; a failed row's losses are NaN.
    """

    members: BoolArray
    losses: Float32Array
    train_losses: Float32Array | None
    failed: BoolArray


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Figures of a store. rows: that count, failed among them; repeated: found again in another file.

    seconds: of training, over all files. numeric_classes and together (K): all that occur, sorted.
    """

    files: int
    rows: int
    failed: int
    repeated: int
    bytes: int
    seconds: float
    numeric_classes: tuple[str, ...]
    together: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CampaignFiles:
    """What one campaign wrote: rows, bytes, and seconds of training."""

    rows: int
    bytes: int
    seconds: float


class LossStore:
    """Rows by name. stores: campaign id -> its chunk store; all must be of `fingerprints`, n and n_test.

    cache_bytes: how much of decoded losses stays in memory.
    """

    def __init__(
        self,
        stores: Mapping[str, ChunkStore],
        fingerprints: Fingerprints,
        *,
        n: int,
        n_test: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.fingerprints, self.n, self.n_test = fingerprints, n, n_test
        self._stores = dict(stores)
        self._index = RowIndex()
        self._sizes: dict[FileId, int] = {}
        self._skipped: set[FileId] = set()
        self._pending: set[FileId] = set()
        self._decoded: BoundedCache[tuple[FileId, str, bool], LossRows] = BoundedCache(cache_bytes, _bytes_of)

    def refresh(self) -> None:
        """List the stores and open files not seen yet; files that are gone take their rows with them.

        Raises StoreRefused naming every file that cannot be of this store, StoreError where a store is not reached.
        """
        there = {
            FileId(name, campaign)
            for campaign, store in self._stores.items()
            for name in store.names()
            if parse_name(name) is not None
        }
        if self._known() - there:
            self._forget()
        self._pending = there - self._known()
        self._settle()

    def add(self, campaign: str, name: str) -> None:
        """Note a file that is in the campaign's store now; it is opened when rows are next asked for."""
        file = FileId(name, campaign)
        if file not in self._known():
            self._pending.add(file)

    def missing(self, rows: Sequence[RowId]) -> list[int]:
        """Positions of rows that are neither stored nor recorded as failed."""
        self._settle()
        return self._index.missing(rows)

    def failed(self, rows: Sequence[RowId]) -> dict[int, str]:
        """Positions of rows that failed for good, with the reason."""
        self._settle()
        return self._index.failed(rows)

    def read(self, rows: Sequence[RowId], loss: str, *, with_train: bool = False) -> StoredRows:
        """One loss of the rows, in the order asked; the same bits whatever files they stand in.

        Raises StoreRefused where a row is missing, a file is damaged, or does not hold the loss.
        """
        self._settle()
        out = StoredRows(
            members=np.zeros((len(rows), self.n), dtype=np.bool_),
            losses=np.full((len(rows), self.n_test), np.nan, dtype=np.float32),
            train_losses=np.full((len(rows), self.n), np.nan, dtype=np.float32) if with_train else None,
            failed=np.zeros(len(rows), dtype=np.bool_),
        )
        for file, places in self._by_file(rows).items():
            positions, inside = np.array([*places]), np.array([*places.values()])
            found = self._losses(file, loss, with_train=with_train)
            out.members[positions] = unpack(found.members[inside], self.n)
            out.losses[positions] = found.losses[inside]
            out.failed[positions] = found.failed[inside]
            if out.train_losses is not None and found.train_losses is not None:
                out.train_losses[positions] = found.train_losses[inside]
        return out

    def trained_by(self, campaign: str) -> CampaignFiles:
        """Figures of the files that a campaign itself wrote."""
        self._settle()
        files = {file: facts for file, facts in self._index.files.items() if file.campaign == campaign}
        return CampaignFiles(
            rows=sum(facts.rows for facts in files.values()),
            bytes=sum(self._sizes[file] for file in files),
            seconds=sum(facts.seconds for facts in files.values()),
        )

    def facts(self) -> StoreFacts:
        """Figures of what the store holds."""
        self._settle()
        files = self._index.files.values()
        return StoreFacts(
            files=len(files),
            rows=len(self._index),
            failed=len(self._index.failures),
            repeated=self._index.repeated,
            bytes=sum(self._sizes.values()),
            seconds=sum(file.seconds for file in files),
            numeric_classes=tuple(sorted({file.numeric_class for file in files})),
            together=tuple(sorted({file.together for file in files})),
        )

    def verify(self) -> list[Problem]:
        """Read every file whole; what is damaged, foreign or gone, by name. Nothing is changed."""
        problems = []
        for campaign, store in self._stores.items():
            for name in store.names():
                if parse_name(name) is not None:
                    problems += self._opened(FileId(name, campaign), whole=True)[1]
        return problems

    def _known(self) -> set[FileId]:
        return {*self._index.files, *self._skipped}

    def _forget(self) -> None:
        self._index = RowIndex()
        self._sizes, self._skipped = {}, set()
        self._decoded.clear()

    def _settle(self) -> None:
        """Open the files that are noted."""
        if not self._pending:
            return
        files = sorted(self._pending)
        with ThreadPoolExecutor(min(_THREADS, len(files))) as threads:
            opened = [*threads.map(self._opened, files)]
        problems = [problem for _, found in opened for problem in found]
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            rest = [Problem(f"and {more} more files")] if more > 0 else []
            raise StoreRefused(problems[:_MOST_PROBLEMS] + rest)
        for file, (keys, _) in zip(files, opened, strict=True):
            self._take(file, keys)
        self._pending.clear()

    def _take(self, file: FileId, keys: ChunkKeys | None) -> None:
        if keys is None:
            self._skipped.add(file)
        else:
            self._index.add(file, keys)

    def _opened(self, file: FileId, *, whole: bool = False) -> tuple[ChunkKeys | None, list[Problem]]:
        """A file's keys (None for a kind that holds no retrains), or what is wrong with it."""
        where = f"{self._stores[file.campaign].address}/{file.name}"
        try:
            keys = self._keys(file, whole=whole)
        except ChunkError as error:
            return None, [Problem(str(error).removeprefix(f"{file.name}: "), where, _MOVE_AWAY)]
        if keys.header.kind != "retrains":
            return None, []
        return keys, self._foreign(keys.header, where)

    def _keys(self, file: FileId, *, whole: bool) -> ChunkKeys:
        store = self._stores[file.campaign]
        if not whole and isinstance(store, PartialReads):
            with store.open(file.name) as opened:
                self._sizes[file] = opened.seek(0, os.SEEK_END)
                return decode_keys(opened, name=file.name)
        content = self._content(file)
        self._sizes[file] = len(content)
        return decode_keys(content, name=file.name)

    def _foreign(self, header: ChunkHeader, where: str) -> list[Problem]:
        difference = explain_difference(header.fingerprints, self.fingerprints)
        if difference:
            what, _, mend = difference.rpartition("\n")
            return [Problem(what or mend, where, mend if what else "")]
        if (header.n, header.n_test) != (self.n, self.n_test):
            what = f"n is {header.n}, n_test {header.n_test}; here they are {self.n}, {self.n_test}"
            return [Problem(what, where, _MOVE_AWAY)]
        return []

    def _by_file(self, rows: Iterable[RowId]) -> dict[FileId, dict[int, int]]:
        """For each file the positions asked -> rows in the file; files in the order in which they are first needed."""
        found: dict[FileId, dict[int, int]] = defaultdict(dict)
        for position, row in enumerate(rows):
            place = self._index.place(row)
            if place is None:
                raise StoreRefused(
                    f"retrain {row.key.hex()}, replicate {row.replicate}, is not in the store",
                    mend="`apportion resume JOB` trains what is missing",
                )
            found[place.file][position] = place.row
        return found

    def _losses(self, file: FileId, loss: str, *, with_train: bool) -> LossRows:
        def decoded() -> LossRows:
            return decode_losses(self._content(file), loss, name=file.name, with_train=with_train)

        try:
            return self._decoded.get((file, loss, with_train), decoded)
        except ChunkError as error:
            where = f"{self._stores[file.campaign].address}/{file.name}"
            raise StoreRefused(str(error).removeprefix(f"{file.name}: "), where=where, mend=_MOVE_AWAY) from error

    def _content(self, file: FileId) -> bytes:
        return self._stores[file.campaign].get(file.name)


def _bytes_of(rows: LossRows) -> int:
    train = 0 if rows.train_losses is None else rows.train_losses.nbytes
    return rows.members.nbytes + rows.losses.nbytes + train + rows.failed.nbytes
