"""The views of rows: `retrains` (wide), `losses` and `members` (long), over the read cache, without copying it."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyarrow import dataset as ds

from orchestrator.query.arrow_columns import keys, lists, numbers, one_text, packed, texts_by_place
from orchestrator.query.lazy_dataset import ROWS_A_BATCH, LazyTable, Piece, Say
from orchestrator.store.cached_rows import CachedRows

_ROWS_A_CHUNK = 2**13
LOSSES = pa.schema(
    [
        ("key", pa.large_string()),
        ("replicate", pa.int32()),
        ("test_index", pa.int32()),
        ("loss_name", pa.string()),
        ("loss", pa.float32()),
    ]
)
MEMBERS = pa.schema([("key", pa.large_string()), ("replicate", pa.int32()), ("train_index", pa.int32())])


def retrains_table(rows: CachedRows) -> pa.Table:
    """One row a retrain that did not fail, with its losses as lists: what `loss_at` and `has` work on."""
    facts = rows.facts
    columns = {
        "key": keys(rows.keys),
        "replicate": numbers(rows.replicates),
        "size": numbers(rows.sizes),
        "seed": numbers(rows.seeds),
        "campaign": texts_by_place(rows.file, [campaign for campaign, _ in facts.files]),
        "chunk": numbers(rows.chunk),
        "seconds": numbers(rows.seconds),
        "attempts": numbers(rows.attempts),
        "worker": texts_by_place(rows.worker, list(facts.workers)),
    }
    columns |= {f"mean_{name}": numbers(rows.means[name]) for name in facts.losses}
    columns |= {f"loss_{name}": lists(rows.losses[name]) for name in facts.losses}
    if facts.losses:
        columns["losses"] = columns[f"loss_{facts.losses[0]}"]
    columns["members"] = packed(rows.members)
    table = pa.table(columns)
    starts = range(0, max(table.num_rows, 1), _ROWS_A_CHUNK)
    return pa.concat_tables([table.slice(start, _ROWS_A_CHUNK) for start in starts])


def losses_table(rows: CachedRows, say: Say) -> LazyTable:
    """One row a retrain, test instance and loss; made test instance by test instance from the transposed losses."""
    return LazyTable("losses", LOSSES, partial(_loss_pieces, rows), say)


def members_table(rows: CachedRows, say: Say) -> LazyTable:
    """One row a retrain and training instance in its subset; made instance by instance from the transposed bits."""
    return LazyTable("members", MEMBERS, partial(_member_pieces, rows), say)


def _loss_pieces(rows: CachedRows) -> Sequence[Piece]:
    hexed, replicates = keys(rows.keys), numbers(rows.replicates)

    def batches(name: str, test: int) -> Iterator[pa.RecordBatch]:
        column = rows.columns[name][test]
        for start in range(0, len(rows), ROWS_A_BATCH):
            part = numbers(column[start : start + ROWS_A_BATCH])
            count = len(part)
            batch = [
                hexed.slice(start, count),
                replicates.slice(start, count),
                numbers(np.full(count, test, dtype=np.int32)),
                one_text(name, count),
                part,
            ]
            made = pa.RecordBatch.from_arrays(batch, schema=LOSSES)
            yield _without_absent(made)

    return [
        Piece(_equal(test_index=test) & (ds.field("loss_name") == name), len(rows), partial(batches, name, test))
        for name in rows.facts.losses
        for test in range(rows.facts.n_test)
    ]


def _without_absent(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows whose files hold the loss."""
    absent = np.isnan(batch.column(4).to_numpy(zero_copy_only=False))
    return batch.filter(pa.array(~absent)) if absent.any() else batch


def _member_pieces(rows: CachedRows) -> Sequence[Piece]:
    hexed, replicates = keys(rows.keys), numbers(rows.replicates)
    counts = np.bitwise_count(rows.bits).sum(axis=1, dtype=np.int64)

    def batches(instance: int) -> Iterator[pa.RecordBatch]:
        held = np.flatnonzero(rows.holding(instance))
        for start in range(0, len(held), ROWS_A_BATCH):
            places = numbers(held[start : start + ROWS_A_BATCH])
            index = numbers(np.full(len(places), instance, dtype=np.int32))
            yield pa.RecordBatch.from_arrays([hexed.take(places), replicates.take(places), index], schema=MEMBERS)

    return [
        Piece(_equal(train_index=instance), int(counts[instance]), partial(batches, instance))
        for instance in range(rows.facts.n)
    ]


def _equal(**place: int) -> ds.Expression:
    [(name, value)] = place.items()
    return ds.field(name) == pa.scalar(value, pa.int32())
