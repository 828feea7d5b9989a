"""A chunk as bytes and back: one Parquet file (columns: `workers.chunk_schema`), read by plain pyarrow and DuckDB too.

Losses have no dictionary, byte-stream-split and zstd 1 (3.4 bytes a loss). Every page carries a checksum, and every
read here verifies it, the schema, and what the rows must obey. The hash in the file's name covers the whole file:
`decode` and `decode_losses` verify it before anything is parsed, `decode_keys` verifies the rows hash, which covers
everything that it returns about a row's identity.
"""

import io
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from estimators.arrays import AnyArray, BoolArray, ByteArray, Float32Array, IntArray, SeedArray
from workers.chunk_name import ChunkName, chunk_name, parse_name, parsed_of_any_kind, rows_hash, verify_content
from workers.chunk_rows import check_keys, check_losses, check_rows
from workers.chunk_schema import (
    KEY_COLUMNS,
    decode_header,
    loss_column,
    loss_columns,
    loss_type,
    schema_of,
    train_loss_column,
)
from workers.chunk_types import Chunk, ChunkHeader, ChunkKeys, ChunkRows, LossRows, Precision
from workers.errors import ChunkError

__all__ = ["chunk_name", "decode", "decode_keys", "decode_losses", "encode", "parse_name"]

MOST_DECODED_BYTES = 2**32
MOST_ROWS = 10**7
LARGEST_FLOAT16 = 65504.0
_BROKEN = (pa.ArrowException, OSError, ValueError, KeyError)


def encode(header: ChunkHeader, rows: ChunkRows) -> bytes:
    """The chunk as a Parquet file: the same bytes for the same header and rows.

    Raises ChunkError where the rows do not fit the header, a key stands twice, or a row without a failure has a loss
    that is not finite.
    """
    if header.kind == "walks":
        raise ChunkError("walks are written by workers.walk_file")
    check_rows(header, rows)
    failed = np.array([reason is not None for reason in failures_of(rows)], dtype=np.bool_)
    columns = [*row_columns(rows), _fixed_binary(rows.members)]
    columns += [loss_list(rows.losses[name], failed, header.precision) for name in header.losses]
    columns += [loss_list(rows.train_losses[name], failed, header.precision) for name in header.train_losses]
    return file_of(header, columns)


class RowFacts(Protocol):
    """What every row of every kind says of itself."""

    @property
    def keys(self) -> tuple[bytes, ...]: ...
    @property
    def replicates(self) -> IntArray: ...
    @property
    def sizes(self) -> IntArray: ...
    @property
    def seeds(self) -> SeedArray: ...
    @property
    def seconds(self) -> Float32Array: ...
    @property
    def attempts(self) -> IntArray: ...
    @property
    def failures(self) -> tuple[str | None, ...]: ...


def row_columns(rows: RowFacts) -> list[pa.Array]:
    """The columns that chunks of every kind begin with."""
    return [
        _fixed_binary(np.frombuffer(b"".join(rows.keys), dtype=np.uint8).reshape(len(rows.keys), -1)),
        pa.array(rows.replicates.astype(np.int32)),
        pa.array(rows.sizes.astype(np.int32)),
        pa.array(rows.seeds),
        pa.array(rows.seconds),
        pa.array(rows.attempts.astype(np.int32)),
        pa.array(failures_of(rows), pa.string()),
    ]


def file_of(header: ChunkHeader, columns: list[pa.Array]) -> bytes:
    """The Parquet file of a header and its columns, in the order of its schema."""
    table = pa.Table.from_arrays(columns, schema=schema_of(header))
    return _parquet(table, [f"{name}.list.element" for name in loss_columns(header)])


def decode(content: bytes, *, name: str | None = None) -> Chunk:
    """Header and rows of a chunk file; `name` adds the check of the whole file's hash.

    Raises ChunkError, which begins with the name: damaged, foreign, of a newer format, or rows that cannot be.
    """
    parsed = None if name is None else verify_content(name, content)
    with Named(name):
        header, table = read_table(io.BytesIO(content), None)
        if header.kind == "walks":
            raise ChunkError("it holds walks, which workers.walk_file reads")
        rows = _rows(header, table)
        check_rows(header, rows)
        _check_name(parsed, header, rows_hash(rows.keys, rows.replicates))
        return Chunk(header, rows)


def decode_keys(source: bytes | BinaryIO, *, name: str | None = None) -> ChunkKeys:
    """What opening a store needs of a chunk: header, keys, replicates, failures, seconds; no losses are read.

    Of an open file a few kB are read, whatever its losses weigh, so its content hash is not verified here; header,
    schema, page checksums, and the rows hash and chunk number in `name` are. Raises ChunkError.
    """
    parsed = (
        None
        if name is None
        else (verify_content(name, source) if isinstance(source, bytes) else parsed_of_any_kind(name))
    )
    with Named(name):
        header, table = read_table(io.BytesIO(source) if isinstance(source, bytes) else source, list(KEY_COLUMNS))
        keys = ChunkKeys(
            header=header,
            keys=tuple(table["key"].to_pylist()),
            replicates=table["replicate"].to_numpy().astype(np.int64),
            failures=tuple(table["failure"].to_pylist()),
            seconds=table["seconds"].to_numpy(),
        )
        check_keys(keys.keys, keys.replicates)
        _check_name(parsed, header, rows_hash(keys.keys, keys.replicates))
        return keys


def decode_losses(content: bytes, loss: str, *, name: str, with_train: bool = False) -> LossRows:
    """Members and one loss of a chunk file whose whole hash is verified.

    Raises ChunkError where it is damaged or does not hold the loss (or, with_train, the loss on training instances).
    """
    verify_content(name, content)
    with Named(name):
        wanted = [loss_column(loss)] + ([train_loss_column(loss)] if with_train else [])
        header, table = read_table(io.BytesIO(content), ["members", "failure", *wanted])
        failed = np.array([reason is not None for reason in table["failure"].to_pylist()], dtype=np.bool_)
        arrays = [losses_of_column(table[column], failed) for column in wanted]
        for column, array in zip(wanted, arrays, strict=True):
            check_losses(column, array, failed)
        return LossRows(
            members=_bytes(table["members"], (header.n + 7) // 8),
            losses=arrays[0],
            train_losses=arrays[1] if with_train else None,
            failed=failed,
            train_version=header.fingerprints.train,
        )


def failures_of(rows: RowFacts) -> tuple[str | None, ...]:
    """Reasons a row, None where it did not fail; `ChunkRows.failures` may be left empty."""
    return rows.failures or (None,) * len(rows.keys)


class Named:
    """Errors of reading a chunk, each as a ChunkError that begins with the file's name."""

    def __init__(self, name: str | None) -> None:
        self._head = "" if name is None else f"{name}: "

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ChunkError):
            raise ChunkError(f"{self._head}{error}") from error
        if isinstance(error, _BROKEN):
            raise ChunkError(f"{self._head}damaged or no chunk: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def read_table(file: BinaryIO, columns: list[str] | None) -> tuple[ChunkHeader, pa.Table]:
    """The header and the columns asked for (None: all); page checksums and the schema are verified."""
    reader = parquet.ParquetFile(file, page_checksum_verification=True)
    header = decode_header(reader.schema_arrow.metadata)
    if not reader.schema_arrow.equals(schema_of(header)):
        raise ChunkError("its columns are not those that its header says")
    absent = [column for column in columns or () if column not in reader.schema_arrow.names]
    if absent:
        raise ChunkError(f"it has no column {', '.join(absent)}; its losses are {', '.join(header.losses)}")
    _refuse_bombs(header, reader.metadata.num_rows)
    return header, reader.read(columns=columns, use_threads=False)


def _refuse_bombs(header: ChunkHeader, rows: int) -> None:
    decoded = rows * 4 * sum(loss_columns(header).values())
    if decoded > MOST_DECODED_BYTES or rows > MOST_ROWS:
        raise ChunkError(f"its {rows} rows would take {decoded} bytes of memory, more than {MOST_DECODED_BYTES}")


def _rows(header: ChunkHeader, table: pa.Table) -> ChunkRows:
    failures = tuple(table["failure"].to_pylist())
    failed = np.array([reason is not None for reason in failures], dtype=np.bool_)
    return ChunkRows(
        keys=tuple(table["key"].to_pylist()),
        members=_bytes(table["members"], (header.n + 7) // 8),
        sizes=table["size"].to_numpy().astype(np.int64),
        seeds=table["seed"].to_numpy(),
        replicates=table["replicate"].to_numpy().astype(np.int64),
        seconds=table["seconds"].to_numpy(),
        attempts=table["attempts"].to_numpy().astype(np.int64),
        losses={name: losses_of_column(table[loss_column(name)], failed) for name in header.losses},
        train_losses={name: losses_of_column(table[train_loss_column(name)], failed) for name in header.train_losses},
        failures=failures,
    )


def _check_name(parsed: ChunkName | None, header: ChunkHeader, rows: str) -> None:
    if parsed is not None and (parsed.kind, parsed.chunk, parsed.rows) != (header.kind, header.chunk, rows):
        raise ChunkError(f"holds chunk {header.chunk} of {header.kind} with rows {rows}, which its name does not say")


def _parquet(table: pa.Table, byte_stream_split: list[str]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(
        table,
        stream,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        column_encoding=dict.fromkeys(byte_stream_split, "BYTE_STREAM_SPLIT"),
        write_statistics=False,
        write_page_checksum=True,
    )
    return stream.getvalue()


def _fixed_binary(rows: ByteArray) -> pa.Array:
    count, width = rows.shape
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), count, [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )


def loss_list(losses: Float32Array, failed: BoolArray, precision: Precision = "float32") -> pa.Array:
    """A column of losses [rows, length], nulls in failed rows; raises ChunkError where float16 cannot hold one."""
    count, length = losses.shape
    nulls = np.repeat(failed, length) if failed.any() else None
    flat = np.ascontiguousarray(losses).reshape(-1)
    values = pa.array(_halved(flat) if precision == "float16" else flat, mask=nulls)
    kind = loss_type(precision, length)
    return pa.FixedSizeListArray.from_arrays(values, type=kind) if count else pa.array([], kind)


def _halved(losses: AnyArray) -> AnyArray:
    """Rounded to the nearest float16: by at most 2^-11 of a loss above 6.1e-5, by at most 3e-8 of a smaller one."""
    largest = np.abs(losses, where=np.isfinite(losses), out=np.zeros_like(losses)).max(initial=0.0)
    if largest >= LARGEST_FLOAT16:
        raise ChunkError(f"a loss of {largest:g} does not fit into float16: keep this job's losses in float32")
    return losses.astype(np.float16)


def _bytes(column: pa.ChunkedArray, width: int) -> ByteArray:
    packed = b"".join(column.to_pylist())
    return np.frombuffer(packed, dtype=np.uint8).reshape(len(column), width)


def losses_of_column(column: pa.ChunkedArray, failed: BoolArray) -> Float32Array:
    """Losses [rows, length] with NaN in failed rows; raises ChunkError where other elements are null."""
    length = column.type.list_size
    values = column.combine_chunks().flatten()
    if values.null_count != int(failed.sum()) * length:
        raise ChunkError(f"{values.null_count} losses are null where {int(failed.sum())} rows of {length} failed")
    flat: AnyArray = values.to_numpy(zero_copy_only=False)
    losses: Float32Array = flat.reshape(len(column), length).astype(np.float32, copy=False)
    return losses
