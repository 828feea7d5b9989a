"""Tables: Parquet and CSV files, and frames from Python; one row an instance, one column the label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from estimators.arrays import AnyArray
from orchestrator.data.parts import RawPart
from orchestrator.data.paths import refuse_larger_than_memory
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import DataSpec, Job
from orchestrator.wording import counted, did_you_mean, listed, shown, size

USUAL_LABELS = ("label", "target", "y", "class", "labels")
MOST_UNPACKED = 2000
"""Bytes in memory for a byte of Parquet above which a large file is taken for a bomb."""


def read_table(path: Path, job: Job, role: str) -> RawPart:
    """One Parquet, CSV or TSV file. Raises JobError where it cannot be read or lacks columns that the job names."""
    where = f"{job.origin.where('data', role)}: {path.name}"
    try:
        table = _parquet(path, where) if path.suffix.lower() in {".parquet", ".pq"} else _csv(path, where)
        _refuse_double_columns(table, where)
        frame = table.to_pandas().reset_index(drop=True)
    except pa.ArrowException as error:
        raise _unreadable(path, error, where) from None
    except OSError as error:
        raise JobError(f"cannot be read: {shown(str(error))}", where=where, mend="write the file again") from None
    return part_of_frame(frame, job.data, role, source=where, extras=job.extra_columns)


def part_of_frame(
    frame: pd.DataFrame, spec: DataSpec, role: str, *, source: str, extras: tuple[str, ...] = ()
) -> RawPart:
    """A frame split into features, label and the columns with a name of their own in the job."""
    frame = frame.rename(columns=str)
    columns = [str(name) for name in frame.columns]
    special = {"ids": spec.id, "weights": spec.weight, "groups": spec.group}
    named = {use: name for use, name in special.items() if name is not None}
    beside: dict[str, str | None] = {**named, **{f"extra {name}": name for name in extras}}
    required = {"label": spec.label} | (beside if role == "train" else {"test_groups": spec.test_group})
    problems = [_absent(key, name, columns, source) for key, name in required.items() if _is_absent(key, name, columns)]
    if problems:
        raise JobError(problems)
    apart = {spec.label, spec.test_group, *named.values(), *extras}
    if role == "test":
        named["groups"] = spec.test_group or spec.group or ""
    here = {use: _column(frame, name) for use, name in named.items() if name in columns}
    return RawPart(
        source=source,
        features=frame[[name for name in columns if name not in apart]],
        labels=_column(frame, str(spec.label)),
        extras={name: _column(frame, name) for name in extras if name in columns},
        frame=frame,
        ids=here.get("ids"),
        weights=here.get("weights") if role == "train" else None,
        groups=here.get("groups"),
    )


def features_shown(frame: pd.DataFrame | None, spec: DataSpec) -> pd.DataFrame | None:
    """The columns that the page does not show beside them already: all but label and id."""
    if frame is None:
        return None
    return frame[[name for name in frame.columns if name not in {spec.label, spec.id}]]


def _is_absent(key: str, name: str | None, columns: list[str]) -> bool:
    return (key == "label" and name is None) or (name is not None and name not in columns)


def _absent(key: str, name: str | None, columns: list[str], source: str) -> Problem:
    there = f"columns there: {listed(columns)}"
    if name is None:
        usual = next((column for column in USUAL_LABELS if column in columns), None)
        mend = f"add `label: {usual}` to data" if usual else "add `label: COLUMN` to data"
        return Problem(f"a table needs `data.label`, the column of the labels; {there}", source, mend)
    asked = {"ids": "data.id", "weights": "data.weight", "groups": "data.group", "test_groups": "data.test_group"}
    asked[f"extra {name}"] = "a campaign's `group`, or report.known_label_errors"
    what = f"there is no column `{shown(name)}` (asked by {asked.get(key, 'data.label')}); {there}"
    return Problem(what, source, did_you_mean(name, columns) or "name one of these columns")


def _column(frame: pd.DataFrame, name: str) -> AnyArray:
    """A column as an array: numbers as they are, text and anything else as objects with None for what is missing."""
    column = frame[name]
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(dtype=getattr(column.dtype, "numpy_dtype", np.float64))
    values: AnyArray = column.astype(object).where(column.notna(), None).to_numpy()
    return values


def _parquet(path: Path, where: str) -> pa.Table:
    with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        declared, there = rows * max(columns, 1) * 8, path.stat().st_size
        refuse_larger_than_memory(declared, where=where, what=f"a table of {rows:,} rows and {columns:,} columns")
        if declared > max(MOST_UNPACKED * there, 100_000_000):
            what = f"{size(there)} that declare {rows:,} rows of {columns:,} columns"
            raise JobError(what, where=where, mend="is the file what you think it is?")
        return file.read()


def _csv(path: Path, where: str) -> pa.Table:
    refuse_larger_than_memory(2 * path.stat().st_size, where=where, what="the file")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        table = pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))
    except pa.ArrowInvalid:
        _refuse_ragged(path, delimiter, where)
        raise
    header = table.column_names
    coded = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    if coded:
        raise JobError(f"text that is not UTF-8 in {listed(coded)}", where=where, mend="save the file as UTF-8")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        what = (
            f"one column, named `{shown(header[0])}`: its columns are separated by something else than `{delimiter!r}`"
        )
        raise JobError(what, where=where, mend="save it with commas (.csv) or tabs (.tsv)")
    return table


def _refuse_ragged(path: Path, delimiter: str, where: str) -> None:
    """Raises JobError naming the first rows that have another number of fields than the header."""
    ragged: list[str] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(f"row {row.number} has {row.actual_columns} instead of {row.expected_columns}")
        return "skip"

    options = pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=keep)
    pyarrow.csv.read_csv(path, read_options=pyarrow.csv.ReadOptions(use_threads=False), parse_options=options)
    if ragged:
        what = f"{counted(len(ragged), 'row')} of another number of fields: {listed(ragged, most=3)}"
        raise JobError(what, where=where, mend="give each row one field a column (quote text that holds commas)")


def _refuse_double_columns(table: pa.Table, where: str) -> None:
    names = table.column_names
    double = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if double:
        raise JobError(f"columns that stand twice: {listed(double)}", where=where, mend="rename or drop one of each")


def _unreadable(path: Path, error: Exception, where: str) -> JobError:
    reason = shown(str(error).partition("\n")[0])
    kind = "Parquet" if path.suffix.lower() in {".parquet", ".pq"} else "CSV"
    return JobError(f"cannot be read as {kind}: {reason}", where=where, mend="write the file again")
