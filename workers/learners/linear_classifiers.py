"""What linear classifiers share: which data they take, and what they are evaluated on."""

import numpy as np

from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learners.evaluated_rows import EvaluatedRows, evaluated_rows
from workers.learners.linear_data import LinearData


def check_classes(data: Dataset, kind: str) -> None:
    """Raises LearnerError where the labels are no classes, or of one class."""
    if data.task != "classification":
        raise LearnerError(
            f"learner.kind: {kind} predicts classes, but the labels are numbers: use ridge, or write"
            " data.task: classification where the labels are classes after all"
        )
    if len(data.classes) < 2:
        raise LearnerError(f"{kind} needs two classes or more; the labels have {len(data.classes)}")


def evaluated(data: LinearData, *, train: bool) -> EvaluatedRows:
    """The test instances, and the training instances where `train`."""
    kept = len(data.features) if train else data.n_test
    return evaluated_rows(data.features[:kept], np.concatenate([data.test_labels, data.labels])[:kept])
