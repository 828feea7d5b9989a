"""A table that is made when it is read, and only as much of it as the question asks.

DuckDB hands an Arrow data set the columns and the filter of a question. Here a table is a list of pieces, each with
what holds for all of its rows (`test_index == 17`); Arrow finds out which pieces a filter leaves over, and only their
rows are made. So a filter on a test instance is applied before anything is unnested.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import dataset as ds
from pyarrow import fs

ROWS_A_BATCH = 2**16
_SECONDS_BEFORE_PREDICTING = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of which `holds` is true (an Arrow expression over equal columns); rows: how many.

    batches: makes them, in batches of at most ROWS_A_BATCH.
    """

    holds: Any
    rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


class LazyTable(ds.Dataset):  # type: ignore[misc] # pyarrow has no stubs
    """Pieces as a data set for DuckDB. pieces: called once, when the table is first read.

    say: told, for a reading that takes longer than a second, when it will be done.
    """

    def __init__(self, name: str, schema: pa.Schema, pieces: Callable[[], Sequence[Piece]], say: Say) -> None:
        self._name, self._schema, self._say = name, schema, say
        self._make = pieces
        self._pieces: Sequence[Piece] | None = None
        self._index: ds.FileSystemDataset | None = None

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table."""
        return self._schema

    def scanner(self, columns: list[str] | None = None, filter: Any = None, **options: Any) -> ds.Scanner:  # noqa: A002 - pyarrow's own name
        """The rows that a question needs, made as they are read."""
        del options
        chosen = self._chosen(filter)
        return ds.Scanner.from_batches(
            self._batches(chosen), schema=self._schema, columns=columns, filter=filter, use_threads=False
        )

    def _chosen(self, wanted: Any) -> list[Piece]:
        if self._pieces is None:
            self._pieces = self._make()
            # stand-ins without files: Arrow decides by what holds for each which of them a filter can leave over
            kind, nowhere = ds.ParquetFileFormat(), fs.LocalFileSystem()
            stands = [
                kind.make_fragment(str(place), filesystem=nowhere, partition_expression=piece.holds)
                for place, piece in enumerate(self._pieces)
            ]
            self._index = ds.FileSystemDataset(stands, self._schema, kind, filesystem=nowhere)
        if wanted is None or self._index is None:
            return list(self._pieces)
        return [self._pieces[int(stand.path)] for stand in self._index.get_fragments(wanted)]

    def _batches(self, pieces: list[Piece]) -> Iterator[pa.RecordBatch]:
        began, done, told = time.monotonic(), 0, False
        total = sum(piece.rows for piece in pieces)
        for piece in pieces:
            for batch in piece.batches():
                yield batch
                done += batch.num_rows
                spent = time.monotonic() - began
                if not told and spent > _SECONDS_BEFORE_PREDICTING and done:
                    told = True
                    left = spent * (total - done) / done
                    self._say(
                        f"note: the question reads {total:,} rows of `{self._name}`, about {left:.0f} s more; "
                        f"{_quicker(self._name)}"
                    )


def _quicker(name: str) -> str:
    if name == "losses":
        return "a condition on test_index or loss_name, or loss_at(TEST) on `retrains`, is quicker"
    return "a condition on train_index, or has(INSTANCE) on `retrains`, is quicker"
