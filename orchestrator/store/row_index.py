"""Which file holds which row: pure, fed with what opening a chunk file gives, or with a manifest's table.

A row that stands in several files counts once: a stored row beats a recorded failure, then the smallest file name
wins (then the smallest campaign id), so that the answer does not depend on the order in which files were met.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

from orchestrator.plan import RowId
from orchestrator.store.row_names import FileFacts, FileId, Place
from orchestrator.store.row_table import RowTable
from workers.chunk_types import ChunkKeys

__all__ = ["Counting", "FileFacts", "FileId", "Place", "RowIndex"]

Counting = dict[RowId, tuple[FileId, int, str | None]]
"""Row -> the file where it counts, the row in it, and why it failed."""


class RowIndex:
    """Rows by their names. Memory: about 250 bytes a row, 40 for one of a manifest."""

    def __init__(self) -> None:
        self.failures: dict[RowId, str] = {}
        self.repeated = 0
        self._files: dict[FileId, FileFacts] = {}
        self._tables: list[RowTable] = []
        self._places: dict[RowId, Place] = {}
        self._failed_here: set[RowId] = set()
        self._rows = 0

    def __len__(self) -> int:
        """Number of rows that count, failures too."""
        return self._rows

    @property
    def files(self) -> dict[FileId, FileFacts]:
        """Every file with its figures; of a manifest's files a new record each."""
        return dict(self.facts_of_files())

    def facts_of_files(self) -> Iterator[tuple[FileId, FileFacts]]:
        """The files one by one."""
        for table in self._tables:
            for file in range(len(table.files.rows)):
                yield table.file_id(file), table.files.facts(file)
        yield from self._files.items()

    def files_one_by_one(self) -> dict[FileId, FileFacts]:
        """The files that no manifest names."""
        return self._files

    @property
    def tables(self) -> tuple[RowTable, ...]:
        """The manifests' tables."""
        return tuple(self._tables)

    def add(self, file: FileId, keys: ChunkKeys, size: int = 0) -> None:
        """Take in the rows of a file of `size` bytes; harmless for a file that is known."""
        facts = FileFacts(
            rows=len(keys.keys),
            failed=sum(reason is not None for reason in keys.failures),
            seconds=float(keys.seconds.sum(dtype="float64")),
            numeric_class=keys.header.numeric_class,
            together=keys.header.together,
            losses=keys.header.losses,
            bytes=size,
        )
        self.add_rows(file, facts, keys.keys, keys.replicates.tolist(), keys.failures)

    def add_rows(
        self,
        file: FileId,
        facts: FileFacts,
        keys: Sequence[bytes],
        replicates: Sequence[int],
        failures: Iterable[str | None] = repeat(None),
    ) -> None:
        """The same of a file whose writer says what is in it. failures: reasons, None where a row did not fail."""
        if file in self._files:
            return
        self._files[file] = facts
        for row, (key, replicate, reason) in enumerate(zip(keys, replicates, failures, strict=False)):
            self._add_row(RowId(key, replicate), Place(file, row), reason)

    def add_table(self, table: RowTable) -> None:
        """Take in a manifest's rows; tables come before single files."""
        known = sum(int((other.find_arrays(table.keys, table.replicates) >= 0).sum()) for other in self._tables)
        self.repeated += known
        self._rows += len(table) - known
        stored = table.failed()
        for row, position in zip(list(self.failures), table.find(list(self.failures)), strict=True):
            if position >= 0 and not stored[position]:
                del self.failures[row]
        failed = table.ids(table.reasons)
        elsewhere = self._stored_in_tables(failed)
        for row, reason, is_stored in zip(failed, table.reasons.values(), elsewhere, strict=True):
            if not is_stored:
                self.failures[row] = reason
        self._tables.append(table)

    def losses(self) -> tuple[str, ...]:
        """Names of losses that any file holds, in the order in which files were met."""
        lists = [text.split(",") for table in self._tables for text in table.files.losses.unique().to_pylist()]
        lists += [list(facts.losses) for facts in self._files.values()]
        return tuple(dict.fromkeys(name for names in lists for name in names))

    def place(self, row: RowId) -> Place | None:
        """Where a row stands, None where no file has it."""
        return self.places([row])[0]

    def places(self, rows: Sequence[RowId]) -> list[Place | None]:
        """The same for many rows at once."""
        found = [self._places.get(row) for row in rows]
        for table in self._tables:
            for asked, position in enumerate(table.find(rows).tolist()):
                if position >= 0:
                    found[asked] = self._better(rows[asked], found[asked], table, position)
        return found

    def rows_of(self, campaign: str) -> Counting:
        """Rows that stand in a campaign's own files."""
        found: Counting = {}
        for table in self._tables:
            if table.campaign == campaign:
                for position, row in enumerate(table.ids(range(len(table)))):
                    found[row] = (*table.place(position), table.reasons.get(position))
        for row, place in self._places.items():
            if place.file.campaign == campaign:
                here = (*place, self.failures.get(row, "") if row in self._failed_here else None)
                known = found.get(row, here)
                found[row] = min(known, here, key=lambda each: (each[2] is not None, each[0]))
        return found

    def missing(self, rows: Iterable[RowId]) -> list[int]:
        """Positions of rows that no file has, stored or failed."""
        asked = list(rows)
        absent = [position for position, row in enumerate(asked) if row not in self._places]
        for table in self._tables:
            found = table.find([asked[position] for position in absent])
            absent = [position for position, there in zip(absent, found, strict=True) if there < 0]
        return absent

    def failed(self, rows: Iterable[RowId]) -> dict[int, str]:
        """Positions of rows that failed, with the reason."""
        if not self.failures:
            return {}
        found = ((position, self.failures.get(row)) for position, row in enumerate(rows))
        return {position: reason for position, reason in found if reason is not None}

    def _better(self, row: RowId, known: Place | None, table: RowTable, position: int) -> Place:
        """The place that counts, of one known and one in a table."""
        here = table.place(position)
        if known is None:
            return here
        if row in self.failures:  # every place of it is a failure
            return min(known, here, key=lambda place: place.file)
        failed_here, failed_known = position in table.reasons, self._is_failure(row, known)
        return min((failed_known, known.file, known), (failed_here, here.file, here))[2]

    def _is_failure(self, row: RowId, place: Place) -> bool:
        if place == self._places.get(row):
            return row in self._failed_here
        for table in self._tables:
            if table.campaign == place.file.campaign:
                [position] = table.find([row])
                if position >= 0 and table.place(int(position)) == place:
                    return int(position) in table.reasons
        return False

    def _stored_in_tables(self, rows: Sequence[RowId]) -> list[bool]:
        stored = [False] * len(rows)
        for table in self._tables:
            for asked, position in enumerate(table.find(rows).tolist()):
                stored[asked] |= position >= 0 and position not in table.reasons
        return stored

    def _add_row(self, row: RowId, place: Place, reason: str | None) -> None:
        known = self._places.get(row)
        in_tables = self._tables and any(table.find([row])[0] >= 0 for table in self._tables)
        if known is not None or in_tables:
            self.repeated += 1
        else:
            self._rows += 1
        if known is not None and (reason is not None, place.file) >= (row in self._failed_here, known.file):
            return
        self._keep(row, place, reason, in_tables=bool(in_tables))

    def _keep(self, row: RowId, place: Place, reason: str | None, *, in_tables: bool) -> None:
        self._places[row] = place
        if reason is None:
            self._failed_here.discard(row)
            self.failures.pop(row, None)
            return
        self._failed_here.add(row)
        if not in_tables or not self._stored_in_tables([row])[0]:
            self.failures[row] = reason
