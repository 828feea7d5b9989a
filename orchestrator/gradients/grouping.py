"""The groups that a column of the training table makes, or the classes, or one of everything."""

import numpy as np

from estimators.arrays import IntArray
from orchestrator.data.datasets import LoadedData
from orchestrator.errors import JobError
from orchestrator.wording import did_you_mean

MOST_GROUPS = 10_000


def groups_of(loaded: LoadedData, by: str) -> tuple[IntArray, tuple[str, ...]]:
    """The group of each player [n], and the groups' names; raises JobError where `by` makes none."""
    data, frame = loaded.dataset, loaded.train_frame
    if data.groups is not None:
        raise JobError("the players of this job are groups already (data.group)", mend="their values are the groups'")
    if by == "class" and data.task == "classification":
        return data.train_labels.astype(np.int64), tuple(data.classes)
    columns = [] if frame is None else [str(column) for column in frame.columns]
    if by in loaded.material.groups:  # a campaign leaves these groups out
        return loaded.material.groups[by]
    if by == "all" and by not in columns:
        return np.zeros(data.n, dtype=np.int64), ("all",)
    if frame is None or by not in columns:
        near = did_you_mean(by, columns) or "write `class`, `all`, or a column of the training table"
        raise JobError(f"no groups by {by!r}: the training set has no such column", mend=near)
    values, codes = np.unique(frame[by].astype(str).to_numpy(), return_inverse=True)
    if len(values) > MOST_GROUPS:
        raise JobError(f"{by} makes {len(values):,} groups, more than {MOST_GROUPS:,}", mend="name a coarser column")
    return codes.astype(np.int64), tuple(values.tolist())
