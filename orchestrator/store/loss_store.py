"""All rows of all campaigns on one learner and data set, read from their chunk files.

Opening reads keys only, a few kB a file, whose header, page checksums and rows hash are verified. Every read of losses
verifies the hash of the whole file. What is
damaged, foreign, of a newer format or of another data set is refused by name, never skipped.

Files appear whole and are never changed, so a reader beside a writer sees what was there at its last `refresh`.
Not for several threads at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from estimators.arrays import BoolArray, Float32Array
from estimators.subsets import unpack
from orchestrator.errors import Problem, StoreRefused
from orchestrator.plan import RowId
from orchestrator.store.bounded_cache import BoundedCache
from orchestrator.store.chunk_files import Accept, ChunkFiles, holds_retrains
from orchestrator.store.row_index import FileFacts, FileId, Place, RowIndex
from workers.chunk_store import ChunkStore
from workers.chunk_types import Chunk, ChunkRows, Fingerprints, LossRows
from workers.errors import ChunkError

CACHE_BYTES = 2**28
_THREADS = 8
_MOST_PROBLEMS = 20


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

    cache_bytes: how much of decoded losses stays in memory. accept: which files are looked at, by their headers;
    the others are skipped.
    """

    def __init__(
        self,
        stores: Mapping[str, ChunkStore],
        fingerprints: Fingerprints,
        *,
        n: int,
        n_test: int,
        cache_bytes: int = CACHE_BYTES,
        accept: Accept = holds_retrains,
    ) -> None:
        self.fingerprints, self.n, self.n_test = fingerprints, n, n_test
        self.chunks = ChunkFiles(stores, fingerprints, n=n, n_test=n_test, accept=accept)
        self._index = RowIndex()
        self._skipped: set[FileId] = set()
        self._pending: set[FileId] = set()
        self._decoded: BoundedCache[tuple[FileId, str, bool], LossRows] = BoundedCache(cache_bytes, _bytes_of)

    def refresh(self) -> None:
        """List the stores and open files not seen yet; files that are gone take their rows with them.

        Raises StoreRefused naming every file that cannot be of this store, StoreError where a store is not reached.
        """
        there = self.chunks.listed()
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

    def files_of(self, rows: Sequence[RowId]) -> list[FileId | None]:
        """The file in which each row stands, None where no file has it."""
        self._settle()
        places = [self._index.place(row) for row in rows]
        return [None if place is None else place.file for place in places]

    def trained_by(self, campaign: str) -> CampaignFiles:
        """Figures of the files that a campaign itself wrote."""
        self._settle()
        files = {file: facts for file, facts in self._index.files.items() if file.campaign == campaign}
        return CampaignFiles(
            rows=sum(facts.rows for facts in files.values()),
            bytes=sum(facts.bytes for facts in files.values()),
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
            bytes=sum(file.bytes for file in files),
            seconds=sum(file.seconds for file in files),
            numeric_classes=tuple(sorted({file.numeric_class for file in files})),
            together=tuple(sorted({file.together for file in files})),
        )

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that any file holds, in the order of the files that name them first."""
        self._settle()
        return self._index.losses()

    def files(self) -> list[FileId]:
        """The files whose rows are known, as at the last refresh."""
        self._settle()
        return list(self._index.files)

    def file_facts(self) -> dict[FileId, FileFacts]:
        """Figures of each of the files."""
        self._settle()
        return dict(self._index.files)

    def failures(self) -> dict[RowId, str]:
        """Rows that failed for good, with the reason."""
        self._settle()
        return dict(self._index.failures)

    def place(self, row: RowId) -> Place | None:
        """Where a row stands, None where no file has it."""
        return self._index.place(row)

    def stored_rows(self) -> int:
        """Number of rows that count and did not fail."""
        self._settle()
        return len(self._index) - len(self._index.failures)

    def chunk(self, file: FileId) -> Chunk:
        """A file's header and rows; raises StoreRefused where it is damaged."""
        try:
            return self.chunks.chunk(file)
        except ChunkError as error:
            raise StoreRefused([self.chunks.problem(file, error)]) from error

    def counting(self, file: FileId, rows: ChunkRows) -> BoolArray:
        """Which rows [rows] of a file count and did not fail: those that no other file holds in their place."""
        ids = map(RowId, rows.keys, rows.replicates.tolist())
        places = enumerate(ids)
        failed = self._index.failures
        return np.array([self._index.place(row) == (file, place) and row not in failed for place, row in places])

    def verify(self) -> list[Problem]:
        """Read every file whole; what is damaged, foreign or gone, by name. Nothing is changed."""
        files = sorted(self.chunks.listed())
        return [problem for file in files for problem in self.chunks.opened(file, whole=True)[2]]

    def _known(self) -> set[FileId]:
        return {*self._index.files, *self._skipped}

    def _forget(self) -> None:
        self._index = RowIndex()
        self._skipped = set()
        self._decoded.clear()

    def _settle(self) -> None:
        """Open the files that are noted."""
        if not self._pending:
            return
        files = sorted(self._pending)
        with ThreadPoolExecutor(min(_THREADS, len(files))) as threads:
            opened = [*threads.map(self.chunks.opened, files)]
        problems = [problem for *_, found in opened for problem in found]
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            rest = [Problem(f"and {more} more files")] if more > 0 else []
            raise StoreRefused(problems[:_MOST_PROBLEMS] + rest)
        for file, (keys, size, _) in zip(files, opened, strict=True):
            if keys is None:
                self._skipped.add(file)
            else:
                self._index.add(file, keys, size)
        self._pending.clear()

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
        try:
            return self._decoded.get(
                (file, loss, with_train), lambda: self.chunks.losses(file, loss, with_train=with_train)
            )
        except ChunkError as error:
            raise StoreRefused([self.chunks.problem(file, error)]) from error


def _bytes_of(rows: LossRows) -> int:
    train = 0 if rows.train_losses is None else rows.train_losses.nbytes
    return rows.members.nbytes + rows.losses.nbytes + train + rows.failed.nbytes
