"""Which file holds which row: pure, fed with what opening a chunk file gives.

A row that stands in several files counts once: a stored row beats a recorded failure, then the smallest file name
wins (then the smallest campaign id), so that the answer does not depend on the order in which files were met.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.plan import RowId
from workers.chunk_types import ChunkKeys


class FileId(NamedTuple):
    """A chunk file; the order of files is that of their names."""

    name: str
    campaign: str


class Place(NamedTuple):
    """A row's place: the file, and the row in it."""

    file: FileId
    row: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file adds to the store's figures. seconds: of training, summed over its rows."""

    rows: int
    failed: int
    seconds: float
    numeric_class: str
    together: int
    losses: tuple[str, ...] = ()
    bytes: int = 0


class RowIndex:
    """Rows by their names. Memory: about 250 bytes a row."""

    def __init__(self) -> None:
        self.files: dict[FileId, FileFacts] = {}
        self.failures: dict[RowId, str] = {}
        self.repeated = 0
        self._places: dict[RowId, Place] = {}

    def __len__(self) -> int:
        """Number of rows that count, failures too."""
        return len(self._places)

    def add(self, file: FileId, keys: ChunkKeys, size: int = 0) -> None:
        """Take in the rows of a file of `size` bytes; harmless for a file that is known."""
        if file in self.files:
            return
        failed = [reason is not None for reason in keys.failures]
        self.files[file] = FileFacts(
            rows=len(keys.keys),
            failed=sum(failed),
            seconds=float(keys.seconds.sum(dtype="float64")),
            numeric_class=keys.header.numeric_class,
            together=keys.header.together,
            losses=keys.header.losses,
            bytes=size,
        )
        rows = zip(keys.keys, keys.replicates.tolist(), keys.failures, strict=True)
        for row, (key, replicate, reason) in enumerate(rows):
            self._add_row(RowId(key, replicate), Place(file, row), reason)

    def losses(self) -> tuple[str, ...]:
        """Names of losses that any file holds, in the order in which files were met."""
        return tuple(dict.fromkeys(name for facts in self.files.values() for name in facts.losses))

    def place(self, row: RowId) -> Place | None:
        """Where a row stands, None where no file has it."""
        return self._places.get(row)

    def missing(self, rows: Iterable[RowId]) -> list[int]:
        """Positions of rows that no file has, stored or failed."""
        return [position for position, row in enumerate(rows) if row not in self._places]

    def failed(self, rows: Iterable[RowId]) -> dict[int, str]:
        """Positions of rows that failed, with the reason."""
        if not self.failures:
            return {}
        found = ((position, self.failures.get(row)) for position, row in enumerate(rows))
        return {position: reason for position, reason in found if reason is not None}

    def _add_row(self, row: RowId, place: Place, reason: str | None) -> None:
        known = self._places.get(row)
        if known is not None:
            self.repeated += 1
            if (reason is not None, place.file) >= (row in self.failures, known.file):
                return
        self._places[row] = place
        self.failures.pop(row, None)
        if reason is not None:
            self.failures[row] = reason
