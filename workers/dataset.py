"""The data a learner sees: training and test instances as arrays, and who the players are."""

from dataclasses import dataclass, field
from typing import Literal

from estimators.arrays import AnyArray, FloatArray, IntArray

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and test instances.

    train_features: [n_rows, ...] float32 or integers; test_features: [n_test, ...].
    train_labels, test_labels: class codes int64 (classification) or float64 targets (regression).
    classes: the labels that the codes stand for, over train and test, empty for regression.
    weights: [n_rows] float64 instance weights or None.
    groups: [n_rows] int64, the player of each row, or None where each row is a player.
    feature_names: for tables, else empty.
    order: [n_rows] int64, the positions of the training rows sorted by instance identity, in which learners list a
    subset's members before they shuffle them; None = as the rows stand. With it a retrain does not depend on the
    order of the training file.
    validation_features, validation_labels: [n_validation, ...], for early stopping; None = there are none.
    """

    task: Task
    train_features: AnyArray
    train_labels: AnyArray
    test_features: AnyArray
    test_labels: AnyArray
    classes: tuple[str, ...] = ()
    weights: FloatArray | None = None
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = field(default=())
    order: IntArray | None = None
    validation_features: AnyArray | None = None
    validation_labels: AnyArray | None = None

    @property
    def rows(self) -> int:
        """Number of training rows."""
        return len(self.train_labels)

    @property
    def n(self) -> int:
        """Number of players: groups where there are groups, else training rows."""
        return self.rows if self.groups is None else int(self.groups.max()) + 1

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return len(self.test_labels)
