"""Labels of any source -> class codes (classification) or float64 targets (regression)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import AnyArray
from orchestrator.data.parts import RawPart
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import counted, listed, shown
from workers.dataset import Task
from workers.learner_specs import FunctionSpec, LinearSvmSpec, LogisticRegressionSpec, RidgeSpec

REGRESSION_LOSSES = frozenset({"squared_error", "absolute_error"})


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels as learners see them.

    train, test: [rows] int64 codes or float64 targets. classes: what the codes stand for, over both sets.
    train_texts, test_texts: [rows] labels as text, for identities.
    """

    task: Task
    train: AnyArray
    test: AnyArray
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def texts(self, codes: AnyArray) -> list[str]:
        """Labels as text: the class's name, or the shortest text of the number."""
        if self.classes:
            return [self.classes[code] for code in codes.tolist()]
        return [repr(value) for value in codes.tolist()]


def encode_labels(train: RawPart, test: RawPart, job: Job) -> Labels:
    """Labels of both sets. Raises JobError: missing labels, text for regression, fractions as classes, one class."""
    problems: list[Problem] = []
    columns = []
    for part in (train, test):
        values, found = _flat(part)
        columns.append(values)
        problems += found
    if problems:
        raise JobError(problems)
    task, reason = task_of(columns[0], job)
    problems = [
        problem
        for part, values in zip((train, test), columns, strict=True)
        for problem in (
            _unfit_for_regression(values, part, reason)
            if task == "regression"
            else _unfit_for_classes(values, part, reason)
        )
    ]
    if problems:
        raise JobError(problems)
    if task == "regression":
        return Labels(
            task, columns[0].astype(np.float64), columns[1].astype(np.float64), notes=_float_note(columns[0], job)
        )
    return _classes(columns[0], columns[1], train.source, job)


def task_of(labels: AnyArray, job: Job) -> tuple[Task, str]:
    """The task and what decides it: the job, else the learner, else float labels for regression."""
    if job.data.task != "auto":
        return job.data.task, f"`data.task` is {job.data.task}"
    by_learner = _task_of_learner(job)
    if by_learner is not None:
        return by_learner
    if labels.dtype.kind == "f":
        return "regression", "the labels are floats"
    return "classification", f"the labels are {'integers' if labels.dtype.kind in 'iu' else 'no numbers'}"


def _task_of_learner(job: Job) -> tuple[Task, str] | None:
    learner = job.learner
    if isinstance(learner, RidgeSpec):
        return "regression", "ridge is a learner for regression"
    if isinstance(learner, LogisticRegressionSpec | LinearSvmSpec):
        return "classification", f"{learner.kind} is a learner for classification"
    losses = () if isinstance(learner, FunctionSpec) else learner.losses
    tasks: set[Task] = {"regression" if loss in REGRESSION_LOSSES else "classification" for loss in losses}
    if len(tasks) != 1:
        return None
    task = tasks.pop()
    return task, f"the loss {losses[0]} is one for {task}"


def _flat(part: RawPart) -> tuple[AnyArray, list[Problem]]:
    """Labels [rows] with text as objects, and problems of shape and missing values."""
    labels = part.labels
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        mend = "one label a row; one-hot labels: y.argmax(axis=1)"
        return labels, [Problem(f"labels have shape {labels.shape}, expected [rows]", part.source, mend)]
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "U":
        labels = labels.astype(object)
    if labels.dtype.kind not in "biufO":
        return labels, [Problem(f"labels are {labels.dtype}", part.source, "give numbers or text")]
    missing = _missing(labels)
    if missing.any():
        rows = ", ".join(str(row) for row in np.flatnonzero(missing)[:3])
        what = f"{counted(int(missing.sum()), 'label')} NaN, infinite or missing, first in rows {rows} (from 0)"
        return labels, [Problem(what, part.source, "drop those rows, or label them")]
    return _settled(labels), []


def _missing(labels: AnyArray) -> AnyArray:
    if labels.dtype.kind == "f":
        return ~np.isfinite(labels)
    if labels.dtype.kind != "O":
        return np.zeros(len(labels), dtype=np.bool_)
    empty = [isinstance(value, str) and not value.strip() for value in labels]
    return np.asarray(pd.isna(labels)) | np.array(empty, dtype=np.bool_)


def _settled(labels: AnyArray) -> AnyArray:
    """Objects that are all whole numbers or all numbers as such; anything else stays text."""
    if labels.dtype.kind != "O":
        return labels
    kinds = {type(value) for value in labels.tolist()}
    if kinds and all(issubclass(kind, (int, float, np.number)) and kind is not bool for kind in kinds):
        return np.array(labels.tolist())
    return labels


def _unfit_for_regression(values: AnyArray, part: RawPart, reason: str) -> list[Problem]:
    if values.dtype.kind in "biuf":
        return []
    seen = listed(dict.fromkeys(values.tolist()), most=3)
    what = f"labels are text ({seen}), but the task is regression: {reason}"
    return [Problem(what, part.source, "give numbers, or set `task: classification` and a learner for it")]


def _unfit_for_classes(values: AnyArray, part: RawPart, reason: str) -> list[Problem]:
    if values.dtype.kind != "f":
        return []
    fractions = values[values != np.floor(values)]
    if not len(fractions):
        return []
    seen = listed(fractions[:3].tolist())
    what = f"{counted(len(fractions), 'label')} with fractions ({seen}), but the task is classification: {reason}"
    return [Problem(what, part.source, "set `task: regression` and a learner for it, or give whole numbers or names")]


def _float_note(values: AnyArray, job: Job) -> tuple[str, ...]:
    different = len(np.unique(values))
    if job.data.task != "auto" or different > 10 or isinstance(job.learner, RidgeSpec):
        return ()
    seen = f"labels are numbers with {different} different values, taken for regression"
    return (f"{seen}; `task: classification` makes classes of them",)


def _classes(train: AnyArray, test: AnyArray, source: str, job: Job) -> Labels:
    names, codes = _class_codes(np.concatenate([train.astype(object), test.astype(object)]))
    here, there = codes[: len(train)], codes[len(train) :]
    counts = np.bincount(here, minlength=len(names))
    seen = [name for name, count in zip(names, counts, strict=True) if count]
    if len(seen) < 2:
        what = f"the training set has one class only: `{shown(seen[0])}` in all {len(train):,} rows"
        raise JobError(what, where=source, mend="give rows of at least two classes, or set `task: regression`")
    if job.data.task == "auto" and len(seen) > max(20, len(train) // 2):
        what = f"{len(seen):,} different labels in {len(train):,} rows: are they classes?"
        raise JobError(what, where=source, mend="set `task: regression`, or `task: classification` if they are")
    unseen = [name for name, count in zip(names, counts, strict=True) if not count]
    notes = (f"the test set has classes that the training set lacks: {listed(unseen, most=5)}",) if unseen else ()
    return Labels("classification", here, there, classes=tuple(names), notes=notes)


def _class_codes(labels: AnyArray) -> tuple[list[str], AnyArray]:
    """Names of the classes, sorted as numbers where all are numbers, and the code of each label."""
    codes, different = pd.factorize(labels)
    texts = [label_text(value) for value in different.tolist()]
    names = sorted(set(texts), key=_sorting(texts))
    place = {name: index for index, name in enumerate(names)}
    to_code = np.array([place[text] for text in texts], dtype=np.int64)
    return names, to_code[codes]


def label_text(value: object) -> str:
    """A class label as text: 3, 3.0 and "3" are one class."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _sorting(texts: list[str]) -> "type[int | str]":
    whole = all(text.lstrip("-").isdecimal() and len(text) < 19 for text in texts)
    return int if whole else str
