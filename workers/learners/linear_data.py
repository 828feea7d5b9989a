"""A data set as the linear learners see it: flat float64 features, and a subset's own copy of its rows."""

from dataclasses import dataclass

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from workers.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Gathered:
    """A subset's instances of positive weight, in the order of their identities.

    features: [m, d], a copy. labels: [m]. weights: [m], all 1 where the data have none.
    """

    features: FloatArray
    labels: AnyArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class LinearData:
    """features: [n_test + n, d] float64, test instances first; labels, weights and order of the training rows."""

    features: FloatArray
    n_test: int
    labels: AnyArray
    test_labels: AnyArray
    weights: FloatArray
    order: IntArray

    @property
    def n(self) -> int:
        """Number of training rows."""
        return len(self.labels)

    def ordered(self, members: BoolArray) -> BoolArray:
        """Members [K, n] with the training rows in the order of their identities."""
        in_order = bool((self.order[:-1] < self.order[1:]).all())
        return members if in_order else members[:, self.order]

    def chosen(self, row: BoolArray) -> IntArray:
        """The subset's rows of positive weight, in the order of their identities. row: [n] bool."""
        return self.order[row[self.order] & (self.weights[self.order] > 0.0)]

    def gathered(self, row: BoolArray) -> Gathered:
        """The subset's instances, by copy: no other instance can touch them. row: [n] bool."""
        chosen = self.chosen(row)
        return Gathered(self.features[self.n_test + chosen], self.labels[chosen], self.weights[chosen])


def linear_data(data: Dataset, *, constant_column: bool) -> LinearData:
    """The data set with flat features, and a last column of ones where `constant_column`."""
    parts = [np.asarray(part).reshape(len(part), -1) for part in (data.test_features, data.train_features)]
    features = np.concatenate(parts).astype(np.float64)
    if constant_column:
        features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    return LinearData(
        features=features,
        n_test=data.n_test,
        labels=data.train_labels,
        test_labels=data.test_labels,
        weights=np.ones(data.rows) if data.weights is None else data.weights.astype(np.float64),
        order=np.arange(data.rows, dtype=np.int64) if data.order is None else data.order,
    )
