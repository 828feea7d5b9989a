"""Values as files: Parquet, npz or CSV, for other tools.

Influence goes out in long form, one row a pair, sorted by training instance, then by test instance: train_index,
test_index, value (the method's name), loss, influence, standard_error. One value an instance: train_index, value, loss,
data_value, standard_error. CSV has one column more, `rows`, where the rows that the values are of are known. npz has
`values` and `standard_errors` ([n, n_test] or [n]) and the indices instead.
Unknown values are NaN with an infinite standard error in every format.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from estimators.influence import Influence, InstanceValues
from orchestrator.errors import JobError
from orchestrator.replaced_file import replaced_file

Result = Influence | InstanceValues

ROWS_AT_A_TIME = 1 << 20
ROWS = "rows"
SIGN = "positive: the instance lowers the test loss"
# Spreadsheets run a cell that starts with one of these as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text column that says the same in every row, kept once."""

    text: str

    def column(self, rows: int) -> pa.Array:
        zeros = pa.array(np.zeros(rows, dtype=np.int8))
        return pa.DictionaryArray.from_arrays(zeros, pa.array([self.text], type=pa.string()))


def export_influence(influence: Influence, path: Path, *, file_format: str | None = None, rows: str = "") -> Path:
    """Write the pairs of `influence` to `path`, whole or not at all, and return the path.

    file_format: "parquet", "npz" or "csv"; None reads it off the path's ending. Raises JobError for an unknown format
    or a path that cannot be written, ResourceMissing where the disk is full. rows: a hash of the rows that the values
    were computed from, so that `apportion verify` can tell whether they are stale; CSV has it in a column.
    """
    return _export(influence, path, file_format, rows)


def export_instance_values(
    values: InstanceValues, path: Path, *, file_format: str | None = None, rows: str = ""
) -> Path:
    """Write one value an instance to `path`, with the formats and errors of `export_influence`."""
    return _export(values, path, file_format, rows)


def _export(result: Result, path: Path, file_format: str | None, rows: str) -> Path:
    path = Path(path)
    write = FORMATS[format_of(path, file_format)]
    with replaced_file(path) as stream:
        write(result, stream, rows)
    return path


def format_of(path: Path, name: str | None) -> str:
    """The format meant by `name`, or by the path's ending where it is None; JobError where there is no such format."""
    meant = name if name is not None else path.suffix.removeprefix(".").lower()
    if meant in FORMATS:
        return meant
    near = get_close_matches(meant, FORMATS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use --format {'|'.join(FORMATS)}"
    if name is None:
        raise JobError(f"the ending {path.suffix!r} names no format", where=str(path), mend=hint)
    raise JobError(f"unknown format {name!r}, there are {', '.join(FORMATS)}", where="--format", mend=hint)


def safe_cell(text: str) -> str:
    """The text as a spreadsheet may open it: an apostrophe before what would be run as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _write_parquet(result: Result, stream: BinaryIO, rows: str) -> None:
    schema = _schema(result).with_metadata(_facts(result, rows))
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    encodings = dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
    texts = ["train_index", "test_index", "value", "loss"]
    with pq.ParquetWriter(
        stream,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in texts if name in schema.names],
        column_encoding=encodings,
        write_page_checksum=True,
    ) as writer:
        for batch in _batches(result, _Text(result.value), _Text(result.loss)):
            writer.write_batch(batch, row_group_size=ROWS_AT_A_TIME)


def _write_csv(result: Result, stream: BinaryIO, rows: str) -> None:
    options = pa_csv.WriteOptions(quoting_style="needed")
    schema = _schema(result)
    plain = pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in schema])
    whole = plain.append(pa.field(ROWS, pa.string())) if rows else plain
    with pa_csv.CSVWriter(stream, whole, write_options=options) as writer:
        for batch in _batches(result, _Text(safe_cell(result.value)), _Text(safe_cell(result.loss))):
            table = pa.Table.from_batches([batch]).cast(plain)
            writer.write_table(table.append_column(ROWS, pa.repeat(rows, len(table))) if rows else table)


def _write_npz(result: Result, stream: BinaryIO, rows: str) -> None:
    arrays = {
        "values": result.values,
        "standard_errors": result.standard_errors,
        "train_index": result.train_index,
        "value": np.array(result.value),
        "loss": np.array(result.loss),
    } | ({"rows": np.array(rows)} if rows else {})
    if isinstance(result, Influence):
        arrays["test_index"] = result.test_index
    np.savez(stream, **arrays)  # type: ignore[arg-type] # the stub takes the arrays for allow_pickle


FORMATS: dict[str, Callable[[Result, BinaryIO, str], None]] = {
    "parquet": _write_parquet,
    "npz": _write_npz,
    "csv": _write_csv,
}


def _schema(result: Result) -> pa.Schema:
    none, text = slice(0, 0), _Text("")
    if isinstance(result, InstanceValues):
        return _instance_batch(result, none, text, text).schema
    return _pair_batch(result, none, text, text).schema


def _facts(result: Result, rows: str) -> dict[str, str]:
    """What a reader should know of the file, kept in the Parquet footer."""
    facts = {"sign": SIGN, "retrains": result.retrains, "notes": list(result.notes), "rows": rows}
    return {"apportion": json.dumps(facts)}


def _batches(result: Result, value: _Text, loss: _Text) -> Iterator[pa.RecordBatch]:
    if isinstance(result, InstanceValues):
        yield _instance_batch(result, slice(None), value, loss)
        return
    n, n_test = result.values.shape
    step = max(1, ROWS_AT_A_TIME // max(1, n_test))
    for start in range(0, n, step):
        yield _pair_batch(result, slice(start, start + step), value, loss)


def _pair_batch(result: Influence, rows: slice, value: _Text, loss: _Text) -> pa.RecordBatch:
    train = result.train_index[rows]
    pairs = len(train) * len(result.test_index)
    return pa.record_batch(
        {
            "train_index": np.repeat(train, len(result.test_index)),
            "test_index": np.tile(result.test_index, len(train)),
            "value": value.column(pairs),
            "loss": loss.column(pairs),
            "influence": result.values[rows].ravel(),
            "standard_error": result.standard_errors[rows].ravel(),
        }
    )


def _instance_batch(result: InstanceValues, rows: slice, value: _Text, loss: _Text) -> pa.RecordBatch:
    train = result.train_index[rows]
    return pa.record_batch(
        {
            "train_index": train,
            "value": value.column(len(train)),
            "loss": loss.column(len(train)),
            "data_value": result.values[rows],
            "standard_error": result.standard_errors[rows],
        }
    )
