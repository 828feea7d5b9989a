"""A score matrix from elsewhere: an .npz with `values` or `scores`, [train, test] unless it says otherwise.

`train` (or `train_index`) and `test` (or `test_index`) name its rows and columns, by position or by the names of the
data; without them they are those of the job, in order. `axes` may say ["test", "train"]. `self_influence` [n], where it
is there, ranks label errors in place of minus the mean over tests: high = suspicious.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from estimators.arrays import AnyArray, FloatArray, IntArray
from orchestrator.data.npz import npz_arrays
from orchestrator.errors import JobError
from orchestrator.evaluation.estimate import Estimate, unknown_note
from orchestrator.explaining import position_of
from orchestrator.results import JobResult

_MATRICES = ("values", "scores")
_TRAIN, _TEST = ("train", "train_index"), ("test", "test_index")
_OTHERS = ("axes", "self_influence", "value")


def read_scores(path: Path, result: JobResult) -> Estimate:
    """The matrix as an estimate of the job's instances, unknown where the file says nothing.

    Raises JobError naming the file for what is no such matrix, or is of other instances.
    """
    where = str(path)
    arrays = _arrays(path, where)
    matrix = np.asarray(arrays[next(name for name in _MATRICES if name in arrays)])
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise JobError(f"scores are {matrix.dtype} {matrix.shape}, expected numbers [train, test]", where=where)
    if _transposed(arrays, where):
        matrix = matrix.T
    n, n_test = len(result.train_names), result.loaded.dataset.n_test
    rows = _places(arrays, _TRAIN, len(matrix), result.train_names, n, "training", where)
    test_names = result.loaded.test_names
    columns = _places(arrays, _TEST, matrix.shape[1], test_names, n_test, "test", where)
    values = np.full((n, n_test), np.nan)
    values[np.ix_(rows, columns)] = matrix
    if np.isinf(values).any():
        raise JobError("scores hold infinite numbers", where=where, mend="write NaN where a score is not known")
    return Estimate(
        name=str(arrays["value"]) if "value" in arrays and arrays["value"].ndim == 0 else path.stem,
        kind="file",
        source=path.name,
        values=values,
        suspicion=_suspicion(arrays, values, rows, where),
        notes=unknown_note(values[:, columns]),
    )


def _arrays(path: Path, where: str) -> dict[str, AnyArray]:
    if not path.is_file():
        raise JobError("there is no such file", where=where, mend="an .npz with `values`, numbers [train, test]")
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        mend = "numpy.savez(path, values=values) writes one"
        raise JobError(f"is no .npz: {error}", where=where, mend=mend) from None
    named = [name for name in _MATRICES if name in there]
    if len(named) != 1:
        what = "both `values` and `scores` are there" if named else "there is no `values` nor `scores`"
        raise JobError(what, where=where, mend="keep the matrix as numpy.savez(path, values=values)")
    return npz_arrays(path, (named[0],), optional=(*_TRAIN, *_TEST, *_OTHERS), where=where)


def _transposed(arrays: dict[str, AnyArray], where: str) -> bool:
    if "axes" not in arrays:
        return False
    said = [str(each) for each in np.atleast_1d(arrays["axes"])]
    if said not in (["train", "test"], ["test", "train"]):
        raise JobError(
            f"axes are {said}", where=where, mend='write np.array(["train", "test"]), or the other way round'
        )
    return said == ["test", "train"]


def _places(
    arrays: dict[str, AnyArray],
    keys: tuple[str, str],
    length: int,
    names: Sequence[str],
    count: int,
    what: str,
    where: str,
) -> IntArray:
    """Positions [length] of the matrix's rows (or columns) among the job's instances."""
    given = next((arrays[key] for key in keys if key in arrays), None)
    if given is None:
        if length != count:
            raise JobError(
                f"it has {length:,} {what} instances, but the job has {count:,}",
                where=where,
                mend=f'name them with `{keys[0]}`, or say axes=np.array(["test", "train"]) of a transposed matrix',
            )
        return np.arange(count)
    if given.shape != (length,):
        raise JobError(f"`{keys[0]}` names {given.shape}, but there are {length:,} {what} instances", where=where)
    try:
        places = np.array([_place(each, names, count, what) for each in given.tolist()], dtype=np.int64)
    except JobError as error:
        raise JobError(f"`{keys[0]}`: {error}", where=where) from None
    if len(np.unique(places)) < length:
        raise JobError(f"`{keys[0]}` names an instance twice", where=where)
    return places


def _place(name: object, names: Sequence[str], count: int, what: str) -> int:
    if isinstance(name, str):
        return position_of(name, tuple(names), count, what=what)
    if isinstance(name, int) and 0 <= name < count:
        return name
    raise JobError(f"there is no {what} instance {name!r}, there are {count:,}, from 0")


def _suspicion(arrays: dict[str, AnyArray], values: FloatArray, rows: IntArray, where: str) -> FloatArray:
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    suspicion: FloatArray = np.full(len(values), np.nan)
    if "self_influence" in arrays:
        given = np.asarray(arrays["self_influence"])
        if given.shape != rows.shape or given.dtype.kind not in "fiu":
            raise JobError(
                f"`self_influence` is {given.dtype} {given.shape}, expected numbers {rows.shape}", where=where
            )
        suspicion[rows] = given
        return suspicion
    means = np.where(known, values, 0.0).sum(axis=1) / np.maximum(counts, 1)
    suspicion[counts > 0] = -means[counts > 0]
    return suspicion
