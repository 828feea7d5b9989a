"""What `data` names -> a training and a test set as read, whatever they are read from."""

from pathlib import Path

from orchestrator.data.npy_folder import is_npy_folder, read_npy_folder
from orchestrator.data.npz import read_npz
from orchestrator.data.parts import RawData, RawPart
from orchestrator.data.paths import names_function, resolved
from orchestrator.data.tables import read_table
from orchestrator.data.user_function import read_function
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job


def read_raw(job: Job) -> RawData:
    """Both sets. Raises JobError with what is wrong with files, archives, tables or the function."""
    if job.data.arrays is not None:
        return job.data.arrays
    if names_function(job.data.train):
        return _from_function(job)
    if job.data.test is None:
        problem = Problem(
            "the key `test` is missing", job.origin.where("data"), "add `test: FILE`: the instances to value on"
        )
        train = resolved(job, "train", job.data.train)
        raise JobError([train, problem] if isinstance(train, Problem) else [problem])
    paths = [resolved(job, "train", job.data.train), resolved(job, "test", job.data.test)]
    problems = [path for path in paths if isinstance(path, Problem)]
    parts: list[RawPart] = []
    for role, path in zip(("train", "test"), paths, strict=True):
        try:
            parts += [read_part(path, job, role)] if isinstance(path, Path) else []
        except JobError as error:
            problems += error.problems
    if problems:
        raise JobError(problems)
    return RawData(parts[0], parts[1], job.data.image_shape)


def _from_function(job: Job) -> RawData:
    train, test, image_shape = read_function(job)
    where = job.origin.where("data", "test")
    if test is None and job.data.test is None:
        raise JobError(
            "the function returned no X_test and `data.test` is missing", where=where, mend="return X_test and y_test"
        )
    if test is not None and job.data.test is not None:
        raise JobError(
            "both `data.test` and the function give a test set", where=where, mend="remove `test:`, or return no X_test"
        )
    if test is None:
        path = resolved(job, "test", str(job.data.test))
        if isinstance(path, Problem):
            raise JobError([path])
        test = read_part(path, job, "test")
    return RawData(train, test, job.data.image_shape or image_shape)


def read_part(path: Path, job: Job, role: str) -> RawPart:
    """One set from a file. Raises JobError."""
    if is_npy_folder(path):
        return read_npy_folder(path, job, role)
    if path.suffix.lower() == ".npz":
        return read_npz(path, job, role)
    return read_table(path, job, role)
