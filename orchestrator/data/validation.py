"""The validation set that early stopping looks at: read as a test set is, encoded by the training set."""

from pathlib import Path

import numpy as np

from estimators.arrays import AnyArray
from orchestrator.data.features import encode_features
from orchestrator.data.labels import Labels, encode_labels
from orchestrator.data.parts import RawPart
from orchestrator.data.paths import resolved
from orchestrator.data.sources import read_part
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import listed


def validation_set(job: Job, train: RawPart, labels: Labels) -> tuple[AnyArray, AnyArray] | None:
    """Features and labels (codes of the job's own classes) of `data.validation`, None where the job names none.

    Raises JobError where the file cannot be read, or does not go with the training set.
    """
    if job.data.validation is None:
        return None
    path = resolved(job, "validation", job.data.validation)
    if isinstance(path, Problem):
        raise JobError([path])
    part = read_part(Path(path), job, "validation")
    features, found = encode_features(train, part), encode_labels(train, part, job)
    if found.task == "regression":
        return features.test, found.test
    unknown = sorted(set(found.classes) - set(labels.classes))
    if unknown:
        mend = f"the classes of training and test set are {listed(labels.classes)}"
        raise JobError(
            f"there is no class {listed(unknown)} in the training or the test set", where=part.source, mend=mend
        )
    places = {name: code for code, name in enumerate(labels.classes)}
    codes = np.array([places[name] for name in found.classes], dtype=np.int64)
    return features.test, codes[found.test]
