"""`train: data.py:load`: a function of the user's that returns the arrays.

It is the only code that reading a job's data runs: the file is loaded from the job's folder or from an installed
package, and which file it is stands in messages. Functions of Python's own library are refused, so that a job file
from elsewhere cannot call `os.system`.
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping

from orchestrator.data.memory import part_from_memory
from orchestrator.data.parts import RawPart
from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from orchestrator.wording import did_you_mean, listed, shown
from workers.errors import UserCodeError
from workers.user_code import load_object, snapshot_code

KEYS = ("X", "y", "X_test", "y_test", "id", "id_test", "weight", "group", "group_test", "image_shape")


def read_function(job: Job) -> tuple[RawPart, RawPart | None, tuple[int, ...] | None]:
    """Training set, test set (None if it gives none) and image shape. Raises JobError for what the function does."""
    where = job.origin.where("data", "train")
    result = _call(_loaded(job, where), job, where)
    if not isinstance(result, Mapping):
        what = f"`{shown(job.data.train)}` returned {type(result).__name__}, expected a mapping"
        raise JobError(what, where=where, mend='return {"X": X, "y": y, "X_test": X_test, "y_test": y_test}')
    arrays = {str(key): value for key, value in result.items()}
    return _parts(arrays, job, where)


def _loaded(job: Job, where: str) -> Callable[..., object]:
    reference = job.data.train
    module = reference.partition(":")[0].partition(".")[0]
    if module in sys.stdlib_module_names and not reference.partition(":")[0].endswith(".py"):
        mend = "name a function of your own: `train: data.py:load`"
        raise JobError(f"`{shown(reference)}` belongs to Python itself and is not called", where=where, mend=mend)
    try:
        loaded = load_object(reference, snapshot_code(str(job.folder), reference))
    except UserCodeError as error:
        raise JobError(str(error), where=where) from None
    if not callable(loaded):
        what = f"`{shown(reference)}` is {type(loaded).__name__}, expected a function"
        raise JobError(what, where=where, mend="name a function that returns the arrays")
    function: Callable[..., object] = loaded
    return function


def _call(function: Callable[..., object], job: Job, where: str) -> object:
    arguments = job.data.arguments
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        what = f"`{shown(job.data.train)}{inspect.signature(function)}` cannot be called so: {error}"
        raise JobError(what, where=where, mend="its arguments stand in `data.arguments`: {name: value}") from None
    try:
        return function(**arguments)
    except JobError:
        raise
    except (Exception, SystemExit) as error:  # the user's function: whatever it raises is told with its line
        raise JobError(_told(error, job), where=where, mend="mend the function; nothing was trained") from error


def _told(error: BaseException, job: Job) -> str:
    """The error and the lines of the user's files that led to it, the innermost last."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if frame.line]
    own = [frame for frame in frames if frame.filename.startswith(str(job.folder))] or frames[-3:]
    lines = [f"\n    {frame.filename}:{frame.lineno}: {shown(frame.line or '')}" for frame in own[-3:]]
    return f"`{shown(job.data.train)}` raised {type(error).__name__}: {shown(str(error))}{''.join(lines)}"


def _parts(arrays: dict[str, object], job: Job, where: str) -> tuple[RawPart, RawPart | None, tuple[int, ...] | None]:
    spec = job.data
    for key in (
        "X",
        *(["y"] if spec.label is None else []),
        *(["y_test"] if "X_test" in arrays and spec.label is None else []),
    ):
        if key not in arrays:
            mend = did_you_mean(key, arrays) or f"return {key} as well; keys it may return: {listed(KEYS)}"
            raise JobError(f"the function returned no `{key}`; returned: {listed(arrays)}", where=where, mend=mend)
    special = {"weights": spec.weight or "weight", "groups": spec.group or "group", "ids": spec.id or "id"}
    asked = {spec.weight, spec.group, spec.id, *job.extra_columns} - {None}
    absent = sorted(str(name) for name in asked if name not in arrays and not _is_column(arrays["X"], str(name)))
    if absent:
        what = f"the function returned no {listed(absent)}, which the job names; returned: {listed(arrays)}"
        raise JobError(
            what, where=where, mend=did_you_mean(absent[0], arrays) or "return it, or take it out of the job"
        )
    beside = {use: arrays.get(name) for use, name in special.items()}
    extras = {name: arrays[name] for name in job.extra_columns if name in arrays}
    train = part_from_memory(
        arrays["X"], arrays.get("y"), spec, "train", source=f"{where}: X, y", beside=beside, extras=extras
    )
    shape = _image_shape(arrays.get("image_shape"), where)
    if "X_test" not in arrays:
        return train, None, shape
    test = part_from_memory(
        arrays["X_test"],
        arrays.get("y_test"),
        spec,
        "test",
        source=f"{where}: X_test, y_test",
        beside={"ids": arrays.get("id_test"), "groups": arrays.get(spec.test_group or "group_test")},
        extras={},
    )
    return train, test, shape


def _is_column(features: object, name: str) -> bool:
    return name in getattr(features, "columns", ())


def _image_shape(value: object, where: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and value and all(isinstance(side, int) and side > 0 for side in value):
        return tuple(value)
    raise JobError(f"image_shape is `{shown(value)}`", where=where, mend='return for example "image_shape": (28, 28)')
