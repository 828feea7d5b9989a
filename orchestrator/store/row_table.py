"""Rows of many files as arrays sorted by key: what a manifest holds, and what a million rows are looked up in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from estimators.arrays import AnyArray, BoolArray, ByteArray, IntArray
from orchestrator.plan import RowId
from orchestrator.store.row_names import FileFacts, FileId, Place


@dataclass(frozen=True, slots=True)
class FileTable:
    """F files of one campaign. names, numeric_classes and losses (joined by commas) as Arrow text; the rest [F]."""

    names: pa.Array
    rows: IntArray
    failed: IntArray
    seconds: AnyArray
    bytes: IntArray
    numeric_classes: pa.Array
    together: IntArray
    losses: pa.Array

    def facts(self, place: int) -> FileFacts:
        """What one file adds to the store's figures."""
        return FileFacts(
            rows=int(self.rows[place]),
            failed=int(self.failed[place]),
            seconds=float(self.seconds[place]),
            numeric_class=self.numeric_classes[place].as_py(),
            together=int(self.together[place]),
            losses=tuple(self.losses[place].as_py().split(",")),
            bytes=int(self.bytes[place]),
        )


@dataclass(frozen=True, slots=True)
class RowTable:
    """Rows of one campaign's files, sorted by key.

    keys: [R, 16] uint8. high: [R] uint64, the first half of each key, ascending. replicates, file (place in
    `files`) and row (in that file): [R]. reasons: position -> why that row failed.
    """

    campaign: str
    files: FileTable
    keys: ByteArray
    high: AnyArray
    replicates: IntArray
    file: IntArray
    row: IntArray
    reasons: dict[int, str]

    def __len__(self) -> int:
        """R."""
        return len(self.high)

    def find(self, rows: Sequence[RowId]) -> IntArray:
        """Positions of the rows asked, -1 where they are not here."""
        if not rows:
            return np.zeros(0, dtype=np.int64)
        asked = np.frombuffer(b"".join(row.key for row in rows), dtype=np.uint8).reshape(len(rows), -1)
        replicates = np.fromiter((row.replicate for row in rows), dtype=np.int64, count=len(rows))
        return self.find_arrays(asked, replicates)

    def find_arrays(self, keys: ByteArray, replicates: IntArray) -> IntArray:
        """The same for keys [A, 16] and replicates [A]."""
        high = first_halves(keys)
        place = np.searchsorted(self.high, high)
        found = np.full(len(high), -1, dtype=np.int64)
        asked = np.arange(len(high))
        while len(asked):  # once for each row of equal first halves: replicates of one subset
            asked = asked[place[asked] < len(self)]
            asked = asked[self.high[place[asked]] == high[asked]]
            here = place[asked]
            same = (self.keys[here] == keys[asked]).all(axis=1) & (self.replicates[here] == replicates[asked])
            found[asked[same]] = here[same]
            asked = asked[~same]
            place[asked] += 1
        return found

    def place(self, position: int) -> Place:
        """Where a row stands."""
        return Place(self.file_id(int(self.file[position])), int(self.row[position]))

    def file_id(self, file: int) -> FileId:
        """A file's name and campaign."""
        return FileId(self.files.names[file].as_py(), self.campaign)

    def ids(self, positions: Iterable[int]) -> list[RowId]:
        """Names of rows."""
        return [RowId(self.keys[each].tobytes(), int(self.replicates[each])) for each in positions]

    def failed(self) -> BoolArray:
        """Which rows [R] failed."""
        failed = np.zeros(len(self), dtype=np.bool_)
        failed[list(self.reasons)] = True
        return failed


def first_halves(keys: ByteArray) -> AnyArray:
    """The first 8 bytes of each key [R, 16] as a number, in the order of the bytes: [R] uint64."""
    halves: AnyArray = np.ascontiguousarray(keys[:, :8]).view(">u8").ravel().astype(np.uint64)
    return halves
