"""Losses kept of each retrain, one a test instance, from class probabilities or predictions (NumPy learners).

Cross-entropy is in nats. Probabilities are clipped from below at `PROBABILITY_FLOOR`, so that a class which a model
holds impossible costs 16.1 nats and not infinity. Lower is better for every loss.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from workers.dataset import Task
from workers.errors import LearnerError

PROBABILITY_FLOOR: Final = 1e-7

OFFERED: Final[Mapping[Task, tuple[str, ...]]] = {
    "classification": ("cross_entropy", "zero_one", "margin"),
    "regression": ("squared_error", "absolute_error"),
}
DEFAULT: Final[Mapping[Task, tuple[str, ...]]] = {
    "classification": ("cross_entropy", "zero_one"),
    "regression": ("squared_error",),
}
OFFERED_BY_SVM: Final = ("squared_hinge", "zero_one", "margin")
DEFAULT_OF_SVM: Final = ("squared_hinge", "zero_one")


def offered_by(kind: str, task: Task) -> tuple[str, ...]:
    """Losses that learners of a kind offer for a task; some estimators of scikit-learn offer fewer."""
    return OFFERED_BY_SVM if kind == "linear_svm" else OFFERED[task]


def default_of(kind: str, task: Task) -> tuple[str, ...]:
    """Losses kept where a job names none."""
    return DEFAULT_OF_SVM if kind == "linear_svm" else DEFAULT[task]


def loss_name(reference: str) -> str:
    """What a loss is called: its own name, or the function's of a reference such as `model.py:my_loss`."""
    return reference.rpartition(":")[2]


def kept_losses(
    asked: tuple[str, ...], task: Task, *, kind: str = "", offered: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Names of the losses kept: those asked for, else the default, of those that the learner offers.

    kind: the learner's. offered: fewer than its kind offers.

    Raises:
        LearnerError: a loss that is not offered, or one named twice.
    """
    offered = offered_by(kind, task) if offered is None else offered
    wrong = [name for name in asked if name not in offered]
    if wrong:
        others = sorted({name for names in OFFERED.values() for name in names} - set(OFFERED[task]))
        why = f" ({', '.join(others)} are for the other task)" if set(wrong) & set(others) else ""
        raise LearnerError(
            f"learner.losses: {', '.join(wrong)} cannot be kept here: data.task is {task}{why}; choose among"
            f" {', '.join(offered)}"
        )
    if len(set(asked)) < len(asked):
        raise LearnerError(f"learner.losses: a loss stands twice in {', '.join(asked)}: name each once")
    return asked or tuple(name for name in default_of(kind, task) if name in offered)


def clipped_logarithms(probabilities: AnyArray) -> FloatArray:
    """The logarithm of max(p, floor), float64, of probabilities of any shape; NaN stays NaN."""
    logarithms: FloatArray = np.log(np.maximum(probabilities.astype(np.float64), PROBABILITY_FLOOR))
    return logarithms


def classification_losses(
    names: tuple[str, ...], log_probabilities: FloatArray, labels: IntArray
) -> dict[str, Float32Array]:
    """The losses named, each [rows] float32, of log-probabilities [rows, C] (clipped here) and class codes [rows].

    cross_entropy: -log p(label). zero_one: 1 where the likeliest class, the first of equals, is not the label.
    margin: log of the likeliest other class's probability minus log p(label), negative = right.
    """
    floored = np.maximum(log_probabilities, np.log(PROBABILITY_FLOOR))
    return {name: _classification_loss(name, floored, labels).astype(np.float32) for name in names}


def label_losses(predicted: IntArray, labels: IntArray) -> Float32Array:
    """zero_one [rows] float32 of predicted class codes."""
    wrong: BoolArray = predicted != labels
    return wrong.astype(np.float32)


def regression_losses(names: tuple[str, ...], predictions: FloatArray, targets: FloatArray) -> dict[str, Float32Array]:
    """The losses named, float32, of predictions [..., rows] and targets [rows]: the error squared, or its size."""
    errors = predictions - targets
    return {
        name: (np.square(errors) if name == "squared_error" else np.abs(errors)).astype(np.float32) for name in names
    }


def _classification_loss(name: str, logarithms: FloatArray, labels: IntArray) -> FloatArray:
    rows = np.arange(len(labels))
    own: FloatArray = logarithms[rows, labels]
    if name == "cross_entropy":
        return -own
    if name == "margin":
        others = logarithms.copy()
        others[rows, labels] = -np.inf
        margin: FloatArray = others.max(axis=1) - own
        return margin
    wrong = (logarithms.argmax(axis=1) != labels).astype(np.float64)
    return np.where(np.isnan(logarithms).any(axis=1), np.nan, wrong)
