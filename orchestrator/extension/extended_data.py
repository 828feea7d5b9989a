"""The job's data with another test set, checked as the job's own."""

from dataclasses import replace
from pathlib import Path

from orchestrator.data.datasets import LoadedData, load_data
from orchestrator.data.memory import part_from_memory
from orchestrator.data.parts import RawData, RawPart
from orchestrator.data.paths import resolved
from orchestrator.data.sources import read_part, read_raw
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import listed

Arrays = tuple[object, object]
"""Features [rows, ...] and labels [rows] of new test instances, as `arrays_data` takes them."""


def with_test_set(job: Job, loaded: LoadedData, test: Path | Arrays) -> LoadedData:
    """The job's data with `test` in place of its test set.

    Raises JobError where it cannot be read, does not have the training set's features, or has classes of its own.
    """
    raw = read_raw(job)
    arrays = RawData(raw.train, _part(job, test), raw.image_shape)
    found = load_data(job.model_copy(update={"data": job.data.model_copy(update={"arrays": arrays})}))
    old, new = loaded.dataset, found.dataset
    where = arrays.test.source
    if old.classes != new.classes:
        more = sorted({*new.classes} - {*old.classes})
        what = f"labels {listed(more)} stand in no class of the job" if more else "the classes are others"
        raise JobError(what, where=where, mend="the kept models know the job's classes alone: drop those rows")
    if old.train_features.dtype != new.train_features.dtype:
        what = f"features are {new.test_features.dtype}, the training set's are {old.train_features.dtype}"
        raise JobError(what, where=where, mend=f"save them as {old.train_features.dtype}")
    name = str(test) if isinstance(test, Path) else "arrays in memory"
    return replace(found, test_source=replace(found.test_source, name=name))


def _part(job: Job, test: Path | Arrays) -> RawPart:
    if not isinstance(test, Path):
        features, labels = test
        return part_from_memory(features, labels, job.data, "test", source="test arrays", beside={}, extras={})
    path = resolved(job, "test", str(test.absolute()))
    if isinstance(path, Problem):
        raise JobError([replace(path, where="--test")])
    return read_part(path, job, "test")
