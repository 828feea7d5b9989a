"""The canary: instances outside a subset are replaced, and its losses must not notice."""

import dataclasses
from collections.abc import Callable

import numpy as np

from estimators.arrays import AnyArray, BoolArray, IntArray
from estimators.seeding import generator
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner import Learner, LearnerTraits
from workers.mapped_array import written_over
from workers.row_losses import RowLosses, row_losses

MOST_MAPPED = 512
"""Instances replaced where features stay in their file: each costs memory."""

UNCHECKED = (
    "whether instances outside `members` matter was not checked: the function holds its own data; train on the"
    " instances where members is True alone, and compute no mean, scale or vocabulary over the others"
)


def check_membership(
    remake: Callable[[Dataset], Learner],
    data: Dataset,
    members: BoolArray,
    seed: np.uint64,
    expected: RowLosses,
    traits: LearnerTraits,
) -> list[str]:
    """Retrain on `members` [n] with all other instances replaced; returns notes.

    They become other instances with other labels, and where the learner gathers its members and features are floats,
    NaN. Losses `expected` on the test instances and on the members themselves must be the same bits, or within
    `traits.tolerance` where the learner masks.

    Raises:
        LearnerError: they differ.
    """
    if traits.membership == "unseen":
        return [UNCHECKED]
    outside = ~(members if data.groups is None else members[data.groups])
    if not outside.any():
        return []
    replaced = _with_others(data, outside)
    _check(remake, replaced, members, seed, expected, traits, "other instances with other labels")
    if traits.membership == "gathers" and data.train_features.dtype.kind == "f":
        poisoned = dataclasses.replace(replaced, train_features=_with_nan(replaced.train_features, outside))
        _check(remake, poisoned, members, seed, expected, traits, "NaN")
    return []


def _check(
    remake: Callable[[Dataset], Learner],
    data: Dataset,
    members: BoolArray,
    seed: np.uint64,
    expected: RowLosses,
    traits: LearnerTraits,
    what: str,
) -> None:
    try:
        losses = remake(data).retrain(members[None], np.array([seed], dtype=np.uint64))
    except Exception as error:
        raise LearnerError(
            f"with the instances outside `members` replaced by {what}, the learner raises {type(error).__name__}:"
            f" {error}; it must look at its members alone"
        ) from error
    found, wanted = row_losses(losses, 0).among(members), expected.among(members)
    agree = found == wanted if traits.tolerance == 0.0 else found.close_to(wanted, traits.tolerance)
    if not agree:
        raise LearnerError(
            f"instances outside `members` change the losses: replaced by {what}, they move them"
            f" ({found.largest_difference(wanted)}); train on the members alone, and compute no mean, scale or"
            " vocabulary over the whole training set"
        )


def _with_others(data: Dataset, outside: BoolArray) -> Dataset:
    """The data set with instances drawn from the whole of it, with other labels, in place of those outside."""
    random = generator("canary", data.rows, int(outside.sum()))
    drawn: IntArray = random.integers(data.rows, size=int(outside.sum()))
    features, chosen = written_over(data.train_features), _touched(data.train_features, outside)
    features[chosen] = data.train_features[drawn[: len(chosen)]]
    weights = None if data.weights is None else data.weights.copy()
    if weights is not None and data.weights is not None:
        weights[outside] = data.weights[drawn]
    return dataclasses.replace(
        data, train_features=features, train_labels=_other_labels(data, outside), weights=weights
    )


def _touched(features: AnyArray, outside: BoolArray) -> IntArray:
    """Which instances outside are replaced: all, or a few where features stay in their file."""
    chosen = np.flatnonzero(outside)
    return chosen[:MOST_MAPPED] if isinstance(features, np.memmap) else chosen


def _other_labels(data: Dataset, outside: BoolArray) -> AnyArray:
    labels = data.train_labels.copy()
    if data.task == "classification":
        labels[outside] = (labels[outside] + 1) % max(1, len(data.classes))
    else:
        labels[outside] = labels[outside][::-1] + 1.0 + np.abs(labels).max()
    return labels


def _with_nan(features: AnyArray, outside: BoolArray) -> AnyArray:
    poisoned = features if isinstance(features, np.memmap) else features.copy()
    poisoned[_touched(features, outside)] = np.nan
    return poisoned
