"""Features of any source -> one numeric array for training and one for testing.

Arrays keep their dtype (float16 becomes float32, bool uint8) and shape [rows, ...]. Tables become float64 [rows, d]
(float32 where every column is), numeric columns first, then text columns one-hot over the training set's categories;
a category that only the test set has is all zeros.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray
from orchestrator.data.columns import Column, column_of, missing_cells
from orchestrator.data.parts import RawPart
from orchestrator.errors import JobError, Problem
from orchestrator.wording import counted, listed, shown
from workers.mapped_array import is_mapped

MOST_CATEGORIES = 1000
MAPPED_DTYPES = tuple(np.dtype(name) for name in ("float32", "uint8", "int32", "int64"))
"""Of features that stay in their file: what learners take without a copy."""
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Features:
    """Encoded features.

    train: [n_rows, ...]; test: [n_test, ...]. names: [d] for tables, else empty. numeric: how many leading columns
    are numbers as given. train_texts, test_texts: the text columns behind the others.
    """

    train: AnyArray
    test: AnyArray
    names: tuple[str, ...] = ()
    numeric: int | None = None
    train_texts: tuple[AnyArray, ...] = ()
    test_texts: tuple[AnyArray, ...] = ()
    notes: tuple[str, ...] = ()


def encode_features(train: RawPart, test: RawPart) -> Features:
    """Features of both sets. Raises JobError with all problems: shapes, widths, kinds, missing and infinite values."""
    if isinstance(train.features, pd.DataFrame) and isinstance(test.features, pd.DataFrame):
        return _encode_frames(train.features, test.features, train.source, test.source)
    arrays = [
        part.features.to_numpy() if isinstance(part.features, pd.DataFrame) else part.features for part in (train, test)
    ]
    return _encode_arrays(arrays[0], arrays[1], train.source, test.source)


def _encode_arrays(train: AnyArray, test: AnyArray, train_source: str, test_source: str) -> Features:
    problems = [
        *_shape_problems(train, train_source),
        *_shape_problems(test, test_source),
    ]
    if not problems and train.shape[1:] != test.shape[1:]:
        what = f"rows of shape {test.shape[1:]}, but the training set's are {train.shape[1:]}"
        problems.append(Problem(what, test_source, "give both sets the same features"))
    if problems:
        raise JobError(problems)
    train, test = _plain(train), _plain(test)
    problems = [*non_finite(train, train_source), *non_finite(test, test_source)]
    if problems:
        raise JobError(problems)
    if train.dtype == test.dtype:
        return Features(train, test)
    if is_mapped(train):
        what = f"features are {test.dtype}, but {train.dtype} in the training set, which stays in its file"
        raise JobError(what, where=test_source, mend=f"save them as {train.dtype}")
    common = np.result_type(train, test)
    note = f"features are {train.dtype} in the training set and {test.dtype} in the test set: both are read as {common}"
    return Features(train.astype(common), test.astype(common), notes=(note,))


def _shape_problems(features: AnyArray, source: str) -> list[Problem]:
    if features.dtype.kind not in "biuf":
        what = f"features are {shown(str(features.dtype))}, expected numbers"
        return [Problem(what, source, "turn them into numbers: X.astype(numpy.float32); sparse matrices: X.toarray()")]
    if is_mapped(features) and features.dtype not in MAPPED_DTYPES:
        what = f"features of {features.dtype} are too large to load and cannot be read from their file as they are"
        return [Problem(what, source, f"save them as {listed([str(dtype) for dtype in MAPPED_DTYPES])}")]
    if features.ndim < 2:
        mend = "one row an instance: X.reshape(-1, 1) if there is one feature"
        return [Problem(f"X has shape {features.shape}, expected [rows, features ...]", source, mend)]
    if 0 in features.shape[1:]:
        return [Problem(f"X has shape {features.shape}: no features", source, "give at least one feature")]
    return []


def _plain(features: AnyArray) -> AnyArray:
    """Contiguous, in native byte order, in a dtype that every learner reads; a mapped array stays in its file."""
    if is_mapped(features):
        return features
    replaced = {"b1": np.uint8, "f2": np.float32}.get(features.dtype.str[1:])
    dtype = np.dtype(replaced) if replaced is not None else features.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize > 8:
        dtype = np.dtype(np.float64)
    return np.ascontiguousarray(features, dtype=dtype)


def non_finite(features: AnyArray, source: str, names: tuple[str, ...] = ()) -> list[Problem]:
    """At most one problem: how many values are NaN or infinite, and where the first three are."""
    if features.dtype.kind != "f":
        return []
    count, first = 0, list[str]()
    for start in range(0, len(features), _BLOCK):
        bad = ~np.isfinite(features[start : start + _BLOCK])
        if not bad.any():
            continue
        count += int(bad.sum())
        for place in np.argwhere(bad)[: 3 - len(first)].tolist():
            column = f"column `{shown(names[place[1]])}`" if names else f"column {', '.join(map(str, place[1:]))}"
            first.append(f"(row {place[0] + start}, {column})")
    if not count:
        return []
    what = f"{counted(count, 'feature value')} NaN or infinite, first at {', '.join(first)} (rows from 0)"
    return [Problem(what, source, "drop those rows or fill the values in before the job, e.g. X = numpy.nan_to_num(X)")]


def _encode_frames(train: pd.DataFrame, test: pd.DataFrame, train_source: str, test_source: str) -> Features:
    problems = _column_problems(train, test, train_source, test_source)
    if problems:
        raise JobError(problems)
    names = [str(name) for name in train.columns]
    columns = [column_of(train[name], name) for name in names]
    others = [column_of(test[name], name) for name in names]
    for own, other in zip(columns, others, strict=True):
        problems += [*_kind_problems(own, train_source), *_kind_problems(other, test_source)]
        problems += _mismatch(own, other, test_source) + _category_problems(own, train_source)
    problems += missing_cells(train, train_source) + missing_cells(test, test_source)
    if problems:
        raise JobError(problems)
    features = _matrix(columns, others)
    problems = [
        *non_finite(features.train, train_source, features.names),
        *non_finite(features.test, test_source, features.names),
    ]
    if problems:
        raise JobError(problems)
    return features


def _column_problems(train: pd.DataFrame, test: pd.DataFrame, train_source: str, test_source: str) -> list[Problem]:
    own, others = [str(name) for name in train.columns], [str(name) for name in test.columns]
    if not own:
        return [Problem("no column is left for features", train_source, "keep at least one beside the label")]
    here, there = [name for name in own if name not in others], [name for name in others if name not in own]
    if not here and not there:
        return []
    sides = [f"only in the training set: {listed(here, most=5)}"] if here else []
    sides += [f"only in the test set: {listed(there, most=5)}"] if there else []
    what = f"{len(others)} feature columns, but the training set has {len(own)}; {'; '.join(sides)}"
    return [Problem(what, test_source, "give both tables the same columns")]


def _kind_problems(column: Column, source: str) -> list[Problem]:
    return [Problem(f"column `{shown(column.name)}` {column.trouble}", source, column.mend)] if column.trouble else []


def _mismatch(own: Column, other: Column, source: str) -> list[Problem]:
    if own.trouble or other.trouble or own.is_text == other.is_text:
        return []
    if other.is_text:
        text = next((value for value in other.cells.tolist() if value is not None), "")
        what = f"column `{own.name}` is text here (`{shown(text)}`), but numbers in the training set"
    else:
        what = f"column `{own.name}` is numbers here, but text in the training set"
    return [Problem(what, source, "give the column one kind in both tables")]


def _category_problems(column: Column, source: str) -> list[Problem]:
    """Text that is no category: nearly all different, or numbers with a few words among them."""
    if not column.is_text or column.trouble:
        return []
    different = column.categories()
    numbers = sum(_reads_as_number(text) for text in different)
    if len(different) > 4 and numbers >= 0.8 * len(different):
        words = [text for text in different if not _reads_as_number(text)]
        what = f"column `{column.name}` is text, though most of it is numbers; not numbers: {listed(words, most=3)}"
        return [Problem(what, source, "turn it into numbers, and those cells into numbers or nothing")]
    if len(different) <= max(20, min(MOST_CATEGORIES, len(column.cells) // 2)):
        return []
    what = f"column `{column.name}` holds {len(different):,} different texts in {len(column.cells):,} rows: no category"
    return [Problem(what, source, f"drop the column, or name it: `id: {shown(column.name)}` or `group:` in data")]


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _matrix(columns: list[Column], others: list[Column]) -> Features:
    numbers = [(own, other) for own, other in zip(columns, others, strict=True) if not own.is_text]
    texts = [(own, other) for own, other in zip(columns, others, strict=True) if own.is_text]
    train = [own.numbers() for own, _ in numbers]
    test = [other.numbers() for _, other in numbers]
    names = [name for own, _ in numbers for name in own.feature_names()]
    numeric, notes = len(names), list[str]()
    for own, other in texts:
        categories = own.categories()
        train.append(own.one_hot(categories))
        test.append(other.one_hot(categories))
        names += [f"{own.name}={category}" for category in categories]
        notes.append(f"column `{own.name}` is one-hot over {counted(len(categories), 'category', 'categories')}")
        unseen = [category for category in other.categories() if category not in set(categories)]
        if unseen:
            notes.append(
                f"column `{own.name}`: {listed(unseen, most=5)} stand in the test set only and read as all zeros"
            )
    single = all(block.dtype == np.float32 for own, _ in numbers for block in [own.numbers()]) and bool(numbers)
    dtype = np.float32 if single else np.float64
    return Features(
        train=np.concatenate(train, axis=1, dtype=dtype, casting="unsafe"),
        test=np.concatenate(test, axis=1, dtype=dtype, casting="unsafe"),
        names=tuple(names),
        numeric=numeric,
        train_texts=tuple(own.cells for own, _ in texts),
        test_texts=tuple(other.cells for _, other in texts),
        notes=tuple(notes),
    )
