"""The seam of learners whose models can be kept: train now, ask for losses later.

A kept model is its parameters alone, so that new test instances or other losses cost a forward pass.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from estimators.arrays import AnyArray, BoolArray, SeedArray
from workers.errors import LearnerError
from workers.learner import Learner, Losses

Models = Mapping[str, AnyArray]
"""Parameters and buffers of K models by name, each [K, ...]; together they determine the models' outputs."""


@runtime_checkable
class ModelKeeper(Protocol):
    """A learner whose models can be kept.

    Law: `losses_of(trained(members, seeds))` equals `retrain(members, seeds)`, to rounding where K differs.
    """

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of K retrains on members [K, n] with seeds [K]."""
        ...

    def losses_of(self, models: Models) -> Losses:
        """Losses of K models on this learner's test set, and on its training set where it keeps these.

        Raises LearnerError where the arrays are not this learner's.
        """
        ...


def keeper_of(learner: Learner) -> ModelKeeper:
    """The learner as one that keeps models; raises LearnerError where it cannot."""
    if isinstance(learner, ModelKeeper):
        return learner
    raise LearnerError(
        f"learner.keep: a {type(learner).__name__} has no parameters that could be kept without executing code when"
        " they are read: leave `keep` out, or take kind: torch, logistic_regression, linear_svm or ridge"
    )


def model_bytes(learner: Learner) -> int:
    """Bytes of one kept model, by the one of the empty subset; raises LearnerError as `keeper_of`."""
    members = np.zeros((1, learner.n), dtype=np.bool_)
    models = keeper_of(learner).trained(members, np.zeros(1, dtype=np.uint64))
    return sum(array.nbytes for array in models.values())


def joined_models(parts: Sequence[Models]) -> Models:
    """The models of several groups of retrains, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def part_of(models: Models, name: str, shape: tuple[int | None, ...]) -> AnyArray:
    """One array of kept models; raises LearnerError where it is absent or of another shape (None: any length)."""
    array = models.get(name)
    if array is None:
        raise LearnerError(f"kept models have no {name!r}; they have {', '.join(models) or 'nothing'}")
    if array.ndim != len(shape) or any(
        want is not None and got != want for got, want in zip(array.shape, shape, strict=True)
    ):
        raise LearnerError(f"kept models have {name!r} of shape {list(array.shape)}, expected {list(shape)}")
    return array
