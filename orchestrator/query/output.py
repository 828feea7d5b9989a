"""Answers as a table for people, CSV, JSON or Parquet, written batch by batch."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from types import MappingProxyType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from orchestrator.export import safe_cell
from orchestrator.wording import shown

ROWS_SHOWN = 40
_WIDEST = 40
_LIST_SHOWN = 4


def write_csv(reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
    """The rows as CSV; text that a spreadsheet would run as a formula has an apostrophe before it. Returns rows."""
    schema = pa.schema([(safe_cell(field.name), _csv_type(field.type)) for field in reader.schema])
    rows = 0
    with pa_csv.CSVWriter(stream, schema, write_options=pa_csv.WriteOptions(quoting_style="needed")) as writer:
        for batch in reader:
            columns = [_csv_column(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            rows += batch.num_rows
    return rows


def write_json(reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
    """The rows as one JSON array of objects, a line each; NaN and infinite numbers are null, bytes hex."""
    rows = 0
    stream.write(b"[")
    for batch in reader:
        for record in batch.to_pylist():
            line = json.dumps(_plain(record), ensure_ascii=True, allow_nan=False)
            stream.write((b"\n" if rows == 0 else b",\n") + line.encode())
            rows += 1
    stream.write(b"\n]\n" if rows else b"]\n")
    return rows


def write_parquet(reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
    """The rows as Parquet (zstd, page checksums). Returns rows."""
    rows = 0
    with pq.ParquetWriter(
        stream, reader.schema, compression="zstd", compression_level=1, write_page_checksum=True
    ) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def write_table(reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
    """The first 40 rows in columns, and whether there are more; control characters are escaped. Returns rows shown."""
    found = list(islice(_records(reader), ROWS_SHOWN + 1))
    names = [shown(name) for name in reader.schema.names]
    cells = [names, *([_cell(value) for value in record] for record in found[:ROWS_SHOWN])]
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    right = [pa.types.is_integer(field.type) or pa.types.is_floating(field.type) for field in reader.schema]
    for row in cells:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        stream.write(("  ".join(padded).rstrip() + "\n").encode("utf-8", "backslashreplace"))
    rows = min(len(found), ROWS_SHOWN)
    more = "; there are more: -o FILE writes all of them" if len(found) > ROWS_SHOWN else ""
    stream.write(f"({rows} rows{more})\n".encode())
    return rows


WRITERS: Mapping[str, Callable[[pa.RecordBatchReader, BinaryIO], int]] = MappingProxyType(
    {"table": write_table, "csv": write_csv, "json": write_json, "parquet": write_parquet}
)


def _records(reader: pa.RecordBatchReader) -> Iterator[list[Any]]:
    for batch in reader:
        columns = [column.to_pylist() for column in batch.columns]
        yield from (list(record) for record in zip(*columns, strict=True))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, list):
        inside = ", ".join(_cell(each) for each in value[:_LIST_SHOWN])
        return f"[{inside}{f', ... {len(value):,} in all' if len(value) > _LIST_SHOWN else ''}]"
    text = shown(value if isinstance(value, str) else str(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _csv_type(kind: pa.DataType) -> pa.DataType:
    plain = pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    return kind if plain and not pa.types.is_interval(kind) and not pa.types.is_duration(kind) else pa.string()


def _csv_column(column: pa.Array) -> pa.Array:
    if _csv_type(column.type) == column.type and not pa.types.is_string(column.type):
        return column
    return pa.array([None if value is None else safe_cell(_text(value)) for value in column.to_pylist()], pa.string())


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(_plain(value), allow_nan=False) if isinstance(value, (list, dict)) else str(_plain(value))


def _plain(value: Any) -> Any:
    """The value as JSON knows it."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> object:
    if isinstance(value, (float, Decimal)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
