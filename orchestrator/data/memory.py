"""Data from Python: arrays and frames, given by the caller or by a function that the job names."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from estimators.arrays import AnyArray
from orchestrator.data.parts import RawData, RawPart
from orchestrator.data.tables import part_of_frame
from orchestrator.errors import JobError
from orchestrator.jobs.job import DataSpec
from orchestrator.wording import shown

Table = npt.ArrayLike | pd.DataFrame
Vector = npt.ArrayLike | Sequence[str] | pd.Series


def arrays_data(
    X: Table,
    y: Vector | None = None,
    X_test: Table | None = None,
    y_test: Vector | None = None,
    *,
    label: str | None = None,
    weights: Vector | None = None,
    groups: Vector | None = None,
    names: Vector | None = None,
    test_names: Vector | None = None,
    test_groups: Vector | None = None,
    image_shape: tuple[int, ...] | None = None,
    extras: Mapping[str, Vector] | None = None,
    task: Literal["auto", "classification", "regression"] = "auto",
    overlap: Literal["refuse", "allow"] = "refuse",
) -> DataSpec:
    """Arrays or frames in memory as `Job(data=...)`.

    X, X_test: [rows, ...] arrays, or frames; y, y_test: [rows], or None where `label` names a column of the frames.
    weights, groups, names: [rows] of the training set. test_groups: [rows] of the test set, to average values over.
    extras: named arrays [rows] such as a bool array of known label errors, or groups that a campaign leaves out. The
    job can be run again only where the same arrays are given again.
    Raises JobError where they are no arrays.
    """
    spec = DataSpec(train="arrays in memory", label=label, task=task, overlap=overlap, image_shape=image_shape)
    beside: dict[str, Vector | None] = {"weights": weights, "groups": groups, "ids": names}
    train = part_from_memory(X, y, spec, "train", source="training arrays", beside=beside, extras=extras or {})
    if X_test is None:
        raise JobError("X_test is missing", where="arrays_data", mend="give X_test and y_test: instances to value on")
    beside_test: dict[str, Vector | None] = {"ids": test_names, "groups": test_groups}
    test = part_from_memory(X_test, y_test, spec, "test", source="test arrays", beside=beside_test, extras={})
    return spec.model_copy(update={"arrays": RawData(train, test, image_shape)})


def part_from_memory(
    features: object,
    labels: object,
    spec: DataSpec,
    role: str,
    *,
    source: str,
    beside: Mapping[str, object],
    extras: Mapping[str, object],
) -> RawPart:
    """A training or test set from objects of the caller's. beside: weights, groups and ids, None where not given."""
    columns = {use: None if value is None else vector(value, use, source) for use, value in beside.items()}
    named = {name: vector(value, name, source) for name, value in extras.items()}
    if isinstance(features, pd.DataFrame):
        features = features.reset_index(drop=True)
        if labels is None:
            part = part_of_frame(features, spec, role, source=source)
            return RawPart(source, part.features, part.labels, extras=named, frame=part.frame, **_given(columns))
    if labels is None:
        name = "y" if role == "train" else "y_test"
        raise JobError(f"{name} is missing", where=source, mend=f"give {name}, or a frame and `label`, its column")
    frame = features if isinstance(features, pd.DataFrame) else None
    matrix = features.rename(columns=str) if isinstance(features, pd.DataFrame) else _array(features, "X", source)
    return RawPart(source, matrix, vector(labels, "y", source), extras=named, frame=frame, **_given(columns))


def _given(columns: Mapping[str, AnyArray | None]) -> dict[str, AnyArray | None]:
    return {use: columns.get(use) for use in ("ids", "weights", "groups")}


def vector(value: object, name: str, source: str) -> AnyArray:
    """An array of the caller's, text as objects and None where a cell is missing."""
    if isinstance(value, pd.Series):
        if isinstance(value.dtype, np.dtype) and value.dtype.kind in "biuf":
            return value.to_numpy()
        objects: AnyArray = value.astype(object).where(value.notna(), None).to_numpy()
        return objects
    return _array(value, name, source)


def _array(value: object, name: str, source: str) -> AnyArray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise JobError(f"{name} is no array: {shown(str(error))}", where=source, mend="give a NumPy array") from None
    if array.ndim == 0:
        what = f"{name} is {shown(type(value).__name__)}, expected an array"
        raise JobError(what, where=source, mend="give a NumPy array; sparse matrices: X.toarray()")
    return array
