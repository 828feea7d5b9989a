"""All rows of all campaigns on one learner and data set, read from their chunk files.

Opening reads a campaign's manifest, or keys only, a few kB a file, whose header, page checksums and rows hash are
verified. Every read of losses verifies the hash of the whole file. What is damaged, foreign, of a newer format or of
another data set is refused by name, never skipped.

Files appear whole and are never changed, so a reader beside a writer sees what was there at its last `refresh`. Small
files may be joined to a large one and removed meanwhile: a reader that misses one finds its rows there.
Not for several threads at once.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from estimators.arrays import BoolArray
from orchestrator.errors import Problem, StoreRefused
from orchestrator.plan import RowId
from orchestrator.store.chunk_files import Accept, ChunkFiles, any_header
from orchestrator.store.figures import CampaignFiles, StoreFacts, campaign_files, store_facts
from orchestrator.store.manifest import ManifestFacts, decode_manifest
from orchestrator.store.moved_rows import Moved
from orchestrator.store.row_index import Counting, FileFacts, FileId, Place, RowIndex
from orchestrator.store.row_names import WrittenRows
from orchestrator.store.row_reader import RowReader
from orchestrator.store.stored_rows import StoredRows
from workers.chunk_store import ChunkStore
from workers.chunk_types import Chunk, ChunkKeys, ChunkRows, Fingerprints
from workers.errors import ChunkError, StoreError

CACHE_BYTES = 2**28
_THREADS = 8
_MOST_PROBLEMS = 20
_TRIES = 3

log = logging.getLogger(__name__)


class LossStore:
    """Rows by name. stores: campaign id -> its chunk store; all must be of `fingerprints`, n and n_test.

    manifests: campaign id -> its manifest, where one holds. cache_bytes: how much of decoded losses stays in memory.
    kind: of chunk files. accept: which of them are looked at, by their headers; the others are skipped.
    """

    def __init__(
        self,
        stores: Mapping[str, ChunkStore],
        fingerprints: Fingerprints,
        *,
        n: int,
        n_test: int,
        manifests: Mapping[str, str] | None = None,
        cache_bytes: int = CACHE_BYTES,
        kind: str = "retrains",
        accept: Accept = any_header,
        moved: Mapping[str, Moved] | None = None,
    ) -> None:
        self.fingerprints, self.n, self.n_test = fingerprints, n, n_test
        self.chunks = ChunkFiles(stores, fingerprints, n=n, n_test=n_test, kind=kind, accept=accept, moved=moved)
        self._given_manifests = {campaign: name for campaign, name in (manifests or {}).items() if name}
        self._manifests = dict(self._given_manifests)
        self._taken = False
        self._index = RowIndex()
        self._skipped: set[FileId] = set()
        self._pending: set[FileId] = set()
        self._reader = RowReader(self.chunks, cache_bytes)

    def refresh(self, *, listing: bool = False) -> None:
        """See what is there: open files not seen yet; files that are gone take their rows with them.

        A campaign with a manifest is not listed, unless `listing` (a driver's view, which finds files that are gone).
        Raises StoreRefused naming every file that cannot be of this store, StoreError where a store is not reached.
        """
        for left in reversed(range(_TRIES)):
            self._take_manifests()
            there = self.chunks.listed(without=() if listing else self._manifests)
            if self._known(listing=listing) - there:
                self._forget(manifests=not listing)
                there = self.chunks.listed(without=() if listing else self._manifests)
            self._pending = there - self._known(listing=listing)
            try:
                self._settle()
            except StoreError:  # a file that was listed is gone: it was joined to a larger one meanwhile
                if not left or self.chunks.listed(without=() if listing else self._manifests) == there:
                    raise
            else:
                return

    def add(self, campaign: str, name: str, *, written: WrittenRows | None = None) -> None:
        """Note a file that is in the store; it is opened when rows are asked for, unless its writer says of them."""
        file = FileId(name, campaign)
        if written is not None:
            self._index.add_rows(file, written.facts, written.keys, written.replicates)
        elif file not in self._index.files_one_by_one() and file not in self._skipped:
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
        try:
            return self._reader.rows(self._places(rows), loss, with_train=with_train)
        except StoreError:  # a file is gone since the last refresh: joined to a larger one, whose rows are the same
            self._forget(manifests=False)
            self.refresh(listing=True)
            return self._reader.rows(self._places(rows), loss, with_train=with_train)

    def files_of(self, rows: Sequence[RowId]) -> list[FileId | None]:
        """The file in which each row stands, None where no file has it."""
        self._settle()
        places = self._index.places(list(rows))
        return [None if place is None else place.file for place in places]

    def trained_by(self, campaign: str) -> CampaignFiles:
        """Figures of the files that a campaign itself wrote."""
        self._settle()
        return campaign_files(self._index, campaign)

    def facts(self) -> StoreFacts:
        """Figures of what the store holds."""
        self._settle()
        return store_facts(self._index)

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

    def rows_of(self, campaign: str) -> Counting:
        """Rows that stand in a campaign's own files, with their places and the reasons of those that failed."""
        self._settle()
        return self._index.rows_of(campaign)

    def place(self, row: RowId) -> Place | None:
        """Where a row stands, None where no file has it."""
        return self._index.place(row)

    def contents(self) -> list[str]:
        """What the store's rows stand in, one line a manifest or file that none names: equal lines, equal rows."""
        self._settle()
        lists = [f"{campaign}/{name}" for campaign, name in self._manifests.items()]
        return sorted([*lists, *(f"{file.campaign}/{file.name}" for file in self._index.files_one_by_one())])

    def stored_rows(self) -> int:
        """Number of rows that count and did not fail."""
        self._settle()
        return len(self._index) - len(self._index.failures)

    def keys(self, file: FileId) -> ChunkKeys:
        """A file's header and which rows it holds; raises StoreRefused where it is damaged or foreign."""
        keys, _, problems = self.chunks.opened(file)
        if keys is None or problems:
            raise StoreRefused(problems or f"{file.name} holds no retrains")
        return keys

    def chunk(self, file: FileId) -> Chunk:
        """A file's header and rows; raises StoreRefused where it is damaged."""
        try:
            return self.chunks.chunk(file)
        except ChunkError as error:
            raise StoreRefused([self.chunks.problem(file, error)]) from error

    def counting(self, file: FileId, rows: ChunkRows) -> BoolArray:
        """Which rows [rows] of a file count, failures too: those that no other file holds in their place."""
        places = self._index.places(list(map(RowId, rows.keys, rows.replicates.tolist())))
        return np.array([there == (file, row) for row, there in enumerate(places)], dtype=np.bool_)

    def verify(self) -> list[Problem]:
        """Read every file whole; what is damaged, foreign or gone, by name. Nothing is changed."""
        files = sorted(self.chunks.listed())
        return [problem for file in files for problem in self.chunks.opened(file, whole=True)[2]]

    def _known(self, *, listing: bool) -> set[FileId]:
        """Files whose rows are known; listing: those of manifests too."""
        return {*(self._index.files if listing else self._index.files_one_by_one()), *self._skipped}

    def _forget(self, *, manifests: bool) -> None:
        """Begin anew; manifests: those are taken again, else every file is opened."""
        self._index = RowIndex()
        self._skipped = set()
        self._manifests = dict(self._given_manifests) if manifests else {}
        self._taken = False
        self._reader.clear()

    def _take_manifests(self) -> None:
        """Read the manifests; one that is damaged, or of something else, is passed over, and its campaign listed."""
        if self._taken:
            return
        for campaign, name in list(self._manifests.items()):
            try:
                facts, table = decode_manifest(name, self.chunks.stores[campaign].get(name))
            except (ChunkError, StoreError) as error:
                log.warning("the chunks of %s are listed one by one: %s", campaign, str(error).partition("\n")[0])
                del self._manifests[campaign]
                continue
            if facts == ManifestFacts(campaign, self.fingerprints, self.n, self.n_test):
                self._index.add_table(table)
            else:
                del self._manifests[campaign]
        self._taken = True

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

    def _places(self, rows: Sequence[RowId]) -> list[Place]:
        """Where the rows stand; raises StoreRefused where one is nowhere."""
        rows = list(rows)
        places = self._index.places(rows)
        absent = next((row for row, place in zip(rows, places, strict=True) if place is None), None)
        if absent is not None:
            raise StoreRefused(
                f"retrain {absent.key.hex()}, replicate {absent.replicate}, is not in the store",
                mend="`apportion resume JOB` trains what is missing",
            )
        return [place for place in places if place is not None]
