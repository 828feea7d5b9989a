"""One column of a table: numbers, lists of numbers, or text."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray
from orchestrator.errors import Problem
from orchestrator.wording import counted, shown


@dataclass(frozen=True, slots=True)
class Column:
    """A feature column.

    cells: [rows] numbers, [rows, length] for lists of numbers, or [rows] objects (text, None where missing).
    trouble, mend: why it cannot be a feature, "" where it can.
    """

    name: str
    cells: AnyArray
    is_text: bool = False
    trouble: str = ""
    mend: str = ""

    def numbers(self) -> AnyArray:
        """Values [rows, columns] of a numeric column."""
        return self.cells.reshape(len(self.cells), -1)

    def feature_names(self) -> list[str]:
        """Names of its numeric features: one, or one for each place of a list."""
        if self.cells.ndim == 1:
            return [self.name]
        return [f"{self.name}[{place}]" for place in range(self.cells.shape[1])]

    def categories(self) -> list[str]:
        """The different texts, sorted."""
        return sorted({str(value) for value in pd.unique(self.cells) if value is not None})

    def one_hot(self, categories: list[str]) -> AnyArray:
        """Indicators [rows, categories] float32; a text that is none of them gives zeros."""
        codes = pd.Index(categories, dtype=object).get_indexer(pd.Index(self.cells, dtype=object))
        indicators: AnyArray = (codes[:, None] == np.arange(len(categories))[None, :]).astype(np.float32)
        return indicators


def column_of(column: pd.Series, name: str) -> Column:
    """What kind of feature a frame's column is. Missing cells are `missing_cells`' matter."""
    dtype = column.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        return _numeric(column, name)
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return Column(name, np.zeros(0), trouble="holds times", mend="turn it into numbers (days, hours), or drop it")
    values: AnyArray = column.astype(object).where(column.notna(), None).to_numpy()
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str}:
        return Column(name, values, is_text=True)
    if kinds <= {list, tuple, np.ndarray}:
        return _lists(values, name)
    if kinds <= {bool, int, float} or all(issubclass(kind, (np.number, np.bool_)) for kind in kinds):
        return _numeric(column, name)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    return Column(name, np.zeros(0), trouble=f"holds {shown(names)}", mend="keep numbers or text, or drop it")


def _numeric(column: pd.Series, name: str) -> Column:
    if pd.api.types.is_complex_dtype(column.dtype):
        return Column(name, np.zeros(0), trouble="holds complex numbers", mend="split it into two columns")
    single = str(column.dtype) in {"float32", "Float32", "float16"}
    values = column.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    return Column(name, values)


def _lists(values: AnyArray, name: str) -> Column:
    lengths = sorted({len(value) for value in values if value is not None})
    if len(lengths) != 1 or lengths[0] == 0:
        seen = f"from {lengths[0]} to {lengths[-1]}" if lengths else "nothing"
        return Column(name, np.zeros(0), trouble=f"holds lists of lengths {seen}", mend="give them one length")
    empty = [np.nan] * lengths[0]
    try:
        rows = np.array([empty if value is None else value for value in values])
    except ValueError:
        rows = np.array([[None]])
    if rows.dtype.kind not in "biuf" or rows.ndim != 2:
        return Column(name, np.zeros(0), trouble="holds lists of something else than numbers", mend="drop it")
    return Column(name, rows if rows.dtype == np.float32 else rows.astype(np.float64))


def missing_cells(frame: pd.DataFrame, source: str) -> list[Problem]:
    """At most one problem: how many cells are missing, and the first three."""
    missing = frame.isna().to_numpy()
    count = int(missing.sum())
    if not count:
        return []
    places = [(int(row), str(frame.columns[column])) for row, column in np.argwhere(missing)[:3]]
    first = ", ".join(f"(row {row}, column `{shown(name)}`)" for row, name in places)
    what = f"{counted(count, 'feature value')} NaN or missing, first at {first} (rows from 0)"
    return [Problem(what, source, "drop those rows or fill the cells in before the job, e.g. frame.dropna()")]
