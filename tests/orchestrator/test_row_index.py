"""Which file counts for a row, whatever the order in which files are met."""

from itertools import permutations

import numpy as np
import pytest
from chunk_examples import header

from orchestrator.plan import RowId
from orchestrator.store.row_index import FileId, Place, RowIndex
from workers.chunk_types import ChunkKeys

A, B, C = (RowId(letter * 16, 0) for letter in (b"a", b"b", b"c"))


def keys(*rows, **facts):
    named, reasons = zip(*rows, strict=True)
    return ChunkKeys(
        header=header(**facts),
        keys=tuple(row.key for row in named),
        replicates=np.array([row.replicate for row in named]),
        failures=reasons,
        seconds=np.full(len(rows), 0.5, dtype=np.float32),
    )


FILES = {
    FileId("1", "x"): keys((A, None), (B, "first reason")),
    FileId("2", "x"): keys((B, "second reason"), (C, "third reason")),
    FileId("3", "a"): keys((C, None), (A, None), numeric_class="cuda", together=8),
    FileId("3", "b"): keys((C, None)),
}


@pytest.mark.parametrize("order", list(permutations(FILES)))
def test_a_stored_row_beats_a_failure_and_then_the_smallest_name_wins(order):
    index = RowIndex()
    for file in order:
        index.add(file, FILES[file])
    assert index.place(A) == Place(FileId("1", "x"), 0)
    assert index.place(B) == Place(FileId("1", "x"), 1)
    assert index.place(C) == Place(FileId("3", "a"), 0)
    assert index.failures == {B: "first reason"}
    assert (len(index), index.repeated) == (3, 4)


def test_missing_and_failed_are_told_by_position():
    index = RowIndex()
    other = RowId(A.key, 1)
    assert index.missing([A, B, A]) == [0, 1, 2]
    index.add(FileId("1", "x"), FILES[FileId("1", "x")])
    assert index.missing([other, A, C, B, C]) == [0, 2, 4]
    assert index.failed([A, B, C, B]) == {1: "first reason", 3: "first reason"}
    assert index.place(C) is None


def test_a_file_met_twice_counts_once():
    index = RowIndex()
    for _ in range(2):
        index.add(FileId("1", "x"), FILES[FileId("1", "x")])
    assert (len(index), index.repeated, len(index.files)) == (2, 0, 1)
    facts = index.files[FileId("1", "x")]
    assert (facts.rows, facts.failed, facts.seconds) == (2, 1, 1.0)
